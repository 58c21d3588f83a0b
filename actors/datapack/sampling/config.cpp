#include "actors/datapack/sampling/config.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "actors/econ/strict_toml.hpp"

namespace drover::sampling {
namespace {

using econ::NumberRange;
using econ::StrictTable;

constexpr NumberRange share{0, 1};
constexpr NumberRange factor{0, 100};
constexpr NumberRange above_zero{0, 1e9, true};

// One read of a file: declared tables and where problems go.
struct Reader {
  StrictTable& root;
  econ::TomlProblems& problems;

  template <class F>
  void table(const char* key, F&& read) {
    const toml::table* at = root.table(key);
    if (at == nullptr) return;
    StrictTable strict(*at, std::string(key).append("."), problems);
    read(strict);
    strict.finish();
  }
};

template <size_t n>
void read_numbers(StrictTable& at, const char* key, std::array<double, n>& out, NumberRange range) {
  const toml::array* list = at.array(key);
  if (list == nullptr) return;
  if (list->size() != n) return at.problem(key, std::string("must have ").append(std::to_string(n)).append(" numbers"));
  for (size_t i = 0; i < n; ++i) {
    const auto value = (*list)[i].value<double>();
    if (!value || !(*value >= range.min && *value <= range.max)) return at.problem(key, "holds no number in its range");
    out[i] = *value;
  }
}

void read_episodes_max(StrictTable& at, std::array<uint64_t, 3>& out) {
  std::array<double, 3> values{};
  for (size_t i = 0; i < out.size(); ++i) values[i] = static_cast<double>(out[i]);
  read_numbers(at, "episodes_max", values, {1, 1e12});
  if (!std::is_sorted(values.begin(), values.end())) at.problem("episodes_max", "must not fall");
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<uint64_t>(values[i]);
}

void read_count(StrictTable& at, const char* key, auto& out, int64_t max) {
  int64_t value = static_cast<int64_t>(out);
  if (at.integer(key, value, 1, max)) out = static_cast<std::remove_reference_t<decltype(out)>>(value);
}

void read_groups(Reader& reader, std::vector<TagGroup>& out) {
  const toml::array* list = reader.root.array("group");
  if (list == nullptr) return;
  out.clear();
  for (const toml::node& node : *list) {
    const toml::table* at = node.as_table();
    if (at == nullptr) return reader.root.problem("group", "must be [[group]] tables");
    StrictTable strict(*at, "group.", reader.problems);
    TagGroup group;
    strict.text("name", group.name, true);
    if (const toml::array* tags = strict.array("tags"))
      for (const toml::node& tag : *tags) group.patterns.push_back(tag.value_or(std::string()));
    const bool bad = std::any_of(group.patterns.begin(), group.patterns.end(), [](const std::string& p) {
      return p.empty() || (p.find('*') != std::string::npos && p.find('*') + 1 != p.size());
    });
    if (bad || group.patterns.empty()) strict.problem("tags", "must be words, or beginnings that end with '*'");
    if (group_index(out, group.name) < out.size()) strict.problem("name", "is there twice");
    strict.finish();
    out.push_back(std::move(group));
  }
  if (out.size() > groups_max) reader.root.problem("group", "there are more than 16");
}

void read_quotas(Reader& reader, const SamplingConfig& config, std::vector<TagQuota>& out) {
  const toml::array* list = reader.root.array("quota");
  if (list == nullptr) return;
  out.clear();
  double sum = 0;
  for (const toml::node& node : *list) {
    const toml::table* at = node.as_table();
    if (at == nullptr) return reader.root.problem("quota", "must be [[quota]] tables");
    StrictTable strict(*at, "quota.", reader.problems);
    TagQuota quota;
    strict.text("group", quota.group, true);
    strict.number("share", quota.share, share, true);
    if (group_index(config.groups, quota.group) == config.groups.size()) strict.problem("group", "is no group");
    strict.finish();
    sum += quota.share;
    out.push_back(std::move(quota));
  }
  if (sum > 1 + 1e-9) reader.root.problem("quota", "shares are more than the whole batch");
  if (out.size() > quotas_max) reader.root.problem("quota", "there are more than 8");
}

void read_presets(Reader& reader, SamplingConfig& config) {
  const toml::table* presets = reader.root.table("preset");
  if (presets == nullptr) return;
  config.presets.clear();
  for (const auto& [name, node] : *presets) {
    const std::string key = std::string("preset.").append(name.str());
    const toml::table* at = node.as_table();
    if (at == nullptr) {
      reader.root.problem(key, "must be a table");
      continue;
    }
    StrictTable strict(*at, key + ".", reader.problems);
    Emphasis& emphasis = config.presets[std::string(name.str())];
    for (const TagGroup& group : config.groups) {
      double value = 1;
      if (strict.number(group.name, value, factor)) emphasis[group.name] = value;
    }
    strict.finish();
  }
  for (const char* needed : {"safety", "balanced"})
    if (!config.presets.contains(needed)) reader.root.problem("preset", std::string("lacks ").append(needed));
}

void read_strategies(Reader& reader, SamplingConfig& c) {
  reader.table("balanced", [&](StrictTable& at) { read_numbers(at, "tier_shares", c.tier_shares, share); });
  reader.table("frontier_focused", [&](StrictTable& at) {
    FrontierConfig& f = c.frontier;
    read_numbers(at, "tier_weights", f.tier_weights, share);
    at.number("base", f.base, share);
    at.number("novelty", f.novelty, share);
    at.number("expected_dmpl", f.expected, share);
    at.number("expected_dmpl_full", f.expected_full, above_zero);
    at.number("safety_factor", f.safety_factor, {1, 100});
    at.number("urgent_from", f.urgent_from, share);
    at.number("urgent_share", f.urgent_share, share);
  });
  reader.table("urgency_driven", [&](StrictTable& at) {
    UrgencyConfig& u = c.urgency;
    at.number("unmatched", u.unmatched, share);
    at.number("weakness", u.weakness, factor);
    at.number("error_rate_full", u.error_rate_full, above_zero);
    at.number("energy_loss_full", u.energy_loss_full, above_zero);
    at.number("mpl_loss_full", u.mpl_loss_full, above_zero);
  });
}

void read_rules(Reader& reader, SamplingConfig& c) {
  reader.table("trust", [&](StrictTable& at) {
    at.number("trusted_above", c.trust.trusted_above, share);
    at.number("provisional_above", c.trust.provisional_above, share);
    at.number("provisional", c.trust.provisional, factor);
    at.number("trusted_other", c.trust.trusted_other, factor);
    double risk = c.trust.trusted["RiskTag"], recovery = c.trust.trusted["RecoveryTag"];
    if (at.number("trusted_risk", risk, factor)) c.trust.trusted["RiskTag"] = risk;
    if (at.number("trusted_recovery", recovery, factor)) c.trust.trusted["RecoveryTag"] = recovery;
    if (c.trust.trusted_above < c.trust.provisional_above) at.problem("trusted_above", "is below provisional_above");
  });
  reader.table("synthetic", [&](StrictTable& at) {
    at.number("trust_min", c.synthetic.trust_min, share);
    at.number("share_max", c.synthetic.share_max, share);
  });
  reader.table("prerequisites", [&](StrictTable& at) {
    at.number("success_above", c.prerequisites.success_above, share);
    read_count(at, "episodes_min", c.prerequisites.episodes_min, 1'000'000);
  });
  reader.table("curriculum", [&](StrictTable& at) {
    CurriculumConfig& u = c.curriculum;
    read_count(at, "window_episodes", u.window_episodes, 10'000);
    at.number("error_rate_below", u.error_rate_below, share);
    at.number("affordance_above", u.affordance_above, share);
    read_count(at, "growth_episodes", u.growth_episodes, 10'000);
    at.number("growth_below", u.growth_below, {0, 10});
    read_episodes_max(at, u.episodes_max);
    at.number("critical_fragility", u.critical_fragility, share);
  });
}

}  // namespace

SamplingConfig::SamplingConfig() = default;

std::vector<TagGroup> SamplingConfig::default_groups() {
  return {
      {"safety_critical",
       {"safety_critical", "safety_violated", "risk:critical", "event:vase_broken", "event:dish_broken"}},
      {"fragile", {"fragile", "fragile:*"}},
      {"high_energy", {"high_energy", "energy:high"}},
      {"novel_affordance", {"novel_affordance", "novel:*"}},
      {"intervention", {"intervention", "intervention:*", "event:protective_stop", "event:grip_lost"}},
      {"error",
       {"error_event", "safety_violated", "risk:*", "fragile:*", "recovery:*", "intervention:*", "ood:*", "doom_loop",
        "black_swan", "event:recovered", "event:protective_stop", "event:grip_lost", "event:grasp_slip",
        "event:grasp_missed"}},
      {"energy", {"high_energy", "energy:high", "energy_driver:long_reach"}},
      {"mpl", {"slow", "lucky", "recovery:*", "novel:*", "novel_affordance", "event:recovered"}},
  };
}

std::vector<TagQuota> SamplingConfig::default_quotas() {
  return {{"safety_critical", 0.2},
          {"fragile", 0.15},
          {"high_energy", 0.1},
          {"novel_affordance", 0.15},
          {"intervention", 0.1}};
}

std::map<std::string, Emphasis, std::less<>> SamplingConfig::default_presets() {
  return {{"balanced", {}}, {"safety", {{"safety_critical", 2.0}, {"error", 1.5}}}};
}

Result<SamplingConfig> parse_sampling_config(std::string_view toml_text, const std::string& file) {
  DROVER_ASSIGN(const toml::table table, econ::parse_toml(toml_text, file));
  econ::TomlProblems problems(file);
  StrictTable root(table, "", problems);
  Reader reader{root, problems};
  SamplingConfig config;
  read_strategies(reader, config);
  read_rules(reader, config);
  read_groups(reader, config.groups);
  read_quotas(reader, config, config.quotas);
  read_presets(reader, config);
  double sum = 0;
  for (const double s : config.tier_shares) sum += s;
  if (!(std::abs(sum - 1) < 1e-6)) root.problem("balanced.tier_shares", "must add up to 1");
  for (const TagQuota& quota : config.quotas)
    if (group_index(config.groups, quota.group) == config.groups.size())
      root.problem("quota", "group " + quota.group + " is not among the groups");
  for (const auto& [name, emphasis] : config.presets)
    for (const auto& [group, value] : emphasis)
      if (group_index(config.groups, group) == config.groups.size())
        root.problem("preset." + name, "group " + group + " is not among the groups");
  root.finish();
  DROVER_TRY(problems.status());
  return config;
}

Result<SamplingConfig> load_sampling_config(const std::string& path) {
  DROVER_ASSIGN(const std::string text, econ::read_small_file(path));
  return parse_sampling_config(text, path);
}

uint32_t groups_of_word(const std::vector<TagGroup>& groups, std::string_view word) {
  uint32_t out = 0;
  for (size_t i = 0; i < groups.size() && i < groups_max; ++i) {
    const auto& patterns = groups[i].patterns;
    const bool fits = std::any_of(patterns.begin(), patterns.end(), [&](const std::string& p) {
      return p.back() == '*' ? word.starts_with(std::string_view(p).substr(0, p.size() - 1)) : word == p;
    });
    if (fits) out |= uint32_t{1} << i;
  }
  return out;
}

size_t group_index(const std::vector<TagGroup>& groups, std::string_view name) {
  const auto at = std::find_if(groups.begin(), groups.end(), [&](const TagGroup& g) { return g.name == name; });
  return static_cast<size_t>(at - groups.begin());
}

}  // namespace drover::sampling

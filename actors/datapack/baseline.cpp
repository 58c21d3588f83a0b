#include "actors/datapack/baseline.hpp"

#include <cmath>
#include <nlohmann/json.hpp>

#include "actors/econ/strict_toml.hpp"

namespace drover::datapack {
namespace {

using nlohmann::json;

constexpr uint64_t format_version = 1;

// Takes one value into one component by the rule; values that cannot serve as a divisor are passed over by callers.
void take_in(const BaselineRule& rule, BaselineComponent& c, double value) {
  if (!std::isfinite(value)) return;
  if (c.count == 0) {
    c.value = value;
  } else if (rule.method == BaselineMethod::ewma) {
    c.value = rule.a * value + (1 - rule.a) * c.value;
  } else if (c.count < static_cast<uint64_t>(rule.episodes)) {
    c.value += (value - c.value) / static_cast<double>(c.count + 1);
  } else {
    return;  // first_n is complete
  }
  ++c.count;
}

json component_json(const BaselineComponent& c) {
  return {{"value", c.value}, {"count", c.count}};
}

Status bad(const std::string& field, const char* what) {
  return fail(Errc::invalid_argument, "baseline_state." + field, what);
}

Status read_component(const json& object, const char* name, BaselineComponent& c) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_object() || found->size() != 2) return bad(name, "needs {value, count}");
  const auto value = found->find("value");
  const auto count = found->find("count");
  if (value == found->end() || !value->is_number()) return bad(name, "value must be a number");
  if (count == found->end() || !count->is_number_unsigned()) return bad(name, "count must be a whole number");
  c = {value->get<double>(), count->get<uint64_t>()};
  if (!std::isfinite(c.value) || c.value < 0) return bad(name, "value must be finite and not negative");
  return {};
}

bool matches(const std::string& pattern, std::string_view value) {
  return pattern == "*" || pattern == value;
}

void parse_rule(const toml::table& source, size_t index, econ::TomlProblems& problems, BaselineRule& rule) {
  econ::StrictTable t(source, "baseline[" + std::to_string(index) + "].", problems);
  constexpr double rate_max = 1e12;
  t.text("task_name", rule.task_name);
  t.text("source_kind", rule.source_kind);
  std::string method;
  if (t.text("method", method, true)) {
    if (method == "fixed")
      rule.method = BaselineMethod::fixed;
    else if (method == "first_n")
      rule.method = BaselineMethod::first_n;
    else if (method == "ewma")
      rule.method = BaselineMethod::ewma;
    else
      t.problem("method", "'" + method + "' is not one of fixed, first_n, ewma");
  }
  const bool fixed = rule.method == BaselineMethod::fixed && method == "fixed";
  double value = 0;
  if (t.number("a", rule.a, {0, 1, true}) && method != "ewma") t.problem("a", "only for method ewma");
  if (t.integer("episodes", rule.episodes, 1, 1'000'000) && method != "first_n")
    t.problem("episodes", "only for method first_n");
  const auto fixed_value = [&](const char* key, std::optional<double>& out, econ::NumberRange range, bool required) {
    if (!t.number(key, value, range, required && fixed)) return;
    if (!fixed) return t.problem(key, "only for method fixed");
    out = value;
  };
  fixed_value("mpl_units_per_h", rule.fixed.mpl_units_per_h, {0, rate_max, true}, true);
  fixed_value("error_rate", rule.fixed.error_rate, {0, rate_max}, true);
  fixed_value("ep_units_per_Wh", rule.fixed.ep_units_per_Wh, {0, rate_max, true}, false);
  t.finish();
}

}  // namespace

std::string_view baseline_method_name(BaselineMethod method) noexcept {
  switch (method) {
    case BaselineMethod::fixed:
      return "fixed";
    case BaselineMethod::first_n:
      return "first_n";
    case BaselineMethod::ewma:
      return "ewma";
  }
  return "unknown";
}

ResolvedBaseline resolve(const Baseline& baseline, const econ::Performance& episode) {
  ResolvedBaseline r;
  if (baseline.rule.method == BaselineMethod::fixed) {
    r.reference = baseline.rule.fixed;
    return r;
  }
  const BaselineState& s = baseline.state;
  r.self_mpl = s.mpl_units_per_h.count == 0;
  r.self_error = s.error_rate.count == 0;
  r.self_ep = s.ep_units_per_Wh.count == 0 && episode.ep_units_per_Wh.has_value();
  r.reference.mpl_units_per_h = r.self_mpl ? episode.mpl_units_per_h : s.mpl_units_per_h.value;
  r.reference.error_rate = r.self_error ? episode.error_rate : s.error_rate.value;
  if (r.self_ep)
    r.reference.ep_units_per_Wh = episode.ep_units_per_Wh;
  else if (s.ep_units_per_Wh.count > 0)
    r.reference.ep_units_per_Wh = s.ep_units_per_Wh.value;
  return r;
}

BaselineState advance(const Baseline& baseline, const econ::Performance& episode) {
  BaselineState next = baseline.state;
  ++next.episodes;
  if (baseline.rule.method == BaselineMethod::fixed) return next;
  if (episode.mpl_units_per_h > 0) take_in(baseline.rule, next.mpl_units_per_h, episode.mpl_units_per_h);
  take_in(baseline.rule, next.error_rate, episode.error_rate);
  if (episode.ep_units_per_Wh.value_or(0) > 0) take_in(baseline.rule, next.ep_units_per_Wh, *episode.ep_units_per_Wh);
  return next;
}

std::string to_json(const BaselineState& state) {
  const json object = {{"version", format_version},
                       {"episodes", state.episodes},
                       {"mpl_units_per_h", component_json(state.mpl_units_per_h)},
                       {"error_rate", component_json(state.error_rate)},
                       {"ep_units_per_Wh", component_json(state.ep_units_per_Wh)}};
  return object.dump();
}

Result<BaselineState> baseline_state_from_json(std::string_view text) {
  const json object = json::parse(text, nullptr, false);
  if (!object.is_object()) return fail(Errc::invalid_argument, "baseline_state", "is not a JSON object");
  const auto version = object.find("version");
  if (version == object.end() || *version != format_version)
    return fail(Errc::unsupported_version, "baseline_state.version", "this build reads version 1");
  if (object.size() != 5)
    return fail(Errc::invalid_argument, "baseline_state", "needs exactly version, episodes and three components");
  BaselineState state;
  const auto episodes = object.find("episodes");
  if (episodes == object.end() || !episodes->is_number_unsigned())
    return fail(Errc::invalid_argument, "baseline_state.episodes", "must be a whole number");
  state.episodes = episodes->get<uint64_t>();
  DROVER_TRY(read_component(object, "mpl_units_per_h", state.mpl_units_per_h));
  DROVER_TRY(read_component(object, "error_rate", state.error_rate));
  DROVER_TRY(read_component(object, "ep_units_per_Wh", state.ep_units_per_Wh));
  return state;
}

std::string baseline_key(std::string_view task_name, std::string_view source_kind) {
  return std::string(task_name).append(1, '\x1f').append(source_kind);
}

BaselineRule BaselineRules::find(std::string_view task_name, std::string_view source_kind) const {
  const BaselineRule* best = nullptr;
  int best_rank = -1;
  for (const BaselineRule& rule : rules_) {
    if (!matches(rule.task_name, task_name) || !matches(rule.source_kind, source_kind)) continue;
    const int rank = (rule.task_name != "*" ? 2 : 0) + (rule.source_kind != "*" ? 1 : 0);
    if (rank <= best_rank) continue;
    best = &rule;
    best_rank = rank;
  }
  return best != nullptr ? *best : BaselineRule{};
}

Result<BaselineRules> parse_baselines(std::string_view toml_text, const std::string& file) {
  DROVER_ASSIGN(const toml::table root, econ::parse_toml(toml_text, file));
  econ::TomlProblems problems(file);
  econ::StrictTable top(root, "", problems);
  std::vector<BaselineRule> rules;
  std::set<std::string> seen;
  if (const toml::array* list = top.array("baseline")) {
    for (size_t i = 0; i < list->size(); ++i) {
      const toml::node* node = list->get(i);
      if (!node->is_table()) {
        problems.add(node, "baseline[" + std::to_string(i) + "]", "must be a table");
        continue;
      }
      BaselineRule rule;
      parse_rule(*node->as_table(), i, problems, rule);
      if (!seen.insert(baseline_key(rule.task_name, rule.source_kind)).second)
        problems.add(node, "baseline[" + std::to_string(i) + "]", "repeats an earlier task_name and source_kind");
      rules.push_back(std::move(rule));
    }
  }
  top.finish();
  DROVER_TRY(problems.status());
  return BaselineRules(std::move(rules));
}

Result<BaselineRules> load_baselines(const std::string& path) {
  DROVER_ASSIGN(const std::string text, econ::read_small_file(path));
  return parse_baselines(text, path);
}

}  // namespace drover::datapack

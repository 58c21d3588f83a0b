#include "actors/semantics/trust.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "actors/semantics/json_read.hpp"
#include "actors/semantics/json_text.hpp"
#include "actors/semantics/names.hpp"
#include "actors/semantics/strict_toml.hpp"

namespace drover::semantics {
namespace {

constexpr std::string_view format_name = "drover.trust_matrix.v1";
constexpr std::array<std::string_view, 3> tier_names = {"untrusted", "provisional", "trusted"};
constexpr double weight_direction = 0.6;
constexpr double weight_target = 0.4;

std::string claim_text(const Claim& claim) {
  return fmt::format("{} {}{}, wanted {} {}", metric_name(claim.metric), claim.ratio ? "ratio" : "difference",
                     claim.among_failures ? " among episodes with a failure" : "",
                     claim.upward ? ">=" : "<=", claim.target);
}

class ConfigReader {
 public:
  ConfigReader(const toml::table& root, const std::string& file) : problems_(file), top_(root, "", problems_) {}

  Result<TrustConfig> read() {
    top_.number("trusted_above", out_.trusted_above, 0, 1);
    top_.number("provisional_above", out_.provisional_above, 0, 1);
    top_.number("refinement_above", out_.refinement_above, 0, 1);
    top_.number("prior", out_.prior, 0, 1);
    top_.number("provisional_multiplier", out_.provisional_multiplier, 0, 100);
    top_.integer("seed", out_.correlator.seed, 0, INT64_MAX);
    top_.integer("samples_min", out_.correlator.samples_min, 1, 1000000);
    if (out_.provisional_above >= out_.trusted_above) top_.problem("provisional_above", "must be below trusted_above");
    if (const toml::table* table = top_.table("trusted_multiplier")) {
      TomlTable fields(*table, "trusted_multiplier.", problems_);
      for (const auto& [key, unused] : *table) {
        double factor = 1;
        fields.number(key.str(), factor, 0, 100);
        if (!tag_kind_from(key.str())) fields.problem(key.str(), "is not a kind of tag");
        out_.trusted_multiplier[std::string(key.str())] = factor;
      }
    }
    if (const toml::array* claims = top_.array("claim")) {
      for (const toml::node& item : *claims) {
        if (item.is_table())
          read_claim(*item.as_table());
        else
          problems_.add(&item, "claim", "must be a list of tables");
      }
    }
    top_.finish();
    DROVER_TRY(problems_.status());
    return std::move(out_);
  }

 private:
  void read_claim(const toml::table& table) {
    TomlTable fields(table, "claim.", problems_);
    Claim claim;
    std::string tag, metric, compare, wanted = "more", among = "all";
    fields.text("tag", tag, true);
    fields.text("metric", metric, true);
    fields.text("compare", compare, true);
    fields.text("wanted", wanted);
    fields.text("among", among);
    fields.number("target", claim.target, -1e6, 1e6);
    fields.finish();
    const auto kind = tag_kind_from(tag);
    const std::array<std::string_view, 3> metrics = {"damage", "mpl", "success"};
    const auto known = enum_from<Metric>(metrics, metric);
    if (!kind) fields.problem("tag", "is not a kind of tag");
    if (!known) fields.problem("metric", "must be damage, mpl or success");
    if (compare != "ratio" && compare != "difference") fields.problem("compare", "must be ratio or difference");
    if (wanted != "more" && wanted != "less") fields.problem("wanted", "must be more or less");
    if (among != "all" && among != "failures") fields.problem("among", "must be all or failures");
    if (!kind || !known) return;
    claim.among_failures = among == "failures";
    claim.tag = *kind;
    claim.metric = *known;
    claim.ratio = compare == "ratio";
    claim.neutral = claim.ratio ? 1 : 0;
    claim.upward = wanted == "more";
    if (claim.upward ? claim.target < claim.neutral : claim.target > claim.neutral)
      fields.problem("target", "lies on the wrong side of what says nothing");
    for (const Claim& other : out_.correlator.claims)
      if (other.tag == claim.tag) fields.problem("tag", "has a claim already");
    out_.correlator.claims.push_back(claim);
  }

  TomlProblems problems_;
  TomlTable top_;
  TrustConfig out_;
};

}  // namespace

std::string_view trust_tier_name(TrustTier tier) noexcept {
  return enum_name(tier_names, tier);
}

Result<TrustConfig> parse_trust_config(std::string_view toml_text, const std::string& file) {
  DROVER_ASSIGN(const toml::table root, parse_toml(toml_text, file));
  return ConfigReader(root, file).read();
}

Result<TrustConfig> load_trust_config(const std::string& path) {
  DROVER_ASSIGN(const std::string text, read_config_file(path));
  return parse_trust_config(text, path);
}

TrustTier tier_of(const TrustConfig& config, double trust) noexcept {
  return trust > config.trusted_above       ? TrustTier::trusted
         : trust > config.provisional_above ? TrustTier::provisional
                                            : TrustTier::untrusted;
}

TrustMatrix::TrustMatrix(const TrustConfig& config, const std::vector<Correlation>& answers) : config_(config) {
  for (TrustEntry& e : entries_) {
    e.trust = config.prior;
    e.tier = TrustTier::provisional;
    e.claim = "none";
  }
  for (const Correlation& c : answers) {
    TrustEntry& e = entries_[static_cast<size_t>(c.claim.tag)];
    e.claim = claim_text(c.claim);
    e.n = c.n_with;
    e.enough = c.enough;
    e.strength = c.effect;
    e.low = c.low;
    e.high = c.high;
    const double all = static_cast<double>(c.n_with + c.n_without);
    e.impact = all > 0 ? std::abs(c.effect - c.claim.neutral) * static_cast<double>(c.n_with) / all : 0;
    if (!c.enough) continue;
    e.trust = std::clamp(weight_direction * c.share_direction + weight_target * c.share_target, 0.0, 1.0);
    e.tier = tier_of(config, e.trust);
  }
}

TierRights TrustMatrix::rights(TagKind kind) const {
  TierRights out;
  switch (entry(kind).tier) {
    case TrustTier::trusted: {
      const auto at = config_.trusted_multiplier.find(tag_kind_name(kind));
      out.may_raise_safety_stop = true;
      out.sampling_multiplier = at == config_.trusted_multiplier.end() ? config_.provisional_multiplier : at->second;
      break;
    }
    case TrustTier::provisional:
      out.review = true;
      out.sampling_multiplier = config_.provisional_multiplier;
      break;
    case TrustTier::untrusted:
      out.used = false;
      break;
  }
  return out;
}

bool TrustMatrix::permits(std::string_view source_tag) const {
  if (source_tag.empty()) return true;
  const auto kind = tag_kind_from(source_tag);
  return kind && trust(*kind) > config_.refinement_above;
}

std::string TrustMatrix::json() const {
  JsonText out;
  out.begin_object().field("format", format_name).key("tags").begin_object();
  for (size_t i = 0; i < tag_kind_count; ++i) {
    const auto kind = static_cast<TagKind>(i);
    const TrustEntry& e = entry(kind);
    const TierRights rights_here = rights(kind);
    out.line().key(tag_kind_name(kind)).begin_object().field("trust", e.trust).field("tier", trust_tier_name(e.tier));
    out.field("strength", e.strength).field("impact", e.impact).field("n", e.n);
    out.key("interval").begin_array().value(e.low).value(e.high).end_array();
    out.field("enough_samples", e.enough).field("claim", e.claim);
    out.field("may_raise_safety_stop", rights_here.may_raise_safety_stop).field("review", rights_here.review);
    out.field("sampling_multiplier", rights_here.sampling_multiplier).end_object();
  }
  out.line().end_object().end_object();
  return std::move(out).text() + "\n";
}

Result<TrustMatrix> TrustMatrix::restored(const TrustConfig& config, std::string_view json) {
  DROVER_ASSIGN(const nlohmann::json root, parse_state(json, format_name));
  DROVER_ASSIGN(const nlohmann::json* tags, get_map(root, "tags"));
  TrustMatrix out(config, {});
  for (size_t i = 0; i < tag_kind_count; ++i) {
    const std::string name(tag_kind_name(static_cast<TagKind>(i)));
    DROVER_ASSIGN(const nlohmann::json* from, get_map(*tags, name.c_str()));
    TrustEntry& e = out.entries_[i];
    DROVER_ASSIGN(e.trust, get_number(*from, "trust"));
    DROVER_ASSIGN(const std::string tier, get_text(*from, "tier"));
    const auto known = enum_from<TrustTier>(tier_names, tier);
    DROVER_ASSIGN(const nlohmann::json* interval, get_list(*from, "interval"));
    if (!known || interval->size() != 2 || !(*interval)[0].is_number() || !(*interval)[1].is_number())
      return bad_state(name, "has a bad tier or interval");
    e.tier = *known;
    e.low = (*interval)[0].get<double>();
    e.high = (*interval)[1].get<double>();
    DROVER_ASSIGN(e.strength, get_number(*from, "strength"));
    DROVER_ASSIGN(e.impact, get_number(*from, "impact"));
    DROVER_ASSIGN(e.n, get_count(*from, "n"));
    DROVER_ASSIGN(e.enough, get_truth(*from, "enough_samples"));
    DROVER_ASSIGN(e.claim, get_text(*from, "claim"));
  }
  return out;
}

std::vector<CalibrationAlert> calibration_alerts(const TrustMatrix& before, const TrustMatrix& now) {
  std::vector<CalibrationAlert> out;
  for (size_t i = 0; i < tag_kind_count; ++i) {
    const auto kind = static_cast<TagKind>(i);
    const TrustEntry& e = now.entry(kind);
    if (e.tier != TrustTier::untrusted || before.entry(kind).tier == TrustTier::untrusted) continue;
    out.push_back(
        {kind, e.trust,
         fmt::format("{} is no longer believed: trust {:.2f}, {} was {:.3g} [{:.3g}, {:.3g}] over {} episodes",
                     tag_kind_name(kind), e.trust, e.claim, e.strength, e.low, e.high, e.n)});
  }
  return out;
}

}  // namespace drover::semantics

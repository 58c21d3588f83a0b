// Trust: how much each kind of tag is believed, from how well it foretold outcomes, and what that belief permits. Pure.
//
// trust = 0.6 * (share of bootstrap replicates that lie on the claimed side) + 0.4 * (share that reach the target).
// So a tag that says nothing has about 0.3 (untrusted), one with the right direction but not the promised strength 0.6
// (provisional), one that keeps its promise 1. With too few samples it has the prior and is provisional: no evidence is
// not bad evidence.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "actors/semantics/correlator.hpp"
#include "actors/semantics/tags.hpp"
#include "messages/result.hpp"

namespace drover::semantics {

enum class TrustTier : uint8_t { untrusted, provisional, trusted };
std::string_view trust_tier_name(TrustTier tier) noexcept;

struct TrustConfig {
  double trusted_above = 0.8;
  double provisional_above = 0.5;
  double refinement_above = 0.6;  // a suggestion that leans on a tag is accepted only above it
  double prior = 0.65;            // without enough samples
  CorrelatorConfig correlator;
  // How often an episode with a trusted tag is drawn, compared with one without; provisional, and the rest.
  std::map<std::string, double, std::less<>> trusted_multiplier;  // by tag kind name; others: 1.5
  double provisional_multiplier = 1.5;
};

// Parses configs/semantics/trust.toml. Errors: invalid_argument with every problem.
Result<TrustConfig> parse_trust_config(std::string_view toml_text, const std::string& file);
Result<TrustConfig> load_trust_config(const std::string& path);

struct TrustEntry {
  double trust = 0;
  TrustTier tier = TrustTier::provisional;
  double strength = 0;  // the effect that was found: ratio or difference
  double impact = 0;    // |effect - neutral| times the share of episodes that carry the tag
  uint64_t n = 0;       // episodes that carry it
  double low = 0, high = 0;
  bool enough = false;
  std::string claim;  // "damage ratio, wanted >= 2"
};

// What a tag of this tier may do.
struct TierRights {
  bool used = true;                    // untrusted tags are ignored everywhere
  bool may_raise_safety_stop = false;  // trusted only
  bool review = false;                 // packs that lean on it are flagged for review
  double sampling_multiplier = 1;
};

class TrustMatrix {
 public:
  TrustMatrix() = default;
  // Every kind of tag has an entry; kinds without a claim keep the prior.
  TrustMatrix(const TrustConfig& config, const std::vector<Correlation>& answers);

  const TrustEntry& entry(TagKind kind) const { return entries_[static_cast<size_t>(kind)]; }
  double trust(TagKind kind) const { return entry(kind).trust; }
  TierRights rights(TagKind kind) const;
  // False when a suggestion leans on a tag kind ("RiskTag") that is not believed enough; true for an empty name.
  bool permits(std::string_view source_tag) const;

  // The published document: deterministic JSON, one tag per line. restored() gives an equal matrix.
  std::string json() const;
  static Result<TrustMatrix> restored(const TrustConfig& config, std::string_view json);

 private:
  TrustConfig config_;
  std::array<TrustEntry, tag_kind_count> entries_{};
};

TrustTier tier_of(const TrustConfig& config, double trust) noexcept;

// A tag kind fell below the tier where it is used: somebody should look at its rule. Raised once per fall.
struct CalibrationAlert {
  TagKind tag = TagKind::risk;
  double trust = 0;
  std::string message;
};
std::vector<CalibrationAlert> calibration_alerts(const TrustMatrix& before, const TrustMatrix& now);

}  // namespace drover::semantics

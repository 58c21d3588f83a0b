// Correlator: does a tag foretell what it claims? Keeps, for every claim, what is needed to answer at any time without
// looking at a single datapack again. Pure; one writer.
//
// A claim compares the mean of an outcome over episodes that carry a tag with the mean over those that do not, as a
// ratio or a difference. Means, counts and a bootstrap of both are kept as running sums: each episode enters replicate
// b with a Poisson(1) weight that is a function of (seed, pack id, b) alone. So answers are the same for any order of
// arrival up to rounding, cost the same at a thousand and at ten million episodes, and memory is bounded.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "actors/semantics/facts.hpp"
#include "actors/semantics/tags.hpp"
#include "messages/result.hpp"

namespace drover::semantics {

enum class Metric : uint8_t { damage, mpl, success };
std::string_view metric_name(Metric metric) noexcept;

// What a tag promises about an outcome.
struct Claim {
  TagKind tag = TagKind::risk;
  Metric metric = Metric::damage;
  bool ratio = true;            // E[y | tag] / E[y | none]; otherwise the difference
  bool upward = true;           // the tag claims more of it; otherwise less
  double neutral = 1;           // effect of a tag that says nothing
  double target = 2;            // effect from which the claim holds in full
  bool among_failures = false;  // compare only episodes in which something failed
  bool operator==(const Claim&) const = default;
};

struct CorrelatorConfig {
  uint64_t seed = 1;
  uint64_t samples_min = 20;  // in each group; fewer are no evidence
  std::vector<Claim> claims;  // at most one per tag kind; see configs/semantics/trust.toml
};

// One answer.
struct Correlation {
  Claim claim;
  uint64_t n_with = 0;
  uint64_t n_without = 0;
  double mean_with = 0;
  double mean_without = 0;
  double effect = 0;           // ratio or difference; a ratio over zero is capped at 1e6
  double low = 0, high = 0;    // 95 % bootstrap interval of the effect
  double share_direction = 0;  // of the replicates that lie on the claimed side of neutral
  double share_target = 0;     // of the replicates that reach the target
  bool enough = false;         // both groups have samples_min
};

class Correlator {
 public:
  static constexpr size_t replicates = 128;

  explicit Correlator(CorrelatorConfig config);

  // One episode whose outcome is known. Outcomes that are not finite are ignored (counted).
  void observe(std::string_view pack_id, const TagSet& tags, bool had_failure, const OutcomeFacts& outcome);
  // The same for tags that were kept as bits: correlated_bits().
  void observe(std::string_view pack_id, uint32_t tag_bits, const OutcomeFacts& outcome);
  std::vector<Correlation> answers() const;
  uint64_t episodes() const { return episodes_; }
  uint64_t ignored() const { return ignored_; }
  const CorrelatorConfig& config() const { return config_; }

  std::string json() const;
  Status restore(std::string_view json);

 private:
  struct Group {
    uint64_t n = 0;
    double sum = 0;
    std::array<double, replicates> weights{};
    std::array<double, replicates> sums{};
  };
  struct Cell {
    Group with, without;
  };

  CorrelatorConfig config_;
  std::vector<Cell> cells_;  // one per claim
  uint64_t episodes_ = 0;
  uint64_t ignored_ = 0;
};

// 1 << TagKind for the kinds that count as carried: risk only when high, OOD only from .8; and one for a failure.
inline constexpr uint32_t failure_bit = 1u << 31;
uint32_t correlated_bits(const TagSet& tags, bool had_failure);
// The same with the OOD tags that were found, whether or not the detector is believed enough to give them: only so can
// it win back what it lost.
uint32_t correlated_bits(const TagSet& tags, std::span<const OodTag> found, bool had_failure);

}  // namespace drover::semantics

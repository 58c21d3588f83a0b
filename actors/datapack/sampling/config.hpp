// Every number of sampling and of the curriculum. configs/sampling/default.toml holds the same values, explained.
//
// Invariant: a SamplingConfig that parse_sampling_config returned is sound: shares in 0..1, at most 16 groups, every
// quota and emphasis names a group that exists.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "messages/result.hpp"

namespace drover::sampling {

inline constexpr size_t tier_count = 3;
inline constexpr size_t groups_max = 16;
inline constexpr size_t quotas_max = 8;

// Tags that mean the same to the sampler. Patterns: a word, or the beginning of one with '*' at the end.
struct TagGroup {
  std::string name;
  std::vector<std::string> patterns;
  bool operator==(const TagGroup&) const = default;
};

struct TagQuota {
  std::string group;
  double share = 0;  // of the batch, 0..1
  bool operator==(const TagQuota&) const = default;
};

// Factor on the weight of packs in a group, by name of the group. Of several the largest counts.
using Emphasis = std::map<std::string, double, std::less<>>;

struct FrontierConfig {
  std::array<double, tier_count> tier_weights{0.2, 0.5, 1.0};
  double base = 0.5;           // urgency = tier_weight * (base + novelty * n + expected * min(E[dMPL] / full, 1))
  double novelty = 0.3;        //
  double expected = 0.2;       //
  double expected_full = 10;   // E[dMPL] that counts in full
  double safety_factor = 1.5;  // of a safety critical pack; the result is clipped to 1
  double urgent_from = 0.7;    // urgency
  double urgent_share = 0.8;   // of the batch
  bool operator==(const FrontierConfig&) const = default;
};

struct UrgencyConfig {
  double unmatched = 0.1;         // weight of a pack that no urgent group matches
  double weakness = 1.0;          // times the failure rate of the pack's weakest skill, in phase fine_tuning
  double error_rate_full = 0.2;   // rolling error rate at which error urgency is 1
  double energy_loss_full = 0.5;  // mean loss of energy productivity against the baseline at which energy urgency is 1
  double mpl_loss_full = 0.5;     // the same of MPL
  bool operator==(const UrgencyConfig&) const = default;
};

struct TrustRules {
  double trusted_above = 0.8;
  double provisional_above = 0.5;
  std::map<std::string, double, std::less<>> trusted{{"RecoveryTag", 3.0}, {"RiskTag", 5.0}};  // by kind of tag
  double trusted_other = 1.5;  // trusted tags of other kinds
  double provisional = 1.5;
  bool operator==(const TrustRules&) const = default;
};

struct SyntheticConfig {
  double trust_min = 0.9;  // less trusted packs that are not real have weight 0
  double share_max = 0.4;  // of a batch, as long as there are others
  bool operator==(const SyntheticConfig&) const = default;
};

struct PrerequisiteConfig {
  double success_above = 0.9;  // of the episodes that carry the tag
  uint64_t episodes_min = 5;   // fewer prove nothing: not met
  bool operator==(const PrerequisiteConfig&) const = default;
};

struct CurriculumConfig {
  uint32_t window_episodes = 100;   // rolling error rate and affordance success; also the least stay in a phase
  double error_rate_below = 0.05;   // ends warmup
  double affordance_above = 0.8;    // ends skill_building
  uint32_t growth_episodes = 1000;  // MPL of so many against as many before
  double growth_below = 0.05;       // ends frontier
  std::array<uint64_t, 3> episodes_max{1000, 5000, 15000};  // end the phases whatever was measured
  double critical_fragility = 0.8;                          // severity that warmup leaves out
  bool operator==(const CurriculumConfig&) const = default;
};

struct SamplingConfig {
  std::array<double, tier_count> tier_shares{0.2, 0.5, 0.3};  // balanced
  FrontierConfig frontier;
  UrgencyConfig urgency;
  std::vector<TagGroup> groups = default_groups();
  std::vector<TagQuota> quotas = default_quotas();
  TrustRules trust;
  SyntheticConfig synthetic;
  PrerequisiteConfig prerequisites;
  CurriculumConfig curriculum;
  std::map<std::string, Emphasis, std::less<>> presets = default_presets();

  SamplingConfig();
  bool operator==(const SamplingConfig&) const = default;
  static std::vector<TagGroup> default_groups();
  static std::vector<TagQuota> default_quotas();
  static std::map<std::string, Emphasis, std::less<>> default_presets();
};

// TOML text; what is missing keeps its default. Errors: invalid_argument with every problem.
Result<SamplingConfig> parse_sampling_config(std::string_view toml_text, const std::string& file);
// Errors: those above, not_found, io, too_large.
Result<SamplingConfig> load_sampling_config(const std::string& path);

// Bit i: groups[i] has a pattern that fits the word.
uint32_t groups_of_word(const std::vector<TagGroup>& groups, std::string_view word);
// Index, or groups.size().
size_t group_index(const std::vector<TagGroup>& groups, std::string_view name);

}  // namespace drover::sampling

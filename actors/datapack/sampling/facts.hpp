// PackFacts: what the sampler knows of a datapack, in 64 bytes, so that millions stay in memory. Pure values.
//
// Words (tags, skills, prerequisites) become bits here, once: which bit a word has depends on the order in which words
// came, what is drawn never does.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actors/datapack/sampling/config.hpp"
#include "actors/datapack/sampling/tags.hpp"
#include "actors/datapack/sampling/weighted_set.hpp"

namespace drover::sampling {

enum class Origin : uint8_t { real, synthetic, hybrid };
std::string_view origin_name(Origin origin) noexcept;

struct PackFacts {
  PackKey key;
  float novelty = 0;        // 0..1
  float expected_dmpl = 0;  // E[dMPL]
  float trust = 0;          // 0..1
  float w_econ = 0;         // for the log; no strategy uses it
  float fragility = 0;      // worst severity, 0..1
  uint8_t tier = 0;         // 0 redundant, 1 context-novel, 2 causal-novel
  uint8_t kinds = 0;        // bits of tag_kinds that are believed
  Origin origin = Origin::real;
  bool negative = false;  // bucket
  bool safety_critical = false;
  bool valued = false;         // tier and novelty were measured; false: a rule of thumb stands in
  uint16_t groups = 0;         // bits of SamplingConfig::groups
  uint64_t prerequisites = 0;  // bits of Vocabulary::prerequisite
  uint64_t skills = 0;         // bits of Vocabulary::skill
};
static_assert(sizeof(PackFacts) == 64);

// Bits for words: up to 63 different ones, all further ones share the last bit.
class BitNames {
 public:
  size_t bit(std::string_view name);                        // 0..63
  std::optional<size_t> find(std::string_view name) const;  // absent: never seen
  std::string name(size_t bit) const;                       // "others" for the shared one
  size_t size() const { return bits_.size(); }

 private:
  std::map<std::string, size_t, std::less<>> bits_;
  std::vector<std::string> names_;
};

// How often something worked.
struct Tally {
  uint64_t attempts = 0;
  uint64_t successes = 0;
  double success() const { return attempts == 0 ? 0 : static_cast<double>(successes) / static_cast<double>(attempts); }
};

// One datapack as its owner has it.
struct PackInput {
  PackKey key;
  std::string task_name;
  PackTags tags;  // its own words and those of its enrichments
  double trust = 0, w_econ = 0, delta_J = 0;
  bool negative = false;
  Origin origin = Origin::real;
  struct Value {
    double novelty = 0;
    uint8_t tier = 0;
    double expected_dmpl = 0;
  };
  std::optional<Value> value;  // absent: see FactsBuilder
  struct Skill {
    int64_t id = 0;
    bool success = false;
    bool known = false;  // it ended one way or the other
  };
  std::vector<Skill> skills;
};

// Turns inputs into facts and keeps the tallies that need all of them. Inputs of one task in order of start time
// give the same facts always (only the rule of thumb below looks at earlier ones).
//
// Without a value a rule of thumb stands in and `valued` is false: novelty 1 / (earlier packs with the same skills,
// outcomes and tags + 1), E[dMPL] 0, tier 2 for |delta_J| >= 0.5 and novelty >= 0.5, else 1 for novelty >= 0.2.
class FactsBuilder {
 public:
  FactsBuilder(const SamplingConfig& config, const TagTrust& trust) : config_(&config), trust_(&trust) {}
  PackFacts add(const PackInput& input);

  const BitNames& skill_names() const { return skill_names_; }
  const BitNames& prerequisite_names() const { return prerequisite_names_; }
  // Skill attempts by bit.
  const std::array<Tally, 64>& skills() const { return skills_; }
  // Bits of prerequisites that are met: episodes that carry the tag succeed often enough.
  uint64_t met_prerequisites() const;
  // Episodes that carry a word, and how many of them succeeded.
  Tally carried(std::string_view word) const;

 private:
  void tally(const PackInput& input);

  const SamplingConfig* config_;
  const TagTrust* trust_;
  BitNames skill_names_, prerequisite_names_;
  std::array<Tally, 64> skills_{};
  std::map<std::string, Tally, std::less<>> carried_;  // affordance words and prerequisites
  std::map<uint64_t, uint32_t> seen_;                  // signature -> packs, for the rule of thumb
};

}  // namespace drover::sampling

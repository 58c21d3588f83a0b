// Sampler: which datapacks to train on next. Advisory: it changes what is looked at, never what anything is worth.
//
//   Sampler sampler(config, {.strategy = Strategy::balanced});
//   for (const PackFacts& pack : facts) sampler.put(pack);          // O(log n); again when something changed
//   auto batch = sampler.draw({.batch = 256, .seed = 7, .number = 0});
//
// Invariants
// - The same packs, request, seed and number give the same batch: in any process, whatever order packs were put in, and
//   whatever was drawn before. Weights are integers (1 / 2^24), so sums are exact.
// - Weights are >= 0 and at most 255. A pack with weight 0 is drawn only when every pack that may be drawn has weight
// 0:
//   then all are equally likely, and a note says so.
// - A pack comes at most once in a batch, unless the batch is larger than the set: then a note says so.
// - Tags that are not trusted change nothing (facts.hpp).
// The rules (domain of each strategy, quotas, factors) are in README.md beside this file.
// Threads: one at a time. Memory: about 110 bytes a pack, memory_bytes() says exactly.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actors/datapack/sampling/config.hpp"
#include "actors/datapack/sampling/facts.hpp"
#include "actors/datapack/sampling/tags.hpp"
#include "actors/datapack/sampling/weighted_set.hpp"
#include "messages/result.hpp"

namespace drover::sampling {

enum class Strategy : uint8_t { balanced, frontier_focused, urgency_driven, tag_aware };
std::string_view strategy_name(Strategy strategy) noexcept;
std::optional<Strategy> strategy_from_name(std::string_view name) noexcept;

enum class Phase : uint8_t { warmup, skill_building, frontier, fine_tuning };
inline constexpr size_t phase_count = 4;
std::string_view phase_name(Phase phase) noexcept;
std::optional<Phase> phase_from_name(std::string_view name) noexcept;

// How urgent each side of the economy is, 0..1.
struct UrgencySignals {
  double error = 0;
  double energy = 0;
  double mpl = 0;
};

struct SamplerSetup {
  Strategy strategy = Strategy::balanced;
  std::optional<Phase> phase = {};  // its rules decide who may be drawn; the strategy stays what it says
  std::string preset = {};          // emphasis by name; empty: none
  UrgencySignals signals = {};      // urgency_driven only
  TagTrust trust = {};
  uint64_t prerequisites_met = ~uint64_t{0};  // bits; packs with others are left out in a phase
  std::array<double, 64> skill_failure{};     // failure rate by skill bit: weak spots first in fine_tuning
};
// The setup of a phase: warmup balanced with preset safety, skill_building tag_aware with preset balanced, frontier
// frontier_focused, fine_tuning urgency_driven.
SamplerSetup phase_setup(Phase phase);

// Why a pack may not be drawn.
enum class Exclusion : uint8_t { none, tier, critical_fragility, prerequisite };
std::string_view exclusion_name(Exclusion exclusion) noexcept;

// weight = base * multiplier * emphasis; 0 for what is synthetic and not trusted enough.
struct PackWeight {
  Exclusion excluded = Exclusion::none;
  double base = 0;        // balanced and tag_aware: trust; frontier_focused: urgency; urgency_driven: see README.md
  double multiplier = 1;  // of the most trusted kind of tag
  double emphasis = 1;    // of the preset
  double weight = 0;
  bool gated = false;  // synthetic and not trusted enough
  uint16_t cell = 0;   // which part of the population it lies in; see sampler.cpp
};

struct DrawRequest {
  uint32_t batch = 256;  // 1 .. 65,536
  uint64_t seed = 0;
  uint64_t number = 0;  // of the batch
};
inline constexpr uint32_t batch_max = 65'536;

struct Draw {
  PackFacts pack;
  PackWeight weight;
  uint16_t set = 0;  // index into Batch::sets
};

struct DrawSet {
  std::string name;         // "tier 1", "urgent", "fragile", "free", "all"
  double share = 0;         // wanted of the batch
  uint32_t wanted = 0;      // slots by the share
  uint32_t drawn = 0;       // may be more where others had too few
  double weight_total = 0;  // before the batch
};

struct Batch {
  std::vector<Draw> draws;  // in the order drawn: set by set
  std::vector<DrawSet> sets;
  std::vector<std::string> notes;            // what did not go by the rule, for people
  bool uniform = false;                      // every weight was 0
  bool repeats = false;                      // the batch is larger than the set
  std::array<uint32_t, tier_count> tiers{};  // of what was drawn
  std::vector<uint32_t> groups;              // of what was drawn, by index of group
  uint32_t synthetic = 0;
};

struct Population {
  uint64_t packs = 0;
  uint64_t zero_weight = 0;            // may be drawn, but weigh nothing
  uint64_t gated = 0;                  // of these, synthetic and not trusted enough
  uint64_t unvalued = 0;               // tier and novelty by rule of thumb
  std::array<uint64_t, 4> excluded{};  // by Exclusion
  std::array<uint64_t, tier_count> tiers{};
  std::vector<uint64_t> groups;
};

class Sampler {
 public:
  Sampler(const SamplingConfig& config, SamplerSetup setup);

  // Adds a pack or replaces what was known of it.
  void put(const PackFacts& pack);
  bool erase(const PackKey& key);
  const PackFacts* find(const PackKey& key) const;
  size_t size() const noexcept { return live_; }

  // Errors: invalid_argument (batch out of range), not_found (no pack may be drawn; says why).
  Result<Batch> draw(const DrawRequest& request);

  PackWeight weigh(const PackFacts& pack) const;
  // What was put in, by tier and group, and who is left out. Costs a look at every pack.
  Population population() const;
  const SamplerSetup& setup() const { return setup_; }
  const SamplingConfig& config() const { return config_; }
  uint64_t memory_bytes() const;

 private:
  using Cells = std::map<uint16_t, WeightedSet>;
  struct Plan;
  class Drawing;

  uint32_t row_of(const PackKey& key) const;
  void remember(uint32_t row);
  void rehash(size_t slots);
  void place(uint32_t row);
  void unplace(uint32_t row);
  Plan plan(uint32_t batch) const;
  double base_weight(const PackFacts& pack, double urgency) const;
  double urgency(const PackFacts& pack) const;
  uint16_t cell_of(const PackFacts& pack, double urgency) const;
  Exclusion exclusion(const PackFacts& pack) const;

  SamplingConfig config_;
  SamplerSetup setup_;
  std::vector<double> emphasis_;             // by group
  std::array<uint16_t, 3> urgent_groups_{};  // bits: error, energy, mpl
  std::vector<PackFacts> rows_;
  std::vector<bool> alive_;      // by row; an erased pack keeps its row
  std::vector<uint32_t> slots_;  // key -> row + 1, open addressing
  size_t live_ = 0;
  Cells cells_;       // packs with weight
  WeightedSet idle_;  // packs with weight 0 that may be drawn, each with weight 1
};

}  // namespace drover::sampling

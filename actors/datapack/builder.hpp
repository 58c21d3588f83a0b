// The datapack builder: one finished episode becomes one valued, validated Datapack.
//
// Pure and deterministic: equal facts, baseline, preset and options give equal bytes. Every number in the pack is
// measured or computed by a formula that is named here or in econ/; what was not measured is absent and says so.
//
// Typical use, per episode, in one store transaction:
//   const Baseline baseline{rules.find(facts.task_name, facts.source_kind), state_from_store};
//   auto built = build_datapack(facts, baseline, preset);
//   if (built) { append built->pack to the journal; store built->next_state under baseline_key(...); }
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "actors/datapack/baseline.hpp"
#include "actors/datapack/facts.hpp"
#include "actors/econ/preset.hpp"
#include "messages/datapack.hpp"
#include "messages/result.hpp"

namespace drover::datapack {

struct BuildOptions {
  // Absent: 1.0 for real data of a real deployment; 0 for anything else, because nothing synthetic is trusted before
  // the trust gate has passed it.
  std::optional<double> trust_score;
  // Absent: the preset's w_econ (no lattice weighed it). The pack records which.
  std::optional<double> w_econ;
};

struct BuiltDatapack {
  Datapack pack;             // passed validate()
  BaselineState next_state;  // the baseline after this episode
};

// Errors, `where` names the field: facts that are not finite or negative, a breakdown that does not sum to its total,
// a skill trace that is empty or out of order, a baseline that is missing or zero where it divides (fixed rules only).
Result<BuiltDatapack> build_datapack(const EpisodeFacts& facts, const Baseline& baseline,
                                     const econ::EconPreset& preset, const BuildOptions& options = {});

// "dp-" and 32 hex digits of SHA-256(robot, 0, episode_id): the same episode always gets the same id.
std::string pack_id(std::string_view robot, std::string_view episode_id);

// First estimate of what a record is worth to J: |dJ|. A record far from its baseline, in either direction, teaches
// more than one that repeats it. Replaced by realised values once reconciliation has them.
double expected_delta_J(double delta_J) noexcept;

// Order of transfer and eviction: mvd_score per byte of the episode's blobs [1/byte]. 0 without an mvd_score;
// an episode without blobs counts as one byte. Never negative, never infinite.
double value_per_byte(const Datapack& pack, uint64_t blob_bytes) noexcept;

// The performance figures of an episode (MPL, error rate, EP) as the objective takes them.
econ::Performance performance_of(const EpisodeFacts& facts) noexcept;

// Robot time of an episode [h]: active_s where given, else end - start.
double robot_hours(const EpisodeFacts& facts) noexcept;

}  // namespace drover::datapack

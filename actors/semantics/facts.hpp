// EpisodeFacts: one episode as the knowledge side sees it: what was done to what, in terms of the vocabulary, and what
// came of it. Made from a rollout, its segments and primitives; the frames themselves are not needed any more. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "actors/semantics/primitive.hpp"
#include "actors/semantics/proposal.hpp"
#include "actors/semantics/rollout.hpp"
#include "actors/semantics/segment.hpp"
#include "actors/semantics/vocabulary.hpp"

namespace drover::semantics {

struct ActionFact {
  std::string key;  // segment_key, as evidence refers to it
  Label label = Label::idle;
  Outcome outcome = Outcome::success;
  Reason reason = Reason::none;
  TermId object;  // none: about nothing in particular
  std::optional<uint32_t> retry_of;
  double start_s = 0;
  double end_s = 0;
  double confidence = 0;
  bool ambiguous = false;
  bool mapped = false;  // to a concept of the ontology
  SegmentMetrics metrics;
  // Least distance of the tool to each thing of the scene that is not its own, by place in EpisodeFacts::scene; -1: not
  // seen, or its own.
  std::array<float, objects_max> near_m{-1, -1, -1, -1, -1, -1};
};

// What came of an episode, as measured afterwards.
struct OutcomeFacts {
  bool success = false;
  double damage = 0;  // errors that broke or spoilt something
  double mpl = 0;     // good units per hour
  bool operator==(const OutcomeFacts&) const = default;
};

struct EpisodeFacts {
  std::string episode_id;
  std::string pack_id;  // the datapack it became; equal to episode_id where there is none yet
  std::string robot;
  Family family = Family::other;
  Source source = Source::sima2;  // real_log for recorded episodes
  bool has_power = false;         // energies are measured
  std::vector<ActionFact> actions;
  std::vector<TermId> scene;               // what each object of the rollout is
  std::vector<TermId> objects;             // the same, each once, sorted
  std::vector<std::string> refused_words;  // said of the scene, but no terms: cleaned, bounded
  double duration_s = 0;
  double energy_Wh = 0;
  bool success = false;  // the goal was reached, as far as anybody can tell
  bool has_joints = false, has_force = false;
};

// `primitives` are those of `segments` (one each). Never fails: what cannot be said in terms is counted in
// refused_words. At most `actions_max` segments are looked at; a longer episode is cut there.
inline constexpr size_t actions_max = 4096;
EpisodeFacts gather_facts(const Rollout& rollout, std::span<const Segment> segments,
                          std::span<const Primitive> primitives, const Vocabulary& vocabulary);

// The last action that was not idle worked, and no failure after the last success: how outcome is told without a word
// from the world.
bool ended_well(std::span<const ActionFact> actions);

}  // namespace drover::semantics

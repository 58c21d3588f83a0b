// Rollout: one stream of frames with the facts of its scene; the truth of a made-up one stands beside it. Pure values.
//
// The truth is a type of its own, so that nothing that takes a Rollout can see it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "actors/semantics/frame.hpp"
#include "actors/semantics/segment.hpp"

namespace drover::semantics {

enum class Family : uint8_t {
  drawer_open,
  dish_place,
  wipe_surface,
  pick_and_place,
  sort_objects,
  // Meta tasks.
  reset_after_failure,
  inspect_scene,
  tool_change,
  other,  // recorded: the task's own name is in Rollout::task_name
};
inline constexpr size_t family_count = 8;  // those that can be generated
std::string_view family_name(Family value) noexcept;
std::optional<Family> family_from(std::string_view name) noexcept;

// Where frames come from.
enum class RolloutSource : uint8_t { sima2, physics, real_log };
std::string_view rollout_source_name(RolloutSource value) noexcept;

// A thing in the scene. What a catalogue or a camera says of it, not what happens to it.
struct ObjectInfo {
  std::string name;      // "handle"
  std::string category;  // "drawer", "plate", "vase", ...: a term of the vocabulary
  std::string geometry;  // "bar_vertical", "bowl", ...; may be empty
  std::string friction;  // low | medium | high; empty: unknown
  std::string mass;      // light | heavy; empty: unknown
  bool slides = false;   // extension_m means something
};

// Features of what the camera sees, at a fixed stride; unit vectors (Euclidean norm 1). Empty: none.
struct EmbeddingTrack {
  uint32_t dimension = 0;
  double stride_s = 0;
  std::vector<float> values;  // row after row
  size_t rows() const noexcept { return dimension == 0 ? 0 : values.size() / dimension; }
};

struct Rollout {
  std::string id;
  std::string robot;
  std::string task_name;  // the family's name, or the recorded task's
  Family family = Family::other;
  RolloutSource source = RolloutSource::sima2;
  std::string world;                // where it happened, or the log's kind
  std::string outcome = "unknown";  // success | failure | unknown: what the world says of the goal
  uint32_t signals = 0;             // Signal
  uint32_t joint_count = 0;
  double rate_hz = 0;  // nominal
  std::vector<ObjectInfo> objects;
  std::vector<RolloutFrame> frames;
  EmbeddingTrack embedding;
};

// The four scripts of a generated rollout.
enum class Template : uint8_t { success, failure, recovery, mixed };
std::string_view template_name(Template value) noexcept;

struct TruthSegment {
  Label label = Label::idle;
  Outcome outcome = Outcome::success;
  Reason reason = Reason::none;
  double start_s = 0;
  double end_s = 0;
};

// What really was, for checking only.
struct GroundTruth {
  Template kind = Template::success;
  std::vector<TruthSegment> segments;
  std::string failure;     // the family's own word: locked_joint, missed_patch, ...; empty: nothing failed
  std::string recovery;    // the family's own word: wiggle_pull, ...; empty: none
  double risk = 0;         // 0..1
  double fragility = 0;    // 0..1, of the most fragile thing near the way
  double novelty = 0;      // 0..1
  bool recovered = false;  // failure, correction, success
  bool out_of_distribution = false;
  std::string oddity;       // how: visual | kinematic | temporal; empty: not at all
  bool damage = false;      // something broke
  bool lucky = false;       // high risk, success, and nothing had to be repaired
  bool black_swan = false;  // low risk, failure
};

struct LabelledRollout {
  Rollout rollout;
  GroundTruth truth;
};

}  // namespace drover::semantics

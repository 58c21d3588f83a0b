// Segment: one stretch of behaviour that was found in a stream of frames, with what came of it. Pure values.
//
// Invariants of the segments of one stream: in time order, contiguous (each starts where the one before ended), ids
// count up from 0, start_s < end_s, metrics finite, reason is not none exactly when the outcome is failure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace drover::semantics {

// The closed list of labels. Names are their spelling in every text form.
enum class Label : uint8_t {
  approach,           // free and open, towards something
  grasp,              // fingers close
  pull,               // holding what slides or swings, along its way out
  push,               // pressing against something while moving along it or shoving it
  lift,               // holding, upwards
  place,              // holding, downwards onto something
  transport,          // moving with what is held, or (where a log has no gripper) moving at all
  release,            // fingers open and the hand goes away
  collision,          // anomaly: touched hard what it should not have
  slip,               // anomaly: what was held moved in or left the gripper
  idle,               // stands still
  recovery_maneuver,  // repairs a failure before the next try
};
inline constexpr size_t label_count = 12;
std::string_view label_name(Label value) noexcept;
std::optional<Label> label_from(std::string_view name) noexcept;
inline bool is_anomaly(Label label) noexcept {
  return label == Label::collision || label == Label::slip;
}

enum class Outcome : uint8_t {
  success,
  failure,
  retry,      // the action that failed before, tried again as it was, and this time it worked
  recovered,  // the action that failed before worked after a recovery manoeuvre; or the manoeuvre itself repaired it
};
std::string_view outcome_name(Outcome value) noexcept;
std::optional<Outcome> outcome_from(std::string_view name) noexcept;

// What physics can tell of a failure. Tasks have finer words; the vocabulary maps them onto these.
enum class Reason : uint8_t {
  none,
  grasp_slip,          // the object moved in the closed gripper
  grasp_missed,        // the fingers closed on nothing
  drop,                // the object left the gripper and fell
  locked,              // pulled hard, nothing moved
  collision,           // a force spike or a contact that should not be
  misplaced,           // released, and it tilted, slid or rolled away
  insufficient_force,  // moved along a surface without pressing on it
  protective_stop,     // the robot's safety controller stopped it
  grip_lost,           // the gripper reported the loss
  abandoned,           // stopped before its effect was reached
};
inline constexpr size_t reason_count = 11;
std::string_view reason_name(Reason value) noexcept;
std::optional<Reason> reason_from(std::string_view name) noexcept;

struct SegmentMetrics {
  float duration_s = 0;
  float distance_m = 0;  // way of the tool
  float speed_m_per_s_max = 0;
  float joint_rad_per_s_max = 0;  // of the fastest joint
  float force_N_max = 0;          // at the hand
  float energy_Wh = 0;            // integral of power_W; 0 where the stream has no power
  float clearance_m_min = -1;     // tool to the nearest object that is not the segment's own; -1: nothing else seen
};

inline constexpr uint8_t no_object = 255;
inline constexpr uint32_t no_segment = UINT32_MAX;

struct Segment {
  uint32_t id = 0;  // ordinal in its rollout
  Label label = Label::idle;
  Outcome outcome = Outcome::success;
  Reason reason = Reason::none;
  uint8_t object = no_object;      // index into Rollout::objects: what it is about
  uint32_t retry_of = no_segment;  // id of the failed segment that this one repairs or tries again
  double start_s = 0;
  double end_s = 0;
  float confidence = 0;  // 0..1: how clearly the signals said so
  uint32_t first_frame = 0;
  uint32_t frame_count = 0;
  SegmentMetrics metrics;
};

// "<rollout id>/<segment id>", as evidence refers to it.
std::string segment_key(std::string_view rollout_id, uint32_t segment_id);

}  // namespace drover::semantics

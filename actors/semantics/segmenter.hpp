// Segmenter: a stream of frames becomes segments, from physics alone. Pure, streaming, bounded state.
//
// Use: begin(scene), push(frame) for each frame, finish(); segments come out through the sink as soon as they are
// certain, in order. Reads frames, which signals they have and how many joints and objects; no text of any kind.
// Invariants: see segment.hpp; the same frames and config give the same segments; no allocation per frame; memory does
// not grow with the length of the stream.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "actors/semantics/frame.hpp"
#include "actors/semantics/rollout.hpp"
#include "actors/semantics/segment.hpp"
#include "messages/result.hpp"

namespace drover::semantics {

// Every threshold; configs/semantics/segmentation.toml documents each. Defaults here equal that file.
struct SegmenterConfig {
  double gripper_change_m = 0.005;      // a change of width beyond it is a grasp or a release
  double gripper_open_m = 0.06;         // from here on the gripper counts as open
  double contact_speed_m_per_s = 0.08;  // in contact and this fast: pull, push or transport
  double idle_speed_m_per_s = 0.02;     // below it the tool stands
  double idle_joint_rad_per_s = 0.03;   // below it a joint stands (streams without a tool pose)
  double idle_after_s = 0.3;            // standing this long is idle
  double spike_N = 20;                  // a rise of the hand's force beyond it within spike_s is a collision
  double spike_s = 0.15;
  double effort_N = 8;     // holding, and this much force without motion: pulling at something locked
  double press_N = 3;      // sweeping over a surface with less is too little
  double slip_m = 0.010;   // held object moved this far relative to the closed gripper
  double lift_m = 0.015;   // height won or lost before it is a lift or a place
  double tilt_rad = 0.25;  // what was let go and tips beyond it was misplaced ...
  double shift_m = 0.025;  // ... or moves beyond it
  double decay_s = 0.15;   // shorter segments are folded into their neighbours, unless contact toggled
  double window_s = 0.1;   // over which speeds are measured
};

// Errors: invalid_argument with every problem (file, key, range).
Result<SegmenterConfig> parse_segmenter_config(std::string_view toml_text, const std::string& file);

// What the segmenter may know of a stream beside its frames.
struct StreamShape {
  uint32_t signals = 0;  // Signal
  uint32_t joint_count = 0;
  uint32_t object_count = 0;
  uint32_t sliding_objects = 0;  // bit i: object i slides
};
StreamShape shape_of(const Rollout& rollout);

class Segmenter {
 public:
  explicit Segmenter(const SegmenterConfig& config);
  ~Segmenter();
  Segmenter(Segmenter&&) noexcept;
  Segmenter& operator=(Segmenter&&) noexcept;

  // A new stream; forgets everything of the one before.
  void begin(const StreamShape& shape);
  // Segments that became certain are appended to `out`. Frames that are not finite or step back in time are dropped.
  void push(const RolloutFrame& frame, std::vector<Segment>& out);
  // The end of the stream: what is open is closed.
  void finish(std::vector<Segment>& out);

  uint64_t dropped_frames() const noexcept;

 private:
  class State;
  std::unique_ptr<State> state_;
};

// The whole rollout at once; `out` is cleared first and its capacity is used again. Same result as streaming.
void segment_rollout(Segmenter& segmenter, const Rollout& rollout, std::vector<Segment>& out);

}  // namespace drover::semantics

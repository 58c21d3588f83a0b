// SegmentTrack: the recent past of a stream, cleaned: speeds over a window, contacts without flicker, standing still
// told from moving, and where things are relative to the hand. Pure, internal to the segmenter.
//
// Streams above 130 Hz are thinned out. A frame is ready when the window after it is full, so what is read here lags
// the stream by half a window. The ring keeps `capacity` frames; nothing older is ever asked for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "actors/semantics/segmenter.hpp"

namespace drover::semantics {

using Vec = std::array<double, 3>;
inline Vec operator-(const Vec& a, const Vec& b) {
  return {a[0] - b[0], a[1] - b[1], a[2] - b[2]};
}
inline double dot(const Vec& a, const Vec& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}
double norm(const Vec& a);

struct Thing {
  Vec at_m{};
  float tilt_rad = 0;
  float extension_m = 0;
  bool visible = false;
};

// One frame of the ring.
struct Moment {
  double time_s = 0;
  uint64_t index = 0;  // in the stream, dropped frames not counted
  Vec tool_m{};
  double width_m = 0;
  double grip_N = 0;
  Vec force_N{};
  double force = 0;       // its size
  double sideways_N = 0;  // its horizontal part
  double joint = 0;       // of the fastest joint [rad/s]
  double power_W = 0;
  uint16_t raw_contacts = 0;
  uint16_t alarms = 0;
  std::array<Thing, objects_max> things{};
  // Known when the frame is ready.
  uint16_t contacts = 0;
  Vec velocity{};
  double speed = 0;       // of the tool; where there is no tool, of the fastest joint at 0.4 m
  double width_rate = 0;  // m/s
  bool still = true;
  double margin = 0;  // 0..1: how clearly its label was told; written by the segmenter
};

class SegmentTrack {
 public:
  static constexpr uint64_t capacity = 256;

  void begin(const SegmenterConfig& config, const StreamShape& shape);
  // False: the frame is dropped (not finite, or not after the one before).
  bool push(const RolloutFrame& frame);
  // The next ready frame; `at_end`: also those whose window will never be full. Null: none.
  const Moment* next_ready(bool at_end);

  uint64_t accepted() const { return accepted_; }  // frames that were not dropped, thinned out or not
  uint64_t pushed() const { return pushed_; }
  uint64_t ready() const { return ready_; }  // frames before it are ready
  uint64_t oldest() const { return pushed_ > capacity ? pushed_ - capacity : 0; }
  const Moment& at(uint64_t index) const { return ring_[index % capacity]; }
  Moment& at(uint64_t index) { return ring_[index % capacity]; }
  bool has(Signal signal) const { return (shape_.signals & signal) != 0; }
  bool slides(uint8_t thing) const { return thing < objects_max && (shape_.sliding_objects >> thing & 1) != 0; }
  size_t thing_count() const { return thing_count_; }

  // Below it the arm counts as quiet when the start of a motion is looked for: follows the sensors' noise.
  double quiet_joint() const { return quiet_joint_; }
  // The first frame after the last quiet one before `index`, not before `floor`.
  uint64_t motion_onset(uint64_t index, uint64_t floor) const;
  // The first frame from `index` on in which the arm has come to rest.
  std::optional<uint64_t> quiet_from(uint64_t index) const;
  // The slowest frame in [from, to].
  uint64_t slowest(uint64_t from, uint64_t to) const;
  // The first frame of [from, to] from where `force` grew beyond what it was; for the onset of a rise.
  uint64_t force_onset(uint64_t index, uint64_t floor, double level_N) const;
  // Where the thing was relative to the tool, averaged over up to `count` seen frames that end at `index`.
  struct Relative {
    Vec offset_m{};
    double extension_m = 0;
    double tilt_rad = 0;
    Vec at_m{};
    int count = 0;
  };
  Relative relative(uint8_t thing, uint64_t index, int count, uint64_t floor) const;
  // Standard deviation of a seen place, from its jitter while nothing moves [m].
  double seen_noise_m() const { return seen_noise_m_; }

 private:
  bool sound(const RolloutFrame& frame) const;
  void complete(uint64_t index);
  void learn_noise(const Moment& now, const Moment& before);

  SegmenterConfig config_;
  StreamShape shape_;
  size_t thing_count_ = 0;
  size_t joint_count_ = 0;
  uint64_t pushed_ = 0;
  uint64_t ready_ = 0;
  uint64_t accepted_ = 0;
  double quiet_joint_ = 0;
  double quiet_mean_ = 0;
  double seen_noise_m_ = 0;
  std::array<Moment, capacity> ring_;
};

}  // namespace drover::semantics

// The watches for what goes wrong: force spikes, things that slip, things that do not stay where they were put. Pure,
// internal to the segmenter. Each is fed every ready frame, in order.
#pragma once

#include "actors/semantics/segment_grip.hpp"
#include "actors/semantics/segment_track.hpp"

namespace drover::semantics {

// A rise of the hand's force faster than anything done on purpose.
class SpikeWatch {
 public:
  void begin(const SegmenterConfig& config) {
    *this = SpikeWatch{};
    config_ = config;
  }
  // `slips`: something is slipping out of the hand.
  void update(const SegmentTrack& track, const GripWatch& grip, bool slips, const Moment& now);
  bool active() const { return active_; }
  uint64_t onset() const { return onset_; }

 private:
  SegmenterConfig config_;
  bool active_ = false;
  uint64_t onset_ = 0;
  double closed_s_ = -1e9;  // when the fingers last closed
  double base_N_ = 0, peak_N_ = 0, since_s_ = 0;
};

// What is held stays where it is in the hand, or it slips.
class SlipWatch {
 public:
  void begin(const SegmenterConfig& config) {
    *this = SlipWatch{};
    config_ = config;
  }
  void update(const SegmentTrack& track, const GripWatch& grip, const Moment& now);
  bool active() const { return active_; }
  uint64_t onset() const { return onset_; }
  uint8_t thing() const { return thing_; }
  // Of a slip that is over or under way: it fell.
  bool fell() const { return fell_; }

 private:
  void start(const SegmentTrack& track, const Moment& now, uint64_t onset);
  void follow(const SegmentTrack& track, const GripWatch& grip, const Moment& now);

  SegmenterConfig config_;
  bool active_ = false, known_ = false, fell_ = false;
  uint8_t thing_ = no_object;
  uint64_t onset_ = 0;
  double since_s_ = 0;
  Vec offset_m_{};  // of the thing in the hand, when it was taken
  double height_m_ = 0;
  double tilt_rad_ = 0;
};

// What the hand has nothing to do with stays where it is, or something ran into it.
class BumpWatch {
 public:
  void begin() { *this = BumpWatch{}; }
  void update(const SegmentTrack& track, const GripWatch& grip, const Moment& now);
  // The thing that was bumped, only in the update in which it was noticed.
  uint8_t bumped() const { return bumped_; }

 private:
  std::array<bool, objects_max> known_{};
  std::array<double, objects_max> handled_s_ = {-1e9, -1e9, -1e9, -1e9, -1e9, -1e9};
  uint8_t bumped_ = no_object;
};

// What was let go stays where it is and as it stands, or it was misplaced.
class RestWatch {
 public:
  void begin(const SegmenterConfig& config) {
    *this = RestWatch{};
    config_ = config;
  }
  void update(const SegmentTrack& track, const GripWatch& grip, const Moment& now);
  // Only true in the update in which it was noticed.
  bool misplaced() const { return misplaced_; }
  bool tipped() const { return tipped_; }  // of the last one: it tipped over, and not only moved
  uint8_t thing() const { return thing_; }

 private:
  SegmenterConfig config_;
  bool watching_ = false, misplaced_ = false, tipped_ = false;
  uint8_t thing_ = no_object;
  double since_s_ = 0;
  Vec at_m_{};
  double tilt_rad_ = 0;
};

}  // namespace drover::semantics

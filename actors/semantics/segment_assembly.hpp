// SegmentAssembly: labels and boundaries become segments with metrics, outcomes and links from a repair to what it
// repairs. Pure, internal to the segmenter.
//
// Closed segments are held back as long as something later may still change them: the newest one always, and all from
// an unresolved recovery manoeuvre on; at most `held_max` of them.
#pragma once

#include <array>
#include <vector>

#include "actors/semantics/segment_track.hpp"

namespace drover::semantics {

// A failure that was not made good yet.
struct OpenFailure {
  enum class Stage : uint8_t { none, pending, recovering, retrying };
  Stage stage = Stage::none;
  Label action = Label::approach;  // what failed
  Reason reason = Reason::none;
  uint32_t segment = 0;
  uint8_t thing = no_object;
  bool maneuvered = false;
  bool by_alarm = false;
};

class SegmentAssembly {
 public:
  void begin(const SegmenterConfig& config, size_t thing_count);

  bool started() const { return started_; }
  Label label() const { return label_; }
  uint64_t start() const { return start_; }
  const OpenFailure& failure() const { return failure_; }
  Label last_action() const { return last_action_; }  // of the last segment that did something

  void start_with(Label label, Label plain, const SegmentTrack& track, uint64_t index);
  // The open segment ends before frame `boundary`, `label` begins there. `hard`: never folded away.
  struct Change {
    Label label = Label::idle;
    Label plain = Label::idle;  // what it would be called if nothing had failed before
    uint64_t boundary = 0;
    bool hard = false;
    Reason failed = Reason::none;  // the open segment failed so
    uint8_t thing = no_object;     // what the open segment was about
  };
  void change(const SegmentTrack& track, const Change& change, std::vector<Segment>& out);
  // The open segment (an anomaly, or one that only now shows its failure) fails so.
  void fail_open(Reason reason, uint8_t thing);
  // Physics now knows better why the open anomaly, and the action it broke, failed.
  void name_failure(Reason reason);
  bool failing() const { return reason_ != Reason::none; }  // the open segment
  // The open failure is that of the segment that is still open.
  bool failing_now() const { return failure_.stage != OpenFailure::Stage::none && failure_.segment == next_id_; }
  // The newest segment with this label, open or held back, fails so.
  void fail_recent(Label label, Label action, Reason reason, uint8_t thing);
  void repaired() { repaired_ = true; }
  void set_thing(uint8_t thing) { thing_ = thing; }
  // Counts the frames that nothing can change any more.
  void commit(const SegmentTrack& track, uint64_t up_to);
  void finish(const SegmentTrack& track, std::vector<Segment>& out);

 private:
  static constexpr size_t held_max = 32;
  struct Totals {
    double distance_m = 0, speed_max = 0, joint_max = 0, force_max = 0, energy_J = 0, margin = 0;
    uint32_t frames = 0;
    std::array<float, objects_max> nearest_m{};
    void take(const Totals& other);
  };
  struct Held {
    Segment segment;
    Label plain = Label::idle;
    Totals totals;
    uint64_t start = 0;
  };

  void open(Label label, Label plain, const SegmentTrack& track, uint64_t index);
  void close(const SegmentTrack& track, uint64_t boundary, Reason failed);
  void settle_outcome(Segment& segment);
  void write_metrics(Segment& segment) const;
  bool can_fold(const SegmentTrack& track, const Change& change) const;
  void fold(const SegmentTrack& track, const Change& change);
  bool can_reopen() const;
  Totals reopen();
  void note_failure(const Segment& closed);
  void flush(bool all, std::vector<Segment>& out);
  void add(const SegmentTrack& track, uint64_t index);
  double boundary_s(const SegmentTrack& track, uint64_t index) const;

  SegmenterConfig config_;
  size_t thing_count_ = 0;
  bool started_ = false, hard_ = false, repaired_ = false;
  Label label_ = Label::idle, plain_ = Label::idle, last_action_ = Label::approach;
  uint64_t start_ = 0, committed_ = 0, first_frame_ = 0;
  double start_s_ = 0;
  Reason reason_ = Reason::none;
  uint8_t thing_ = no_object;
  uint32_t kept_retry_of_ = no_segment;  // of a segment that was closed before
  Outcome kept_outcome_ = Outcome::success;
  Totals totals_;
  OpenFailure failure_;
  uint32_t next_id_ = 0;
  std::vector<Held> held_;
};

}  // namespace drover::semantics

// SegmentScore: how well found segments agree with what really was. Pure.
//
// Boundaries: those inside a stream; a found one counts when a true one that no other was matched to lies within the
// tolerance (nearest pairs in time order). F1 = 2*hits / (found + true). Labels: share of the time with the right one.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "actors/semantics/rollout.hpp"
#include "actors/semantics/segment.hpp"

namespace drover::semantics {

class SegmentScore {
 public:
  explicit SegmentScore(double tolerance_s = 0.1) : tolerance_s_(tolerance_s) {}

  void add(std::span<const TruthSegment> truth, std::span<const Segment> found);

  double boundary_f1() const;
  double label_accuracy() const;
  // Of true segments that failed (or repaired a failure) the share whose time is mostly covered by a found one that
  // says the same; of found ones likewise. 1 where there is none.
  double failure_recall() const { return ratio(failures_found_, failures_true_); }
  double failure_precision() const { return ratio(failures_right_, failures_said_); }
  double repair_recall() const { return ratio(repairs_found_, repairs_true_); }
  double repair_precision() const { return ratio(repairs_right_, repairs_said_); }
  uint64_t streams() const { return streams_; }
  // Seconds; [true][found].
  const std::array<std::array<double, label_count>, label_count>& confusion_s() const { return confusion_s_; }
  // A table of the confusion matrix in percent of each true label's time, labels that occur only.
  std::string table() const;

 private:
  static double ratio(uint64_t part, uint64_t whole) {
    return whole == 0 ? 1.0 : static_cast<double>(part) / static_cast<double>(whole);
  }
  void add_boundaries(std::span<const TruthSegment> truth, std::span<const Segment> found);

  double tolerance_s_;
  uint64_t streams_ = 0, true_ = 0, found_ = 0, hits_ = 0;
  uint64_t failures_true_ = 0, failures_found_ = 0, failures_said_ = 0, failures_right_ = 0;
  uint64_t repairs_true_ = 0, repairs_found_ = 0, repairs_said_ = 0, repairs_right_ = 0;
  std::array<std::array<double, label_count>, label_count> confusion_s_{};
};

}  // namespace drover::semantics

// GripWatch: what the fingers do and whether they hold something, from width, contacts and force. Pure, internal.
#pragma once

#include <cstdint>
#include <optional>

#include "actors/semantics/segment_track.hpp"

namespace drover::semantics {

class GripWatch {
 public:
  enum class Phase : uint8_t { open, closing, closed, opening };

  void begin(const SegmenterConfig& config) {
    *this = GripWatch{};
    config_ = config;
  }
  void update(const SegmentTrack& track, const Moment& now);

  Phase phase() const { return phase_; }
  uint64_t onset() const { return onset_; }  // of the last closing or opening
  bool holds() const { return holds_; }
  uint8_t thing() const { return thing_; }  // held now or last
  uint64_t closed_since() const { return closed_since_; }
  uint64_t rests_from() const { return rests_from_; }  // the first frame of the rest after a closing or opening
  // Only true in the update in which it happened.
  bool missed() const { return missed_; }        // the fingers closed on nothing
  bool lost() const { return lost_; }            // what was held is not held any more, and nobody opened
  bool dropped_open() const { return let_go_; }  // the fingers began to open with something in them

 private:
  bool grips(const SegmentTrack& track, const Moment& now);
  bool presses_on(const Moment& now) const;
  void change(const SegmentTrack& track, const Moment& now, Phase phase);
  void begin_phase(const Moment& now, Phase phase, uint64_t onset);
  std::optional<uint64_t> eased_since(const SegmentTrack& track, const Moment& now) const;
  void come_to_rest(const SegmentTrack& track, const Moment& now);
  bool rests_open(const Moment& now) const;
  bool eases(const SegmentTrack& track, const Moment& now) const;
  void while_closed(const SegmentTrack& track, const Moment& now);

  SegmenterConfig config_;
  Phase phase_ = Phase::open;
  bool started_ = false;
  bool holds_ = false, missed_ = false, lost_ = false, let_go_ = false, judged_ = false;
  uint8_t thing_ = no_object;
  uint64_t onset_ = 0, closed_since_ = 0, rests_from_ = 0;
  double first_s_ = 0, plateau_m_ = 0, hold_N_ = 0;
  int without_contact_ = 0;
};

}  // namespace drover::semantics

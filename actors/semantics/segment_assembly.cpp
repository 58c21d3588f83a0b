#include "actors/semantics/segment_assembly.hpp"

#include <algorithm>
#include <cmath>

namespace drover::semantics {
namespace {

constexpr double joule_per_Wh = 3600;
constexpr double gap_s_max = 0.05;     // a boundary lies in the middle between two frames, but not further than this
constexpr double power_gap_s_max = 2;  // no energy is made up across longer gaps
constexpr float far_m = 1e6F;
constexpr double beside_m = 0.3;  // what a standing hand looks at is within it

bool is_action(Label label) {
  return label != Label::idle && label != Label::recovery_maneuver && !is_anomaly(label);
}

}  // namespace

void SegmentAssembly::begin(const SegmenterConfig& config, size_t thing_count) {
  std::vector<Held> kept = std::move(held_);
  *this = SegmentAssembly{};
  held_ = std::move(kept);
  held_.clear();
  held_.reserve(held_max + 1);
  config_ = config;
  thing_count_ = thing_count;
}

double SegmentAssembly::boundary_s(const SegmentTrack& track, uint64_t index) const {
  const double now = track.at(index).time_s;
  if (index == 0 || index <= track.oldest()) return now;
  return now - std::min(0.5 * (now - track.at(index - 1).time_s), gap_s_max);
}

void SegmentAssembly::open(Label label, Label plain, const SegmentTrack& track, uint64_t index) {
  started_ = true;
  label_ = label;
  plain_ = plain;
  start_ = committed_ = index;
  start_s_ = boundary_s(track, index);
  first_frame_ = track.at(index).index;
  reason_ = Reason::none;
  thing_ = no_object;
  hard_ = repaired_ = false;
  kept_retry_of_ = no_segment;
  totals_ = {};
  totals_.nearest_m.fill(far_m);
}

void SegmentAssembly::start_with(Label label, Label plain, const SegmentTrack& track, uint64_t index) {
  open(label, plain, track, index);
}

void SegmentAssembly::add(const SegmentTrack& track, uint64_t index) {
  const Moment& m = track.at(index);
  const double dt = index > track.oldest() ? m.time_s - track.at(index - 1).time_s : 0;
  if (!m.still) totals_.distance_m += m.speed * dt;
  totals_.speed_max = std::max(totals_.speed_max, m.speed);
  totals_.joint_max = std::max(totals_.joint_max, m.joint);
  totals_.force_max = std::max(totals_.force_max, m.force);
  if (dt <= power_gap_s_max) totals_.energy_J += m.power_W * dt;
  totals_.margin += m.margin;
  ++totals_.frames;
  for (size_t i = 0; i < thing_count_; ++i) {
    if (!m.things[i].visible) continue;
    totals_.nearest_m[i] = std::min(totals_.nearest_m[i], static_cast<float>(norm(m.things[i].at_m - m.tool_m)));
  }
}

void SegmentAssembly::Totals::take(const Totals& other) {
  distance_m += other.distance_m;
  speed_max = std::max(speed_max, other.speed_max);
  joint_max = std::max(joint_max, other.joint_max);
  force_max = std::max(force_max, other.force_max);
  energy_J += other.energy_J;
  margin += other.margin;
  frames += other.frames;
  for (size_t i = 0; i < nearest_m.size(); ++i) nearest_m[i] = std::min(nearest_m[i], other.nearest_m[i]);
}

void SegmentAssembly::commit(const SegmentTrack& track, uint64_t up_to) {
  for (; started_ && committed_ < up_to; ++committed_) add(track, committed_);
}

void SegmentAssembly::write_metrics(Segment& s) const {
  SegmentMetrics& m = s.metrics;
  m.duration_s = static_cast<float>(s.end_s - s.start_s);
  m.distance_m = static_cast<float>(totals_.distance_m);
  m.speed_m_per_s_max = static_cast<float>(totals_.speed_max);
  m.joint_rad_per_s_max = static_cast<float>(totals_.joint_max);
  m.force_N_max = static_cast<float>(totals_.force_max);
  m.energy_Wh = static_cast<float>(totals_.energy_J / joule_per_Wh);
  float nearest = far_m;
  for (size_t i = 0; i < thing_count_; ++i)
    if (i != s.object) nearest = std::min(nearest, totals_.nearest_m[i]);
  m.clearance_m_min = nearest < far_m ? nearest : -1;
  const double margin = totals_.frames == 0 ? 0 : totals_.margin / totals_.frames;
  const double brief = m.duration_s < 2 * config_.decay_s ? 0.8 : 1.0;
  s.confidence = static_cast<float>(std::clamp((0.4 + 0.6 * margin) * brief, 0.0, 1.0));
}

// What came of a segment that ended: failed, repaired what had failed, or simply done.
void SegmentAssembly::settle_outcome(Segment& s) {
  using Stage = OpenFailure::Stage;
  s.reason = reason_;
  if (reason_ != Reason::none) {
    s.outcome = Outcome::failure;
    return;
  }
  s.outcome = Outcome::success;
  if (kept_retry_of_ != no_segment) {  // it had done so before it was opened again
    s.outcome = kept_outcome_;
    s.retry_of = kept_retry_of_;
    return;
  }
  const bool again = failure_.stage == Stage::retrying && s.label == failure_.action;
  const bool mended =
      s.label == Label::recovery_maneuver && failure_.stage == Stage::recovering && (failure_.by_alarm || repaired_);
  if (!again && !mended) return;
  s.outcome = mended || failure_.maneuvered ? Outcome::recovered : Outcome::retry;
  s.retry_of = failure_.segment;
  failure_ = {};
}

void SegmentAssembly::close(const SegmentTrack& track, uint64_t boundary, Reason failed) {
  commit(track, boundary);
  if (failed != Reason::none) reason_ = failed;
  Held held;
  Segment& s = held.segment;
  s.id = next_id_++;
  s.label = label_;
  s.object = thing_;
  s.start_s = start_s_;
  const bool last = boundary >= track.pushed();
  s.end_s = last ? track.at(boundary - 1).time_s : boundary_s(track, boundary);
  if (!(s.end_s > s.start_s)) s.end_s = std::nextafter(s.start_s, 1e300);
  s.first_frame = static_cast<uint32_t>(first_frame_);
  const uint64_t end_frame = last ? track.accepted() : track.at(boundary).index;
  s.frame_count = static_cast<uint32_t>(end_frame - first_frame_);
  if (s.object == no_object && (s.label == Label::approach || s.label == Label::idle)) {
    float nearest = s.label == Label::idle ? static_cast<float>(beside_m) : far_m;
    for (size_t i = 0; i < thing_count_; ++i) {
      if (totals_.nearest_m[i] >= nearest) continue;
      nearest = totals_.nearest_m[i];
      s.object = static_cast<uint8_t>(i);
    }
  }
  if (s.object == no_object && is_anomaly(s.label)) s.object = failure_.thing;  // what the broken action was about
  settle_outcome(s);
  write_metrics(s);
  held.plain = plain_;
  held.totals = totals_;
  held.start = start_;
  if (is_action(s.label)) last_action_ = s.label;
  held_.push_back(held);
}

bool SegmentAssembly::can_fold(const SegmentTrack& track, const Change& c) const {
  if (hard_ || c.hard || c.failed != Reason::none || reason_ != Reason::none || is_anomaly(label_)) return false;
  return boundary_s(track, c.boundary) - start_s_ < config_.decay_s;
}

// The newest closed segment is open again, without what came after it; gives what the open one had counted.
SegmentAssembly::Totals SegmentAssembly::reopen() {
  const Held before = held_.back();
  const Totals brief = totals_;
  held_.pop_back();
  --next_id_;
  label_ = before.segment.label;
  plain_ = before.plain;
  start_ = before.start;
  start_s_ = before.segment.start_s;
  first_frame_ = before.segment.first_frame;
  thing_ = before.segment.object;
  hard_ = repaired_ = false;
  reason_ = Reason::none;
  kept_retry_of_ = before.segment.retry_of;
  kept_outcome_ = before.segment.outcome;
  totals_ = before.totals;
  return brief;
}

bool SegmentAssembly::can_reopen() const {
  return !held_.empty() && held_.back().segment.outcome != Outcome::failure;
}

// A stretch too short to mean anything becomes part of what it interrupted, or of what follows.
void SegmentAssembly::fold(const SegmentTrack& track, const Change& c) {
  commit(track, c.boundary);
  if (!can_reopen() || held_.back().segment.label != c.label) {
    label_ = c.label;
    plain_ = c.plain;
    hard_ = hard_ || c.hard;
    thing_ = no_object;
    return;
  }
  const Totals brief = reopen();
  totals_.take(brief);
}

// The failure that a segment which just closed leaves behind.
void SegmentAssembly::note_failure(const Segment& closed) {
  using Stage = OpenFailure::Stage;
  if (closed.outcome != Outcome::failure || (failure_.stage != Stage::none && failure_.segment == closed.id)) return;
  const bool action = is_action(closed.label);
  // What goes wrong while something is being repaired is part of the same trouble; an anomaly follows its action.
  if (!action && failure_.stage != Stage::none) return;
  failure_ = {};
  failure_.stage = Stage::pending;
  failure_.action = action ? closed.label : last_action_;
  failure_.reason = closed.reason;
  failure_.segment = closed.id;
  failure_.thing = closed.object;
  failure_.by_alarm = closed.reason == Reason::protective_stop || closed.reason == Reason::grip_lost;
}

void SegmentAssembly::change(const SegmentTrack& track, const Change& asked, std::vector<Segment>& out) {
  using Stage = OpenFailure::Stage;
  Change c = asked;
  c.boundary = std::max(c.boundary, start_);
  if (c.thing != no_object) thing_ = c.thing;
  // What goes wrong begins with the brief change that announced it, and breaks the action before that.
  const bool announced = is_anomaly(c.label) && !is_anomaly(label_) && can_reopen() && c.failed != Reason::none &&
                         boundary_s(track, c.boundary) - start_s_ < config_.decay_s &&
                         is_action(held_.back().segment.label);
  if (announced && committed_ <= start_) {
    c.boundary = start_;
    reopen();
  }
  const bool too_short = label_ == Label::idle && !is_anomaly(c.label) && !hard_ && c.boundary > start_ &&
                         boundary_s(track, c.boundary) - start_s_ < config_.idle_after_s - 1e-6 && can_reopen();
  if (too_short) {  // the stand began later, or ended earlier, than it seemed at first: what was done goes on
    commit(track, c.boundary);
    const Totals brief = reopen();
    totals_.take(brief);
  }
  if (too_short && label_ == c.label) {
    plain_ = c.plain;
  } else if (c.boundary == start_ || can_fold(track, c)) {
    fold(track, c);
  } else {
    close(track, c.boundary, c.failed);
    note_failure(held_.back().segment);
    open(c.label, c.plain, track, c.boundary);
    hard_ = c.hard;
  }
  if (failure_.stage != Stage::none) {
    if (c.label == Label::recovery_maneuver) {
      failure_.stage = Stage::recovering;
      failure_.maneuvered = true;
    } else if (c.label == Label::approach || c.label == Label::grasp || c.label == failure_.action) {
      failure_.stage = Stage::retrying;
    }
  }
  flush(false, out);
}

void SegmentAssembly::fail_open(Reason reason, uint8_t thing) {
  reason_ = reason;
  if (thing != no_object) thing_ = thing;
}

void SegmentAssembly::name_failure(Reason reason) {
  reason_ = reason;
  if (failure_.stage == OpenFailure::Stage::none) return;
  failure_.reason = reason;
  for (Held& held : held_)
    if (held.segment.id == failure_.segment) held.segment.reason = reason;
}

void SegmentAssembly::fail_recent(Label label, Label action, Reason reason, uint8_t thing) {
  uint32_t id = next_id_;
  if (label_ == label) {
    fail_open(reason, thing);
  } else if (!held_.empty() && held_.back().segment.label == label) {
    Segment& s = held_.back().segment;
    s.outcome = Outcome::failure;
    s.retry_of = no_segment;
    s.reason = reason;
    s.object = thing;
    id = s.id;
  } else {
    return;
  }
  failure_ = {};
  failure_.stage = OpenFailure::Stage::pending;
  failure_.action = action;
  failure_.reason = reason;
  failure_.segment = id;
  failure_.thing = thing;
}

// Hands out what nothing can change any more.
void SegmentAssembly::flush(bool all, std::vector<Segment>& out) {
  size_t keep = all ? held_.size() : held_.size() - std::min<size_t>(held_.size(), 1);
  if (!all && failure_.stage == OpenFailure::Stage::recovering) {
    for (size_t i = 0; i < keep; ++i)
      if (held_[i].segment.label == Label::recovery_maneuver) keep = i;
  }
  if (held_.size() > held_max) keep = std::max(keep, held_.size() - held_max);
  for (size_t i = 0; i < keep; ++i) out.push_back(held_[i].segment);
  held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(keep));
}

void SegmentAssembly::finish(const SegmentTrack& track, std::vector<Segment>& out) {
  if (!started_) return;
  const bool unresolved = failure_.stage == OpenFailure::Stage::recovering && !failure_.by_alarm && !repaired_;
  close(track, track.pushed(), Reason::none);
  // Nothing was tried after it: the hand only went away.
  if (unresolved)
    for (Held& held : held_)
      if (held.segment.label == Label::recovery_maneuver && held.segment.outcome == Outcome::success)
        held.segment.label = held.plain;
  flush(true, out);
}

}  // namespace drover::semantics

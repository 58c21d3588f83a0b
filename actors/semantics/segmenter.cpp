#include "actors/semantics/segmenter.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "actors/semantics/segment_assembly.hpp"
#include "actors/semantics/segment_events.hpp"
#include "actors/semantics/segment_grip.hpp"
#include "actors/semantics/segment_track.hpp"

namespace drover::semantics {
namespace {

constexpr uint64_t commit_lag = 200;  // frames that a boundary may still move back over
constexpr double confirm_s = 0.08;    // a new label must hold this long
constexpr double confirm_repair_held_s = 0.12;
constexpr double slow_stream_s = 0.2;  // frames further apart count at once
constexpr double steep = 0.75;         // share of the speed that is vertical in a lift or a place
constexpr double flat = 0.6;
constexpr double towards_min = 0.5;  // cosine between the motion and the way to a thing, or the way that failed
constexpr double again_min = 0.6;    // ... or between the motion and the approach that failed
constexpr double turned_cosine = 0.3;
constexpr double near_m = 0.01;     // nearer than this there is no way to it
constexpr double gained_m = 0.004;  // extension that shows that something slides
constexpr double locked_s_min = 0.25;
constexpr double thin_share = 0.25;  // of a sweep without pressure that makes it insufficient
constexpr double weak_share = 0.4;   // of a whole effort: something is pulled at
constexpr double weak_s_max = 0.6;
constexpr double thin_s_min = 0.25;
constexpr uint16_t thing_bits = (1u << objects_max) - 1;

bool moving_label(Label label) {
  return label != Label::idle && label != Label::grasp && !is_anomaly(label);
}

}  // namespace

class Segmenter::State {
 public:
  explicit State(const SegmenterConfig& config) : config_(config) {}

  void begin(const StreamShape& shape);
  void push(const RolloutFrame& frame, std::vector<Segment>& out);
  void finish(std::vector<Segment>& out);
  uint64_t dropped = 0;

 private:
  struct Reading {
    std::optional<Label> plain;  // nothing: no opinion, what runs goes on
    double margin = 0.5;
  };
  struct Candidate {
    Label label = Label::idle;
    uint64_t first = 0;
    bool alive = false;
  };

  void decide(const Moment& now, std::vector<Segment>& out);
  void weigh(Label label, Label plain, const Moment& now, std::vector<Segment>& out);
  void watch(const Moment& now);
  void watch_effort(const Moment& now);
  void steer(const Moment& now);
  Reading read(const Moment& now);
  Reading read_holding(const Moment& now);
  Reading read_free(const Moment& now);
  Reading read_bare(const Moment& now) const;
  double towards(const Moment& now, uint8_t thing) const;
  double towards_best(const Moment& now) const;
  std::optional<Label> mapped(Label plain, const Moment& now);
  bool confirmed(const Candidate& candidate, const Moment& now) const;
  bool at_once(Label label) const;
  uint64_t boundary(Label label, const Candidate& candidate) const;
  void take(Label label, Label plain, const Moment& now, std::vector<Segment>& out);
  Reason verdict(const Moment& now) const;
  Reason anomaly_reason() const;
  void follow(const Moment& now);
  double extension(uint64_t index, uint64_t floor) const;
  bool at_hand(Label label) const {
    return label != Label::approach && label != Label::idle && !is_anomaly(label) &&
           (label != Label::push || grip_.holds());
  }
  bool stage(OpenFailure::Stage value) const { return assembly_.failure().stage == value; }

  SegmenterConfig config_;
  StreamShape shape_;
  SegmentTrack track_;
  GripWatch grip_;
  SpikeWatch spike_;
  SlipWatch slip_;
  RestWatch rest_;
  BumpWatch bump_;
  SegmentAssembly assembly_;
  Candidate candidate_;
  uint64_t last_match_ = 0;   // the newest frame that agreed with the open label
  uint64_t stood_since_ = 0;  // first frame of the arm's present standing still, whatever the fingers do
  uint64_t busy_until_ = 0;   // first frame after anything else that is not idle
  uint64_t still_since_ = 0;  // first frame of the present standing still
  bool still_ = false;
  bool retreating_ = false;                          // let go, and no new approach yet
  Vec retreat_way_{}, approach_way_{}, pull_way_{};  // unit vectors, nearly
  bool tipped_ = false;                              // what was misplaced does not stand upright
  bool went_ = false;                                // moved since it let go
  bool rested_ = false;                              // and stood still again
  // Of the open segment.
  double effort_s_ = 0, thin_s_ = 0;
  double strained_s_ = 0;  // when the hand last moved while it pulled at what does not move
  double extension_start_m_ = 0;
  uint32_t sweep_frames_ = 0, thin_frames_ = 0;
  uint64_t effort_onset_ = 0;
  bool effort_ = false, strong_ = false, fingered_ = false, rest_known_ = false;
  Vec rest_N_{};  // sideways, when the hand last rested
  double weak_since_s_ = 0;
};

void Segmenter::State::begin(const StreamShape& shape) {
  shape_ = shape;
  track_.begin(config_, shape);
  grip_.begin(config_);
  spike_.begin(config_);
  slip_.begin(config_);
  rest_.begin(config_);
  bump_.begin();
  assembly_.begin(config_, track_.thing_count());
  candidate_ = {};
  last_match_ = still_since_ = stood_since_ = busy_until_ = effort_onset_ = 0;
  still_ = tipped_ = fingered_ = retreating_ = went_ = rested_ = effort_ = strong_ = false;
  effort_s_ = thin_s_ = extension_start_m_ = strained_s_ = 0;
  rest_known_ = false;
  weak_since_s_ = 0;
  retreat_way_ = approach_way_ = pull_way_ = {};
  sweep_frames_ = thin_frames_ = 0;
  dropped = 0;
}

void Segmenter::State::push(const RolloutFrame& frame, std::vector<Segment>& out) {
  if (!track_.push(frame)) {
    ++dropped;
    return;
  }
  while (const Moment* now = track_.next_ready(false)) decide(*now, out);
}

void Segmenter::State::finish(std::vector<Segment>& out) {
  while (const Moment* now = track_.next_ready(true)) decide(*now, out);
  if (track_.pushed() == 0) return;
  if (!assembly_.started()) assembly_.start_with(Label::idle, Label::idle, track_, track_.oldest());
  const Reason failed = is_anomaly(assembly_.label()) ? Reason::none : verdict(track_.at(track_.pushed() - 1));
  if (failed != Reason::none) assembly_.fail_open(failed, grip_.thing());
  if (at_hand(assembly_.label())) assembly_.set_thing(grip_.thing());
  assembly_.finish(track_, out);
}

// ---- one frame

void Segmenter::State::decide(const Moment& now, std::vector<Segment>& out) {
  const uint64_t k = track_.ready() - 1;
  watch(now);
  const Reading reading = read(now);
  track_.at(k).margin = reading.margin;
  follow(now);
  const std::optional<Label> label = reading.plain ? mapped(*reading.plain, now) : std::nullopt;
  if (label) weigh(*label, *reading.plain, now, out);
  if (k > commit_lag) assembly_.commit(track_, k - commit_lag);
}

// One more frame says `label`: the open segment goes on, or another one is about to begin.
void Segmenter::State::weigh(Label label, Label plain, const Moment& now, std::vector<Segment>& out) {
  const uint64_t k = track_.ready() - 1;
  if (!assembly_.started()) {
    assembly_.start_with(label, plain, track_, track_.oldest());
    if (is_anomaly(label)) assembly_.fail_open(anomaly_reason(), grip_.thing());
    last_match_ = k;
  } else if (label == assembly_.label()) {
    candidate_.alive = false;
    last_match_ = k;
  } else {
    if (!candidate_.alive || candidate_.label != label) candidate_ = {label, k, true};
    if (at_once(label) || confirmed(candidate_, now)) take(label, plain, now, out);
  }
}

void Segmenter::State::watch(const Moment& now) {
  const uint64_t k = track_.ready() - 1;
  grip_.update(track_, now);
  spike_.update(track_, grip_, slip_.active(), now);
  slip_.update(track_, grip_, now);
  rest_.update(track_, grip_, now);
  bump_.update(track_, grip_, now);
  watch_effort(now);
  const bool fingers = grip_.phase() == GripWatch::Phase::closing || grip_.phase() == GripWatch::Phase::opening;
  const bool busy = effort_ || fingers || spike_.active() || slip_.active() || now.alarms != 0;
  const bool still = now.still && !busy;
  // A weak pull that nothing came of is part of the standing; all else that keeps busy is not.
  if (strong_ || fingers || spike_.active() || slip_.active() || now.alarms != 0)
    busy_until_ = k + 1;
  else if (fingered_ && busy_until_ == k)
    busy_until_ = grip_.rests_from();  // the fingers had come to rest some frames before that was clear
  if (!now.still) stood_since_ = k + 1;
  if (still && !still_) still_since_ = fingered_ ? std::max(grip_.rests_from(), stood_since_) : k;
  fingered_ = fingers;
  still_ = still;
  if (grip_.dropped_open()) {
    retreating_ = true;
    rested_ = went_ = false;
  }
  if (!now.still && (!busy || effort_)) steer(now);
  if (still && went_) rested_ = true;
  if (grip_.missed()) assembly_.fail_recent(Label::grasp, Label::grasp, Reason::grasp_missed, no_object);
  // Running into something while moving something breaks off what was being done.
  const Label doing = assembly_.label();
  const bool moving =
      doing == Label::pull || doing == Label::transport || doing == Label::lift || doing == Label::place;
  if (bump_.bumped() != no_object && moving && stage(OpenFailure::Stage::none))
    assembly_.fail_open(Reason::collision, grip_.thing());
  if (rest_.misplaced()) {
    assembly_.fail_recent(Label::release, Label::place, Reason::misplaced, rest_.thing());
    tipped_ = rest_.tipped();
  }
  const OpenFailure& failure = assembly_.failure();
  if (failure.stage == OpenFailure::Stage::recovering && failure.reason == Reason::misplaced && tipped_) {
    const auto seen = track_.relative(failure.thing, k, 2, 0);
    if (seen.count > 0 && seen.tilt_rad < 0.5 * config_.tilt_rad) assembly_.repaired();
  }
}

// Pulling at what slides shows in the force before it shows in motion: in the change of the force since the hand last
// rested, for fingers that closed, and a motion that ended, leave tensions behind. What relaxes is no effort. A weak
// pull counts for a while only.
void Segmenter::State::watch_effort(const Moment& now) {
  const uint64_t k = track_.ready() - 1;
  if (!grip_.holds() || !track_.slides(grip_.thing())) {
    effort_ = strong_ = rest_known_ = false;
    return;
  }
  if (assembly_.label() != Label::pull && now.still) extension_start_m_ = extension(k, grip_.closed_since());
  const double closed_s = track_.at(std::max(grip_.closed_since(), track_.oldest())).time_s;
  const Vec sideways = {now.force_N[0], now.force_N[1], 0};
  const double limit_m = gained_m + 2 * track_.seen_noise_m();
  const bool came = extension(k, grip_.closed_since()) - extension_start_m_ > limit_m;
  const bool settled = now.time_s - closed_s > config_.spike_s;
  if (!rest_known_ || came || norm(sideways) < norm(rest_N_)) rest_N_ = sideways;
  rest_known_ = true;
  const Vec gained = sideways - rest_N_;
  // What slides pulls back: force against the way it was pulled last does not count when it turns round.
  const double pull_N = dot(gained, pull_way_) > 0 ? 0 : norm(gained);
  const bool weak = settled && pull_N > weak_share * config_.effort_N;
  if (!weak) weak_since_s_ = now.time_s;
  // Standing with a tension that is left over after something came is standing.
  strong_ = settled && !came && pull_N > config_.effort_N;
  const bool effort = strong_ || (weak && !came && now.time_s - weak_since_s_ < weak_s_max);
  if (effort && !effort_) {
    const auto gained_at = [&](uint64_t i) {
      return norm(Vec{track_.at(i).force_N[0], track_.at(i).force_N[1], 0} - rest_N_);
    };
    effort_onset_ = k;
    const uint64_t floor = std::max(grip_.closed_since(), track_.oldest());
    while (effort_onset_ > floor && gained_at(effort_onset_ - 1) > 0.4 * weak_share * config_.effort_N) --effort_onset_;
  }
  effort_ = effort;
}

// Remembers which way the hand goes, to know when it turns round or goes the same way again.
void Segmenter::State::steer(const Moment& now) {
  if (now.speed < 2 * config_.idle_speed_m_per_s) return;
  Vec way = now.velocity;
  for (double& v : way) v /= now.speed;
  const Label label = assembly_.label();
  if (retreating_) {
    if (!went_) retreat_way_ = way;
    if (dot(retreat_way_, way) < turned_cosine) rested_ = true;
    went_ = true;
  }
  if (label == Label::pull && now.speed > 2 * config_.idle_speed_m_per_s && dot(way, pull_way_) > -0.5) pull_way_ = way;
  const bool repairing = stage(OpenFailure::Stage::pending) || stage(OpenFailure::Stage::recovering);
  if (!repairing && label == Label::approach)
    for (size_t i = 0; i < 3; ++i) approach_way_[i] += 0.5 * (way[i] - approach_way_[i]);
}

// What the open segment collects for its verdict.
void Segmenter::State::follow(const Moment& now) {
  const uint64_t k = track_.ready() - 1;
  const double dt = k > track_.oldest() ? now.time_s - track_.at(k - 1).time_s : 0;
  if (strong_) effort_s_ += dt;
  if (assembly_.label() == Label::push && !now.still) {
    ++sweep_frames_;
    if (now.force < config_.press_N) {
      ++thin_frames_;
      thin_s_ += dt;
    }
  }
}

// ---- what a frame looks like

Segmenter::State::Reading Segmenter::State::read(const Moment& now) {
  if ((now.alarms & alarm_protective_stop) != 0) return {Label::collision, 1};
  if ((now.alarms & alarm_grip_lost) != 0) return {Label::slip, 1};
  if (spike_.active()) return {Label::collision, 1};
  if (grip_.phase() == GripWatch::Phase::closing) return {Label::grasp, 1};
  if (grip_.phase() == GripWatch::Phase::opening) return {Label::release, 1};
  if (slip_.active()) return {Label::slip, 0.9};
  if (still_) {
    const auto quiet = track_.quiet_from(still_since_);
    if (!quiet) return {std::nullopt, 0.8};
    // Half the way to the frame before counts: the hand may have stood since then.
    const double before = *quiet > track_.oldest() ? track_.at(*quiet - 1).time_s : now.time_s;
    const double since = 0.5 * (before + track_.at(*quiet).time_s);
    const double margin = std::clamp(1 - now.joint / config_.idle_joint_rad_per_s, 0.3, 1.0);
    if (now.time_s - std::min(since, now.time_s) >= config_.idle_after_s) return {Label::idle, margin};
    return {std::nullopt, 0.8};
  }
  if (!track_.has(signal_tool)) return read_bare(now);
  return grip_.holds() ? read_holding(now) : read_free(now);
}

// Only joints: moving is transport.
Segmenter::State::Reading Segmenter::State::read_bare(const Moment& now) const {
  return {Label::transport, std::clamp(now.joint / (5 * config_.idle_joint_rad_per_s), 0.2, 0.8)};
}

double Segmenter::State::extension(uint64_t index, uint64_t floor) const {
  return track_.relative(grip_.thing(), index, 3, floor).extension_m;
}

Segmenter::State::Reading Segmenter::State::read_holding(const Moment& now) {
  const uint64_t onset = track_.motion_onset(track_.ready() - 1, std::max(assembly_.start(), grip_.closed_since()));
  const bool fast = now.speed >= config_.contact_speed_m_per_s;
  const bool far = norm(now.tool_m - track_.at(onset).tool_m) > config_.lift_m;
  const double margin = std::clamp(now.speed / (2 * config_.contact_speed_m_per_s), 0.3, 1.0);
  if (track_.slides(grip_.thing())) {
    if (!fast && !far && !effort_ && assembly_.label() != Label::pull) return {std::nullopt, 0.5};
    if (now.speed < config_.idle_speed_m_per_s && !effort_) return {std::nullopt, 0.5};
    const bool back = dot(now.velocity, pull_way_) < -0.5 * now.speed && now.speed > config_.idle_speed_m_per_s;
    return {back ? Label::push : Label::pull, margin};
  }
  const double vertical = now.velocity[2] / std::max(now.speed, 1e-9);
  if ((now.contacts & contact_environment) != 0 && std::abs(vertical) < steep) return {Label::push, margin};
  if (!fast && !far) return {std::nullopt, 0.4};
  if (std::abs(vertical) > steep) return {vertical > 0 ? Label::lift : Label::place, margin * std::abs(vertical)};
  if (std::abs(vertical) < flat) return {Label::transport, margin * std::sqrt(1 - vertical * vertical)};
  return {std::nullopt, 0.3};
}

double Segmenter::State::towards(const Moment& now, uint8_t thing) const {
  if (thing >= track_.thing_count() || now.speed <= 0) return -1;
  const Vec way = now.things[thing].at_m - now.tool_m;
  const double far = norm(way);
  return far < near_m ? 0.0 : dot(now.velocity, way) / (far * now.speed);
}

double Segmenter::State::towards_best(const Moment& now) const {
  double best = -1;
  for (size_t i = 0; i < track_.thing_count(); ++i) best = std::max(best, towards(now, static_cast<uint8_t>(i)));
  return best;
}

Segmenter::State::Reading Segmenter::State::read_free(const Moment& now) {
  using Stage = OpenFailure::Stage;
  const bool open = now.width_m >= config_.gripper_open_m || !track_.has(signal_gripper);
  const bool touches = (now.contacts & (thing_bits | contact_environment)) != 0;
  if (touches && now.speed >= 0.5 * config_.contact_speed_m_per_s) return {Label::push, 0.6};
  if (now.speed < config_.idle_speed_m_per_s) return {std::nullopt, 0.4};
  const OpenFailure& failure = assembly_.failure();
  const bool repairing = failure.stage == Stage::pending || failure.stage == Stage::recovering;
  const bool aimed = failure.thing < track_.thing_count();
  const bool failed_coming = repairing && failure.action == Label::approach;
  const double best = failed_coming        ? dot(now.velocity, approach_way_) / now.speed
                      : repairing && aimed ? towards(now, failure.thing)
                                           : towards_best(now);
  const double margin = std::clamp(0.5 + 0.5 * best, 0.2, 1.0);
  if (repairing) {
    if (open && best > towards_min) return {Label::approach, margin};
    return {Label::release, 0.7};
  }
  if (retreating_) {
    if (open && rested_ && best > towards_min) return {Label::approach, margin};
    return {Label::release, 0.8};
  }
  return {Label::approach, open ? margin : 0.3};
}

// ---- what it means after a failure

// Until the next try, what the hand does after a failure is the manoeuvre that repairs it.
std::optional<Label> Segmenter::State::mapped(Label plain, const Moment& now) {
  using Stage = OpenFailure::Stage;
  const OpenFailure& failure = assembly_.failure();
  const bool breaking = assembly_.failing() && !is_anomaly(assembly_.label());
  if ((failure.stage == Stage::none || failure.stage == Stage::retrying) && !breaking) return plain;
  if ((assembly_.failing_now() || breaking) && plain == assembly_.label()) return plain;
  if (plain == Label::idle || is_anomaly(plain)) return plain;
  if (failure.by_alarm) return Label::recovery_maneuver;
  if (plain == Label::approach || plain == Label::grasp) return plain;
  if (breaking || plain != failure.action) return Label::recovery_maneuver;
  if (plain != Label::pull || !grip_.holds()) return plain;
  // Pulling again shows in what moves, or in pulling on without moving; short stops are part of a wiggle.
  const uint64_t k = track_.ready() - 1;
  const double limit_m = gained_m + 2 * track_.seen_noise_m();
  const bool forward = dot(now.velocity, pull_way_) >= 0;
  if (forward && extension(k, grip_.closed_since()) - extension_start_m_ > limit_m) return plain;
  if (!now.still) {
    strained_s_ = now.time_s;
    return Label::recovery_maneuver;
  }
  return now.time_s - strained_s_ > 2 * locked_s_min ? std::optional(plain) : std::nullopt;
}

// ---- from labels to segments

bool Segmenter::State::at_once(Label label) const {
  const bool fingers = label == Label::grasp || (grip_.phase() == GripWatch::Phase::opening &&
                                                 (label == Label::release || label == Label::recovery_maneuver));
  return fingers || is_anomaly(label) || label == Label::idle;
}

bool Segmenter::State::confirmed(const Candidate& candidate, const Moment& now) const {
  const Moment& first = track_.at(candidate.first);
  const uint64_t k = track_.ready() - 1;
  const double dt = k > track_.oldest() ? now.time_s - track_.at(k - 1).time_s : 0;
  if (dt > slow_stream_s) return true;
  const bool repairs_held = candidate.label == Label::recovery_maneuver && grip_.holds();
  return k > candidate.first && now.time_s - first.time_s >= (repairs_held ? confirm_repair_held_s : confirm_s) - 1e-6;
}

uint64_t Segmenter::State::boundary(Label label, const Candidate& candidate) const {
  const uint64_t floor = std::max(assembly_.start(), track_.oldest());
  if (grip_.phase() == GripWatch::Phase::closing && label == Label::grasp) return std::max(floor, grip_.onset());
  if (grip_.phase() == GripWatch::Phase::opening && at_once(label) && label != Label::idle && !is_anomaly(label))
    return std::max(floor, grip_.onset());
  if (label == Label::idle) {
    const uint64_t stood = std::max(stood_since_, busy_until_);
    return std::max(floor, track_.quiet_from(stood).value_or(stood));
  }
  if (label == Label::collision) return spike_.active() ? std::max(floor, spike_.onset()) : candidate.first;
  if (label == Label::slip) return slip_.active() ? std::max(floor, slip_.onset()) : candidate.first;
  if (effort_ && label == Label::pull) {
    const uint64_t onset = track_.motion_onset(candidate.first, std::max(floor, grip_.closed_since()));
    return std::max(floor, std::min(onset, std::max(effort_onset_, floor)));
  }
  const uint64_t first = candidate.first;
  if (first > floor && track_.at(first).contacts != track_.at(first - 1).contacts) return first;
  const uint64_t from = std::max(floor, last_match_);
  const uint64_t onset = track_.motion_onset(first, from);
  if (onset > from || !moving_label(assembly_.label())) return std::max(onset, floor);
  // The turn lies between the slowest frame and the slower of its neighbours.
  const uint64_t slowest = track_.slowest(from, first);
  const bool later =
      slowest + 1 <= first && slowest > track_.oldest() && track_.at(slowest + 1).joint < track_.at(slowest - 1).joint;
  return std::max(floor, later ? slowest + 1 : slowest);
}

// Whether what the open segment did came to its end well.
Reason Segmenter::State::verdict(const Moment& now) const {
  switch (assembly_.label()) {
    case Label::pull: {
      if (effort_s_ < locked_s_min) return Reason::none;
      const uint64_t k = now.index == 0 ? 0 : track_.ready() - 1;
      const double gain = extension(k, track_.oldest()) - extension_start_m_;
      return gain < gained_m + 2 * track_.seen_noise_m() ? Reason::locked : Reason::none;
    }
    case Label::push:
      if (!grip_.holds() || sweep_frames_ == 0 || !track_.has(signal_force)) return Reason::none;
      return thin_s_ > thin_s_min && thin_frames_ > thin_share * sweep_frames_ ? Reason::insufficient_force
                                                                               : Reason::none;
    default:
      return Reason::none;
  }
}

Reason Segmenter::State::anomaly_reason() const {
  const Moment& now = track_.at(track_.ready() - 1);
  if ((now.alarms & alarm_protective_stop) != 0) return Reason::protective_stop;
  if ((now.alarms & alarm_grip_lost) != 0) return Reason::grip_lost;
  return spike_.active() ? Reason::collision : slip_.fell() ? Reason::drop : Reason::grasp_slip;
}

void Segmenter::State::take(Label label, Label plain, const Moment& now, std::vector<Segment>& out) {
  const uint64_t k = track_.ready() - 1;
  const Label was = assembly_.label();
  SegmentAssembly::Change change;
  change.label = label;
  change.plain = plain;
  change.boundary = boundary(label, candidate_);
  const uint64_t b = std::max(change.boundary, assembly_.start());
  change.hard = is_anomaly(label) || (b > track_.oldest() && track_.at(b).contacts != track_.at(b - 1).contacts);
  // What is held now or was held last is what the hand was busy with, but on its way to something and while it stands.
  change.thing = at_hand(was) ? grip_.thing() : no_object;
  const bool alarmed = (now.alarms & (alarm_protective_stop | alarm_grip_lost)) != 0;
  if (is_anomaly(was)) {
    if (was == Label::slip && !alarmed && slip_.fell()) assembly_.name_failure(Reason::drop);
  } else {
    change.failed = is_anomaly(label) && was != Label::idle ? anomaly_reason() : verdict(now);
    if (is_anomaly(label) && slip_.active() && !alarmed) change.thing = slip_.thing();
  }
  assembly_.change(track_, change, out);
  if (is_anomaly(label)) assembly_.fail_open(anomaly_reason(), grip_.thing());
  if (label == Label::approach) {
    retreating_ = false;
    approach_way_ = {};
  }
  if (label == Label::pull || was == Label::pull)
    extension_start_m_ = extension(std::max(b, track_.oldest()), track_.oldest());
  effort_s_ = thin_s_ = 0;
  sweep_frames_ = thin_frames_ = 0;
  candidate_.alive = false;
  last_match_ = k;
}

// ---- the public face

Segmenter::Segmenter(const SegmenterConfig& config) : state_(std::make_unique<State>(config)) {
  state_->begin({});
}
Segmenter::~Segmenter() = default;
Segmenter::Segmenter(Segmenter&&) noexcept = default;
Segmenter& Segmenter::operator=(Segmenter&&) noexcept = default;

void Segmenter::begin(const StreamShape& shape) {
  state_->begin(shape);
}
void Segmenter::push(const RolloutFrame& frame, std::vector<Segment>& out) {
  state_->push(frame, out);
}
void Segmenter::finish(std::vector<Segment>& out) {
  state_->finish(out);
}
uint64_t Segmenter::dropped_frames() const noexcept {
  return state_->dropped;
}

StreamShape shape_of(const Rollout& rollout) {
  StreamShape shape;
  shape.signals = rollout.signals;
  shape.joint_count = rollout.joint_count;
  shape.object_count = static_cast<uint32_t>(std::min(rollout.objects.size(), objects_max));
  for (uint32_t i = 0; i < shape.object_count; ++i)
    if (rollout.objects[i].slides) shape.sliding_objects |= 1u << i;
  return shape;
}

void segment_rollout(Segmenter& segmenter, const Rollout& rollout, std::vector<Segment>& out) {
  out.clear();
  segmenter.begin(shape_of(rollout));
  for (const RolloutFrame& frame : rollout.frames) segmenter.push(frame, out);
  segmenter.finish(out);
}

}  // namespace drover::semantics

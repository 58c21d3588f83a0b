#include "actors/semantics/segment_grip.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>

namespace drover::semantics {
namespace {

constexpr double jitter_m = 0.0015;     // of a width that rests
constexpr double rate_m_per_s = 0.012;  // fingers slower than this have come to rest
constexpr double rest_m_per_s = 0.003;  // so slow that nothing closes
constexpr double settle_s = 0.2;        // until then fingers that closed may still meet something
constexpr double eased_share = 0.93;
constexpr double rest_share = 0.1;
constexpr double pressing_share = 0.15;    // a force that still grows by more per frame: the fingers still close
constexpr double letting_go_share = 0.85;  // fingers that press less than this, and less and less, open
constexpr double falling_share = 0.01;     // of the force, per frame
constexpr double lost_share = 0.4;         // from one frame to the next
constexpr uint64_t falling_frames = 3;
constexpr double grip_N_min = 1.5;
constexpr double width_m_min = 0.003;  // closed further than this they hold nothing
constexpr double shake_s = 0.15;
constexpr int frames_without_contact = 2;
constexpr double reach_m = 0.08;  // what is held is within it
constexpr uint16_t thing_bits = (1u << objects_max) - 1;

}  // namespace

// Fingers that press as before at the width they had still hold what they held, whatever else is near by now.
bool GripWatch::presses_on(const Moment& now) const {
  return hold_N_ > grip_N_min && now.grip_N > 0.5 * hold_N_ &&
         std::abs(now.width_m - plateau_m_) < config_.gripper_change_m;
}

// Whether something is between the fingers; learns what.
bool GripWatch::grips(const SegmentTrack& track, const Moment& now) {
  if (track.has(signal_contacts)) {
    const uint16_t touched = now.contacts & thing_bits;
    if (touched == 0 || (now.grip_N > 0 && now.width_m < width_m_min)) return false;
    if (holds_) return (touched >> thing_ & 1) != 0 || presses_on(now);
    thing_ = static_cast<uint8_t>(std::countr_zero(touched));
    return true;
  }
  if (now.width_m < width_m_min && now.grip_N < grip_N_min) return false;
  if (holds_) return true;
  thing_ = no_object;
  double nearest = reach_m;
  for (size_t i = 0; i < track.thing_count(); ++i) {
    const double far = norm(now.things[i].at_m - now.tool_m);
    if (!now.things[i].visible || far >= nearest) continue;
    nearest = far;
    thing_ = static_cast<uint8_t>(i);
  }
  return true;
}

// The last frame before the fingers' force began to fall, frame after frame, while their width stays: they are letting
// go, long before their width shows it. Nothing: they are not.
std::optional<uint64_t> GripWatch::eased_since(const SegmentTrack& track, const Moment& now) const {
  if (!holds_ || hold_N_ <= grip_N_min || now.grip_N >= letting_go_share * hold_N_) return std::nullopt;
  if (plateau_m_ - now.width_m > jitter_m) return std::nullopt;  // something slips out
  uint64_t k = track.ready() - 1;
  const uint64_t newest = k, floor = std::max(track.oldest(), closed_since_);
  for (; k > floor; --k) {
    const double fallen_N = track.at(k - 1).grip_N - track.at(k).grip_N;
    if (fallen_N > lost_share * hold_N_) return std::nullopt;  // gone at once: it was lost
    if (fallen_N <= falling_share * hold_N_) break;
  }
  // Noise falls too: it went on falling after it was less already.
  if (newest - k < falling_frames || track.at(newest - 1).grip_N > letting_go_share * hold_N_) return std::nullopt;
  return k;
}

void GripWatch::change(const SegmentTrack& track, const Moment& now, Phase phase) {
  const double sign = phase == Phase::closing ? 1 : -1;
  uint64_t k = track.ready() - 1;
  const uint64_t floor = std::max(track.oldest(), closed_since_);
  while (k > floor && sign * (plateau_m_ - track.at(k - 1).width_m) > jitter_m) --k;
  // Fingers that let go first press less.
  const bool pressed = phase == Phase::opening && holds_ && hold_N_ > grip_N_min;
  while (pressed && k > floor && track.at(k - 1).grip_N < eased_share * hold_N_) --k;
  begin_phase(now, phase, k);
}

void GripWatch::begin_phase(const Moment& now, Phase phase, uint64_t onset) {
  onset_ = onset;
  phase_ = phase;
  if (phase == Phase::opening) {
    let_go_ = holds_;
    holds_ = false;
  }
  plateau_m_ = now.width_m;
}

// A hand that shook at first, and rests at another width now, is open as it rests.
bool GripWatch::rests_open(const Moment& now) const {
  return phase_ == Phase::open && std::abs(now.width_rate) < rest_m_per_s;
}

// Since when the fingers have had the width, and press as they do now.
void GripWatch::come_to_rest(const SegmentTrack& track, const Moment& now) {
  rests_from_ = track.ready() - 1;
  const double limit_N = rest_share * std::max(now.grip_N, grip_N_min);
  const auto same = [&](const Moment& m) {
    const bool presses = phase_ != Phase::closed || std::abs(m.grip_N - now.grip_N) < limit_N;
    return presses && std::abs(m.width_m - now.width_m) < jitter_m;
  };
  while (rests_from_ > std::max(onset_, track.oldest()) && same(track.at(rests_from_ - 1))) --rests_from_;
}

bool GripWatch::eases(const SegmentTrack& track, const Moment& now) const {
  const uint64_t k = track.ready() - 1;
  return k > track.oldest() && now.grip_N > grip_N_min && track.at(k - 1).grip_N > now.grip_N + falling_share * hold_N_;
}

void GripWatch::while_closed(const SegmentTrack& track, const Moment& now) {
  if (!judged_) {
    holds_ = grips(track, now);
    const bool settled = now.time_s - track.at(std::max(closed_since_, track.oldest())).time_s >= settle_s;
    judged_ = holds_ || settled;
    missed_ = judged_ && !holds_;
    return;
  }
  if (!holds_) return;
  if (now.grip_N > eased_share * hold_N_) hold_N_ += 0.3 * (now.grip_N - hold_N_);
  const bool squeezed = plateau_m_ - now.width_m > config_.gripper_change_m;
  without_contact_ = grips(track, now) ? 0 : without_contact_ + 1;
  if (!squeezed && without_contact_ < frames_without_contact) return;
  if (!squeezed && now.width_m - plateau_m_ > jitter_m) return;  // the fingers are opening
  lost_ = true;
  holds_ = false;
}

void GripWatch::update(const SegmentTrack& track, const Moment& now) {
  missed_ = lost_ = let_go_ = false;
  if (!track.has(signal_gripper)) return;
  const uint64_t k = track.ready() - 1;
  if (!started_) {
    started_ = true;
    first_s_ = now.time_s;
    plateau_m_ = now.width_m;
    onset_ = closed_since_ = k;
  }
  // The first moments of a stream may still be shaking; they are no finger's doing.
  if (now.time_s - first_s_ < shake_s) plateau_m_ = now.width_m;
  // A stream may begin with something in the hand, and with a flicker of its contact.
  if (phase_ == Phase::open && now.time_s - first_s_ <= shake_s && now.width_m < config_.gripper_open_m &&
      grips(track, now)) {
    phase_ = Phase::closed;
    holds_ = judged_ = true;
  }
  const double change_m = now.width_m - plateau_m_;
  switch (phase_) {
    case Phase::open:
    case Phase::closed:
      if (change_m > config_.gripper_change_m) {
        // A hand that is open already may open further; that lets go of nothing.
        if (holds_ || plateau_m_ < config_.gripper_open_m) return change(track, now, Phase::opening);
        plateau_m_ = now.width_m;
      }
      if (phase_ == Phase::closed) {
        if (const auto since = eased_since(track, now)) return begin_phase(now, Phase::opening, *since + 1);
        while_closed(track, now);
      }
      if (!holds_ && now.width_m >= config_.gripper_open_m) phase_ = Phase::open;
      if (change_m < -config_.gripper_change_m && phase_ == Phase::open &&
          (now.width_m < config_.gripper_open_m || change_m < -3 * config_.gripper_change_m))
        return change(track, now, Phase::closing);
      if (std::abs(change_m) < jitter_m || lost_ || rests_open(now)) plateau_m_ += (lost_ ? 1.0 : 0.2) * change_m;
      break;
    case Phase::closing:
      if (change_m > config_.gripper_change_m) return change(track, now, Phase::opening);
      plateau_m_ = std::min(plateau_m_, now.width_m);
      if (now.width_rate > -rate_m_per_s && k > onset_ &&
          now.grip_N - track.at(k - 1).grip_N < pressing_share * std::max(now.grip_N, grip_N_min)) {
        phase_ = Phase::closed;
        plateau_m_ = now.width_m;
        closed_since_ = k;
        come_to_rest(track, now);
        judged_ = holds_ = false;
        hold_N_ = 0;
        without_contact_ = 0;
        while_closed(track, now);
      }
      break;
    case Phase::opening:
      if (change_m < -config_.gripper_change_m) return change(track, now, Phase::closing);
      plateau_m_ = std::max(plateau_m_, now.width_m);
      if (now.width_rate < rate_m_per_s && k > onset_ && !(eases(track, now))) {
        phase_ = now.width_m >= width_m_min ? Phase::open : Phase::closed;
        plateau_m_ = now.width_m;
        closed_since_ = k;
        come_to_rest(track, now);
      }
      break;
  }
}

}  // namespace drover::semantics

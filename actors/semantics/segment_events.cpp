#include "actors/semantics/segment_events.hpp"

#include <algorithm>
#include <cmath>

namespace drover::semantics {
namespace {

constexpr double spike_s_max = 1.5;  // pressing on longer is not a spike any more
constexpr double spike_end_share = 0.4;
constexpr double slip_s_min = 0.1;
constexpr double slip_s_max = 2.0;
constexpr double fall_m = 0.03;
constexpr double upwards_min = 0.7;  // cosine between a shift and up
constexpr double rest_s = 0.7;       // until then it may still tip
constexpr int looks = 3;
constexpr int bump_looks = 4;
constexpr double bump_m = 0.01;
constexpr double bump_rad = 0.1;
constexpr double elsewhere_share = 0.1;  // seen from elsewhere a thing seems to move by this share of the hand's way
constexpr double bump_s = 0.5;           // within this time it moved
constexpr double handled_s_min = 1.2;    // after the hand had to do with it

}  // namespace

void SpikeWatch::update(const SegmentTrack& track, const GripWatch& grip, bool slips, const Moment& now) {
  if (!track.has(signal_force)) return;
  if (slips || grip.lost()) closed_s_ = now.time_s;  // what leaves the hand shakes it
  // Fingers that close push the hand about, and so does what slides when it is pulled at.
  const bool closing = grip.phase() == GripWatch::Phase::closing;
  if (closing) closed_s_ = now.time_s;
  if (closing || slips || now.time_s - closed_s_ <= config_.spike_s || (grip.holds() && track.slides(grip.thing()))) {
    active_ = false;
    return;
  }
  if (active_) {
    peak_N_ = std::max(peak_N_, now.force);
    const bool over = now.force < base_N_ + spike_end_share * (peak_N_ - base_N_);
    if (over || now.time_s - since_s_ > spike_s_max) active_ = false;
    return;
  }
  const uint64_t k = track.ready() - 1;
  uint64_t lowest = k;
  for (uint64_t i = k; i-- > track.oldest();) {
    if (now.time_s - track.at(i).time_s > config_.spike_s + 1e-6 && i + 1 < k) break;
    if (track.at(i).force < track.at(lowest).force) lowest = i;
  }
  base_N_ = track.at(lowest).force;
  if (now.force - base_N_ <= config_.spike_N) return;
  active_ = true;
  peak_N_ = now.force;
  since_s_ = now.time_s;
  onset_ = track.force_onset(k, lowest, base_N_ + 0.15 * config_.spike_N);
}

void SlipWatch::start(const SegmentTrack& track, const Moment& now, uint64_t onset) {
  active_ = true;
  fell_ = false;
  known_ = false;
  onset_ = onset;
  since_s_ = now.time_s;
  const auto before = track.relative(thing_, onset > 0 ? onset - 1 : 0, looks, 0);
  height_m_ = before.count > 0 ? before.at_m[2] : 0;
}

void SlipWatch::follow(const SegmentTrack& track, const GripWatch& grip, const Moment& now) {
  const auto seen = track.relative(thing_, track.ready() - 1, 1, onset_);
  if (seen.count > 0 && height_m_ - seen.at_m[2] > fall_m) fell_ = true;
  const double seconds = now.time_s - since_s_;
  const bool moved_on = grip.phase() == GripWatch::Phase::opening || grip.phase() == GripWatch::Phase::closing;
  if (moved_on || seconds > slip_s_max || (now.still && seconds >= slip_s_min)) active_ = false;
}

void SlipWatch::update(const SegmentTrack& track, const GripWatch& grip, const Moment& now) {
  if (active_) return follow(track, grip, now);
  const uint64_t k = track.ready() - 1;
  if (grip.lost()) {
    thing_ = grip.thing();
    return start(track, now, k > grip.closed_since() ? k - 1 : k);
  }
  if (!grip.holds() || grip.thing() >= track.thing_count()) {
    known_ = false;
    return;
  }
  if (!known_ || thing_ != grip.thing()) {
    const auto taken = track.relative(grip.thing(), k, 2 * looks, grip.closed_since());
    if (taken.count < looks) return;
    // Further looks make it surer for as long as nothing was decided on it.
    thing_ = grip.thing();
    offset_m_ = taken.offset_m;
    tilt_rad_ = taken.tilt_rad;
    known_ = taken.count >= 2 * looks;
    return;
  }
  const auto seen = track.relative(thing_, k, looks, grip.closed_since());
  if (seen.count < looks) return;
  // What turns about the fingers, held at its rim, stays in the hand though its middle does not.
  const double turned_rad = std::min(1.0, std::abs(seen.tilt_rad - tilt_rad_));
  const double limit_m = std::max(config_.slip_m, 4 * track.seen_noise_m()) + turned_rad * norm(offset_m_);
  const Vec shift = seen.offset_m - offset_m_;
  if (norm(shift) <= limit_m) return;
  if (!track.slides(thing_) && shift[2] > upwards_min * norm(shift)) {
    // Nothing falls upwards: it stands on something, and the hand went down along it.
    offset_m_ = seen.offset_m;
    tilt_rad_ = seen.tilt_rad;
    return;
  }
  const double first_m = std::max(0.3 * config_.slip_m, 2 * track.seen_noise_m());
  uint64_t onset = k;
  while (onset > grip.closed_since() && onset > track.oldest()) {
    const auto before = track.relative(thing_, onset - 1, 1, grip.closed_since());
    if (before.count == 0 || norm(before.offset_m - offset_m_) <= first_m) break;
    --onset;
  }
  start(track, now, onset);
}

void BumpWatch::update(const SegmentTrack& track, const GripWatch& grip, const Moment& now) {
  bumped_ = no_object;
  const uint64_t k = track.ready() - 1;
  uint64_t before = k;
  while (before > track.oldest() && now.time_s - track.at(before).time_s < bump_s) --before;
  const double shift_limit_m = std::max(bump_m, 3 * track.seen_noise_m());
  for (uint8_t i = 0; i < track.thing_count(); ++i) {
    const bool at_hand = grip.thing() == i && (grip.holds() || grip.phase() != GripWatch::Phase::open);
    if (at_hand) handled_s_[i] = now.time_s;
    if (track.slides(i) || known_[i] || now.time_s - handled_s_[i] < handled_s_min) continue;
    const auto then = track.relative(i, before, bump_looks, 0);
    const auto look = track.relative(i, k, bump_looks, before);
    if (then.count < bump_looks || look.count < bump_looks) continue;
    const double limit_m = shift_limit_m + elsewhere_share * norm(now.tool_m - track.at(before).tool_m);
    if (norm(look.at_m - then.at_m) <= limit_m && look.tilt_rad - then.tilt_rad <= bump_rad) continue;
    bumped_ = i;
    known_[i] = true;  // from now on it is known to be in the way
  }
}

void RestWatch::update(const SegmentTrack& track, const GripWatch& grip, const Moment& now) {
  misplaced_ = false;
  const uint64_t k = track.ready() - 1;
  if (grip.dropped_open() && grip.thing() < track.thing_count()) {
    const auto before = track.relative(grip.thing(), grip.onset(), 1, grip.closed_since());
    watching_ = before.count > 0 && !track.slides(grip.thing());
    thing_ = grip.thing();
    since_s_ = now.time_s;
    at_m_ = before.at_m;
    tilt_rad_ = before.tilt_rad;
    return;
  }
  if (!watching_) return;
  if (now.time_s - since_s_ > rest_s || grip.holds()) {
    watching_ = false;
    return;
  }
  const auto seen = track.relative(thing_, k, 2, grip.onset());
  if (seen.count < 2) return;
  const double shift_limit_m = std::max(config_.shift_m, 5 * track.seen_noise_m());
  tipped_ = seen.tilt_rad - tilt_rad_ > config_.tilt_rad;
  if (!tipped_ && norm(seen.at_m - at_m_) <= shift_limit_m) return;
  misplaced_ = true;
  watching_ = false;
}

}  // namespace drover::semantics

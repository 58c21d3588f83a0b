#include "actors/semantics/segment_track.hpp"

#include <algorithm>
#include <cmath>

namespace drover::semantics {
namespace {

constexpr double arm_m = 0.4;  // turns joint speed into hand speed where no tool is known
constexpr float sense_max = 1e6F;
constexpr double thin_s = 0.0075;    // frames closer together than this add nothing but cost
constexpr double creep_share = 0.6;  // of the speed below which the tool stands
constexpr double quiet_floor_rad_per_s = 0.004;

Vec vec(const Point& p) {
  return {p[0], p[1], p[2]};
}

}  // namespace

double norm(const Vec& a) {
  return std::sqrt(dot(a, a));
}

void SegmentTrack::begin(const SegmenterConfig& config, const StreamShape& shape) {
  config_ = config;
  shape_ = shape;
  thing_count_ = has(signal_objects) ? std::min<size_t>(shape.object_count, objects_max) : 0;
  joint_count_ = has(signal_joints) ? std::min<size_t>(shape.joint_count, joints_max) : 0;
  pushed_ = ready_ = accepted_ = 0;
  quiet_mean_ = 0.4 * config.idle_joint_rad_per_s;
  quiet_joint_ = config.idle_joint_rad_per_s;
  seen_noise_m_ = 0.002;
}

bool SegmentTrack::sound(const RolloutFrame& frame) const {
  if (!std::isfinite(frame.time_s)) return false;
  if (pushed_ > 0 && !(frame.time_s > at(pushed_ - 1).time_s)) return false;
  // Nothing a robot senses is larger, in any SI unit; not-a-number fails the comparison too.
  bool sound = true;
  const auto check = [&sound](float value) { sound = sound && std::abs(value) < sense_max; };
  check(frame.gripper_m);
  check(frame.gripper_N);
  check(frame.power_W);
  for (size_t i = 0; i < 3; ++i) {
    check(frame.tool_m[i]);
    check(frame.force_N[i]);
  }
  for (size_t i = 0; i < joint_count_; ++i) check(frame.joint_rad_per_s[i]);
  for (size_t i = 0; i < thing_count_; ++i) {
    const ObjectState& o = frame.objects[i];
    for (float x : o.position_m) check(x);
    check(o.tilt_rad);
    check(o.extension_m);
  }
  return sound;
}

bool SegmentTrack::push(const RolloutFrame& frame) {
  if (!sound(frame)) return false;
  const uint64_t index = accepted_++;
  if (pushed_ > 0 && frame.time_s - at(pushed_ - 1).time_s < thin_s) return true;
  Moment& now = at(pushed_);
  now.time_s = frame.time_s;
  now.index = index;
  now.tool_m = vec(frame.tool_m);
  now.width_m = frame.gripper_m;
  now.grip_N = frame.gripper_N;
  now.force_N = vec(frame.force_N);
  now.force = has(signal_force) ? norm(now.force_N) : 0;
  now.sideways_N = has(signal_force) ? std::hypot(now.force_N[0], now.force_N[1]) : 0;
  now.joint = 0;
  for (size_t i = 0; i < joint_count_; ++i)
    now.joint = std::max(now.joint, std::abs(static_cast<double>(frame.joint_rad_per_s[i])));
  now.power_W = has(signal_power) ? frame.power_W : 0;
  now.raw_contacts = has(signal_contacts) ? frame.contacts : 0;
  now.alarms = has(signal_alarms) ? frame.alarms : 0;
  for (size_t i = 0; i < thing_count_; ++i) {
    const ObjectState& o = frame.objects[i];
    now.things[i] = {vec(o.position_m), o.tilt_rad, o.extension_m, o.visible != 0};
  }
  now.margin = 0;
  ++pushed_;
  return true;
}

const Moment* SegmentTrack::next_ready(bool at_end) {
  if (ready_ == pushed_) return nullptr;
  const double half_s = 0.5 * config_.window_s - 1e-6;
  const bool full = at(pushed_ - 1).time_s - at(ready_).time_s >= half_s && ready_ + 1 < pushed_;
  if (!full && !at_end) return nullptr;
  complete(ready_);
  return &at(ready_++);
}

void SegmentTrack::complete(uint64_t index) {
  Moment& now = at(index);
  const double half_s = 0.5 * config_.window_s - 1e-6;
  uint64_t first = index, last = index;
  while (first > oldest() && now.time_s - at(first).time_s < half_s) --first;
  while (last + 1 < pushed_ && at(last).time_s - now.time_s < half_s) ++last;
  const Moment& a = at(first);
  const Moment& b = at(last);
  const double dt = b.time_s - a.time_s;
  if (dt > 0) {
    now.velocity = b.tool_m - a.tool_m;
    for (double& v : now.velocity) v /= dt;
    now.width_rate = (b.width_m - a.width_m) / dt;
  } else {
    now.velocity = {};
    now.width_rate = 0;
  }
  now.speed = has(signal_tool) ? norm(now.velocity) : arm_m * now.joint;
  const bool slow_tool = !has(signal_tool) || now.speed < config_.idle_speed_m_per_s;
  // A tool that stands is still, whatever the wrist does; joints that stand are still, however noisy the tool.
  now.still = (joint_count_ > 0 && now.joint < config_.idle_joint_rad_per_s) || (has(signal_tool) && slow_tool);
  // Each contact is what two of three neighbouring frames say.
  const uint16_t before = index > oldest() ? at(index - 1).raw_contacts : now.raw_contacts;
  const uint16_t after = index + 1 < pushed_ ? at(index + 1).raw_contacts : now.raw_contacts;
  now.contacts = static_cast<uint16_t>((before & now.raw_contacts) | (now.raw_contacts & after) | (before & after));
  if (index > oldest()) learn_noise(now, at(index - 1));
}

void SegmentTrack::learn_noise(const Moment& now, const Moment& before) {
  if (!now.still || !before.still) return;
  quiet_mean_ += 0.1 * (std::min(now.joint, config_.idle_joint_rad_per_s) - quiet_mean_);
  quiet_joint_ = std::clamp(2.5 * quiet_mean_, quiet_floor_rad_per_s, config_.idle_joint_rad_per_s);
  for (size_t i = 0; i < thing_count_; ++i) {
    if (!now.things[i].visible || !before.things[i].visible) continue;
    // The size of a difference of two places with deviation s in each axis is about 2.26 s.
    const double jump = norm(now.things[i].at_m - before.things[i].at_m) / 2.26;
    seen_noise_m_ += 0.05 * (std::min(jump, 0.01) - seen_noise_m_);
  }
}

uint64_t SegmentTrack::motion_onset(uint64_t index, uint64_t floor) const {
  floor = std::max(floor, oldest());
  const bool joints = joint_count_ > 0;
  while (index > floor) {
    const Moment& m = at(index - 1);
    if (joints ? m.joint < quiet_joint_ : m.still) break;
    --index;
  }
  return index;
}

std::optional<uint64_t> SegmentTrack::quiet_from(uint64_t index) const {
  // An arm that comes to rest swings a little, and what strains against something creeps on.
  const double joint_max = std::max(quiet_joint_, config_.idle_joint_rad_per_s);
  const double speed_max = creep_share * config_.idle_speed_m_per_s;
  for (uint64_t i = std::max(index, oldest()); i < ready_; ++i)
    if (joint_count_ == 0 || at(i).joint < joint_max || (has(signal_tool) && at(i).speed < speed_max)) return i;
  return std::nullopt;
}

uint64_t SegmentTrack::slowest(uint64_t from, uint64_t to) const {
  from = std::max(from, oldest());
  uint64_t best = to;
  for (uint64_t i = to + 1; i-- > from;) {
    const double a = joint_count_ > 0 ? at(i).joint : at(i).speed;
    const double b = joint_count_ > 0 ? at(best).joint : at(best).speed;
    if (a < b) best = i;
  }
  return best;
}

uint64_t SegmentTrack::force_onset(uint64_t index, uint64_t floor, double level_N) const {
  floor = std::max(floor, oldest());
  while (index > floor && at(index - 1).force > level_N) --index;
  return index;
}

SegmentTrack::Relative SegmentTrack::relative(uint8_t thing, uint64_t index, int count, uint64_t floor) const {
  Relative mean;
  if (thing >= thing_count_) return mean;
  floor = std::max(floor, oldest());
  for (uint64_t i = index + 1; i-- > floor && mean.count < count;) {
    const Moment& m = at(i);
    const Thing& seen = m.things[thing];
    if (!seen.visible) continue;
    const Vec offset = seen.at_m - m.tool_m;
    for (size_t k = 0; k < 3; ++k) {
      mean.offset_m[k] += offset[k];
      mean.at_m[k] += seen.at_m[k];
    }
    mean.extension_m += seen.extension_m;
    mean.tilt_rad += seen.tilt_rad;
    ++mean.count;
  }
  if (mean.count == 0) return mean;
  for (size_t k = 0; k < 3; ++k) {
    mean.offset_m[k] /= mean.count;
    mean.at_m[k] /= mean.count;
  }
  mean.extension_m /= mean.count;
  mean.tilt_rad /= mean.count;
  return mean;
}

}  // namespace drover::semantics

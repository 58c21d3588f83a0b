#include "actors/semantics/physics_frames.hpp"

#include <algorithm>
#include <cmath>

#include "actors/semantics/sense_frame.hpp"

namespace drover::semantics {
using robot::operator-;

namespace {

constexpr double moves_m_per_s = 0.005;  // a command slower than this stands ...
constexpr double stands_s = 0.3;         // ... and for this long it is idle

Point point(const robot::Vec3& v) {
  return {static_cast<float>(v[0]), static_cast<float>(v[1]), static_cast<float>(v[2])};
}

// Of a rotation matrix, w >= 0.
std::array<float, 4> quaternion(const robot::Mat3& m) {
  const double w = 0.5 * std::sqrt(std::max(0.0, 1 + m[0] + m[4] + m[8]));
  const auto part = [](double size2, double sign) {
    return std::copysign(0.5 * std::sqrt(std::max(0.0, size2)), sign);
  };
  return {static_cast<float>(w), static_cast<float>(part(1 + m[0] - m[4] - m[8], m[7] - m[5])),
          static_cast<float>(part(1 - m[0] + m[4] - m[8], m[2] - m[6])),
          static_cast<float>(part(1 - m[0] - m[4] + m[8], m[3] - m[1]))};
}

}  // namespace

void PhysicsFrames::begin(const robot::World& world) {
  info_ = world.info();
  rollout_ = {};
  rollout_.frames.clear();
  commands_.clear();
  rollout_.robot = "sim";
  rollout_.task_name = info_.name;
  rollout_.source = RolloutSource::physics;
  rollout_.world = info_.name;
  rollout_.signals = signals_all & ~uint32_t{signal_alarms};
  rollout_.joint_count = robot::arm_joint_count;
  rollout_.rate_hz = 1 / info_.control_period_s;
  const robot::Observation& now = world.observe();
  for (const robot::Sight& s : now.sights) {
    if (rollout_.objects.size() == objects_max) break;
    ObjectInfo info;
    info.name = std::string(s.name);
    info.category = info.name == "handle" ? "drawer" : info.name;
    info.geometry = std::string(s.kind);
    info.slides = info.name == "handle";
    rollout_.objects.push_back(std::move(info));
  }
  sense(world);
}

void PhysicsFrames::sense(const robot::World& world) {
  const robot::Observation& now = world.observe();
  RolloutFrame& frame = rollout_.frames.emplace_back();
  frame.time_s = now.time_s;
  double power_W = 0;
  for (size_t i = 0; i < robot::arm_joint_count; ++i) {
    frame.joint_rad[i] = static_cast<float>(now.joint_rad[i]);
    frame.joint_rad_per_s[i] = static_cast<float>(now.joint_rad_per_s[i]);
    frame.joint_Nm[i] = static_cast<float>(now.joint_Nm[i]);
    power_W += std::abs(now.joint_Nm[i] * now.joint_rad_per_s[i]);
  }
  frame.power_W = static_cast<float>(power_W + std::abs(now.gripper_N * now.gripper_m_per_s));
  frame.tool_m = point(now.tool.position_m);
  frame.tool_quaternion = quaternion(now.tool.orientation);
  frame.gripper_m = static_cast<float>(2 * now.gripper_m);
  frame.gripper_N = static_cast<float>(std::abs(now.gripper_N));
  frame.force_N = point(now.tool_force_N);
  for (size_t i = 0; i < rollout_.objects.size() && i < now.sights.size(); ++i) {
    const robot::Sight& s = now.sights[i];
    frame.objects[i] = {point(s.position_m), static_cast<float>(s.tilt_rad), static_cast<float>(s.extension_m),
                        s.visible ? 1u : 0u};
  }
  frame.contacts = sensed_contacts(frame, rollout_.objects.size(), 2 * info_.gripper_open_m);
}

void PhysicsFrames::take(const robot::Action& action, const robot::World& world) {
  sense(world);
  commands_.push_back({world.observe().time_s - info_.control_period_s,
                       robot::forward(info_.arm, action.joint_target_rad).position_m, action.gripper_target_m});
}

LabelledRollout PhysicsFrames::finish(const robot::EpisodeResult& episode, std::string id) {
  LabelledRollout out;
  find_stands();
  out.truth.segments = truth(episode);
  out.truth.kind = static_cast<Template>(episode.kind);
  out.truth.failure = episode.failure_reason;
  out.truth.damage = episode.outcome.broken;
  rollout_.id = std::move(id);
  rollout_.outcome = episode.outcome.success ? "success" : "failure";
  out.rollout = std::move(rollout_);
  rollout_ = {};
  return out;
}

// ---- the truth: the skill trace, cut finer by what was commanded

namespace {

bool starts_with(const std::string& text, std::string_view head) {
  return text.compare(0, head.size(), head) == 0;
}

// Neighbours with one label are one stretch; a failure ends a stretch.
void append(std::vector<TruthSegment>& out, const TruthSegment& next) {
  if (!(next.end_s > next.start_s)) return;
  if (!out.empty() && out.back().label == next.label && out.back().outcome != Outcome::failure) {
    out.back().end_s = next.end_s;
    out.back().outcome = next.outcome;
    out.back().reason = next.reason;
  } else {
    out.push_back(next);
  }
}

Reason reason_from_skill(const std::string& reason) {
  if (reason == "grasp_slip" || reason == "slip") return Reason::grasp_slip;
  if (reason == "grasp_missed") return Reason::grasp_missed;
  if (reason == "locked_drawer") return Reason::locked;
  if (reason == "drop") return Reason::drop;
  if (reason == "vase_contact") return Reason::collision;
  if (reason == "misalignment" || reason == "unstable_place") return Reason::misplaced;
  if (reason.find("collision") != std::string::npos) return Reason::collision;
  return Reason::abandoned;
}

}  // namespace

// Where the hand is commanded to stand, fingers and all, for long enough.
void PhysicsFrames::find_stands() {
  const double dt = info_.control_period_s;
  stands_.assign(commands_.size(), false);
  size_t run = 0;
  for (size_t i = 1; i <= commands_.size(); ++i) {
    const bool moves =
        i < commands_.size() && (robot::norm(commands_[i].tool_m - commands_[i - 1].tool_m) > moves_m_per_s * dt ||
                                 std::abs(commands_[i].gripper_m - commands_[i - 1].gripper_m) > 1e-5);
    if (i < commands_.size() && !moves) continue;
    if (static_cast<double>(i - run) * dt >= stands_s)
      std::fill(stands_.begin() + static_cast<std::ptrdiff_t>(run), stands_.begin() + static_cast<std::ptrdiff_t>(i),
                true);
    run = i;
  }
}

std::vector<TruthSegment> PhysicsFrames::truth(const robot::EpisodeResult& episode) const {
  std::vector<TruthSegment> out;
  for (const robot::SkillSpan& span : episode.skills) split(span, episode, out);
  // An action that works after it failed was retried, or recovered when something else was done in between.
  Label failed = Label::idle;  // idle: nothing that was not made good
  bool maneuvered = false;
  for (TruthSegment& s : out) {
    if (s.label == Label::recovery_maneuver) maneuvered = true;
    if (s.outcome == Outcome::failure && s.label != Label::collision) {
      failed = s.label;
      maneuvered = false;
    } else if (failed != Label::idle && s.label == failed) {
      s.outcome = maneuvered ? Outcome::recovered : Outcome::retry;
      failed = Label::idle;
    }
  }
  return out;
}

// What one command of a span is, by PHYSICS.md; nothing: as the one before.
std::optional<Label> PhysicsFrames::commanded(const robot::SkillSpan& span, const SpanCommands& c, size_t i) const {
  constexpr double fingers_m_per_s = 0.004;
  const Command& now = commands_[i];
  const Command& before = commands_[i == c.first ? i : i - 1];
  const double dt = info_.control_period_s;
  const robot::Vec3 way = now.tool_m - before.tool_m;
  const double speed = robot::norm(way) / dt;
  const double fingers = (now.gripper_m - before.gripper_m) / dt;
  const bool repairs = span.kind != robot::NodeKind::skill;
  if (stands_[i] || starts_with(span.manoeuvre, "look_at") || span.manoeuvre == "check") return Label::idle;
  if (span.manoeuvre == "retract" || span.manoeuvre == "retreat") return Label::release;
  if (span.manoeuvre == "pull") return Label::pull;
  if (span.manoeuvre == "wiggle_pull" || span.manoeuvre == "ease_off") return Label::recovery_maneuver;
  if (span.manoeuvre == "set_down" || span.manoeuvre == "nudge") return Label::recovery_maneuver;
  if (span.manoeuvre == "carry") {
    if (speed < moves_m_per_s) return std::nullopt;
    return way[2] > 0.75 * robot::norm(way) ? Label::lift : Label::transport;
  }
  if (span.manoeuvre == "place")
    return now.gripper_m > commands_[c.first].gripper_m + 1e-4 ? Label::release : Label::place;
  if (i >= c.closing) return Label::grasp;
  if (fingers > fingers_m_per_s) return repairs ? Label::recovery_maneuver : Label::release;
  if (speed < moves_m_per_s) return std::nullopt;
  if (!repairs) return Label::approach;
  const robot::Vec3 rest = commands_[std::min(c.closing, c.last)].tool_m - before.tool_m;
  const bool comes = robot::dot(way, rest) > 0.5 * robot::norm(way) * robot::norm(rest);
  return comes ? Label::approach : Label::recovery_maneuver;
}

PhysicsFrames::SpanCommands PhysicsFrames::commands_of(const robot::SkillSpan& span) const {
  SpanCommands c;
  const double dt = info_.control_period_s;
  const auto before = [](const Command& command, double time_s) { return command.time_s < time_s; };
  c.first = static_cast<size_t>(std::lower_bound(commands_.begin(), commands_.end(), span.start_s - 0.5 * dt, before) -
                                commands_.begin());
  const auto end = static_cast<size_t>(
      std::lower_bound(commands_.begin(), commands_.end(), span.end_s - 0.5 * dt, before) - commands_.begin());
  c.last = end == 0 ? 0 : end - 1;
  c.closing = end;
  const bool grasps = span.manoeuvre.find("grasp") != std::string::npos || span.manoeuvre == "pick_from_drop";
  for (size_t i = c.first + 1; grasps && i < end; ++i) {
    if (commands_[i].gripper_m > commands_[i - 1].gripper_m - 1e-5) continue;
    c.closing = i;
    break;
  }
  c.end = end;
  return c;
}

void PhysicsFrames::split(const robot::SkillSpan& span, const robot::EpisodeResult& episode,
                          std::vector<TruthSegment>& out) const {
  const SpanCommands c = commands_of(span);
  std::vector<TruthSegment> parts;
  std::optional<Label> label;
  double since_s = span.start_s;
  for (size_t i = c.first; i < c.end; ++i) {
    const std::optional<Label> now = commanded(span, c, i);
    if (!now || now == label) continue;
    if (label) append(parts, {*label, Outcome::success, Reason::none, since_s, commands_[i].time_s});
    if (label) since_s = commands_[i].time_s;
    label = now;
  }
  double end_s = span.end_s;
  for (const robot::WorldEvent& event : episode.events)
    if (event.kind == "frame_collision" && event.time_s > since_s && event.time_s < span.end_s &&
        span.reason == "frame_collision")
      end_s = std::min(end_s, event.time_s);
  append(parts, {label.value_or(Label::idle), Outcome::success, Reason::none, since_s, end_s});
  if (parts.empty()) return;
  if (span.outcome == "failure" && span.reason != "not_seen") {
    parts.back().outcome = Outcome::failure;
    parts.back().reason = reason_from_skill(span.reason);
  }
  for (const TruthSegment& part : parts) append(out, part);
  if (end_s < span.end_s) append(out, {Label::collision, Outcome::failure, Reason::collision, end_s, span.end_s});
}

Result<LabelledRollout> physics_rollout(robot::World& world, robot::Policy& policy,
                                        const robot::EpisodeRequest& request) {
  PhysicsFrames frames;
  bool begun = false;
  robot::EpisodeRequest watched = request;
  watched.observer = [&](const robot::Action& action, const robot::World& now) {
    if (!begun) frames.begin(now);
    if (begun) frames.take(action, now);
    begun = true;
    if (request.observer) request.observer(action, now);
  };
  DROVER_ASSIGN(const robot::EpisodeResult episode, robot::run_episode(world, policy, watched));
  if (!begun) return fail(Errc::invalid_argument, "physics_rollout", "the policy did nothing");
  std::string id = world.info().name;
  id.append("-").append(episode.condition.set).append("-").append(std::to_string(episode.condition.seed));
  return frames.finish(episode, std::move(id));
}

}  // namespace drover::semantics

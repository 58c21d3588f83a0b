#include "actors/robot/script.hpp"

#include <algorithm>
#include <cmath>

namespace drover::robot {
namespace {

constexpr double look_s = 0.4;
constexpr double held_m_min = 0.0015;     // fingers closed further than this hold nothing
constexpr double drawer_reach_m = 0.215;  // half the drawer front and the vase: nearer stands in the way
constexpr double half_pi = 1.5707963267948966;
constexpr size_t events_max = 1024;
// The tool looks along world x, fingers move along world y.
constexpr Mat3 facing = {0, 0, 1, 0, 1, 0, -1, 0, 0};

// Minimum jerk: 0..1 with zero speed and acceleration at both ends.
double smooth(double x) {
  x = std::clamp(x, 0.0, 1.0);
  return x * x * x * (10 - 15 * x + 6 * x * x);
}

}  // namespace

ScriptedSkills::ScriptedSkills(SkillGraph graph, const ScriptOptions& options)
    : graph_(std::move(graph)), options_(options) {}

void ScriptedSkills::begin(const WorldInfo& world, const Observation& first) {
  ScriptedSkills fresh(std::move(graph_), options_);
  *this = std::move(fresh);
  world_ = world;
  visits_.assign(graph_.size(), 0);
  joints_ = world.home_rad;
  tool_m_ = first.tool.position_m;
  gripper_m_ = world.gripper_open_m;
  grip_hold_m_ = options_.grip_first_m;
  pull_max_N_ = options_.pull_force_N_max;
  enter(graph_.start(), first);
}

Pose ScriptedSkills::target(const Vec3& position_m) const {
  return {position_m, facing * rotation({0, 0, 1}, roll_rad_)};
}

// ---- walking the graph

void ScriptedSkills::enter(size_t index, const Observation& now) {
  at_ = index;
  if (at_ >= graph_.size()) return;
  if (++visits_[at_] > node().visits_max) {
    at_ = SkillGraph::abort;
    return;
  }
  stage_ = 0;
  entered_s_ = now.time_s;
  opening_start_m_ = opening_m_;
  tool_start_m_ = now.tool.position_m;
  pull_N_ = 0;
  handle_looks_ = vase_looks_ = {};
  if (node().kind == NodeKind::recovery && events_.size() < events_max)
    events_.push_back({now.time_s, "recovery_started", "info", node().manoeuvre});
  plan_stage(now);
}

void ScriptedSkills::leave(const Observation& now, const std::string& outcome) {
  const bool good = outcome == "success";
  const bool recovery = node().kind == NodeKind::recovery;
  trace_.push_back({node().skill_id, node().skill, node().manoeuvre, node().kind, entered_s_, now.time_s,
                    good ? (recovery ? "recovered" : "success") : "failure", good ? "" : outcome});
  if (events_.size() < events_max) {
    if (!good) events_.push_back({now.time_s, outcome, "warning", node().skill});
    if (good && recovery) events_.push_back({now.time_s, "recovered", "info", node().manoeuvre});
  }
  enter(graph_.after(at_, outcome), now);
}

void ScriptedSkills::stop(double time_s, const std::string& reason) {
  if (at_ >= graph_.size()) return;
  trace_.push_back(
      {node().skill_id, node().skill, node().manoeuvre, node().kind, entered_s_, time_s, "failure", reason});
  at_ = SkillGraph::abort;
}

Decision ScriptedSkills::decide(const Observation& now) {
  collect(now);
  if (at_ < graph_.size() && now.time_s > entered_s_) {
    if (const auto stopped = guard(now)) {
      leave(now, *stopped);
    } else if (leg_ == legs_.size()) {
      learn_places();
      ++stage_;
      if (!plan_stage(now)) leave(now, finish(now));
    }
  }
  if (at_ >= graph_.size()) return {{}, true};
  return {follow(now), false};
}

// ---- manoeuvres: the legs of a stage; none: the manoeuvre is through

bool ScriptedSkills::plan_stage(const Observation& now) {
  legs_.clear();
  leg_ = 0;
  const double open = world_.gripper_open_m;
  if (is("look_at_drawer") || is("look_at_vase")) {
    if (stage_ == 0) legs_ = {{tool_m_, look_s, gripper_m_}};
  } else if (is("approach")) {
    if (stage_ == 0) legs_ = {{handle_m_ - Vec3{options_.standoff_m, 0, 0}, 1.4, open, true}};
  } else if (is("grasp")) {
    if (stage_ == 0) plan_grasp(0);
  } else if (is("look_and_grasp") || is("regrasp")) {
    plan_regrasp(now);
  } else if (is("back_off_and_look")) {
    if (stage_ == 0) plan_look(now);
    if (stage_ == 1) legs_ = {{handle_m_ - Vec3{options_.standoff_m, 0, 0}, 0.9, open}};
  } else if (is("pull")) {
    if (stage_ == 0) plan_pull(now);
  } else if (is("wiggle_pull")) {
    if (stage_ == 0) plan_wiggle();
  } else if (is("ease_off")) {
    careful_ = true;
    const Vec3 back = tool_m_ + Vec3{0.012, 0, 0};
    if (stage_ == 0) legs_ = {{back, 0.5, grip_hold_m_}, {back, 0.3, grip_hold_m_}};
  } else if (is("retract")) {
    const Vec3 away = tool_m_ - Vec3{0.07, 0, 0};
    if (stage_ == 0) legs_ = {{tool_m_, 0.4, open}, {away, 0.6, open}, {away + Vec3{0, 0, 0.12}, 0.7, open}};
  }
  start_leg();
  return !legs_.empty();
}

// Opens the fingers, goes back from where the tool really is, and looks from there.
void ScriptedSkills::plan_look(const Observation& now) {
  tool_m_ = now.tool.position_m;
  const Vec3 away = tool_m_ - Vec3{0.08, 0, 0};
  const double open = world_.gripper_open_m;
  legs_ = {{tool_m_, 0.3, open}, {away, 0.6, open}, {away, look_s, open}};
}

void ScriptedSkills::plan_grasp(double standoff_m) {
  const double open = world_.gripper_open_m;
  if (standoff_m > 0) legs_.push_back({handle_m_ - Vec3{standoff_m, 0, 0}, 0.8, open});
  legs_.push_back({handle_m_, 0.9, open});
  legs_.push_back({handle_m_, 0.5, grip_hold_m_});
}

void ScriptedSkills::plan_regrasp(const Observation& now) {
  if (is("regrasp")) grip_hold_m_ = options_.grip_hard_m;
  if (stage_ == 0) plan_look(now);
  if (stage_ == 1) plan_grasp(0.06);
}

// Straight out, at the height and side where the hand really is: not against what the eye believed.
void ScriptedSkills::plan_pull(const Observation& now) {
  const double way_m = std::max(0.0, options_.open_m - opening_m_);
  const Vec3 to = {now.tool.position_m[0] - way_m, now.tool.position_m[1], now.tool.position_m[2]};
  const bool in_the_way = vase_known_ && std::abs(vase_m_[1] - handle_m_[1]) < drawer_reach_m;
  double seconds = careful_ ? options_.pull_careful_s : options_.pull_s * (in_the_way ? 1.5 : 1.0);
  seconds = std::max(0.4, seconds * way_m / options_.open_m);
  legs_ = {{to, seconds, grip_hold_m_}, {to, 0.2, grip_hold_m_}};
}

// Full grip; pulls in four jerks, each further, to alternating sides.
void ScriptedSkills::plan_wiggle() {
  grip_hold_m_ = options_.grip_hard_m;
  pull_max_N_ = options_.pull_force_hard_N_max;
  for (int i = 1; i <= 4; ++i) {
    const double side = i % 2 == 0 ? 0.008 : -0.008;
    legs_.push_back({tool_m_ + Vec3{-0.006 * i, side, 0}, 0.3, grip_hold_m_});
  }
}

// ---- motion

void ScriptedSkills::start_leg() {
  leg_s_ = 0;
  if (leg_ == legs_.size()) return;
  leg_from_m_ = tool_m_;
  leg_from_joints_ = joints_;
  leg_from_gripper_m_ = gripper_m_;
  if (legs_[leg_].in_joints) leg_to_joints_ = solve_ik(world_.arm, joints_, target(legs_[leg_].to_m)).angles_rad;
}

Action ScriptedSkills::follow(const Observation&) {
  if (leg_ < legs_.size()) {
    const Leg& leg = legs_[leg_];
    leg_s_ += world_.control_period_s;
    const double share = smooth(leg_s_ / leg.seconds);
    tool_m_ = leg_from_m_ + share * (leg.to_m - leg_from_m_);
    gripper_m_ = leg_from_gripper_m_ + std::min(1.0, 1.5 * share) * (leg.gripper_m - leg_from_gripper_m_);
    if (leg.in_joints) {
      for (size_t i = 0; i < arm_joint_count; ++i)
        joints_[i] = leg_from_joints_[i] + share * (leg_to_joints_[i] - leg_from_joints_[i]);
    } else {
      joints_ = solve_ik(world_.arm, joints_, target(tool_m_)).angles_rad;
    }
    if (leg_s_ >= leg.seconds - 1e-9) {
      ++leg_;
      start_leg();
    }
  }
  return {joints_, gripper_m_, node().skill_id};
}

// ---- perception

void ScriptedSkills::collect(const Observation& now) {
  pull_N_ = 0.6 * pull_N_ + 0.4 * now.tool_force_N[0];
  // Looking counts only while standing still: in the last leg of a stage.
  const bool still = leg_ + 1 >= legs_.size();
  const Sight* handle = now.sight("handle");
  handle_seen_ = handle != nullptr && handle->visible;
  if (handle_seen_) {
    opening_m_ = handle->extension_m;
    roll_rad_ = handle->kind == "bar_horizontal" ? half_pi : 0.0;
    if (still) handle_looks_ = {handle_looks_.sum_m + handle->position_m, handle_looks_.count + 1};
  }
  if (const Sight* vase = now.sight("vase"); vase != nullptr && vase->visible) {
    if (still) vase_looks_ = {vase_looks_.sum_m + vase->position_m, vase_looks_.count + 1};
    const Vec3 shift = vase->position_m - vase_m_;
    // Smoothed: one noisy look is no touch.
    vase_shift_m_ = vase_known_ ? 0.5 * vase_shift_m_ + 0.5 * std::hypot(shift[0], shift[1]) : 0;
    vase_tilt_rad_ = vase->tilt_rad;
  }
}

// After a stage that looked: what was seen replaces what was believed, if it was seen often enough.
void ScriptedSkills::learn_places() {
  const bool looking =
      is("look_at_drawer") || (stage_ == 0 && (is("back_off_and_look") || is("regrasp") || is("look_and_grasp")));
  if (looking && handle_looks_.count >= options_.looks_min) handle_m_ = handle_looks_.value();
  if (is("look_at_vase") && vase_looks_.count >= options_.looks_min) {
    vase_m_ = vase_looks_.value();
    vase_known_ = true;
  }
}

// ---- when physics disagrees

std::optional<std::string> ScriptedSkills::guard(const Observation& now) const {
  if (is("pull") || is("wiggle_pull")) return guard_pull(now);
  const bool coming = is("approach") || ((is("grasp") || stage_ == 1) && leg_ + 1 < legs_.size()) ||
                      (is("back_off_and_look") && stage_ == 1);
  if (coming && leg_ < legs_.size() && !legs_[leg_].in_joints && norm(now.tool.position_m - tool_m_) > options_.stall_m)
    return "frame_collision";
  return std::nullopt;
}

std::optional<std::string> ScriptedSkills::guard_pull(const Observation& now) const {
  const double drawer_m = opening_m_ - opening_start_m_;
  const double tool_m = tool_start_m_[0] - now.tool.position_m[0];
  // Only a fresh look tells how far the drawer is.
  if (now.gripper_m < held_m_min || (handle_seen_ && tool_m - drawer_m > options_.slip_m)) {
    const bool full_grip = grip_hold_m_ <= options_.grip_hard_m;
    return full_grip && drawer_m < 0.004 ? "locked_drawer" : "grasp_slip";  // all the grip there is, and no motion
  }
  if (handle_seen_ && pull_N_ > pull_max_N_ && drawer_m < 0.006) return "locked_drawer";
  if (vase_known_ && !careful_ && (vase_shift_m_ > options_.vase_moved_m || vase_tilt_rad_ > options_.vase_tilt_rad))
    return "vase_contact";
  return std::nullopt;
}

std::string ScriptedSkills::finish(const Observation& now) const {
  if (is("look_at_drawer")) return handle_looks_.count >= options_.looks_min ? "success" : "not_seen";
  if (is("look_at_vase")) return vase_looks_.count >= options_.looks_min ? "success" : "not_seen";
  if (is("grasp") || is("look_and_grasp") || is("regrasp"))
    return now.gripper_m > held_m_min ? "success" : "grasp_missed";
  if (is("pull")) return opening_m_ >= options_.open_enough_m ? "success" : "not_open";
  if (is("wiggle_pull")) return opening_m_ - opening_start_m_ > 0.006 ? "success" : "locked_drawer";
  if (is("retract")) return opening_m_ >= options_.open_enough_m - 0.002 ? "success" : "failure";
  return "success";
}

}  // namespace drover::robot

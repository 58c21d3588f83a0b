#include "actors/robot/script.hpp"

#include <algorithm>
#include <cmath>

#include "actors/robot/playbook_manoeuvres.hpp"

namespace drover::robot {
namespace {

constexpr size_t events_max = 1024;
constexpr double force_settle_s = 0.16;  // a leg's own start shakes the hand

// Minimum jerk: 0..1 with zero speed and acceleration at both ends.
double smooth(double x) {
  x = std::clamp(x, 0.0, 1.0);
  return x * x * x * (10 - 15 * x + 6 * x * x);
}

std::unique_ptr<Manoeuvres> manoeuvres_of(const SkillGraph& graph, const ScriptOptions& options) {
  if (graph.playbook().manoeuvres.empty()) return std::make_unique<DrawerManoeuvres>(options);
  return std::make_unique<PlaybookManoeuvres>(graph.playbook());
}

}  // namespace

ScriptedSkills::ScriptedSkills(SkillGraph graph, const ScriptOptions& options)
    : graph_(std::move(graph)), manoeuvres_(manoeuvres_of(graph_, options)) {}

void ScriptedSkills::begin(const WorldInfo& world, const Observation& first) {
  trace_.clear();
  events_.clear();
  visits_.assign(graph_.size(), 0);
  joints_ = world.home_rad;
  walk_ = {};
  walk_.world = world;
  walk_.tool_m = first.tool.position_m;
  walk_.gripper_m = world.gripper_open_m;
  force_N_ = {};
  manoeuvres_->begin(world);
  enter(graph_.start(), first);
}

// ---- walking the graph

void ScriptedSkills::enter(size_t index, const Observation& now) {
  at_ = index;
  if (at_ >= graph_.size()) return;
  if (++visits_[at_] > node().visits_max) {
    at_ = SkillGraph::abort;
    return;
  }
  entered_s_ = now.time_s;
  walk_.node = &node();
  walk_.stage = 0;
  manoeuvres_->enter(walk_, now);
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
  force_N_ = 0.6 * force_N_ + 0.4 * now.tool_force_N;
  if (at_ < graph_.size()) manoeuvres_->perceive(walk_, now);
  if (at_ < graph_.size() && now.time_s > entered_s_) {
    if (const auto stopped = manoeuvres_->guard(walk_, now)) {
      leave(now, *stopped);
    } else {
      if (touched(now)) {  // the rest of the leg is not walked
        ++walk_.leg;
        start_leg();
      }
      if (walk_.leg == walk_.legs.size()) {
        manoeuvres_->learn(walk_);
        ++walk_.stage;
        if (!plan_stage(now)) leave(now, manoeuvres_->finish(walk_, now));
      }
    }
  }
  if (at_ >= graph_.size()) return {{}, true};
  return {follow(), false};
}

bool ScriptedSkills::plan_stage(const Observation& now) {
  walk_.legs = {};
  walk_.leg = 0;
  walk_.legs = manoeuvres_->plan(walk_, now);
  start_leg();
  return !walk_.legs.empty();
}

// ---- motion

void ScriptedSkills::start_leg() {
  leg_s_ = 0;
  if (walk_.leg == walk_.legs.size()) return;
  const Leg& leg = walk_.legs[walk_.leg];
  leg_from_m_ = walk_.tool_m;
  leg_from_N_ = force_N_;
  leg_from_joints_ = joints_;
  leg_from_gripper_m_ = walk_.gripper_m;
  if (leg.in_joints)
    leg_to_joints_ = solve_ik(walk_.world.arm, joints_, {leg.to_m, manoeuvres_->orientation()}).angles_rad;
}

// Something presses back along the leg, on the hand or on what it holds.
bool ScriptedSkills::touched(const Observation&) {
  if (walk_.leg >= walk_.legs.size() || walk_.legs[walk_.leg].until_N <= 0) return false;
  const Leg& leg = walk_.legs[walk_.leg];
  const Vec3 way = leg.to_m - leg_from_m_;
  const double length_m = norm(way);
  if (leg_s_ < force_settle_s || length_m < 1e-9) return false;
  return -dot(force_N_ - leg_from_N_, way) / length_m > leg.until_N;
}

Action ScriptedSkills::follow() {
  if (walk_.leg < walk_.legs.size()) {
    const Leg& leg = walk_.legs[walk_.leg];
    leg_s_ += walk_.world.control_period_s;
    const double share = smooth(leg_s_ / leg.seconds);
    walk_.tool_m = leg_from_m_ + share * (leg.to_m - leg_from_m_);
    walk_.gripper_m = leg_from_gripper_m_ + std::min(1.0, 1.5 * share) * (leg.gripper_m - leg_from_gripper_m_);
    if (leg.in_joints) {
      for (size_t i = 0; i < arm_joint_count; ++i)
        joints_[i] = leg_from_joints_[i] + share * (leg_to_joints_[i] - leg_from_joints_[i]);
    } else {
      joints_ = solve_ik(walk_.world.arm, joints_, {walk_.tool_m, manoeuvres_->orientation()}).angles_rad;
    }
    if (leg_s_ >= leg.seconds - 1e-9) {
      ++walk_.leg;
      start_leg();
    }
  }
  return {joints_, walk_.gripper_m, node().skill_id};
}

}  // namespace drover::robot

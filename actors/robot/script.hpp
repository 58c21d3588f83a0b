// ScriptedSkills: the six skills of opening a drawer, by hand, walked along a skill graph. Pure.
//
// Each manoeuvre is a few legs (straight lines of the tool, or of the joints, with a smooth speed profile); a guard
// looks at every observation and ends the manoeuvre by name when physics disagrees: grasp_slip, locked_drawer,
// frame_collision, vase_contact, grasp_missed, not_seen, not_open. The graph says what follows.
// Uses only what the robot senses: joints, gripper, force at the hand, and noisy sights of "handle" and "vase".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actors/robot/policy.hpp"
#include "actors/robot/skill_graph.hpp"

namespace drover::robot {

struct ScriptOptions {
  double open_m = 0.212;              // how far the drawer is pulled; the rule asks for 0.192
  double open_enough_m = 0.195;       // seen opening that counts as open
  double standoff_m = 0.12;           // before the handle
  double grip_first_m = -0.014;       // finger target when holding; further below 0 presses harder
  double grip_hard_m = -0.024;        // after a slip
  double pull_s = 2.6;                // for the whole way
  double pull_careful_s = 7.0;        // beside a touched vase
  double pull_force_N_max = 22;       // at the first try; above it without motion the drawer counts as locked
  double pull_force_hard_N_max = 90;  // when wiggling
  double stall_m = 0.012;             // tool behind its target: something is in the way
  double slip_m = 0.022;              // tool moved this much more than the drawer
  double vase_moved_m = 0.010;        // seen displacement that counts as a touch
  double vase_tilt_rad = 0.10;
  double looks_min = 3;  // sights that make a place known
};

class ScriptedSkills final : public Policy {
 public:
  explicit ScriptedSkills(SkillGraph graph, const ScriptOptions& options = {});

  void begin(const WorldInfo& world, const Observation& first) override;
  Decision decide(const Observation& now) override;
  void stop(double time_s, const std::string& reason) override;
  const std::vector<SkillSpan>& trace() const override { return trace_; }
  const std::vector<WorldEvent>& events() const override { return events_; }

 private:
  struct Leg {
    Vec3 to_m{};
    double seconds = 0.4;
    double gripper_m = 0;
    bool in_joints = false;  // interpolate joint angles instead of the tool's place
  };
  struct Mean {
    Vec3 sum_m{};
    double count = 0;
    Vec3 value() const { return (1.0 / count) * sum_m; }
  };

  const SkillNode& node() const { return graph_.node(at_); }
  void enter(size_t index, const Observation& now);
  void leave(const Observation& now, const std::string& outcome);
  bool plan_stage(const Observation& now);
  void plan_look(const Observation& now);
  void plan_regrasp(const Observation& now);
  void plan_grasp(double standoff_m);
  void plan_pull(const Observation& now);
  void plan_wiggle();
  void start_leg();
  void collect(const Observation& now);
  void learn_places();
  std::optional<std::string> guard(const Observation& now) const;
  std::optional<std::string> guard_pull(const Observation& now) const;
  std::string finish(const Observation& now) const;
  Action follow(const Observation& now);
  Pose target(const Vec3& position_m) const;
  bool is(std::string_view manoeuvre) const { return node().manoeuvre == manoeuvre; }

  SkillGraph graph_;
  ScriptOptions options_;
  WorldInfo world_;
  std::vector<SkillSpan> trace_;
  std::vector<WorldEvent> events_;

  // Where in the graph and in the manoeuvre.
  size_t at_ = SkillGraph::done;
  std::vector<int64_t> visits_;
  int stage_ = 0;
  std::vector<Leg> legs_;
  size_t leg_ = 0;
  double leg_s_ = 0;
  double entered_s_ = 0;

  // The command so far.
  JointVector joints_{}, leg_from_joints_{}, leg_to_joints_{};
  Vec3 tool_m_{}, leg_from_m_{};
  double gripper_m_ = 0, leg_from_gripper_m_ = 0;

  // What the robot believes.
  Mean handle_looks_, vase_looks_;
  Vec3 handle_m_{}, vase_m_{};
  bool vase_known_ = false;
  double roll_rad_ = 0;
  bool handle_seen_ = false;    // in the last look
  double opening_m_ = 0;        // seen last
  double opening_start_m_ = 0;  // when the manoeuvre began
  Vec3 tool_start_m_{};         // the real tool when the manoeuvre began
  double pull_N_ = 0;           // smoothed force along the pull
  double grip_hold_m_ = 0, pull_max_N_ = 0;
  bool careful_ = false;
  double vase_shift_m_ = 0, vase_tilt_rad_ = 0;
};

}  // namespace drover::robot

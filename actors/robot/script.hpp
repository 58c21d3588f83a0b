// ScriptedSkills: skills made by hand, walked along a skill graph. Pure.
//
// The graph says which manoeuvre follows which outcome; the manoeuvres say which legs the arm walks and when physics
// disagrees: those in the graph's playbook if its skills.toml spells any out, else those of the drawer.
// Uses only what the robot senses: joints, gripper, force at the hand, and noisy sights.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "actors/robot/drawer_manoeuvres.hpp"
#include "actors/robot/manoeuvres.hpp"
#include "actors/robot/policy.hpp"
#include "actors/robot/skill_graph.hpp"

namespace drover::robot {

class ScriptedSkills final : public Policy {
 public:
  // `options` are the drawer's.
  explicit ScriptedSkills(SkillGraph graph, const ScriptOptions& options = {});

  void begin(const WorldInfo& world, const Observation& first) override;
  Decision decide(const Observation& now) override;
  void stop(double time_s, const std::string& reason) override;
  const std::vector<SkillSpan>& trace() const override { return trace_; }
  const std::vector<WorldEvent>& events() const override { return events_; }
  std::string_view skill_name(int64_t skill_id) const override { return graph_.skill_name(skill_id); }

 private:
  const SkillNode& node() const { return graph_.node(at_); }
  void enter(size_t index, const Observation& now);
  void leave(const Observation& now, const std::string& outcome);
  bool plan_stage(const Observation& now);
  void start_leg();
  bool touched(const Observation& now);
  Action follow();

  SkillGraph graph_;
  std::unique_ptr<Manoeuvres> manoeuvres_;
  std::vector<SkillSpan> trace_;
  std::vector<WorldEvent> events_;

  // Where in the graph and in the manoeuvre.
  size_t at_ = SkillGraph::done;
  std::vector<int64_t> visits_;
  Walk walk_;
  double entered_s_ = 0;

  // The leg: how long it lasts already, what was commanded when it began.
  double leg_s_ = 0;
  JointVector joints_{}, leg_from_joints_{}, leg_to_joints_{};
  Vec3 leg_from_m_{}, leg_from_N_{}, force_N_{};  // force at the hand, smoothed
  double leg_from_gripper_m_ = 0;
};

}  // namespace drover::robot

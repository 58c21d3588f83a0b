// Policy: what decides, from what the robot senses, what it does next. Scripts and learned policies alike. Pure.
//
// Invariant of the trace: spans are in time order and do not overlap.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "actors/robot/skill_graph.hpp"
#include "actors/robot/world.hpp"

namespace drover::robot {

// One run of one skill, as the policy saw it.
struct SkillSpan {
  int64_t skill_id = 0;
  std::string skill;
  std::string manoeuvre;
  NodeKind kind = NodeKind::skill;
  double start_s = 0;
  double end_s = 0;
  std::string outcome;  // success | failure | recovered
  std::string reason;   // of a failure: grasp_slip, locked_drawer, ...
};

struct Decision {
  Action action;
  bool finished = false;  // the policy is through; the action is void
};

class Policy {
 public:
  virtual ~Policy() = default;
  // A new episode; equal inputs from here on give equal decisions.
  virtual void begin(const WorldInfo& world, const Observation& first) = 0;
  virtual Decision decide(const Observation& now) = 0;
  // The episode ends from outside (broken, out of time): closes the open span as failed with this reason.
  virtual void stop(double time_s, const std::string& reason) = 0;
  virtual const std::vector<SkillSpan>& trace() const = 0;
  virtual const std::vector<WorldEvent>& events() const = 0;
  // The name of a skill it may run, also before that is in the trace; empty: none of its own.
  virtual std::string_view skill_name(int64_t /*skill_id*/) const { return {}; }
};

}  // namespace drover::robot

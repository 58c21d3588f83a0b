// world.toml: what a world is made of, without saying which engine runs it. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "actors/robot/arm.hpp"
#include "actors/robot/condition.hpp"
#include "actors/robot/energy.hpp"
#include "messages/result.hpp"

namespace drover::robot {

struct ActuatedJoint {
  EnergyJoint energy;    // its name is the joint's in the model
  std::string actuator;  // in the model
};

struct WorldConfig {
  std::string name;
  std::string task;
  std::string model_path;  // joined with the folder of the file
  double timestep_s = 0.002;
  double control_period_s = 0.04;  // a whole number of time steps
  double episode_s_max = 40;
  JointVector home_rad{};
  double gripper_open = 0.04;           // [m]
  std::vector<ActuatedJoint> joints;    // six of the arm, then the gripper
  std::map<std::string, double> rules;  // the task's limits by name
  std::map<std::string, ConditionSet> conditions;

  double rule(std::string_view name, double otherwise) const;
};

// Errors: invalid_argument with every problem (file, line, key).
Result<WorldConfig> parse_world_config(std::string_view toml_text, const std::string& file);
Result<WorldConfig> load_world_config(const std::string& path);

}  // namespace drover::robot

// World: one place where a robot can act, whatever simulates it. The interface that skills and policies see.
//
// Use: reset(seed, set), then step(action) until the caller is content; observe() is what the robot's sensors say after
// the last of them. Equal seeds and actions give equal bits (state_hash). SI units, world frame unless said otherwise.
// Threads: one world, one thread at a time; different worlds are independent.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "actors/robot/arm.hpp"
#include "actors/robot/condition.hpp"
#include "actors/robot/energy.hpp"
#include "messages/result.hpp"

namespace drover::robot {

struct Action {
  JointVector joint_target_rad{};
  double gripper_target_m = 0;  // travel of one finger; below 0 presses what is held
  int64_t skill_id = -1;        // energy is booked on it
};

// What the camera makes of one thing in the scene. Noisy, as the condition says.
struct Sight {
  std::string_view name;  // "handle", "vase"; lives as long as the world
  bool visible = false;   // false: this look saw nothing, the rest is stale
  Vec3 position_m{};
  double tilt_rad = 0;
  double extension_m = 0;  // how far it is open, for things that slide
  std::string_view kind;   // for example the handle's kind; lives until the next reset
};

struct Observation {
  double time_s = 0;
  JointVector joint_rad{};
  JointVector joint_rad_per_s{};
  JointVector joint_Nm{};
  double gripper_m = 0;
  double gripper_m_per_s = 0;
  double gripper_N = 0;
  Pose tool;
  Vec3 tool_force_N{};  // what touches the hand presses on it
  std::vector<Sight> sights;

  const Sight* sight(std::string_view name) const;
};

// A fact of the physics, once per contact or change, in time order.
struct WorldEvent {
  double time_s = 0;
  std::string kind;               // vase_contact | vase_broken | frame_collision | drawer_open | ...
  std::string severity = "info";  // info | warning | error
  std::string detail;
};

// What the task says of the episode so far.
struct Outcome {
  bool success = false;  // the goal is met now and nothing is broken
  bool broken = false;   // something that must not break broke; stays
  double errors = 0;
  double progress = 0;  // 0..1 of the goal
};

struct WorldInfo {
  std::string name;    // drawer_vase
  std::string engine;  // mujoco | ...
  double timestep_s = 0;
  double control_period_s = 0;
  double episode_s_max = 0;
  double gripper_open_m = 0;
  JointVector home_rad{};
  Arm arm;
};

class World {
 public:
  World() = default;
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  virtual ~World() = default;

  virtual const WorldInfo& info() const = 0;
  // Starts an episode. Errors: not_found (no such condition set), internal (the physics refuses the model).
  virtual Status reset(uint64_t seed, std::string_view condition_set) = 0;
  // One control period. Errors: invalid_argument (a target is not finite), internal (the physics diverged: the episode
  // is void).
  virtual Status step(const Action& action) = 0;

  virtual const Observation& observe() const = 0;
  virtual const EnergyMeter& energy() const = 0;
  virtual const std::vector<WorldEvent>& events() const = 0;  // at most events_max, then no more are kept
  virtual Outcome outcome() const = 0;
  virtual const Condition& condition() const = 0;
  virtual uint64_t state_hash() const = 0;

  static constexpr size_t events_max = 4096;
};

}  // namespace drover::robot

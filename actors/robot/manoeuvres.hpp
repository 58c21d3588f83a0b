// Manoeuvres: what the nodes of a skill graph do: the legs of each, when physics disagrees, how it ended. Pure.
//
// ScriptedSkills walks the graph and moves the arm along legs; a Manoeuvres says which legs. Two kinds exist: those of
// the drawer, in code (drawer_manoeuvres), and those a skills.toml spells out (playbook). They see what the robot
// senses and nothing else.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/robot/skill_graph.hpp"
#include "actors/robot/world.hpp"

namespace drover::robot {

// A straight line of the tool (or of the joints), from where it was commanded to be, with a smooth speed profile.
struct Leg {
  Vec3 to_m{};
  double seconds = 0.4;
  double gripper_m = 0;
  bool in_joints = false;  // interpolate joint angles instead of the tool's place
  double until_N = 0;      // above 0: ends early when the force at the hand changes by this much along the way
};

// Where the walk is, and what was commanded last.
struct Walk {
  const SkillNode* node = nullptr;
  int stage = 0;          // of the manoeuvre, from 0
  std::vector<Leg> legs;  // of the stage
  size_t leg = 0;         // legs.size(): the stage is through
  Vec3 tool_m{};
  double gripper_m = 0;
  WorldInfo world;

  bool is(std::string_view manoeuvre) const { return node->manoeuvre == manoeuvre; }
};

class Manoeuvres {
 public:
  virtual ~Manoeuvres() = default;
  // A new episode: everything believed is forgotten.
  virtual void begin(const WorldInfo& world) = 0;
  // A node was entered.
  virtual void enter(const Walk& walk, const Observation& now) = 0;
  // Once per observation, before anything is decided.
  virtual void perceive(const Walk& walk, const Observation& now) = 0;
  // All legs of a stage were walked: what was seen on the way may be believed now.
  virtual void learn(const Walk& walk) = 0;
  // The legs of the stage; none: the manoeuvre is through. May move the commanded place to where the tool really is.
  virtual std::vector<Leg> plan(Walk& walk, const Observation& now) = 0;
  // Physics disagrees: the outcome by name.
  virtual std::optional<std::string> guard(const Walk& walk, const Observation& now) const = 0;
  // The outcome of a manoeuvre that is through: success, or what is wrong.
  virtual std::string finish(const Walk& walk, const Observation& now) const = 0;
  // How the hand is held now.
  virtual Mat3 orientation() const = 0;
};

}  // namespace drover::robot

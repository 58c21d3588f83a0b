// Bodies: which robots of a smoke run act in a simulated world, and what their episodes must come to.
//
// What must come of them is found by running the same seeds again, without actors, stores, pictures or recordings: an
// account of the same physics that the runtime had no part in. The same seed gives the same account on every run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "actors/robot/episode.hpp"
#include "messages/result.hpp"
#include "nodes/config/robot_config.hpp"

namespace drover::smoke {

// The body of one robot.
struct BodyPlan {
  size_t robot = 0;
  std::string world;  // its folder
  std::string set;    // of conditions
  uint64_t seed = 1;  // of its first episode
  uint64_t episodes = 0;
};

// What one episode of a body comes to.
struct ExpectedRun {
  size_t robot = 0;
  uint64_t ordinal = 0;
  uint64_t seed = 0;
  std::string set;
  uint64_t hash = 0;  // over every control step
  double duration_s = 0;
  double work_J = 0;
  std::string kind;  // of the four templates
  size_t skills = 0;
  size_t events = 0;
};

// The first robot acts under nominal conditions, the second under hard ones; the rest have no body.
std::vector<BodyPlan> plan_bodies(const std::string& configs, uint64_t seed, uint64_t episodes);

// How the plan is configured. `work` is the run's folder.
nodes::BodyConfig body_config(const BodyPlan& plan, const std::string& work, const std::string& robot);
std::string recordings_of(const std::string& work, const std::string& robot);

// Runs every episode of the plans. Errors: those of loading and running the world.
Result<std::vector<ExpectedRun>> run_plainly(const std::vector<BodyPlan>& plans);

}  // namespace drover::smoke

// MujocoTask: what one task adds to the engine: how a condition is written into the model, what is seen, what counts.
//
// Internal to drover_robot_mujoco. A new task is one file that implements this and one line in make_mujoco_task.
#pragma once

#include <mujoco/mujoco.h>

#include <memory>
#include <string>
#include <vector>

#include "actors/robot/condition.hpp"
#include "actors/robot/world.hpp"
#include "actors/robot/world_config.hpp"
#include "actors/runtime/rng.hpp"

namespace drover::robot {

// Bounded list of events of the episode.
class EventSink {
 public:
  explicit EventSink(std::vector<WorldEvent>& events) : events_(events) {}
  void add(WorldEvent event) {
    if (events_.size() < World::events_max) events_.push_back(std::move(event));
  }

 private:
  std::vector<WorldEvent>& events_;
};

class MujocoTask {
 public:
  virtual ~MujocoTask() = default;
  // Writes the condition over a fresh copy of the model. mj_setConst follows.
  virtual void apply(const Condition& condition, mjModel& model) = 0;
  // Places things; the data was just reset. mj_forward follows.
  virtual void place(const Condition& condition, const mjModel& model, mjData& data) = 0;
  // After every physics step: contacts, breakage, events. Must be cheap.
  virtual void after_step(const mjModel& model, const mjData& data, EventSink& events) = 0;
  // Once per control period.
  virtual void look(const mjModel& model, const mjData& data, runtime::Rng& noise, std::vector<Sight>& sights) = 0;
  // Before a picture: what is seen only (colours, geom groups) may be written, nothing that physics reads.
  virtual void dress(mjModel& /*model*/) {}
  virtual Outcome outcome(const mjModel& model, const mjData& data) const = 0;
};

// Errors: not_found (no such task), invalid_argument (the model lacks a name the task needs).
Result<std::unique_ptr<MujocoTask>> make_mujoco_task(const WorldConfig& config, const mjModel& model);

// The id of a named thing, or invalid_argument naming it.
Result<int> find_id(const mjModel& model, mjtObj type, const std::string& name);

Result<std::unique_ptr<MujocoTask>> make_drawer_vase_task(const WorldConfig& config, const mjModel& model);
Result<std::unique_ptr<MujocoTask>> make_dish_place_task(const WorldConfig& config, const mjModel& model);

}  // namespace drover::robot

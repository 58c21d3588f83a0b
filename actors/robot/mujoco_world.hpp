// Worlds run by MuJoCo. The engine is hidden: nothing of MuJoCo is in this header.
#pragma once

#include <memory>
#include <string>

#include "actors/robot/world.hpp"
#include "actors/robot/world_config.hpp"

namespace drover::robot {

struct MujocoOptions {
  double timestep_s = 0;  // 0: as world.toml says
};

// One world folder, loaded once; makes any number of independent worlds that share the parsed model.
class MujocoWorlds {
 public:
  // `folder` holds world.toml. Errors: what load_world_config gives; invalid_argument (the model does not parse, or
  // lacks what world.toml or the task names); not_found (no task of this name in this build).
  static Result<MujocoWorlds> load(const std::string& folder, const MujocoOptions& options = {});

  // Errors: invalid_argument as above, for what the task needs of the model. Thread safe.
  Result<std::unique_ptr<World>> make() const;
  const WorldConfig& config() const { return *config_; }

 private:
  MujocoWorlds() = default;
  std::shared_ptr<const WorldConfig> config_;
  std::shared_ptr<const void> model_;  // mjModel
};

}  // namespace drover::robot

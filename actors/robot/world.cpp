#include "actors/robot/world.hpp"

namespace drover::robot {

const Sight* Observation::sight(std::string_view name) const {
  for (const Sight& sight : sights)
    if (sight.name == name) return &sight;
  return nullptr;
}

}  // namespace drover::robot

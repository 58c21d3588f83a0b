// Skill ids: the drawer_vase graph (domain.md 2) and the generic skills of logs.
//
// Mapping files (configs/mappings) may define more; ids below 1000 are Drover's own.
#pragma once

#include <cstdint>
#include <string_view>

namespace drover::datapack {

enum class Skill : int64_t {
  locate_drawer = 0,
  locate_vase = 1,
  plan_safe_approach = 2,
  grasp_handle = 3,
  open_with_clearance = 4,
  retract_safe = 5,
  move = 100,       // generic: the robot moves
  dwell = 101,      // generic: powered, not moving
  stopped = 102,    // generic: stopped by an event
  recording = 103,  // generic: a log without motion channels, whole
};

// "GRASP_HANDLE", "MOVE", ...; empty for an id that is not in the list.
std::string_view skill_name(int64_t skill_id) noexcept;

}  // namespace drover::datapack

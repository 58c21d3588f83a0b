// Which events of a log are alarms of the robot's own controller. Pure, internal to the adapters.
#pragma once

#include <cstdint>
#include <string_view>

#include "actors/semantics/frame.hpp"

namespace drover::semantics {

// 0: none.
inline uint16_t alarm_of_event(std::string_view kind) {
  if (kind == "protective_stop" || kind == "emergency_stop") return alarm_protective_stop;
  return kind == "grip_lost" ? alarm_grip_lost : 0;
}

}  // namespace drover::semantics

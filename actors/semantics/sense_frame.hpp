// Sensed contacts: what hand, fingers and sights say of who touches whom. Pure, internal to the adapters.
#pragma once

#include <cmath>

#include "actors/semantics/frame.hpp"

namespace drover::semantics {

// Fingers that stopped on something and press hold the nearest thing seen; a force at a hand that holds nothing is a
// touch of the nearest thing, or of the surroundings where none is near. `open_m`: width of the open hand.
inline uint16_t sensed_contacts(const RolloutFrame& frame, size_t objects, double open_m) {
  constexpr double held_m_min = 0.003;  // fingers closed further than this hold nothing
  constexpr double press_N_min = 2.0;   // of the fingers
  constexpr double reach_m = 0.12;      // what is held or touched is within it
  constexpr double touch_N = 2.0;
  double nearest_m = reach_m;
  int nearest = -1;
  for (size_t i = 0; i < objects && i < objects_max; ++i) {
    double sum = 0;
    for (size_t k = 0; k < 3; ++k)
      sum += std::pow(static_cast<double>(frame.objects[i].position_m[k] - frame.tool_m[k]), 2);
    if (std::sqrt(sum) >= nearest_m) continue;
    nearest_m = std::sqrt(sum);
    nearest = static_cast<int>(i);
  }
  const double width = static_cast<double>(frame.gripper_m);
  const bool holds = width < 0.97 * open_m && width >= held_m_min && frame.gripper_N >= press_N_min;
  const bool touches = std::hypot(frame.force_N[0], frame.force_N[1], frame.force_N[2]) > touch_N;
  if (nearest >= 0 && (holds || touches)) return static_cast<uint16_t>(1u << nearest);
  return touches ? contact_environment : 0;
}

}  // namespace drover::semantics

// Workload: what simulated robots capture: episodes with datapacks and raw slices, and events. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "actors/sync/robot_store.hpp"

namespace drover::simulate {

// Episode `number` of a robot with its datapack and a raw slice of `slice_bytes`. The same arguments give the same
// bytes; no two episodes share content, except that every eighth repeats the slice of a fleet-wide calibration run.
sync::StoreCapture make_episode(const std::string& robot, uint64_t number, size_t slice_bytes);

}  // namespace drover::simulate

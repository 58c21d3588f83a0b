// Workload: what simulated robots capture: episodes with datapacks and raw slices, events, and outcomes. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "actors/econ/reconcile.hpp"
#include "actors/sync/robot_store.hpp"

namespace drover::simulate {

struct Work {
  size_t slice_bytes = 3'000;
  bool newer_records = false;  // some records are of a kind that only a newer coordinator would know
  bool poison = false;         // a few records kill who applies them
  uint64_t salt = 0;           // decides which
};

// Episode `number` of a robot with its datapack and a raw slice, and some events. The same arguments give the same
// bytes; no two episodes share content, except that every eighth repeats the slice of a fleet-wide calibration run. The
// mark "run" says which number was captured last.
sync::StoreCapture make_episode(const std::string& robot, uint64_t number, const Work& work);
// Standing terms of the fleet: the first robot is one customer's, all others share another, so that money of the same
// time and account comes from several streams. Most datapacks hold a measured MPL; outcome records say otherwise of
// some, twice, out of order, or of the episode before.
econ::ReconcileConfig books_config();
// Of those records: how many no coordinator can take, and has to set aside with a reason.
uint64_t refused_records(const std::string& robot, uint64_t number, const Work& work);

}  // namespace drover::simulate

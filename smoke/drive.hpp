// Drive: one smoke run from the first log to the last chunk, with faults in the middle.
//
// The course is made of steps that wait for facts, never for time: half of the logs arrive while robots with a body
// act; robot B is killed in the middle of an episode while it holds records; the rest of its logs arrive while it is
// dead; it comes back; robot A's link is cut; the coordinator is killed while logs arrive, and comes back; then
// everything must drain.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "smoke/fleet.hpp"
#include "smoke/inputs.hpp"
#include "smoke/live.hpp"

namespace drover::smoke {

struct Course {
  std::vector<Moment> moments;  // at most 50 per second
  std::vector<Mark> marks;
  FleetView last;
  double drained_s = 0;
  uint64_t kills = 0;
  uint64_t cuts = 0;
  uint64_t coordinator_kills = 0;
};

struct DriveOptions {
  double deadline_s = 60;
  const std::atomic<bool>* interrupted = nullptr;
};

// Errors: timeout (what did not happen, or what did not drain), refused (interrupted), those of the nodes' starts.
Status drive(Fleet& fleet, const Inputs& inputs, const DriveOptions& options, Live& live, Course& course);

}  // namespace drover::smoke

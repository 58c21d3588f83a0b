// Schedule: what is done to a fleet of real processes, and when. A pure function of the options: the same seed gives
// the same faults at the same times.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace drover::real {

enum class Fault : uint8_t {
  kill,         // kill -9, started again at once
  pause,        // SIGSTOP, later SIGCONT
  reset,        // every connection of a robot is reset
  partition,    // one way or both
  bad_line,     // delay and loss
  full_disk,    // of a robot or the coordinator
  garbage,      // hostile clients at the coordinator's port
  certificate,  // expired, foreign and wrong certificates
  clock_jump,   // of one process's wall clock
  damage,       // a store file of a robot is damaged; the robot is re-imaged
};
inline constexpr size_t fault_count = 10;
std::string_view fault_name(Fault fault) noexcept;

struct Planned {
  uint32_t at_ms = 0;        // from the beginning of the faults
  uint32_t duration_ms = 0;  // 0: it is over at once
  Fault fault = Fault::kill;
  uint32_t target = 0;  // process; for faults of links a robot
  uint64_t draw = 0;    // decides what is left open
};

struct ScheduleOptions {
  uint64_t seed = 0;
  uint32_t duration_ms = 0;  // every fault begins and ends in it
  uint32_t robots = 3;       // the coordinator is process number `robots`
  uint32_t faults = 0;       // how many in all; 0: one every five seconds, at least one of each kind
};

// In the order of at_ms. Of any two kinds of faults the numbers differ by one at most.
std::vector<Planned> plan(const ScheduleOptions& options);

}  // namespace drover::real

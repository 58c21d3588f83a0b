// Faults: what goes wrong in a simulated run, as a list that a seed draws, a run plays and the shrinker shortens. Pure.
//
// Swarm testing (Groce et al. 2012): each seed draws which kinds of fault exist at all and how often each strikes, so
// that rare kinds are not always drowned by common ones.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "stress/sim/faulty_disk.hpp"

namespace drover::simulate {

enum class FaultKind : uint8_t {
  cut,                 // the link ends at once, both sides see it
  stall,               // the link carries nothing for `value` ms and says nothing
  offline,             // no connection for `value` ms
  latency,             // each write takes `value` ms from now on
  kill_robot,          // actors from `value` (0 store, 1 uplink, 2 outbox) on are killed and started again
  kill_middle,         // the same after `value` deliveries into whatever is being done
  kill_centre,         // actors from `value` (0 inbox, 1 centre, 2 listener, 3 sessions) on
  reimage,             // a new disk under a new incarnation
  power_robot,         // the power goes at the `value`-th disk operation from now, and comes back after down_ms
  power_centre,        // the same at the coordinator
  disk_full,           // a robot's disk (robot = number of robots: the coordinator's) takes nothing for `value` ms
  clock,               // a wall clock jumps by `value` ms (robot as above)
  kill_centre_middle,  // as kill_middle, at the coordinator
  count_
};
inline constexpr size_t fault_kinds = static_cast<size_t>(FaultKind::count_);
std::string_view fault_name(FaultKind kind) noexcept;

struct Fault {
  int64_t at_ms = 0;
  FaultKind kind = FaultKind::cut;
  uint32_t robot = 0;
  int64_t value = 0;
  Loss loss = Loss::dropped;  // of what was not synced, when the power goes
  int64_t down_ms = 0;
  bool operator==(const Fault&) const = default;
};
std::string text_of(const Fault& fault);

struct FaultPlan {
  uint32_t robots = 3;
  int64_t duration_ms = 600'000;
  double per_robot_hour = 120;  // faults of all kinds together, on average; 0: none
  int64_t offline_ms_max = 120'000;
  bool reimages = true;
  bool disks = true;  // power losses and full disks
};
// In time order. The same seed and plan give the same list.
std::vector<Fault> draw_faults(uint64_t seed, const FaultPlan& plan);

}  // namespace drover::simulate

// Story: one seed from beginning to end: robots work, faults strike, then everything heals and must converge.
//
// Safety: at every look, and each time a node comes back after a power loss, the audit balances (each record and chunk
// in exactly one state, nothing that was acknowledged is gone), a capture that was confirmed is there, what is in
// flight or waits for a disk keeps its bounds, less valuable chunks go first, robots' knowledge never goes back, and no
// `error` is logged that the faults do not explain. Liveness: after the last fault the backlog drains within
// drain_ms_max of virtual time, no lane is halted, every robot has the newest knowledge, and every episode that was
// captured on a disk that still lives is at the centre exactly once. Where no fault took a disk and no quota bound, the
// centre ends byte-equal to a twin run without faults.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "messages/buggify.hpp"
#include "messages/hash.hpp"
#include "stress/sim/faults.hpp"

namespace drover::simulate {

struct StoryPlan {
  uint64_t seed = 1;
  FaultPlan faults;
  double episodes_per_robot_hour = 120;
  uint32_t slice_bytes = 3'000;
  uint32_t ping_period_ms = 2'000;
  uint64_t blob_idle_ms = 1'000;
  uint32_t audits = 8;                 // looks while faults strike
  uint32_t returns_audited = 100'000;  // looks when a node comes back, at most: each reads every store
  int64_t drain_ms_max = 600'000;
  bool twin = true;
  bool books = true;  // the coordinator keeps books, and they are judged
  uint64_t books_period_ms = 1'000;
  bool quotas = true;           // half of the robots get a disk that is too small for all their slices
  bool odd = true;  // records of newer kinds, records that kill, slow and narrow coordinators, rare events (buggify)
  buggify::Bug bug = buggify::Bug::none;  // seeded, for the testers' own test
};

// How often rare paths were reached, over the whole run.
enum class Probe : uint8_t {
  links,             // sessions established
  resent_blocks,     // blocks sent a second time
  blocks_not_taken,  // the centre answered gap, overloaded or similar
  robot_restarts,
  centre_restarts,
  kills_in_the_middle,
  capture_waited,  // the store was full and the robot had to wait
  evictions,       // receipts for chunks that made room
  reimages,
  shared_chunks,    // settled without being sent, because another robot had sent them
  power_losses,     // of robots and the centre
  torn_writes,      // unsynced writes at the moment of a power loss
  full_disks,       // operations that a full disk refused
  refused_records,  // set aside at the centre with a reason: newer kinds, poison
  deaths,           // of the centre's actor by poison
  knowledge,        // versions published
  postings,         // of money, in the end
  reversals,        // of them: because another outcome counts
  count_
};
inline constexpr size_t probes = static_cast<size_t>(Probe::count_);
std::string_view probe_name(Probe probe) noexcept;

struct StoryResult {
  std::string failure;  // empty: everything held
  uint64_t trace = 0;   // hash over every delivery, and the end of the centre
  Hash end{};           // of the coordinator's canonical dump
  uint64_t faults = 0;
  uint64_t deliveries = 0;
  uint64_t episodes = 0;
  uint64_t records = 0;
  int64_t virtual_ms = 0;
  int64_t drain_ms = 0;
  std::array<uint64_t, probes> probe{};
  std::array<uint64_t, buggify::sites> fired{};  // rare events of messages/buggify.hpp
  uint64_t bug_reached = 0;                      // how often the seeded bug's line ran
};

// Plays `faults` (in time order). Works in a folder of its own under `folder`, which it removes.
StoryResult play(const StoryPlan& plan, const std::vector<Fault>& faults, const std::string& folder);

}  // namespace drover::simulate

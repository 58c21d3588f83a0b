// Made-up logs of the kinds Drover reads, for smoke runs and tests on machines without a robot.
//
// Invariants: the same options give the same bytes; every file name starts with `generated_` and every file says inside
// that it was generated (CSV: a comment line; MCAP: a metadata record), so that its episodes are labelled synthetic.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "messages/result.hpp"

namespace drover::capture {

struct GenerateOptions {
  uint64_t seed = 1;
  uint32_t episodes = 12;                             // per file; 1 .. 100,000
  int64_t start_unix_ns = 1'704'096'000'000'000'000;  // 2024-01-01 08:00 UTC; must be 1970 to 2190
  bool faults = true;                                 // protective stops, lost grips, blank cells, a gap
};

struct GeneratedLog {
  std::string name;
  std::string content;
  uint64_t rows = 0;              // samples or messages
  uint64_t episodes = 0;          // as the shipped mappings cut them
  uint64_t protective_stops = 0;  // onsets
  uint64_t grips_lost = 0;        // onsets
  uint64_t gaps = 0;              // that cut an episode
};

// UR3 (`;`, decimal commas, 1 Hz, cycle counter), UR3e (RTDE columns, 25 Hz, motions apart by pauses) and ROS 2 bag
// (JointState at 50 Hz, an episode_start topic). Errors: invalid_argument.
Result<GeneratedLog> generate_ur3(const GenerateOptions& options);
Result<GeneratedLog> generate_ur3e(const GenerateOptions& options);
Result<GeneratedLog> generate_ros2(const GenerateOptions& options);

// One of each.
Result<std::vector<GeneratedLog>> generate_logs(const GenerateOptions& options);

}  // namespace drover::capture

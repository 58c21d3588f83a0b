// Inputs: which logs a smoke run uses, which robot gets which, and what must therefore arrive at the centre.
//
// What must arrive is counted by reading the logs here, straight through the log sources, without actors, stores or
// network: an account of the same files that the runtime had no part in.
// Invariant: the same files give the same plan, whatever order the folder lists them in.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actors/capture/mapping.hpp"
#include "messages/hash.hpp"
#include "messages/result.hpp"

namespace drover::smoke {

inline constexpr size_t robot_count = 3;

struct ExpectedEpisode {
  std::string episode_id;
  uint64_t ordinal = 0;  // within its file
  int64_t start_unix_ns = 0;
  uint64_t rows = 0;
  uint64_t slice_bytes = 0;  // raw bytes of the episode
  Hash slice_hash{};
  uint64_t frames = 0;  // that its slice gives to segmentation; 0: nothing in it shows whether the robot moves
};

struct LogFile {
  std::string path;  // where it is
  std::string name;  // in the spool of its robot; unique there
  std::string kind;  // of the mapping
  Hash hash{};
  uint64_t size_bytes = 0;
  size_t robot = 0;
  bool repeated = false;  // the same content as another file: must not be captured again
  std::vector<ExpectedEpisode> episodes;
};

struct Inputs {
  bool generated = false;
  std::vector<LogFile> files;                                   // by robot, then name
  std::vector<std::pair<std::string, std::string>> left_aside;  // path, reason: not a log that a mapping knows
  uint64_t episodes() const;
  uint64_t size_bytes() const;
};

using Mappings = std::vector<std::shared_ptr<const capture::Mapping>>;

// Writes made-up logs of each kind into `folder`. Errors: invalid_argument, io.
Status generate_into(const std::string& folder, uint64_t seed, uint32_t episodes);

// Finds *.csv and *.mcap below `folder` and plans them. Errors: not_found (no folder, or no log in it), io.
Result<Inputs> plan_inputs(const std::string& folder, const Mappings& mappings, const std::vector<std::string>& robots);

}  // namespace drover::smoke

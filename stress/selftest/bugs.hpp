// The seeded bugs (messages/buggify.hpp) by name, and the hunt that has to find each.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "messages/buggify.hpp"

namespace drover::simulate {

enum class Hunt : uint8_t {
  sim,     // a small fleet under faults (drover stress sim)
  steps,   // the power goes at a random step (drover stress steps)
  stores,  // models (models.hpp)
  runtime,
  spool,
  audit,
};
std::string_view hunt_name(Hunt hunt) noexcept;

struct SeededBug {
  buggify::Bug bug{};
  std::string_view name;
  Hunt hunt{};
  std::string_view what;
};
const std::vector<SeededBug>& seeded_bugs();

struct HuntResult {
  std::string found;         // what was wrong; empty: everything held
  uint64_t bug_reached = 0;  // how often the wrong line ran
};
// One seed of a hunt with a bug switched on (or none).
HuntResult hunt(Hunt which, buggify::Bug bug, uint64_t seed, const std::string& folder);

}  // namespace drover::simulate

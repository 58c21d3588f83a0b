// Backoff: how long a client waits before it dials again. Doubles from min to max; the upper half of each pause is
// drawn at random, so that a fleet that lost its centre does not come back in one instant.
//
// Invariant: min_ms / 2 <= next_ms() <= max_ms. Deterministic for a given generator.
#pragma once

#include <algorithm>
#include <cstdint>

#include "actors/runtime/rng.hpp"

namespace drover::network {

class Backoff {
 public:
  // 1 <= min_ms <= max_ms.
  Backoff(uint32_t min_ms, uint32_t max_ms, runtime::Rng rng)
      : min_ms_(min_ms), max_ms_(max_ms), current_ms_(min_ms), rng_(rng) {}

  uint32_t next_ms() {
    const uint64_t ceiling_ms = current_ms_;
    current_ms_ = std::min(current_ms_ * 2, uint64_t{max_ms_});
    const uint64_t half_ms = ceiling_ms / 2;
    return static_cast<uint32_t>(half_ms + rng_.below(ceiling_ms - half_ms + 1));
  }
  // The link was up: start from min_ms again.
  void reset() { current_ms_ = min_ms_; }

 private:
  uint32_t min_ms_;
  uint32_t max_ms_;
  uint64_t current_ms_;
  runtime::Rng rng_;
};

}  // namespace drover::network

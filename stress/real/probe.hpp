// Probe: a robot's own uplink, in this process, that fills its link with bulk and measures what control traffic feels.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "actors/network/authority.hpp"
#include "messages/result.hpp"

namespace drover::real {

struct ProbeOptions {
  uint16_t port = 0;  // where the coordinator is found
  std::string id;     // of the robot that it is
  network::Credentials credentials;
  uint32_t duration_ms = 0;
  uint32_t block_bytes = 16 << 10;
  uint32_t blocks_waiting = 8;              // sent and not acknowledged: what a robot's outbox keeps on the way
  uint32_t pause_ms = 0;                    // after each acknowledgement; 0: the link is kept full
  const std::atomic<bool>* stop = nullptr;  // ends it before its time
};

struct ProbeResult {
  std::vector<double> heartbeats_at_s;  // since the probe began, one for each below
  std::vector<double> heartbeats_ms;    // ping to pong
  std::vector<double> acks_at_s;
  std::vector<double> acks_ms;  // a block handed to the uplink, to the word that it is on the centre's disk
  uint64_t blocks = 0;
  uint64_t bytes = 0;
  double seconds = 0;
};

// Errors: unavailable (no session), those of the network.
Result<ProbeResult> probe(const ProbeOptions& options);

}  // namespace drover::real

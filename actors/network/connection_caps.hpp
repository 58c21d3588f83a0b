// ConnectionCaps: who may connect, so that no address and no crowd can use up the centre. Pure.
//
// A connection is `greeting` from accept until its hello was answered, then `greeted`. Both count towards the totals;
// the greeting ones have tighter caps of their own, so that idle connections (slow handshakes, port scans) never take
// the places of robots.
//
// Invariant: every admitted connection is released exactly once; counts never go negative.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "actors/network/limits.hpp"
#include "messages/result.hpp"

namespace drover::network {

class ConnectionCaps {
 public:
  explicit ConnectionCaps(const Limits& limits) : limits_(limits) {}

  // A new greeting connection. Errors: overloaded, naming the cap that binds; nothing is counted then.
  Status admit(const std::string& address);
  // Its hello was answered.
  void greeted(const std::string& address);
  // It is gone; `was_greeted` as it was left.
  void release(const std::string& address, bool was_greeted);

  uint32_t total() const noexcept { return total_; }
  uint32_t greeting() const noexcept { return greeting_; }
  size_t addresses() const noexcept { return by_address_.size(); }

 private:
  struct Count {
    uint32_t total = 0;
    uint32_t greeting = 0;
  };
  Limits limits_;
  uint32_t total_ = 0;
  uint32_t greeting_ = 0;
  std::map<std::string, Count> by_address_;
};

}  // namespace drover::network

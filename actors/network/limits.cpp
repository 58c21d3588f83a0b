#include "actors/network/limits.hpp"

#include <string_view>

namespace drover::network {

namespace {

struct Checker {
  std::vector<std::string> problems;

  void range(std::string_view field, uint64_t value, uint64_t low, uint64_t high) {
    if (value >= low && value <= high) return;
    problems.push_back(std::string(field) + ": " + std::to_string(value) + " is outside " + std::to_string(low) +
                       " .. " + std::to_string(high));
  }
};

}  // namespace

std::vector<std::string> validate(const Limits& limits) {
  Checker check;
  constexpr uint64_t kib = 1024, mib = 1024 * kib;
  check.range("message_bytes_max", limits.message_bytes_max, 64 * kib, 1024 * mib);
  check.range("nesting_max", limits.nesting_max, 8, 64);
  check.range("hello_bytes_max", limits.hello_bytes_max, kib, mib);
  check.range("block_bytes_max", limits.block_bytes_max, 4 * kib,
              limits.message_bytes_max > 8 * kib ? limits.message_bytes_max - 4 * kib : 4 * kib);
  check.range("query_bytes_max", limits.query_bytes_max, kib, 16 * mib);
  check.range("wants_items_max", limits.wants_items_max, 1, 100'000);
  check.range("handshake_timeout_ms", limits.handshake_timeout_ms, 100, 60'000);
  check.range("hello_timeout_ms", limits.hello_timeout_ms, 100, 60'000);
  check.range("call_timeout_ms", limits.call_timeout_ms, 100, 600'000);
  check.range("ping_period_ms", limits.ping_period_ms, 10, 600'000);
  check.range("ping_timeout_ms", limits.ping_timeout_ms, 100, 600'000);
  check.range("idle_timeout_ms", limits.idle_timeout_ms, 2 * uint64_t{limits.ping_period_ms} + 1, 3'600'000);
  check.range("backoff_max_ms", limits.backoff_max_ms, 1, 3'600'000);
  check.range("backoff_min_ms", limits.backoff_min_ms, 1, limits.backoff_max_ms);
  check.range("accept_retry_ms", limits.accept_retry_ms, 1, 10'000);
  check.range("tcp_user_timeout_ms", limits.tcp_user_timeout_ms, 0, 3'600'000);
  check.range("connections_max", limits.connections_max, 1, 100'000);
  check.range("connections_per_address_max", limits.connections_per_address_max, 1, 100'000);
  check.range("greetings_max", limits.greetings_max, 1, limits.connections_max);
  check.range("greetings_per_address_max", limits.greetings_per_address_max, 1, limits.greetings_max);
  check.range("sessions_per_node_max", limits.sessions_per_node_max, 1, 10'000);
  check.range("window_bytes", limits.window_bytes, 64 * kib, 256 * mib);
  check.range("calls_in_flight_max", limits.calls_in_flight_max, 8, 65'536);
  check.range("write_queue_bytes", limits.write_queue_bytes, 4 * kib, 64 * mib);
  check.range("bulk_queue_bytes", limits.bulk_queue_bytes, 64 * kib, 1024 * mib);
  check.range("send_buffer_bytes", limits.send_buffer_bytes, 16 * kib, 16 * mib);
  check.range("log_repeat_ms", limits.log_repeat_ms, 1'000, 86'400'000);
  return std::move(check.problems);
}

}  // namespace drover::network

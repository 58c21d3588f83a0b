// Every bound of the network in one place: sizes, deadlines, caps and windows, for both ends of a session.
// Each field states its meaning, unit, range and default; validate() reports all problems at once.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace drover::network {

struct Limits {
  // ---- sizes of what may arrive
  uint64_t message_bytes_max = 24u << 20;  // largest single RPC message accepted; 64 KiB .. 1 GiB
  uint32_t nesting_max = 32;               // deepest pointer nesting read in a message; 8 .. 64
  uint64_t hello_bytes_max = 16u << 10;    // most bytes accepted from a peer before its hello; 1 KiB .. 1 MiB
  uint32_t block_bytes_max = 16u << 20;    // largest journal block or chunk piece; 4 KiB .. message_bytes_max - 4 KiB
  uint32_t query_bytes_max = 1u << 20;     // largest query or reply text; 1 KiB .. 16 MiB
  uint32_t wants_items_max = 4096;         // most chunk wants in one answer; 1 .. 100,000

  // ---- deadlines
  uint32_t handshake_timeout_ms = 5'000;  // connect plus TLS; 100 .. 60,000
  uint32_t hello_timeout_ms = 5'000;      // from the end of TLS to the answered hello; 100 .. 60,000
  uint32_t call_timeout_ms = 30'000;      // one call, from being sent to being answered; 100 .. 600,000
  uint32_t idle_timeout_ms = 20'000;      // server: a session without any call is closed; > 2 x ping_period_ms
  uint32_t ping_period_ms = 2'000;        // client: pause between pings; 10 .. 600,000
  uint32_t ping_timeout_ms = 6'000;       // client: an unanswered ping means the link is down; 100 .. 600,000
  uint32_t backoff_min_ms = 100;          // client: first pause before dialling again; 1 .. backoff_max_ms
  uint32_t backoff_max_ms = 10'000;       // client: longest pause before dialling again; .. 3,600,000
  uint32_t accept_retry_ms = 100;         // server: pause after accept failed (no descriptors); 1 .. 10,000
  uint32_t tcp_user_timeout_ms = 10'000;  // kernel: unacknowledged data this old ends the connection; 0: kernel default

  // ---- caps on connections (server)
  uint32_t connections_max = 4096;              // all connections, greeted or not; 1 .. 100,000
  uint32_t connections_per_address_max = 1024;  // per network address; raise it where many robots share one (NAT)
  uint32_t greetings_max = 256;                 // connections that have not said hello yet; 1 .. connections_max
  uint32_t greetings_per_address_max = 64;      // the same per address; 1 .. greetings_max
  uint32_t sessions_per_node_max = 8;           // sessions of one trainer or operator; robots have one, the newest wins

  // ---- windows
  uint64_t window_bytes = 4u << 20;    // bulk bytes of one session sent and not yet answered; 64 KiB .. 256 MiB
  uint32_t calls_in_flight_max = 512;  // server: calls of one session being served; 8 .. 65,536
  uint64_t write_queue_bytes =
      64u << 10;                          // client: bulk waits while this much is unwritten; bounds the delay of a ping
  uint64_t bulk_queue_bytes = 16u << 20;  // client: bulk waiting for the window; over it: overloaded
  uint32_t send_buffer_bytes = 128u << 10;  // unsent bytes the kernel takes (TCP_NOTSENT_LOWAT); 16 KiB .. 16 MiB

  // ---- logs
  uint32_t log_repeat_ms = 60'000;  // the same trouble from the same address is logged at most this often; 1,000 ..
};

// One line per problem, "field: what is wrong", all at once; empty when everything is in range.
std::vector<std::string> validate(const Limits& limits);

}  // namespace drover::network

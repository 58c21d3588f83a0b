#include "nodes/config/network_config.hpp"

namespace drover::nodes {
namespace {

constexpr int64_t KiB = int64_t{1} << 10;
constexpr int64_t MiB = int64_t{1} << 20;
constexpr int64_t GiB = int64_t{1} << 30;

void describe_sizes(Fields& fields, NetworkConfig& limits) {
  fields.bytes("message_bytes_max", limits.message_bytes_max, {.min = 64 * KiB, .max = GiB},
               "Largest single RPC message that is accepted.");
  fields.number("nesting_max", limits.nesting_max, {.min = 8, .max = 64}, "levels",
                "Deepest nesting that is read in a message.");
  fields.bytes("hello_bytes_max", limits.hello_bytes_max, {.min = KiB, .max = MiB},
               "Most bytes that are accepted from a peer before its hello.");
  fields.bytes("block_bytes_max", limits.block_bytes_max, {.min = 4 * KiB, .max = GiB},
               "Largest journal block or blob piece; at least 4 KiB below message_bytes_max.");
  fields.bytes("query_bytes_max", limits.query_bytes_max, {.min = KiB, .max = 16 * MiB},
               "Largest text of a query or of its reply.");
  fields.number("wants_items_max", limits.wants_items_max, {.min = 1, .max = 100'000}, "chunks",
                "Most chunks in one answer to what the centre wants.");
}

void describe_deadlines(Fields& fields, NetworkConfig& limits) {
  fields.duration_ms("handshake_timeout_ms", limits.handshake_timeout_ms, {.min = 100, .max = 60'000},
                     "Time to connect and to finish TLS.");
  fields.duration_ms("hello_timeout_ms", limits.hello_timeout_ms, {.min = 100, .max = 60'000},
                     "Time from the end of TLS to the answered hello.");
  fields.duration_ms("call_timeout_ms", limits.call_timeout_ms, {.min = 100, .max = 600'000},
                     "Time of one call, from being sent to being answered.");
  fields.duration_ms("idle_timeout_ms", limits.idle_timeout_ms, {.min = 100, .max = 3'600'000},
                     "Server: a session without any call for so long is closed; above twice ping_period_ms.");
  fields.duration_ms("ping_period_ms", limits.ping_period_ms, {.min = 10, .max = 600'000},
                     "Client: pause between signs of life.");
  fields.duration_ms("ping_timeout_ms", limits.ping_timeout_ms, {.min = 100, .max = 600'000},
                     "Client: a sign of life unanswered for so long means that the link is down.");
  fields.duration_ms("backoff_min_ms", limits.backoff_min_ms, {.min = 1, .max = 3'600'000},
                     "Client: first pause before dialling again; it doubles, with jitter.");
  fields.duration_ms("backoff_max_ms", limits.backoff_max_ms, {.min = 1, .max = 3'600'000},
                     "Client: longest pause before dialling again.");
  fields.duration_ms("accept_retry_ms", limits.accept_retry_ms, {.min = 1, .max = 10'000},
                     "Server: pause after the machine refused to accept a connection (no descriptors left).");
  fields.duration_ms("tcp_user_timeout_ms", limits.tcp_user_timeout_ms, {.min = 0, .max = 3'600'000},
                     "Kernel: unacknowledged data so old ends the connection. 0 keeps the kernel's default.");
}

void describe_caps(Fields& fields, NetworkConfig& limits) {
  fields.number("connections_max", limits.connections_max, {.min = 1, .max = 100'000}, "connections",
                "Server: connections in all, greeted or not.");
  fields.number("connections_per_address_max", limits.connections_per_address_max, {.min = 1, .max = 100'000},
                "connections", "Server: connections of one network address; raise it where many robots share one.");
  fields.number("greetings_max", limits.greetings_max, {.min = 1, .max = 100'000}, "connections",
                "Server: connections that have not said hello yet.");
  fields.number("greetings_per_address_max", limits.greetings_per_address_max, {.min = 1, .max = 100'000},
                "connections", "Server: the same of one network address.");
  fields.number("sessions_per_node_max", limits.sessions_per_node_max, {.min = 1, .max = 10'000}, "sessions",
                "Server: sessions of one trainer or operator. A robot has one; the newest wins.");
}

void describe_windows(Fields& fields, NetworkConfig& limits) {
  fields.bytes("window_bytes", limits.window_bytes, {.min = 64 * KiB, .max = 256 * MiB},
               "Bulk bytes of one session that are sent and not yet answered.");
  fields.number("calls_in_flight_max", limits.calls_in_flight_max, {.min = 8, .max = 65'536}, "calls",
                "Server: calls of one session that are being served.");
  fields.bytes("write_queue_bytes", limits.write_queue_bytes, {.min = 4 * KiB, .max = 64 * MiB},
               "Client: bulk waits while so much is unwritten; bounds the delay of control traffic.");
  fields.bytes("bulk_queue_bytes", limits.bulk_queue_bytes, {.min = 64 * KiB, .max = GiB},
               "Client: bulk that may wait for the window; more is refused as overloaded.");
  fields.bytes("send_buffer_bytes", limits.send_buffer_bytes, {.min = 16 * KiB, .max = 16 * MiB},
               "Unsent bytes that the kernel takes for one connection.");
  fields.duration_ms("log_repeat_ms", limits.log_repeat_ms, {.min = 1000, .max = 86'400'000},
                     "The same trouble with the same address is logged at most this often.");
}

}  // namespace

void describe(Fields& fields, NetworkConfig& limits) {
  fields.section("network", "Sizes, deadlines, caps and windows of sessions. The defaults fit most fleets.");
  describe_sizes(fields, limits);
  describe_deadlines(fields, limits);
  describe_caps(fields, limits);
  describe_windows(fields, limits);
}

void validate_network(const NetworkConfig& limits, Problems& problems) {
  for (const std::string& line : network::validate(limits)) {
    const size_t colon = line.find(": ");
    const std::string key = "network." + line.substr(0, colon);
    problems.add(key, colon == std::string::npos ? line : line.substr(colon + 2));
  }
}

}  // namespace drover::nodes

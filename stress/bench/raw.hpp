// Raw limits: what the disk, LMDB, TLS and Redis do with the same bytes and nothing around them.
#pragma once

#include <optional>

#include "actors/network/authority.hpp"
#include "bench.hpp"

namespace drover::bench {

// A fleet of this run: valid for a day.
network::AuthorityPem authority();
network::Credentials credentials(const network::AuthorityPem& authority, network::Role role, const std::string& id);

struct RawLoad {
  uint64_t values = 0;        // how many
  size_t value_bytes = 0;     // of each
  uint64_t group_values = 1;  // values in one commit
  bool sync = true;
};

// Seconds for plain LMDB puts under increasing 8-byte keys, one commit per group. No checksums, no framing.
double raw_lmdb_seconds(const Settings& settings, const RawLoad& load);

// Seconds for appending the same groups to a file, fdatasync after each when `sync`.
double raw_file_seconds(const Settings& settings, const RawLoad& load);

// Seconds for `connections` times load.values writes of value_bytes over TLS on loopback, read at the other end, one
// thread per end, mutual certificates as the product uses.
double raw_tls_seconds(size_t connections, uint64_t values_each, size_t value_bytes);

struct RedisLoad {
  uint64_t requests = 0;
  size_t value_bytes = 400;
  bool stream = true;  // XADD, else SET of random keys
  bool sync = true;    // appendfsync always, else everysec
};
// Requests per second of redis-benchmark, 3 clients, pipeline 100. Nothing where redis is not installed.
std::optional<double> redis_rate(const Settings& settings, const RedisLoad& load);

}  // namespace drover::bench

// The parts of a configuration that every daemon has: identity, certificates, logs, service behaviour.
#pragma once

#include <cstdint>
#include <string>

#include "nodes/config/fields.hpp"

namespace drover::nodes {

struct IdentityConfig {
  std::string id;     // node id, [a-z0-9._-]{1,64}; must be that of the certificate. Required
  uint64_t seed = 0;  // root of every random choice; 0: drawn at start and logged
};

// PEM files as `drover enroll` writes them.
struct TlsConfig {
  std::string ca_file = "pki/ca.pem";      // whom to believe
  std::string cert_file = "pki/node.pem";  // who we are
  std::string key_file = "pki/node.key";   // mode 0600
};

// The frozen gates: how much records are trusted and weigh (configs/gates).
struct GatesConfig {
  std::string dir = "gates";    // manifest.toml and the files it names
  std::string manifest_sha256;  // pins the manifest; empty: it is believed as it is
};

struct LogConfig {
  enum class Format : uint8_t { text, json };
  enum class Level : uint8_t { debug, info, warn, error };
  Format format = Format::text;
  Level level = Level::info;  // least level that is written
};

struct ServiceConfig {
  int64_t stop_deadline_ms = 10'000;  // from SIGTERM to a forced exit; 100 ms .. 10 min
  int64_t status_period_ms = 5'000;   // how often the service manager gets a status line; 100 ms .. 1 h
};

// `example` is the node id in the documented file.
void describe(Fields& fields, IdentityConfig& config, const std::string& example);
void describe(Fields& fields, TlsConfig& config);
void describe(Fields& fields, GatesConfig& config, const std::string& purpose);
void describe(Fields& fields, LogConfig& config);
void describe(Fields& fields, ServiceConfig& config);

// Empty, or what is wrong with "host:port" or "[v6]:port". The port must be 1..65535 (0 too, if a listener may choose).
std::string check_address(const std::string& text, bool port_zero_allowed);
// Empty, or what is wrong with a node id.
std::string check_node_id(const std::string& text);

}  // namespace drover::nodes

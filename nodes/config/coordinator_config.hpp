// What `drover coordinator` is told: one plain struct with every default. Units and ranges:
// coordinator_config.cpp and configs/coordinator.toml, which is made from it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nodes/config/common_config.hpp"
#include "nodes/config/network_config.hpp"

namespace drover::nodes {

struct CentralStoreConfig {
  std::string dir;                             // Required
  uint64_t map_initial_bytes = 256u << 20;     // 1 MiB .. 1 TiB
  uint64_t map_max_bytes = uint64_t{1} << 40;  // 16 MiB .. 16 TiB
  uint64_t free_reserve_bytes = uint64_t{1} << 30;
  int64_t commit_delay_max_ms = 2;       // group commit waits at most so long for more; 0 .. 1 s
  uint64_t commit_bytes_max = 8u << 20;  // or until it has so many bytes; 64 KiB .. 256 MiB
};

struct CentralBlobConfig {
  uint64_t wants_bytes_max = 8u << 20;                // asked of one robot at a time; 64 KiB .. 1 GiB
  uint64_t budget_bytes_per_s = uint64_t{256} << 20;  // of all robots together; 0: no blobs are asked for
};

struct KnowledgeConfig {
  std::string signing_key_file;  // Ed25519, PEM; empty: this coordinator publishes no knowledge
};

struct SemanticsConfig {
  bool enabled = true;
  std::string configs_dir = "semantics";  // vocabulary.toml and the rest
  int64_t period_ms = 2000;               // 100 ms .. 1 h
  int64_t publish_ms = 10'000;            // 100 ms .. 1 d
};

struct NoveltySettings {
  bool enabled = true;
  int64_t period_ms = 2000;    // 100 ms .. 1 h
  uint32_t neighbours = 5;     // 1 .. 16
  double facts_scale = 0.35;   // 0.001 .. 100
  double visual_scale = 0.04;  // 0.001 .. 100
};

struct EconSettings {
  bool enabled = true;
  std::string config_file = "econ/reconciliation.toml";
  int64_t period_ms = 2000;  // 100 ms .. 1 h
};

struct FleetConfig {
  std::vector<std::string> allowed_robots;  // node ids; empty: every robot with a certificate of our authority
};

struct StatusConfig {
  std::string file;          // JSON, rewritten atomically; empty: none
  int64_t period_ms = 2000;  // 100 ms .. 1 h
};

struct CoordinatorConfig {
  IdentityConfig node;
  CentralStoreConfig store;
  std::string listen_address = "0.0.0.0:7447";
  FleetConfig fleet;
  TlsConfig tls;
  CentralBlobConfig blobs;
  KnowledgeConfig knowledge;
  SemanticsConfig semantics;
  NoveltySettings novelty;
  GatesConfig gates;
  EconSettings econ;
  StatusConfig status;
  NetworkConfig network;
  LogConfig log;
  ServiceConfig service;
};

void describe(Fields& fields, CoordinatorConfig& config);
// Rules between keys. Adds problems.
void validate(const CoordinatorConfig& config, Problems& problems);

}  // namespace drover::nodes

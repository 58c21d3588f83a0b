// What `drover robot` is told: one plain struct with every default. Units and ranges: robot_config.cpp and
// configs/robot.toml, which is made from it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "actors/sync/blob_lane.hpp"
#include "actors/sync/outbox.hpp"
#include "nodes/config/common_config.hpp"
#include "nodes/config/network_config.hpp"

namespace drover::nodes {

struct SpoolConfig {
  std::string path;              // folder that is watched. Required
  std::string mapping = "auto";  // name of a mapping, or auto: the one that fits each file
};

struct RobotStoreConfig {
  std::string dir;                                  // Required
  uint64_t map_initial_bytes = 64u << 20;           // 1 MiB .. 1 TiB
  uint64_t map_max_bytes = uint64_t{64} << 30;      // 16 MiB .. 16 TiB
  uint64_t quota_bytes = uint64_t{32} << 30;        // of blobs; 1 MiB ..
  uint64_t free_reserve_bytes = uint64_t{1} << 30;  // of the disk, left alone; 0 ..
};

struct CaptureConfig {
  std::string mappings_dir = "mappings";
  std::string econ_file = "econ/default.toml";
  std::string baseline_file = "baselines/default.toml";
  int64_t poll_ms = 1000;     // 10 ms .. 1 h
  uint32_t stable_polls = 2;  // 1 .. 100
  bool skip_duplicates = true;
  bool segment = true;                      // episodes are cut into segments and tagged on this robot
  std::string semantics_dir = "semantics";  // what segmenting and tagging go by
  std::vector<SpoolConfig> spools;  // 0 .. 64
};

// A simulated body. The robot runs episodes in it and captures them.
struct BodyConfig {
  std::string dir;                            // a world's folder; empty: none
  std::string set = "nominal";                // of conditions, or mix: one of the world's for each episode
  std::string policy = "script";              // what acts
  uint64_t seed = 0;                          // of episode 0, the next has the next; 0: from node.seed and node.id
  uint64_t episodes = 0;                      // in all, over restarts; 0: without end
  int64_t pause_ms = 0;                       // between episodes; 0 .. 1 d
  std::string recordings_dir = "recordings";  // where episodes wait to be captured
  uint32_t waiting_max = 4;                   // recordings; 1 .. 1000
  std::vector<std::string> cameras;           // empty: the world's main camera
  uint32_t image_width = 128;                 // pixels; 16 .. 2048
  uint32_t image_height = 128;                // pixels; 16 .. 2048
  double frames_hz = 25;                      // of each camera; 0: no pictures; at most the control rate counts
  uint32_t jpeg_quality = 85;                 // 1 .. 100
};

struct CoordinatorLinkConfig {
  std::string address;      // host:port; empty: capture only, nothing leaves this machine
  std::string server_name;  // in the coordinator's certificate; empty: the host of the address
};

struct KnowledgeTrustConfig {
  std::string public_key_file = "pki/knowledge.pub";  // empty: no knowledge is taken
};

struct RobotConfig {
  IdentityConfig node;
  RobotStoreConfig store;
  CaptureConfig capture;
  GatesConfig gates;
  BodyConfig world;
  CoordinatorLinkConfig coordinator;
  TlsConfig tls;
  sync::OutboxLimits outbox;
  sync::BlobLaneLimits blobs;
  KnowledgeTrustConfig knowledge;
  NetworkConfig network;
  LogConfig log;
  ServiceConfig service;
};

void describe(Fields& fields, RobotConfig& config);
// Rules between keys. Adds problems.
void validate(const RobotConfig& config, Problems& problems);

}  // namespace drover::nodes

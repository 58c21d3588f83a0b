// NetFleet: a coordinator and robots in one process, each with an actor system, environment and network thread of its
// own as their daemons have, over mutual TLS on loopback. The nodes are the product's, wired as in the daemons.
#pragma once

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scoped_actor.hpp>
#include <memory>
#include <string>
#include <vector>

#include "actors/network/network_thread.hpp"
#include "actors/sync/inbox_actor.hpp"
#include "actors/sync/outbox_actor.hpp"
#include "bench.hpp"
#include "nodes/coordinator_node.hpp"
#include "nodes/robot_node.hpp"

namespace drover::bench {

struct NetFleetOptions {
  std::filesystem::path dir;
  size_t robots = 3;
  storage::Sync sync = storage::Sync::synced;
  uint32_t ping_period_ms = 2'000;
};

class NetFleet {
 public:
  explicit NetFleet(const NetFleetOptions& options);
  ~NetFleet();

  // Before start(): writes `records` events of `payload_bytes` into each robot's journal. Returns the block bytes of
  // all robots together.
  uint64_t prefill(uint64_t records, size_t payload_bytes, uint64_t seed);

  void start_coordinator();
  void start_robots();

  sync::OutboxFacts outbox(size_t robot);
  sync::InboxFacts inbox();
  sync::CentralFacts central();
  sync::RobotStoreFacts store(size_t robot);
  void append(size_t robot, const sync::StoreCapture& capture);

 private:
  struct ActorConfig : caf::actor_system_config {
    ActorConfig();
  };
  // What one daemon has.
  struct Process {
    Process();
    ActorConfig config;
    caf::actor_system system;
    runtime::Environment env;
    network::NetworkThread network;
    caf::scoped_actor asker;
  };
  template <class Reply, class Question>
  Reply ask(Process& process, const runtime::Ref& ref, const Question& question);
  std::string robot_name(size_t i) const { return "robot-" + std::to_string(i); }
  std::string robot_dir(size_t i) const { return (options_.dir / robot_name(i)).string(); }

  NetFleetOptions options_;
  network::AuthorityPem authority_;
  std::unique_ptr<Process> centre_process_;
  std::unique_ptr<nodes::CoordinatorNode> centre_;
  std::vector<std::unique_ptr<Process>> robot_processes_;
  std::vector<std::unique_ptr<nodes::RobotNode>> robots_;
};

// One record's worth of an encoded event whose encoding has exactly `bytes` bytes, or up to 8 more.
Bytes event_of_size(size_t bytes, uint64_t number);

}  // namespace drover::bench

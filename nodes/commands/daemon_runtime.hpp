// What both daemons are built on: the actor system, the environment and the network, in the order in which they
// must be made and destroyed.
#pragma once

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <memory>

#include "actors/network/network_thread.hpp"
#include "actors/runtime/environment.hpp"
#include "actors/runtime/supervisor_actor.hpp"
#include "nodes/commands/daemon.hpp"

namespace drover::nodes {

// Two worker threads, work sharing, no configuration files, no network layer of CAF's own.
struct ActorConfig : caf::actor_system_config {
  ActorConfig();
};

struct DaemonRuntime {
  explicit DaemonRuntime(DaemonContext& context);
  ActorConfig config;
  caf::actor_system system;
  runtime::Environment env;
  network::NetworkThread network;
};

// How a supervisor's end becomes the daemon's: gave up -> exit_gave_up, else a clean stop.
std::function<void(const runtime::SupervisorEnd&)> end_service(Service& service);

}  // namespace drover::nodes

// drover coordinator: the daemon at the centre.
#include "actors/fleet/query.hpp"
#include "nodes/commands/credentials.hpp"
#include "nodes/commands/daemon_runtime.hpp"
#include "nodes/coordinator_node.hpp"

namespace drover::nodes {
namespace {

struct CoordinatorDaemon {
  explicit CoordinatorDaemon(DaemonContext& context) : runtime(context) {}
  DaemonRuntime runtime;
  std::unique_ptr<CoordinatorNode> node;
};

Result<ServiceHooks> start_coordinator(const CoordinatorConfig& config, DaemonContext& context) {
  CoordinatorNodeOptions options;
  options.config = config;
  options.on_end = end_service(context.service);
  options.query = fleet::run_query;
  network::Listen& listen = options.listen;
  listen.address = config.listen_address;
  listen.self = {network::Role::coordinator, config.node.id};
  listen.software_version = DROVER_VERSION;
  listen.limits = config.network;
  DROVER_ASSIGN(listen.credentials, load_tls(config.tls, network::Role::coordinator, config.node.id,
                                             context.clock.unix_ns() / 1'000'000'000));
  auto daemon = std::make_shared<CoordinatorDaemon>(context);
  options.listener = [network = &daemon->runtime.network](network::Listen l) { return network->listen(std::move(l)); };
  DROVER_ASSIGN(daemon->node, CoordinatorNode::start(daemon->runtime.env, std::move(options)));
  ServiceHooks hooks;
  hooks.stop = [daemon] { daemon->node->stop(); };
  hooks.status = [daemon, id = config.node.id] {
    return "coordinator " + id + " on port " + std::to_string(daemon->node->port());
  };
  return hooks;
}

}  // namespace

int coordinator_command(const Arguments& arguments) {
  return daemon_command<CoordinatorConfig>("coordinator", arguments, start_coordinator);
}

}  // namespace drover::nodes

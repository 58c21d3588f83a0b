// drover robot: the daemon that runs on a robot.
#include <filesystem>

#include "actors/robot/episode_actor.hpp"
#include "nodes/commands/credentials.hpp"
#include "nodes/commands/daemon_runtime.hpp"
#include "nodes/robot_node.hpp"

namespace drover::nodes {
namespace {

struct RobotDaemon {
  explicit RobotDaemon(DaemonContext& context) : runtime(context) {}
  DaemonRuntime runtime;
  std::unique_ptr<RobotNode> node;
};

// The key whose knowledge is believed. A robot without the file takes no knowledge, which is safe.
Result<std::optional<Ed25519Key>> knowledge_key(const std::string& file, Log& log) {
  if (file.empty()) return std::optional<Ed25519Key>();
  if (!std::filesystem::exists(file)) {
    log.event(LogLevel::warn, "knowledge.no_key", {{"file", file}, {"effect", "no knowledge is accepted"}});
    return std::optional<Ed25519Key>();
  }
  DROVER_ASSIGN(const auto pem, read_config_text(file));
  DROVER_ASSIGN(const auto raw, network::raw_public_key(pem));
  Ed25519Key key;
  if (raw.size() != key.size()) return fail(Errc::invalid_argument, file, "is not an Ed25519 public key");
  std::memcpy(key.data(), raw.data(), key.size());
  return std::optional(key);
}

// The host of "host:port" or "[v6]:port".
std::string host_of(const std::string& address) {
  const size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  return host;
}

Result<ServiceHooks> start_robot(const RobotConfig& config, DaemonContext& context) {
  RobotNodeOptions options;
  options.config = config;
  options.on_end = end_service(context.service);
  DROVER_ASSIGN(options.knowledge_key, knowledge_key(config.knowledge.public_key_file, context.log));
  auto daemon = std::make_shared<RobotDaemon>(context);
  if (!config.coordinator.address.empty()) {
    network::Dial& link = options.link;
    link.address = config.coordinator.address;
    link.server_name =
        config.coordinator.server_name.empty() ? host_of(config.coordinator.address) : config.coordinator.server_name;
    link.self = {network::Role::robot, config.node.id};
    link.software_version = DROVER_VERSION;
    link.limits = config.network;
    DROVER_ASSIGN(link.credentials,
                  load_tls(config.tls, network::Role::robot, config.node.id, context.clock.unix_ns() / 1'000'000'000));
    options.dial = [network = &daemon->runtime.network](network::Dial dial) { return network->dial(std::move(dial)); };
  }
  DROVER_ASSIGN(daemon->node, RobotNode::start(daemon->runtime.env, std::move(options)));
  ServiceHooks hooks;
  hooks.stop = [daemon] { daemon->node->stop(); };
  hooks.status = [daemon, id = config.node.id, acts = !config.world.dir.empty()] {
    if (!acts) return "robot " + id;
    const auto recorded = robot::episodes_recorded(daemon->runtime.env.metrics());
    return "robot " + id + ", " + std::to_string(recorded) + " episodes recorded since start";
  };
  return hooks;
}

}  // namespace

int robot_command(const Arguments& arguments) {
  return daemon_command<RobotConfig>("robot", arguments, start_robot);
}

}  // namespace drover::nodes

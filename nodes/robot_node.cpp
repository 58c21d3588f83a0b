#include "nodes/robot_node.hpp"

#include <caf/send.hpp>

#include "actors/capture/capture_actor.hpp"
#include "actors/capture/source.hpp"
#include "actors/sync/robot_store_actor.hpp"

namespace drover::nodes {
namespace {

sync::RobotStoreOptions store_options(const RobotNodeOptions& options, int64_t now_unix_ns) {
  const RobotConfig& config = options.config;
  sync::RobotStoreOptions store;
  store.path = config.store.dir;
  store.robot = config.node.id;
  // The time of founding tells incarnations apart, and a re-imaged robot always gets a later one.
  store.incarnation = static_cast<uint64_t>(now_unix_ns);
  store.quota_bytes = config.store.quota_bytes;
  store.map_initial_bytes = config.store.map_initial_bytes;
  store.map_max_bytes = config.store.map_max_bytes;
  store.free_reserve_bytes = config.store.free_reserve_bytes;
  store.knowledge_key = options.knowledge_key;
  store.sync = options.sync;
  store.verify = options.verify;
  return store;
}

// What every capture actor of the node shares.
Result<capture::CaptureConfig> capture_defaults(const RobotConfig& config) {
  capture::CaptureConfig capture;
  capture.robot = config.node.id;
  capture.spool.stable_polls = config.capture.stable_polls;
  capture.spool.skip_duplicates = config.capture.skip_duplicates;
  // A file is not to blame for power cuts: a robot that is switched off ten times in a row during one file is unlikely.
  capture.spool.attempts_max = 10;
  capture.poll_ms = static_cast<uint64_t>(config.capture.poll_ms);
  if (config.capture.spools.empty()) return capture;
  DROVER_ASSIGN(capture.mappings, capture::load_mappings(config.capture.mappings_dir));
  DROVER_ASSIGN(capture.preset, econ::load_econ_preset(config.capture.econ_file));
  DROVER_ASSIGN(capture.baselines, datapack::load_baselines(config.capture.baseline_file));
  return capture;
}

sync::OutboxConfig outbox_config(const RobotConfig& config) {
  sync::OutboxConfig outbox;
  outbox.journal = config.outbox;
  outbox.blobs = config.blobs;
  outbox.call_timeout_ms = config.network.call_timeout_ms + 5'000;  // the network's own deadline answers first
  return outbox;
}

std::vector<runtime::Child> children_of(const RobotNodeOptions& options, const capture::CaptureConfig& capture) {
  std::vector<runtime::Child> children;
  children.push_back(runtime::worker_child("store", [options](runtime::Environment& env) -> Result<caf::actor> {
    DROVER_ASSIGN(auto store, sync::RobotStore::open(store_options(options, env.unix_ns())));
    return sync::spawn_robot_store(env, std::make_shared<sync::RobotStore>(std::move(store)));
  }));
  if (options.dial) {
    children.push_back(
        runtime::worker_child("uplink", [options](runtime::Environment&) { return options.dial(options.link); }));
    children.push_back(runtime::worker_child("outbox", [options](runtime::Environment& env) -> Result<caf::actor> {
      return sync::spawn_outbox(env, outbox_config(options.config), env.ref("uplink"), env.ref("store"));
    }));
  }
  for (size_t i = 0; i < options.config.capture.spools.size(); ++i) {
    capture::CaptureConfig one = capture;
    one.folder = options.config.capture.spools[i].path;
    one.mapping = options.config.capture.spools[i].mapping;
    children.push_back(
        runtime::worker_child("capture-" + std::to_string(i), [one](runtime::Environment& env) -> Result<caf::actor> {
          return capture::spawn_capture(env, one, env.ref("store"));
        }));
  }
  return children;
}

}  // namespace

Result<std::unique_ptr<RobotNode>> RobotNode::start(runtime::Environment& env, RobotNodeOptions options) {
  DROVER_ASSIGN(const auto capture, capture_defaults(options.config));
  // Opened once here, so that a store that cannot be opened is an error of the start and not of a supervisor.
  {
    DROVER_ASSIGN(const auto probe, sync::RobotStore::open(store_options(options, env.unix_ns())));
    env.log(runtime::LogLevel::info, "robot.store robot=" + probe.identity().robot +
                                         " incarnation=" + std::to_string(probe.identity().incarnation) +
                                         " dir=" + runtime::log_value(options.config.store.dir));
  }
  options.verify = storage::Verify::none;  // the probe has verified it
  std::unique_ptr<RobotNode> node(new RobotNode());
  node->store_ = env.ref("store");
  node->outbox_ = env.ref("outbox");
  for (size_t i = 0; i < options.config.capture.spools.size(); ++i)
    node->captures_.push_back(env.ref("capture-" + std::to_string(i)));
  runtime::SupervisorConfig root;
  root.name = "root";
  root.rules.strategy = runtime::Strategy::rest_for_one;
  root.children = children_of(options, capture);
  root.on_end = options.on_end;
  node->root_ = runtime::spawn_supervisor(env, std::move(root));
  return node;
}

RobotNode::~RobotNode() {
  kill();
}

void RobotNode::stop() {
  caf::anon_send_exit(root_, caf::exit_reason::user_shutdown);
}

void RobotNode::kill() {
  if (root_) caf::anon_send_exit(root_, caf::exit_reason::kill);
  root_ = nullptr;
}

}  // namespace drover::nodes

#include "nodes/coordinator_node.hpp"

#include <caf/send.hpp>
#include <filesystem>

#include "actors/datapack/novelty_actor.hpp"
#include "actors/econ/econ_actor.hpp"
#include "actors/semantics/semantics_actor.hpp"
#include "actors/sync/inbox_actor.hpp"
#include "nodes/gates_loading.hpp"
#include "nodes/status_actor.hpp"

namespace drover::nodes {
namespace {

sync::CentralStoreOptions store_options(const CoordinatorNodeOptions& options) {
  const CentralStoreConfig& config = options.config.store;
  sync::CentralStoreOptions store;
  store.path = config.dir;
  store.map_initial_bytes = config.map_initial_bytes;
  store.map_max_bytes = config.map_max_bytes;
  store.free_reserve_bytes = config.free_reserve_bytes;
  store.sync = options.sync;
  store.verify = options.verify;
  return store;
}

sync::InboxConfig inbox_config(const CentralStoreConfig& config) {
  sync::InboxConfig inbox;
  inbox.commit_bytes_max = config.commit_bytes_max;
  inbox.commit_delay_ms = static_cast<uint64_t>(config.commit_delay_max_ms);
  return inbox;
}

sync::CentreConfig centre_config(const CentralBlobConfig& config) {
  sync::CentreConfig centre;
  centre.wants_bytes_max = config.wants_bytes_max;
  centre.budget_bytes_per_s = config.budget_bytes_per_s;
  return centre;
}

semantics::SemanticsActorConfig semantics_config(const CoordinatorNodeOptions& options) {
  const SemanticsConfig& from = options.config.semantics;
  semantics::SemanticsActorConfig semantics;
  semantics.central.folder = options.config.store.dir + "/semantics";
  semantics.central.configs = from.configs_dir;
  semantics.period_ms = static_cast<uint64_t>(from.period_ms);
  semantics.publish_ms = static_cast<uint64_t>(from.publish_ms);
  semantics.key = options.knowledge_key;
  semantics.board = options.board;
  return semantics;
}

datapack::NoveltyActorConfig novelty_config(const NoveltySettings& from) {
  datapack::NoveltyActorConfig novelty;
  novelty.novelty.neighbours = from.neighbours;
  novelty.novelty.facts_scale = from.facts_scale;
  novelty.novelty.visual_scale = from.visual_scale;
  novelty.period_ms = static_cast<uint64_t>(from.period_ms);
  return novelty;
}

econ::EconActorConfig econ_config(const CoordinatorNodeOptions& options, econ::ReconcileConfig config) {
  econ::EconActorConfig out;
  out.central.folder = options.config.store.dir + "/econ";
  out.central.config = std::move(config);
  out.central.sync = options.sync;
  out.period_ms = static_cast<uint64_t>(options.config.econ.period_ms);
  return out;
}

// Inbox and centre each restart with the store that both hold: LMDB needs no recovery and a handle has no state.
std::vector<runtime::Child> children_of(const CoordinatorNodeOptions& options,
                                        const std::shared_ptr<sync::CentralStore>& store,
                                        const std::shared_ptr<std::atomic<uint16_t>>& port) {
  std::vector<runtime::Child> children;
  children.push_back(runtime::worker_child("inbox", [options, store](runtime::Environment& env) -> Result<caf::actor> {
    return sync::spawn_inbox(env, inbox_config(options.config.store), store);
  }));
  children.push_back(runtime::worker_child("centre", [options, store](runtime::Environment& env) -> Result<caf::actor> {
    return sync::spawn_centre(env, centre_config(options.config.blobs), store, env.ref("inbox"), options.query);
  }));
  children.push_back(runtime::worker_child("listener", [options, port](runtime::Environment&) -> Result<caf::actor> {
    network::Listen listen = options.listen;
    // A restarted listener keeps the port it had, also when it was chosen by the system.
    if (*port != 0 && listen.address.ends_with(":0"))
      listen.address = listen.address.substr(0, listen.address.size() - 1) + std::to_string(*port);
    DROVER_ASSIGN(const auto listening, options.listener(std::move(listen)));
    *port = listening.port;
    return listening.actor;
  }));
  children.push_back(runtime::worker_child("sessions", [options](runtime::Environment& env) -> Result<caf::actor> {
    sync::SessionsConfig sessions;
    sessions.allowed_robots = options.config.fleet.allowed_robots;
    return sync::spawn_sessions(env, sessions, env.ref("listener"), env.ref("inbox"), env.ref("centre"));
  }));
  children.push_back(runtime::worker_child("status", [options](runtime::Environment& env) -> Result<caf::actor> {
    return spawn_status(env, options.config.node.id, options.config.status, env.ref("sessions"), env.ref("inbox"),
                        env.ref("centre"));
  }));
  if (options.config.novelty.enabled)
    children.push_back(
        runtime::worker_child("novelty", [options, store](runtime::Environment& env) -> Result<caf::actor> {
          return datapack::spawn_novelty(env, novelty_config(options.config.novelty), store);
        }));
  if (keeps_books(options.config.econ))
    children.push_back(
        runtime::worker_child("econ", [options, store](runtime::Environment& env) -> Result<caf::actor> {
          DROVER_ASSIGN(auto config, econ::load_reconcile(options.config.econ.config_file));
          return econ::spawn_econ(env, econ_config(options, std::move(config)), store, env.ref("centre"));
        }));
  if (learns(options.config.semantics))
    children.push_back(
        runtime::worker_child("semantics", [options, store](runtime::Environment& env) -> Result<caf::actor> {
          return semantics::spawn_semantics(env, semantics_config(options), store, env.ref("centre"));
        }));
  return children;
}

}  // namespace

bool keeps_books(const EconSettings& config) {
  std::error_code ignored;
  return config.enabled && std::filesystem::exists(config.config_file, ignored);
}

bool learns(const SemanticsConfig& config) {
  std::error_code ignored;
  return config.enabled && std::filesystem::is_directory(config.configs_dir, ignored);
}

Result<std::unique_ptr<CoordinatorNode>> CoordinatorNode::start(runtime::Environment& env,
                                                                CoordinatorNodeOptions options) {
  DROVER_TRY(load_gates_if_there(options.config.gates, env));
  if (keeps_books(options.config.econ)) DROVER_TRY(econ::load_reconcile(options.config.econ.config_file));
  DROVER_ASSIGN(auto opened, sync::CentralStore::open(store_options(options)));
  const std::shared_ptr<sync::CentralStore> store = std::move(opened);
  std::unique_ptr<CoordinatorNode> node(new CoordinatorNode());
  node->inbox_ = env.ref("inbox");
  node->centre_ = env.ref("centre");
  node->listener_ = env.ref("listener");
  node->sessions_ = env.ref("sessions");
  runtime::SupervisorConfig root;
  root.name = "root";
  root.rules.strategy = runtime::Strategy::rest_for_one;
  root.children = children_of(options, store, node->port_);
  root.on_end = options.on_end;
  node->root_ = runtime::spawn_supervisor(env, std::move(root));
  const SemanticsConfig& semantics = options.config.semantics;
  if (semantics.enabled && !learns(semantics))
    env.log(runtime::LogLevel::info, "semantics.off configs_dir=" + runtime::log_value(semantics.configs_dir) +
                                         " reason=" + runtime::log_value("there is no such folder"));
  const EconSettings& books = options.config.econ;
  if (books.enabled && !keeps_books(books))
    env.log(runtime::LogLevel::info, "econ.off config_file=" + runtime::log_value(books.config_file) +
                                         " reason=" + runtime::log_value("there is no such file"));
  return node;
}

CoordinatorNode::~CoordinatorNode() {
  kill();
}

void CoordinatorNode::stop() {
  caf::anon_send_exit(root_, caf::exit_reason::user_shutdown);
}

void CoordinatorNode::kill() {
  if (root_) caf::anon_send_exit(root_, caf::exit_reason::kill);
  root_ = nullptr;
}

}  // namespace drover::nodes

// drover coordinator: the daemon at the centre.
#include "actors/fleet/publish.hpp"
#include "actors/fleet/query.hpp"
#include "actors/semantics/knowledge_queries.hpp"
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

// What peers may ask for: questions from anybody whose role may ask, publishing from operators only.
Result<sync::QueryFunction> query_function(const std::string& signing_key_file, const runtime::Clock& clock,
                                           std::shared_ptr<const semantics::KnowledgeBoard> board) {
  std::optional<Ed25519KeyPair> key;
  if (!signing_key_file.empty()) {
    DROVER_ASSIGN(key, read_signing_key(signing_key_file));
  }
  return sync::QueryFunction([key, &clock, board = std::move(board)](sync::CentralStore& store,
                                                                     const network::PeerName& peer,
                                                                     std::string_view request) -> Result<std::string> {
    if (semantics::is_knowledge_query(request)) return semantics::answer_knowledge(*board, request);
    if (!fleet::is_publish(request)) return fleet::run_query(store, request);
    if (peer.role != network::Role::operator_)
      return fail(Errc::refused, "knowledge.publish", "only operators may publish, this is " + peer.text());
    if (!key)
      return fail(Errc::refused, "knowledge.publish", "this coordinator has no knowledge.signing_key_file configured");
    DROVER_ASSIGN(const auto parsed, fleet::parse_publish(request, peer.text()));
    DROVER_ASSIGN(const auto published, fleet::publish(store, parsed, *key, clock.unix_ns()));
    return fleet::publish_reply(published);
  });
}

Result<ServiceHooks> start_coordinator(const CoordinatorConfig& config, DaemonContext& context) {
  CoordinatorNodeOptions options;
  options.config = config;
  options.on_end = end_service(context.service);
  options.board = std::make_shared<semantics::KnowledgeBoard>();
  DROVER_ASSIGN(options.query, query_function(config.knowledge.signing_key_file, context.clock, options.board));
  if (!config.knowledge.signing_key_file.empty()) {
    DROVER_ASSIGN(options.knowledge_key, read_signing_key(config.knowledge.signing_key_file));
  }
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

// CoordinatorNode: the actors of a coordinator and who supervises whom. Wiring only.
//
//   root (rest_for_one) -> inbox -> centre -> listener -> sessions -> status -> novelty -> semantics (when configured)
//
// The inbox starts first and stops last. Inbox and centre share one CentralStore.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "actors/network/network_core.hpp"
#include "actors/runtime/environment.hpp"
#include "actors/runtime/supervisor_actor.hpp"
#include "actors/semantics/knowledge_view.hpp"
#include "actors/sync/central_store.hpp"
#include "actors/sync/centre_actor.hpp"
#include "actors/sync/sessions_actor.hpp"
#include "nodes/config/coordinator_config.hpp"

namespace drover::nodes {

using ListenFunction = std::function<Result<network::Listening>(network::Listen)>;

struct CoordinatorNodeOptions {
  CoordinatorConfig config;
  network::Listen listen;   // address, credentials, name
  ListenFunction listener;  // the network's
  sync::QueryFunction query;
  std::optional<Ed25519KeyPair> knowledge_key;       // signs what semantics learns; none: it is not published
  std::shared_ptr<semantics::KnowledgeBoard> board;  // where semantics shows what it has learnt; null: nowhere
  storage::Sync sync = storage::Sync::synced;        // nosync: tests and benchmarks only
  storage::Verify verify = storage::Verify::structure;
  std::function<void(const runtime::SupervisorEnd&)> on_end;
};

// Switched on, and its folder is there.
bool learns(const SemanticsConfig& config);
// Switched on, and its file is there.
bool keeps_books(const EconSettings& config);

class CoordinatorNode {
 public:
  // Opens the store, listens and starts the actors. `env` outlives the node.
  static Result<std::unique_ptr<CoordinatorNode>> start(runtime::Environment& env, CoordinatorNodeOptions options);
  ~CoordinatorNode();
  CoordinatorNode(const CoordinatorNode&) = delete;
  CoordinatorNode& operator=(const CoordinatorNode&) = delete;

  void stop();  // orderly; on_end follows
  void kill();  // at once; on_end does not follow

  runtime::Ref inbox() const { return inbox_; }
  runtime::Ref centre() const { return centre_; }
  runtime::Ref listener() const { return listener_; }
  runtime::Ref sessions() const { return sessions_; }
  uint16_t port() const { return *port_; }  // that is listened on; 0 for in-memory peers only

 private:
  CoordinatorNode() = default;
  caf::actor root_;
  runtime::Ref inbox_;
  runtime::Ref centre_;
  runtime::Ref listener_;
  runtime::Ref sessions_;
  std::shared_ptr<std::atomic<uint16_t>> port_ = std::make_shared<std::atomic<uint16_t>>(0);
};

}  // namespace drover::nodes

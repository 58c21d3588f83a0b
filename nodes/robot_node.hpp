// RobotNode: the actors of one robot and who supervises whom. Wiring only.
//
//   root (rest_for_one) -> store -> uplink -> outbox -> capture-0 .. capture-n -> capture-world -> world
//
// The last two are there when the configuration names a simulated world: the body that acts in it leaves recordings in
// a folder, and a capture actor of its own takes them from there.
// The store starts first and stops last. Whoever uses an actor looks it up by name, so a restarted one is found again;
// rest_for_one restarts what was built on the one that failed.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actors/network/network_core.hpp"
#include "actors/runtime/environment.hpp"
#include "actors/runtime/supervisor_actor.hpp"
#include "actors/sync/outbox_actor.hpp"
#include "actors/sync/robot_store.hpp"
#include "nodes/config/robot_config.hpp"

namespace drover::nodes {

using DialFunction = std::function<Result<caf::actor>(network::Dial)>;

struct RobotNodeOptions {
  RobotConfig config;
  network::Dial link;                          // where the centre is; ignored without `dial`
  DialFunction dial;                           // the network's; empty: capture only, nothing leaves the machine
  std::optional<Ed25519Key> knowledge_key;     // whose knowledge is believed
  storage::Sync sync = storage::Sync::synced;  // nosync: tests and benchmarks only
  storage::Verify verify = storage::Verify::structure;
  std::function<void(const runtime::SupervisorEnd&)> on_end;  // all actors have ended
};

class RobotNode {
 public:
  // Reads mappings, preset and baselines, opens the store and starts the actors. `env` outlives the node.
  static Result<std::unique_ptr<RobotNode>> start(runtime::Environment& env, RobotNodeOptions options);
  ~RobotNode();
  RobotNode(const RobotNode&) = delete;
  RobotNode& operator=(const RobotNode&) = delete;

  // Begins an orderly stop; on_end follows.
  void stop();
  // Ends all actors at once, as a power cut would; on_end does not follow. For tests and smoke.
  void kill();

  runtime::Ref store() const { return store_; }
  runtime::Ref outbox() const { return outbox_; }
  const std::vector<runtime::Ref>& captures() const { return captures_; }  // that of the world is the last
  // The episode actor; resolves to nobody without a world.
  runtime::Ref world() const { return world_; }

 private:
  RobotNode() = default;
  caf::actor root_;
  runtime::Ref store_;
  runtime::Ref outbox_;
  std::vector<runtime::Ref> captures_;
  runtime::Ref world_;
};

}  // namespace drover::nodes

// Fleet: robots and a coordinator in one process, each node with an environment of its own, over in-memory links.
//
// Each life of a node has a fresh environment, so that nothing of a killed node can reach its successor by name, as
// between processes. All environments live until the process ends.
// Threads: one; the fleet's caller.
#pragma once

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scoped_actor.hpp>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/capture/capture_actor.hpp"
#include "actors/network/network_thread.hpp"
#include "actors/sync/outbox_actor.hpp"
#include "nodes/coordinator_node.hpp"
#include "nodes/robot_node.hpp"
#include "smoke/bodies.hpp"
#include "smoke/live.hpp"

namespace drover::smoke {

struct FleetOptions {
  std::string work;     // folder for spools and stores
  std::string configs;  // folder with mappings, econ and baselines
  uint64_t seed = 1;
  std::vector<std::string> robots;  // node ids
  std::vector<BodyPlan> bodies;     // at most one per robot
  runtime::LogSink log;
};

class Fleet {
 public:
  explicit Fleet(FleetOptions options);
  ~Fleet();
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  // Each waits at most `wait_ms` for the store of an earlier life to be let go of.
  Status start_coordinator(int64_t wait_ms = 0);
  Status start_robot(size_t robot, int64_t wait_ms = 0);
  void kill_coordinator();
  void kill_robot(size_t robot);
  void cut_link(size_t robot);
  // Stops every node in order and waits until its stores are closed. Error: timeout, naming who did not stop.
  Status stop(int64_t deadline_ms);

  // Asks the actors. What is down keeps its last figures.
  void look(FleetView& view);

  std::string spool_of(size_t robot) const;
  std::string store_of(size_t robot) const;
  std::string central_store() const;
  const FleetOptions& options() const { return options_; }

 private:
  template <class Node>
  struct Life {
    std::unique_ptr<runtime::Environment> env;
    std::unique_ptr<Node> node;
    std::shared_ptr<std::promise<void>> end;
  };
  struct ActorConfig : caf::actor_system_config {
    ActorConfig();
  };
  std::unique_ptr<runtime::Environment> environment(const std::string& node);
  nodes::RobotNodeOptions robot_options(size_t robot) const;
  nodes::CoordinatorNodeOptions coordinator_options();
  template <class Node, class Options>
  Status start(Life<Node>& life, const std::string& name, const Options& options, int64_t wait_ms);
  template <class Node>
  void kill(Life<Node>& life);
  template <class Reply, class Ask>
  std::optional<Reply> ask(const runtime::Ref& ref, const Ask& question);
  Status await_released(int64_t wait_ms) const;
  void look_at_robot(size_t robot, RobotView& view);
  void look_at_body(size_t robot, RobotView& view);
  const BodyPlan* body_of(size_t robot) const;
  void look_at_centre(FleetView& view);

  // What actors stand on. Never destroyed: CAF's clock refers to actors that have ended until the timeouts of their
  // last requests are over, and taking the system down would wait for that, half a minute or more.
  struct Ground {
    ActorConfig config;
    caf::actor_system system{config};
    std::vector<std::unique_ptr<runtime::Environment>> environments;  // of lives that are over
  };

  FleetOptions options_;
  Ground& ground_;
  runtime::Environment* network_env_;
  std::unique_ptr<network::NetworkThread> network_;
  caf::actor listener_;
  Life<nodes::CoordinatorNode> coordinator_;
  std::vector<Life<nodes::RobotNode>> robots_;
  std::unique_ptr<caf::scoped_actor> self_;
};

}  // namespace drover::smoke

// SimFleet: a coordinator and its robots in one thread under virtual time: the real sync actors, sessions and stores,
// on in-memory links that can be cut, stalled, refused and delayed, with actors that can be killed at any message, and,
// where asked for, disks whose power can go at any write.
//
// The same seed and the same calls give the same run, bit for bit. Stores are real LMDB environments in a folder of
// this fleet that the caller removes. Without `disks` they skip fsync (a killed actor loses nothing that was
// committed); with `disks` they sync as in production, onto a FaultyDisk.
#pragma once

#include <caf/actor.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actors/econ/central_econ.hpp"
#include "actors/network/simulated_network.hpp"
#include "actors/sync/audit.hpp"
#include "actors/sync/central_dump.hpp"
#include "actors/sync/centre_actor.hpp"
#include "actors/sync/inbox_actor.hpp"
#include "actors/sync/outbox_actor.hpp"
#include "actors/sync/robot_store.hpp"
#include "stress/sim/faulty_disk.hpp"

namespace drover::simulate {

// A node's wall clock, which can be wrong. Its steady clock never is.
class SkewedClock final : public runtime::Clock {
 public:
  explicit SkewedClock(std::shared_ptr<const runtime::Clock> right) : right_(std::move(right)) {}
  int64_t steady_ns() const override { return right_->steady_ns(); }
  int64_t unix_ns() const override { return right_->unix_ns() + skew_ns_; }
  void jump_ms(int64_t ms) { skew_ns_ += ms * 1'000'000; }

 private:
  std::shared_ptr<const runtime::Clock> right_;
  int64_t skew_ns_ = 0;
};

struct SimNode {
  std::shared_ptr<SkewedClock> clock;
  std::unique_ptr<runtime::Environment> env;
};

struct SimRobot {
  int node = 0;  // 1, 2, ...; the coordinator is 0
  SimNode own;
  sync::RobotStoreOptions options;
  std::shared_ptr<sync::RobotStore> store;  // null while it is without power
  caf::actor store_actor, uplink, outbox;
  std::shared_ptr<network::MemoryWire> wire;
  uint64_t disks = 0;  // how many it has had: a re-imaged robot gets a new one
};

struct FleetOptions {
  uint64_t seed = 1;
  std::string folder;  // made by the caller, emptied by him
  uint32_t ping_period_ms = 2'000;
  uint32_t block_max_bytes = 4096;  // small, so that there are many blocks
  uint32_t piece_bytes = 1024;
  uint64_t window_bytes = 4u << 20;
  uint64_t blob_idle_ms = 1'000;     // between questions what the centre wants, when it wanted nothing
  bool disks = false;                // power losses and disk errors are possible
  bool books = true;                 // the coordinator keeps books
  uint64_t books_period_ms = 1'000;  // between looks of the econ actor, when it has read everything
  sync::InboxConfig inbox;
  sync::CentreConfig centre;
};

// What a node is about to do that the world, or its own future, could notice.
struct SimStep {
  enum Kind : uint8_t { write, sync, commit, send } kind = write;
  int node = 0;
  std::string_view path;  // of the file; empty for sends
  uint64_t bytes = 0;
};

class SimFleet {
 public:
  explicit SimFleet(FleetOptions options);
  ~SimFleet();
  SimFleet(const SimFleet&) = delete;
  SimFleet& operator=(const SimFleet&) = delete;

  // inbox -> centre -> listener -> sessions: kills the chain from `from` (0..3) on and starts it again.
  // With a pause, robots go on for so long before it comes back.
  void restart_centre(int from, int64_t pause_ms = 0);
  SimRobot& add_robot(const std::string& name, uint64_t quota_bytes);
  // store -> uplink -> outbox: the same from `from` (0..2) on.
  void restart_robot(SimRobot& robot, int from);
  // The robot comes back with an empty disk and a new incarnation. What the old disk alone held is gone with it.
  void reimage(SimRobot& robot);
  // Starts the centre's actors again if one of them died of an exception, as its supervisor would.
  void tend();

  // ---- power; only with FleetOptions::disks
  // Asked before every step; what it answers happens. When it says power_off, nothing that the node writes to disk or
  // wire from then on is ever seen; the caller ends the node with shut_down() when the run comes back to him.
  void set_step_watch(std::function<Verdict(const SimStep&)> watch) { watch_ = std::move(watch); }
  bool off(int node) const { return disk_ && disk_->off(node); }
  bool down(int node) const;
  void power_off(int node);
  // Ends what runs on a node whose power went, and leaves on its disk what the loss leaves.
  void shut_down(int node, Loss loss);
  // Opens the node's store; start_up() then starts its actors. Errors: those of the store, which are findings.
  Status open_store(int node);
  void start_up(int node);

  // Stores a capture through the store and tells its actor. Errors: disk_full (the caller waits and tries again),
  // unavailable (no power), refused (more valuable chunks went before less valuable ones: a finding).
  Status capture(SimRobot& robot, const sync::StoreCapture& what);
  // Publishes knowledge of this version, signed with the key that robots know.
  Status publish(uint64_t version);
  uint64_t published() const { return published_; }
  uint64_t unsynced_lost() const { return unsynced_lost_; }  // writes that were not synced when the power went

  // Delivers so many messages in random order without finishing what they began.
  void step(uint64_t deliveries);
  void run_for(int64_t ms) { net_.run_for(ms); }
  bool run_until(const std::function<bool()>& done, int64_t max_ms) { return net_.run_until(done, max_ms); }
  bool drained() const;
  std::string undrained() const;  // what is missing, of the first robot that lacks something
  Result<sync::Audit> audit(bool content) const;
  // Without the coordinator's own predictions: what it expects depends on what it had learnt by then.
  Result<Hash> dump() const;
  // The coordinator's books; null while it has no power, or keeps none.
  econ::CentralEcon* books() { return books_.get(); }
  sync::CentralStore& central() { return *centre_; }
  sync::OutboxFacts outbox(SimRobot& robot);
  sync::InboxFacts inbox();

  int64_t now_ms() const { return sim_.now_ms(); }
  runtime::Simulation& simulation() { return sim_; }
  std::vector<std::unique_ptr<SimRobot>>& robots() { return robots_; }
  SkewedClock& clock_of(int node) { return node == 0 ? *centre_own_.clock : *robots_[size_t(node) - 1]->own.clock; }
  const sync::CentralStore& centre() const { return *centre_; }
  const FleetOptions& options() const { return options_; }

 private:
  SimNode make_node(const std::string& name);
  void start_robot(SimRobot& robot, int from);
  Status open_robot(SimRobot& robot);
  Status open_books();
  void start_books();
  bool drained(const SimRobot& robot) const;
  sync::RobotStoreOptions disk_of(const std::string& name, uint64_t disk, uint64_t quota_bytes) const;
  Verdict about_to(const SimStep& step);
  void cut(SimRobot& robot, int other);
  template <class Ask, class Facts>
  Facts ask(const caf::actor& to);

  FleetOptions options_;
  std::unique_ptr<FaultyDisk> disk_;
  runtime::Simulation sim_;
  runtime::Rng loss_rng_;
  SimNode centre_own_;
  runtime::Environment& centre_env_;
  network::SimulatedNetwork net_;
  std::shared_ptr<sync::CentralStore> centre_;
  std::shared_ptr<econ::CentralEcon> books_;  // the econ actor's, which runs in this thread as well
  bool books_unused_ = false;                 // opened since the last actor began
  caf::actor inbox_, centre_actor_, listener_, sessions_, econ_;
  caf::actor known_listener_;  // the newest; uplinks find a later one by its name
  uint64_t centre_life_ = 0;
  bool centre_died_ = false;
  uint64_t published_ = 0;
  uint64_t unsynced_lost_ = 0;
  std::function<Verdict(const SimStep&)> watch_;
  std::vector<std::unique_ptr<SimRobot>> robots_;
};

}  // namespace drover::simulate

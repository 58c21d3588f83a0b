// SimFleet: a coordinator and its robots in one thread under virtual time: the real sync actors, sessions and stores,
// on in-memory links that can be cut, stalled, refused and delayed, with actors that can be killed at any message.
//
// The same seed and the same calls give the same run, bit for bit. Stores are real LMDB environments in a folder of
// this fleet that is removed at its end; they skip fsync, because a killed actor loses nothing that was committed and
// losing power is another proof's job (drover stress steps).
#pragma once

#include <caf/actor.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actors/network/simulated_network.hpp"
#include "actors/sync/audit.hpp"
#include "actors/sync/central_dump.hpp"
#include "actors/sync/outbox_actor.hpp"
#include "actors/sync/robot_store.hpp"

namespace drover::simulate {

struct SimRobot {
  runtime::Environment* env = nullptr;
  sync::RobotStoreOptions options;
  std::shared_ptr<sync::RobotStore> store;
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
  uint64_t blob_idle_ms = 1'000;  // between questions what the centre wants, when it wanted nothing
};

class SimFleet {
 public:
  explicit SimFleet(FleetOptions options);
  ~SimFleet();
  SimFleet(const SimFleet&) = delete;
  SimFleet& operator=(const SimFleet&) = delete;

  // inbox -> centre -> listener -> sessions: kills the chain from `from` (0..3) on and starts it again.
  void restart_centre(int from);
  SimRobot& add_robot(const std::string& name, uint64_t quota_bytes);
  // store -> uplink -> outbox: the same from `from` (0..2) on.
  void restart_robot(SimRobot& robot, int from);
  // The robot comes back with an empty disk and a new incarnation. What the old disk alone held is gone with it.
  void reimage(SimRobot& robot);

  // Stores a capture through the store and tells its actor. Errors: disk_full (the caller waits and tries again).
  Status capture(SimRobot& robot, const sync::StoreCapture& what);

  // Delivers so many messages in random order without finishing what they began.
  void step(uint64_t deliveries);
  void run_for(int64_t ms) { net_.run_for(ms); }
  bool run_until(const std::function<bool()>& done, int64_t max_ms) { return net_.run_until(done, max_ms); }
  bool drained() const;
  Result<sync::Audit> audit(bool content) const;
  Result<sync::CentralDump> dump() const;
  sync::OutboxFacts outbox(SimRobot& robot);

  int64_t now_ms() const { return sim_.now_ms(); }
  runtime::Simulation& simulation() { return sim_; }
  std::vector<std::unique_ptr<SimRobot>>& robots() { return robots_; }

 private:
  void start_robot(SimRobot& robot, int from);
  bool drained(const SimRobot& robot) const;
  sync::RobotStoreOptions disk_of(const std::string& name, uint64_t disk, uint64_t quota_bytes) const;

  FleetOptions options_;
  runtime::Simulation sim_;
  runtime::Environment& centre_env_;
  network::SimulatedNetwork net_;
  std::shared_ptr<sync::CentralStore> centre_;
  caf::actor inbox_, centre_actor_, listener_, sessions_;
  std::vector<std::unique_ptr<SimRobot>> robots_;
};

}  // namespace drover::simulate

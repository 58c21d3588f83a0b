// SimulatedNetwork: the network of a whole simulated fleet in the calling thread, under the virtual time of a
// runtime::Simulation. Links are in-memory (Dial::memory_listener) and can be delayed, stalled, refused and cut
// (MemoryWire).
//
// The same seed gives the same trace. One per thread (a KJ event loop belongs to its thread).
// Use its run_for / run_until instead of the simulation's: they keep both clocks together.
#pragma once

#include <kj/async.h>
#include <kj/timer.h>

#include <functional>
#include <memory>

#include "actors/network/network_core.hpp"
#include "actors/runtime/simulation.hpp"

namespace drover::network {

class SimulatedNetwork {
 public:
  // Both outlive this. Log lines and metrics of the network go to `env`.
  SimulatedNetwork(runtime::Simulation& simulation, runtime::Environment& env);
  ~SimulatedNetwork();

  Result<Listening> listen(const Listen& options) { return core_->listen(options); }
  Result<caf::actor> dial(const Dial& options) { return core_->dial(options); }
  std::shared_ptr<MemoryWire> make_wire() { return std::make_shared<MemoryWire>(timer_); }

  // Delivers messages and network events until nothing is left to do at this moment.
  void settle();
  void run_for(int64_t duration_ms);
  // Runs until done() (looked at after each settled moment), at most max_ms; returns done().
  bool run_until(const std::function<bool()>& done, int64_t max_ms);

 private:
  // Moves time to the next event, at most to end_ms.
  void step_to(int64_t end_ms);

  runtime::Simulation& simulation_;
  kj::EventLoop loop_;
  kj::WaitScope wait_scope_{loop_};
  kj::TimerImpl timer_{kj::origin<kj::TimePoint>()};
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::unique_ptr<NetworkCore> core_;
};

}  // namespace drover::network

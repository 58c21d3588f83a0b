// Simulation: actors under a deterministic scheduler with virtual time. For tests, the smoke run and the simulator.
//
// One seed decides the order of deliveries; the same seed gives the same trace hash. Everything runs in the calling
// thread. Actors must be spawned through an Environment of this simulation and take time and randomness only from it.
// Virtual time starts at 2024-01-01 UTC and moves only in run_for / run_until.
#pragma once

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "actors/runtime/environment.hpp"

namespace caf::scheduler {
class test_coordinator;
}

namespace drover::runtime {

class Simulation {
 public:
  explicit Simulation(uint64_t seed);
  // Kills nothing: stop the actors first, or their messages are dropped undelivered.
  ~Simulation();
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;

  caf::actor_system& system() { return *system_; }
  // Options for a node's environment: virtual clock, collected log, seed derived from the simulation's and `node`.
  EnvironmentOptions options(std::string_view node);
  // A node's environment that lives as long as the simulation; at most one per name makes sense.
  Environment& environment(std::string_view node = "node");

  int64_t now_ms() const;  // virtual, from 0
  std::shared_ptr<const Clock> clock() const { return clock_; }
  Rng& rng() { return rng_; }

  // Delivers one message to a randomly chosen runnable actor. False when none is runnable.
  bool step();
  // Delivers until nothing is runnable, without moving time. False when `max_steps` were not enough (a livelock).
  bool drain(uint64_t max_steps = 10'000'000);
  // Virtual time in which the next timer fires, or -1.
  int64_t next_timer_in_ms() const;
  // Runs timers and deliveries for so much virtual time.
  bool run_for(int64_t duration_ms, uint64_t max_steps = 10'000'000);
  // Runs until done() (looked at after every delivery), at most max_ms of virtual time; returns done().
  bool run_until(const std::function<bool()>& done, int64_t max_ms);

  // Mixes a fact into the trace hash.
  void trace(std::string_view fact);
  uint64_t trace_hash() const { return hash_; }
  uint64_t steps() const { return steps_; }

  // Log lines "level event" of all environments, the last 100'000.
  const std::vector<std::string>& log_lines() const { return *log_; }
  size_t log_count(std::string_view containing) const;

 private:
  void advance_to_ns(int64_t steady_ns);

  uint64_t seed_;
  Rng rng_;
  caf::actor_system_config config_;
  std::unique_ptr<caf::actor_system> system_;
  caf::scheduler::test_coordinator* scheduler_ = nullptr;
  std::shared_ptr<const Clock> clock_;
  std::shared_ptr<std::vector<std::string>> log_;
  std::vector<std::pair<std::string, std::unique_ptr<Environment>>> environments_;
  uint64_t hash_ = 1469598103934665603u;
  uint64_t steps_ = 0;
};

}  // namespace drover::runtime

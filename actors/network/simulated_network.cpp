#include "actors/network/simulated_network.hpp"

#include <algorithm>

namespace drover::network {

SimulatedNetwork::SimulatedNetwork(runtime::Simulation& simulation, runtime::Environment& env)
    : simulation_(simulation), core_(std::make_unique<NetworkCore>(env, timer_, nullptr, inbox_)) {
  timer_.advanceTo(kj::origin<kj::TimePoint>() + simulation_.now_ms() * kj::MILLISECONDS);
}

SimulatedNetwork::~SimulatedNetwork() {
  core_ = nullptr;
  inbox_->close();
  wait_scope_.poll();  // calls that were being served are cancelled by the loop, and hold on to the timer until then
  simulation_.drain();
}

void SimulatedNetwork::settle() {
  for (;;) {
    wait_scope_.poll();
    const bool received = inbox_->drain();
    const bool delivered = simulation_.step();
    if (received || delivered) continue;
    wait_scope_.poll();
    if (!inbox_->drain() && !simulation_.step()) return;
  }
}

void SimulatedNetwork::step_to(int64_t end_ms) {
  settle();
  int64_t next_ms = end_ms;
  KJ_IF_MAYBE (event, timer_.nextEvent()) {
    const int64_t event_ns = (*event - kj::origin<kj::TimePoint>()) / kj::NANOSECONDS;
    next_ms = std::min(next_ms, (event_ns + 999'999) / 1'000'000);
  }
  if (const int64_t wait_ms = simulation_.next_timer_in_ms(); wait_ms >= 0)
    next_ms = std::min(next_ms, simulation_.now_ms() + std::max<int64_t>(wait_ms, 1));
  next_ms = std::max(next_ms, simulation_.now_ms());
  simulation_.run_for(next_ms - simulation_.now_ms());
  timer_.advanceTo(kj::origin<kj::TimePoint>() + simulation_.now_ms() * kj::MILLISECONDS);
  settle();
}

void SimulatedNetwork::run_for(int64_t duration_ms) {
  const int64_t end_ms = simulation_.now_ms() + duration_ms;
  settle();
  while (simulation_.now_ms() < end_ms) step_to(end_ms);
}

bool SimulatedNetwork::run_until(const std::function<bool()>& done, int64_t max_ms) {
  const int64_t end_ms = simulation_.now_ms() + max_ms;
  settle();
  while (!done() && simulation_.now_ms() < end_ms) step_to(end_ms);
  return done();
}

}  // namespace drover::network

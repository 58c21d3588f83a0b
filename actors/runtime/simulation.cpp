#include "actors/runtime/simulation.hpp"

#include <algorithm>
#include <caf/atom.hpp>
#include <caf/scheduled_actor.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <chrono>

namespace drover::runtime {

namespace {

constexpr int64_t start_unix_ns = 1'704'067'200'000'000'000;  // 2024-01-01T00:00:00Z

int64_t nanoseconds(caf::actor_clock::time_point at) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(at.time_since_epoch()).count();
}

class VirtualClock final : public Clock {
 public:
  explicit VirtualClock(const caf::scheduler::test_coordinator& scheduler, int64_t origin_ns)
      : scheduler_(const_cast<caf::scheduler::test_coordinator&>(scheduler)), origin_ns_(origin_ns) {}
  int64_t steady_ns() const override { return nanoseconds(scheduler_.clock().now()) - origin_ns_; }
  int64_t unix_ns() const override { return start_unix_ns + steady_ns(); }

 private:
  caf::scheduler::test_coordinator& scheduler_;
  int64_t origin_ns_;
};

}  // namespace

Simulation::Simulation(uint64_t seed)
    : seed_(seed), rng_(Rng::stream(seed, "simulation")), log_(std::make_shared<std::vector<std::string>>()) {
  config_.set("scheduler.policy", caf::atom("testing"));
  system_ = std::make_unique<caf::actor_system>(config_);
  system_->await_actors_before_shutdown(false);
  scheduler_ = &dynamic_cast<caf::scheduler::test_coordinator&>(system_->scheduler());
  clock_ = std::make_shared<VirtualClock>(*scheduler_, nanoseconds(scheduler_->clock().now()));
}

Simulation::~Simulation() {
  drain();
  scheduler_->clock().cancel_all();
}

EnvironmentOptions Simulation::options(std::string_view node) {
  EnvironmentOptions options;
  options.seed = Rng::stream(seed_, node).next();
  options.clock = clock_;
  options.simulated = true;
  options.log = [lines = log_](LogLevel level, std::string_view event) {
    if (lines->size() >= 100'000) lines->erase(lines->begin(), lines->begin() + 50'000);
    lines->push_back(std::string(log_level_name(level)) + " " + std::string(event));
  };
  return options;
}

Environment& Simulation::environment(std::string_view node) {
  for (auto& [name, environment] : environments_)
    if (name == node) return *environment;
  environments_.emplace_back(std::string(node), std::make_unique<Environment>(*system_, options(node)));
  return *environments_.back().second;
}

int64_t Simulation::now_ms() const {
  return clock_->steady_ms();
}

bool Simulation::step() {
  auto& jobs = scheduler_->jobs;
  if (jobs.empty()) return false;
  const auto pick = jobs.begin() + static_cast<std::ptrdiff_t>(rng_.below(jobs.size()));
  std::rotate(jobs.begin(), pick, pick + 1);
  const auto* actor = dynamic_cast<caf::scheduled_actor*>(jobs.front());
  const uint64_t fact[2] = {actor ? actor->id() : 0, static_cast<uint64_t>(clock_->steady_ns())};
  trace({reinterpret_cast<const char*>(fact), sizeof fact});
  scheduler_->run_once();
  ++steps_;
  return true;
}

bool Simulation::drain(uint64_t max_steps) {
  for (uint64_t n = 0; n < max_steps; ++n)
    if (!step()) return true;
  return scheduler_->jobs.empty();
}

int64_t Simulation::next_timer_in_ms() const {
  if (!scheduler_->has_pending_timeout()) return -1;
  const auto due = scheduler_->clock().schedule().begin()->first;
  const auto wait = due - scheduler_->clock().now();
  return std::max<int64_t>(0, std::chrono::duration_cast<std::chrono::milliseconds>(wait).count());
}

void Simulation::advance_to_ns(int64_t steady_ns) {
  const int64_t delta_ns = std::max<int64_t>(0, steady_ns - clock_->steady_ns());
  scheduler_->advance_time(std::chrono::nanoseconds(delta_ns));
}

bool Simulation::run_for(int64_t duration_ms, uint64_t max_steps) {
  const int64_t end_ns = clock_->steady_ns() + duration_ms * 1'000'000;
  const uint64_t last_step = steps_ + max_steps;
  if (!drain(max_steps)) return false;
  while (scheduler_->has_pending_timeout()) {
    const int64_t wait_ns =
        nanoseconds(scheduler_->clock().schedule().begin()->first) - nanoseconds(scheduler_->clock().now());
    if (clock_->steady_ns() + wait_ns > end_ns) break;
    if (steps_ >= last_step) return false;
    advance_to_ns(clock_->steady_ns() + wait_ns);
    if (!drain(last_step - steps_)) return false;
  }
  advance_to_ns(end_ns);
  return drain(max_steps);
}

bool Simulation::run_until(const std::function<bool()>& done, int64_t max_ms) {
  const int64_t end_ns = clock_->steady_ns() + max_ms * 1'000'000;
  while (!done()) {
    if (step()) continue;
    if (!scheduler_->has_pending_timeout()) return done();
    const int64_t wait_ns =
        nanoseconds(scheduler_->clock().schedule().begin()->first) - nanoseconds(scheduler_->clock().now());
    if (clock_->steady_ns() + wait_ns > end_ns) return false;
    advance_to_ns(clock_->steady_ns() + wait_ns);
  }
  return true;
}

void Simulation::trace(std::string_view fact) {
  for (const char c : fact) hash_ = (hash_ ^ static_cast<unsigned char>(c)) * 1099511628211u;
}

size_t Simulation::log_count(std::string_view containing) const {
  return static_cast<size_t>(std::count_if(
      log_->begin(), log_->end(), [&](const std::string& line) { return line.find(containing) != std::string::npos; }));
}

}  // namespace drover::runtime

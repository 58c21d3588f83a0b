// Environment: everything an actor may take from the world around it, given to every actor factory. No singletons.
//
// One per node. It outlives every actor that was spawned through it and is not copied. Production gives it the
// machine's clocks and a printed random seed; the simulator (simulation.hpp) gives it virtual time and one thread.
// Threads: all functions may be called from any thread.
#pragma once

#include <caf/actor_system.hpp>
#include <caf/behavior.hpp>
#include <caf/error.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/infer_handle.hpp>
#include <caf/spawn_options.hpp>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "actors/runtime/clock.hpp"
#include "actors/runtime/directory.hpp"
#include "actors/runtime/log.hpp"
#include "actors/runtime/metrics.hpp"
#include "actors/runtime/quarantine.hpp"
#include "actors/runtime/rng.hpp"

namespace drover::runtime {

struct EnvironmentOptions {
  uint64_t seed = 0;                   // root of every rng(); the node prints it at start
  std::shared_ptr<const Clock> clock;  // default: SystemClock
  LogSink log;                         // default: stderr_log(); thread safe
  QuarantineRules quarantine;
  QuarantineSink* quarantine_sink = nullptr;  // outlives the environment
  bool simulated = false;                     // spawn_blocking gives no thread of its own
};

class Environment {
 public:
  // `system` outlives the environment.
  Environment(caf::actor_system& system, EnvironmentOptions options);
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  caf::actor_system& system() { return system_; }
  const Clock& clock() const { return *clock_; }
  int64_t unix_ns() const { return clock_->unix_ns(); }
  int64_t steady_ms() const { return clock_->steady_ms(); }
  uint64_t seed() const { return options_.seed; }
  // The stream of that name: always the same numbers for the same seed. A restarted actor that asks again repeats them.
  Rng rng(std::string_view name) const { return Rng::stream(options_.seed, name); }
  Metrics& metrics() { return metrics_; }
  Directory& directory() { return directory_; }
  Ref ref(std::string_view name) { return directory_.ref(name); }
  Quarantine& quarantine() { return quarantine_; }
  void log(LogLevel level, std::string_view event) const { options_.log(level, event); }
  bool simulated() const { return options_.simulated; }

  // Spawns `caf::behavior fun(Self* self, args...)`, Self being event_based_actor or stateful_actor<State>. An
  // exception in it or in a handler ends the actor abnormally with the text as reason; its supervisor logs it.
  template <class F, class... Ts>
  caf::actor spawn(F fun, Ts&&... xs) {
    return spawn_with<caf::no_spawn_options>(std::move(fun), std::forward<Ts>(xs)...);
  }

  // The same for an actor whose handlers block (disk, GPU, physics): a thread of its own in production.
  template <class F, class... Ts>
  caf::actor spawn_blocking(F fun, Ts&&... xs) {
    if (options_.simulated) return spawn_with<caf::no_spawn_options>(std::move(fun), std::forward<Ts>(xs)...);
    return spawn_with<caf::detached>(std::move(fun), std::forward<Ts>(xs)...);
  }

 private:
  template <caf::spawn_options Options, class F, class... Ts>
  caf::actor spawn_with(F fun, Ts&&... xs) {
    using Self = caf::infer_impl_from_fun_t<F>;
    auto body = [fun = std::move(fun), args = std::make_tuple(std::decay_t<Ts>(std::forward<Ts>(xs))...)](
                    Self* self, int) mutable -> caf::behavior {
      self->set_exception_handler([](std::exception_ptr& thrown) { return error_of(thrown); });
      try {
        return std::apply([&](auto&... arg) { return fun(self, std::move(arg)...); }, args);
      } catch (...) {
        self->quit(error_of(std::current_exception()));
        return {};
      }
    };
    return system_.spawn<Options>(std::move(body), 0);  // CAF 0.17 dereferences null when there is no argument
  }
  static caf::error error_of(const std::exception_ptr& thrown);

  caf::actor_system& system_;
  EnvironmentOptions options_;
  std::shared_ptr<const Clock> clock_;
  Metrics metrics_;
  Directory directory_;
  Quarantine quarantine_;
};

}  // namespace drover::runtime

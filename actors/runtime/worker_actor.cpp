#include "actors/runtime/worker_actor.hpp"

#include <sys/resource.h>

#include <caf/stateful_actor.hpp>
#include <chrono>

namespace drover::runtime {
namespace {

struct WorkerTick {};

}  // namespace
}  // namespace drover::runtime

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::runtime::WorkerTick)

namespace drover::runtime {
namespace {

constexpr int worker_nice = 10;

struct WorkerState;
using WorkerActor = caf::stateful_actor<WorkerState>;

struct WorkerState {
  const char* name = "worker";
  WorkerActor* self = nullptr;
  Environment* env = nullptr;
  WorkerConfig config;
  std::shared_ptr<Work> work;
  bool failing = false;  // said already
  bool yielding = false;

  // On Linux a nice value is that of the calling thread, which is this actor's own and ends with it. Others keep
  // theirs.
  void yield_to_others() {
    if (yielding || env->simulated()) return;
    yielding = true;
    (void)setpriority(PRIO_PROCESS, 0, worker_nice);
  }

  void tick() {
    yield_to_others();
    const auto more = work->step(*self);
    if (!more && !failing)
      env->log(LogLevel::warn, config.name + ".failed reason=" + log_value(more.error().message()));
    failing = !more;
    if (more && *more)
      self->send(self, WorkerTick{});
    else
      self->delayed_send(self, std::chrono::milliseconds(config.rest_ms), WorkerTick{});
  }
};

caf::behavior worker_actor(WorkerActor* self, Environment* env, WorkerConfig config, std::shared_ptr<Work> work) {
  WorkerState& s = self->state;
  s.self = self;
  s.env = env;
  s.config = std::move(config);
  s.work = std::move(work);
  self->send(self, WorkerTick{});
  return {[&s](const WorkerTick&) { s.tick(); }};
}

}  // namespace

caf::actor spawn_worker(Environment& env, WorkerConfig config, std::shared_ptr<Work> work) {
  return env.spawn_blocking(worker_actor, &env, std::move(config), std::move(work));
}

}  // namespace drover::runtime

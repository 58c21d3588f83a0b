#include "actors/runtime/supervisor_actor.hpp"

#include <fmt/format.h>

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/exit_reason.hpp>
#include <caf/sec.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/system_messages.hpp>
#include <chrono>
#include <deque>
#include <memory>
#include <utility>

namespace drover::runtime {
struct SupervisorTimer {
  uint64_t token;
};
}  // namespace drover::runtime
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::runtime::SupervisorTimer)

namespace drover::runtime {

namespace {

// The children that live now; shared with the exit hook, which runs when the state is gone.
using Living = std::vector<caf::actor>;

struct SupervisorState {
  static inline const char* name = "supervisor";
  Environment* environment = nullptr;
  SupervisorConfig config;
  std::unique_ptr<Supervision> machine;
  std::shared_ptr<Living> living;  // by child; null when not alive
  Counter* restarts = nullptr;
};
using Self = caf::stateful_actor<SupervisorState>;

std::vector<ChildSpec> specs_of(const std::vector<Child>& children) {
  std::vector<ChildSpec> specs;
  for (const Child& child : children) specs.push_back(child.spec);
  return specs;
}

ExitKind kind_of(const caf::error& reason) {
  const bool asked = !reason || reason == caf::exit_reason::normal || reason == caf::exit_reason::user_shutdown;
  return asked ? ExitKind::normal : ExitKind::abnormal;
}

// The text of an exception or of a give-up as it is; other reasons as CAF names them.
std::string text_of(Self* self, const caf::error& reason) {
  if (reason == caf::sec::runtime_error && reason.context().match_elements<std::string>())
    return reason.context().get_as<std::string>(0);
  return self->system().render(reason);
}

void send_exit(Self* self, const caf::actor& child, caf::exit_reason reason) {
  if (child) self->send<caf::message_priority::high>(child, caf::exit_msg{self->address(), caf::make_error(reason)});
}

Result<caf::actor> call_factory(const Factory& factory, Environment& environment) {
  try {
    Result<caf::actor> made = factory(environment);
    if (made && !*made) return fail(Errc::internal, "factory", "returned no actor");
    return made;
  } catch (const std::exception& error) {
    return fail(Errc::internal, "factory", error.what());
  } catch (...) {
    return fail(Errc::internal, "factory", "unknown exception");
  }
}

Decisions start_child(Self* self, size_t index) {
  SupervisorState& state = self->state;
  const Child& child = state.config.children[index];
  const Result<caf::actor> made = call_factory(child.start, *state.environment);
  const int64_t now_ms = state.environment->steady_ms();
  if (!made) {
    state.environment->log(LogLevel::warn, fmt::format("supervisor.start_failed supervisor={} child={} reason={}",
                                                       log_value(state.config.name), log_value(child.spec.name),
                                                       log_value(made.error().message())));
    return state.machine->failed_to_start(index, made.error().message(), now_ms);
  }
  (*state.living)[index] = *made;
  state.environment->directory().bind(child.spec.name, *made);
  self->monitor(*made);
  return state.machine->started(index, now_ms);
}

void finish(Self* self, const SupervisorEnd& end) {
  SupervisorState& state = self->state;
  if (end.gave_up) {
    state.environment->log(LogLevel::error, fmt::format("supervisor.gave_up supervisor={} reason={}",
                                                        log_value(state.config.name), log_value(end.reason)));
    self->quit(caf::make_error(caf::sec::runtime_error, end.reason));
  } else {
    self->quit(caf::exit_reason::user_shutdown);
  }
  if (state.config.on_end) state.config.on_end(end);
}

// Forgets a child that has ended or was abandoned.
void forget_child(Self* self, size_t index, const caf::actor_addr& address) {
  SupervisorState& state = self->state;
  state.environment->directory().unbind(state.config.children[index].spec.name, address);
  (*state.living)[index] = nullptr;
}

Decisions carry_out_one(Self* self, const Decision& decision) {
  SupervisorState& state = self->state;
  Living& living = *state.living;
  switch (decision.kind) {
    case Decision::Kind::start:
      return start_child(self, decision.child);
    case Decision::Kind::stop:
      send_exit(self, living[decision.child], caf::exit_reason::user_shutdown);
      break;
    case Decision::Kind::kill:
      if (state.config.children[decision.child].spec.shutdown_ms != 0)
        state.environment->log(LogLevel::warn,
                               fmt::format("supervisor.killed supervisor={} child={}", log_value(state.config.name),
                                           log_value(state.config.children[decision.child].spec.name)));
      send_exit(self, living[decision.child], caf::exit_reason::kill);
      break;
    case Decision::Kind::abandon:
      state.environment->log(LogLevel::error,
                             fmt::format("supervisor.abandoned supervisor={} child={}", log_value(state.config.name),
                                         log_value(state.config.children[decision.child].spec.name)));
      self->demonitor(living[decision.child]);
      forget_child(self, decision.child, living[decision.child].address());
      break;
    case Decision::Kind::timer:
      self->delayed_send(self, std::chrono::milliseconds(decision.delay_ms), SupervisorTimer{decision.token});
      break;
    case Decision::Kind::stopped:
      finish(self, {});
      break;
    case Decision::Kind::gave_up:
      finish(self, {true, decision.reason});
      break;
  }
  return {};
}

void carry_out(Self* self, Decisions decisions) {
  std::deque<Decision> work(decisions.begin(), decisions.end());
  while (!work.empty()) {
    const Decision decision = std::move(work.front());
    work.pop_front();
    for (Decision& next : carry_out_one(self, decision)) work.push_back(std::move(next));
  }
}

void on_down(Self* self, const caf::down_msg& down) {
  SupervisorState& state = self->state;
  for (size_t index = 0; index < state.living->size(); ++index) {
    const caf::actor& child = (*state.living)[index];
    if (!child || child.address() != down.source) continue;
    const bool expected = state.machine->state(index) == Supervision::ChildState::stopping;
    const std::string reason = text_of(self, down.reason);
    if (kind_of(down.reason) == ExitKind::abnormal && !expected) {
      state.restarts->add();
      state.environment->log(
          LogLevel::warn,
          fmt::format("supervisor.child_failed supervisor={} child={} reason={}", log_value(state.config.name),
                      log_value(state.config.children[index].spec.name), log_value(reason)));
    }
    forget_child(self, index, down.source);
    return carry_out(self, state.machine->exited(index, kind_of(down.reason), reason, state.environment->steady_ms()));
  }
}

caf::behavior supervisor(Self* self, Environment* environment, SupervisorConfig config) {
  SupervisorState& state = self->state;
  state.environment = environment;
  state.machine = std::make_unique<Supervision>(config.rules, specs_of(config.children),
                                                environment->rng("supervisor/" + config.name));
  state.living = std::make_shared<Living>(config.children.size());
  state.restarts = &environment->metrics().counter("drover_child_failures_total", "Abnormal ends of supervised actors",
                                                   {{"supervisor", config.name}});
  state.config = std::move(config);
  self->attach_functor([living = state.living](const caf::error&) {
    for (const caf::actor& child : *living)
      if (child) caf::anon_send<caf::message_priority::high>(child, caf::exit_msg{{}, caf::exit_reason::kill});
  });
  self->set_down_handler([self](caf::down_msg& down) { on_down(self, down); });
  self->set_exit_handler(
      [self](caf::exit_msg&) { carry_out(self, self->state.machine->stop(self->state.environment->steady_ms())); });
  carry_out(self, state.machine->start(environment->steady_ms()));
  return {[self](const SupervisorTimer& timer) {
    carry_out(self, self->state.machine->timer(timer.token, self->state.environment->steady_ms()));
  }};
}

}  // namespace

caf::actor spawn_supervisor(Environment& environment, SupervisorConfig config) {
  return environment.spawn(supervisor, &environment, std::move(config));
}

Child worker_child(std::string name, Factory start, RestartRule restart, int64_t shutdown_ms) {
  return {ChildSpec{std::move(name), restart, shutdown_ms}, std::move(start)};
}

Child nested_supervisor(SupervisorConfig config, RestartRule restart) {
  ChildSpec spec{config.name, restart, ChildSpec::no_deadline};
  return {std::move(spec), [config = std::move(config)](Environment& environment) -> Result<caf::actor> {
            return spawn_supervisor(environment, config);
          }};
}

}  // namespace drover::runtime

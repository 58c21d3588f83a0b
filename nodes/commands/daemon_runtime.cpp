#include "nodes/commands/daemon_runtime.hpp"

#include <caf/atom.hpp>

namespace drover::nodes {
namespace {

// The daemon's clock, shared with the environment without giving it away.
std::shared_ptr<const runtime::Clock> borrow(const runtime::Clock& clock) {
  return {std::shared_ptr<void>(), &clock};
}

runtime::EnvironmentOptions environment_options(DaemonContext& context) {
  runtime::EnvironmentOptions options;
  options.seed = context.seed;
  options.clock = borrow(context.clock);
  options.log = context.log.sink();
  return options;
}

}  // namespace

ActorConfig::ActorConfig() {
  set("scheduler.policy", caf::atom("sharing"));
  set("scheduler.max-threads", size_t{2});
}

DaemonRuntime::DaemonRuntime(DaemonContext& context)
    : system(config), env(system, environment_options(context)), network(env) {}

std::function<void(const runtime::SupervisorEnd&)> end_service(Service& service) {
  return [&service](const runtime::SupervisorEnd& end) {
    if (end.gave_up)
      service.finished(exit_gave_up, "a supervisor gave up: " + end.reason);
    else
      service.finished(exit_ok, "stopped");
  };
}

}  // namespace drover::nodes

#include "actors/runtime/environment.hpp"

#include <caf/sec.hpp>

namespace drover::runtime {

namespace {
EnvironmentOptions with_defaults(EnvironmentOptions options) {
  if (!options.clock) options.clock = std::make_shared<SystemClock>();
  if (!options.log) options.log = stderr_log();
  return options;
}
}  // namespace

Environment::Environment(caf::actor_system& system, EnvironmentOptions options)
    : system_(system),
      options_(with_defaults(std::move(options))),
      clock_(options_.clock),
      directory_(metrics_),
      quarantine_(options_.quarantine, *clock_, options_.log, options_.quarantine_sink) {}

caf::error Environment::error_of(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& error) {
    return caf::make_error(caf::sec::runtime_error, std::string(error.what()));
  } catch (...) {
    return caf::make_error(caf::sec::runtime_error, std::string("unknown exception"));
  }
}

}  // namespace drover::runtime

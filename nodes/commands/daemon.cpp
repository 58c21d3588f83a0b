#include "nodes/commands/daemon.hpp"

#include <sys/random.h>
#include <unistd.h>

#include <cstdio>

namespace drover::nodes {
namespace {

LogOptions log_options(const LogConfig& config, const DaemonOptions& options) {
  LogOptions out;
  const bool json =
      options.log_format.empty() ? config.format == LogConfig::Format::json : options.log_format == "json";
  out.format = json ? LogOptions::Format::json : LogOptions::Format::text;
  out.level = static_cast<LogLevel>(config.level);
  for (const LogLevel level : {LogLevel::debug, LogLevel::info, LogLevel::warn, LogLevel::error}) {
    if (options.log_level == runtime::log_level_name(level)) out.level = level;
  }
  return out;
}

uint64_t draw_seed() {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) != static_cast<ssize_t>(sizeof seed)) seed = static_cast<uint64_t>(getpid());
  seed &= 0x7fff'ffff'ffff'ffff;  // fits the configuration key, so that a run can be repeated
  return seed == 0 ? 1 : seed;
}

void log_effective(Log& log, const DaemonFacts& facts, const DaemonOptions& options) {
  std::string line = "config.effective file=" + runtime::log_value(options.source.file);
  for (const auto& [key, value] : facts.effective) {
    const bool quoted =
        value.size() >= 2 && value.front() == '"' && value.find_first_of("\\ =", 1) == std::string::npos;
    line.append(" ").append(key).append("=");
    line.append(quoted && value.size() > 2 ? value.substr(1, value.size() - 2) : runtime::log_value(value));
  }
  log.line(LogLevel::info, line);
}

}  // namespace

static_assert(static_cast<int>(LogConfig::Level::error) == static_cast<int>(LogLevel::error));

std::optional<int> parse_daemon_options(const std::string& component, const Arguments& arguments,
                                        DaemonOptions& options) {
  CLI::App app("Run the " + component + " daemon in the foreground, with structured logs on stderr.",
               "drover " + component);
  app.footer(
      "SIGTERM or SIGINT stops cleanly, a second SIGINT at once, SIGHUP reloads what can be reloaded.\n\n"
      "Examples:\n"
      "  drover config defaults " +
      component + " > " + component +
      ".toml\n"
      "  drover " +
      component + " --config " + component +
      ".toml\n"
      "  drover " +
      component + " --config " + component + ".toml --set store.dir=/tmp/store --log-level debug\n");
  app.add_option("--config,-c", options.source.file, "the TOML file; every key: drover config defaults " + component)
      ->required();
  app.add_option("--set", options.source.overrides, "key=value laid over the file; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--log-format", options.log_format, "text or json, instead of log.format")
      ->check(CLI::IsMember({"text", "json"}));
  app.add_option("--log-level", options.log_level, "least level written, instead of log.level")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}));
  app.add_flag("--check", options.check_only, "check the configuration and end");
  app.add_flag("--print-config", options.print_config, "print the effective configuration and end");
  return parse_arguments(app, arguments);
}

int report_config(const std::string& component, const Error& error) {
  return report_failure("drover " + component, error, exit_config);
}

void print_effective(const std::vector<std::pair<std::string, std::string>>& effective) {
  for (const auto& [key, value] : effective) std::printf("%s = %s\n", key.c_str(), value.c_str());
}

int run_daemon(const DaemonFacts& facts, const DaemonOptions& options,
               const std::function<Result<ServiceHooks>(DaemonContext&)>& start) {
  const runtime::SystemClock clock;
  Log log(clock, log_options(facts.log, options));
  const ServiceOptions service_options{facts.service.stop_deadline_ms, facts.service.status_period_ms};
  auto service = Service::create(service_options, clock, log, Notifier::from_environment());
  if (!service) {
    log.event(LogLevel::error, "service.start_failed", {{"reason", service.error().message()}});
    return exit_start;
  }
  const uint64_t seed = facts.seed != 0 ? facts.seed : draw_seed();
  log.event(LogLevel::info, "service.starting",
            {{"component", facts.component}, {"node", facts.node_id}, {"pid", getpid()}, {"seed", seed}});
  log_effective(log, facts, options);
  DaemonContext context{clock, log, **service, seed};
  Result<ServiceHooks> hooks = start(context);
  if (!hooks) {
    log.event(LogLevel::error, "service.start_failed", {{"reason", hooks.error().message()}});
    return exit_start;
  }
  const ExitCode code = (*service)->run(*hooks);
  // All actors have ended and every store is closed or synced. What is left is waiting: CAF keeps an actor until the
  // last timeout of its requests has run out, which may be half a minute. A stopped daemon does not wait for that.
  std::fflush(nullptr);
  ::_exit(code);
}

}  // namespace drover::nodes

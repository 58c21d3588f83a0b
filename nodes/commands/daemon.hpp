// The frame of every daemon: command line, configuration, logs, signals, service manager, exit code.
//
//   int robot_command(const Arguments& arguments) {
//     return daemon_command<RobotConfig>("robot", arguments, [](const RobotConfig& config, DaemonContext& context) {
//       return start_robot(config, context);  // Result<ServiceHooks>
//     });
//   }
//
// Order: signals are blocked and the log exists before anything starts; the configuration is checked as a whole and
// logged; `start` builds the node and returns its hooks; the service loop runs until Service::finished().
// What `start` built must live in its hooks (capture a shared_ptr); it is destroyed after the loop, log last.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actors/runtime/clock.hpp"
#include "nodes/commands/command.hpp"
#include "nodes/config/load.hpp"
#include "nodes/log.hpp"
#include "nodes/service.hpp"

namespace drover::nodes {

// What a node is built with. Lives until the process ends.
struct DaemonContext {
  const runtime::Clock& clock;
  Log& log;
  Service& service;
  uint64_t seed;  // the configured one, or one drawn at start; never 0
};

struct DaemonOptions {
  ConfigSource source;
  std::string log_format;  // empty: as configured
  std::string log_level;   // empty: as configured
  bool check_only = false;
  bool print_config = false;
};

// Parses the words. Nothing: go on. Else the exit code.
std::optional<int> parse_daemon_options(const std::string& component, const Arguments& arguments,
                                        DaemonOptions& options);

// The rest of the frame, apart from the type of the configuration.
struct DaemonFacts {
  std::string component;
  std::string node_id;
  uint64_t seed = 0;
  LogConfig log;
  ServiceConfig service;
  std::vector<std::pair<std::string, std::string>> effective;
};
int run_daemon(const DaemonFacts& facts, const DaemonOptions& options,
               const std::function<Result<ServiceHooks>(DaemonContext&)>& start);

// Reports a configuration that could not be loaded and says which exit code that is.
int report_config(const std::string& component, const Error& error);
void print_effective(const std::vector<std::pair<std::string, std::string>>& effective);

template <class Config, class Start>
int daemon_command(const std::string& component, const Arguments& arguments, Start start) {
  DaemonOptions options;
  if (const auto code = parse_daemon_options(component, arguments, options)) return *code;
  const auto config = load_config<Config>(options.source);
  if (!config) return report_config(component, config.error());
  auto effective = effective_config(*config);
  if (options.print_config) print_effective(effective);
  if (options.print_config || options.check_only) return exit_ok;
  const DaemonFacts facts{component, config->node.id, config->node.seed, config->log, config->service, effective};
  return run_daemon(facts, options, [&](DaemonContext& context) { return start(*config, context); });
}

}  // namespace drover::nodes

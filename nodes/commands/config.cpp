// drover config: print the documented defaults, check a file, show what is in force.
#include <cstdio>

#include "nodes/commands/command.hpp"
#include "nodes/config/load.hpp"

namespace drover::nodes {
namespace {

struct Options {
  std::string component;
  ConfigSource source;
};

template <class Config>
int check(const Options& options, bool show) {
  const auto config = load_config<Config>(options.source);
  if (!config) return report_failure("drover config", config.error(), exit_config);
  if (!show) {
    std::printf("%s: good\n", options.source.file.c_str());
    return exit_ok;
  }
  for (const auto& [key, value] : effective_config(*config)) std::printf("%s = %s\n", key.c_str(), value.c_str());
  return exit_ok;
}

void add_file_options(CLI::App& command, Options& options) {
  command.add_option("file", options.source.file, "the TOML file")->required();
  command.add_option("--set", options.source.overrides, "key=value laid over the file; may be repeated")
      ->allow_extra_args(false);
}

}  // namespace

int config_command(const Arguments& arguments) {
  CLI::App app("Print, check and show configurations.", "drover config");
  app.footer(
      "Examples:\n"
      "  drover config defaults robot > robot.toml    a documented file with every key\n"
      "  drover config check robot robot.toml         all problems at once, with line and key\n"
      "  drover config show robot robot.toml          every key with the value in force\n");
  app.require_subcommand(1);
  Options options;
  const auto component = [&options](CLI::App* command) {
    command->add_option("component", options.component, "robot or coordinator")
        ->required()
        ->check(CLI::IsMember({"robot", "coordinator"}));
    return command;
  };
  const CLI::App* defaults = component(app.add_subcommand("defaults", "print a documented file with every key"));
  CLI::App* check_file = component(app.add_subcommand("check", "check a file; exit code 3 if it is wrong"));
  CLI::App* show = component(app.add_subcommand("show", "print every key with the value in force"));
  add_file_options(*check_file, options);
  add_file_options(*show, options);
  if (const auto code = parse_arguments(app, arguments)) return *code;

  const bool robot = options.component == "robot";
  if (defaults->parsed()) {
    std::fputs((robot ? document_robot_config() : document_coordinator_config()).c_str(), stdout);
    return exit_ok;
  }
  return robot ? check<RobotConfig>(options, show->parsed()) : check<CoordinatorConfig>(options, show->parsed());
}

}  // namespace drover::nodes

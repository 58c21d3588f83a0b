// drover: one command with subcommands. This file is the table of them, the help, and nothing else.
//
// Invariant: nothing is constructed before main but what the libraries themselves construct; a daemon starts fast.
#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>

#include "nodes/commands/command.hpp"
#include "nodes/config/nearest.hpp"

namespace drover::nodes {
namespace {

// One line per subcommand. A null function is a sibling executable (drover-<name>), run as git runs its own.
constexpr std::array commands{
    Command{"robot", "Run", "Run the daemon of a robot", robot_command},
    Command{"coordinator", "Run", "Run the daemon at the centre", coordinator_command},
    Command{"config", "Set up", "Print, check and show configurations", config_command},
    Command{"enroll", "Set up", "Make the certificate authority and certificates of nodes", enroll_command},
    Command{"audit", "Operate", "Prove that no record or chunk is lost, double or out of order", audit_command},
    Command{"econ", "Operate", "Show what datapacks are worth, who is owed what, and prove it", econ_command},
    Command{"episodes", "Operate", "Look at episodes and get their raw files back", episodes_command},
    Command{"fleet", "Operate", "Show who streams to a coordinator and how far they are", fleet_command},
    Command{"gates", "Operate", "Show the frozen gates, prove them, and explain weights", gates_command},
    Command{"knowledge", "Operate", "Publish signed documents to the fleet", knowledge_command},
    Command{"ontology", "Operate", "Learn from what robots sent, show it and explain why", ontology_command},
    Command{"packs", "Operate", "Show, query, count, import and export datapacks", packs_command},
    Command{"sample", "Operate", "Draw datapacks to train on, and say why", sample_command},
    Command{"sima", "Try and test", "Make rollouts from templates; find segments in recordings and logs", sima_command},
    Command{"smoke", "Try and test", "Run a whole fleet in one process and report", nullptr},
    Command{"stress", "Try and test", "Run simulated and real faults against the fleet", nullptr},
};

constexpr std::string_view exit_codes =
    "Exit codes of every drover program:\n"
    "  0    done, stopped cleanly, or every check held\n"
    "  1    the answer is no, or the command failed\n"
    "  2    the command line is wrong\n"
    "  3    the configuration is wrong; starting again cannot help\n"
    "  4    could not start: store locked or damaged, port taken, certificate unreadable\n"
    "  5    a supervisor gave up; starting again may help\n"
    "  6    a clean stop took longer than its deadline and was cut short\n"
    "  130  interrupted by a second SIGINT\n";

void print(std::FILE* to, std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), to);
}

void print_help(std::FILE* to) {
  print(to,
        "drover: a runtime for robot fleets that learn.\n"
        "\n"
        "Usage: drover COMMAND [OPTIONS]\n");
  std::string_view group;
  for (const Command& command : commands) {
    if (command.group != group) std::fprintf(to, "\n%s\n", std::string(command.group).c_str());
    group = command.group;
    std::fprintf(to, "  %-12s %s\n", std::string(command.name).c_str(), std::string(command.summary).c_str());
  }
  print(to,
        "\nExamples\n"
        "  drover smoke                                        see it work, in this terminal, in a minute\n"
        "  drover enroll init --dir pki                        make a certificate authority\n"
        "  drover enroll node --dir pki --role robot --id robot-07\n"
        "  drover config defaults robot > robot.toml           a documented configuration\n"
        "\n"
        "drover COMMAND --help explains a command; drover help exit-codes lists the exit codes.\n");
}

const Command* find_command(std::string_view name) {
  const auto at = std::find_if(commands.begin(), commands.end(), [&](const Command& c) { return c.name == name; });
  return at == commands.end() ? nullptr : &*at;
}

int unknown_command(const std::string& name) {
  std::vector<std::string> known{"help"};
  for (const Command& command : commands) known.emplace_back(command.name);
  const std::string near = nearest_name(name, known);
  std::fprintf(stderr, "drover: there is no command \"%.80s\".", name.c_str());
  if (!near.empty()) std::fprintf(stderr, " Did you mean \"%s\"?", near.c_str());
  std::fprintf(stderr, "\nCommands:");
  for (const Command& command : commands) std::fprintf(stderr, " %s", std::string(command.name).c_str());
  std::fprintf(stderr, ". More: drover help\n");
  return exit_usage;
}

int run_command(const Command& command, const Arguments& arguments) {
  return command.run != nullptr ? command.run(arguments) : run_sibling(command.name, arguments);
}

int drover_main(Arguments words) {
  if (words.empty()) {
    print_help(stderr);
    return exit_usage;
  }
  const std::string name = words.front();
  words.erase(words.begin());
  if (name == "--version" || name == "version") {
    std::printf("drover %s\n", DROVER_VERSION);
    return exit_ok;
  }
  if (name == "help" || name == "--help" || name == "-h") {
    if (words.empty()) {
      print_help(stdout);
      return exit_ok;
    }
    if (words.front() == "exit-codes") {
      print(stdout, exit_codes);
      return exit_ok;
    }
    const Command* command = find_command(words.front());
    return command == nullptr ? unknown_command(words.front()) : run_command(*command, {"--help"});
  }
  const Command* command = find_command(name);
  return command == nullptr ? unknown_command(name) : run_command(*command, words);
}

}  // namespace
}  // namespace drover::nodes

int main(int argc, char** argv) {
  try {
    return drover::nodes::drover_main({argv + std::min(argc, 1), argv + argc});
  } catch (const std::exception& error) {  // only our own bugs and lack of memory come this far
    std::fprintf(stderr, "drover: internal error: %s\n", error.what());
    return drover::nodes::exit_failed;
  }
}

// One row of the `drover` command table, and what every subcommand shares: parsing, errors, output.
//
// To add a subcommand: write `int my_command(const Arguments&)` in nodes/commands/my.cpp, list the file in
// nodes/CMakeLists.txt and add one line to the table in nodes/main.cpp.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "messages/result.hpp"
#include "nodes/exit_code.hpp"

namespace drover::nodes {

// The words after the subcommand's own name.
using Arguments = std::vector<std::string>;

struct Command {
  std::string_view name;
  std::string_view group;        // heading in the help
  std::string_view summary;      // one line, begins with a verb
  int (*run)(const Arguments&);  // null: a sibling executable drover-<name>
};

// Parses with CLI11. Nothing: go on. Else the exit code: help was shown (0) or the words are wrong (2, explained on
// stderr). Give the app its examples through app.footer().
std::optional<int> parse_arguments(CLI::App& app, const Arguments& arguments);

// "drover enroll: message" on stderr; returns `code`.
int report_failure(std::string_view command, const Error& error, int code = exit_failed);

// Subcommands of this room.
int audit_command(const Arguments& arguments);
int config_command(const Arguments& arguments);
int coordinator_command(const Arguments& arguments);
int econ_command(const Arguments& arguments);
int enroll_command(const Arguments& arguments);
int episodes_command(const Arguments& arguments);
int fleet_command(const Arguments& arguments);
int gates_command(const Arguments& arguments);
int knowledge_command(const Arguments& arguments);
int ontology_command(const Arguments& arguments);
int packs_command(const Arguments& arguments);
int robot_command(const Arguments& arguments);
int sample_command(const Arguments& arguments);
int sima_command(const Arguments& arguments);

// Becomes drover-<name>, found beside this executable, in ../libexec/drover, or in $DROVER_LIBEXEC. Returns only on
// failure, with the exit code.
int run_sibling(std::string_view name, const Arguments& arguments);

// The folder of the running executable.
std::string executable_folder();

}  // namespace drover::nodes

#include "nodes/commands/command.hpp"

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <system_error>

namespace drover::nodes {

std::optional<int> parse_arguments(CLI::App& app, const Arguments& arguments) {
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // CLI11 takes them from the back
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help();
    return exit_ok;
  } catch (const CLI::CallForAllHelp&) {
    std::cout << app.help("", CLI::AppFormatMode::All);
    return exit_ok;
  } catch (const CLI::ParseError& error) {
    const CLI::App* at = &app;
    while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
    std::fprintf(stderr, "%s: %s\n\n%s", app.get_name().c_str(), error.what(), at->help().c_str());
    return exit_usage;
  }
  return std::nullopt;
}

int report_failure(std::string_view command, const Error& error, int code) {
  std::fprintf(stderr, "%.*s: %s\n", static_cast<int>(command.size()), command.data(), error.message().c_str());
  return code;
}

std::string executable_folder() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::string(".") : path.parent_path().string();
}

}  // namespace drover::nodes

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "nodes/commands/command.hpp"

namespace drover::nodes {

int run_sibling(std::string_view name, const Arguments& arguments) {
  const std::string program = "drover-" + std::string(name);
  const std::string here = executable_folder();
  std::vector<std::string> folders{here, here + "/../libexec/drover"};
  if (const char* extra = std::getenv("DROVER_LIBEXEC")) folders.insert(folders.begin(), extra);
  for (const std::string& folder : folders) {
    const std::string path = folder + "/" + program;
    if (access(path.c_str(), X_OK) != 0) continue;
    std::vector<char*> words{const_cast<char*>(path.c_str())};
    for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
    words.push_back(nullptr);
    execv(path.c_str(), words.data());
    std::fprintf(stderr, "drover: %s could not be started: %s\n", path.c_str(), std::strerror(errno));
    return exit_failed;
  }
  std::fprintf(stderr, "drover: %s is not installed (looked in", program.c_str());
  for (const std::string& folder : folders) std::fprintf(stderr, " %s", folder.c_str());
  std::fprintf(stderr, ").\nBuild it with: cmake --build build/release --target %s\n", program.c_str());
  return exit_failed;
}

}  // namespace drover::nodes

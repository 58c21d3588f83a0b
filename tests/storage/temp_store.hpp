// Temporary directories and small helpers for the store tests.
#pragma once

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <vector>

#include "storage/env.hpp"

namespace drover::storage::test {

// A directory that is removed with the test.
class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "drover_storage_XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::filesystem::path store() const { return path_ / "store"; }

 private:
  std::filesystem::path path_;
};

inline EnvOptions options_for(const std::filesystem::path& path, std::vector<std::string> databases) {
  EnvOptions options;
  options.path = path;
  options.databases = std::move(databases);
  options.sync = Sync::nosync;
  options.map_initial_bytes = 1u << 20;
  return options;
}

// The value of a Result, or a failed test that says why.
template <class T>
T must(Result<T> result) {
  if (!result) FAIL(result.error().message());
  return std::move(*result);
}
inline void must(Status status) {
  if (!status) FAIL(status.error().message());
}

inline std::vector<std::string> joined(std::initializer_list<std::vector<std::string>> lists) {
  std::vector<std::string> all;
  for (const auto& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

// Runs `body` in a child process and returns its wait status. The child never runs doctest or destructors of ours.
template <class Body>
pid_t in_child(Body&& body) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(body());
  return pid;
}
inline int wait_for(pid_t pid) {
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status;
}

}  // namespace drover::storage::test

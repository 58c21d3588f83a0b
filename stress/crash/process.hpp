// Process: one daemon as a child process, with its log in a file. Killed when its owner goes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "messages/result.hpp"

namespace drover::crash {

class Process {
 public:
  // stdout and stderr are appended to `log_file`; the child runs in `folder` and dies with its parent. `environment`:
  // "NAME=value" beside what we have ourselves.
  Process(std::string name, std::vector<std::string> words, std::string folder, std::string log_file,
          std::vector<std::string> environment = {});
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  Status start();
  // SIGKILL, and waits until it is gone.
  void kill();
  // SIGTERM; the exit code, or an error when it has not ended after `wait_ms` (it is killed then).
  Result<int> stop(uint64_t wait_ms);
  // How it ended when it has ended by itself.
  std::optional<std::string> ended();
  // SIGSTOP, SIGCONT and the like; nothing when it does not run.
  void signal(int number) const;
  // Below 0: it does not run.
  pid_t pid() const { return pid_; }

  const std::string& name() const { return name_; }
  const std::string& log_file() const { return log_file_; }

 private:
  std::string name_;
  std::vector<std::string> words_;
  std::string folder_;
  std::string log_file_;
  std::vector<std::string> environment_;
  pid_t pid_ = -1;
};

// Runs a program to its end; its exit code and what it printed (stdout and stderr).
struct Ran {
  int code = -1;
  std::string output;
};
Result<Ran> run_program(const std::vector<std::string>& words, const std::string& folder);

}  // namespace drover::crash

#include "stress/crash/process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <thread>

namespace drover::crash {
namespace {

std::string how(int status) {
  if (WIFEXITED(status)) return "exit code " + std::to_string(WEXITSTATUS(status));
  return "signal " + std::to_string(WTERMSIG(status));
}

// In the child: nothing but system calls between fork and exec.
[[noreturn]] void become(char* const* words, char* const* environment, const char* folder, int output) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::signal(SIGXFSZ, SIG_IGN);  // a limit on file sizes shall look like a full disk
  if (chdir(folder) != 0) _exit(126);
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  dup2(nothing, 0);
  dup2(output, 1);
  dup2(output, 2);
  execve(words[0], words, environment);
  _exit(127);
}

std::vector<char*> raw_words(const std::vector<std::string>& words) {
  std::vector<char*> raw;
  for (const std::string& word : words) raw.push_back(const_cast<char*>(word.c_str()));
  raw.push_back(nullptr);
  return raw;
}

Result<pid_t> spawn(const std::vector<std::string>& words, const std::vector<std::string>& more_environment,
                    const std::string& folder, int output) {
  std::vector<std::string> environment = more_environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  const auto raw = raw_words(words), raw_environment = raw_words(environment);
  const pid_t pid = fork();
  if (pid < 0) return fail(Errc::io, words.front(), std::strerror(errno));
  if (pid == 0) become(raw.data(), raw_environment.data(), folder.c_str(), output);
  return pid;
}

}  // namespace

Process::Process(std::string name, std::vector<std::string> words, std::string folder, std::string log_file,
                 std::vector<std::string> environment)
    : name_(std::move(name)),
      words_(std::move(words)),
      folder_(std::move(folder)),
      log_file_(std::move(log_file)),
      environment_(std::move(environment)) {}

Process::~Process() {
  kill();
}

Status Process::start() {
  const int log = open(log_file_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) return fail(Errc::io, log_file_, std::strerror(errno));
  const auto pid = spawn(words_, environment_, folder_, log);
  close(log);
  if (!pid) return tl::unexpected(pid.error());
  pid_ = *pid;
  return {};
}

void Process::kill() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

Result<int> Process::stop(uint64_t wait_ms) {
  if (pid_ < 0) return fail(Errc::not_found, name_, "does not run");
  ::kill(pid_, SIGTERM);
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(wait_ms);
  while (std::chrono::steady_clock::now() < end) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      if (WIFEXITED(status)) return WEXITSTATUS(status);
      return fail(Errc::internal, name_, "ended by " + how(status));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  kill();
  return fail(Errc::timeout, name_, "did not stop within " + std::to_string(wait_ms) + " ms");
}

std::optional<std::string> Process::ended() {
  if (pid_ < 0) return "it was not started";
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
  pid_ = -1;
  return how(status);
}

void Process::signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

Result<Ran> run_program(const std::vector<std::string>& words, const std::string& folder) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return fail(Errc::io, words.front(), std::strerror(errno));
  const auto pid = spawn(words, {}, folder, ends[1]);
  close(ends[1]);
  Ran ran;
  if (pid) {
    char buffer[4096];
    for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) != 0;) {
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) break;
      ran.output.append(buffer, static_cast<size_t>(n));
    }
    int status = 0;
    while (waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
    }
    ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  close(ends[0]);
  if (!pid) return tl::unexpected(pid.error());
  return ran;
}

}  // namespace drover::crash

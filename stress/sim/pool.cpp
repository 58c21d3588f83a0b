#include "stress/sim/pool.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <filesystem>
#include <utility>
#include <vector>

namespace drover::simulate {
namespace {

using Clock = std::chrono::steady_clock;

struct Worker {
  pid_t pid = 0;
  int in = -1;
  std::string rest;   // of a line that is not complete
  uint64_t item = 0;  // where it is
  std::string note;
};

void say(int out, char what, uint64_t item, const std::string& text) {
  std::string line(1, what);
  line.append(std::to_string(item)).append(" ").append(text).append("\n");
  for (size_t at = 0; at < line.size();) {
    const ssize_t wrote = ::write(out, line.data() + at, line.size() - at);
    if (wrote <= 0) ::_exit(1);
    at += static_cast<size_t>(wrote);
  }
}

// SIGPROF ends a process that has used so much processor time since the last call.
void allow(uint32_t cpu_max_s) {
  const itimerval limit{{0, 0}, {static_cast<time_t>(cpu_max_s), 0}};
  ::setitimer(ITIMER_PROF, &limit, nullptr);
}

// Lines: B item (begun), N item text (note), R item result.
Worker start(const PoolPlan& plan, uint64_t first, const std::function<std::string(uint64_t, const Note&)>& work) {
  int ends[2];
  if (::pipe(ends) != 0) return {};
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::close(ends[0]);
    for (uint64_t item = first; item <= plan.last; item += plan.jobs) {
      say(ends[1], 'B', item, "");
      allow(plan.cpu_max_s);
      const std::string result = work(item, [&](const std::string& note) {
        say(ends[1], 'N', item, note);
        allow(plan.cpu_max_s);
      });
      say(ends[1], 'R', item, result);
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  return {pid, ends[0], {}, first, {}};
}

void take(Worker& worker, const std::string& line, const PoolEvents& events) {
  uint64_t item = 0;
  const auto [end, error] = std::from_chars(line.data() + 1, line.data() + line.size(), item);
  if (line.empty() || error != std::errc()) return;
  const std::string text(end + 1, line.data() + line.size());
  worker.item = item;
  if (line[0] == 'R') events.done(item, text);
  worker.note = line[0] == 'N' ? text : "";
}

// Reads what is there; false at the end of the process.
bool read_lines(Worker& worker, const PoolEvents& events) {
  char buffer[65536];
  const ssize_t got = ::read(worker.in, buffer, sizeof buffer);
  if (got <= 0) return false;
  worker.rest.append(buffer, static_cast<size_t>(got));
  for (size_t end; (end = worker.rest.find('\n')) != std::string::npos; worker.rest.erase(0, end + 1))
    take(worker, worker.rest.substr(0, end), events);
  return true;
}

}  // namespace

std::string words_of_status(int status) {
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF) return "its process hangs";
  if (WIFSIGNALED(status)) return "its process died of signal " + std::to_string(WTERMSIG(status));
  return "its process ended with code " + std::to_string(WEXITSTATUS(status));
}

void run_pool(const PoolPlan& plan, const std::function<std::string(uint64_t, const Note&)>& work,
              const PoolEvents& events) {
  std::vector<Worker> workers;
  for (uint32_t w = 0; w < plan.jobs && plan.first + w <= plan.last; ++w)
    workers.push_back(start(plan, plan.first + w, work));
  const auto began = Clock::now();
  auto told = began;
  bool stopped = false;
  for (size_t open = workers.size(); open > 0;) {
    std::vector<pollfd> fds;
    for (const Worker& w : workers) fds.push_back({w.in, POLLIN, 0});
    ::poll(fds.data(), fds.size(), 200);
    for (size_t i = 0; i < workers.size(); ++i) {
      Worker& w = workers[i];
      if (w.in < 0 || (fds[i].revents & (POLLIN | POLLHUP)) == 0 || read_lines(w, events)) continue;
      ::close(std::exchange(w.in, -1));
      int status = 0;
      ::waitpid(w.pid, &status, 0);
      const uint64_t next = w.item + plan.jobs;
      if (status != 0 && !stopped) events.died(w.item, w.note, status);
      if (status != 0 && !stopped && next <= plan.last)
        w = start(plan, next, work);
      else
        --open;
    }
    const double real_s = std::chrono::duration<double>(Clock::now() - began).count();
    if (events.every_two_seconds && Clock::now() - told > std::chrono::seconds(2)) {
      told = Clock::now();
      events.every_two_seconds(real_s);
    }
    if (plan.limit_s > 0 && real_s > plan.limit_s && !std::exchange(stopped, true))
      for (const Worker& w : workers)
        if (w.in >= 0) ::kill(w.pid, SIGTERM);
  }
}

std::string scratch_folder() {
  return ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : std::filesystem::temp_directory_path().string();
}

}  // namespace drover::simulate

// Pool: numbered pieces of work in some processes at a time, because a finding may end the process that makes it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace drover::simulate {

struct PoolPlan {
  uint64_t first = 1, last = 1;
  uint32_t jobs = 2;
  double limit_s = 0;      // stop after so many seconds; 0: all of it
  uint32_t cpu_max_s = 0;  // of processor time, between two notes: longer counts as hanging, and the process is ended
};
// waitpid's status in words: "hangs", "died of signal 6", ...
std::string words_of_status(int status);
// What the work may tell before its result, so that it is known where its process died.
using Note = std::function<void(const std::string&)>;

struct PoolEvents {
  std::function<void(uint64_t item, const std::string& result)> done;
  std::function<void(uint64_t item, const std::string& last_note, int status)> died;  // waitpid's status
  std::function<void(double real_s)> every_two_seconds;                               // may be empty
};
// Runs work(item, note) for every item, each in one of plan.jobs processes; its result (one line) comes to events.done
// in this process, in any order. The process of an item that dies is replaced; the others of its items are run.
void run_pool(const PoolPlan& plan, const std::function<std::string(uint64_t, const Note&)>& work,
              const PoolEvents& events);

// Memory-backed where there is one: the testers measure logic, not disks.
std::string scratch_folder();

}  // namespace drover::simulate

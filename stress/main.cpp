// drover-stress: programs that break and measure a real fleet, under one name. `drover stress` runs this executable.
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdio>
#include <string>
#include <string_view>

#include "stress/crash/crash.hpp"
#include "stress/crash/recordings.hpp"
#include "stress/fuzz/fuzz.hpp"
#include "stress/real/real.hpp"
#include "stress/selftest/selftest.hpp"
#include "stress/sim/sim.hpp"
#include "stress/soak/soak.hpp"
#include "stress/steps/steps.hpp"

namespace {

constexpr const char* help =
    "Break and measure a real fleet.\n"
    "Usage: drover stress COMMAND [OPTIONS]\n\n"
    "  crash       kill -9 at random against one coordinator and three robots, then prove that nothing was lost\n"
    "  recordings  kill -9 while a robot acts and records, then account for every episode it began\n"
    "  real        real processes under kills, bad networks, full disks, hostile peers, moved clocks, damaged stores\n"
    "  sim         whole fleets in virtual time, a seed each: faults drawn by the seed, replay, shrinking\n"
    "  steps       the power goes at every write, sync and send from capture to eviction\n"
    "  selftest    bugs are switched on one by one, and the testers above must find each\n"
    "  semantics   the stress mix of rollouts through the whole semantic chain, with the table of its metrics\n"
    "  ledger      kill -9 while money is posted, in ever other orders; the books must balance and end the same\n"
    "  fuzz        every parser of bytes from outside, with libFuzzer\n"
    "  soak        load for as long as asked; fails on growth of memory, descriptors, backlog or latency\n"
    "  bench       rates, latencies, start times and memory beside their raw limits\n\n"
    "Examples\n"
    "  drover stress crash                        50 kills on generated logs\n"
    "  drover stress crash --logs DIR --seed 7    on real logs, the same kills again\n"
    "  drover stress bench --quick\n\n"
    "drover stress COMMAND --help explains a command. Exit code 0: everything held.\n";

// Becomes drover-<name>, beside this executable.
int run_beside(const char* name, char** argv) {
  std::array<char, PATH_MAX> self{};
  const ssize_t size = readlink("/proc/self/exe", self.data(), self.size() - 1);
  std::string path(self.data(), size > 0 ? static_cast<size_t>(size) : 0);
  path.resize(path.rfind('/') + 1);
  path.append("drover-").append(name);
  execv(path.c_str(), argv);
  std::perror(path.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  if (command == "crash") return drover::crash::crash_main(argc - 1, argv + 1);
  if (command == "recordings") return drover::crash::recordings_main(argc - 1, argv + 1);
  if (command == "fuzz") return drover::fuzz::fuzz_main(argc - 1, argv + 1);
  if (command == "soak") return drover::soak::soak_main(argc - 1, argv + 1);
  if (command == "real") return drover::real::real_main(argc - 1, argv + 1);
  if (command == "sim") return drover::simulate::sim_main(argc - 1, argv + 1);
  if (command == "steps") return drover::simulate::steps_main(argc - 1, argv + 1);
  if (command == "selftest") return drover::simulate::selftest_main(argc - 1, argv + 1);
  if (command == "semantics") return run_beside("stress-semantics", argv + 1);
  if (command == "ledger") return run_beside("stress-ledger", argv + 1);
  if (command == "bench") return run_beside("bench", argv + 1);
  const bool asked = command == "--help" || command == "-h" || command == "help";
  std::fputs(help, asked ? stdout : stderr);
  return asked ? 0 : 2;
}

// drover stress crash: the proof that kill -9 costs nothing. A real fleet (one coordinator, three robots, mutual TLS)
// captures logs while a random process is killed at random moments, again and again; then it drains, the audit must
// balance, and the coordinator's canonical dump must be byte-equal to that of a fleet that was left in peace.
//
// The run fails when too few kills hit work in flight: a proof by doing nothing is none.
#include "stress/crash/crash.hpp"

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "actors/runtime/rng.hpp"
#include "actors/sync/central_dump.hpp"
#include "stress/crash/checks.hpp"
#include "stress/crash/fleet.hpp"

namespace drover::crash {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr uint64_t chunk_backlog_max_bytes = 8u << 20;

struct Options {
  uint32_t kills = 50;
  uint64_t seed = 0;
  std::string logs;
  std::string keep;
  std::string drover;
  std::string configs = DROVER_CONFIGS_DIR;
  uint32_t episodes = 60;
  uint64_t drain_s = 120;
  uint32_t gap_min_ms = 50;
  uint32_t gap_max_ms = 400;
  bool verbose = false;
};

struct Tally {
  std::array<uint32_t, processes> kills{};
  std::array<uint32_t, processes> kills_moving{};  // while records or chunks were on their way
  uint32_t kills_waiting = 0;                      // only files were waiting
  uint32_t kills_idle = 0;
  double faults_s = 0;
  double drain_s = 0;
  double calm_s = 0;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Every robot has files to take, but no more than it can send in a few seconds.
Status feed(Fleet& fleet, const Logs& logs, uint64_t files) {
  fleet.close_stores();  // a store that was opened before its tables were made would look empty for ever
  for (size_t i = 0; i < robots; ++i) {
    DROVER_ASSIGN(const uint64_t unsent_bytes, fleet.chunk_backlog_bytes(i));
    if (unsent_bytes > chunk_backlog_max_bytes) continue;
    DROVER_ASSIGN(const uint64_t waiting, fleet.waiting_files(i));
    for (uint64_t n = waiting; n < files; ++n) DROVER_TRY(fleet.deliver(logs, i));
  }
  return {};
}

Status wait_and_feed(Fleet& fleet, const Logs& logs, int64_t wait_ms) {
  const auto end = Clock::now() + std::chrono::milliseconds(wait_ms);
  do {
    DROVER_TRY(all_running(fleet));
    DROVER_TRY(feed(fleet, logs, 2));
    std::this_thread::sleep_for(std::min<Clock::duration>(std::chrono::milliseconds(20), end - Clock::now()));
  } while (Clock::now() < end);
  return {};
}

Status kill_one(Fleet& fleet, size_t victim, Tally& tally, const Options& options, uint32_t number) {
  DROVER_ASSIGN(const Backlog backlog, fleet.backlog());
  ++tally.kills[victim];
  if (backlog.moving())
    ++tally.kills_moving[victim];
  else
    ++(backlog.files > 0 ? tally.kills_waiting : tally.kills_idle);
  if (options.verbose)
    std::printf("kill %3u %-12s files=%llu records=%llu chunk_bytes=%llu unapplied=%llu wanted=%llu\n", number,
                fleet.process(victim).name().c_str(), static_cast<unsigned long long>(backlog.files),
                static_cast<unsigned long long>(backlog.records), static_cast<unsigned long long>(backlog.chunk_bytes),
                static_cast<unsigned long long>(backlog.unapplied),
                static_cast<unsigned long long>(backlog.chunks_wanted));
  fleet.process(victim).kill();
  return fleet.process(victim).start();
}

Status run_faults(Fleet& fleet, const Logs& logs, const Options& options, Tally& tally) {
  auto rng = runtime::Rng::stream(options.seed, "kills");
  const auto start = Clock::now();
  DROVER_TRY(feed(fleet, logs, 2));
  DROVER_TRY(fleet.start_all());
  for (uint32_t n = 1; n <= options.kills; ++n) {
    DROVER_TRY(wait_and_feed(fleet, logs, rng.between(options.gap_min_ms, options.gap_max_ms)));
    DROVER_TRY(kill_one(fleet, rng.below(processes), tally, options, n));
  }
  for (size_t i = 0; i < robots; ++i)  // real logs that were not delivered yet
    while (fleet.delivered(i) < logs.real_files(i)) DROVER_TRY(fleet.deliver(logs, i));
  tally.faults_s = seconds_since(start);
  DROVER_TRY(check_balance(fleet, "after the last kill, before draining", false));
  const auto drain_start = Clock::now();
  DROVER_TRY(drain(fleet, options.drain_s));
  tally.drain_s = seconds_since(drain_start);
  DROVER_TRY(check_balance(fleet, "drained, daemons running", true));
  DROVER_TRY(stop_all(fleet));
  DROVER_TRY(no_error_events(fleet));
  return check_balance(fleet, "stopped", false);
}

Status run_calm(Fleet& fleet, const Fleet& other, const Logs& logs, const Options& options, Tally& tally) {
  const auto start = Clock::now();
  for (size_t i = 0; i < robots; ++i)
    while (fleet.delivered(i) < other.delivered(i)) DROVER_TRY(fleet.deliver(logs, i));
  DROVER_TRY(fleet.start_all());
  DROVER_TRY(drain(fleet, options.drain_s));
  DROVER_TRY(stop_all(fleet));
  tally.calm_s = seconds_since(start);
  DROVER_TRY(no_error_events(fleet));
  return check_balance(fleet, "the fleet without faults", false);
}

Status enough(const Options& options, const Tally& tally) {
  uint32_t moving = 0;
  for (const uint32_t n : tally.kills_moving) moving += n;
  if (moving * 10 < options.kills * 6)
    return fail(Errc::refused, "guard",
                "only " + std::to_string(moving) + " of " + std::to_string(options.kills) +
                    " kills hit records or chunks on their way; at least 60 % must, or the run proves little");
  return {};
}

void print_table(const Fleet& fleet, const Options& options, const Tally& tally, const sync::CentralDump& dump) {
  std::printf("%-14s %8s %22s\n", "process", "kills", "of them with work moving");
  for (size_t i = 0; i < processes; ++i)
    std::printf("%-14s %8u %22u\n", i < robots ? robot_name(i).c_str() : "coordinator", tally.kills[i],
                tally.kills_moving[i]);
  std::printf("kills with files waiting only: %u, with nothing to do: %u\n", tally.kills_waiting, tally.kills_idle);
  std::printf(
      "files %zu, records %llu, chunks %llu; seconds: faults %.1f, drain %.1f, without faults %.1f; seed %llu\n",
      fleet.delivered(0) + fleet.delivered(1) + fleet.delivered(2), static_cast<unsigned long long>(dump.records),
      static_cast<unsigned long long>(dump.chunks), tally.faults_s, tally.drain_s, tally.calm_s,
      static_cast<unsigned long long>(options.seed));
}

Status prove(const Options& options, const std::string& folder) {
  DROVER_ASSIGN(const auto logs, Logs::open(options.logs, options.seed, options.episodes));
  Tally tally;
  DROVER_ASSIGN(auto fleet, Fleet::create({folder + "/faults", options.drover, options.configs}));
  DROVER_TRY(run_faults(*fleet, logs, options, tally));
  sync::CentralDump with, without;
  DROVER_ASSIGN(const auto a, dump_to(*fleet, folder + "/faults.dump", with));
  DROVER_ASSIGN(auto calm, Fleet::create({folder + "/calm", options.drover, options.configs, uint64_t{64} << 20}));
  DROVER_TRY(run_calm(*calm, *fleet, logs, options, tally));
  DROVER_ASSIGN(const auto b, dump_to(*calm, folder + "/calm.dump", without));
  print_table(*fleet, options, tally, with);
  if (a != b) return fail(Errc::conflict, "canonical dumps differ", "first difference\n" + first_difference(a, b));
  std::printf("canonical dumps are byte-equal: sha256 %s, %llu lines, %zu bytes\n", to_hex(with.digest).c_str(),
              static_cast<unsigned long long>(with.lines), a.size());
  return enough(options, tally);
}

uint64_t draw_seed() {
  return static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count()) % 1'000'000'000;
}

std::string beside_us(const char* name) {
  std::error_code failed;
  return (fs::read_symlink("/proc/self/exe", failed).parent_path() / name).string();
}

}  // namespace

int crash_main(int argc, char** argv) {
  Options options;
  options.drover = beside_us("drover");
  CLI::App app("Kill the processes of a real fleet at random and prove that nothing is lost.", "drover stress crash");
  app.add_option("--kills", options.kills, "how many kill -9")->check(CLI::Range(1, 100'000))->capture_default_str();
  app.add_option("--seed", options.seed, "replays who is killed when; 0 draws one");
  app.add_option("--logs", options.logs, "folder with real logs; generated ones follow them")
      ->check(CLI::ExistingDirectory);
  app.add_option("--keep", options.keep, "work in this folder and leave it; else a temporary one");
  app.add_option("--drover", options.drover, "the program under test")->check(CLI::ExistingFile)->capture_default_str();
  app.add_option("--configs", options.configs, "the shipped configs folder")->capture_default_str();
  app.add_option("--episodes", options.episodes, "of each generated log")->capture_default_str();
  app.add_option("--gap-min-ms", options.gap_min_ms, "least time between kills")->capture_default_str();
  app.add_option("--gap-max-ms", options.gap_max_ms, "longest time between kills")->capture_default_str();
  app.add_option("--drain-s", options.drain_s, "how long draining may take")->capture_default_str();
  app.add_flag("--verbose", options.verbose, "one line per kill");
  CLI11_PARSE(app, argc, argv);
  if (options.seed == 0) options.seed = draw_seed();
  options.drover = fs::absolute(options.drover).string();
  options.configs = fs::absolute(options.configs).string();
  const bool temporary = options.keep.empty();
  std::string folder = options.keep;
  if (temporary) {
    std::string pattern = (fs::temp_directory_path() / "drover-crash-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) return std::perror("drover stress crash: mkdtemp"), 1;
    folder = pattern;
  } else {
    fs::remove_all(fs::path(folder) / "faults");
    fs::remove_all(fs::path(folder) / "calm");
  }
  folder = fs::absolute(folder).string();
  std::printf("seed %llu, %u kills, in %s\n", static_cast<unsigned long long>(options.seed), options.kills,
              folder.c_str());
  std::fflush(stdout);
  const Status proved = prove(options, folder);
  if (proved) {
    std::printf("PASSED\n");
    if (temporary) fs::remove_all(folder);
    return 0;
  }
  std::printf("FAILED: %s\nreplay: drover stress crash --kills %u --seed %llu%s; stores and logs are in %s\n",
              proved.error().message().c_str(), options.kills, static_cast<unsigned long long>(options.seed),
              options.logs.empty() ? "" : (" --logs " + options.logs).c_str(), folder.c_str());
  return 1;
}

}  // namespace drover::crash

// drover-bench: every figure beside the raw limit of the same run, with its durability in the row.
//
//   drover-bench [--quick] [--only NAME]... [--json FILE] [--dir DIR] [--seed N]
//
// Exit code: 0 every target was met, 1 one was missed, 2 the command line.
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "bench.hpp"

namespace {

using namespace drover::bench;

struct Bench {
  const char* name;
  const char* help;
  void (*run)(Report&, const Settings&);
};

constexpr Bench benches[] = {
    {"journal", "robot journal append", bench_journal},
    {"sync", "robots to coordinator, acknowledged", bench_sync},
    {"latency", "first ack, ping under load", bench_latency},
    {"recovery", "reopening stores after kill -9", bench_recovery},
    {"daemons", "start, memory, 1,000 idle robots", bench_daemons},
    {"capture", "physics episodes with pictures into the journal", bench_capture},
    {"segments", "what segmentation adds to capture", bench_segments},
    {"packs", "queries and statistics of datapacks", bench_packs},
    {"sampling", "batches of datapacks to train on", bench_sampling},
    {"novelty", "nearest earlier datapacks among a million", bench_novelty},
};

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string(argv[1]) == "--fill") return fill_until_killed(argv[2], argv[3]);
  Settings settings;
  settings.dir = std::filesystem::temp_directory_path();
  std::vector<std::string> only;
  std::string json;
  CLI::App app("Drover's benchmarks. Stores are made in a folder of their own and removed.");
  app.add_flag("--quick", settings.quick, "a quarter of the load, no 1 M packs");
  app.add_flag("--own-only", settings.own_only, "sync without raw limits and Redis, for profilers");
  app.add_option(
      "--only", only,
      "run only these: journal, sync, latency, recovery, daemons, capture, segments, packs, sampling, novelty");
  app.add_option("--json", json, "write the rows to this file too");
  app.add_option("--dir", settings.dir, "folder on the disk that is to be measured");
  app.add_option("--seed", settings.seed, "decides the contents of the records");
  CLI11_PARSE(app, argc, argv);
  settings.programs = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  settings.dir /= "drover-bench-" + std::to_string(::getpid());
  std::filesystem::create_directories(settings.dir);
  const std::string machine = machine_text(settings.dir);
  std::printf("machine: %s\nseed: %llu%s\n", machine.c_str(), static_cast<unsigned long long>(settings.seed),
              settings.quick ? ", quick" : "");
  Report report;
  for (const Bench& bench : benches)
    if (only.empty() || std::find(only.begin(), only.end(), bench.name) != only.end()) bench.run(report, settings);
  std::filesystem::remove_all(settings.dir);
  if (!json.empty()) must(report.write_json(json, machine, settings.seed, settings.quick));
  std::printf("\n%zu targets missed\n", report.targets_missed());
  return report.targets_missed() == 0 ? 0 : 1;
}

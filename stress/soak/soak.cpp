// drover stress soak: one coordinator and three robots as processes under load; memory, descriptors, backlog and the
// latency of the control plane are sampled once a second, plotted, and must not grow once the fleet is warm. At the end
// everything drains and the books must balance.
#include "stress/soak/soak.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "stress/real/probe.hpp"
#include "stress/real/world.hpp"
#include "stress/soak/growth.hpp"

namespace drover::soak {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using real::Clock;
using std::chrono::milliseconds;

struct Options {
  double minutes = 10;
  uint64_t seed = 1;
  uint64_t link_kib_per_s = 2048;
  uint32_t episodes = 60;
  std::string folder;
  std::string html;
  std::string json;
  std::string drover;
  std::string configs = DROVER_CONFIGS_DIR;
};

struct Watched {
  Series series;
  GrowthRule rule;
  Growth growth;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Samples by name, in the order in which names came up.
class Samples {
 public:
  void add(const std::string& name, const std::string& unit, const GrowthRule& rule, double at_s, double value) {
    auto found = std::find_if(all_.begin(), all_.end(), [&](const Watched& w) { return w.series.name == name; });
    if (found == all_.end()) {
      all_.push_back({{name, unit, {}, {}}, rule, {}});
      found = all_.end() - 1;
    }
    found->series.at_s.push_back(at_s);
    found->series.values.push_back(value);
  }
  void add(Series series, const GrowthRule& rule) { all_.push_back({std::move(series), rule, {}}); }
  std::vector<Watched>& all() { return all_; }

 private:
  std::vector<Watched> all_;
};

Status sample(real::World& world, double at_s, Samples& samples) {
  crash::Fleet& fleet = world.fleet();
  for (size_t i = 0; i < fleet.process_count(); ++i) {
    const std::string& name = fleet.process(i).name();
    const real::Used used = real::used_now(fleet.process(i).pid());
    samples.add("memory of " + name, "MB", {0.25, 4, 0.1}, at_s, static_cast<double>(used.anonymous_bytes) / 1e6);
    samples.add("descriptors of " + name, "", {0.25, 4, 0.1}, at_s, used.descriptors);
  }
  DROVER_ASSIGN(const crash::Backlog backlog, fleet.backlog());
  fleet.close_stores();
  samples.add("chunks to send", "MB", {0.25, 8, 0.5}, at_s, static_cast<double>(backlog.chunk_bytes) / 1e6);
  samples.add("records to send", "", {0.25, 2000, 0.5}, at_s, static_cast<double>(backlog.records));
  samples.add("records to apply", "", {0.25, 2000, 0.5}, at_s, static_cast<double>(backlog.unapplied));
  return {};
}

struct Run {
  Samples samples;
  double seconds = 0;
  uint64_t wire_bytes = 0;
  uint64_t files = 0;
};

Status load(real::World& world, const Options& options, Run& run) {
  const auto start = Clock::now();
  const double all_s = options.minutes * 60;
  double next_s = 0, told_s = 0;
  while (seconds_since(start) < all_s) {
    DROVER_TRY(world.turn());
    const double now_s = seconds_since(start);
    if (now_s >= next_s) {
      next_s = now_s + std::max(1.0, all_s / 3600);
      DROVER_TRY(sample(world, now_s, run.samples));
    }
    if (now_s - told_s >= 10) {
      told_s = now_s;
      std::printf("%.0f of %.0f s, %.1f MB on the links\n", now_s, all_s,
                  static_cast<double>(world.wire_bytes()) / 1e6);
      std::fflush(stdout);
    }
    std::this_thread::sleep_for(milliseconds(20));
  }
  run.seconds = seconds_since(start);
  run.wire_bytes = world.wire_bytes();
  for (size_t i = 0; i < world.fleet().robot_count(); ++i) run.files += world.fleet().delivered(i);
  return {};
}

Result<real::ProbeOptions> probe_options(real::World& world, const Options& options, const std::atomic<bool>& stop) {
  DROVER_ASSIGN(const auto authority, network::load_authority(world.fleet().folder() + "/pki"));
  const int64_t now_unix_s =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  real::ProbeOptions probe;
  probe.id = "robot-probe";
  DROVER_ASSIGN(probe.credentials,
                network::issue_certificate(authority, {{network::Role::robot, probe.id}, {}, now_unix_s - 60, 3650}));
  probe.port = world.fleet().port();
  probe.duration_ms = static_cast<uint32_t>(std::min(options.minutes * 60'000 + 60'000, 4e9));
  probe.block_bytes = 1 << 10;
  probe.blocks_waiting = 1;
  probe.pause_ms = 50;
  probe.stop = &stop;
  return probe;
}

void add_latencies(const real::ProbeResult& probe, const Options& options, Samples& samples) {
  const double window_s = std::max(2.0, options.minutes * 60 / 100);
  const Series beats{"", "ms", probe.heartbeats_at_s, probe.heartbeats_ms};
  const Series acks{"", "ms", probe.acks_at_s, probe.acks_ms};
  const auto add = [&](const char* name, const Series& from, double share, double rise_min_ms) {
    Series series = windows_of(from, window_s, share);
    series.name = name;
    samples.add(std::move(series), {0.25, rise_min_ms, 0.5});
  };
  add("heartbeat, p50", beats, 0.5, 10);
  add("heartbeat, p99", beats, 0.99, 40);
  add("one record to its acknowledgement, p50", acks, 0.5, 20);
  add("one record to its acknowledgement, p99", acks, 0.99, 80);
}

Status finish(real::World& world) {
  world.feed(false);
  const auto end = Clock::now() + std::chrono::seconds(120);
  for (;;) {
    DROVER_TRY(world.turn());
    DROVER_ASSIGN(const auto left, world.fleet().backlog());
    world.fleet().close_stores();
    if (left.drained()) break;
    if (Clock::now() > end) return fail(Errc::timeout, "soak", "did not drain within 120 s");
    std::this_thread::sleep_for(milliseconds(50));
  }
  DROVER_TRY(crash::stop_all(world.fleet()));
  DROVER_TRY(crash::no_error_events(world.fleet()));
  return crash::check_balance(world.fleet(), "stopped", false);
}

// ---- report

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

std::string plot(const Watched& watched) {
  constexpr double width = 560, height = 120;
  const Series& s = watched.series;
  if (s.values.empty()) return {};
  const double end_s = std::max(s.at_s.back(), 1.0), top = std::max(watched.growth.most * 1.1, 1e-9);
  std::string points;
  const size_t step = std::max<size_t>(1, s.values.size() / 1000);
  for (size_t i = 0; i < s.values.size(); i += step)
    points += number(s.at_s[i] / end_s * width) + "," + number(height - s.values[i] / top * height) + " ";
  std::string out = "<figure><figcaption>" + s.name + (watched.growth.grows ? " <b>grows</b>" : "") +
                    "</figcaption><svg viewBox='-50 -8 " + number(width + 60) + " " + number(height + 30) + "'>";
  out +=
      "<path d='M0 0V" + number(height) + "H" + number(width) + "' class='axis'/><polyline points='" + points + "'/>";
  out += "<text x='-4' y='8' text-anchor='end'>" + number(top) + "</text><text x='-4' y='" + number(height) +
         "' text-anchor='end'>0</text><text x='" + number(width) + "' y='" + number(height + 14) +
         "' text-anchor='end'>" + number(end_s) + " s, " + (s.unit.empty() ? "count" : s.unit) +
         "</text></svg></figure>";
  return out;
}

void write_html(const std::string& file, const Options& options, Run& run, bool passed) {
  std::ofstream out(file);
  out << "<!doctype html><meta charset='utf-8'><title>drover stress soak</title><style>body{font:14px sans-serif;"
         "max-width:1240px;margin:2em auto}main{display:grid;grid-template-columns:1fr 1fr;gap:1em}figure{margin:0}"
         "svg{width:100%}polyline{fill:none;stroke:#06c;stroke-width:1.2}.axis{fill:none;stroke:#999}text{font-size:"
         "10px}"
         "b{color:#c00}</style><h1>drover stress soak</h1><p>"
      << (passed ? "passed" : "failed") << ": " << number(run.seconds) << " s, seed " << options.seed << ", "
      << run.files << " logs, " << number(static_cast<double>(run.wire_bytes) / 1e6) << " MB on the links</p><main>";
  for (const Watched& watched : run.samples.all()) out << plot(watched);
  out << "</main>\n";
}

ordered_json to_json(const Options& options, Run& run, bool passed) {
  ordered_json out{{"program", "drover stress soak"},
                   {"seed", options.seed},
                   {"seconds", run.seconds},
                   {"passed", passed},
                   {"files", run.files},
                   {"wire_bytes", run.wire_bytes}};
  for (const Watched& w : run.samples.all())
    out["series"].push_back({{"name", w.series.name},
                             {"unit", w.series.unit},
                             {"median", w.growth.median},
                             {"most", w.growth.most},
                             {"rise", w.growth.rise},
                             {"grows", w.growth.grows},
                             {"at_s", w.series.at_s},
                             {"values", w.series.values}});
  return out;
}

// Judges every series and prints the table. False: something grows.
bool judge(Run& run) {
  bool level = true;
  std::printf("\n%-42s %10s %10s %12s\n", "what", "median", "most", "rise");
  for (Watched& w : run.samples.all()) {
    w.growth = growth_of(w.series, w.rule);
    level = level && !w.growth.grows;
    std::printf("%-42s %10.4g %10.4g %+12.3g %s %s\n", w.series.name.c_str(), w.growth.median, w.growth.most,
                w.growth.rise, w.series.unit.c_str(), w.growth.grows ? "GROWS" : "");
  }
  std::printf("%.0f s, %llu logs, %.1f MB on the links\n", run.seconds, static_cast<unsigned long long>(run.files),
              static_cast<double>(run.wire_bytes) / 1e6);
  return level;
}

Status prove(const Options& options, const std::string& folder) {
  real::WorldOptions world_options{
      folder, options.drover, options.configs, {}, options.seed, options.link_kib_per_s << 10, options.episodes, false};
  DROVER_ASSIGN(const auto world, real::World::create(world_options));
  DROVER_TRY(world->start());
  std::atomic<bool> stop{false};
  DROVER_ASSIGN(const auto probing, probe_options(*world, options, stop));
  Result<real::ProbeResult> probed = fail(Errc::internal, "probe", "did not run");
  std::thread probe([&] { probed = real::probe(probing); });
  Run run;
  const Status loaded = load(*world, options, run);
  stop = true;
  probe.join();
  DROVER_TRY(loaded);
  if (!probed) return tl::unexpected(probed.error());
  add_latencies(*probed, options, run.samples);
  const Status finished = finish(*world);
  const bool level = judge(run);
  const bool passed = level && finished.has_value();
  write_html(options.html, options, run, passed);
  if (!options.json.empty()) std::ofstream(options.json) << to_json(options, run, passed).dump() << "\n";
  std::printf("plots: %s\n", options.html.c_str());
  DROVER_TRY(finished);
  return level ? Status{} : fail(Errc::conflict, "soak", "something grows, see the table");
}

std::string beside_us(const char* name) {
  std::error_code failed;
  return (fs::read_symlink("/proc/self/exe", failed).parent_path() / name).string();
}

}  // namespace

int soak_main(int argc, char** argv) {
  Options options;
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // progress is seen also through a pipe
  options.drover = beside_us("drover");
  options.html = "soak.html";
  CLI::App app("Load a fleet of real processes for a long time and fail on growth.", "drover stress soak");
  app.add_option("--minutes", options.minutes)->check(CLI::Range(0.1, 1e6))->capture_default_str();
  app.add_option("--seed", options.seed, "of the logs")->capture_default_str();
  app.add_option("--link-kib-per-s", options.link_kib_per_s, "of each robot")
      ->check(CLI::Range(16, 1 << 20))
      ->capture_default_str();
  app.add_option("--html", options.html, "where the plots go")->capture_default_str();
  app.add_option("--json", options.json, "write all samples to this file");
  app.add_option("--folder", options.folder, "work in this folder and leave it; else a temporary one");
  app.add_option("--drover", options.drover, "the program under test")->check(CLI::ExistingFile)->capture_default_str();
  app.add_option("--configs", options.configs, "the shipped configs folder")->capture_default_str();
  app.add_option("--episodes", options.episodes, "of each generated log")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  options.drover = fs::absolute(options.drover).string();
  options.configs = fs::absolute(options.configs).string();
  std::string folder = options.folder;
  if (folder.empty()) {
    folder = (fs::temp_directory_path() / "drover-soak-XXXXXX").string();
    if (mkdtemp(folder.data()) == nullptr) return std::perror("drover stress soak: mkdtemp"), 1;
  } else {
    for (const char* part : {"fleet", "lab"}) fs::remove_all(fs::path(folder) / part);
  }
  folder = fs::absolute(folder).string();
  std::printf("seed %llu, %.1f minutes, in %s\n", static_cast<unsigned long long>(options.seed), options.minutes,
              folder.c_str());
  std::fflush(stdout);
  const Status proved = prove(options, folder);
  if (!proved) {
    std::printf("FAILED: %s\nstores and logs are in %s\n", proved.error().message().c_str(), folder.c_str());
    return 1;
  }
  std::printf("PASSED\n");
  if (options.folder.empty()) fs::remove_all(folder);
  return 0;
}

}  // namespace drover::soak

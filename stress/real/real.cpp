// drover stress real: daemons over mutual TLS on loopback, each robot behind a proxy that plays a bad network. A steady
// phase, faults drawn from a seed, recovery; then the same checks as ever: the books balance, and the centre is
// byte-equal to that of a fleet that was left in peace. A run that did too little fails.
#include "stress/real/real.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "actors/network/authority.hpp"
#include "stress/real/probe.hpp"
#include "stress/real/world.hpp"

namespace drover::real {
namespace {

namespace fs = std::filesystem;
using crash::Fleet;
using nlohmann::ordered_json;
using std::chrono::milliseconds;

// What is promised, and held against what was measured.
constexpr milliseconds steady_feed_period{500}, fault_feed_period{100};
constexpr double recovery_constant_s = 15;
constexpr double wire_share_max = 1.05;
constexpr double control_p99_ms_max = 50;
constexpr uint64_t robot_bytes_max = 96u << 20;  // memory of its own
constexpr uint64_t centre_bytes_max = 192u << 20;
constexpr uint64_t unique_bytes_judged = 64u << 20;  // below that the wire's overhead is mostly handshakes
constexpr size_t heartbeats_judged = 500;
constexpr uint64_t probe_bytes_per_s = 8u << 20;

struct Options {
  double minutes = 2;
  uint64_t seed = 0;
  uint32_t faults = 0;
  uint64_t link_kib_per_s = 1024;
  std::string keep;
  std::string json;
  std::string drover;
  std::string clock_shim;
  std::string configs = DROVER_CONFIGS_DIR;
  uint32_t episodes = 60;
  bool verbose = false;
};

struct Measured {
  double steady_s = 0, faults_s = 0, recovery_s = 0, calm_s = 0;
  double recovery_bound_s = 0;
  uint64_t backlog_bytes = 0;  // of the robot that had most
  uint64_t unique_bytes = 0;
  uint64_t wire_bytes = 0;
  ProbeResult probe;
  sync::CentralDump dump;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  const auto at = static_cast<size_t>(share * static_cast<double>(values.size() - 1) + 0.5);
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(at), values.end());
  return values[at];
}

double mb(uint64_t bytes) {
  return static_cast<double>(bytes) / 1e6;
}

Status run_for(World& world, double seconds) {
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  while (Clock::now() < end) {
    DROVER_TRY(world.turn());
    std::this_thread::sleep_for(milliseconds(20));
  }
  return {};
}

// A quiet time under load, in which a probe beside the lab's robot fills its link and listens to the control plane. The
// link is what is full then, not the processor: robots, coordinators and this program share one machine here, so the
// robots get a file now and then instead of as many as they can take.
Status steady(World& world, const std::string& folder, double seconds, Measured& measured) {
  const auto start = Clock::now();
  world.feed_every(steady_feed_period);
  DROVER_TRY(run_for(world, std::min(2.0, seconds / 4)));
  DROVER_ASSIGN(const auto authority, network::load_authority(folder + "/lab/pki"));
  const int64_t now_unix_s =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  ProbeOptions options;
  options.id = "robot-probe";
  DROVER_ASSIGN(options.credentials,
                network::issue_certificate(authority, {{network::Role::robot, options.id}, {}, now_unix_s - 60, 2}));
  DROVER_ASSIGN(const auto proxy, Proxy::start(world.lab().port(), probe_bytes_per_s, 1));
  options.port = proxy->port();
  options.duration_ms = static_cast<uint32_t>(std::max(1.0, seconds - seconds_since(start)) * 1000);
  Result<ProbeResult> result = fail(Errc::internal, "probe", "did not run");
  std::thread probing([&] { result = probe(options); });
  const Status ran = run_for(world, options.duration_ms / 1e3);
  probing.join();
  DROVER_TRY(ran);
  if (!result) return tl::unexpected(result.error());
  measured.probe = std::move(*result);
  measured.steady_s = seconds_since(start);
  world.feed_every(fault_feed_period);
  return {};
}

Status faults(World& world, const std::vector<Planned>& planned, double seconds, Measured& measured) {
  const auto start = Clock::now();
  for (const Planned& fault : planned) {
    DROVER_TRY(run_for(world, fault.at_ms / 1e3 - seconds_since(start)));
    DROVER_TRY(world.begin(fault));
  }
  DROVER_TRY(run_for(world, seconds - seconds_since(start)));
  DROVER_TRY(world.heal());
  measured.faults_s = seconds_since(start);
  return {};
}

// What is still to be sent by the robot that has most, files that are not captured yet included.
Result<uint64_t> worst_backlog_bytes(World& world, const crash::Logs& logs) {
  uint64_t worst = 0;
  for (size_t i = 0; i < world.fleet().robot_count(); ++i) {
    DROVER_ASSIGN(uint64_t bytes, world.fleet().chunk_backlog_bytes(i));
    DROVER_ASSIGN(const uint64_t waiting, world.fleet().waiting_files(i));
    for (uint64_t k = 0; k < waiting && k < world.fleet().delivered(i); ++k) {
      DROVER_ASSIGN(const auto file, logs.file(i, world.fleet().delivered(i) - 1 - k));
      bytes += file.content.size();
    }
    worst = std::max(worst, bytes);
  }
  world.fleet().close_stores();
  return worst;
}

Status drained(World& world, Fleet& fleet, double limit_s) {
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(limit_s));
  for (;;) {
    DROVER_TRY(world.turn());
    DROVER_ASSIGN(const crash::Backlog left, fleet.backlog());
    fleet.close_stores();
    if (left.drained()) return {};
    if (Clock::now() > end)
      return fail(Errc::timeout, fleet.folder(),
                  "did not drain: " + std::to_string(left.files) + " files, " + std::to_string(left.records) +
                      " records, " + std::to_string(left.chunk_bytes) + " chunk bytes, " +
                      std::to_string(left.unapplied) + " unapplied, " + std::to_string(left.chunks_wanted) + " wanted");
    std::this_thread::sleep_for(milliseconds(50));
  }
}

Status recover(World& world, const Options& options, Measured& measured) {
  world.feed(false);
  DROVER_TRY(world.join_attacks());
  DROVER_ASSIGN(measured.backlog_bytes, worst_backlog_bytes(world, world.logs()));
  const double link = static_cast<double>(options.link_kib_per_s << 10);
  measured.recovery_bound_s = static_cast<double>(measured.backlog_bytes) / link + recovery_constant_s;
  const auto start = Clock::now();
  DROVER_TRY(drained(world, world.fleet(), measured.recovery_bound_s));
  measured.recovery_s = seconds_since(start);
  return drained(world, world.lab(), 60);
}

// Bytes of journal blocks and chunks that the centre holds: what had to cross the links once.
Result<uint64_t> unique_bytes(const std::string& centre_folder) {
  DROVER_ASSIGN(const auto stores, sync::open_for_audit({centre_folder, {}}));
  const auto& centre = *stores.centre;
  DROVER_ASSIGN(const auto totals,
                centre.central_env().read([&](const storage::ReadTxn& txn) { return centre.blobs().totals_in(txn); }));
  uint64_t bytes = totals.held_bytes;
  DROVER_TRY(centre.inbox_env().read([&](const storage::ReadTxn& txn) -> Status {
    DROVER_ASSIGN(const auto streams, centre.inbox().streams_in(txn));
    for (const auto& stream : streams)
      for (uint64_t seq = 1; seq <= stream.durable_seq;) {
        DROVER_ASSIGN(const auto blocks, centre.inbox().read_in(txn, stream.robot, stream.incarnation, seq, 1u << 20));
        if (blocks.empty()) break;
        for (const auto& block : blocks) bytes += block.bytes().size();
        seq = blocks.back().last_seq() + 1;
      }
    return {};
  }));
  return bytes;
}

Status check_twin(World& world, const Options& options, const std::string& folder, Measured& measured) {
  DROVER_ASSIGN(const auto with, crash::dump_to(world.fleet(), folder + "/faults.dump", measured.dump));
  crash::FleetOptions calm_options{folder + "/calm", options.drover, options.configs, uint64_t{64} << 20};
  DROVER_ASSIGN(auto calm, Fleet::create(calm_options));
  const auto start = Clock::now();
  for (size_t i = 0; i < calm->robot_count(); ++i)
    while (calm->delivered(i) < world.fleet().delivered(i)) DROVER_TRY(calm->deliver(world.logs(), i));
  DROVER_TRY(calm->start_all());
  DROVER_TRY(crash::drain(*calm, 600));
  DROVER_TRY(crash::stop_all(*calm));
  DROVER_TRY(crash::no_error_events(*calm));
  measured.calm_s = seconds_since(start);
  sync::CentralDump facts;
  DROVER_ASSIGN(const auto without, crash::dump_to(*calm, folder + "/calm.dump", facts));
  if (with != without)
    return fail(Errc::conflict, "canonical dumps differ",
                "first difference\n" + crash::first_difference(with, without));
  return {};
}

// ---- verdict

struct Row {
  std::string what;
  std::string found;
  std::string wanted;
  bool good = true;
};

template <class... Parts>
std::string text(const char* format, Parts... parts) {
  char line[160];
  std::snprintf(line, sizeof line, format, parts...);
  return line;
}

void add_memory(World& world, std::vector<Row>& rows) {
  Used robots, centre = world.used_most().back();
  for (size_t i = 0; i + 1 < world.used_most().size(); ++i) {
    robots.anonymous_bytes = std::max(robots.anonymous_bytes, world.used_most()[i].anonymous_bytes);
    robots.descriptors = std::max(robots.descriptors, world.used_most()[i].descriptors);
  }
  rows.push_back({"memory of a robot, most", text("%.1f MB", mb(robots.anonymous_bytes)),
                  text("<= %.0f MB", mb(robot_bytes_max)), robots.anonymous_bytes <= robot_bytes_max});
  rows.push_back({"memory of the coordinator, most",
                  text("%.1f MB, %u descriptors", mb(centre.anonymous_bytes), centre.descriptors),
                  text("<= %.0f MB", mb(centre_bytes_max)), centre.anonymous_bytes <= centre_bytes_max});
}

std::vector<Row> verdict(World& world, const Measured& m, uint32_t least_each) {
  std::vector<Row> rows;
  rows.push_back(
      {"recovery of everything after the faults", text("%.1f s", m.recovery_s),
       text("<= %.1f s (%.1f MB / link + %.0f s)", m.recovery_bound_s, mb(m.backlog_bytes), recovery_constant_s),
       m.recovery_s <= m.recovery_bound_s});
  const double share =
      m.unique_bytes == 0 ? 0 : static_cast<double>(m.wire_bytes) / static_cast<double>(m.unique_bytes);
  const bool judged = m.unique_bytes >= unique_bytes_judged;
  rows.push_back({"bytes on the links / unique bytes",
                  text("%.3f (%.1f / %.1f MB)", share, mb(m.wire_bytes), mb(m.unique_bytes)),
                  judged ? text("<= %.2f", wire_share_max) : text("not judged below %.0f MB", mb(unique_bytes_judged)),
                  !judged || share <= wire_share_max});
  const double heartbeat_ms = percentile(m.probe.heartbeats_ms, 0.99), ack_ms = percentile(m.probe.acks_ms, 0.99);
  const double rate = static_cast<double>(m.probe.bytes) / std::max(m.probe.seconds, 0.001);
  const bool enough = m.probe.heartbeats_ms.size() >= heartbeats_judged;
  rows.push_back(
      {"heartbeat while bulk fills the link, p99",
       text("%.1f ms (p50 %.1f, %zu)", heartbeat_ms, percentile(m.probe.heartbeats_ms, 0.5),
            m.probe.heartbeats_ms.size()),
       enough ? text("< %.0f ms", control_p99_ms_max) : text("not judged below %zu of them", heartbeats_judged),
       !enough || heartbeat_ms < control_p99_ms_max});
  rows.push_back({"ack of a 16 KiB block, 8 on the way, p99",
                  text("%.1f ms (p50 %.1f, %zu)", ack_ms, percentile(m.probe.acks_ms, 0.5), m.probe.acks_ms.size()),
                  "shown", true});
  rows.push_back({"the probe filled its link",
                  text("%.0f %% of %.1f MB/s", 100 * rate / probe_bytes_per_s, mb(probe_bytes_per_s)),
                  enough ? ">= 50 %" : "not judged", !enough || rate >= 0.5 * probe_bytes_per_s});
  add_memory(world, rows);
  uint32_t done = 0, met = 0;
  for (size_t i = 0; i < fault_count; ++i) {
    const Count& count = world.counts()[i];
    done += count.done;
    met += count.met_work;
    if (count.skipped == 0 && count.done < least_each)
      rows.push_back({"faults: " + std::string(fault_name(static_cast<Fault>(i))), std::to_string(count.done),
                      ">= " + std::to_string(least_each), false});
  }
  rows.push_back({"faults that met work in motion", text("%u of %u", met, done), ">= 60 %", met * 10 >= done * 6});
  return rows;
}

void print(World& world, const Options& options, const Measured& m, const std::vector<Row>& rows) {
  std::printf("\n%-16s %6s %8s %8s\n", "fault", "done", "met work", "skipped");
  for (size_t i = 0; i < fault_count; ++i) {
    const Count& c = world.counts()[i];
    std::printf("%-16s %6u %8u %8u %s\n", std::string(fault_name(static_cast<Fault>(i))).c_str(), c.done, c.met_work,
                c.skipped, c.why_skipped.c_str());
  }
  for (const auto& [what, count] : world.attacks()) std::printf("  repelled: %s, %u times\n", what.c_str(), count);
  std::printf("\n%-42s %-32s %-40s\n", "what", "found", "wanted");
  for (const Row& row : rows)
    std::printf("%-42s %-32s %-40s %s\n", row.what.c_str(), row.found.c_str(), row.wanted.c_str(),
                row.good ? "" : "MISSED");
  std::printf(
      "\nseconds: steady %.1f, faults %.1f, recovery %.1f, the twin in peace %.1f; restarts by the service manager %u, "
      "re-imaged robots %u; seed %llu\n",
      m.steady_s, m.faults_s, m.recovery_s, m.calm_s, world.restarts(), world.reimaged(),
      static_cast<unsigned long long>(options.seed));
  std::printf("canonical dumps are byte-equal: sha256 %s, %llu records, %llu chunks\n", to_hex(m.dump.digest).c_str(),
              static_cast<unsigned long long>(m.dump.records), static_cast<unsigned long long>(m.dump.chunks));
}

ordered_json to_json(World& world, const Options& options, const Measured& m, const std::vector<Row>& rows,
                     bool passed) {
  ordered_json out{
      {"program", "drover stress real"}, {"seed", options.seed}, {"minutes", options.minutes}, {"passed", passed}};
  for (size_t i = 0; i < fault_count; ++i) {
    const Count& c = world.counts()[i];
    out["faults"][std::string(fault_name(static_cast<Fault>(i)))] = {
        {"done", c.done}, {"met_work", c.met_work}, {"skipped", c.skipped}, {"why_skipped", c.why_skipped}};
  }
  out["repelled"] = world.attacks();
  for (const Row& row : rows)
    out["checks"].push_back({{"what", row.what}, {"found", row.found}, {"wanted", row.wanted}, {"good", row.good}});
  out["figures"] = {{"recovery_s", m.recovery_s},
                    {"recovery_bound_s", m.recovery_bound_s},
                    {"wire_bytes", m.wire_bytes},
                    {"unique_bytes", m.unique_bytes},
                    {"heartbeat_p50_ms", percentile(m.probe.heartbeats_ms, 0.5)},
                    {"heartbeat_p99_ms", percentile(m.probe.heartbeats_ms, 0.99)},
                    {"ack_p50_ms", percentile(m.probe.acks_ms, 0.5)},
                    {"ack_p99_ms", percentile(m.probe.acks_ms, 0.99)},
                    {"records", m.dump.records},
                    {"chunks", m.dump.chunks},
                    {"restarts", world.restarts()},
                    {"reimaged", world.reimaged()}};
  return out;
}

// ---- the run

Status check_books(World& world) {
  DROVER_TRY(crash::check_balance(world.fleet(), "drained, daemons running", false));
  DROVER_TRY(crash::check_balance(world.lab(), "the lab, drained", false));
  DROVER_TRY(crash::stop_all(world.fleet()));
  DROVER_TRY(crash::stop_all(world.lab()));
  DROVER_TRY(world.no_unexpected_errors());
  DROVER_TRY(crash::check_balance(world.fleet(), "stopped", true));
  return crash::check_balance(world.lab(), "the lab, stopped", false);
}

Status prove(const Options& options, const std::string& folder) {
  const double total_s = options.minutes * 60;
  const double steady_s = std::clamp(total_s / 6, 4.0, 60.0);
  const double faults_s = std::max(8.0, total_s - steady_s);
  WorldOptions world_options{
      folder,           options.drover, options.configs, options.clock_shim, options.seed, options.link_kib_per_s << 10,
      options.episodes, options.verbose};
  DROVER_ASSIGN(const auto world, World::create(world_options));
  const auto planned = plan({options.seed, static_cast<uint32_t>(faults_s * 1000), crash::robots, options.faults});
  Measured measured;
  DROVER_TRY(world->start());
  DROVER_TRY(steady(*world, folder, steady_s, measured));
  DROVER_TRY(faults(*world, planned, faults_s, measured));
  DROVER_TRY(recover(*world, options, measured));
  measured.wire_bytes = world->wire_bytes();
  DROVER_TRY(check_books(*world));
  DROVER_ASSIGN(measured.unique_bytes, unique_bytes(world->fleet().folders().centre));
  DROVER_TRY(check_twin(*world, options, folder, measured));
  const auto rows = verdict(*world, measured, options.minutes >= 10 ? 5 : 1);
  const bool good = std::all_of(rows.begin(), rows.end(), [](const Row& row) { return row.good; });
  print(*world, options, measured, rows);
  if (!options.json.empty())
    std::ofstream(options.json) << to_json(*world, options, measured, rows, good).dump(2) << "\n";
  if (good) return {};
  return fail(Errc::conflict, "verdict", "a bound was missed, see the table");
}

std::string beside_us(const char* name) {
  std::error_code failed;
  return (fs::read_symlink("/proc/self/exe", failed).parent_path() / name).string();
}

void add_options(CLI::App& app, Options& options) {
  app.add_option("--minutes", options.minutes, "how long, without recovery and the twin")
      ->check(CLI::Range(0.1, 100'000.0))
      ->capture_default_str();
  app.add_option("--seed", options.seed, "replays the schedule; 0 draws one");
  app.add_option("--faults", options.faults, "how many; 0: one every five seconds, ten at least");
  app.add_option("--link-kib-per-s", options.link_kib_per_s, "of each robot")
      ->check(CLI::Range(16, 1 << 20))
      ->capture_default_str();
  app.add_option("--keep", options.keep, "work in this folder and leave it; else a temporary one");
  app.add_option("--json", options.json, "write the results to this file");
  app.add_option("--drover", options.drover, "the program under test")->check(CLI::ExistingFile)->capture_default_str();
  app.add_option("--clock-library", options.clock_shim, "library that moves clocks; empty: clocks do not jump")
      ->capture_default_str();
  app.add_option("--configs", options.configs, "the shipped configs folder")->capture_default_str();
  app.add_option("--episodes", options.episodes, "of each generated log")->capture_default_str();
  app.add_flag("--verbose", options.verbose, "one line per fault");
}

Result<std::string> working_folder(const Options& options) {
  std::string folder = options.keep;
  if (folder.empty()) {
    folder = (fs::temp_directory_path() / "drover-real-XXXXXX").string();
    if (mkdtemp(folder.data()) == nullptr) return fail(Errc::io, folder, "cannot be made");
  } else {
    for (const char* part : {"fleet", "lab", "calm"}) fs::remove_all(fs::path(folder) / part);
  }
  return fs::absolute(folder).string();
}

}  // namespace

int real_main(int argc, char** argv) {
  Options options;
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // progress is seen also through a pipe
  options.drover = beside_us("drover");
  options.clock_shim = beside_us("../lib/libdrover-clock-shim.so");
  CLI::App app("Run a fleet of real processes under every fault and prove that nothing is lost.", "drover stress real");
  add_options(app, options);
  CLI11_PARSE(app, argc, argv);
  if (options.seed == 0)
    options.seed = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count()) % 1'000'000'000;
  options.drover = fs::absolute(options.drover).string();
  options.configs = fs::absolute(options.configs).string();
  if (!options.clock_shim.empty()) {
    options.clock_shim = fs::absolute(options.clock_shim).lexically_normal().string();
    if (!fs::exists(options.clock_shim)) options.clock_shim.clear();
  }
  const auto folder = working_folder(options);
  if (!folder) return std::fprintf(stderr, "drover stress real: %s\n", folder.error().message().c_str()), 1;
  std::printf("seed %llu, %.1f minutes, in %s\n", static_cast<unsigned long long>(options.seed), options.minutes,
              folder->c_str());
  std::fflush(stdout);
  const Status proved = prove(options, *folder);
  if (proved) {
    std::printf("PASSED\n");
    if (options.keep.empty()) fs::remove_all(*folder);
    return 0;
  }
  std::printf("FAILED: %s\nreplay: drover stress real --minutes %g --seed %llu; stores and logs are in %s\n",
              proved.error().message().c_str(), options.minutes, static_cast<unsigned long long>(options.seed),
              folder->c_str());
  return 1;
}

}  // namespace drover::real

// Sync: three robots with full journals, one coordinator, mutual TLS on loopback; counted when the robots have heard
// that their records are on the coordinator's disk. Beside it the raw limits of the same bytes in the same blocks and
// groups, and Redis.
#include <cmath>
#include <memory>
#include <thread>

#include "net_fleet.hpp"
#include "raw.hpp"
#include "warm.hpp"

namespace drover::bench {

namespace {

constexpr size_t record_bytes = 400;
constexpr size_t robots = 3;
constexpr double redis_class_rate = 283'000;  // of XADD or SET on this class of machine, see bench_sync

struct SyncRun {
  double seconds = 0;
  uint64_t records = 0;
  uint64_t bytes = 0;  // of blocks
  uint64_t blocks = 0;
  uint64_t commits = 0;
  uint64_t applied = 0;  // records whose effects were in the stores when the last ack arrived
  std::vector<double> pings_ms;
};

// Polls until every journal is acknowledged; collects each robot's newest ping round trip.
void wait_drained(NetFleet& fleet, uint64_t records_each, SyncRun& run) {
  std::vector<int64_t> last_us(robots, 0);
  for (;;) {
    bool drained = true;
    for (size_t i = 0; i < robots; ++i) {
      const auto facts = fleet.outbox(i);
      if (!facts.halted.empty()) must(Status(fail(Errc::refused, "outbox", facts.halted)));
      drained = drained && facts.acked_seq >= records_each;
      if (facts.round_trip_us != last_us[i]) run.pings_ms.push_back(static_cast<double>(facts.round_trip_us) / 1e3);
      last_us[i] = facts.round_trip_us;
    }
    if (drained) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(4));
  }
}

SyncRun run_sync(const Settings& settings, bool sync, uint64_t records_each, uint32_t ping_period_ms) {
  SyncRun run;
  NetFleetOptions options;
  options.dir = fresh_folder(settings, "sync");
  options.robots = robots;
  options.sync = sync ? storage::Sync::synced : storage::Sync::nosync;
  options.ping_period_ms = ping_period_ms;
  {
    NetFleet fleet(options);
    run.records = records_each * robots;
    const uint64_t bytes = fleet.prefill(records_each, record_bytes, settings.seed);
    ::sync();
    warm_page_cache(fresh_folder(settings, "warm") / "pages", bytes);
    fleet.start_coordinator();
    const auto began = Clock::now();
    fleet.start_robots();
    wait_drained(fleet, records_each, run);
    run.seconds = seconds_since(began);
    const auto inbox = fleet.inbox();
    run.bytes = inbox.bytes;
    run.blocks = inbox.blocks;
    run.commits = inbox.commits;
    run.applied = fleet.central().applied_records;
  }
  std::filesystem::remove_all(options.dir);
  return run;
}

std::string rate_note(const SyncRun& run) {
  char note[160];
  std::snprintf(note, sizeof note, "%.0f MB/s; %.0f KB a block, %.1f blocks a commit; %.0f %% applied meanwhile",
                static_cast<double>(run.bytes) / run.seconds / 1e6,
                static_cast<double>(run.bytes) / static_cast<double>(run.blocks) / 1e3,
                static_cast<double>(run.blocks) / static_cast<double>(run.commits),
                100 * static_cast<double>(run.applied) / static_cast<double>(run.records));
  return note;
}

void redis_rows(Report& report, const Settings& settings, bool sync) {
  const uint64_t requests = settings.quick ? 200'000 : 1'000'000;
  for (const bool stream : {true, false}) {
    const std::string what = std::string("  beside: Redis ") + (stream ? "XADD" : "SET") +
                             " of 400 B, 3 clients, pipeline 100, no TLS, " +
                             (sync ? "appendfsync always" : "everysec");
    const auto rate = redis_rate(settings, {requests, record_bytes, stream, sync});
    if (rate)
      report.add(what, sync ? synced : nosync, *rate, "records/s");
    else
      report.skipped(what, "redis-server is not installed or did not start");
  }
}

void sync_rows(Report& report, const Settings& settings, bool sync) {
  const char* durability = sync ? synced : nosync;
  const uint64_t records_each = settings.quick ? 100'000 : 400'000;
  const SyncRun run = run_sync(settings, sync, records_each, 2'000);
  const auto n = static_cast<double>(run.records);
  if (settings.own_only)
    return report.add("sync of 3 robots, acknowledged", durability, n / run.seconds, "records/s", rate_note(run));
  const size_t block_bytes = run.bytes / run.blocks;
  const uint64_t blocks_a_commit = std::max<uint64_t>(1, (run.blocks + run.commits / 2) / run.commits);
  const double lmdb = n / raw_lmdb_seconds(settings, {run.blocks, block_bytes, blocks_a_commit, sync});
  const double file = n / raw_file_seconds(settings, {run.blocks, block_bytes, blocks_a_commit, sync});
  const double tls = n / raw_tls_seconds(robots, run.blocks / robots, block_bytes);
  const double ours = n / run.seconds;
  const double share = 100 * ours / std::min(lmdb, tls);
  std::optional<Target> rate_target, share_target;
  if (sync) rate_target = Target{redis_class_rate}, share_target = Target{50};
  report.add("sync of 3 robots, acknowledged", durability, ours, "records/s", rate_note(run), rate_target);
  report.add("  share of the smaller of LMDB and TLS below", durability, share, "%", {}, share_target);
  report.add("  raw: LMDB commits of the same blocks in the same groups", durability, lmdb, "records/s");
  report.add("  raw: file writes of the same groups", durability, file, "records/s");
  report.add("  raw: the same blocks over 3 TLS connections on loopback", no_disk, tls, "records/s");
  redis_rows(report, settings, sync);
}

}  // namespace

void bench_sync(Report& report, const Settings& settings) {
  report.group("sync: 3 robots -> coordinator over mutual TLS on loopback, 400 B records, all in one process");
  for (const bool sync : {true, false}) sync_rows(report, settings, sync);
}

void bench_latency(Report& report, const Settings& settings) {
  report.group("latency of the control plane and of one record");
  const SyncRun busy = run_sync(settings, true, settings.quick ? 100'000 : 400'000, 10);
  auto pings = busy.pings_ms;
  const std::string note = std::to_string(pings.size()) + " pings";
  report.add("ping round trip while bulk saturates, p50", synced, percentile(pings, 0.5), "ms", note);
  report.add("ping round trip while bulk saturates, p99", synced, percentile(pings, 0.99), "ms");
  NetFleetOptions options;
  options.dir = fresh_folder(settings, "latency");
  options.robots = 1;
  std::vector<double> acks_ms, commits_ms;
  {
    NetFleet fleet(options);
    fleet.start_coordinator();
    fleet.start_robots();
    const int rounds = settings.quick ? 100 : 500;
    while (!fleet.outbox(0).link_up) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    for (int i = 1; i <= rounds; ++i) {
      sync::StoreCapture capture;
      capture.records.push_back({RecordKind::event, 1, event_of_size(record_bytes, static_cast<uint64_t>(i))});
      const auto began = Clock::now();
      fleet.append(0, capture);
      commits_ms.push_back(seconds_since(began) * 1e3);
      while (fleet.outbox(0).acked_seq < static_cast<uint64_t>(i)) std::this_thread::yield();
      acks_ms.push_back(seconds_since(began) * 1e3);
    }
  }
  report.add("one record: handed to the store -> on the robot's disk, p50", synced, percentile(commits_ms, 0.5), "ms");
  report.add("one record: handed to the store -> acknowledged by the centre, p50", synced, percentile(acks_ms, 0.5),
             "ms");
  report.add("one record: handed to the store -> acknowledged by the centre, p99", synced, percentile(acks_ms, 0.99),
             "ms");
  const RawLoad one{200, record_bytes, 1, true};
  report.add("  raw: one LMDB commit of the same record (two are on the way)", synced,
             raw_lmdb_seconds(settings, one) * 1e3 / static_cast<double>(one.values), "ms");
  std::filesystem::remove_all(options.dir);
}

}  // namespace drover::bench

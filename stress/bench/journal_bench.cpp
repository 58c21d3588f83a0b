// A robot's journal: appending records in groups, each group one commit, beside plain LMDB and a plain file.
#include "raw.hpp"
#include "storage/journal.hpp"
#include "warm.hpp"

namespace drover::bench {

namespace {

constexpr size_t record_bytes = 400;

double journal_seconds(const Settings& settings, const RawLoad& load) {
  warm_page_cache(fresh_folder(settings, "warm") / "pages", load.values * load.value_bytes);
  const auto folder = fresh_folder(settings, "journal");
  storage::EnvOptions options;
  options.path = folder;
  options.databases = storage::Journal::databases();
  options.map_initial_bytes = uint64_t{8} << 30;
  options.sync = load.sync ? storage::Sync::synced : storage::Sync::nosync;
  double seconds = 0;
  {
    auto env = must(storage::Env::open(options));
    const auto journal = must(storage::Journal::open(env, {"robot-bench", 1}));
    const Bytes payload = random_bytes(settings.seed, record_bytes);
    std::vector<storage::NewRecord> group(load.group_values, {RecordKind::event, 1, payload.view(), 1});
    const auto began = Clock::now();
    for (uint64_t done = 0; done < load.values; done += group.size()) must(journal.append(env, group));
    seconds = seconds_since(began);
  }
  std::filesystem::remove_all(folder);
  return seconds;
}

}  // namespace

void bench_journal(Report& report, const Settings& settings) {
  report.group("robot journal: append of 400 B records, one commit per group");
  for (const bool sync : {true, false}) {
    for (const uint64_t group : {uint64_t{1}, uint64_t{100}, uint64_t{1000}}) {
      const uint64_t scale = settings.quick ? 1 : 4;
      const uint64_t groups = group == 1 ? (sync ? 500 : 10'000) : group == 100 ? (sync ? 250 : 500) : 50;
      const RawLoad load{group * groups * scale, record_bytes, group, sync};
      const char* durability = sync ? synced : nosync;
      const auto n = static_cast<double>(load.values);
      const std::string in_groups = "groups of " + std::to_string(group);
      const double ours = n / journal_seconds(settings, load);
      const double lmdb = n / raw_lmdb_seconds(settings, load);
      const double file = n / raw_file_seconds(settings, load);
      char note[96];
      std::snprintf(note, sizeof note, "%.1f MB/s, %.0f %% of LMDB", ours * record_bytes / 1e6, 100 * ours / lmdb);
      report.add("journal append, " + in_groups, durability, ours, "records/s", note);
      report.add("  raw: LMDB puts of the same bytes, " + in_groups, durability, lmdb, "records/s");
      report.add("  raw: file writes of the same bytes, " + in_groups, durability, file, "records/s");
    }
  }
}

}  // namespace drover::bench

// What every benchmark of drover-bench shares: the report, the clock, a folder of its own, failing loudly.
//
// Rules of the report: no throughput without its durability in the row, and each figure stands beside the raw limit
// that was measured in the same run. A row with a target says whether it was met; the program's exit code does too.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "messages/bytes.hpp"
#include "messages/check.hpp"
#include "messages/result.hpp"

namespace drover::bench {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

inline constexpr const char* synced = "synced";      // the call returns, or the ack leaves, after fdatasync
inline constexpr const char* nosync = "not synced";  // the system writes when it likes
inline constexpr const char* no_disk = "-";          // nothing durable in it

struct Target {
  double bound = 0;
  bool at_least = true;  // else at most
  bool met(double value) const { return at_least ? value >= bound : value <= bound; }
};

struct Row {
  std::string group;
  std::string what;
  std::string durability;
  double value = 0;
  std::string unit;
  std::string note;
  std::optional<Target> target;
};

class Report {
 public:
  void group(std::string name);
  // Prints at once.
  void add(Row row);
  void add(std::string what, const char* durability, double value, std::string unit, std::string note = {},
           std::optional<Target> target = {});
  // What could not be measured here and why.
  void skipped(const std::string& what, const std::string& why);
  const std::vector<Row>& rows() const { return rows_; }
  size_t targets_missed() const;
  Status write_json(const std::filesystem::path& file, const std::string& machine, uint64_t seed, bool quick) const;

 private:
  std::string group_;
  std::vector<Row> rows_;
};

struct Settings {
  std::filesystem::path dir;       // a folder of this run, made and removed by the program
  std::filesystem::path programs;  // where drover and drover-bench-packs are
  uint64_t seed = 1;
  bool quick = false;
  bool own_only = false;  // no raw limits and no Redis: for profilers
};

// Folder DIR/name, empty.
std::filesystem::path fresh_folder(const Settings& settings, const std::string& name);

// Incompressible bytes that the seed decides.
Bytes random_bytes(uint64_t seed, size_t size);

// p in 0..1; sorts.
double percentile(std::vector<double>& values, double p);

// "8 cores, Intel ..., ext4 on ..., 23 GiB"
std::string machine_text(const std::filesystem::path& dir);

template <class T>
T must(Result<T> result) {
  if (!result) std::fprintf(stderr, "drover-bench: %s\n", result.error().message().c_str());
  DROVER_CHECK(result.has_value(), "the benchmark cannot go on");
  return std::move(*result);
}
inline void must(const Status& status) {
  if (!status) std::fprintf(stderr, "drover-bench: %s\n", status.error().message().c_str());
  DROVER_CHECK(status.has_value(), "the benchmark cannot go on");
}

// ---- the benchmarks; each adds a group to the report
void bench_journal(Report& report, const Settings& settings);
void bench_sync(Report& report, const Settings& settings);
void bench_latency(Report& report, const Settings& settings);
void bench_packs(Report& report, const Settings& settings);
void bench_novelty(Report& report, const Settings& settings);
void bench_sampling(Report& report, const Settings& settings);
void bench_recovery(Report& report, const Settings& settings);
void bench_daemons(Report& report, const Settings& settings);
void bench_capture(Report& report, const Settings& settings);
void bench_segments(Report& report, const Settings& settings);

// Hidden role of the program: fills a store until it is killed. See recovery_bench.cpp.
int fill_until_killed(const std::string& kind, const std::string& dir);

}  // namespace drover::bench

// Benchmark of the datapack store: import, queries, statistics, JSON, each beside a raw limit of this very run.
//
//   drover-bench-packs [--packs N] [--dir DIR] [--synced] [--rounds N]
//
// Every row names the durability it ran with: "synced" means every commit was on disk before it returned.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "messages/check.hpp"
#include "sqlite_packs.hpp"
#include "storage/datapack_json.hpp"
#include "storage/datapack_store.hpp"
#include "storage/jsonl.hpp"
#include "warm.hpp"

namespace {

using namespace drover;
using namespace drover::storage;
using Clock = std::chrono::steady_clock;

struct Options {
  uint64_t packs = 10'000;
  uint64_t batch_packs = 32'768;
  uint32_t rounds = 100;
  std::filesystem::path dir = std::filesystem::temp_directory_path();
  bool synced = false;
  bool shuffled = false;
  bool sqlite = false;  // ask SQLite the same
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

template <class T>
T must(Result<T> result) {
  if (!result) std::fprintf(stderr, "packs_bench: %s\n", result.error().message().c_str());
  DROVER_CHECK(result.has_value(), "the benchmark cannot go on");
  return std::move(*result);
}
void must(const Status& status) {
  if (!status) std::fprintf(stderr, "packs_bench: %s\n", status.error().message().c_str());
  DROVER_CHECK(status.has_value(), "the benchmark cannot go on");
}

void row(const std::string& what, const char* durability, const std::string& figure) {
  std::printf("%-58s | %-8s | %s\n", what.c_str(), durability, figure.c_str());
  std::fflush(stdout);
}
std::string text(const char* format, double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, format, value);
  return buffer;
}

// A pack like those of a fleet: 40 robots, six skills, a few tags, one in five negative, one in fifty synthetic.
Datapack make_pack(uint64_t number, std::mt19937_64& rng) {
  const auto unit = [&] { return static_cast<double>(rng() >> 11) * 0x1p-53; };
  const auto numbered = [](const char* prefix, uint64_t n) { return std::string(prefix).append(std::to_string(n)); };
  Datapack p;
  p.pack_id = numbered("dp-", rng()).append(std::to_string(number));
  p.task_name = "drawer_vase";
  p.env_type = "drawer";
  p.provenance = {numbered("robot-", rng() % 40), numbered("episode-", number),
                  static_cast<int64_t>(number) * 2'000'000'000, static_cast<int64_t>(number) * 2'000'000'000 + 1,
                  "bench"};
  p.condition.engine_type = rng() % 100 == 0 ? "isaac" : "mujoco";
  p.condition.world_id = "drawer_v1";
  p.attribution.source_type = rng() % 50 == 0 ? SourceType::synthetic : SourceType::real;
  p.attribution.delta_J = unit() * 2.5 - 0.5;
  p.attribution.trust_score = p.attribution.source_type == SourceType::real ? 1.0 : unit();
  p.attribution.w_econ = 0.5 + unit();
  p.attribution.mvd_score = p.attribution.trust_score * p.attribution.w_econ * std::abs(p.attribution.delta_J);
  p.bucket = p.attribution.delta_J >= 0 ? Bucket::positive : Bucket::negative;
  if (p.bucket == Bucket::negative) p.counterfactual_plan_json = R"({"kind":"slow_down","steps":[3,4]})";
  p.energy.total_Wh = 0.6;
  for (uint64_t i = 0; i < 6; ++i) p.energy.per_joint[numbered("joint_", i)] = {{"Wh", 0.1}};
  p.semantic_tags = {numbered("offset_", rng() % 16), rng() % 4 == 0 ? "fragile" : "sturdy"};
  if (rng() % 5000 == 0) p.semantic_tags.push_back("near_miss");
  const uint64_t skills = rng() % 10 == 0 ? 3 : 6;
  for (uint64_t i = 0; i < skills; ++i)
    p.skill_trace.push_back(
        {static_cast<int64_t>(i), static_cast<double>(i), static_cast<double>(i + 1), "success", {}});
  if (rng() % 10 == 0) p.skill_trace.back().skill_id = 40;
  if (rng() % 20 == 0) p.sima_annotation.emplace().instruction = "open the drawer without hitting the vase";
  p.episode_metrics_json = R"({"mpl_units_per_h":312.5,"error_rate":0.0,"wage_parity":1.1,"hours":0.0032})";
  return p;
}

struct Case {
  std::string name;
  PackQuery query;
};

std::vector<Case> cases(uint64_t packs) {
  std::vector<Case> out;
  const auto add = [&](std::string name, auto change) {
    PackQuery q;
    q.task_name = "drawer_vase";
    change(q);
    out.push_back({std::move(name), std::move(q)});
  };
  const auto middle = static_cast<int64_t>(packs) * 1'000'000'000;
  add("best delta_j", [](PackQuery&) {});
  add("bucket negative, worst first", [](PackQuery& q) { q.bucket = Bucket::negative, q.sort_descending = false; });
  add("skill 3", [](PackQuery& q) { q.skill_id = 3; });
  add("skill 40 (1 in 10)", [](PackQuery& q) { q.skill_id = 40; });
  add("engine isaac (1 in 100)", [](PackQuery& q) { q.engine_type = "isaac"; });
  add("source synthetic, by trust",
      [](PackQuery& q) { q.source_type = SourceType::synthetic, q.sort_by = SortBy::trust; });
  add("min_trust 0.99", [](PackQuery& q) { q.min_trust = 0.99; });
  add("min_delta_j 1.9", [](PackQuery& q) { q.min_delta_j = 1.9; });
  add("min_mvd_score 2.5, by time", [](PackQuery& q) { q.min_mvd_score = 2.5, q.sort_by = SortBy::time; });
  add("robot-7 (1 in 40)", [](PackQuery& q) { q.robot = "robot-7"; });
  add("tag near_miss (1 in 5000)", [](PackQuery& q) { q.tags = {"near_miss"}; });
  add("tags offset_3 and fragile (1 in 64), by w_econ", [](PackQuery& q) {
    q.tags = {"offset_3", "fragile"}, q.sort_by = SortBy::w_econ;
  });
  add("an hour in the middle",
      [&](PackQuery& q) { q.from_unix_ns = middle, q.until_unix_ns = middle + 3'600'000'000'000; });
  add("include_sima, by mvd", [](PackQuery& q) { q.include_sima = true, q.sort_by = SortBy::mvd; });
  add("newest first", [](PackQuery& q) { q.sort_by = SortBy::time; });
  add("by pack_id", [](PackQuery& q) { q.sort_by = SortBy::pack_id; });
  add("everything at once (1 in 10^6)", [](PackQuery& q) {
    q.bucket = Bucket::negative, q.skill_id = 40, q.robot = "robot-7", q.tags = {"offset_3"}, q.include_sima = true;
  });
  add("two frequent filters, contradictory (worst case)",
      [](PackQuery& q) { q.min_delta_j = 0.1, q.include_counterfactual = true, q.sort_by = SortBy::mvd; });
  add("rare engine and rare source, by w_econ",
      [](PackQuery& q) { q.engine_type = "isaac", q.source_type = SourceType::synthetic, q.sort_by = SortBy::w_econ; });
  return out;
}

class Bench {
 public:
  explicit Bench(Options options) : options_(std::move(options)), env_(open()), store_(env_) {}

  void run() {
    import();
    size_on_disk();
    raw_limits();
    if (options_.sqlite) sqlite_import();
    queries();
    statistics();
    json();
    jsonl_import();
    memory();
  }

 private:
  const char* durability() const { return options_.synced ? "synced" : "nosync"; }

  Env open() const {
    std::filesystem::remove_all(options_.dir);
    EnvOptions o;
    o.path = options_.dir;
    o.databases = DatapackStore::databases();
    o.databases.push_back("raw");
    o.map_initial_bytes = uint64_t{8} << 30;
    o.sync = options_.synced ? Sync::synced : Sync::nosync;
    return must(Env::open(o));
  }

  void warm() const { bench::warm_page_cache(options_.dir.string() + ".warm", uint64_t{512} << 20); }

  void import() {
    std::mt19937_64 rng(1);
    double seconds = 0, encoded_seconds = 0, prepare_seconds = 0;
    if (options_.sqlite && bench::SqlitePacks::available())
      sqlite_ = std::make_unique<bench::SqlitePacks>(options_.dir.string() + ".sqlite", options_.synced);
    uint64_t bytes = 0;
    std::vector<uint64_t> numbers(options_.packs);
    for (uint64_t i = 0; i < numbers.size(); ++i) numbers[i] = i;
    if (options_.shuffled) std::shuffle(numbers.begin(), numbers.end(), rng);
    for (uint64_t start = 0; start < options_.packs; start += options_.batch_packs) {
      std::vector<Datapack> packs;
      for (uint64_t i = start; i < std::min(options_.packs, start + options_.batch_packs); ++i)
        packs.push_back(make_pack(numbers[i], rng));
      auto began = Clock::now();
      for (const Datapack& p : packs) bytes += encode(p).size();
      encoded_seconds += seconds_since(began);
      began = Clock::now();
      std::vector<PreparedPack> prepared;
      PackPreparer preparer;
      for (const Datapack& p : packs) prepared.push_back(must(preparer.prepare(p)));
      prepare_seconds += seconds_since(began);
      warm();
      began = Clock::now();
      must(env_.write([&](WriteTxn& txn) -> Status {
        DatapackBatch batch(store_, txn);
        for (const PreparedPack& p : prepared) DROVER_TRY(batch.put(p));
        return batch.finish();
      }));
      seconds += seconds_since(began);
      if (sqlite_) {
        warm();
        began = Clock::now();
        sqlite_->import(packs);
        sqlite_seconds_ += seconds_since(began);
      }
    }
    pack_bytes_ = bytes / std::max<uint64_t>(options_.packs, 1);
    const auto n = static_cast<double>(options_.packs);
    row("import, batches of " + std::to_string(options_.batch_packs) +
            (options_.shuffled ? ", any order" : ", by time"),
        durability(), text("%.0f packs/s", n / seconds));
    row("  the same, checking and encoding on the same thread", durability(),
        text("%.0f packs/s", n / (seconds + prepare_seconds)));
    row("  of which encoding alone would allow", "-", text("%.0f packs/s", n / encoded_seconds));
    row("  mean size of an encoded pack", "-", std::to_string(pack_bytes_) + " B");
  }

  void size_on_disk() {
    const EnvFacts facts = must(env_.facts());
    row("store on disk", durability(),
        text("%.0f MB", static_cast<double>(facts.used_bytes) / 1e6) +
            text(", %.0f B a pack", static_cast<double>(facts.used_bytes) / static_cast<double>(options_.packs)));
  }

  void sqlite_import() {
    if (!sqlite_) return row("SQLite", "-", "not built with SQLite (libsqlite3-dev)");
    sqlite_->analyze();
    row("SQLite: import of the same rows and indexes, same batches", durability(),
        text("%.0f packs/s", static_cast<double>(options_.packs) / sqlite_seconds_) +
            text(", %.0f MB on disk", static_cast<double>(sqlite_->bytes()) / 1e6));
  }

  // One question to SQLite; a few times, as it may take long.
  void sqlite_query(const Case& c, double own_p50_us, size_t own_hits) {
    std::vector<double> micros;
    size_t hits = 0;
    double spent = 0;
    for (uint32_t i = 0; i < options_.rounds && (i < 3 || spent < 1e6); ++i) {
      const auto began = Clock::now();
      hits = sqlite_->query(c.query);
      micros.push_back(seconds_since(began) * 1e6);
      spent += micros.back();
    }
    std::sort(micros.begin(), micros.end());
    const double p50 = micros[micros.size() / 2];
    DROVER_CHECK(hits == own_hits, "SQLite found another number of packs");
    row("  SQLite: " + c.name, "-",
        text("p50 %7.0f us, ", p50) + text("p99 %7.0f us, ", micros[micros.size() * 99 / 100]) +
            text("%.1f times as long as the store", p50 / own_p50_us));
    if (p50 < own_p50_us) ++slower_than_sqlite_;
  }

  // What `drover packs import` does: lines parsed and checked on other threads, put in large batches here.
  void jsonl_import() {
    const uint64_t count = std::min<uint64_t>(options_.packs, 100'000);
    uint64_t bytes = 0;
    {
      JsonlWriter writer(options_.dir.string() + ".export");
      uint64_t written = 0;
      must(env_.read([&](const ReadTxn& txn) -> Status {
        return store_.for_each(txn, "drawer_vase", [&](ByteView flat) -> Result<bool> {
          DROVER_ASSIGN(const Datapack p, decode_datapack(flat));
          DROVER_TRY(writer.append(p));
          return ++written < count;
        });
      }));
      must(writer.finish());
    }
    const auto exported = jsonl_path(options_.dir.string() + ".export", "drawer_vase");
    bytes = std::filesystem::file_size(exported);
    EnvOptions o;
    o.path = options_.dir.string() + ".copy";
    std::filesystem::remove_all(o.path);
    o.databases = DatapackStore::databases();
    o.map_initial_bytes = uint64_t{2} << 30;
    o.sync = options_.synced ? Sync::synced : Sync::nosync;
    {
      Env env = must(Env::open(o));
      const DatapackStore store(env);
      std::vector<PreparedPack> waiting;
      const auto flush = [&] {
        must(env.write([&](WriteTxn& txn) -> Status {
          DatapackBatch batch(store, txn);
          for (const PreparedPack& p : waiting) DROVER_TRY(batch.put(p));
          return batch.finish();
        }));
        waiting.clear();
      };
      warm();
      const auto began = Clock::now();
      PreparedSink sink;
      sink.threads = std::clamp(std::thread::hardware_concurrency(), 2u, 5u) - 1;
      sink.take = [&](PreparedPack&& p) -> Status {
        waiting.push_back(std::move(p));
        if (waiting.size() >= options_.batch_packs) flush();
        return {};
      };
      const auto report = must(read_jsonl_prepared(exported, {}, sink));
      flush();
      DROVER_CHECK(report.packs == std::min(count, options_.packs), "an export that does not come back whole");
      const double seconds = seconds_since(began);
      row("import of JSON Lines, " + std::to_string(sink.threads) + " reading and 1 writing thread", durability(),
          text("%.0f packs/s", static_cast<double>(report.packs) / seconds) +
              text(", %.0f MB/s of text", static_cast<double>(bytes) / 1e6 / seconds));
    }
    for (const char* suffix : {".copy", ".export"}) std::filesystem::remove_all(options_.dir.string() + suffix);
  }

  // The same bytes as plain values under random 16-byte keys, and read back.
  void raw_limits() {
    const uint64_t count = std::min<uint64_t>(options_.packs, 50'000);
    const Db raw = env_.db("raw");
    std::string value(pack_bytes_, 'x');
    const auto key_of = [](uint64_t i) { return Key().u64(i * 0x9e3779b97f4a7c15u).u64(i); };
    warm();
    auto began = Clock::now();
    must(env_.write([&](WriteTxn& txn) -> Status {
      for (uint64_t i = 0; i < count; ++i) DROVER_TRY(txn.put(raw, key_of(i), as_bytes(value)));
      return {};
    }));
    row("raw limit: one put of the same bytes, no index", durability(),
        text("%.0f values/s", static_cast<double>(count) / seconds_since(began)));
    uint64_t sum = 0;
    began = Clock::now();
    must(env_.read([&](const ReadTxn& txn) -> Status {
      for (uint64_t i = 0; i < count; ++i) {
        DROVER_ASSIGN(const auto got, txn.get(raw, key_of(i)));
        sum += got->size();
      }
      return {};
    }));
    row("raw limit: 100 gets of the same bytes", "-",
        text("%.1f us", seconds_since(began) / static_cast<double>(count) * 1e8));
    began = Clock::now();
    must(env_.read([&](const ReadTxn& txn) -> Status {
      return txn.for_each(raw, {}, [&](ByteView, ByteView v) -> Result<bool> { return sum += v.size(), true; });
    }));
    row("raw limit: scan of the same values", "-",
        text("%.0f values/s", static_cast<double>(count) / seconds_since(began)) + (sum == 0 ? " " : ""));
  }

  void queries() {
    for (const Case& c : cases(options_.packs)) {
      std::vector<double> micros;
      QueryAnswer answer;
      for (uint32_t i = 0; i < options_.rounds; ++i) {
        const auto began = Clock::now();
        answer = must(env_.read([&](const ReadTxn& txn) { return store_.query(txn, c.query); }));
        micros.push_back(seconds_since(began) * 1e6);
      }
      std::sort(micros.begin(), micros.end());
      char line[256];
      std::snprintf(line, sizeof line, "p50 %7.0f us, p99 %7.0f us, %3zu hits, %6llu rows; %s",
                    micros[micros.size() / 2], micros[micros.size() * 99 / 100], answer.hits.size(),
                    static_cast<unsigned long long>(answer.rows_examined), answer.plan.c_str());
      row("query 100: " + c.name, "-", line);
      if (sqlite_) sqlite_query(c, micros[micros.size() / 2], answer.hits.size());
    }
    if (sqlite_)
      row("queries at which SQLite was faster", "-",
          std::to_string(slower_than_sqlite_) + " of " + std::to_string(cases(options_.packs).size()));
  }

  void statistics() {
    std::vector<double> micros;
    for (uint32_t i = 0; i < options_.rounds; ++i) {
      const auto began = Clock::now();
      must(env_.read([&](const ReadTxn& txn) { return store_.statistics(txn, "drawer_vase"); }));
      micros.push_back(seconds_since(began) * 1e6);
    }
    std::sort(micros.begin(), micros.end());
    row("statistics of a task", "-",
        text("p50 %.1f us, ", micros[micros.size() / 2]) + text("p99 %.1f us", micros[micros.size() * 99 / 100]));
    if (!sqlite_) return;
    const auto began = Clock::now();
    sqlite_->statistics();
    row("  SQLite: counts and means of a task", "-", text("%.0f us", seconds_since(began) * 1e6));
  }

  void json() {
    std::vector<std::string> lines;
    auto began = Clock::now();
    must(env_.read([&](const ReadTxn& txn) -> Status {
      return store_.for_each(txn, "drawer_vase", [&](ByteView flat) -> Result<bool> {
        DROVER_ASSIGN(const Datapack p, decode_datapack(flat));
        DROVER_ASSIGN(lines.emplace_back(), datapack_to_json(p));
        return lines.size() < 10'000;
      });
    }));
    const auto n = static_cast<double>(lines.size());
    row("export: decode and write JSON", "-", text("%.0f packs/s", n / seconds_since(began)));
    began = Clock::now();
    for (const std::string& line : lines) must(datapack_from_json(line));
    row("read JSON", "-", text("%.0f packs/s", n / seconds_since(began)));
  }

  void memory() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    row("peak memory, mapped pages of the store included", "-",
        text("%.0f MB", static_cast<double>(usage.ru_maxrss) / 1e3));
  }

  Options options_;
  Env env_;
  DatapackStore store_;
  uint64_t pack_bytes_ = 0;
  std::unique_ptr<bench::SqlitePacks> sqlite_;
  double sqlite_seconds_ = 0;
  uint64_t slower_than_sqlite_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Benchmark of the datapack store");
  app.add_option("--packs", options.packs, "datapacks to store")->check(CLI::Range(100, 100'000'000));
  app.add_option("--batch", options.batch_packs, "datapacks in one transaction")->check(CLI::Range(1, 1'000'000));
  app.add_option("--rounds", options.rounds, "times each query is asked")->check(CLI::Range(1, 100'000));
  app.add_option("--dir", options.dir,
                 "folder for the store DIR/drover-bench-packs, which is made anew and removed at the end");
  app.add_flag("--synced", options.synced, "commits return after they are on disk");
  app.add_flag("--shuffled", options.shuffled, "import in random order of time");
  app.add_flag("--sqlite", options.sqlite, "store the same rows in SQLite and ask it the same");
  CLI11_PARSE(app, argc, argv);
  options.dir /= "drover-bench-packs";
  std::printf("%llu datapacks\n", static_cast<unsigned long long>(options.packs));
  Bench(options).run();
  std::filesystem::remove_all(options.dir);
  return 0;
}

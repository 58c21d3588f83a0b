// Benchmark of novelty: nearest earlier vectors among a million, beside a look at every vector, and packs valued in a
// store.
//
//   drover-bench-novelty [--vectors N] [--packs N] [--dir DIR]
//
// Two kinds of data: "fleet" is a mixture of conditions that robots repeat with noise, "unstructured" has no structure
// at all (uniform in every direction), the worst there is. Recall is against brute force over the bytes; what rounding
// to bytes changes beside that has a row of its own.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <random>
#include <set>

#include "actors/datapack/novelty_index.hpp"
#include "actors/datapack/novelty_keeper.hpp"
#include "messages/check.hpp"

namespace {

using namespace drover;
using namespace drover::datapack;
using Clock = std::chrono::steady_clock;
constexpr size_t dim = 64;
constexpr uint32_t k = 5;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}
void row(const std::string& what, const char* durability, const char* format, double a, double b = 0, double c = 0) {
  std::printf("%-64s | %-8s | ", what.c_str(), durability);
  std::printf(format, a, b, c);
  std::printf("\n");
  std::fflush(stdout);
}
double memory_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1e3;
}

using Floats = std::array<float, dim>;

class Source {
 public:
  Source(uint64_t seed, bool fleet) : rng_(seed), fleet_(fleet), centres_(2000) {
    for (Floats& centre : centres_)
      for (float& v : centre) v = flat() * 0.6f;
  }
  Floats next() {
    Floats out;
    if (!fleet_ || rng_() % 50 == 0) {
      for (float& v : out) v = flat();
      return out;
    }
    const Floats& centre = centres_[rng_() % centres_.size()];
    for (size_t i = 0; i < dim; ++i) out[i] = std::clamp(centre[i] + 0.08f * (flat() + flat() + flat()), -1.0f, 1.0f);
    return out;
  }

 private:
  float flat() { return static_cast<float>(static_cast<double>(rng_() >> 11) * 0x1p-52 - 1.0); }
  std::mt19937_64 rng_;
  bool fleet_;
  std::vector<Floats> centres_;
};

std::vector<int8_t> bytes_of(const Floats& values) {
  std::vector<int8_t> out(dim);
  for (size_t i = 0; i < dim; ++i) out[i] = static_cast<int8_t>(std::lround(values[i] * 127));
  return out;
}

std::set<uint64_t> brute_force(const std::vector<Floats>& all, const Floats& query) {
  std::vector<std::pair<float, uint64_t>> found;
  for (size_t n = 0; n < all.size(); ++n) {
    float sum = 0;
    for (size_t i = 0; i < dim; ++i) sum += (all[n][i] - query[i]) * (all[n][i] - query[i]);
    found.emplace_back(sum, n);
  }
  std::partial_sort(found.begin(), found.begin() + k, found.end());
  std::set<uint64_t> ids;
  for (size_t i = 0; i < k; ++i) ids.insert(found[i].second);
  return ids;
}

void index_rows(const char* kind, bool fleet, uint64_t count, uint32_t rounds) {
  Source source(1, fleet);
  std::vector<Floats> all;
  NoveltyIndex index(dim);
  auto began = Clock::now();
  double adding = 0;
  for (uint64_t n = 0; n < count; ++n) {
    all.push_back(source.next());
    const auto bytes = bytes_of(all.back());
    began = Clock::now();
    index.add(index.probe(bytes), bytes, {{n, n}, 0, UINT32_MAX});
    adding += seconds_since(began);
  }
  const auto n = static_cast<double>(count);
  const std::string where = std::string(kind) + ", " + std::to_string(count) + " vectors of 64: ";
  row(where + "add", "-", "%.0f vectors/s, %.0f cells", n / adding, static_cast<double>(index.cells()));
  row(where + "memory of the index", "-", "%.0f MB, %.0f B a vector", static_cast<double>(index.memory_bytes()) / 1e6,
      static_cast<double>(index.memory_bytes()) / n);
  std::vector<double> ms;
  uint64_t hits = 0, same = 0, asked = 0;
  const uint64_t examined = index.examined();
  for (uint32_t i = 0; i < rounds; ++i) {
    const Floats query = source.next();
    const auto bytes = bytes_of(query);
    began = Clock::now();
    const auto found = index.nearest(index.probe(bytes), {UINT64_MAX, 0}, k);
    ms.push_back(seconds_since(began) * 1e3);
    if (i >= 10) continue;  // a look at every vector is slow
    const auto truth = brute_force(all, query);
    std::vector<Floats> rounded;
    const auto as_floats = [](const std::vector<int8_t>& from) {
      Floats out;
      for (size_t d = 0; d < dim; ++d) out[d] = from[d];
      return out;
    };
    for (const Floats& one : all) rounded.push_back(as_floats(bytes_of(one)));
    const auto exact = brute_force(rounded, as_floats(bytes));
    for (const auto& neighbour : found) same += exact.count(neighbour.id.hash);
    for (const auto& neighbour : found) hits += truth.count(neighbour.id.hash);
    asked += k;
  }
  std::sort(ms.begin(), ms.end());
  const double looked = static_cast<double>(index.examined() - examined) / rounds / n * 100;
  row(where + "query of 5 nearest", "-", "p50 %.3f ms, p99 %.3f ms, %.1f %% of vectors looked at", ms[ms.size() / 2],
      ms[ms.size() * 99 / 100], looked);
  row(where + "recall against brute force over the bytes", "-", "%.4f",
      static_cast<double>(same) / static_cast<double>(asked));
  row(where + "same 5 as brute force over floats, before rounding to bytes", "-", "%.4f",
      static_cast<double>(hits) / static_cast<double>(asked));
  ByteVectors flat(dim);
  for (const Floats& one : all) flat.push(bytes_of(one));
  std::vector<uint32_t> distances;
  began = Clock::now();
  for (int i = 0; i < 10; ++i) flat.distances(ByteVectors::Query(bytes_of(all[0])), distances);
  row(where + "raw limit: a look at every byte vector", "-", "%.3f ms", seconds_since(began) * 100);
}

Datapack make_pack(uint64_t number, std::mt19937_64& rng) {
  const auto unit = [&] { return static_cast<double>(rng() >> 11) * 0x1p-53; };
  Datapack p;
  p.pack_id = std::string("dp-").append(std::to_string(number));
  p.task_name = "drawer_vase";
  p.env_type = "drawer";
  p.provenance.robot = "robot-1";
  p.provenance.episode_id = p.pack_id;
  p.provenance.start_unix_ns = static_cast<int64_t>(number) * 1'000'000'000;
  p.provenance.end_unix_ns = p.provenance.start_unix_ns + 1;
  p.condition.engine_type = "mujoco";
  p.condition.vase_offset_m = {0.05 * static_cast<double>(rng() % 4), 0.02 * unit(), 0};
  p.condition.drawer_friction = static_cast<double>(rng() % 8);
  p.attribution.delta_J = unit() - 0.3;
  p.attribution.trust_score = 1;
  p.bucket = p.attribution.delta_J >= 0 ? Bucket::positive : Bucket::negative;
  if (p.bucket == Bucket::negative) p.counterfactual_plan_json = R"({"kind":"slow_down"})";
  p.energy.total_Wh = 0.5 + 0.2 * unit();
  p.energy.Wh_per_hour = 200 + 20 * unit();
  double at = 0;
  for (int64_t i = 0; i < 6; ++i) {
    const double length = 1 + unit() * 0.3;
    p.skill_trace.push_back({i, at, at + length, rng() % 20 == 0 ? "failure" : "success", {}});
    at += length;
  }
  return p;
}

template <class T>
T must(Result<T> result) {
  if (!result) std::fprintf(stderr, "novelty_bench: %s\n", result.error().message().c_str());
  DROVER_CHECK(result.has_value(), "the benchmark cannot go on");
  return std::move(*result);
}

void store_rows(const std::filesystem::path& dir, uint64_t count, bool late) {
  std::filesystem::remove_all(dir);
  storage::EnvOptions options;
  options.path = dir;
  options.databases = storage::DatapackStore::databases();
  for (auto& name : storage::ValuationStore::databases()) options.databases.push_back(name);
  options.map_initial_bytes = uint64_t{2} << 30;
  storage::Env env = must(storage::Env::open(options));
  const storage::DatapackStore packs(env);
  std::mt19937_64 rng(2);
  std::vector<Datapack> all;
  for (uint64_t n = 0; n < count; ++n) all.push_back(make_pack(n, rng));
  if (late) std::shuffle(all.begin(), all.end(), rng);
  NoveltyKeeper keeper(env, NoveltyConfig{});
  double valuing = 0;
  uint64_t revised = 0;
  for (size_t start = 0; start < all.size(); start += 1000) {
    const auto put = env.write([&](storage::WriteTxn& txn) -> Status {
      storage::DatapackBatch batch(packs, txn);
      for (size_t i = start; i < std::min(all.size(), start + 1000); ++i) DROVER_TRY(batch.put(all[i]));
      return batch.finish();
    });
    if (!put) std::fprintf(stderr, "novelty_bench: %s\n", put.error().message().c_str());
    DROVER_CHECK(put.has_value(), "the benchmark cannot go on");
    const auto began = Clock::now();
    for (bool more = true; more;) {
      const auto step = must(keeper.step(256));
      more = step.more;
      revised += step.revised;
    }
    valuing += seconds_since(began);
  }
  const std::string where = std::to_string(count) + (late ? " datapacks in any order" : " datapacks by time") +
                            std::string(" valued, 256 a transaction");
  row(where, "synced", "%.0f packs/s, %.0f rows revised, %.0f MB peak", static_cast<double>(count) / valuing,
      static_cast<double>(revised), memory_mb());
  std::filesystem::remove_all(dir);
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t vectors = 1'000'000, packs = 10'000;
  uint32_t rounds = 200;
  bool no_worst = false;
  std::filesystem::path dir = std::filesystem::temp_directory_path();
  CLI::App app("Benchmark of novelty");
  app.add_option("--vectors", vectors, "vectors in the index")->check(CLI::Range(100, 100'000'000));
  app.add_option("--packs", packs, "datapacks valued in a store; 0: none")->check(CLI::Range(0, 10'000'000));
  app.add_option("--rounds", rounds, "queries")->check(CLI::Range(1, 100'000));
  app.add_option("--dir", dir, "folder for the store DIR/drover-bench-novelty, made anew and removed");
  app.add_flag("--no-worst", no_worst, "leave the unstructured data out");
  CLI11_PARSE(app, argc, argv);
  index_rows("fleet", true, vectors, rounds);
  if (!no_worst) index_rows("unstructured", false, vectors, rounds);
  if (packs > 0) {
    store_rows(dir / "drover-bench-novelty", packs, false);
    store_rows(dir / "drover-bench-novelty", packs, true);
  }
  row("peak memory", "-", "%.0f MB", memory_mb());
  return 0;
}

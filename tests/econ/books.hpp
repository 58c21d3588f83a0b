// A coordinator's store with robots' streams, for tests of the books.
#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "actors/datapack/builder.hpp"
#include "actors/econ/central_econ.hpp"
#include "actors/econ/draw.hpp"

namespace drover::econ::test {

class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "drover_books_XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

template <class T>
T must(Result<T> result) {
  if (!result) FAIL(result.error().message());
  return std::move(*result);
}
inline void must(Status status) {
  if (!status) FAIL(status.error().message());
}

// What a robot or an operator sends, in the order of its stream.
struct Fact {
  std::string stream;
  RecordKind kind{};
  int64_t time_unix_ns = 0;
  Bytes payload;
};

class Centre {
 public:
  Centre() { open(); }
  void open() {
    store_.reset();
    sync::CentralStoreOptions options;
    options.path = dir_.path() + "/central";
    options.sync = storage::Sync::nosync;
    options.map_initial_bytes = 1u << 22;
    store_ = must(sync::CentralStore::open(options));
  }
  void append(std::span<const Fact> facts) {
    for (const Fact& f : facts) {
      uint64_t& seq = next_[f.stream];
      BlockBuilder builder(++seq);
      must(builder.add(f.kind, record_schema_current, f.time_unix_ns, f.payload));
      if (seq == 1) must(store_->open_stream({f.stream, 1}, 1));
      const storage::Incoming incoming[] = {{f.stream, 1, must(Block::parse(builder.finish())), 1}};
      const auto outcome = must(store_->append(incoming));
      REQUIRE_MESSAGE(outcome.front().status == storage::AppendStatus::ok, outcome.front().message);
    }
  }
  void apply() {
    for (const auto& stream : must(store_->streams()))
      while (must(store_->apply(stream, 1u << 20)).more) {
      }
  }
  std::unique_ptr<CentralEcon> econ(const ReconcileConfig& config, const std::string& folder = "econ") {
    CentralEconOptions options;
    options.folder = dir_.path() + "/central/" + folder;
    options.config = config;
    options.sync = storage::Sync::nosync;
    options.read_bytes = 4096;
    return must(CentralEcon::open(options));
  }
  sync::CentralStore& store() { return *store_; }
  std::shared_ptr<sync::CentralStore> shared() { return store_; }
  std::string path() const { return dir_.path() + "/central"; }

 private:
  TempDir dir_;
  std::shared_ptr<sync::CentralStore> store_;
  std::map<std::string, uint64_t> next_;
};

// Everything in some tables of the books, as text.
inline std::string tables(const CentralEcon& econ, std::vector<std::string> names = CentralEcon::databases()) {
  return must(econ.env().read([&](const storage::ReadTxn& txn) -> Result<std::string> {
    std::string out;
    for (const std::string& name : names)
      DROVER_TRY(txn.for_each(econ.env().db(name), {}, [&](ByteView key, ByteView value) -> Result<bool> {
        out.append(name).append(" ").append(to_hex(key)).append(" ").append(to_hex(value)).append("\n");
        return true;
      }));
    return out;
  }));
}

inline Fact fact_of(const Datapack& pack) {
  return {pack.provenance.robot, RecordKind::datapack, pack.provenance.end_unix_ns, encode(pack)};
}

inline Fact fact_of(const std::string& stream, const Outcome& outcome) {
  return {stream, RecordKind::outcome, outcome.time_unix_ns, encode(outcome)};
}

inline Fact fact_of(const Prediction& p) {
  return {std::string(econ_stream), RecordKind::enrichment, p.made_unix_ns,
          encode(Enrichment{p.pack_id, std::string(prediction_source), to_json(p), p.made_unix_ns})};
}

// Made-up deployments of one robot: easy conditions are fast, hard ones slow, occlusion costs time.
inline std::vector<Datapack> deployments(const std::string& robot, size_t count, uint64_t seed) {
  Draw draw(seed);
  std::vector<Datapack> all;
  econ::EconPreset preset;
  preset.name = "test";
  datapack::Baseline baseline;
  for (size_t i = 0; i < count; ++i) {
    datapack::EpisodeFacts f;
    f.robot = robot;
    f.episode_id = fmt::format("{}-{}", robot, i);
    f.task_name = f.env_type = "shelf";
    f.source_kind = "test";
    f.start_unix_ns = static_cast<int64_t>(i) * 100'000'000'000;
    const bool hard = draw.unit() < 0.5;
    f.occlusion_level = draw.unit();
    const double seconds = (hard ? 20 : 8) * (1 + 0.5 * f.occlusion_level) * draw.between(0.95, 1.05);
    f.end_unix_ns = f.start_unix_ns + std::llround(seconds * 1e9);
    f.units = 1;
    f.condition_tags = {{"set", hard ? "hard" : "easy"}};
    f.skills.push_back({0, "reach", 0, seconds, "success"});
    auto built = must(datapack::build_datapack(f, baseline, preset));
    baseline.state = built.next_state;
    all.push_back(std::move(built.pack));
  }
  return all;
}

}  // namespace drover::econ::test

// A coordinator's store with datapacks of robots, for the tests of what learns from it.
#pragma once

#include <fmt/format.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "actors/semantics/central_semantics.hpp"
#include "tests/semantics/support.hpp"
#include "tests/sync/temp_folder.hpp"

namespace drover::test {

template <class T>
T must(Result<T> result) {
  REQUIRE_MESSAGE(result.has_value(), (result ? "" : result.error().message()));
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

inline Datapack drawer_pack(const std::string& robot, uint64_t number) {
  Datapack pack;
  pack.pack_id = fmt::format("pack-{}-{}", robot, number);
  pack.task_name = "drawer_vase";
  pack.env_type = "test";
  pack.provenance = {robot, fmt::format("episode-{}-{}", robot, number), 1'000'000'000, 5'000'000'000, "test"};
  pack.attribution.trust_score = 1;
  const bool stuck = number % 4 == 0;
  const auto step = [&](const char* skill, double start, const char* outcome) {
    pack.skill_trace.push_back({0, start, start + 1, outcome, nlohmann::json{{"name", skill}}.dump()});
  };
  step("PLAN_SAFE_APPROACH", 0, "success");
  step("GRASP_HANDLE", 1, "success");
  step("OPEN_WITH_CLEARANCE", 2, stuck ? "failure" : "success");
  if (stuck) pack.semantic_tags = {"event:locked"};
  pack.episode_metrics_json =
      nlohmann::json{{"units", stuck ? 0 : 1}, {"errors", stuck ? 1 : 0}, {"mpl_units_per_h", stuck ? 0 : 900}}.dump();
  return pack;
}

struct Centre {
  TempFolder folder;
  std::shared_ptr<sync::CentralStore> store;
  std::map<std::string, uint64_t> next;
  uint64_t checkpoint_bytes = 16u << 20;

  Centre() {
    sync::CentralStoreOptions options;
    options.path = folder / "central";
    options.map_initial_bytes = 4u << 20;
    options.sync = storage::Sync::nosync;
    store = must(sync::CentralStore::open(options));
  }
  void send(const std::string& robot, uint64_t from, uint64_t count) {
    REQUIRE(store->open_stream({robot, 1}, 1));
    BlockBuilder block(next[robot] + 1);
    for (uint64_t i = from; i < from + count; ++i) {
      const Datapack pack = drawer_pack(robot, i);
      REQUIRE(block.add(RecordKind::datapack, record_schema_current, 7'000'000, encode(pack)));
      ++next[robot];
    }
    const storage::Incoming incoming[] = {{robot, 1, must(Block::parse(block.finish())), 1}};
    REQUIRE(must(store->append(incoming)).front().status == storage::AppendStatus::ok);
  }
  Result<std::unique_ptr<semantics::CentralSemantics>> try_open(bool read_only = false) {
    semantics::CentralSemanticsOptions options;
    options.folder = folder / "semantics";
    options.configs = config_path("");
    options.checkpoint_bytes_min = checkpoint_bytes;
    options.checkpoint_ratio = checkpoint_bytes < 100'000 ? 0 : options.checkpoint_ratio;
    options.read_only = read_only;
    return semantics::CentralSemantics::open(options);
  }
  std::unique_ptr<semantics::CentralSemantics> open() { return must(try_open()); }
  semantics::CentralProgress run(semantics::CentralSemantics& learner) {
    semantics::CentralProgress all;
    for (bool more = true; more;) {
      const semantics::CentralProgress step = must(learner.step(*store));
      all.datapacks += step.datapacks;
      all.records += step.records;
      more = step.more;
    }
    return all;
  }
  // What was appended, in order.
  std::vector<std::string> records() {
    std::vector<std::string> out;
    const auto blocks = must(store->inbox_env().read(
        [&](const storage::ReadTxn& txn) { return store->inbox().read_in(txn, "@semantics", 1, 1, 64u << 20); }));
    for (const Block& block : blocks)
      for (size_t i = 0; i < block.count(); ++i)
        out.push_back(must(decode_enrichment(block.record(i).payload)).tags_json);
    return out;
  }
};

}  // namespace drover::test

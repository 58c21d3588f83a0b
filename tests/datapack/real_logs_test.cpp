// Real robot logs all the way to packs: every episode gives one valid pack, the same one every time.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "actors/capture/source.hpp"
#include "actors/datapack/builder.hpp"
#include "actors/datapack/captured_facts.hpp"

using namespace drover;
using namespace drover::datapack;

namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

struct Packs {
  std::vector<Datapack> packs;
  BaselineState state;
};

// Every episode of one file, valued by the shipped preset over the default running baseline. The state goes through
// JSON after each episode, as it does in a store.
Packs packs_of(const std::string& path) {
  const auto mappings = capture::load_mappings(environment("DROVER_SOURCE_DIR") + "/configs/mappings");
  REQUIRE_MESSAGE(mappings, (mappings ? "" : mappings.error().message()));
  const auto preset = econ::load_econ_preset(environment("DROVER_SOURCE_DIR") + "/configs/econ/default.toml");
  REQUIRE(preset);
  const auto file = mcap::file_source(path);
  REQUIRE(file);
  capture::CaptureOptions options;
  options.robot = "robot-01";
  auto log = capture::open_log(std::filesystem::path(path).filename().string(), *file, *mappings, options);
  REQUIRE_MESSAGE(log, (log ? "" : log.error().message()));
  Packs out;
  for (;;) {
    const auto episode = (*log)->next();
    REQUIRE_MESSAGE(episode, (episode ? "" : episode.error().message()));
    if (!*episode) return out;
    const auto built = build_datapack(facts_of(**episode), {BaselineRule{}, out.state}, *preset);
    REQUIRE_MESSAGE(built, (*episode)->header.episode_id << ": " << (built ? "" : built.error().message()));
    out.packs.push_back(built->pack);
    out.state = baseline_state_from_json(to_json(built->next_state)).value();
  }
}

std::vector<std::string> logs_in(const std::string& folder) {
  std::vector<std::string> paths;
  const std::string root = environment("DROVER_SHARED_DATA");
  if (root.empty() || !std::filesystem::exists(root) || environment("DROVER_SOURCE_DIR").empty()) {
    MESSAGE("skipped: no shared data, or DROVER_SOURCE_DIR is not set");
    return paths;
  }
  for (const auto& entry : std::filesystem::directory_iterator(root + "/" + folder))
    if (entry.path().extension() == ".csv") paths.push_back(entry.path().string());
  return paths;
}

}  // namespace

TEST_CASE("datapack/real logs: every UR3 cycle becomes one valid pack, stops and lost grips are negative") {
  for (const std::string& path : logs_in("ur3_cobotops")) {
    const Packs run = packs_of(path);
    REQUIRE(run.packs.size() > 100);
    std::set<std::string> ids;
    size_t negative = 0;
    double errors = 0;
    for (const Datapack& p : run.packs) {
      CHECK(validate(p));
      ids.insert(p.pack_id);
      negative += p.bucket == Bucket::negative ? 1 : 0;
      const auto metrics = nlohmann::json::parse(p.episode_metrics_json);
      errors += metrics["errors"].get<double>();
      CHECK(metrics["energy"]["method"] == "current_nominal_voltage");
      CHECK(std::count(p.semantic_tags.begin(), p.semantic_tags.end(), "energy:estimated") == 1);
    }
    CHECK(ids.size() == run.packs.size());
    CHECK(negative > 0);
    CHECK(negative < run.packs.size());
    CHECK(errors >= 108);  // protective stop onsets alone
    MESSAGE(run.packs.size() << " packs, " << negative << " negative, " << errors << " errors");
  }
}

TEST_CASE("datapack/real logs: UR3e runs carry measured energy that their breakdowns sum to") {
  for (const std::string& path : logs_in("ur3e_power")) {
    const Packs run = packs_of(path);
    REQUIRE(!run.packs.empty());
    for (const Datapack& p : run.packs) CHECK(validate(p));
    if (!path.ends_with("/L0L1.csv")) continue;
    REQUIRE(run.packs.size() == 1);
    const Datapack& p = run.packs[0];
    CHECK(p.energy.total_Wh * 3600 == doctest::Approx(48.998).epsilon(1e-4));  // voltage * current, trapezoid rule
    double sum_Wh = 0;
    for (const auto& [joint, metrics] : p.energy.per_joint) sum_Wh += metrics.at("Wh");
    CHECK(sum_Wh == doctest::Approx(p.energy.total_Wh).epsilon(1e-9));
    CHECK(p.attribution.delta_J == 0);
  }
}

TEST_CASE("datapack/real logs: the same log gives the same bytes") {
  for (const std::string& path : logs_in("ur3_cobotops")) {
    const Packs a = packs_of(path);
    const Packs b = packs_of(path);
    REQUIRE(a.packs.size() == b.packs.size());
    for (size_t i = 0; i < a.packs.size(); ++i) CHECK(encode(a.packs[i]) == encode(b.packs[i]));
    CHECK(a.state == b.state);
  }
}

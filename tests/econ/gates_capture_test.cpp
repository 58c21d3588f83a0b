// A captured episode is weighed by the gates: where logs become datapacks, and in nothing but that.
#include <doctest/doctest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "actors/capture/value.hpp"

using namespace drover;
using nlohmann::json;

namespace {

std::shared_ptr<const gates::Gates> shipped() {
  const char* dir = std::getenv("DROVER_SOURCE_DIR");
  const auto gates = gates::Gates::load(std::string(dir == nullptr ? "." : dir) + "/configs/gates");
  REQUIRE_MESSAGE(gates, (gates ? "" : gates.error().message()));
  return *gates;
}

capture::CapturedEpisode episode(double units, double errors) {
  capture::CapturedEpisode e;
  e.header.episode_id = "ur3-abc-000001";
  e.header.robot = "robot-01";
  e.header.task_name = "ur3_pick_place";
  e.header.source_kind = "ur3";
  e.header.source_name = "log.csv";
  e.header.start_unix_ns = 1'700'000'000'000'000'000;
  e.header.end_unix_ns = e.header.start_unix_ns + 60'000'000'000;
  e.duration_s = 60;
  e.units = units;
  e.attempts = 2;
  e.errors = errors;
  e.steps = {{100, "MOVE", 0, 60, "success", 0}};
  return e;
}

capture::ValuedEpisode valued(const capture::CapturedEpisode& e, const gates::Gates* gates) {
  datapack::Baseline baseline;
  baseline.rule.method = datapack::BaselineMethod::fixed;
  baseline.rule.fixed = {60, 0.1, 1};
  const auto out = capture::value_episode(e, {}, baseline, {}, gates);
  REQUIRE_MESSAGE(out, (out ? "" : out.error().message()));
  return *out;
}

}  // namespace

TEST_CASE("gates/capture: real episodes weigh what the lattice says, better ones more, and the record says by whom") {
  const auto gates = shipped();
  const auto good = valued(episode(2, 0), gates.get()).pack;
  const auto poor = valued(episode(0, 2), gates.get()).pack;
  CHECK(good.attribution.trust_score == 1);
  CHECK(poor.attribution.trust_score == 1);
  CHECK(good.attribution.w_econ > poor.attribution.w_econ);
  CHECK(poor.attribution.w_econ > 0);
  CHECK(*good.attribution.econ_weight_final == good.attribution.w_econ);
  const json metrics = json::parse(good.episode_metrics_json);
  CHECK(metrics["gates"] == gates->id().substr(0, 16));
  CHECK(metrics["trust_source"] == "gate:real");
  CHECK(gates::difference(good, *gates).empty());
}

TEST_CASE("gates/capture: a log that was generated weighs nothing, with gates and without") {
  capture::CapturedEpisode made_up = episode(2, 0);
  made_up.source_type = SourceType::synthetic;
  const auto gates = shipped();
  const auto weighed = valued(made_up, gates.get());
  CHECK(weighed.pack.attribution.w_econ == 0);
  CHECK(*weighed.pack.attribution.mvd_score == 0);
  CHECK(weighed.episode.value_per_byte == 0);
  CHECK(json::parse(weighed.pack.episode_metrics_json)["trust_source"] == "gate:no_net");
  const auto ungated = valued(made_up, nullptr);
  CHECK(*ungated.pack.attribution.econ_weight_final == 0);
  CHECK_FALSE(json::parse(ungated.pack.episode_metrics_json).contains("gates"));
}

TEST_CASE("gates/capture: equal episodes give equal bytes") {
  const auto gates = shipped();
  CHECK(encode(valued(episode(1, 1), gates.get()).pack) == encode(valued(episode(1, 1), gates.get()).pack));
}

// One case per invariant: a value that breaks exactly one is refused, and the error names the field.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "messages/datapack.hpp"
#include "messages/episode.hpp"
#include "tests/support/random_values.hpp"

using namespace drover;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinite = std::numeric_limits<double>::infinity();

Datapack good_pack() {
  Datapack p;
  p.pack_id = "dp-1";
  p.task_name = "drawer_vase";
  p.skill_trace = {{0, 0, 1, "success", {}}, {1, 1, 2, "success", {}}};
  p.energy.total_Wh = 2;
  p.energy.per_joint = {{"joint_0", {{"Wh", 0.5}}}, {"joint_1", {{"Wh", 1.5}}}};
  return p;
}

template <class Change>
std::string refusal(Change&& change) {
  Datapack p = good_pack();
  change(p);
  const Status status = validate(p);
  if (status) return "accepted";
  CHECK(!status.error().what.empty());
  return status.error().where;
}

Episode good_episode() {
  Episode e;
  e.episode_id = "e1";
  e.robot = "robot-01";
  e.task_name = "pick";
  e.events = {{0, "protective_stop", "error", "", 0}};
  e.streams = {{"joint_0.current", "A", 3, 0, 0, 1, 0.5}};
  e.blobs = {{"slice.csv", "text/csv", 5, {}, {{{}, 2}, {{}, 3}}}};
  return e;
}

template <class Change>
std::string episode_refusal(Change&& change) {
  Episode e = good_episode();
  change(e);
  const Status status = validate(e);
  return status ? "accepted" : status.error().where;
}

}  // namespace

TEST_CASE("messages/validate: a good pack passes, and so does every generated one") {
  CHECK(refusal([](Datapack&) {}) == "accepted");
  test::Rng rng(91);
  for (int i = 0; i < 2000; ++i) {
    const Status valid = validate(test::random_datapack(rng, true));
    CHECK_MESSAGE(valid, (valid ? "" : valid.error().message()));
    CHECK(!validate(test::random_datapack(rng, false)));
    CHECK(validate(test::random_episode(rng, true)));
    CHECK(!validate(test::random_episode(rng, false)));
  }
}

TEST_CASE("messages/validate: schema_version must be known") {
  CHECK(refusal([](Datapack& p) { p.schema_version = "1.0"; }) == "schema_version");
  CHECK(refusal([](Datapack& p) { p.schema_version = "2.1-portable"; }) == "accepted");
  Datapack newer = good_pack();
  newer.schema_version = "3.0";
  CHECK(validate(newer).error().code == Errc::unsupported_version);
}

TEST_CASE("messages/validate: ids are there, bounded and printable") {
  CHECK(refusal([](Datapack& p) { p.pack_id.clear(); }) == "pack_id");
  CHECK(refusal([](Datapack& p) { p.pack_id = std::string(257, 'x'); }) == "pack_id");
  CHECK(refusal([](Datapack& p) { p.pack_id = std::string(256, 'x'); }) == "accepted");
  CHECK(refusal([](Datapack& p) { p.pack_id = "a\nb"; }) == "pack_id");
  CHECK(refusal([](Datapack& p) { p.task_name.clear(); }) == "task_name");
}

TEST_CASE("messages/validate: the bucket agrees with the sign of delta_J") {
  CHECK(refusal([](Datapack& p) { p.bucket = Bucket::negative; }) == "bucket");
  CHECK(refusal([](Datapack& p) { p.attribution.delta_J = -0.1; }) == "bucket");
  CHECK(refusal([](Datapack& p) { p.attribution.delta_J = -0.0; }) == "accepted");
}

TEST_CASE("messages/validate: a negative pack carries a counterfactual plan") {
  const auto negative = [](Datapack& p) {
    p.attribution.delta_J = -0.1;
    p.bucket = Bucket::negative;
  };
  CHECK(refusal(negative) == "counterfactual_plan");
  CHECK(refusal([&](Datapack& p) {
          negative(p);
          p.counterfactual_plan_json = "{}";
        }) == "accepted");
}

TEST_CASE("messages/validate: the skill trace is there, finite and time-ordered") {
  CHECK(refusal([](Datapack& p) { p.skill_trace.clear(); }) == "skill_trace");
  CHECK(refusal([](Datapack& p) { p.skill_trace[1].end_s = 0.5; }) == "skill_trace[1]");
  CHECK(refusal([](Datapack& p) { p.skill_trace[1].start_s = -1; }) == "skill_trace[1]");
  CHECK(refusal([](Datapack& p) { p.skill_trace[0].start_s = not_a_number; }) == "skill_trace[0]");
  CHECK(refusal([](Datapack& p) { p.skill_trace[0].end_s = infinite; }) == "skill_trace[0]");
  CHECK(refusal([](Datapack& p) { p.skill_trace.resize(100'001); }) == "skill_trace");
}

TEST_CASE("messages/validate: trust is in [0, 1]") {
  CHECK(refusal([](Datapack& p) { p.attribution.trust_score = 1.0000001; }) == "attribution.trust_score");
  CHECK(refusal([](Datapack& p) { p.attribution.trust_score = -0.1; }) == "attribution.trust_score");
  CHECK(refusal([](Datapack& p) { p.attribution.trust_score = not_a_number; }) == "attribution.trust_score");
  CHECK(refusal([](Datapack& p) { p.attribution.trust_score = 1; }) == "accepted");
}

TEST_CASE("messages/validate: every number of the attribution is finite") {
  CHECK(refusal([](Datapack& p) { p.attribution.delta_mpl = not_a_number; }) == "attribution.delta_mpl");
  CHECK(refusal([](Datapack& p) { p.attribution.delta_error = infinite; }) == "attribution.delta_error");
  CHECK(refusal([](Datapack& p) { p.attribution.delta_ep = infinite; }) == "attribution.delta_ep");
  CHECK(refusal([](Datapack& p) { p.attribution.delta_J = not_a_number; }) == "attribution.delta_J");
  CHECK(refusal([](Datapack& p) { p.attribution.w_econ = not_a_number; }) == "attribution.w_econ");
  CHECK(refusal([](Datapack& p) { p.attribution.lambda_budget = infinite; }) == "attribution.lambda_budget");
  CHECK(refusal([](Datapack& p) { p.attribution.mvd_score = infinite; }) == "attribution.mvd_score");
  CHECK(refusal([](Datapack& p) { p.attribution.econ_weight_final = infinite; }) == "attribution.econ_weight_final");
  CHECK(refusal([](Datapack& p) {
          p.attribution.wm_trust_over_horizon = {{0.5, infinite}};
        }) == "attribution.wm_trust_over_horizon");
  CHECK(refusal([](Datapack& p) { p.attribution.skill_contribs[3]["x"] = infinite; }) ==
        "attribution.skill_contribs.3.x");
  CHECK(refusal([](Datapack& p) { p.attribution.wm_role = "boss"; }) == "attribution.wm_role");
}

TEST_CASE("messages/validate: every number of the condition is finite, its lists have their sizes") {
  CHECK(refusal([](Datapack& p) { p.condition.engine_type = "abacus"; }) == "condition.engine_type");
  CHECK(refusal([](Datapack& p) { p.condition.vase_offset_m = {1, 2}; }) == "condition.vase_offset");
  CHECK(refusal([](Datapack& p) { p.condition.vase_offset_m[1] = infinite; }) == "condition.vase_offset");
  CHECK(refusal([](Datapack& p) { p.condition.objective_vector = {1}; }) == "condition.objective_vector");
  CHECK(refusal([](Datapack& p) { p.condition.objective_vector[3] = infinite; }) == "condition.objective_vector");
  CHECK(refusal([](Datapack& p) { p.condition.drawer_friction = infinite; }) == "condition.drawer_friction");
  CHECK(refusal([](Datapack& p) { p.condition.occlusion_level = infinite; }) == "condition.occlusion_level");
  CHECK(refusal([](Datapack& p) { p.condition.price_per_unit = infinite; }) == "condition.price_per_unit");
  CHECK(refusal([](Datapack& p) { p.condition.vase_break_cost = infinite; }) == "condition.vase_break_cost");
  CHECK(refusal([](Datapack& p) { p.condition.energy_price_kWh = infinite; }) == "condition.energy_price_kWh");
}

TEST_CASE("messages/validate: energy is finite, not negative, and its breakdowns sum to the total") {
  CHECK(refusal([](Datapack& p) { p.energy.total_Wh = not_a_number; }) == "energy.total_Wh");
  CHECK(refusal([](Datapack& p) { p.energy.total_Wh = -1; }) == "energy.total_Wh");
  CHECK(refusal([](Datapack& p) { p.energy.Wh_per_unit = infinite; }) == "energy.Wh_per_unit");
  CHECK(refusal([](Datapack& p) { p.energy.Wh_per_hour = infinite; }) == "energy.Wh_per_hour");
  CHECK(refusal([](Datapack& p) { p.energy.per_joint["joint_0"]["Wh"] += 1e-5; }) == "energy.energy_per_joint");
  CHECK(refusal([](Datapack& p) { p.energy.per_joint["joint_0"]["Wh"] += 1e-7; }) == "accepted");
  CHECK(refusal([](Datapack& p) { p.energy.per_joint["joint_0"].erase("Wh"); }) == "energy.energy_per_joint.joint_0");
  CHECK(refusal([](Datapack& p) { p.energy.per_limb["arm"]["Wh"] = 3; }) == "energy.energy_per_limb");
  CHECK(refusal([](Datapack& p) { p.energy.per_skill["MOVE"]["Wh"] = 3; }) == "energy.energy_per_skill");
  CHECK(refusal([](Datapack& p) { p.energy.per_effector["grip"]["Wh"] = 3; }) == "energy.energy_per_effector");
  CHECK(refusal([](Datapack& p) { p.energy.coordination_metrics["x"] = infinite; }) == "energy.coordination_metrics.x");
  CHECK(refusal([](Datapack& p) { p.energy.limb_energy_Wh["x"] = infinite; }) == "energy.limb_energy_Wh.x");
  CHECK(refusal([](Datapack& p) { p.energy.skill_energy_Wh["x"] = infinite; }) == "energy.skill_energy_Wh.x");
}

TEST_CASE("messages/validate: lists are bounded and time does not run backwards") {
  CHECK(refusal([](Datapack& p) { p.semantic_tags.resize(100'001); }) == "semantic_tags");
  CHECK(refusal([](Datapack& p) { p.energy_driver_tags.resize(100'001); }) == "energy_driver_tags");
  CHECK(refusal([](Datapack& p) { p.provenance.start_unix_ns = 1; }) == "provenance.end_unix_ns");
}

TEST_CASE("messages/validate: episodes, one invariant each") {
  CHECK(episode_refusal([](Episode&) {}) == "accepted");
  CHECK(episode_refusal([](Episode& e) { e.episode_id.clear(); }) == "episode_id");
  CHECK(episode_refusal([](Episode& e) { e.episode_id = std::string(257, 'x'); }) == "episode_id");
  CHECK(episode_refusal([](Episode& e) { e.robot.clear(); }) == "robot");
  CHECK(episode_refusal([](Episode& e) { e.task_name.clear(); }) == "task_name");
  CHECK(episode_refusal([](Episode& e) { e.start_unix_ns = 1; }) == "end_unix_ns");
  CHECK(episode_refusal([](Episode& e) { e.value_per_byte = infinite; }) == "value_per_byte");
  CHECK(episode_refusal([](Episode& e) { e.events[0].kind.clear(); }) == "events.kind");
  CHECK(episode_refusal([](Episode& e) { e.events[0].duration_s = infinite; }) == "events.duration_s");
  CHECK(episode_refusal([](Episode& e) { e.streams[0].mean = not_a_number; }) == "streams.joint_0.current");
  CHECK(episode_refusal([](Episode& e) { e.blobs[0].size_bytes = 6; }) == "blobs[0].size_bytes");
}

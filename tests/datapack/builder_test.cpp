// The builder: every figure of a pack by hand on small episodes, its laws on random ones, its refusals by name.
#include "actors/datapack/builder.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "actors/datapack/counterfactual.hpp"
#include "actors/datapack/energy.hpp"
#include "actors/datapack/skills.hpp"
#include "tests/support/random_values.hpp"

using namespace drover;
using namespace drover::datapack;
using nlohmann::json;

namespace {

constexpr int64_t second = 1'000'000'000;

econ::EconPreset preset() {
  econ::EconPreset p;
  p.name = "test";
  p.price_per_unit_usd = 5;
  p.damage_cost_usd = 50;
  p.human_wage_usd_per_h = 20;
  return p;
}

Baseline fixed(econ::Reference reference) {
  Baseline b;
  b.rule.method = BaselineMethod::fixed;
  b.rule.fixed = reference;
  return b;
}

// 60 s, one unit (MPL 60), no errors, 3.6 kJ = 1 Wh, joint_1 takes 70 %.
EpisodeFacts one_minute() {
  EpisodeFacts f;
  f.episode_id = "ur3-abc-000001";
  f.robot = "robot-01";
  f.task_name = "pick_place";
  f.env_type = "ur3";
  f.world_id = "cell-4";
  f.source_kind = "ur3_cobotops";
  f.source = "ur3_cobotops/log.csv";
  f.start_unix_ns = 1'700'000'000 * second;
  f.end_unix_ns = f.start_unix_ns + 60 * second;
  f.units = 1;
  f.energy.method = "torque_velocity";
  f.energy.total_J = 3600;
  f.energy.joint_J = {{"joint_0", 1080}, {"joint_1", 2520}};
  f.energy.skill_J = {{"MOVE", 3000}, {"DWELL", 600}};
  f.skills = {{100, "MOVE", 0, 40, "success"}, {101, "DWELL", 40, 60, "success"}};
  return f;
}

void add_stop(EpisodeFacts& f) {
  f.errors = 1;
  f.events.push_back({f.start_unix_ns + 30 * second, "protective_stop", "error", "row 31", 2.0});
}

bool has(const std::vector<std::string>& tags, std::string_view tag) {
  return std::find(tags.begin(), tags.end(), tag) != tags.end();
}

std::string refusal(const EpisodeFacts& f, const Baseline& b = {}) {
  const auto built = build_datapack(f, b, preset());
  return built ? "accepted" : built.error().where;
}

}  // namespace

TEST_CASE("datapack/builder: the figures of a good episode, by hand") {
  const auto built = build_datapack(one_minute(), fixed({50.0, 0.1, 0.8}), preset());
  REQUIRE_MESSAGE(built, (built ? "" : built.error().message()));
  const Datapack& p = built->pack;
  // dMPL = (60-50)/50 = 0.2, dError = -0.1, dEP = (1-0.8)/0.8 = 0.25, J = 0.2 + 0.1 + 0.25.
  CHECK(p.attribution.delta_mpl == doctest::Approx(0.2).epsilon(1e-12));
  CHECK(p.attribution.delta_error == doctest::Approx(-0.1).epsilon(1e-12));
  CHECK(p.attribution.delta_ep == doctest::Approx(0.25).epsilon(1e-12));
  CHECK(p.attribution.delta_J == doctest::Approx(0.55).epsilon(1e-12));
  CHECK(p.bucket == Bucket::positive);
  CHECK(p.counterfactual_plan_json.empty());
  CHECK(p.attribution.trust_score == 1);
  CHECK(p.attribution.w_econ == 1);
  CHECK(*p.attribution.mvd_score == doctest::Approx(0.55).epsilon(1e-12));
  CHECK(*p.attribution.econ_weight_final == 1);
  CHECK(p.energy.total_Wh == 1);
  CHECK(p.energy.Wh_per_unit == 1);
  CHECK(p.energy.Wh_per_hour == doctest::Approx(60).epsilon(1e-12));
  CHECK(p.energy.per_joint.at("joint_1").at("Wh") == doctest::Approx(0.7).epsilon(1e-12));
  CHECK(p.energy.per_limb.empty());
  CHECK(p.energy_driver_tags ==
        std::vector<std::string>{"energy_driver:MOVE", "energy_driver:joint_0", "energy_driver:joint_1"});
  CHECK(p.attribution.skill_contribs.at(100).at("duration_s") == 40);
  CHECK(p.attribution.skill_contribs.at(101).at("Wh") == doctest::Approx(600 / 3600.0).epsilon(1e-12));
  CHECK(p.provenance == Provenance{"robot-01", "ur3-abc-000001", 1'700'000'000 * second, 1'700'000'060 * second,
                                   "ur3_cobotops/log.csv"});
  CHECK(p.condition.econ_preset == "test");
  CHECK(p.skill_trace.at(0).extra_json == R"({"name":"MOVE"})");
  CHECK(!has(p.semantic_tags, "energy:not_measured"));
}

TEST_CASE("datapack/builder: episode_metrics hold MPL, error rate, EP, wage, parity and profit") {
  EpisodeFacts f = one_minute();
  f.attempts = 4;
  f.errors = 1;
  const auto built = build_datapack(f, fixed({50.0, 0.1, 0.8}), preset());
  REQUIRE(built);
  const json m = json::parse(built->pack.episode_metrics_json);
  CHECK(m["mpl_units_per_h"] == doctest::Approx(60));
  CHECK(m["error_rate"] == 0.25);
  CHECK(m["ep_units_per_Wh"] == doctest::Approx(1));
  CHECK(m["wage_usd_per_h"] == doctest::Approx(5 * 60 - 50 * 0.25 * 60));
  CHECK(m["wage_parity"] == doctest::Approx(-450.0 / 20));
  CHECK(m["energy_cost_usd_per_h"] == doctest::Approx(0.06 * 0.12));
  CHECK(m["profit_usd_per_h"] == doctest::Approx(-450 - 0.0072));
  CHECK(m["energy"]["method"] == "torque_velocity");
  CHECK(m["baseline"]["method"] == "fixed");
  CHECK(m["w_econ_source"] == "preset");
}

TEST_CASE("datapack/builder: the first episode of a running baseline is its own baseline, dJ = 0") {
  const auto built = build_datapack(one_minute(), Baseline{}, preset());
  REQUIRE(built);
  CHECK(built->pack.attribution.delta_J == 0);
  CHECK(built->pack.bucket == Bucket::positive);
  CHECK(json::parse(built->pack.episode_metrics_json)["baseline"]["self"] == json({"mpl", "error", "ep"}));
  CHECK(built->next_state.mpl_units_per_h.value == doctest::Approx(60));
  CHECK(built->next_state.ep_units_per_Wh.value == doctest::Approx(1));
  EpisodeFacts slower = one_minute();
  slower.end_unix_ns += 60 * second;
  const auto second_pack = build_datapack(slower, {{}, built->next_state}, preset());
  REQUIRE(second_pack);
  CHECK(second_pack->pack.attribution.delta_mpl == doctest::Approx(-0.5));
  CHECK(second_pack->pack.bucket == Bucket::negative);
}

TEST_CASE("datapack/builder: a first episode without units is not divided by, and the next one sets the baseline") {
  EpisodeFacts f = one_minute();
  f.units = 0;
  const auto built = build_datapack(f, Baseline{}, preset());
  REQUIRE_MESSAGE(built, (built ? "" : built.error().message()));
  CHECK(built->pack.attribution.delta_J == 0);
  CHECK(built->next_state.mpl_units_per_h.count == 0);
  CHECK(built->pack.energy.Wh_per_unit == 0);
}

TEST_CASE("datapack/builder: zero hours give zero MPL, not a division") {
  EpisodeFacts f = one_minute();
  f.end_unix_ns = f.start_unix_ns;
  const auto built = build_datapack(f, fixed({50.0, 0.1, 0.8}), preset());
  REQUIRE(built);
  CHECK(built->pack.attribution.delta_mpl == -1);
  CHECK(built->pack.energy.Wh_per_hour == 0);
  f.active_s = 30;
  CHECK(build_datapack(f, fixed({50.0, 0.1, 0.8}), preset())->pack.attribution.delta_mpl == doctest::Approx(1.4));
}

TEST_CASE("datapack/builder: energy that was not measured is absent and says so") {
  EpisodeFacts f = one_minute();
  f.energy = {};
  const auto built = build_datapack(f, fixed({50.0, 0.1, std::nullopt}), preset());
  REQUIRE(built);
  const Datapack& p = built->pack;
  CHECK(p.energy == Energy{});
  CHECK(p.attribution.delta_ep == 0);
  CHECK(has(p.semantic_tags, "energy:not_measured"));
  CHECK(p.energy_driver_tags.empty());
  const json m = json::parse(p.episode_metrics_json);
  CHECK(m["energy"]["method"] == "none");
  CHECK(m["energy"]["delta_ep_note"] == "energy was not measured: delta_ep is 0");
  CHECK(!m.contains("ep_units_per_Wh"));
}

TEST_CASE("datapack/builder: estimated energy is labelled, a long reach is tagged, unattributed is never a driver") {
  EpisodeFacts f = one_minute();
  f.energy.method = energy_estimated;
  f.energy.joint_J = {{"joint_0", 100}, {"unattributed", 3500}};
  f.energy.skill_J.clear();
  f.energy.coordination = {{"reach_share_max", 0.9}};
  const auto built = build_datapack(f, Baseline{}, preset());
  REQUIRE(built);
  CHECK(has(built->pack.semantic_tags, "energy:estimated"));
  CHECK(built->pack.energy_driver_tags == std::vector<std::string>{"energy_driver:long_reach"});
}

TEST_CASE("datapack/builder: a stop makes a negative pack with a plan that names when and what") {
  EpisodeFacts f = one_minute();
  add_stop(f);
  const auto built = build_datapack(f, fixed({60.0, 0.0, 1.0}), preset());
  REQUIRE(built);
  const Datapack& p = built->pack;
  CHECK(p.attribution.delta_J == doctest::Approx(-1));
  CHECK(p.bucket == Bucket::negative);
  CHECK(p.counterfactual_source == "rule:v1");
  CHECK(has(p.semantic_tags, "event:protective_stop"));
  CHECK(has(p.semantic_tags, "error_event"));
  const json plan = json::parse(p.counterfactual_plan_json);
  CHECK(plan["kind"] == "avoid_errors");
  CHECK(plan["causes"] == json({"error"}));
  REQUIRE(plan["steps"].size() == 1);
  CHECK(plan["steps"][0]["action"] == "reduce_speed_before_stop");
  CHECK(plan["steps"][0]["at_s"] == 30);
  CHECK(plan["steps"][0]["skill"] == "MOVE");
  CHECK(plan["expected_effect"]["delta_J"] == doctest::Approx(1));
}

TEST_CASE("datapack/builder: each cause gives its own kind of plan") {
  const Baseline base = fixed({60.0, 0.0, 1.0});
  const auto plan_of = [&](const EpisodeFacts& f) {
    const auto built = build_datapack(f, base, preset());
    REQUIRE(built);
    REQUIRE(built->pack.bucket == Bucket::negative);
    return json::parse(built->pack.counterfactual_plan_json);
  };
  EpisodeFacts broken = one_minute();
  broken.safety_violated = true;
  CHECK(plan_of(broken)["kind"] == "keep_clearance");
  CHECK(plan_of(broken)["expected_effect"]["delta_J"] == doctest::Approx(5));

  EpisodeFacts slow = one_minute();
  slow.end_unix_ns += 60 * second;
  slow.skills.push_back({102, "STOPPED", 60, 120, "unknown"});
  CHECK(plan_of(slow)["kind"] == "work_at_baseline_pace");
  CHECK(plan_of(slow)["steps"][0]["action"] == "shorten_idle_time");
  CHECK(plan_of(slow)["steps"][0]["skill"] == "STOPPED");

  EpisodeFacts thirsty = one_minute();
  thirsty.energy.total_J = 7200;
  thirsty.energy.joint_J = {{"joint_0", 1200}, {"joint_1", 6000}};
  thirsty.energy.skill_J.clear();
  CHECK(plan_of(thirsty)["kind"] == "use_baseline_energy");
  CHECK(plan_of(thirsty)["steps"][0]["part"] == "joint_1");
}

TEST_CASE("datapack/builder: a plan stays bounded however many events there were") {
  EpisodeFacts f = one_minute();
  f.errors = 500;
  for (int i = 0; i < 500; ++i) f.events.push_back({f.start_unix_ns, "grip_lost", "error", "", 0});
  const auto built = build_datapack(f, fixed({60.0, 0.0, 1.0}), preset());
  REQUIRE(built);
  const json plan = json::parse(built->pack.counterfactual_plan_json);
  CHECK(plan["steps"].size() == 64);
  CHECK(plan["events_not_listed"] == 436);
}

TEST_CASE("datapack/builder: expected effect undoes exactly the losses of the plan's causes") {
  test::Rng rng(41);
  for (int i = 0; i < 500; ++i) {
    const econ::Deltas d{test::number(rng, -1, 1), test::number(rng, -1, 1), test::number(rng, -1, 1),
                         test::chance(rng, 3) ? -10.0 : 0.0, 0};
    const econ::Objective w{1, 1, 1, 0.5};
    const json plan = json::parse(counterfactual_plan(one_minute(), Energy{}, d, w));
    const double lost = std::max(0.0, -d.delta_mpl) + std::max(0.0, d.delta_error) + std::max(0.0, -d.delta_ep) +
                        std::max(0.0, -0.5 * d.safety_bonus);
    CHECK(plan["expected_effect"]["delta_J"].get<double>() == doctest::Approx(lost));
    CHECK(plan["steps"].size() >= 1);
  }
}

TEST_CASE("datapack/builder: nothing synthetic is trusted unless a gate says so") {
  EpisodeFacts f = one_minute();
  f.source_type = SourceType::synthetic;
  CHECK(build_datapack(f, Baseline{}, preset())->pack.attribution.trust_score == 0);
  CHECK(*build_datapack(f, Baseline{}, preset())->pack.attribution.econ_weight_final == 0);
  f.source_type = SourceType::real;
  f.engine_type = "mujoco";
  CHECK(build_datapack(f, Baseline{}, preset())->pack.attribution.trust_score == 0);
  BuildOptions gate;
  gate.trust_score = 0.95;
  gate.w_econ = 0.5;
  const auto built = build_datapack(f, Baseline{}, preset(), gate);
  REQUIRE(built);
  CHECK(*built->pack.attribution.econ_weight_final == doctest::Approx(0.475));
  CHECK(json::parse(built->pack.episode_metrics_json)["w_econ_source"] == "lattice");
}

TEST_CASE("datapack/builder: equal input gives equal bytes, and the id depends on robot and episode only") {
  EpisodeFacts f = one_minute();
  add_stop(f);
  const auto a = build_datapack(f, Baseline{}, preset());
  const auto b = build_datapack(f, Baseline{}, preset());
  REQUIRE(a);
  CHECK(encode(a->pack) == encode(b->pack));
  f.units = 7;
  CHECK(build_datapack(f, Baseline{}, preset())->pack.pack_id == a->pack.pack_id);
  CHECK(pack_id("robot-01", "e1") == "dp-418630bedef0bd2112f641cedfce82cd");
  CHECK(pack_id("robot-02", "e1") != pack_id("robot-01", "e1"));
  CHECK(pack_id("a", "bc") != pack_id("ab", "c"));
}

TEST_CASE("datapack/builder: facts that cannot be are refused by field") {
  const auto changed = [](auto change) {
    EpisodeFacts f = one_minute();
    change(f);
    return f;
  };
  CHECK(refusal(one_minute()) == "accepted");
  CHECK(refusal(changed([](auto& f) { f.episode_id.clear(); })) == "episode_id");
  CHECK(refusal(changed([](auto& f) { f.robot.clear(); })) == "robot");
  CHECK(refusal(changed([](auto& f) { f.task_name.clear(); })) == "task_name");
  CHECK(refusal(changed([](auto& f) { f.end_unix_ns = f.start_unix_ns - 1; })) == "end_unix_ns");
  CHECK(refusal(changed([](auto& f) { f.units = -1; })) == "units");
  CHECK(refusal(changed([](auto& f) { f.attempts = std::nan(""); })) == "attempts");
  CHECK(refusal(changed([](auto& f) { f.errors = INFINITY; })) == "errors");
  CHECK(refusal(changed([](auto& f) { f.active_s = -1; })) == "active_s");
  CHECK(refusal(changed([](auto& f) { f.agent_profile_json = "[1]"; })) == "agent_profile");
  CHECK(refusal(changed([](auto& f) { f.energy.total_J = -1; })) == "energy.total_J");
  CHECK(refusal(changed([](auto& f) { f.energy.supply_J = std::nan(""); })) == "energy.supply_J");
  CHECK(refusal(changed([](auto& f) { f.energy.joint_J["joint_0"] = 1084; })) == "energy.joint_J");
  CHECK(refusal(changed([](auto& f) { f.energy.joint_J["joint_9"] = -1; })) == "energy.joint_J.joint_9");
  CHECK(refusal(changed([](auto& f) { f.skills.clear(); })) == "skill_trace");
  CHECK(refusal(changed([](auto& f) { std::swap(f.skills[0], f.skills[1]); })) == "skill_trace[1]");
  CHECK(refusal(changed([](auto& f) { f.engine_type = "abacus"; })) == "condition.engine_type");
  CHECK(refusal(one_minute(), fixed({0.0, 0.1, 1.0})) == "baseline.mpl_units_per_h");
  CHECK(refusal(one_minute(), fixed({std::nullopt, 0.1, 1.0})) == "baseline.mpl_units_per_h");
  CHECK(refusal(one_minute(), fixed({50.0, 0.1, std::nullopt})) == "baseline.ep_units_per_Wh");
}

TEST_CASE("datapack/builder: text that is not UTF-8 never breaks a pack") {
  EpisodeFacts f = one_minute();
  add_stop(f);
  f.events[0].kind = "stop\xff\xfe";
  f.skills[0].name = "\xc3";
  f.condition_tags = {{"k\x80", "\xf0\x9f"}};
  f.notes = {"\xed\xa0\x80"};
  const auto built = build_datapack(f, fixed({60.0, 0.0, 1.0}), preset());
  REQUIRE(built);
  CHECK(!json::parse(built->pack.episode_metrics_json, nullptr, false).is_discarded());
  CHECK(!json::parse(built->pack.counterfactual_plan_json, nullptr, false).is_discarded());
  CHECK(!json::parse(built->pack.condition.tags_json, nullptr, false).is_discarded());
}

TEST_CASE("datapack/builder: random episodes over a running baseline all give valid packs that agree with themselves") {
  test::Rng rng(42);
  Baseline baseline;
  int negative = 0;
  for (int i = 0; i < 1500; ++i) {
    EpisodeFacts f = one_minute();
    f.episode_id = test::labelled("e", static_cast<uint64_t>(i));
    f.end_unix_ns = f.start_unix_ns + static_cast<int64_t>(test::below(rng, 600)) * second;
    f.units = static_cast<double>(test::below(rng, 4));
    f.attempts = static_cast<double>(test::below(rng, 5));
    f.errors = static_cast<double>(test::below(rng, 3));
    f.safety_violated = test::chance(rng, 20);
    if (test::chance(rng, 3)) f.energy = {};
    const auto built = build_datapack(f, baseline, preset());
    REQUIRE_MESSAGE(built, (built ? "" : built.error().message()));
    const Attribution& a = built->pack.attribution;
    CHECK(validate(built->pack));
    CHECK((built->pack.bucket == Bucket::negative) == !built->pack.counterfactual_plan_json.empty());
    CHECK(*a.mvd_score == a.trust_score * a.w_econ * std::abs(a.delta_J));
    CHECK(decode_datapack(encode(built->pack)).value() == built->pack);
    negative += built->pack.bucket == Bucket::negative ? 1 : 0;
    baseline.state = built->next_state;
  }
  CHECK(negative > 100);
  CHECK(negative < 1400);
}

TEST_CASE("datapack/value per byte: falls with size, zero without value, never infinite") {
  Datapack p;
  CHECK(value_per_byte(p, 100) == 0);
  p.attribution.mvd_score = 2;
  CHECK(value_per_byte(p, 100) == 0.02);
  CHECK(value_per_byte(p, 200) < value_per_byte(p, 100));
  CHECK(value_per_byte(p, 0) == 2);
  p.attribution.mvd_score = -1;
  CHECK(value_per_byte(p, 100) == 0);
  p.attribution.mvd_score = std::numeric_limits<double>::infinity();
  CHECK(value_per_byte(p, 100) == 0);
}

TEST_CASE("datapack/skills: the ids of the drawer_vase graph and of logs are fixed") {
  constexpr std::array<std::string_view, 6> names{"LOCATE_DRAWER", "LOCATE_VASE",         "PLAN_SAFE_APPROACH",
                                                  "GRASP_HANDLE",  "OPEN_WITH_CLEARANCE", "RETRACT_SAFE"};
  for (size_t i = 0; i < names.size(); ++i) CHECK(skill_name(static_cast<int64_t>(i)) == names[i]);
  CHECK(skill_name(100) == "MOVE");
  CHECK(skill_name(101) == "DWELL");
  CHECK(skill_name(102) == "STOPPED");
  CHECK(skill_name(103) == "RECORDING");
  CHECK(skill_name(6).empty());
  CHECK(skill_name(104).empty());
}

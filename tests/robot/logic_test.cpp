// actors/robot without an engine: energy, conditions, inverse kinematics, the skill graph.
#include <doctest/doctest.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "actors/robot/arm.hpp"
#include "actors/robot/condition.hpp"
#include "actors/robot/energy.hpp"
#include "actors/robot/episode.hpp"
#include "actors/robot/skill_graph.hpp"
#include "actors/robot/world_config.hpp"
#include "actors/runtime/rng.hpp"

using namespace drover;
using namespace drover::robot;

namespace {

template <class Key>
Joules sum(const std::map<Key, Joules>& parts) {
  Joules total;
  for (const auto& [name, joules] : parts) total += joules;
  return total;
}

}  // namespace

TEST_CASE("robot/energy: work and copper loss of known motion, and every breakdown sums to the total") {
  EnergyMeter meter({{"a", "upper", "arm", 0.5}, {"b", "upper", "arm", 0.0}, {"g", "hand", "gripper", 2.0}});
  meter.on_skill(3);
  // 2 Nm at 3 rad/s for 1 s, backwards counts as much, and a force that does not move heats only.
  for (int i = 0; i < 1000; ++i) {
    const std::array<JointInterval, 3> at = {{{2, 3, 2, 3}, {-1, 4, -1, 4}, {5, 0, 5, 0}}};
    if (i == 500) meter.on_skill(4);
    meter.add(at, 0.001);
  }
  CHECK(meter.total().mechanical == doctest::Approx(10).epsilon(1e-9));
  CHECK(meter.total().copper == doctest::Approx(0.5 * 4 + 2 * 25).epsilon(1e-9));
  CHECK(meter.per_joint().at("b").mechanical == doctest::Approx(4).epsilon(1e-9));
  CHECK(meter.per_effector().at("gripper").copper == doctest::Approx(50).epsilon(1e-9));
  CHECK(meter.per_skill().at(3).mechanical == doctest::Approx(5).epsilon(1e-9));
  CHECK(meter.peak_W() == doctest::Approx(10));
  for (const Joules& parts :
       {sum(meter.per_joint()), sum(meter.per_limb()), sum(meter.per_effector()), sum(meter.per_skill())}) {
    CHECK(parts.mechanical == doctest::Approx(meter.total().mechanical).epsilon(1e-12));
    CHECK(parts.copper == doctest::Approx(meter.total().copper).epsilon(1e-12));
  }
}

TEST_CASE("robot/energy: a real arm's logged moments and velocities give its joint work") {
  const char* data = std::getenv("DROVER_SHARED_DATA");
  std::ifstream file(std::string(data == nullptr ? "" : data) + "/ur3e_power/L0L1.csv");
  if (!file) {
    MESSAGE("skipped: no real logs here");
    return;
  }
  const auto fields = [](const std::string& line) {
    std::vector<std::string> out;
    std::stringstream stream(line);
    for (std::string field; std::getline(stream, field, ',');) out.push_back(field);
    return out;
  };
  std::string line;
  std::getline(file, line);
  std::map<std::string, size_t> columns;
  for (const std::string& name : fields(line)) columns.emplace(name, columns.size());
  std::vector<EnergyJoint> joints;
  for (int i = 0; i < 6; ++i) joints.push_back({"j" + std::to_string(i), "arm", "arm", 0});
  EnergyMeter meter(joints);
  std::array<JointInterval, 6> at{};
  double before_s = 0;
  for (bool first = true; std::getline(file, line); first = false) {
    const std::vector<std::string> row = fields(line);
    const auto value = [&](const std::string& name) { return std::stod(row[columns.at(name)]); };
    for (size_t i = 0; i < 6; ++i) {
      at[i] = {at[i].torque_end, at[i].velocity_end, value("target_moment_" + std::to_string(i)),
               value("actual_qd_" + std::to_string(i))};
    }
    const double now_s = value("timestamp");
    if (!first) meter.add(at, now_s - before_s);
    before_s = now_s;
  }
  CHECK(meter.total().mechanical == doctest::Approx(1.87554).epsilon(1e-5));  // by the controller's clock
  CHECK(sum(meter.per_joint()).mechanical == doctest::Approx(meter.total().mechanical).epsilon(1e-12));
}

TEST_CASE("robot/condition: draws depend on seed and name only, and stay in range") {
  ConditionSet set = {{"x", UniformDraw{-2, 3}}, {"c", ChanceDraw{0.25}}, {"k", ChoiceDraw{{"a", "b", "c"}}}};
  int chances = 0;
  std::map<std::string, int> kinds;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    const Condition one = draw_condition(set, {"w", "s", seed});
    CHECK((one.number("x") >= -2 && one.number("x") < 3));
    chances += one.number("c") > 0;
    ++kinds[std::string(one.choice("k"))];
    ConditionSet more = set;
    more["another"] = UniformDraw{0, 1};
    const Condition same = draw_condition(more, {"w", "s", seed});
    CHECK(same.number("x") == one.number("x"));
    CHECK(same.choices == one.choices);
  }
  CHECK((chances > 60 && chances < 140));
  CHECK(kinds.size() == 3);
  CHECK(draw_condition(set, {"w", "s", 1}).number("x") != draw_condition(set, {"w", "s", 2}).number("x"));
}

TEST_CASE("robot/arm: inverse kinematics finds poses that forward kinematics made") {
  Arm arm;
  const Vec3 z = {0, 0, 1}, y = {0, 1, 0};
  const Vec3 axes[] = {z, y, y, z, y, z};
  const double lengths[] = {0.06, 0.14, 0.28, 0.24, 0.05, 0.06};
  for (size_t i = 0; i < arm_joint_count; ++i) arm.joints[i] = {{0, 0, lengths[i]}, identity3, axes[i], -2.9, 2.9};
  arm.tool.position_m = {0, 0, 0.085};
  runtime::Rng rng(7);
  for (int i = 0; i < 200; ++i) {
    CAPTURE(i);
    JointVector truth = {0, -0.3, 1.6, 0.4, 0.6, 0}, start = truth;
    for (size_t j = 0; j < arm_joint_count; ++j) {
      truth[j] += 0.5 * (rng.uniform() - 0.5);
      start[j] = truth[j] + 0.3 * (rng.uniform() - 0.5);
    }
    const IkResult found = solve_ik(arm, start, forward(arm, truth));
    CHECK(found.position_error_m < 1e-3);
    CHECK(found.rotation_error_rad < 1e-2);
    CHECK(norm(forward(arm, found.angles_rad).position_m - forward(arm, truth).position_m) < 1e-3);
  }
}

TEST_CASE("robot/skill_graph: a broken graph is refused with every problem") {
  const auto graph = SkillGraph::parse(R"(
start = "a"
[[node]]
name = "a"
skill = "GRASP_HANDLE"
manoeuvre = "grasp"
next = { success = "done", slip = "nowhere" }
[[node]]
name = "a"
skill = "JUGGLE"
manoeuvre = "x"
kind = "wish"
next = { success = "abort" }
)",
                                       "g.toml");
  REQUIRE_FALSE(graph);
  for (const char* part : {"nowhere", "twice", "no skill of this robot", "skill, retry or recovery"})
    CHECK_MESSAGE(graph.error().what.find(part) != std::string::npos, part);
}

TEST_CASE("robot/world_config: wrong values are refused by name") {
  const auto config = parse_world_config(
      "name = 'x'\ntask = 't'\nmodel = 'm'\ntimestep_s = 0.002\ncontrol_period_s = 0.003\n"
      "episode_s_max = 10\ngripper_open = 0.04\nhome_rad = [0, 0]\nwhat = 1\n"
      "[condition.nominal]\nf = [2, 1]\n",
      "w.toml");
  REQUIRE_FALSE(config);
  for (const char* part : {"whole number of time steps", "six angles", "seven tables", "what", "condition.nominal.f"})
    CHECK_MESSAGE(config.error().what.find(part) != std::string::npos, part);
}

TEST_CASE("robot/episode: the four templates") {
  const Outcome good{true, false, 0, 1}, bad{false, false, 0, 0.3};
  const auto span = [](NodeKind kind, const char* outcome) {
    SkillSpan out;
    out.kind = kind;
    out.outcome = outcome;
    return out;
  };
  const std::vector<SkillSpan> clean = {span(NodeKind::skill, "success")};
  const std::vector<SkillSpan> retried = {span(NodeKind::skill, "failure"), span(NodeKind::retry, "success")};
  const std::vector<SkillSpan> repaired = {span(NodeKind::skill, "failure"), span(NodeKind::recovery, "recovered")};
  CHECK(classify(good, clean) == Template::success);
  CHECK(classify(good, retried) == Template::mixed);
  CHECK(classify(good, repaired) == Template::recovered);
  CHECK(classify(bad, clean) == Template::failure);
  CHECK(classify(bad, repaired) == Template::failure);
}

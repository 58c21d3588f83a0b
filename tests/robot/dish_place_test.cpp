// dish_place in physics, and manoeuvres that are data.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>

#include "actors/datapack/energy.hpp"
#include "actors/robot/episode.hpp"
#include "actors/robot/facts.hpp"
#include "actors/robot/mujoco_world.hpp"
#include "actors/robot/playbook_manoeuvres.hpp"
#include "actors/robot/script.hpp"

using namespace drover;
using namespace drover::robot;

namespace {

std::string folder() {
  const char* source = std::getenv("DROVER_SOURCE_DIR");
  return std::string(source == nullptr ? "." : source) + "/configs/worlds/dish_place";
}

std::unique_ptr<World> make(double timestep_s = 0) {
  auto worlds = MujocoWorlds::load(folder(), {timestep_s});
  REQUIRE_MESSAGE(worlds, worlds.error().message());
  auto world = worlds->make();
  REQUIRE_MESSAGE(world, world.error().message());
  return std::move(*world);
}

SkillGraph graph() {
  auto read = SkillGraph::load(folder() + "/skills.toml");
  REQUIRE_MESSAGE(read, read.error().message());
  return *read;
}

EpisodeResult run(World& world, uint64_t seed, std::string_view set) {
  ScriptedSkills script(graph());
  auto episode = run_episode(world, script, {seed, set, {}});
  REQUIRE_MESSAGE(episode, episode.error().message());
  return *episode;
}

bool has_event(const EpisodeResult& episode, std::string_view kind) {
  for (const WorldEvent& event : episode.events)
    if (event.kind == kind) return true;
  return false;
}

double sum(const std::map<std::string, double>& parts) {
  double total = 0;
  for (const auto& [name, value] : parts) total += value;
  return total;
}

}  // namespace

TEST_CASE("robot/dish_place: every kind of dish is placed, and the same seed gives the same bits") {
  auto world = make();
  std::map<std::string, uint64_t> hashes;
  for (uint64_t seed = 1; hashes.size() < 3 && seed < 30; ++seed) {
    CAPTURE(seed);
    REQUIRE(world->reset(seed, "nominal"));
    const std::string kind(world->condition().choice("dish"));
    if (hashes.contains(kind)) continue;
    const EpisodeResult episode = run(*world, seed, "nominal");
    CHECK(episode.outcome.success);
    CHECK(episode.outcome.progress == 1);
    CHECK(has_event(episode, "dish_placed"));
    CHECK_FALSE(has_event(episode, "dish_broken"));
    hashes[kind] = episode.hash;
    auto fresh = make();
    CHECK(run(*fresh, seed, "nominal").hash == episode.hash);
  }
  CHECK(hashes.size() == 3);
  CHECK(std::set<uint64_t>{hashes["cup"], hashes["bowl"], hashes["plate"]}.size() == 3);
}

TEST_CASE("robot/dish_place: its skills are named in the facts, and the breakdowns sum to the work") {
  auto world = make();
  const EpisodeResult episode = run(*world, 3, "nominal");
  const datapack::EpisodeFacts facts = facts_of(episode, {"r1", 1'700'000'000'000'000'000});
  CHECK(facts.task_name == "dish_place");
  CHECK(facts.energy.total_J > 5);
  for (const auto* parts :
       {&facts.energy.joint_J, &facts.energy.skill_J, &facts.energy.limb_J, &facts.energy.effector_J})
    CHECK(std::abs(sum(*parts) - facts.energy.total_J) < 1e-6 * facts.energy.total_J);
  for (const char* skill : {"LOCATE_DISH", "LOCATE_SLOT", "APPROACH_DISH", "GRASP_DISH", "CARRY_DISH", "PLACE_DISH"})
    CHECK_MESSAGE(facts.energy.skill_J.contains(skill), skill);
  CHECK_FALSE(facts.energy.skill_J.contains("unattributed"));
  CHECK(facts.condition_tags.at("dish") == "cup");
  CHECK(facts.condition_tags.contains("friction"));
  CHECK(facts.condition_tags.contains("mass"));
  CHECK(datapack::energy_profile(facts.energy, {facts.units, episode.duration_s / 3600}).has_value());
}

TEST_CASE("robot/dish_place: half the time step changes an episode's energy by less than 2 %") {
  auto coarse = make(), fine = make(0.001);
  const Joules a = run(*coarse, 3, "nominal").energy.total(), b = run(*fine, 3, "nominal").energy.total();
  CHECK(std::abs(a.mechanical - b.mechanical) < 0.02 * a.mechanical);
  CHECK(std::abs(a.copper - b.copper) < 0.02 * a.copper);
}

TEST_CASE("robot/dish_place: on the hard set dishes are dropped, misplaced and broken, and what can be repaired is") {
  auto world = make();
  std::map<Template, int> kinds;
  std::set<std::string> outcomes;
  for (const uint64_t seed : {2, 3, 5, 6, 11, 50}) {
    CAPTURE(seed);
    const EpisodeResult episode = run(*world, seed, "hard");
    ++kinds[episode.kind];
    for (const SkillSpan& span : episode.skills)
      if (span.outcome == "failure") outcomes.insert(span.reason);
    CHECK(episode.outcome.broken == has_event(episode, "dish_broken"));
    CHECK((episode.outcome.errors > 0) == episode.outcome.broken);
    if (episode.outcome.broken) CHECK(episode.failure_reason == "dish_broken");
    for (size_t i = 1; i < episode.skills.size(); ++i) CHECK(episode.skills[i].start_s >= episode.skills[i - 1].end_s);
  }
  CHECK(kinds.size() == 4);
  for (const char* reason : {"drop", "slip", "misalignment", "unstable_place", "dish_broken", "not_seen"})
    CHECK_MESSAGE(outcomes.contains(reason), reason);
}

TEST_CASE("robot/dish_place: a dish let go close above the table is dropped and whole") {
  auto world = make();
  REQUIRE(world->reset(3, "nominal"));
  ScriptedSkills script(graph());
  script.begin(world->info(), world->observe());
  Action action;
  const auto carrying = [&] {
    return !script.trace().empty() && script.trace().back().skill == "GRASP_DISH" && world->observe().time_s > 4.8;
  };
  while (!carrying()) {
    const Decision decision = script.decide(world->observe());
    REQUIRE_FALSE(decision.finished);
    action = decision.action;
    REQUIRE(world->step(action));
  }
  CHECK_FALSE(world->outcome().success);
  action.gripper_target_m = world->info().gripper_open_m;
  for (int i = 0; i < 20; ++i) REQUIRE(world->step(action));
  bool dropped = false, knocked = false;
  for (const WorldEvent& event : world->events()) {
    dropped = dropped || event.kind == "dish_dropped";
    knocked = knocked || event.kind == "dish_knock";
  }
  CHECK(dropped);
  CHECK(knocked);
  CHECK_FALSE(world->outcome().broken);
}

TEST_CASE("robot/dish_place: a dish let go high up breaks, which is the episode's error") {
  auto world = make();
  REQUIRE(world->reset(3, "nominal"));
  ScriptedSkills script(graph());
  script.begin(world->info(), world->observe());
  Action action;
  while (script.trace().empty() || script.trace().back().skill != "GRASP_DISH") {
    action = script.decide(world->observe()).action;
    REQUIRE(world->step(action));
  }
  const JointVector from = action.joint_target_rad;
  for (int k = 1; k <= 60; ++k) {
    for (size_t i = 0; i < arm_joint_count; ++i)
      action.joint_target_rad[i] = from[i] + k / 60.0 * (world->info().home_rad[i] - from[i]);
    REQUIRE(world->step(action));
  }
  const auto is_dish = [](const SceneFrame& frame) { return frame.name == "dish" && frame.is_object; };
  const auto& scene = world->scene();
  const auto dish = std::find_if(scene.begin(), scene.end(), is_dish);
  REQUIRE(dish != scene.end());
  CHECK(dish->pose.position_m[2] > 0.55);
  CHECK_FALSE(world->outcome().broken);
  action.gripper_target_m = world->info().gripper_open_m;
  for (int i = 0; i < 20; ++i) REQUIRE(world->step(action));
  CHECK(world->outcome().broken);
  CHECK(world->outcome().errors == 1);
  CHECK(world->events().back().kind.starts_with("dish_"));
}

TEST_CASE("robot/playbook: what is wrong in a skills.toml is refused with every problem") {
  const auto read = SkillGraph::parse(R"(
start = "a"
[skills]
TOSS = 3
JUGGLE = 40
CATCH = 40
[hand]
looks = [0, 0, -1]
fingers = [0, 0, 1]
[kind.ball]
half_width_m = -1
reach_m = 0.1
weight = 3
[[node]]
name = "a"
skill = "JUGGLE"
manoeuvre = "lift"
next = { success = "done" }
[[manoeuvre]]
name = "up"
legs = [
  { at = "ball", seconds = 0 },
  { at = "ball", seconds = 1, gripper = "hug" },
  { at = "ball", seconds = 1, gripper = "squeeze" },
  { at = "ball", seconds = 1, from = "ball" },
  { at = "ball", seconds = 1, offset_m = [1, 2] },
  { at = "ball", seconds = 1, way = "sideways", plus = "more" },
]
stop_if = [{ when = "bored", limit = 1, says = "x" }, { when = "apart", of = "ball", limit = 1, says = "x" }]
[[manoeuvre]]
name = "up"
)",
                                      "s.toml");
  REQUIRE_FALSE(read);
  for (const char* part :
       {"skills.TOSS", "an id that is taken", "across each other", "half_width_m", "kind.ball.weight",
        "not in the file", "legs.seconds", "keep, open, shut", "squeeze_m", "go together", "three numbers",
        "tool or joints", "must be grip", "unseen, behind", "stop_if.from", "there twice", "at least one leg"})
    CHECK_MESSAGE(read.error().what.find(part) != std::string::npos, part);
}

TEST_CASE("robot/playbook: legs start from what was learned, checks say what is wrong") {
  Playbook book;
  book.looks = {0, 0, -1};
  book.kinds = {{"ball", {0, 0, 0.05}, 0.03, 0.04}};
  PlayLeg look, look_at_hole, push, grip;
  look.at = "here";
  look.learn = {"ball"};
  look_at_hole = look;
  look_at_hole.learn = {"hole"};
  look.gripper = push.gripper = "keep";
  push.at = push.from = "ball";
  push.to = "hole";
  push.reaches = -1;
  push.offset_m = {-0.01, 0, 0.02};
  grip.at = "ball";
  grip.grip = true;
  grip.gripper = "squeeze";
  grip.squeeze_m = 0.01;
  book.manoeuvres = {{"play", {look, push, grip}, {{When::empty, "", "", 0.002, "drop"}}, {}},
                     {"look_at_hole", {look_at_hole}, {}, {}},
                     {"check",
                      {look},
                      {},
                      {{When::unseen, "ball", "", 3, "not_seen"},
                       {When::tilted, "ball", "", 0.1, "tilted"},
                       {When::apart, "ball", "hole", 0.05, "apart"}}}};
  PlaybookManoeuvres hands(book);
  SkillNode node;
  node.manoeuvre = "play";
  Walk walk;
  walk.node = &node;
  walk.gripper_m = 0.04;
  Observation now;
  now.gripper_m = 0.03;
  now.sights = {{"ball", true, {0.3, 0.1, 0}, 0, 0, "ball"}, {"hole", true, {0.3, 0.5, 0}, 0, 0, ""}};
  hands.begin(walk.world);
  const auto see = [&](int looks) {
    for (int i = 0; i < looks; ++i) hands.perceive(walk, now);
  };
  REQUIRE(hands.plan(walk, now).size() == 1);
  see(2);
  hands.learn(walk);
  walk.stage = 2;
  CHECK(hands.guard(walk, now) == "place_unknown");  // two looks teach nothing
  walk.stage = 0;
  REQUIRE(hands.plan(walk, now).size() == 1);
  see(4);
  hands.learn(walk);
  walk.stage = 2;
  const Leg leg = hands.plan(walk, now)[0];
  CHECK(norm(leg.to_m - Vec3{0.3, 0.1, 0.05}) < 1e-9);
  CHECK(leg.gripper_m == doctest::Approx(0.02));
  CHECK_FALSE(hands.guard(walk, now));
  now.gripper_m = 0.001;
  CHECK(hands.guard(walk, now) == "drop");
  walk.stage = 1;  // behind the ball as seen from the hole: 0.01 m and the reach of a ball
  CHECK(hands.guard(walk, now) == "place_unknown");
  node.manoeuvre = "look_at_hole";
  walk.stage = 0;
  REQUIRE(hands.plan(walk, now).size() == 1);
  see(3);
  hands.learn(walk);
  node.manoeuvre = "play";
  walk.stage = 1;
  CHECK(norm(hands.plan(walk, now)[0].to_m - Vec3{0.3, 0.05, 0.02}) < 1e-9);
  walk.stage = 3;
  CHECK(hands.plan(walk, now).empty());
  CHECK(hands.finish(walk, now) == "success");
  node.manoeuvre = "check";
  walk.stage = 0;
  REQUIRE(hands.plan(walk, now).size() == 1);
  CHECK(hands.finish(walk, now) == "not_seen");
  see(3);
  CHECK(hands.finish(walk, now) == "apart");
  now.sights[0].tilt_rad = 0.2;
  see(1);
  CHECK(hands.finish(walk, now) == "tilted");
  node.manoeuvre = "sing";
  CHECK(hands.finish(walk, now) == "unknown_manoeuvre");
}

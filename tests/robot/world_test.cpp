// drawer_vase in physics: determinism, energy, outcomes, many worlds at once.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <limits>

#include "actors/datapack/energy.hpp"
#include "actors/robot/episode.hpp"
#include "actors/robot/facts.hpp"
#include "actors/robot/mujoco_world.hpp"
#include "actors/robot/script.hpp"
#include "actors/robot/vector_world.hpp"

using namespace drover;
using namespace drover::robot;

namespace {

std::string folder() {
  const char* source = std::getenv("DROVER_SOURCE_DIR");
  return std::string(source == nullptr ? "." : source) + "/configs/worlds/drawer_vase";
}

MujocoWorlds load(double timestep_s = 0) {
  auto worlds = MujocoWorlds::load(folder(), {timestep_s});
  REQUIRE_MESSAGE(worlds, worlds.error().message());
  return *worlds;
}

std::unique_ptr<World> make(const MujocoWorlds& worlds) {
  auto world = worlds.make();
  REQUIRE_MESSAGE(world, world.error().message());
  return std::move(*world);
}

EpisodeResult run(World& world, uint64_t seed, std::string_view set) {
  auto graph = SkillGraph::load(folder() + "/skills.toml");
  REQUIRE_MESSAGE(graph, graph.error().message());
  ScriptedSkills script(*graph);
  auto episode = run_episode(world, script, {seed, set, {}});
  REQUIRE_MESSAGE(episode, episode.error().message());
  return *episode;
}

double sum(const std::map<std::string, double>& parts) {
  double total = 0;
  for (const auto& [name, value] : parts) total += value;
  return total;
}

bool has_event(const EpisodeResult& episode, std::string_view kind) {
  for (const WorldEvent& event : episode.events)
    if (event.kind == kind) return true;
  return false;
}

}  // namespace

TEST_CASE("robot/world: the same seed gives the same episode to the bit, in a used and in a new world") {
  const MujocoWorlds worlds = load();
  auto world = make(worlds);
  const EpisodeResult first = run(*world, 3, "nominal");
  const EpisodeResult other = run(*world, 4, "nominal");
  auto fresh = make(worlds);
  CHECK(run(*fresh, 3, "nominal").hash == first.hash);
  CHECK(other.hash != first.hash);
  CHECK(first.kind == Template::success);
  CHECK(other.outcome.success);
  CHECK(has_event(first, "drawer_open"));
  CHECK(first.skills.size() == 6);
}

TEST_CASE("robot/world: an episode's facts are a datapack's: the breakdowns sum to the work") {
  auto world = make(load());
  const EpisodeResult episode = run(*world, 1, "nominal");
  const datapack::EpisodeFacts facts = facts_of(episode, {"r1", 1'700'000'000'000'000'000});
  CHECK(facts.energy.total_J > 5);
  for (const auto* parts :
       {&facts.energy.joint_J, &facts.energy.skill_J, &facts.energy.limb_J, &facts.energy.effector_J})
    CHECK(std::abs(sum(*parts) - facts.energy.total_J) < 1e-6 * facts.energy.total_J);
  CHECK(facts.energy.coordination.at("copper_loss_J") > 1);
  CHECK(datapack::energy_profile(facts.energy, {facts.units, episode.duration_s / 3600}).has_value());
  CHECK(facts.skills.size() == 6);
  CHECK(facts.engine_type == "mujoco");
  CHECK(facts.units == 1);
}

TEST_CASE("robot/world: half the time step changes an episode's energy by less than 2 %") {
  auto coarse = make(load()), fine = make(load(0.001));
  const Joules a = run(*coarse, 2, "nominal").energy.total(), b = run(*fine, 2, "nominal").energy.total();
  CHECK(std::abs(a.mechanical - b.mechanical) < 0.02 * a.mechanical);
  CHECK(std::abs(a.copper - b.copper) < 0.02 * a.copper);
}

TEST_CASE("robot/world: worlds on several threads do what one does alone") {
  const MujocoWorlds worlds = load();
  auto alone = make(worlds);
  std::vector<std::unique_ptr<World>> many;
  std::vector<ResetRequest> resets;
  std::vector<Action> actions;
  for (uint64_t i = 0; i < 5; ++i) {
    many.push_back(make(worlds));
    resets.push_back({i, i % 2 == 0 ? "nominal" : "hard"});
    Action action{alone->info().home_rad, 0.02, 0};
    action.joint_target_rad[0] += 0.1 * static_cast<double>(i);
    actions.push_back(action);
  }
  VectorWorld vector(std::move(many), 3);
  REQUIRE(vector.reset(resets));
  for (int k = 0; k < 10; ++k) REQUIRE(vector.step(actions));
  for (size_t i = 0; i < vector.size(); ++i) {
    REQUIRE(alone->reset(resets[i].seed, resets[i].condition_set));
    for (int k = 0; k < 10; ++k) REQUIRE(alone->step(actions[i]));
    CHECK(vector.world(i).state_hash() == alone->state_hash());
  }
  resets[3].condition_set = "nowhere";
  const Status refused = vector.reset(resets);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::not_found);
}

TEST_CASE("robot/world: on the hard set failures and recoveries happen, and a locked drawer stays shut") {
  auto world = make(load());
  std::map<Template, int> kinds;
  int locked = 0;
  for (const uint64_t seed : {14, 17, 22, 37, 42}) {
    CAPTURE(seed);
    const EpisodeResult episode = run(*world, seed, "hard");
    ++kinds[episode.kind];
    if (episode.condition.number("drawer_locked") > 0) {
      ++locked;
      CHECK(episode.kind == Template::failure);
      CHECK(episode.outcome.progress < 0.05);
      CHECK(has_event(episode, "locked_drawer"));
    }
    CHECK(has_event(episode, "recovered") <=
          (episode.kind == Template::recovered || episode.kind == Template::failure));
    CHECK(episode.outcome.broken == has_event(episode, "vase_broken"));
    for (size_t i = 1; i < episode.skills.size(); ++i) CHECK(episode.skills[i].start_s >= episode.skills[i - 1].end_s);
  }
  CHECK(kinds.size() == 4);
  CHECK(locked > 0);
}

TEST_CASE("robot/world: what is not a number is refused; a missing model is an error, not an exit") {
  auto world = make(load());
  REQUIRE(world->reset(1, "nominal"));
  Action action{world->info().home_rad, 0.04, 0};
  action.joint_target_rad[2] = std::numeric_limits<double>::quiet_NaN();
  const Status refused = world->step(action);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::invalid_argument);
  CHECK_FALSE(MujocoWorlds::load(folder() + "/nowhere"));
}

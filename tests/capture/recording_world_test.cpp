// An episode of physics, recorded and read back: the facts are those that the episode itself gives, bit for bit.
#include <doctest/doctest.h>

#include <filesystem>

#include "actors/datapack/captured_facts.hpp"
#include "actors/robot/facts.hpp"
#include "actors/robot/mujoco_world.hpp"
#include "actors/robot/recorded_episode.hpp"
#include "actors/robot/script.hpp"
#include "tests/capture/support.hpp"
#include "tests/sync/temp_folder.hpp"

namespace drover::capture::test {
namespace {

constexpr int64_t start_unix_ns = 1'750'000'000'123'456'789;

void check_same(const datapack::EpisodeFacts& a, const datapack::EpisodeFacts& b) {
  CHECK(a.robot == b.robot);
  CHECK(a.task_name == b.task_name);
  CHECK(a.env_type == b.env_type);
  CHECK(a.engine_type == b.engine_type);
  CHECK(a.world_id == b.world_id);
  CHECK(a.source_kind == b.source_kind);
  CHECK(a.source == b.source);
  CHECK(a.source_type == b.source_type);
  CHECK(a.start_unix_ns == b.start_unix_ns);
  CHECK(a.end_unix_ns == b.end_unix_ns);
  CHECK(a.active_s == b.active_s);
  CHECK(a.units == b.units);
  CHECK(a.attempts == b.attempts);
  CHECK(a.errors == b.errors);
  CHECK(a.safety_violated == b.safety_violated);
  CHECK(a.energy.method == b.energy.method);
  CHECK(a.energy.note == b.energy.note);
  CHECK(a.energy.total_J == b.energy.total_J);
  CHECK(a.energy.joint_J == b.energy.joint_J);
  CHECK(a.energy.skill_J == b.energy.skill_J);
  CHECK(a.energy.limb_J == b.energy.limb_J);
  CHECK(a.energy.effector_J == b.energy.effector_J);
  CHECK(a.energy.coordination == b.energy.coordination);
  CHECK(a.events == b.events);
  CHECK(a.vase_offset_m == b.vase_offset_m);
  CHECK(a.drawer_friction == b.drawer_friction);
  CHECK(a.lighting_profile == b.lighting_profile);
  CHECK(a.occlusion_level == b.occlusion_level);
  CHECK(a.condition_tags == b.condition_tags);
  REQUIRE(a.skills.size() == b.skills.size());
  for (size_t i = 0; i < a.skills.size(); ++i) {
    CHECK(a.skills[i].skill_id == b.skills[i].skill_id);
    CHECK(a.skills[i].name == b.skills[i].name);
    CHECK(a.skills[i].start_s == b.skills[i].start_s);
    CHECK(a.skills[i].end_s == b.skills[i].end_s);
    CHECK(a.skills[i].outcome == b.skills[i].outcome);
  }
}

void check_world(const std::string& world_name, std::string_view set, uint64_t seed) {
  CAPTURE(world_name);
  CAPTURE(seed);
  const std::string dir = source_dir() + "/configs/worlds/" + world_name;
  auto worlds = robot::MujocoWorlds::load(dir);
  REQUIRE_MESSAGE(worlds, (worlds ? "" : worlds.error().message()));
  auto world = worlds->make();
  REQUIRE(world);
  auto graph = robot::SkillGraph::load(dir + "/skills.toml");
  REQUIRE(graph);
  robot::ScriptedSkills script(*graph);
  const drover::test::TempFolder folder;
  robot::RecordingOptions options;
  options.folder = folder / "";
  options.robot = "robot-01";
  options.frames_hz = 0;
  robot::RecordedRequest request;
  request.name = "e";
  request.seed = seed;
  request.condition_set = set;
  request.start_unix_ns = start_unix_ns;
  auto episode = robot::RecordedEpisode::begin(**world, script, options, request);
  REQUIRE_MESSAGE(episode, (episode ? "" : episode.error().message()));
  for (;;) {
    const auto more = (*episode)->step();
    REQUIRE(more);
    if (!*more) break;
  }
  const auto result = (*episode)->finish();
  REQUIRE_MESSAGE(result, (result ? "" : result.error().message()));
  const Log log = read_log("e.mcap", read_file(folder / "e.mcap"));
  REQUIRE(log.episodes.size() == 1);
  CHECK(log.report.cells_unreadable == 0);
  CHECK(log.episodes[0].header.notes.empty());
  CHECK(log.episodes[0].origin->state_hash == result->hash);
  check_same(datapack::facts_of(log.episodes[0]), robot::facts_of(*result, {"robot-01", start_unix_ns}));
}

}  // namespace

TEST_CASE("capture/recording: physics recorded and read back gives the episode's own facts, bit for bit") {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    check_world("drawer_vase", "nominal", seed);
    check_world("drawer_vase", "hard", seed);
  }
  check_world("dish_place", "nominal", 1);
}

}  // namespace drover::capture::test

#include "smoke/bodies.hpp"

#include "actors/robot/mujoco_world.hpp"
#include "actors/robot/script.hpp"

namespace drover::smoke {
namespace {

constexpr double frames_hz = 5;  // enough to see what happened; a robot takes five times as many

Status run_plan(const BodyPlan& plan, std::vector<ExpectedRun>& runs) {
  DROVER_ASSIGN(const auto worlds, robot::MujocoWorlds::load(plan.world));
  DROVER_ASSIGN(const auto world, worlds.make());
  DROVER_ASSIGN(auto graph, robot::SkillGraph::load(plan.world + "/skills.toml"));
  robot::ScriptedSkills script(std::move(graph));
  for (uint64_t ordinal = 0; ordinal < plan.episodes; ++ordinal) {
    const uint64_t seed = plan.seed + ordinal;
    DROVER_ASSIGN(const auto result, robot::run_episode(*world, script, {seed, plan.set, {}}));
    runs.push_back({plan.robot, ordinal, seed, plan.set, result.hash, result.duration_s,
                    result.energy.total().mechanical, std::string(robot::template_name(result.kind)),
                    result.skills.size(), result.events.size()});
  }
  return {};
}

}  // namespace

std::vector<BodyPlan> plan_bodies(const std::string& configs, uint64_t seed, uint64_t episodes) {
  if (episodes == 0) return {};
  const std::string world = configs + "/worlds/drawer_vase";
  const uint64_t first = 1 + (seed % 1'000'000) * 1'000;  // runs of different seeds share no episode
  // The second offset is such that the default run shows all four templates.
  return {{0, world, "nominal", first, episodes}, {1, world, "hard", first + 502, episodes}};
}

std::string recordings_of(const std::string& work, const std::string& robot) {
  return work + "/recordings-" + robot;
}

nodes::BodyConfig body_config(const BodyPlan& plan, const std::string& work, const std::string& robot) {
  nodes::BodyConfig body;
  body.dir = plan.world;
  body.set = plan.set;
  body.seed = plan.seed;
  body.episodes = plan.episodes;
  body.recordings_dir = recordings_of(work, robot);
  body.frames_hz = frames_hz;
  return body;
}

Result<std::vector<ExpectedRun>> run_plainly(const std::vector<BodyPlan>& plans) {
  std::vector<ExpectedRun> runs;
  for (const BodyPlan& plan : plans) DROVER_TRY(run_plan(plan, runs));
  return runs;
}

}  // namespace drover::smoke

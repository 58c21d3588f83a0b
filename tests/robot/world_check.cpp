// drover-world-check: runs scripted episodes over many seeds and prints what came of them; measures stepping.
//
//   drover-world-check FOLDER [--seeds 200] [--first 1] [--set nominal,hard] [--verbose] [--bench]
//   drover-world-check FOLDER --render DIR [--size 640x480] [--camera front] [--every 2] [--seeds 1] [--set hard]
#include <mujoco/mujoco.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <map>
#include <thread>

#include "actors/robot/episode.hpp"
#include "actors/robot/mujoco_world.hpp"
#include "actors/robot/script.hpp"
#include "actors/robot/vector_world.hpp"
#include "tests/robot/png.hpp"

using namespace drover;
using namespace drover::robot;

namespace {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Of this thread: the machine may be shared, the ratio of two loops must not notice.
double cpu_s() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double process_cpu_s() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

void print_episode(const EpisodeResult& e) {
  std::printf("seed %llu %s: %s %s, %.2f s, progress %.2f, %.2f J work, %.2f J copper, hash %016llx;",
              static_cast<unsigned long long>(e.condition.seed), e.condition.set.c_str(),
              std::string(template_name(e.kind)).c_str(), e.failure_reason.c_str(), e.duration_s, e.outcome.progress,
              e.energy.total().mechanical, e.energy.total().copper, static_cast<unsigned long long>(e.hash));
  for (const auto& [name, text] : e.condition.choices) std::printf(" %s %s", name.c_str(), text.c_str());
  std::printf("\n");
  for (const SkillSpan& s : e.skills)
    std::printf("    %6.2f-%6.2f %-20s %-18s %s %s\n", s.start_s, s.end_s, s.skill.c_str(), s.manoeuvre.c_str(),
                s.outcome.c_str(), s.reason.c_str());
  for (const WorldEvent& v : e.events) std::printf("      %6.2f %s %s\n", v.time_s, v.kind.c_str(), v.detail.c_str());
}

struct Table {
  std::map<std::string, int> kinds, reasons, events;
  int runs = 0;
  double robot_s = 0, work_J = 0;
  void add(const EpisodeResult& e) {
    ++runs;
    ++kinds[std::string(template_name(e.kind))];
    if (e.kind == Template::failure) ++reasons[e.failure_reason];
    std::map<std::string, int> once;
    for (const WorldEvent& v : e.events) once[v.kind] = 1;
    for (const auto& [kind, one] : once) events[kind] += one;
    robot_s += e.duration_s;
    work_J += e.energy.total().mechanical;
  }
  void print(const char* set, double wall_s) const {
    std::printf("%s: %d episodes, mean %.1f s and %.1f J work, wall %.1f s\n", set, runs, robot_s / runs, work_J / runs,
                wall_s);
    const auto list = [this](const char* title, const std::map<std::string, int>& counts) {
      std::printf("  %s:", title);
      for (const auto& [name, count] : counts)
        std::printf(" %s %d (%.1f %%)", name.c_str(), count, 100.0 * count / runs);
      std::printf("\n");
    };
    list("templates", kinds);
    list("failures", reasons);
    list("episodes with", events);
  }
};

}  // namespace

namespace {
// Bare mj_step and the world on the same model, the arm holding still, one thread; then all cores.
int bench(const MujocoWorlds& worlds) {
  char error[200] = "";
  mjModel* m = mj_loadXML(worlds.config().model_path.c_str(), nullptr, error, sizeof error);
  mjData* d = mj_makeData(m);
  auto made = worlds.make();
  if (m == nullptr || !made || !(*made)->reset(1, "nominal")) return 1;
  World& world = **made;
  const Action hold{world.info().home_rad, world.info().gripper_open_m, 0};
  const int control_steps = 300;
  const int substeps = static_cast<int>(world.info().control_period_s / world.info().timestep_s + 0.5);
  m->opt.timestep = world.info().timestep_s;
  for (int g = 0; g < m->ngeom; ++g) {  // one handle, as in an episode
    const std::string name = mj_id2name(m, mjOBJ_GEOM, g) == nullptr ? "" : mj_id2name(m, mjOBJ_GEOM, g);
    if (name.starts_with("handle_") && !name.starts_with("handle_bar_vertical"))
      m->geom_contype[g] = m->geom_conaffinity[g] = 0;
  }
  std::vector<int> arm_dofs;
  for (size_t i = 0; i < arm_joint_count; ++i)
    arm_dofs.push_back(m->jnt_dofadr[mj_name2id(m, mjOBJ_JOINT, worlds.config().joints[i].energy.name.c_str())]);
  double best_raw = 0, best_world = 0;
  for (int round = 0; round < 5; ++round) {  // interleaved, best of five
    mj_resetData(m, d);
    for (size_t i = 0; i < 7; ++i) {
      const int joint = mj_name2id(m, mjOBJ_JOINT, worlds.config().joints[i].energy.name.c_str());
      d->ctrl[i] = d->qpos[m->jnt_qposadr[joint]] = i < 6 ? hold.joint_target_rad[i] : hold.gripper_target_m;
    }
    double start = cpu_s();
    for (int i = 0; i < control_steps * substeps; ++i) {  // the arm is carried as the world carries it: the same motion
      for (const int dof : arm_dofs) d->qfrc_applied[dof] = d->qfrc_bias[dof];
      mj_step(m, d);
    }
    best_raw = std::max(best_raw, control_steps * substeps / (cpu_s() - start));
    if (!world.reset(1, "nominal")) return 1;
    start = cpu_s();
    for (int i = 0; i < control_steps; ++i)
      if (!world.step(hold)) return 1;
    best_world = std::max(best_world, control_steps * substeps / (cpu_s() - start));
  }
  std::printf("bare mj_step loop %.0f steps/s, world %.0f steps/s: %.1f %%\n", best_raw, best_world,
              100 * best_world / best_raw);
  std::vector<std::unique_ptr<World>> many;
  for (int i = 0; i < 16; ++i) many.push_back(std::move(*worlds.make()));
  VectorWorld vector(std::move(many));
  std::vector<ResetRequest> seeds;
  for (uint64_t i = 0; i < 16; ++i) seeds.push_back({i + 1, "nominal"});
  if (!vector.reset(seeds)) return 1;
  const std::vector<Action> actions(16, hold);
  const double start = now_s(), start_cpu = process_cpu_s();
  for (int i = 0; i < 50; ++i)
    if (!vector.step(actions)) return 1;
  const double steps = 16 * 50 * substeps;
  const double rate = steps / (now_s() - start), rate_cpu = steps / (process_cpu_s() - start_cpu);
  std::printf("vectorised, %zu threads, 16 worlds: %.0f steps/s by the wall; %.0f per CPU second, %.1f %% of bare\n",
              vector.threads(), rate, rate_cpu, 100 * rate_cpu / best_raw);
  mj_deleteData(d);
  mj_deleteModel(m);
  return 0;
}
}  // namespace

namespace {
// Pictures of an episode as it runs, one file a picture.
struct Camera {
  std::string folder, size = "640x480", name;
  double every_s = 2;
  bool fast = false;  // as recorders ask for them

  Result<ViewRequest> view() const {
    ViewRequest view{name, 0, 0, !fast};
    if (std::sscanf(size.c_str(), "%ux%u", &view.width, &view.height) != 2)
      return fail(Errc::invalid_argument, "--size", "give it as 640x480");
    return view;
  }
  Status shoot(World& world, const std::string& label) const {
    Image image;
    DROVER_ASSIGN(const ViewRequest request, view());
    DROVER_TRY(world.render(request, image));
    char path[512];
    std::snprintf(path, sizeof path, "%s/%s-%05.1f.png", folder.c_str(), label.c_str(), world.observe().time_s);
    if (!write_png(path, image)) return fail(Errc::io, path, "cannot be written");
    std::printf("%s:", path);
    for (const SceneFrame& frame : world.scene())
      if (frame.is_object) std::printf(" %s %.0f %%", std::string(frame.name).c_str(), 100 * (1 - frame.occluded));
    std::printf(" seen\n");
    return {};
  }
};

int pictures(World& world, const SkillGraph& graph, const Camera& camera, const EpisodeRequest& which) {
  double next_s = 0;
  Status status;
  EpisodeRequest request = which;
  const std::string label = std::string(which.condition_set) + "-" + std::to_string(which.seed);
  request.observer = [&](const Action&, const World& now) {
    if (!status || now.observe().time_s < next_s) return;
    next_s = now.observe().time_s + camera.every_s;
    status = camera.shoot(world, label);
  };
  ScriptedSkills script(graph);
  auto episode = run_episode(world, script, request);
  if (status && episode) status = camera.shoot(world, label + "-end");
  if (episode) print_episode(*episode);
  if (!status) std::fprintf(stderr, "%s\n", status.error().message().c_str());
  return status && episode ? 0 : 1;
}
}  // namespace

namespace {
// Frames a second by view, beside the CPU time each costs.
int bench_pictures(const MujocoWorlds& worlds) {
  for (const ViewRequest view : {ViewRequest{"", 128, 128, false}, ViewRequest{"", 128, 128, true},
                                 ViewRequest{"", 224, 224, false}, ViewRequest{"", 640, 480, true}}) {
    for (const size_t threads : {1, 2}) {
      std::vector<std::unique_ptr<World>> many;
      for (size_t i = 0; i < threads; ++i) many.push_back(std::move(*worlds.make()));
      std::vector<Image> images(threads);
      for (size_t i = 0; i < threads; ++i)
        if (!many[i]->reset(i + 1, "nominal") || !many[i]->render(view, images[i])) return 1;
      const int count = view.width > 200 ? 60 : 300;
      const double start = now_s(), start_cpu = process_cpu_s();
      std::vector<std::thread> crew;
      for (size_t i = 0; i < threads; ++i)
        crew.emplace_back([&, i] {
          for (int k = 0; k < count; ++k)
            if (!many[i]->render(view, images[i])) std::abort();
        });
      for (std::thread& one : crew) one.join();
      const double frames = count * static_cast<double>(threads);
      std::printf("%ux%u%s, %zu world%s: %.0f frames/s, %.2f ms of CPU each\n", view.width, view.height,
                  view.fine ? " with shadows" : "", threads, threads == 1 ? "" : "s at once",
                  frames / (now_s() - start), 1e3 * (process_cpu_s() - start_cpu) / frames);
    }
  }
  auto world = worlds.make();
  if (!world || !(*world)->reset(1, "hard")) return 1;
  const Action hold{(*world)->info().home_rad, (*world)->info().gripper_open_m, 0};
  double scene_s = 0;
  for (int k = 0; k < 200; ++k) {
    if (!(*world)->step(hold)) return 1;
    const double start = cpu_s();
    if ((*world)->scene().empty()) return 1;
    scene_s += cpu_s() - start;
  }
  std::printf("scene(): %.3f ms\n", 1e3 * scene_s / 200);
  return 0;
}
}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Scripted episodes over many seeds, and stepping speed");
  std::string folder;
  std::vector<std::string> sets = {"nominal", "hard"};
  uint64_t seeds = 200, first = 1;
  double timestep_s = 0;
  bool verbose = false, speed = false;
  Camera camera;
  app.add_option("folder", folder, "World folder (configs/worlds/drawer_vase)")->required();
  app.add_option("--seeds", seeds, "Episodes per set");
  app.add_option("--first", first, "First seed");
  app.add_option("--set", sets, "Condition sets")->delimiter(',');
  app.add_option("--timestep", timestep_s, "Physics step in seconds; 0: as the world says");
  app.add_flag("--verbose", verbose, "Print every episode");
  app.add_flag("--bench", speed, "Measure stepping instead");
  app.add_option("--render", camera.folder, "Write PNG pictures of the episodes into this folder instead");
  app.add_option("--size", camera.size, "Of a picture")->capture_default_str();
  app.add_option("--camera", camera.name, "Whose picture; default: the world's main camera");
  app.add_option("--every", camera.every_s, "Seconds from picture to picture")->capture_default_str();
  app.add_flag("--fast", camera.fast, "Without shadows, as recordings have it");
  CLI11_PARSE(app, argc, argv);
  auto worlds = MujocoWorlds::load(folder, {timestep_s});
  auto graph = SkillGraph::load(folder + "/skills.toml");
  if (!worlds || !graph) {
    std::fprintf(stderr, "%s\n", (!worlds ? worlds.error() : graph.error()).message().c_str());
    return 1;
  }
  if (speed) return bench(*worlds) + bench_pictures(*worlds);
  auto world = worlds->make();
  if (!world) {
    std::fprintf(stderr, "%s\n", world.error().message().c_str());
    return 1;
  }
  for (const std::string& set : sets) {
    Table table;
    const double start = now_s();
    for (uint64_t seed = first; seed < first + seeds; ++seed) {
      if (!camera.folder.empty()) {
        if (pictures(**world, *graph, camera, {seed, set, {}}) != 0) return 1;
        continue;
      }
      ScriptedSkills script(*graph);
      auto episode = run_episode(**world, script, {seed, set, {}});
      if (!episode) {
        std::fprintf(stderr, "seed %llu: %s\n", static_cast<unsigned long long>(seed),
                     episode.error().message().c_str());
        return 1;
      }
      table.add(*episode);
      if (verbose) print_episode(*episode);
    }
    if (camera.folder.empty()) table.print(set.c_str(), now_s() - start);
  }
  return 0;
}

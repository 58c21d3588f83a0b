// Full capture of physics episodes: robots with a simulated body, one for each core, each with its own world, pictures,
// recording, capture and synced journal; beside what each part could do alone on the same machine in the same run.
#include <mujoco/mujoco.h>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/atom.hpp>
#include <caf/scoped_actor.hpp>
#include <future>
#include <thread>

#include "actors/capture/capture_actor.hpp"
#include "actors/capture/jpeg.hpp"
#include "actors/robot/episode_actor.hpp"
#include "actors/robot/mujoco_world.hpp"
#include "actors/robot/script.hpp"
#include "bench.hpp"
#include "nodes/robot_node.hpp"

namespace drover::bench {

namespace {

namespace fs = std::filesystem;

constexpr uint32_t side_pixels = 128;
constexpr double frames_hz = 25;
constexpr double target_per_min = 80;
constexpr double deadline_s = 600;

std::string configs_folder() {
  return DROVER_CONFIGS_DIR;
}
std::string world_folder() {
  return configs_folder() + "/worlds/drawer_vase";
}

double raw_seconds(const Settings& settings) {
  return settings.quick ? 0.5 : 2.0;
}

// Calls of `once` per second, for about `seconds`.
template <class Once>
double rate(double seconds, const Once& once) {
  once();  // the first call loads and allocates
  const auto began = Clock::now();
  uint64_t calls = 0;
  do {
    once();
    ++calls;
  } while (seconds_since(began) < seconds);
  return static_cast<double>(calls) / seconds_since(began);
}

// The same from several threads at once, each with a state of its own; the sum.
template <class Make>
double parallel_rate(size_t threads, double seconds, const Make& make) {
  std::vector<std::future<double>> rates;
  for (size_t i = 0; i < threads; ++i)
    rates.push_back(std::async(std::launch::async, [&make, seconds] {
      auto once = make();
      return rate(seconds, once);
    }));
  double sum = 0;
  for (auto& one : rates) sum += one.get();
  return sum;
}

// ---- raw limits

void raw_physics(Report& report, const Settings& settings, const robot::MujocoWorlds& worlds, size_t cores) {
  char error[256] = "";
  mjModel* model = mj_loadXML(worlds.config().model_path.c_str(), nullptr, error, sizeof error);
  DROVER_CHECK(model != nullptr, "the model does not load");
  model->opt.timestep = worlds.config().timestep_s;
  const auto make = [model] {
    const std::shared_ptr<mjData> data(mj_makeData(model), mj_deleteData);
    return [model, data] {
      for (int i = 0; i < 100; ++i) mj_step(model, data.get());
    };
  };
  const double per_s = 100 * parallel_rate(cores, raw_seconds(settings), make);
  report.add("raw: bare mj_step loop, all cores", no_disk, per_s, "steps/s");
  mj_deleteModel(model);
}

std::unique_ptr<robot::World> reset_world(const robot::MujocoWorlds& worlds) {
  auto world = must(worlds.make());
  must(world->reset(1, "nominal"));
  return world;
}

// False: this machine cannot draw.
bool raw_pictures(Report& report, const Settings& settings, const robot::MujocoWorlds& worlds, size_t cores) {
  robot::Image image;
  const Status drawn = reset_world(worlds)->render({{}, side_pixels, side_pixels}, image);
  if (!drawn) {
    report.skipped("raw: drawing", drawn.error().message());
    return false;
  }
  const auto draw = [&worlds] {
    const std::shared_ptr<robot::World> world = reset_world(worlds);
    return [world, picture = std::make_shared<robot::Image>()] {
      must(world->render({{}, side_pixels, side_pixels}, *picture));
    };
  };
  report.add("raw: drawing 128x128, all cores", no_disk, parallel_rate(cores, raw_seconds(settings), draw), "frames/s");
  const auto encode = [&image] {
    return [&image, coder = std::make_shared<capture::JpegEncoder>()] {
      must(coder->encode(image.rgb, image.width, image.height));
    };
  };
  report.add("raw: JPEG of 128x128, all cores", no_disk, parallel_rate(cores, raw_seconds(settings), encode),
             "frames/s");
  return true;
}

void must_episode(robot::World& world, robot::Policy& policy, uint64_t seed) {
  must(robot::run_episode(world, policy, {seed, "nominal", {}}));
}

void raw_episodes(Report& report, const Settings& settings, const robot::MujocoWorlds& worlds, size_t cores) {
  const auto graph = must(robot::SkillGraph::load(world_folder() + "/skills.toml"));
  const auto make = [&] {
    const std::shared_ptr<robot::World> world = reset_world(worlds);
    return [world, policy = std::make_shared<robot::ScriptedSkills>(graph), seed = std::make_shared<uint64_t>(0)] {
      must_episode(*world, *policy, ++*seed);
    };
  };
  report.add("raw: episodes without pictures and recording, all cores", no_disk,
             60 * parallel_rate(cores, 2 * raw_seconds(settings), make), "/min");
}

// ---- full capture

struct ActorConfig : caf::actor_system_config {
  ActorConfig() {
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", size_t{2});
  }
};

nodes::RobotNodeOptions robot_options(const fs::path& dir, size_t robot, uint64_t episodes, storage::Sync sync,
                                      uint64_t seed) {
  nodes::RobotNodeOptions options;
  nodes::RobotConfig& config = options.config;
  config.node.id = "robot-" + std::to_string(robot);
  config.store.dir = dir / ("store-" + std::to_string(robot));
  config.store.free_reserve_bytes = 0;
  config.capture.mappings_dir = configs_folder() + "/mappings";
  config.capture.econ_file = configs_folder() + "/econ/default.toml";
  config.capture.baseline_file = configs_folder() + "/baselines/default.toml";
  config.capture.semantics_dir = configs_folder() + "/semantics";
  config.gates.dir = configs_folder() + "/gates";
  config.capture.poll_ms = 50;
  config.world.dir = world_folder();
  config.world.set = "mix";
  config.world.seed = seed + 1000 * robot;
  config.world.episodes = episodes;
  config.world.recordings_dir = dir / ("recordings-" + std::to_string(robot));
  config.world.image_width = config.world.image_height = side_pixels;
  config.world.frames_hz = frames_hz;
  options.sync = sync;
  return options;
}

struct Captured {
  uint64_t episodes = 0;
  uint64_t frames = 0;
  uint64_t bytes = 0;
  uint64_t records = 0;
  double seconds = 0;
  double cpu_s = 0;  // of all threads
};

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Robots that act, record and capture until all their episodes are in their journals.
Captured capture_all(const Settings& settings, size_t robots, uint64_t episodes, storage::Sync sync) {
  const fs::path dir = fresh_folder(settings, "capture");
  auto& actors = *new ActorConfig;  // never destroyed: see smoke/fleet.hpp
  auto& system = *new caf::actor_system(actors);
  std::vector<std::unique_ptr<runtime::Environment>> environments;
  std::vector<std::unique_ptr<nodes::RobotNode>> nodes;
  std::vector<std::shared_ptr<std::promise<void>>> ends;
  const auto began = Clock::now();
  const double cpu_before_s = cpu_seconds();
  for (size_t i = 0; i < robots; ++i) {
    runtime::EnvironmentOptions options;
    options.log = [](runtime::LogLevel level, std::string_view event) {
      if (level >= runtime::LogLevel::warn)
        std::fprintf(stderr, "%.*s\n", static_cast<int>(event.size()), event.data());
    };
    environments.push_back(std::make_unique<runtime::Environment>(system, std::move(options)));
    auto robot = robot_options(dir, i, episodes, sync, settings.seed);
    robot.on_end = [end = ends.emplace_back(std::make_shared<std::promise<void>>())](const runtime::SupervisorEnd&) {
      end->set_value();
    };
    nodes.push_back(must(nodes::RobotNode::start(*environments[i], std::move(robot))));
  }
  caf::scoped_actor self(system);
  const auto ask = [&](const runtime::Ref& who, const auto& question, auto reply) {
    if (const caf::actor actor = who.get())
      self->request(actor, std::chrono::seconds(5), question)
          .receive([&](decltype(reply)& answer) { reply = std::move(answer); }, [](caf::error&) {});
    return reply;
  };
  Captured sum;
  for (size_t i = 0; i < robots;) {
    const auto facts = ask(nodes[i]->world(), robot::AskEpisodes{}, robot::EpisodesFacts{});
    const auto taken = ask(nodes[i]->captures().back(), capture::AskCapture{}, capture::CaptureFacts{});
    sum.seconds = seconds_since(began);
    DROVER_CHECK(sum.seconds < deadline_s, "the robots do not get through with their episodes");
    if (!facts.done || taken.episodes < facts.recorded) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      continue;
    }
    const auto store = ask(nodes[i++]->store(), sync::AskRobotStore{}, sync::RobotStoreFacts{});
    sum.episodes += taken.episodes;
    sum.frames += facts.frames;
    sum.bytes += facts.bytes;
    sum.records += store.last_seq;
  }
  sum.cpu_s = cpu_seconds() - cpu_before_s;
  for (size_t i = 0; i < robots; ++i) {
    nodes[i]->stop();
    ends[i]->get_future().wait();
  }
  for (auto& environment : environments) static_cast<void>(environment.release());  // timeouts still refer to it
  return sum;
}

void full_row(Report& report, const Settings& settings, size_t robots, storage::Sync sync) {
  const uint64_t episodes = settings.quick ? 8 : 30;
  const Captured all = capture_all(settings, robots, episodes, sync);
  const double per_min = 60 * static_cast<double>(all.episodes) / all.seconds;
  char note[240];
  std::snprintf(note, sizeof note,
                "%zu robots at once, %llu episodes, %llu frames, %.1f MB, %.0f frames/s; %.2f CPU seconds an episode, "
                "%.1f of %zu cores had",
                robots, static_cast<unsigned long long>(all.episodes), static_cast<unsigned long long>(all.frames),
                static_cast<double>(all.bytes) / 1e6, static_cast<double>(all.frames) / all.seconds,
                all.cpu_s / static_cast<double>(all.episodes), all.cpu_s / all.seconds, robots);
  const bool is_synced = sync == storage::Sync::synced;
  std::optional<Target> target;
  if (is_synced) target = Target{target_per_min, true};
  report.add("full capture, 128x128 at 25 Hz, JPEG, recording, journal", is_synced ? synced : nosync, per_min, "/min",
             note, target);
}

}  // namespace

void bench_capture(Report& report, const Settings& settings) {
  report.group("capture: physics episodes into the journal");
  const size_t cores = std::max(1u, std::thread::hardware_concurrency());
  const auto worlds = robot::MujocoWorlds::load(world_folder());
  if (!worlds) return report.skipped("capture", worlds.error().message());
  if (!settings.own_only) {
    raw_physics(report, settings, *worlds, cores);
    raw_pictures(report, settings, *worlds, cores);
    raw_episodes(report, settings, *worlds, cores);
  }
  full_row(report, settings, cores, storage::Sync::synced);
  if (!settings.own_only) full_row(report, settings, cores, storage::Sync::nosync);
}

}  // namespace drover::bench

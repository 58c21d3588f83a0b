#include "nodes/robot_node.hpp"

#include <algorithm>
#include <caf/send.hpp>
#include <filesystem>

#include "actors/capture/capture_actor.hpp"
#include "actors/capture/source.hpp"
#include "actors/robot/episode_actor.hpp"
#include "actors/robot/mujoco_world.hpp"
#include "actors/robot/script.hpp"
#include "actors/semantics/robot_segmenter.hpp"
#include "actors/sync/robot_store_actor.hpp"
#include "nodes/gates_loading.hpp"

namespace drover::nodes {
namespace {

sync::RobotStoreOptions store_options(const RobotNodeOptions& options, int64_t now_unix_ns) {
  const RobotConfig& config = options.config;
  sync::RobotStoreOptions store;
  store.path = config.store.dir;
  store.robot = config.node.id;
  // The time of founding tells incarnations apart, and a re-imaged robot always gets a later one.
  store.incarnation = static_cast<uint64_t>(now_unix_ns);
  store.quota_bytes = config.store.quota_bytes;
  store.map_initial_bytes = config.store.map_initial_bytes;
  store.map_max_bytes = config.store.map_max_bytes;
  store.free_reserve_bytes = config.store.free_reserve_bytes;
  store.knowledge_key = options.knowledge_key;
  store.sync = options.sync;
  store.verify = options.verify;
  return store;
}

// What every capture actor of the node shares.
Result<capture::CaptureConfig> capture_defaults(const RobotConfig& config, const runtime::Environment& env) {
  capture::CaptureConfig capture;
  capture.robot = config.node.id;
  capture.spool.stable_polls = config.capture.stable_polls;
  capture.spool.skip_duplicates = config.capture.skip_duplicates;
  // A file is not to blame for power cuts: a robot that is switched off ten times in a row during one file is unlikely.
  capture.spool.attempts_max = 10;
  capture.poll_ms = static_cast<uint64_t>(config.capture.poll_ms);
  if (config.capture.spools.empty() && config.world.dir.empty()) return capture;
  DROVER_ASSIGN(capture.mappings, capture::load_mappings(config.capture.mappings_dir));
  DROVER_ASSIGN(capture.preset, econ::load_econ_preset(config.capture.econ_file));
  DROVER_ASSIGN(capture.baselines, datapack::load_baselines(config.capture.baseline_file));
  std::error_code ignored;
  if (config.capture.segment && !std::filesystem::is_directory(config.capture.semantics_dir, ignored)) {
    env.log(runtime::LogLevel::warn,
            "robot.segments_off reason=no_folder dir=" + runtime::log_value(config.capture.semantics_dir));
  } else if (config.capture.segment) {
    DROVER_ASSIGN(const auto rules, semantics::load_robot_segmenter_rules(config.capture.semantics_dir));
    capture.make_annotator = [rules] { return std::make_unique<semantics::RobotSegmenter>(rules); };
  }
  DROVER_ASSIGN(capture.gates, load_gates(config.gates, env));
  return capture;
}

sync::OutboxConfig outbox_config(const RobotConfig& config) {
  sync::OutboxConfig outbox;
  outbox.journal = config.outbox;
  outbox.blobs = config.blobs;
  outbox.call_timeout_ms = config.network.call_timeout_ms + 5'000;  // the network's own deadline answers first
  return outbox;
}

// The seed of episode 0: as configured, or one that the node's seed and name decide.
uint64_t world_seed(const RobotConfig& config, const runtime::Environment& env) {
  if (config.world.seed != 0) return config.world.seed;
  return 1 + env.rng("world/" + config.node.id).below(1'000'000'000);  // easy to type again
}

robot::EpisodeActorConfig episode_config(const RobotConfig& config, const runtime::Environment& env) {
  const BodyConfig& world = config.world;
  robot::EpisodeActorConfig body;
  body.recording.folder = world.recordings_dir;
  body.recording.robot = config.node.id;
  body.recording.policy = world.policy;
  body.recording.cameras = world.cameras;
  body.recording.image_width = world.image_width;
  body.recording.image_height = world.image_height;
  body.recording.frames_hz = world.frames_hz;
  body.recording.jpeg_quality = static_cast<int>(world.jpeg_quality);
  body.set = world.set;
  body.seed = world_seed(config, env);
  body.episodes = world.episodes;
  body.pause_ms = static_cast<uint64_t>(world.pause_ms);
  body.waiting_max = world.waiting_max;
  body.free_reserve_bytes = config.store.free_reserve_bytes;
  return body;
}

Status check_cameras(const BodyConfig& config, const robot::MujocoWorlds& worlds) {
  DROVER_ASSIGN(const auto world, worlds.make());
  const auto& known = world->info().cameras;
  for (const std::string& name : config.cameras) {
    if (std::any_of(known.begin(), known.end(), [&](const auto& camera) { return camera.name == name; })) continue;
    std::string names;
    for (const robot::CameraInfo& camera : known) names += " " + camera.name;
    return fail(Errc::not_found, "world.cameras", "the world has no camera '" + name + "', but:" + names);
  }
  return {};
}

// Loads the world once; each life of the episode actor gets a fresh one of it.
Result<robot::EpisodeActorConfig> load_body(const RobotConfig& config, const runtime::Environment& env) {
  DROVER_ASSIGN(auto loaded, robot::MujocoWorlds::load(config.world.dir));
  DROVER_ASSIGN(auto graph, robot::SkillGraph::load(config.world.dir + "/skills.toml"));
  robot::EpisodeActorConfig body = episode_config(config, env);
  std::vector<std::string> sets;
  for (const auto& [name, draws] : loaded.config().conditions) sets.push_back(name);
  if (body.set != "mix" && !loaded.config().conditions.contains(body.set))
    return fail(Errc::not_found, "world.set", "the world has no condition set '" + body.set + "'");
  DROVER_TRY(check_cameras(config.world, loaded));
  std::error_code failed;
  std::filesystem::create_directories(body.recording.folder, failed);
  if (failed) return fail(Errc::io, body.recording.folder, "cannot make the folder: " + failed.message());
  const auto worlds = std::make_shared<const robot::MujocoWorlds>(std::move(loaded));
  body.make_body = [worlds, graph, sets]() -> Result<robot::Body> {
    DROVER_ASSIGN(auto world, worlds->make());
    return robot::Body{std::move(world), std::make_unique<robot::ScriptedSkills>(graph), sets};
  };
  return body;
}

runtime::Child capture_child(const std::string& name, const capture::CaptureConfig& config) {
  return runtime::worker_child(name, [config](runtime::Environment& env) -> Result<caf::actor> {
    return capture::spawn_capture(env, config, env.ref("store"));
  });
}

// The body, and the capture of what it records.
void add_body(std::vector<runtime::Child>& children, const robot::EpisodeActorConfig& body,
              capture::CaptureConfig capture) {
  capture.folder = body.recording.folder;
  capture.mapping = "auto";
  capture.spool.stable_polls = 1;  // recordings are renamed into the folder in one step
  capture.spool.remove_done = true;
  children.push_back(capture_child("capture-world", capture));
  children.push_back(runtime::worker_child("world", [body](runtime::Environment& env) -> Result<caf::actor> {
    return robot::spawn_episodes(env, body, env.ref("store"));
  }));
}

std::vector<runtime::Child> children_of(const RobotNodeOptions& options, const capture::CaptureConfig& capture) {
  std::vector<runtime::Child> children;
  children.push_back(runtime::worker_child("store", [options](runtime::Environment& env) -> Result<caf::actor> {
    DROVER_ASSIGN(auto store, sync::RobotStore::open(store_options(options, env.unix_ns())));
    return sync::spawn_robot_store(env, std::make_shared<sync::RobotStore>(std::move(store)));
  }));
  if (options.dial) {
    children.push_back(
        runtime::worker_child("uplink", [options](runtime::Environment&) { return options.dial(options.link); }));
    children.push_back(runtime::worker_child("outbox", [options](runtime::Environment& env) -> Result<caf::actor> {
      return sync::spawn_outbox(env, outbox_config(options.config), env.ref("uplink"), env.ref("store"));
    }));
  }
  for (size_t i = 0; i < options.config.capture.spools.size(); ++i) {
    capture::CaptureConfig one = capture;
    one.folder = options.config.capture.spools[i].path;
    one.mapping = options.config.capture.spools[i].mapping;
    children.push_back(capture_child("capture-" + std::to_string(i), one));
  }
  return children;
}

}  // namespace

Result<std::unique_ptr<RobotNode>> RobotNode::start(runtime::Environment& env, RobotNodeOptions options) {
  DROVER_ASSIGN(const auto capture, capture_defaults(options.config, env));
  // Opened once here, so that a store that cannot be opened is an error of the start and not of a supervisor.
  {
    DROVER_ASSIGN(const auto probe, sync::RobotStore::open(store_options(options, env.unix_ns())));
    env.log(runtime::LogLevel::info, "robot.store robot=" + probe.identity().robot +
                                         " incarnation=" + std::to_string(probe.identity().incarnation) +
                                         " dir=" + runtime::log_value(options.config.store.dir));
  }
  options.verify = storage::Verify::none;  // the probe has verified it
  std::unique_ptr<RobotNode> node(new RobotNode());
  std::vector<runtime::Child> children = children_of(options, capture);
  if (!options.config.world.dir.empty()) {
    DROVER_ASSIGN(const auto body, load_body(options.config, env));
    add_body(children, body, capture);
  }
  node->store_ = env.ref("store");
  node->outbox_ = env.ref("outbox");
  for (size_t i = 0; i < options.config.capture.spools.size(); ++i)
    node->captures_.push_back(env.ref("capture-" + std::to_string(i)));
  if (!options.config.world.dir.empty()) node->captures_.push_back(env.ref("capture-world"));
  node->world_ = env.ref("world");
  runtime::SupervisorConfig root;
  root.name = "root";
  root.rules.strategy = runtime::Strategy::rest_for_one;
  root.children = std::move(children);
  root.on_end = options.on_end;
  node->root_ = runtime::spawn_supervisor(env, std::move(root));
  return node;
}

RobotNode::~RobotNode() {
  kill();
}

void RobotNode::stop() {
  caf::anon_send_exit(root_, caf::exit_reason::user_shutdown);
}

void RobotNode::kill() {
  if (root_) caf::anon_send_exit(root_, caf::exit_reason::kill);
  root_ = nullptr;
}

}  // namespace drover::nodes

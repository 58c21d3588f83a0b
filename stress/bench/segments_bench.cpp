// What segmentation adds to capture on a robot: processor time of one thread per episode, from the file's bytes to the
// records, without segments, with segments from what capture decodes anyway, and with every slice decoded once more.
#include <time.h>

#include <cmath>

#include "actors/capture/generate.hpp"
#include "actors/capture/source.hpp"
#include "actors/capture/value.hpp"
#include "actors/robot/mujoco_world.hpp"
#include "actors/robot/recorded_episode.hpp"
#include "actors/robot/script.hpp"
#include "actors/semantics/robot_segmenter.hpp"
#include "bench.hpp"
#include "storage/blobs.hpp"

namespace drover::bench {
namespace {

namespace fs = std::filesystem;

constexpr const char* recording_name = "e.mcap";
constexpr double recording_percent_max = 15;

enum class With : uint8_t { nothing, heard, decoded_again };

struct Log {
  std::string what;
  std::string name;
  std::shared_ptr<const mcap::Source> file;
};

double cpu_s() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Captures the file once, as the capture actor does; how many episodes it gave.
uint64_t capture_once(const Log& log, const std::vector<std::shared_ptr<const capture::Mapping>>& mappings,
                      semantics::RobotSegmenter& segmenter, With with) {
  const auto mapping = must(capture::choose_mapping(log.name, log.file, mappings));
  capture::CaptureOptions options;
  options.robot = "robot-bench";
  options.listener = with == With::heard ? segmenter.listener() : nullptr;
  const Hash hash = must(capture::hash_source(*log.file));
  const auto source = must(capture::open_log(log.name, log.file, hash, mapping, options));
  datapack::BaselineState baseline;
  uint64_t episodes = 0;
  while (const auto episode = must(source->next())) {
    ++episodes;
    const BlobRef blob = storage::describe_blob(episode->slice_name, episode->slice_media_type, episode->slice);
    auto valued = must(capture::value_episode(
        *episode, {blob},
        {datapack::BaselineRules{}.find(episode->header.task_name, episode->header.source_kind), baseline}, {}));
    baseline = valued.next_baseline;
    size_t bytes = encode(valued.episode).size() + encode(valued.pack).size();
    if (with != With::nothing)
      if (const auto said = must(segmenter.annotate(*episode, *mapping, valued.pack)); said.record)
        bytes += encode(*said.record).size();
    DROVER_CHECK(bytes > 0, "an episode without records");
  }
  DROVER_CHECK(!segmenter.state() || with != With::nothing, "state of nothing");
  return episodes;
}

std::optional<Log> recording(const Settings& settings, double frames_hz) {
  const std::string folder = std::string(DROVER_CONFIGS_DIR) + "/worlds/drawer_vase";
  const auto worlds = must(robot::MujocoWorlds::load(folder));
  const auto graph = must(robot::SkillGraph::load(folder + "/skills.toml"));
  const auto world = must(worlds.make());
  robot::ScriptedSkills script(graph);
  robot::RecordingOptions options;
  options.folder = fresh_folder(settings, "segments");
  options.robot = "robot-bench";
  options.frames_hz = frames_hz;
  const auto run = must(
      robot::RecordedEpisode::begin(*world, script, options, {"e", settings.seed, "hard", 1'700'000'000'000'000'000}));
  while (must(run->step())) {
  }
  must(run->finish());
  if (frames_hz > 0 && !run->facts().no_pictures.empty()) return std::nullopt;
  const auto file = must(mcap::file_source(options.folder + "/e" + std::string(capture::recording_suffix)));
  const Bytes bytes = must(file->read(0, static_cast<size_t>(file->size())));
  return Log{frames_hz > 0 ? "recording with pictures" : "recording without pictures", recording_name,
             mcap::memory_source(bytes)};
}

Log generated(const char* what, Result<capture::GeneratedLog> made) {
  const auto log = must(std::move(made));
  return {what, log.name, mcap::memory_source(Bytes::copy_of(log.content))};
}

// The ways take turns, so that a machine that is busy for a while is so for all of them; the fastest turn of each.
void measure(Report& report, const Settings& settings, const Log& log,
             const std::vector<std::shared_ptr<const capture::Mapping>>& mappings,
             const std::shared_ptr<const semantics::RobotSegmenterRules>& rules) {
  double least_s[3] = {1e9, 1e9, 1e9};
  semantics::RobotSegmenter segmenter(rules);  // one for the life of a robot
  const uint64_t episodes = capture_once(log, mappings, segmenter, With::decoded_again);
  const double turn_s = settings.quick ? 0.02 : 0.1;
  for (int turn = 0; turn < (settings.quick ? 5 : 15); ++turn)
    for (const With with : {With::nothing, With::heard, With::decoded_again}) {
      uint64_t done = 0;
      const double from_s = cpu_s();
      do {
        capture_once(log, mappings, segmenter, with);
        ++done;
      } while (cpu_s() - from_s < turn_s);
      double& least = least_s[static_cast<size_t>(with)];
      least = std::min(least, (cpu_s() - from_s) / static_cast<double>(done * episodes));
    }
  const auto percent = [&](double s) { return 100 * (s / least_s[0] - 1); };
  report.add(log.what + ": capture without segments", no_disk, 1e3 * least_s[0], "ms/episode",
             std::to_string(episodes) + " episodes, processor time");
  std::optional<Target> target;  // a second look at a recording costs the most by far
  if (log.name == recording_name) target = Target{recording_percent_max, false};
  report.add(log.what + ": segments add", no_disk, percent(least_s[1]), "%",
             std::to_string(std::lround(1e6 * (least_s[1] - least_s[0]))) + " us an episode", target);
  report.add(log.what + ": segments would add, decoding slices again", no_disk, percent(least_s[2]), "%");
}

}  // namespace

void bench_segments(Report& report, const Settings& settings) {
  report.group("segments");
  const std::string configs = DROVER_CONFIGS_DIR;
  const auto mappings = must(capture::load_mappings(configs + "/mappings"));
  const auto rules = must(semantics::load_robot_segmenter_rules(configs + "/semantics"));
  std::vector<Log> logs;
  for (const double frames_hz : {25.0, 0.0})
    if (auto log = recording(settings, frames_hz)) logs.push_back(std::move(*log));
  logs.push_back(generated("UR3 log (1 Hz)", capture::generate_ur3({})));
  logs.push_back(generated("UR3e log (25 Hz)", capture::generate_ur3e({})));
  logs.push_back(generated("ROS 2 bag (50 Hz)", capture::generate_ros2({})));
  for (const Log& log : logs) measure(report, settings, log, mappings, rules);
}

}  // namespace drover::bench

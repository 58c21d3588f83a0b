// Writes recordings of one simulated episode, for readers that are not ours (foreign_mcap.py), and for people.
//
// record_sample OUT [WORLD_DIR [SET [SEED]]]: OUT/whole.mcap, OUT/prefix.mcap (what capture makes of a file that was
// cut in the middle) and OUT/counts.json (messages per topic of each).
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "actors/capture/source.hpp"
#include "actors/robot/mujoco_world.hpp"
#include "actors/robot/recorded_episode.hpp"
#include "actors/robot/script.hpp"

namespace drover {
namespace {

Result<robot::RecordingFacts> record(const std::string& folder, const std::string& dir, const std::string& set,
                                     uint64_t seed) {
  DROVER_ASSIGN(auto worlds, robot::MujocoWorlds::load(dir));
  DROVER_ASSIGN(auto world, worlds.make());
  DROVER_ASSIGN(auto graph, robot::SkillGraph::load(dir + "/skills.toml"));
  robot::ScriptedSkills script(graph);
  robot::RecordingOptions options;
  options.folder = folder;
  options.robot = "robot-07";
  robot::RecordedRequest request{"whole", seed, set, 1'750'000'000'000'000'000};
  DROVER_ASSIGN(auto episode, robot::RecordedEpisode::begin(*world, script, options, request));
  for (bool more = true; more;) {
    DROVER_ASSIGN(more, episode->step());
  }
  DROVER_TRY(episode->finish());
  return episode->facts();
}

Result<capture::CapturedEpisode> take(const std::string& name, const std::string& content) {
  DROVER_ASSIGN(auto source, capture::open_log(name, mcap::memory_source(Bytes::copy_of(content)), {}, {"robot-07"}));
  DROVER_ASSIGN(auto episode, source->next());
  if (!episode) return fail(Errc::not_found, name, "gives no episode");
  return std::move(*episode);
}

nlohmann::json counts(const capture::CapturedEpisode& episode) {
  nlohmann::json out = nlohmann::json::object();
  for (const StreamStat& s : episode.header.streams)
    if (s.unit == "messages") out[s.name] = s.samples;
  return out;
}

Status run(const std::string& folder, const std::string& dir, const std::string& set, uint64_t seed) {
  DROVER_ASSIGN(const auto facts, record(folder, dir, set, seed));
  if (!facts.no_pictures.empty()) std::fprintf(stderr, "without pictures: %s\n", facts.no_pictures.c_str());
  std::ifstream in(folder + "/whole.mcap", std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  DROVER_ASSIGN(const auto a, take("whole.mcap", whole));
  DROVER_ASSIGN(const auto b, take("cut.mcap", whole.substr(0, whole.size() / 2)));
  std::ofstream(folder + "/prefix.mcap", std::ios::binary) << b.slice.text();
  const nlohmann::json about = {{"whole.mcap", counts(a)}, {"prefix.mcap", counts(b)}};
  std::ofstream(folder + "/counts.json") << about.dump(1) << "\n";
  std::printf("%s: %s, %.2f s, %llu frames, %zu bytes; prefix %.2f s\n", a.header.episode_id.c_str(),
              a.header.outcome.c_str(), a.duration_s, static_cast<unsigned long long>(facts.frames), whole.size(),
              b.duration_s);
  return {};
}

}  // namespace
}  // namespace drover

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const char* source = std::getenv("DROVER_SOURCE_DIR");
  const std::string dir =
      argc > 2 ? argv[2] : std::string(source != nullptr ? source : ".") + "/configs/worlds/drawer_vase";
  const drover::Status done =
      drover::run(argv[1], dir, argc > 3 ? argv[3] : "hard", argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 2);
  if (!done) std::fprintf(stderr, "record_sample: %s\n", done.error().message().c_str());
  return done ? 0 : 1;
}

// Episodes that leave recordings: what is read back is what happened, whole, cut short or not at all.
#include "actors/robot/recorded_episode.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "actors/capture/recording_reader.hpp"
#include "actors/robot/mujoco_world.hpp"
#include "actors/robot/script.hpp"
#include "tests/robot/fake_world.hpp"
#include "tests/sync/temp_folder.hpp"

using namespace drover;
using namespace drover::robot;
namespace fs = std::filesystem;

namespace {

template <class T>
T must(Result<T> result) {
  if (!result) FAIL(result.error().message());
  return std::move(*result);
}

std::string world_folder() {
  const char* source = std::getenv("DROVER_SOURCE_DIR");
  return std::string(source == nullptr ? "." : source) + "/configs/worlds/drawer_vase";
}

// Everything a recording says, copied.
struct Contents final : capture::RecordingVisitor {
  std::optional<capture::RecordingStart> begun;
  std::vector<double> joint_times_s;
  std::vector<double> image_times_s;
  uint64_t objects_seen = 0;
  std::vector<capture::RecordedEvent> events;
  std::vector<capture::RecordedSkill> begins, ends;
  capture::RecordedEnergy last_energy;
  double last_energy_s = 0;
  std::optional<capture::RecordingEnd> ended;
  capture::RecordingReport report;

  void start(const capture::RecordingStart& s) override { begun = s; }
  void joints(double t, const capture::JointSample&) override { joint_times_s.push_back(t); }
  void image(double t, const capture::RecordedCamera&, const Bytes& jpeg) override {
    capture::RgbImage picture;
    capture::JpegDecoder decoder;
    CHECK(decoder.decode(jpeg, picture));
    CHECK(picture.width == 64);
    image_times_s.push_back(t);
  }
  void objects(double, std::span<const capture::RecordedFrame> frames) override { objects_seen += frames.size(); }
  void event(const capture::RecordedEvent& e) override { events.push_back(e); }
  void skill_begin(const capture::RecordedSkill& s) override { begins.push_back(s); }
  void skill_end(const capture::RecordedSkill& s) override { ends.push_back(s); }
  void energy(double t, const capture::RecordedEnergy& e) override {
    last_energy = e;
    last_energy_s = t;
  }
  void end(const capture::RecordingEnd& e) override { ended = e; }
};

Contents read(const std::string& path) {
  Contents contents;
  contents.report = must(capture::read_recording(must(mcap::file_source(path)), contents));
  return contents;
}

RecordingOptions options_for(const std::string& folder) {
  RecordingOptions options;
  options.folder = folder;
  options.robot = "robot-1";
  options.image_width = options.image_height = 64;
  options.frames_hz = 5;
  return options;
}

EpisodeResult run_to_end(RecordedEpisode& episode) {
  while (must(episode.step())) {
  }
  return must(episode.finish());
}

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  return names;
}

}  // namespace

TEST_CASE("robot/recorded: a physics episode reads back as it was, and recording it changes nothing") {
  const test::TempFolder folder;
  fs::create_directories(folder / "r");
  const auto worlds = must(MujocoWorlds::load(world_folder()));
  const auto world = must(worlds.make());
  ScriptedSkills script(must(SkillGraph::load(world_folder() + "/skills.toml")));
  const EpisodeResult plain = must(run_episode(*world, script, {4, "hard", {}}));
  auto episode = must(RecordedEpisode::begin(*world, script, options_for(folder / "r"), {"one", 4, "hard", 1'000'000}));
  const EpisodeResult result = run_to_end(*episode);
  CHECK(result.hash == plain.hash);
  REQUIRE(files_in(folder / "r") == std::vector<std::string>{"one.mcap"});
  const Contents c = read(folder / "r/one.mcap");
  REQUIRE(c.begun);
  CHECK(c.begun->start_unix_ns == 1'000'000);
  CHECK(c.begun->condition.set == "hard");
  CHECK(c.begun->condition.seed == 4);
  CHECK(c.begun->condition.numbers == result.condition.numbers);
  CHECK(c.begun->joints.size() == 7);
  CHECK(c.begun->joints.back().sliding);
  CHECK(c.joint_times_s.size() == result.control_steps + 1);
  CHECK(c.objects_seen > 0);
  REQUIRE(c.ended);
  CHECK(c.ended->complete);
  CHECK(c.ended->state_hash == plain.hash);
  CHECK(c.ended->duration_s == plain.duration_s);
  CHECK(c.ended->template_name == template_name(plain.kind));
  REQUIRE(c.ends.size() == plain.skills.size());
  CHECK(c.begins.size() == c.ends.size());
  for (size_t i = 0; i < c.ends.size(); ++i) {
    CHECK(c.ends[i].manoeuvre == plain.skills[i].manoeuvre);
    CHECK(c.ends[i].start_s == plain.skills[i].start_s);
    CHECK(c.ends[i].end_s == plain.skills[i].end_s);
    CHECK(c.begins[i].skill_id == plain.skills[i].skill_id);
    CHECK(c.begins[i].start_s == plain.skills[i].start_s);
  }
  REQUIRE(c.events.size() == plain.events.size());
  for (size_t i = 0; i < c.events.size(); ++i) {
    CHECK(c.events[i].kind == plain.events[i].kind);
    CHECK(c.events[i].time_s == plain.events[i].time_s);
  }
  CHECK(c.last_energy.total.mechanical == plain.energy.total().mechanical);
  CHECK(c.last_energy.cells.size() == plain.energy.cells().size());
  if (episode->facts().no_pictures.empty()) {
    CHECK(c.image_times_s.size() == episode->facts().frames);
    CHECK(static_cast<double>(c.image_times_s.size()) == doctest::Approx(5 * plain.duration_s).epsilon(0.05));
  } else {
    MESSAGE("no pictures: " << episode->facts().no_pictures);
  }
  CHECK(c.begun->urdf.find("<robot") != std::string::npos);
}

TEST_CASE("robot/recorded: an interrupted episode is a labelled prefix with the open skill left open") {
  const test::TempFolder folder;
  fs::create_directories(folder / "r");
  test::FakeWorld world;
  test::FakePolicy policy(10);
  auto episode = must(RecordedEpisode::begin(world, policy, options_for(folder / "r"), {"one", 2, "nominal", 5}));
  for (int i = 0; i < 7; ++i) CHECK(must(episode->step()));
  must(episode->interrupt("the node was stopped"));
  const Contents c = read(folder / "r/one.mcap");
  REQUIRE(c.ended);
  CHECK_FALSE(c.ended->complete);
  CHECK(c.ended->stop_reason == "the node was stopped");
  CHECK(c.ended->outcome == "unknown");
  CHECK(c.ends.size() == 1);
  CHECK(c.begins.size() == 2);
  CHECK(c.begins.back().skill_id == 3);
  CHECK(c.joint_times_s.size() == 8);
  CHECK(c.last_energy.total.mechanical == doctest::Approx(7 * 7 * 0.04));
}

TEST_CASE("robot/recorded: a recording whose owner dies stays as a part file and is adopted; a discarded one is gone") {
  const test::TempFolder folder;
  fs::create_directories(folder / "r");
  test::FakeWorld world;
  test::FakePolicy policy(100);
  {
    auto episode = must(RecordedEpisode::begin(world, policy, options_for(folder / "r"), {"one", 2, "nominal", 5}));
    for (int i = 0; i < 60; ++i) CHECK(must(episode->step()));
    CHECK(files_in(folder / "r") == std::vector<std::string>{"one.mcap.part"});
    CHECK(must(capture::adopt_recordings(folder / "r")).empty());  // it still has its writer
  }
  CHECK(must(capture::adopt_recordings(folder / "r")) == std::vector<std::string>{"one.mcap"});
  const Contents c = read(folder / "r/one.mcap");
  CHECK(c.begun);
  CHECK_FALSE(c.ended);
  CHECK(c.joint_times_s.size() > 30);
  fs::remove(folder / "r/one.mcap");
  auto episode = must(RecordedEpisode::begin(world, policy, options_for(folder / "r"), {"two", 2, "nominal", 5}));
  CHECK(must(episode->step()));
  CHECK(episode->discard());
  CHECK(files_in(folder / "r").empty());
}

TEST_CASE("robot/recorded: pictures come at the camera's rate, at most one per control step") {
  const test::TempFolder folder;
  fs::create_directories(folder / "r");
  test::FakeWorld world;
  test::FakePolicy policy(50);  // 2 s
  RecordingOptions options = options_for(folder / "r");
  options.frames_hz = 10;
  auto episode = must(RecordedEpisode::begin(world, policy, options, {"ten", 2, "nominal", 5}));
  run_to_end(*episode);
  CHECK(episode->facts().frames == doctest::Approx(21).epsilon(0.1));
  CHECK(read(folder / "r/ten.mcap").image_times_s.size() == episode->facts().frames);
  options.frames_hz = 1000;
  episode = must(RecordedEpisode::begin(world, policy, options, {"all", 2, "nominal", 5}));
  run_to_end(*episode);
  CHECK(episode->facts().frames == 51);
  options.frames_hz = 0;
  episode = must(RecordedEpisode::begin(world, policy, options, {"none", 2, "nominal", 5}));
  run_to_end(*episode);
  CHECK(episode->facts().frames == 0);
  CHECK(episode->facts().no_pictures.empty());
}

TEST_CASE("robot/recorded: a machine that cannot draw records without pictures and says why") {
  const test::TempFolder folder;
  fs::create_directories(folder / "r");
  test::FakeWorld world;
  world.draws = false;
  test::FakePolicy policy;
  auto episode = must(RecordedEpisode::begin(world, policy, options_for(folder / "r"), {"dark", 2, "nominal", 5}));
  run_to_end(*episode);
  CHECK(episode->facts().no_pictures.find("no pictures here") != std::string::npos);
  const Contents c = read(folder / "r/dark.mcap");
  CHECK(c.image_times_s.empty());
  CHECK(c.begun->cameras.empty());
  RecordingOptions options = options_for(folder / "r");
  options.cameras = {"nose"};
  const auto unknown = RecordedEpisode::begin(world, policy, options, {"nose", 2, "nominal", 5});
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().code == Errc::not_found);
}

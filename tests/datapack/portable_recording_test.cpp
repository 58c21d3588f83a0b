// Recordings to portable artifacts: whole, cut, and with pictures that are none.
#include "actors/datapack/portable_recording.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "actors/capture/recorder.hpp"
#include "actors/capture/source.hpp"
#include "kernels/context.hpp"
#include "kernels/pool.hpp"
#include "tests/support/random_values.hpp"

using namespace drover;
using namespace drover::datapack;

namespace {

constexpr double duration_s = 3;

struct Made {
  std::string file;
  std::vector<uint8_t> first_rgb;  // as decoded from the first picture
};

capture::RecordingStart start_facts() {
  capture::RecordingStart start;
  start.robot = "robot-1";
  start.task_name = "drawer_vase";
  start.world = "drawer_vase";
  start.engine = "mujoco";
  start.policy = "script";
  start.start_unix_ns = 1'700'000'000'000'000'000;
  start.control_period_s = 0.04;
  start.joints.push_back({"shoulder", "upper_arm", "", 0.1, false});
  capture::RecordedCamera camera;
  camera.name = "front";
  camera.width = camera.height = 32;
  camera.rate_hz = 25;
  start.cameras.push_back(camera);
  return start;
}

// Three seconds of a drawer that opens, at 25 Hz. `broken_picture`: that one is no JPEG.
Made record(int broken_picture = -1) {
  Made made;
  mcap::MemorySink sink;
  auto recorder = capture::Recorder::open(sink, start_facts());
  REQUIRE_MESSAGE(recorder.has_value(), (recorder ? std::string() : recorder.error().message()));
  capture::JpegEncoder encoder;
  std::vector<uint8_t> rgb(32 * 32 * 3);
  for (int i = 0; i <= 75; ++i) {
    const double t = 0.04 * i;
    for (size_t p = 0; p < rgb.size(); ++p) rgb[p] = static_cast<uint8_t>(p / 12 + 2 * static_cast<size_t>(i));
    const auto jpeg = encoder.encode(rgb, 32, 32);
    REQUIRE(jpeg);
    if (i == 0) {
      capture::RgbImage decoded;
      REQUIRE(capture::JpegDecoder().decode(*jpeg, decoded));
      made.first_rgb = decoded.rgb;
    }
    const std::string no_jpeg = "no picture";
    REQUIRE((*recorder)->image(t, "front", i == broken_picture ? as_bytes(no_jpeg) : *jpeg));
    std::array<capture::RecordedFrame, 2> frames;
    frames[0].name = "drawer";
    frames[0].pose.position_m = {0.5, 0.1 * t, 0.7};
    frames[0].is_object = true;
    frames[0].occluded = 0.25;
    frames[1].name = "vase";
    frames[1].pose.position_m = {0.4, 0, 0.9};
    frames[1].is_object = true;
    REQUIRE((*recorder)->scene(t, frames));
    capture::RecordedSense sense;
    sense.tool.position_m = {0.4, 0.1 * t, 0.75};
    REQUIRE((*recorder)->sense(t, sense));
  }
  capture::RecordingEnd end;
  end.duration_s = duration_s;
  end.outcome = "success";
  REQUIRE((*recorder)->finish(end, {}));
  made.file = sink.content();
  return made;
}

Result<PortableArtifacts> artifacts_of(const std::string& file) {
  return portable_of_recording(mcap::memory_source(Bytes::copy_of(as_bytes(file))));
}

}  // namespace

TEST_CASE("datapack/portable_recording: a recording gives complete artifacts that say what it holds") {
  const Made made = record();
  const auto artifacts = artifacts_of(made.file);
  REQUIRE_MESSAGE(artifacts.has_value(), (artifacts ? std::string() : artifacts.error().message()));
  REQUIRE(artifacts->complete());
  CHECK(missing_material(*artifacts).empty());
  const auto tracks = parse_scene_tracks(artifacts->scene_tracks_json);
  REQUIRE(tracks);
  CHECK(tracks->times_s.size() == 31);
  REQUIRE(tracks->find("tool") != nullptr);
  CHECK_FALSE(tracks->find("tool")->is_object);
  CHECK(tracks->find("tool")->at(20).position_m[1] == doctest::Approx(0.2).epsilon(1e-3));
  CHECK(tracks->find("drawer")->at(30).position_m[1] == doctest::Approx(0.3).epsilon(1e-3));
  CHECK(tracks->find("drawer")->at(0).occluded == 0.25);
  CHECK(tracks->find("vase")->samples.size() == 1);
  const auto features = parse_rgb_features(artifacts->rgb_features_json);
  REQUIRE(features);
  CHECK(features->cameras[0].times_s.size() == 7);  // 0 .. 3 s, one per half second
  const auto context = kernels::Context::make({});
  std::array<float, 64> want{};
  REQUIRE(kernels::pool_frames(**context, made.first_rgb, {32, 32}, want));
  CHECK(std::equal(want.begin(), want.end(), features->cameras[0].features.begin()));
  const auto labels = parse_slice_labels(artifacts->slice_labels_json);
  REQUIRE(labels);
  CHECK(labels->whole.motion_score == 1);
  CHECK(labels->whole.occlusion_level == 0.25);
  CHECK(labels->whole.end_s == duration_s);
  CHECK(*artifacts_of(made.file) == *artifacts);
}

TEST_CASE("datapack/portable_recording: a picture that is none is left out, the window's next one stands in") {
  const auto artifacts = artifacts_of(record(13).file);  // 0.52 s: the first of the second window
  REQUIRE(artifacts);
  const auto features = parse_rgb_features(artifacts->rgb_features_json);
  REQUIRE(features);
  REQUIRE(features->cameras[0].times_s.size() == 7);
  CHECK(features->cameras[0].times_s[1] == doctest::Approx(0.56));
}

TEST_CASE("datapack/portable_recording: a recording cut anywhere gives what is left of it, or an error") {
  const Made made = record();
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  test::Rng rng(seed);
  uint64_t complete = 0;
  for (int i = 0; i < 60; ++i) {
    const auto artifacts = artifacts_of(made.file.substr(0, test::below(rng, made.file.size())));
    if (!artifacts || !artifacts->complete()) continue;
    ++complete;
    const auto labels = parse_slice_labels(artifacts->slice_labels_json);
    REQUIRE(labels);
    CHECK(labels->whole.end_s <= duration_s + 1e-9);
    CHECK(parse_scene_tracks(artifacts->scene_tracks_json));
    CHECK(parse_rgb_features(artifacts->rgb_features_json));
  }
  CHECK(complete > 0);
}

TEST_CASE("datapack/portable_recording: a pack made at capture embeds what an export makes of its raw slice") {
  const Made made = record();
  for (const double share : {1.0, 0.9, 0.5}) {
    const auto size = static_cast<size_t>(share * static_cast<double>(made.file.size()));
    auto log = capture::open_log("one.mcap", mcap::memory_source(Bytes::copy_of(made.file.substr(0, size))), {},
                                 {"robot-1", 0, uint64_t{1} << 30, 64u << 20});
    REQUIRE_MESSAGE(log.has_value(), (log ? std::string() : log.error().message()));
    const auto captured = (*log)->next();
    REQUIRE((captured && captured->has_value()));
    REQUIRE((*captured)->portable.complete());
    const auto again = portable_of_recording(mcap::memory_source((*captured)->slice));
    REQUIRE(again);
    CHECK(*again == (*captured)->portable);
  }
}

TEST_CASE("datapack/portable_recording: what is missing is said") {
  PortableArtifacts none;
  CHECK(missing_material(none) == "no camera frames, no poses");
  none.scene_tracks_json = "{}";
  CHECK(missing_material(none) == "no camera frames, no objects");
  none.slice_labels_json = "{}";
  CHECK(missing_material(none) == "no camera frames");
}

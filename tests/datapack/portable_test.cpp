// Portable artifacts: what the builder makes of poses and frames, what the readers take and refuse.
#include "actors/datapack/portable.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "kernels/context.hpp"
#include "kernels/pool.hpp"
#include "tests/support/random_values.hpp"

using namespace drover;
using namespace drover::datapack;

namespace {

std::vector<uint8_t> picture(uint32_t width, uint32_t height, uint64_t seed) {
  std::mt19937_64 rng(seed);
  std::vector<uint8_t> out(size_t{width} * height * 3);
  for (auto& v : out) v = static_cast<uint8_t>(rng());
  return out;
}

PortableBuilder builder_of(const PortableOptions& options = {}) {
  auto builder = PortableBuilder::make(options);
  REQUIRE(builder);
  return std::move(*builder);
}

std::array<double, 4> about_z(double angle_rad) {
  return {std::cos(angle_rad / 2), 0, 0, std::sin(angle_rad / 2)};
}

// A drawer that opens between 2 s and 6 s, a vase that stands half hidden, an arm that swings all the time.
double drawer_m(double t_s) {
  return 0.05 * std::clamp(t_s - 2, 0.0, 4.0);
}
void feed(PortableBuilder& builder, double duration_s, double period_s, size_t links) {
  for (int64_t i = 0; static_cast<double>(i) * period_s <= duration_s; ++i) {
    const double t = static_cast<double>(i) * period_s;
    REQUIRE(builder.add_pose({t, "drawer", {0.5, drawer_m(t), 0.7}, {{1, 0, 0, 0}}, 0.1, true}));
    REQUIRE(builder.add_pose({t, "vase", {0.4, -0.1, 0.9}, {{1, 0, 0, 0}}, 0.5, true}));
    for (size_t l = 0; l < links; ++l) {
      const std::string name = test::labelled("link_", l);
      const double a = 0.3 * t + static_cast<double>(l);
      REQUIRE(builder.add_pose({t, name, {std::cos(a), std::sin(a), 0.1 * a}, about_z(a), 0, false}));
    }
    if (!builder.wants_frame(t, "front")) continue;
    REQUIRE(builder.add_frame({t, "front", 16, 12, picture(16, 12, static_cast<uint64_t>(i))}));
  }
}

PortableArtifacts finished(PortableBuilder& builder, double duration_s) {
  auto artifacts = builder.finish(duration_s);
  REQUIRE_MESSAGE(artifacts.has_value(), (artifacts ? std::string() : artifacts.error().message()));
  return std::move(*artifacts);
}

PortableArtifacts usual() {
  auto builder = builder_of();
  feed(builder, 10, 0.04, 3);
  return finished(builder, 10);
}

template <class T>
std::string where(const Result<T>& result) {
  return result ? "accepted" : result.error().where;
}

// The JSON with one value replaced (a null pointer removes nothing: use `erase`).
std::string with(const std::string& json, const std::string& pointer, const nlohmann::json& value) {
  auto parsed = nlohmann::json::parse(json);
  parsed[nlohmann::json::json_pointer(pointer)] = value;
  return parsed.dump();
}
std::string without(const std::string& json, const std::string& key) {
  auto parsed = nlohmann::json::parse(json);
  REQUIRE(parsed.erase(key) == 1);
  return parsed.dump();
}

Datapack pack_with(PortableArtifacts artifacts) {
  Datapack pack;
  pack.pack_id = "dp-1";
  pack.task_name = "drawer_vase";
  pack.raw_data_path = "/data/raw.mcap";
  pack.skill_trace.push_back({0, 0, 1, "success", ""});
  attach_portable(std::move(artifacts), pack);
  return pack;
}

}  // namespace

TEST_CASE("datapack/portable: tracks read back as they were fed, on a grid, with what stands still once") {
  const auto tracks = parse_scene_tracks(usual().scene_tracks_json);
  REQUIRE(tracks);
  CHECK(tracks->version == "v1");
  REQUIRE(tracks->times_s.size() == 101);
  CHECK(tracks->times_s[37] == 3.7);
  REQUIRE(tracks->tracks.size() == 5);
  const Track* vase = tracks->find("vase");
  const Track* drawer = tracks->find("drawer");
  const Track* link = tracks->find("link_1");
  REQUIRE((vase != nullptr && drawer != nullptr && link != nullptr));
  CHECK(tracks->find("lamp") == nullptr);
  CHECK((vase->is_object && drawer->is_object && !link->is_object));
  CHECK(vase->samples.size() == 1);
  CHECK(vase->at(100) == TrackSample{{0.4, -0.1, 0.9}, {{1, 0, 0, 0}}, 0.5});
  for (size_t k = 0; k < 101; ++k) {
    const double t = tracks->times_s[k], a = 0.3 * t + 1;
    CHECK(std::abs(drawer->at(k).position_m[1] - drawer_m(t)) < 3e-4);  // 2 s is no multiple of 0.04 s on the way
    CHECK(std::abs(link->at(k).position_m[0] - std::cos(a)) < 1e-4);
    CHECK(std::abs(link->at(k).rotation_wxyz[3] - std::sin(a / 2)) < 1e-4);
  }
}

TEST_CASE("datapack/portable: features are those of the first frame of each window, to the last bit") {
  const auto features = parse_rgb_features(usual().rgb_features_json);
  REQUIRE(features);
  CHECK(features->encoder == "vision_rgb::deterministic_pool_v1");
  CHECK(features->dim == 64);
  CHECK(features->pooling == "mean");
  CHECK(features->stride_s == 0.5);
  REQUIRE(features->cameras.size() == 1);
  const CameraFeatures& front = features->cameras[0];
  CHECK(front.camera == "front");
  REQUIRE(front.times_s.size() == 21);
  CHECK(front.times_s[1] == doctest::Approx(0.52));
  const auto context = kernels::Context::make({});
  REQUIRE(context);
  for (size_t row = 0; row < 21; ++row) {
    const auto rgb = picture(16, 12, static_cast<uint64_t>(std::llround(front.times_s[row] / 0.04)));
    std::array<float, 64> want{};
    REQUIRE(kernels::pool_frames(**context, rgb, {12, 16}, want));
    CHECK(std::equal(want.begin(), want.end(), front.features.begin() + static_cast<ptrdiff_t>(row * 64)));
  }
}

TEST_CASE("datapack/portable: labels say how hidden and how lively the objects were") {
  const auto labels = parse_slice_labels(usual().slice_labels_json);
  REQUIRE(labels);
  CHECK(labels->whole == SliceLabel{0, 10, 0.5, true, 0.4, true, false});  // the vase; 4 s of 10
  REQUIRE(labels->slices.size() == 5);
  CHECK(labels->slices[0] == SliceLabel{0, 2, 0.5, true, 0, false, true});
  CHECK(labels->slices[1] == SliceLabel{2, 4, 0.5, true, 1, true, false});
  CHECK(labels->slices[2] == SliceLabel{4, 6, 0.5, true, 1, true, false});
  CHECK(labels->slices[4] == SliceLabel{8, 10, 0.5, true, 0, false, true});

  // Turning counts, the robot does not, and a vase hidden for a part of the time counts for that part.
  auto builder = builder_of();
  for (int i = 0; i <= 40; ++i) {
    const double t = 0.1 * i;
    REQUIRE(builder.add_pose({t, "arm", {t, 0, 0}, about_z(t), 0, false}));
    REQUIRE(builder.add_pose({t, "vase", {0, 0, 0}, about_z(t < 1.95 ? 0 : 0.2 * t), i < 20 ? 1.0 : 0.0, true}));
  }
  const auto turned = parse_slice_labels(finished(builder, 4).slice_labels_json);
  REQUIRE(turned);
  REQUIRE(turned->slices.size() == 2);
  CHECK(turned->slices[0].motion_score == 0.05);  // one step of 20: where the turn begins
  CHECK(turned->slices[0].is_static);
  CHECK(turned->slices[0].occlusion_level == 1);
  CHECK(turned->slices[1].motion_score == 1);
  CHECK(turned->slices[1].occlusion_level == 0);
  CHECK_FALSE(turned->whole.is_occluded);
}

TEST_CASE("datapack/portable: the same calls give the same text") {
  CHECK(usual() == usual());
}

TEST_CASE("datapack/portable: the documented example is what the builder writes") {
  auto builder = builder_of();
  for (int i = 0; i <= 4; ++i) {
    const double t = 0.1 * i;
    REQUIRE(builder.add_pose({t, "drawer", {0.5, 0.02 * i, 0.7}, {{1, 0, 0, 0}}, 0.1, true}));
    REQUIRE(builder.add_pose({t, "gripper", {0.4, 0.02 * i, 0.75}, {{0, 1, 0, 0}}, 0, false}));
  }
  const std::vector<uint8_t> grey(8 * 8 * 3, 51);
  REQUIRE(builder.add_frame({0, "front", 8, 8, grey}));
  const auto artifacts = finished(builder, 0.4);
  const char* source = std::getenv("DROVER_SOURCE_DIR");
  if (source == nullptr) {
    MESSAGE("DROVER_SOURCE_DIR is not set: the document is not compared");
    return;
  }
  std::ifstream file(std::string(source) + "/actors/datapack/PORTABLE.md");
  std::stringstream document;
  document << file.rdbuf();
  CHECK_MESSAGE(document.str().find(artifacts.scene_tracks_json) != std::string::npos, artifacts.scene_tracks_json);
  CHECK_MESSAGE(document.str().find(artifacts.slice_labels_json) != std::string::npos, artifacts.slice_labels_json);
  CHECK(artifacts.rgb_features_json.starts_with(
      R"({"encoder":"vision_rgb::deterministic_pool_v1","dim":64,"pooling":"mean","stride_seconds":0.5,)"
      R"("camera":"front","times_s":[0],"features":[[0.2,0.2,0.2,0,0.2,0.2,0.2,0,)"));
}

TEST_CASE("datapack/portable: long episodes get longer strides, not more bytes") {
  for (const double duration_s : {10.0, 60.0, 1200.0}) {
    auto builder = builder_of();
    feed(builder, duration_s, 0.1, 12);
    const auto artifacts = finished(builder, duration_s);
    const size_t bytes =
        artifacts.scene_tracks_json.size() + artifacts.rgb_features_json.size() + artifacts.slice_labels_json.size();
    MESSAGE(duration_s << " s, 14 tracks: " << artifacts.scene_tracks_json.size() << " + "
                       << artifacts.rgb_features_json.size() << " + " << artifacts.slice_labels_json.size()
                       << " bytes");
    CHECK(bytes <= PortableOptions{}.text_max_bytes);
    CHECK(bytes > PortableOptions{}.text_max_bytes / 4);
    const auto tracks = parse_scene_tracks(artifacts.scene_tracks_json);
    const auto features = parse_rgb_features(artifacts.rgb_features_json);
    const auto labels = parse_slice_labels(artifacts.slice_labels_json);
    REQUIRE((tracks && features && labels));
    const double stride_s = tracks->times_s[1];
    CHECK(tracks->times_s.back() > duration_s - stride_s - 1e-9);
    for (size_t k = 0; k < tracks->times_s.size(); ++k)
      CHECK(std::abs(tracks->find("link_7")->at(k).position_m[1] - std::sin(0.3 * tracks->times_s[k] + 7)) < 2e-4);
    CHECK(features->cameras[0].times_s.back() >= duration_s - features->stride_s - 0.5);
    CHECK(labels->slices.size() <= 32);
    CHECK(labels->slices.back().end_s == doctest::Approx(duration_s));
    CHECK(check_portable(pack_with(artifacts)));
  }
}

TEST_CASE("datapack/portable: merged windows are the mean over all their frames") {
  PortableOptions options;
  options.text_max_bytes = 16 << 10;  // 8 KiB of features: about 11 rows
  auto builder = builder_of(options);
  std::vector<uint8_t> all;
  for (int i = 0; i < 40; ++i) {
    const auto rgb = picture(8, 8, static_cast<uint64_t>(i));
    REQUIRE(builder.add_frame({0.5 * i, "front", 8, 8, rgb}));
    if (i >= 4 && i < 8) all.insert(all.end(), rgb.begin(), rgb.end());
  }
  const auto features = parse_rgb_features(finished(builder, 20).rgb_features_json);
  REQUIRE(features);
  REQUIRE(features->stride_s == 2);
  REQUIRE(features->cameras[0].times_s.size() == 10);
  CHECK(features->cameras[0].times_s[1] == 2);
  kernels::PoolSums sums;
  const auto context = kernels::Context::make({});
  REQUIRE(kernels::pool_add(**context, all, {8, 8}, sums));
  const auto want = kernels::pool_finish(sums);
  REQUIRE(want);
  CHECK(std::equal(want->begin(), want->end(), features->cameras[0].features.begin() + 64));
}

TEST_CASE("datapack/portable: things that come late, early, once or behind the end") {
  auto builder = builder_of();
  REQUIRE(builder.add_pose({0, "wall", {1, 2, 3}, {{0, 0, 0, -2}}, 0, true}));      // once
  REQUIRE(builder.add_pose({0.55, "cup", {0, 0, 0}, {{1, 0, 0, 0}}, 0, true}));     // late
  REQUIRE(builder.add_pose({0.95, "cup", {0.4, 0, 0}, {{-1, 0, 0, 0}}, 1, true}));  // the same rotation
  REQUIRE(builder.add_pose({9.0, "cup", {7, 7, 7}, {{1, 0, 0, 0}}, 0, true}));      // behind the end
  REQUIRE(builder.add_frame({0.7, "b", 8, 8, picture(8, 8, 1)}));
  REQUIRE(builder.add_frame({0.8, "a", 8, 8, picture(8, 8, 2)}));
  REQUIRE(builder.add_frame({5.0, "b", 8, 8, picture(8, 8, 3)}));
  const auto artifacts = finished(builder, 0.95);
  const auto tracks = parse_scene_tracks(artifacts.scene_tracks_json);
  REQUIRE(tracks);
  REQUIRE(tracks->times_s.size() == 10);
  CHECK(tracks->find("wall")->samples.size() == 1);
  CHECK(tracks->find("wall")->at(9).rotation_wxyz == std::array<double, 4>{0, 0, 0, -1});
  CHECK(tracks->find("cup")->at(5).position_m[0] == 0);
  CHECK(tracks->find("cup")->at(6).position_m[0] == 0.05);
  CHECK(tracks->find("cup")->at(6).occluded == 0.125);
  CHECK(tracks->find("cup")->at(9).rotation_wxyz[0] == 1);
  const auto features = parse_rgb_features(artifacts.rgb_features_json);
  REQUIRE(features);
  REQUIRE(features->cameras.size() == 2);
  CHECK(features->cameras[0].camera == "b");  // the first that gave a frame
  CHECK(features->cameras[0].times_s == std::vector<double>{0.7});
  CHECK(features->cameras[1].camera == "a");

  auto poor = builder_of();
  CHECK(finished(poor, 1) == PortableArtifacts{});
  auto robot_only = builder_of();
  REQUIRE(robot_only.add_pose({0, "arm", {0, 0, 0}, {{1, 0, 0, 0}}, 0, false}));
  const auto partial = finished(robot_only, 1);
  CHECK_FALSE(partial.scene_tracks_json.empty());
  CHECK(partial.slice_labels_json.empty());
}

TEST_CASE("datapack/portable: the shortest and the longest episode") {
  for (const double duration_s : {1e-3, 0.05, 0.1, 1e7}) {
    CAPTURE(duration_s);
    PortableOptions options;
    options.pose_stride_s = duration_s > 1 ? 60 : 0.1;
    options.frame_stride_s = duration_s > 1 ? 60 : 0.5;
    auto builder = builder_of(options);
    for (const double t_s : {0.0, duration_s}) {
      REQUIRE(builder.add_pose({t_s, "vase", {t_s / duration_s, 0, 0}, {{1, 0, 0, 0}}, 1, true}));
      REQUIRE(builder.add_frame({t_s, "front", 8, 8, picture(8, 8, 1)}));
    }
    const auto pack = pack_with(finished(builder, duration_s));
    CHECK(pack.schema_version == "2.1-portable");
    const Status good = check_portable(pack);
    CHECK_MESSAGE(good.has_value(), (good ? std::string() : good.error().message()));
    const auto labels = parse_slice_labels(pack.slice_labels_json);
    REQUIRE(labels);
    CHECK(labels->whole.end_s == duration_s);
    CHECK(labels->whole.is_occluded);
  }
}

TEST_CASE("datapack/portable: the builder refuses what cannot be, by name, and goes on") {
  const auto refused = [](auto change) {
    PortableOptions options;
    change(options);
    const auto builder = PortableBuilder::make(options);
    return builder ? "accepted" : builder.error().where;
  };
  CHECK(refused([](auto& o) { o.pose_stride_s = 0; }) == "pose_stride_s");
  CHECK(refused([](auto& o) { o.frame_stride_s = NAN; }) == "frame_stride_s");
  CHECK(refused([](auto& o) { o.slice_s = -1; }) == "slice_s");
  CHECK(refused([](auto& o) { o.text_max_bytes = 100; }) == "text_max_bytes");
  CHECK(refused([](auto& o) { o.occluded_at = 1.5; }) == "occluded_at");

  auto builder = builder_of();
  const auto pose = [&](PoseSample p) {
    const Status status = builder.add_pose(p);
    return status ? std::string("accepted") : status.error().where;
  };
  CHECK(pose({1, "a", {}, {{1, 0, 0, 0}}, 0, true}) == "accepted");
  CHECK(pose({0.5, "a", {}, {{1, 0, 0, 0}}, 0, true}) == "t_s");
  CHECK(pose({-1, "b", {}, {{1, 0, 0, 0}}, 0, true}) == "t_s");
  CHECK(pose({NAN, "b", {}, {{1, 0, 0, 0}}, 0, true}) == "t_s");
  CHECK(pose({1, "", {}, {{1, 0, 0, 0}}, 0, true}) == "name");
  CHECK(pose({1, "a\"b", {}, {{1, 0, 0, 0}}, 0, true}) == "name");
  CHECK(pose({1, "a\xc3\xa9", {}, {{1, 0, 0, 0}}, 0, true}) == "name");
  CHECK(pose({1, "b", {INFINITY, 0, 0}, {{1, 0, 0, 0}}, 0, true}) == "position_m");
  CHECK(pose({1, "b", {}, {{0, 0, 0, 0}}, 0, true}) == "rotation_wxyz");
  CHECK(pose({1, "b", {}, {{1, 0, 0, 0}}, 1.1, true}) == "occluded");
  for (size_t i = 1; i < PortableBuilder::tracks_max; ++i)
    REQUIRE(pose({1, test::labelled("n", i), {}, {{1, 0, 0, 0}}, 0, true}) == "accepted");
  CHECK(pose({1, "one_more", {}, {{1, 0, 0, 0}}, 0, true}) == "name");

  const auto rgb = picture(8, 8, 1);
  CHECK(builder.add_frame({0, "front", 8, 8, rgb}));
  CHECK_FALSE(builder.wants_frame(0.4, "front"));
  CHECK(builder.add_frame({0.4, "front", 8, 8, rgb}));  // not wanted: ignored
  CHECK(builder.wants_frame(0.5, "front"));
  CHECK_FALSE(builder.wants_frame(NAN, "front"));
  CHECK_FALSE(builder.add_frame({0.5, "front", 8, 7, rgb}));
  CHECK_FALSE(builder.add_frame({0.5, "front", 4, 4, std::span(rgb).first(48)}));  // another size
  CHECK_FALSE(builder.add_frame({0.5, "top", 8, 8, std::span(rgb).first(100)}));
  CHECK_FALSE(builder.add_frame({0.5, "top", 2, 2, std::span(rgb).first(12)}));
  CHECK_FALSE(builder.add_frame({0.5, "two", 8, 4, rgb}));  // two frames at once
  for (const char* camera : {"b", "c", "d"}) CHECK(builder.add_frame({0, camera, 8, 8, rgb}));
  CHECK_FALSE(builder.wants_frame(0, "e"));
  CHECK_FALSE(builder.add_frame({0, "e", 8, 8, rgb}));
  CHECK_FALSE(builder.finish(0));
  CHECK_FALSE(builder.finish(NAN));
  CHECK(builder.finish(1));
}

TEST_CASE("datapack/portable: readers refuse what breaks the format and name the field") {
  const auto good = usual();
  const auto tracks = [&](const std::string& pointer, const nlohmann::json& value) {
    return where(parse_scene_tracks(with(good.scene_tracks_json, pointer, value)));
  };
  CHECK(tracks("/x", 1) == "accepted");  // unknown fields are no matter
  CHECK(tracks("/scene_tracks_v1~1version", {"v2"}) == "scene_tracks_v1/version");
  CHECK(tracks("/scene_tracks_v1~1version", "v1") == "scene_tracks_v1/version");
  CHECK(tracks("/scene_tracks_v1~1times_s", nlohmann::json::array()) == "scene_tracks_v1/times_s");
  CHECK(tracks("/scene_tracks_v1~1times_s/3", 0.2) == "scene_tracks_v1/times_s[3]");
  CHECK(tracks("/scene_tracks_v1~1times_s/3", "x") == "scene_tracks_v1/times_s[3]");
  CHECK(tracks("/scene_tracks_v1~1poses_t/link_0/7", {1, 2}) == "scene_tracks_v1/poses_t.link_0[7]");
  CHECK(tracks("/scene_tracks_v1~1poses_t/link_0/7/2", 1e300) == "scene_tracks_v1/poses_t.link_0[7][2]");
  CHECK(tracks("/scene_tracks_v1~1poses_t/link_0/7", {1, 2, 3, 4}) == "scene_tracks_v1/poses_t.link_0[7]");
  CHECK(tracks("/scene_tracks_v1~1poses_t/link_0/7", {1, nlohmann::json::array({2}), 3}) ==
        "scene_tracks_v1/poses_t.link_0[7][1]");
  CHECK(tracks("/scene_tracks_v1~1poses_t/link_0/7", "1,2,3") == "scene_tracks_v1/poses_t.link_0[7]");
  CHECK(tracks("/scene_tracks_v1~1poses_t/link_0", {{1, 2, 3}, {1, 2, 3}}) == "scene_tracks_v1/poses_t.link_0");
  CHECK(tracks("/scene_tracks_v1~1poses_t/ghost", {{1, 2, 3}}) == "scene_tracks_v1/poses_q_wxyz");
  CHECK(tracks("/scene_tracks_v1~1poses_t", nlohmann::json::object()) == "scene_tracks_v1/poses_t");
  CHECK(tracks("/scene_tracks_v1~1poses_t", "...") == "scene_tracks_v1/poses_t");
  CHECK(tracks("/scene_tracks_v1~1poses_q_wxyz/vase/0", {0.5, 0, 0, 0}) == "scene_tracks_v1/poses_q_wxyz.vase[0]");
  CHECK(tracks("/scene_tracks_v1~1poses_q_wxyz/ghost", {{1, 0, 0, 0}}) == "scene_tracks_v1/poses_q_wxyz.ghost");
  CHECK(tracks("/scene_tracks_v1~1occlusion/vase/0", 1.5) == "scene_tracks_v1/occlusion.vase[0]");
  CHECK(tracks("/scene_tracks_v1~1objects/0", "ghost") == "scene_tracks_v1/objects[0]");
  CHECK(where(parse_scene_tracks(without(good.scene_tracks_json, "scene_tracks_v1/occlusion"))) ==
        "scene_tracks_v1/occlusion");

  const auto features = [&](const std::string& pointer, const nlohmann::json& value) {
    return where(parse_rgb_features(with(good.rgb_features_json, pointer, value)));
  };
  CHECK(features("/x", 1) == "accepted");
  CHECK(features("/encoder", "") == "rgb_features_v1.encoder");
  CHECK(features("/dim", 63) == "rgb_features_v1.features[0]");
  CHECK(features("/dim", 0) == "rgb_features_v1.dim");
  CHECK(features("/dim", 64.5) == "rgb_features_v1.dim");
  CHECK(features("/stride_seconds", 0) == "rgb_features_v1.stride_seconds");
  CHECK(features("/features", "...") == "rgb_features_v1.features");
  CHECK(features("/features/2/5", nullptr) == "rgb_features_v1.features[2][5]");
  CHECK(features("/features/2/5", 1e39) == "rgb_features_v1.features[2][5]");
  CHECK(features("/times_s", {0, 1}) == "rgb_features_v1.times_s");
  CHECK(features("/other_cameras", {{"front", 1}}) == "rgb_features_v1.other_cameras.front");
  CHECK(where(parse_rgb_features(without(good.rgb_features_json, "pooling"))) == "rgb_features_v1.pooling");
  const auto timeless = parse_rgb_features(without(good.rgb_features_json, "times_s"));
  REQUIRE(timeless);
  CHECK(timeless->cameras[0].times_s[3] == 1.5);

  const auto labels = [&](const std::string& pointer, const nlohmann::json& value) {
    return where(parse_slice_labels(with(good.slice_labels_json, pointer, value)));
  };
  CHECK(labels("/x", 1) == "accepted");
  CHECK(labels("/occlusion_level", -0.1) == "slice_labels_v1.occlusion_level");
  CHECK(labels("/is_static", true) == "slice_labels_v1");
  CHECK(labels("/is_static", 1) == "slice_labels_v1.is_static");
  CHECK(labels("/end_s", -1) == "slice_labels_v1.end_s");
  CHECK(labels("/slices/1/start_s", 1.5) == "slice_labels_v1.slices[1]");
  CHECK(labels("/slices/1/motion_score", 2) == "slice_labels_v1.slices[1].motion_score");
  // The five labels alone, as other producers write them.
  CHECK(parse_slice_labels(
      R"({"occlusion_level":0.6,"is_occluded":true,"motion_score":0.2,"is_dynamic":true,"is_static":false})"));
}

TEST_CASE("datapack/portable: a portable pack has all three artifacts and no raw data") {
  const auto pack = pack_with(usual());
  CHECK(pack.schema_version == "2.1-portable");
  CHECK(pack.raw_data_path.empty());
  CHECK(validate(pack));
  CHECK(check_portable(pack));

  PortableArtifacts partial = usual();
  partial.rgb_features_json.clear();
  auto without_frames = pack_with(partial);
  CHECK(without_frames.schema_version == "2.0-energy");
  CHECK(without_frames.raw_data_path == "/data/raw.mcap");
  CHECK(check_portable(without_frames));
  without_frames.schema_version = "2.1-portable";
  CHECK(check_portable(without_frames).error().where == "rgb_features_v1");

  auto broken = pack;
  broken.slice_labels_json = std::string("{}");
  CHECK(check_portable(broken).error().where == "slice_labels_v1.occlusion_level");
  broken = pack;
  broken.raw_data_path = pack.pack_id;
  CHECK(check_portable(broken).error().where == "raw_data_path");
  broken = pack;
  broken.schema_version = "2.0-energy";
  broken.scene_tracks_json = std::string("[]");
  CHECK(check_portable(broken).error().where == "scene_tracks_v1");
}

TEST_CASE("datapack/portable: damaged text is refused or reads as something in range") {
  const auto good = usual();
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  test::Rng rng(seed);
  const auto read_all = [](const std::string& text) {
    (void)parse_rgb_features(text);
    (void)parse_slice_labels(text);
    const auto tracks = parse_scene_tracks(text);
    if (!tracks) return;
    for (const Track& track : tracks->tracks)
      for (size_t k = 0; k < tracks->times_s.size(); ++k)
        REQUIRE((track.at(k).occluded >= 0 && track.at(k).occluded <= 1));
  };
  for (const std::string* text : {&good.scene_tracks_json, &good.rgb_features_json, &good.slice_labels_json}) {
    for (int i = 0; i < 150; ++i) {
      const std::string cut = text->substr(0, test::below(rng, text->size()));
      REQUIRE_FALSE(parse_scene_tracks(cut));
      REQUIRE_FALSE(parse_rgb_features(cut));
      REQUIRE_FALSE(parse_slice_labels(cut));
      std::string flipped = *text;
      flipped[test::below(rng, flipped.size())] ^= static_cast<char>(1 << test::below(rng, 8));
      read_all(flipped);
    }
  }
  for (const char* odd : {"", "null", "[]", "{", "{} x", R"({"a":1,"a":1})", "{\"a\":\"\x80\"}"})
    CHECK_FALSE(parse_scene_tracks(odd));
  CHECK_FALSE(parse_scene_tracks(std::string(100'000, '[')));
  CHECK(parse_scene_tracks(std::string(portable_text_max_bytes + 1, ' ')).error().where == "scene_tracks_v1");
}

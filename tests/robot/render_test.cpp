// What worlds show: pictures, the scene's truth, contacts; and that looking changes nothing.
//
// Pictures need a graphics driver (software will do); where there is none their cases say so and pass.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <set>
#include <sstream>
#include <thread>

#include "actors/robot/episode.hpp"
#include "actors/robot/mujoco_world.hpp"
#include "actors/robot/script.hpp"
#include "actors/runtime/rng.hpp"

using namespace drover;
using namespace drover::robot;

namespace {

namespace fs = std::filesystem;

std::string folder() {
  const char* source = std::getenv("DROVER_SOURCE_DIR");
  return std::string(source == nullptr ? "." : source) + "/configs/worlds/drawer_vase";
}

// A world whose set "plain" draws just this.
std::unique_ptr<World> make_plain(const std::string& condition) {
  const fs::path copy = fs::temp_directory_path() / ("drover-render-test-" + std::to_string(::getpid()));
  fs::create_directories(copy);
  fs::copy_file(folder() + "/model.xml", copy / "model.xml", fs::copy_options::overwrite_existing);
  std::stringstream text;
  text << std::ifstream(folder() + "/world.toml").rdbuf() << "\n[condition.plain]\n" << condition;
  std::ofstream(copy / "world.toml") << text.str();
  auto worlds = MujocoWorlds::load(copy.string());
  fs::remove_all(copy);
  REQUIRE_MESSAGE(worlds, worlds.error().message());
  auto world = worlds->make();
  REQUIRE_MESSAGE(world, world.error().message());
  REQUIRE((*world)->reset(5, "plain"));
  return std::move(*world);
}

std::unique_ptr<World> make() {
  auto worlds = MujocoWorlds::load(folder());
  REQUIRE_MESSAGE(worlds, worlds.error().message());
  auto world = worlds->make();
  REQUIRE_MESSAGE(world, world.error().message());
  return std::move(*world);
}

// Empty where this machine makes no pictures.
Image shoot(World& world, const ViewRequest& view = {}) {
  Image image;
  const Status drawn = world.render(view, image);
  if (!drawn && drawn.error().code == Errc::unavailable) {
    MESSAGE("no pictures here: ", drawn.error().message());
    return {};
  }
  REQUIRE_MESSAGE(drawn, drawn.error().message());
  REQUIRE(image.width == view.width);
  REQUIRE(image.height == view.height);
  REQUIRE(image.rgb.size() == size_t{3} * view.width * view.height);
  return image;
}

double mean(const Image& image) {
  return std::accumulate(image.rgb.begin(), image.rgb.end(), 0.0) / static_cast<double>(image.rgb.size());
}

const SceneFrame& frame(const World& world, std::string_view name) {
  for (const SceneFrame& one : world.scene())
    if (one.name == name) return one;
  FAIL("no frame " << name);
  return world.scene().front();
}

Action hold(const World& world) {
  return {world.info().home_rad, world.info().gripper_open_m, 0};
}

struct Pixel {
  double x = 0, y = 0;
};
// Where a point of the world is in a square picture, by what CameraInfo says.
Pixel project(const CameraInfo& camera, const Vec3& point_m, double size) {
  const Vec3 p = relative(camera.in_link, {point_m, identity3}).position_m;  // a camera fixed to the world
  const double focal = size / 2 / std::tan(camera.fovy_deg * 3.14159265358979 / 360);
  return {size / 2 + focal * p[0] / -p[2], size / 2 - focal * p[1] / -p[2]};
}

class BlindWorld : public World {
 public:
  const WorldInfo& info() const override { return info_; }
  Status reset(uint64_t, std::string_view) override { return {}; }
  Status step(const Action&) override { return {}; }
  const Observation& observe() const override { return seen_; }
  const EnergyMeter& energy() const override { return meter_; }
  const std::vector<WorldEvent>& events() const override { return events_; }
  Outcome outcome() const override { return {}; }
  const Condition& condition() const override { return condition_; }
  uint64_t state_hash() const override { return 0; }

 private:
  WorldInfo info_;
  Observation seen_;
  EnergyMeter meter_{{}};
  std::vector<WorldEvent> events_;
  Condition condition_;
};

}  // namespace

TEST_CASE("robot/world: quaternions turn as their rotations do, whatever the axis and the angle") {
  runtime::Rng rng(7);
  for (int i = 0; i < 500; ++i) {
    Vec3 axis = {2 * rng.uniform() - 1, 2 * rng.uniform() - 1, 2 * rng.uniform() - 1};
    axis = (1 / norm(axis)) * axis;
    const double angle = i < 20 ? 3.14159265358979 : 6.28 * rng.uniform() - 3.14;
    const auto [w, x, y, z] = quaternion(rotation(axis, angle));
    CHECK(w >= 0);
    CHECK(std::abs(w - std::abs(std::cos(angle / 2))) < 1e-9);
    const double sign = std::cos(angle / 2) < 0 ? -1 : 1, s = std::sin(angle / 2);
    if (std::abs(w) > 1e-6) {
      CHECK(std::abs(x - sign * s * axis[0]) < 1e-9);
      CHECK(std::abs(y - sign * s * axis[1]) < 1e-9);
      CHECK(std::abs(z - sign * s * axis[2]) < 1e-9);
    }
  }
}

TEST_CASE("robot/scene: frames have the same names in the same order after every reset, and parents that exist") {
  auto world = make();
  std::vector<std::string> first;
  for (const uint64_t seed : {1, 2, 3, 4, 5, 6}) {
    REQUIRE(world->reset(seed, "hard"));
    std::vector<std::string> names;
    std::set<std::string_view> known = {"world"};
    for (const SceneFrame& one : world->scene()) {
      names.emplace_back(one.name);
      CHECK(known.insert(one.name).second);
      CHECK(one.occluded >= 0);
      CHECK(one.occluded <= 1);
    }
    for (const SceneFrame& one : world->scene()) CHECK(known.count(one.parent) == 1);
    if (first.empty()) first = names;
    CHECK(names == first);
  }
  CHECK(first.front() == "base");
  for (const char* object : {"drawer", "vase", "handle"}) CHECK(frame(*world, object).is_object);
  for (const char* other : {"hand", "finger_l", "tcp", "cabinet", "table"}) CHECK_FALSE(frame(*world, other).is_object);
  CHECK(frame(*world, "handle").parent == "drawer");
  CHECK(frame(*world, "drawer").parent == "cabinet");
  CHECK(frame(*world, "vase").parent == "world");
}

TEST_CASE("robot/scene: poses are those of the very state the joints are read in") {
  auto world = make();
  REQUIRE(world->reset(3, "nominal"));
  Action action = hold(*world);
  for (int k = 0; k < 12; ++k) {
    action.joint_target_rad[0] += 0.02;
    REQUIRE(world->step(action));
    const Pose& tool = world->observe().tool;
    CHECK(norm(frame(*world, "tcp").pose.position_m - tool.position_m) < 1e-9);
    for (size_t i = 0; i < 9; ++i)
      CHECK(std::abs(frame(*world, "tcp").pose.orientation[i] - tool.orientation[i]) < 1e-9);
  }
  const double arm_moved =
      norm(frame(*world, "tcp").pose.position_m - forward(world->info().arm, world->info().home_rad).position_m);
  CHECK(arm_moved > 0.02);
}

TEST_CASE("robot/scene: the vase presses on what it stands on with its weight; fingers touch the handle they pull") {
  auto world = make();
  REQUIRE(world->reset(1, "nominal"));
  for (int k = 0; k < 10; ++k) REQUIRE(world->step(hold(*world)));
  const double weight_N = 0.30 * world->condition().number("vase_mass_factor") * 9.81;
  double pressed_N = 0;
  for (const Contact& contact : world->contacts())
    if (contact.a == "cabinet" && contact.b == "vase") pressed_N = contact.force_N;
  CHECK(std::abs(pressed_N - weight_N) < 0.02 * weight_N);

  auto graph = SkillGraph::load(folder() + "/skills.toml");
  REQUIRE(graph);
  ScriptedSkills script(*graph);
  int pulled = 0;
  EpisodeRequest request{1, "nominal", {}};
  request.observer = [&](const Action&, const World& now) {
    double last_N = 1e9;
    bool left = false, right = false;
    for (const Contact& contact : now.contacts()) {
      CHECK(contact.a < contact.b);
      CHECK(contact.force_N > 0);
      CHECK(contact.force_N <= last_N);
      last_N = contact.force_N;
      left = left || (contact.a == "finger_l" && contact.b == "handle");
      right = right || (contact.a == "finger_r" && contact.b == "handle");
    }
    pulled += left && right ? 1 : 0;
  };
  REQUIRE(run_episode(*world, script, request));
  CHECK(pulled > 25);  // more than a second
}

TEST_CASE("robot/scene: occluders hide objects from the main camera, more of them hide more") {
  const auto hidden = [](const char* condition) {
    auto world = make_plain(condition);
    double sum = 0;
    for (uint64_t seed = 0; seed < 40; ++seed) {
      REQUIRE(world->reset(seed, "plain"));
      for (const SceneFrame& one : world->scene()) sum += one.is_object ? one.occluded : 0;
    }
    return sum / (40 * 3);
  };
  const double none = hidden("occlusion_level = [0.0, 0.0]"), some = hidden("occlusion_level = [0.3, 0.3]"),
               much = hidden("occlusion_level = [0.7, 0.7]");
  CHECK(none < 0.1);
  CHECK(some > none + 0.1);
  CHECK(much > some + 0.1);
}

TEST_CASE("robot/render: the same seed gives the same bytes, in a used and in a new world, on any thread") {
  auto world = make(), other = make();
  REQUIRE(world->reset(9, "hard"));
  const Image first = shoot(*world);
  if (first.rgb.empty()) return;
  REQUIRE(world->step(hold(*world)));
  const Image later = shoot(*world);
  CHECK(later.rgb != first.rgb);  // the noise at least is another one
  REQUIRE(world->reset(9, "hard"));
  CHECK(shoot(*world).rgb == first.rgb);
  CHECK(shoot(*world, {"wrist", 64, 48, false}).rgb != shoot(*world, {"top", 64, 48, false}).rgb);
  CHECK(shoot(*world).rgb == first.rgb);  // whatever was drawn between
  REQUIRE(other->reset(9, "hard"));
  Image far;
  std::thread([&] { far = shoot(*other); }).join();
  CHECK(far.rgb == first.rgb);
  CHECK(shoot(*other).rgb == first.rgb);
}

TEST_CASE("robot/render: looking does not change the physics") {
  auto graph = SkillGraph::load(folder() + "/skills.toml");
  REQUIRE(graph);
  auto world = make();
  ScriptedSkills script(*graph);
  auto unseen = run_episode(*world, script, {6, "hard", {}});
  REQUIRE(unseen);
  int looks = 0;
  Image image;
  EpisodeRequest request{6, "hard", {}};
  request.observer = [&](const Action&, const World& now) {
    if (++looks % 20 == 0) (void)world->render({"front", 32, 32, looks % 40 == 0}, image);
    CHECK_FALSE(now.scene().empty());
    (void)now.contacts();
  };
  ScriptedSkills again(*graph);
  auto seen = run_episode(*world, again, request);
  REQUIRE(seen);
  CHECK(looks > 100);
  CHECK(seen->hash == unseen->hash);
}

TEST_CASE("robot/render: light and noise are as the condition says") {
  const auto picture = [](const std::string& lighting, const char* noise) {
    auto world = make_plain("lighting = [\"" + lighting + "\"]\ncamera_noise = " + noise);
    return shoot(*world);
  };
  const Image normal = picture("normal", "[0.0, 0.0]");
  if (normal.rgb.empty()) return;
  CHECK(mean(picture("dim", "[0.0, 0.0]")) < mean(normal) - 15);
  CHECK(mean(picture("bright", "[0.0, 0.0]")) > mean(normal) + 10);
  CHECK(picture("side", "[0.0, 0.0]").rgb != picture("backlit", "[0.0, 0.0]").rgb);
  const Image noisy = picture("normal", "[0.05, 0.05]");
  CHECK(std::abs(mean(noisy) - mean(normal)) < 0.5);
  double squares = 0;
  for (size_t i = 0; i < noisy.rgb.size(); ++i) squares += std::pow(double{1} * noisy.rgb[i] - normal.rgb[i], 2);
  const double deviation = std::sqrt(squares / static_cast<double>(noisy.rgb.size()));
  CHECK(std::abs(deviation - 0.05 * 255) < 0.6);  // a little is cut off at black and white

  auto world = make_plain("camera_noise = [0.05, 0.05]");
  const Image first = shoot(*world);
  CHECK(shoot(*world).rgb == first.rgb);
  REQUIRE(world->step(hold(*world)));
  const Image second = shoot(*world);  // nearly the same scene, other noise
  size_t changed = 0;
  for (size_t i = 0; i < first.rgb.size(); ++i) changed += first.rgb[i] != second.rgb[i] ? 1 : 0;
  CHECK(changed > first.rgb.size() * 9 / 10);
}

TEST_CASE("robot/render: a thing is where its frame and the camera's facts say, the sky is at the top") {
  auto world = make_plain("handle = [\"knob\"]");
  const Image image = shoot(*world, {"", 256, 256, false});
  if (image.rgb.empty()) return;
  const CameraInfo& camera = world->info().cameras.front();
  CHECK(camera.name == "front");
  CHECK(camera.link == "world");
  const auto at = [&](const Pixel& p) {
    REQUIRE(p.x >= 0);
    REQUIRE(p.y >= 0);
    REQUIRE(p.x < 256);
    REQUIRE(p.y < 256);
    return image.rgb.data() + 3 * (static_cast<size_t>(p.y) * 256 + static_cast<size_t>(p.x));
  };
  const Vec3 vase = frame(*world, "vase").pose.position_m;
  const uint8_t* blue = at(project(camera, {vase[0], vase[1], vase[2] + 0.05}, 256));
  CHECK(blue[2] > blue[0] + 50);  // its belly, below the white band
  const uint8_t* brass = at(project(camera, frame(*world, "handle").pose.position_m, 256));
  CHECK(brass[0] > brass[2] + 60);
  const uint8_t *top = at({128, 2}), *bottom = at({128, 253});
  CHECK(top[2] > top[0]);        // sky
  CHECK(bottom[0] > bottom[2]);  // table
}

TEST_CASE("robot/render: a broken vase looks broken, until the next reset") {
  auto world = make();
  REQUIRE(world->reset(1, "nominal"));
  const Image whole = shoot(*world);
  if (whole.rgb.empty()) return;
  const ViewRequest above = {"top", 200, 200, false};
  const Vec3 vase = frame(*world, "vase").pose.position_m;
  const Mat3 down = forward(world->info().arm, world->info().home_rad).orientation;
  Action action = hold(*world);
  Image before, after;
  for (int k = 0; k < 120 && !world->outcome().broken; ++k) {  // sweeps the arm through it
    const Pose target{{vase[0] - 0.02, k < 40 ? vase[1] - 0.25 : vase[1] + 0.2, vase[2] + 0.12}, down};
    const JointVector aim = solve_ik(world->info().arm, world->observe().joint_rad, target).angles_rad;
    for (size_t i = 0; i < arm_joint_count; ++i)
      action.joint_target_rad[i] += std::clamp(aim[i] - action.joint_target_rad[i], -0.08, 0.08);
    before = std::move(after);
    REQUIRE(world->step(action));
    after = shoot(*world, above);
  }
  REQUIRE(world->outcome().broken);
  REQUIRE(before.rgb.size() == after.rgb.size());
  // From above a whole vase shows the white glaze of its lip, a broken one bare clay.
  const Pose pose = frame(*world, "vase").pose;
  const Vec3 lip = pose.position_m + pose.orientation * Vec3{0, 0, 0.22};
  const Pixel middle = project(world->info().cameras[1], lip, 200);
  const auto white = [&](const Image& image) {
    int count = 0;
    for (size_t y = static_cast<size_t>(middle.y) - 12; y <= static_cast<size_t>(middle.y) + 12; ++y)
      for (size_t x = static_cast<size_t>(middle.x) - 12; x <= static_cast<size_t>(middle.x) + 12; ++x) {
        const uint8_t* p = image.rgb.data() + 3 * (y * 200 + x);
        count += p[0] > 130 && p[2] > p[0] + 2 ? 1 : 0;
      }
    return count;
  };
  CAPTURE(white(before));
  CHECK(white(after) < white(before) / 2);
  REQUIRE(world->reset(1, "nominal"));
  CHECK(shoot(*world).rgb == whole.rgb);
}

TEST_CASE("robot/render: what cannot be drawn is an error with its name") {
  auto world = make();
  REQUIRE(world->reset(1, "nominal"));
  Image image;
  const Status nowhere = world->render({"behind", 64, 64, false}, image);
  REQUIRE_FALSE(nowhere);
  CHECK(nowhere.error().code == Errc::not_found);
  for (const ViewRequest& view : {ViewRequest{"", 0, 64, false}, ViewRequest{"", 64, view_pixels_max + 1, false}}) {
    const Status refused = world->render(view, image);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::invalid_argument);
  }
  BlindWorld blind;
  const Status unseen = blind.render({}, image);
  REQUIRE_FALSE(unseen);
  CHECK(unseen.error().code == Errc::unavailable);
  CHECK(blind.scene().empty());
  CHECK(blind.contacts().empty());
}

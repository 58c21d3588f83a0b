#include "tests/capture/recording_support.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "actors/capture/jpeg.hpp"
#include "tests/capture/support.hpp"

namespace drover::capture::test {
namespace {

constexpr size_t joint_count = 7;
constexpr double period_s = 0.04;
constexpr uint32_t side = 32;

double fraction(uint64_t& state) {
  return static_cast<double>(random_below(state, 1'000'003)) / 1'000'003.0;
}

RecordingStart sample_start(uint64_t seed) {
  RecordingStart start;
  start.robot = "robot-01";
  start.task_name = start.world = "drawer_vase";
  start.engine = "mujoco";
  start.policy = "script";
  start.condition = {
      "hard",
      seed,
      {{"vase_dx_m", 0.0123}, {"vase_dy_m", -0.02}, {"drawer_friction_N", 7.5}, {"occlusion_level", 0.25}},
      {{"handle", "knob"}, {"lighting", "dim"}}};
  start.start_unix_ns = 1'750'000'000'123'456'789;
  start.timestep_s = 0.002;
  start.control_period_s = period_s;
  for (size_t i = 0; i < joint_count; ++i)
    start.joints.push_back({std::string(1, 'j') + std::to_string(i + 1), i < 2 ? "shoulder" : "wrist",
                            i < 6 ? "arm" : "gripper", 0.01 * static_cast<double>(i + 1), i == 6});
  start.cameras = {{"front", "world", {{1, 0, 0.5}, {0.5, 0.5, 0.5, 0.5}}, 45, side, side, 25}};
  start.urdf = "<robot name=\"sample\"><link name=\"base\"/></robot>";
  return start;
}

// Feeds one recorder as a world would.
class Feeder {
 public:
  Feeder(Recorder& to, const SampleOptions& options, Told& told) : to_(to), told_(told), state_(options.seed * 2 + 1) {
    energy_.skill_ids = {-1, 0, 3, 4};
    energy_.cells.resize(4 * joint_count);
  }

  void step(size_t k) {
    t_ = static_cast<double>(k) * period_s;
    joints();
    if (k % 2 == 0) image();
    scene();
    REQUIRE(to_.sense(t_, {{{0.1, 0.2, 0.3}, {1, 0, 0, 0}}, {0, 0, 1}, {{"vase", true, {1, 2, 3}, 0, 0, "vase"}}}));
    ++told_.sense_samples;
    const RecordedContact touch{"finger", "handle", 3.5, {0.4, 0.1, 0.2}};
    const bool touching = k % 10 < 5;
    REQUIRE(to_.contacts(t_, {&touch, touching ? 1u : 0u}));
    if (touching || k % 10 == 5) ++told_.contact_samples;
    if (k % 13 == 7) event({t_ - 0.01, "vase_contact", "warning", "0.4 N", EventOrigin::world});
    if (k % 13 == 7) event({t_ - 0.03, "grasp_slip", "warning", "GRASP_HANDLE", EventOrigin::policy});
    skills(k);
    spend();
    if (k % 5 == 4) energy();
  }
  const RecordedEnergy& meter() const { return energy_; }

 private:
  void joints() {
    std::vector<std::vector<double>> values(4, std::vector<double>(joint_count));
    for (auto& list : values)
      for (double& v : list) v = 2 * fraction(state_) - 1;
    REQUIRE(to_.joints(t_, {values[0], values[1], values[2], values[3]}));
    told_.joints.emplace_back(t_, values);
  }
  void image() {
    std::vector<uint8_t> rgb(3 * side * side);
    for (size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<uint8_t>(i / 16 + told_.images.size() * 3);
    const auto jpeg = coder_.encode(rgb, side, side);
    REQUIRE(jpeg);
    REQUIRE(to_.image(t_, "front", *jpeg));
    told_.images.emplace_back(t_, std::string(as_text(*jpeg)));
  }
  void scene() {
    const std::vector<RecordedFrame> frames = {
        {"base", "world", {{0, 0, 0}, {1, 0, 0, 0}}, false, 0},
        {"hand", "base", {{0.3, 0, 0.4}, {std::sqrt(0.5), 0, 0, std::sqrt(0.5)}}, false, 0},
        {"drawer", "world", {{0.5 - 0.02 * t_, 0, 0.2}, {1, 0, 0, 0}}, true, 0.1},
        {"vase", "world", {{0.6, 0.2, 0.5}, {1, 0, 0, 0}}, true, 0.4},
    };
    REQUIRE(to_.scene(t_, frames));
    told_.object_samples += 2;
  }
  void event(const RecordedEvent& e) {
    REQUIRE(to_.event(e));
    told_.events.push_back(e);
  }
  void skills(size_t k) {
    static const std::vector<std::pair<int64_t, const char*>> names = {
        {0, "LOCATE_DRAWER"}, {3, "GRASP_HANDLE"}, {4, "OPEN_WITH_CLEARANCE"}};
    const size_t at = k / 30;
    if (k % 30 == 0 && at < names.size()) {
      open_ = {names[at].first, names[at].second, "manoeuvre", at == 1 ? "recovery" : "skill", t_, 0, "", ""};
      REQUIRE(to_.skill_begin(open_));
      row_ = at + 1;
    }
    if (k % 30 == 29 && at < names.size()) {
      open_.end_s = t_;
      open_.outcome = at == 1 ? "recovered" : "success";
      REQUIRE(to_.skill_end(open_));
      told_.skills.push_back(open_);
      row_ = 0;
    }
  }
  void spend() {
    for (size_t j = 0; j < joint_count; ++j) {
      const RecordedJoules more{fraction(state_), 0.1 * fraction(state_)};
      RecordedJoules& cell = energy_.cells[row_ * joint_count + j];
      cell = {cell.mechanical + more.mechanical, cell.copper + more.copper};
      energy_.total = {energy_.total.mechanical + more.mechanical, energy_.total.copper + more.copper};
    }
    energy_.seconds = t_;
    energy_.peak_W = std::max(energy_.peak_W, 10 * fraction(state_));
  }
  void energy() {
    REQUIRE(to_.energy(t_, energy_));
    told_.energy.emplace_back(t_, energy_);
  }

  Recorder& to_;
  Told& told_;
  uint64_t state_;
  JpegEncoder coder_;
  double t_ = 0;
  RecordedEnergy energy_;
  RecordedSkill open_;
  size_t row_ = 0;
};

}  // namespace

std::string sample_recording(const SampleOptions& options, Told* told) {
  Told scratch;
  Told& t = told != nullptr ? *told : scratch;
  t.start = sample_start(options.seed);
  mcap::MemorySink sink;
  auto recorder = Recorder::open(sink, t.start);
  REQUIRE(recorder);
  Feeder feeder(**recorder, options, t);
  const auto steps = static_cast<size_t>(options.duration_s / period_s);
  for (size_t k = 0; k <= steps; ++k) feeder.step(k);
  if (!options.with_end) return sink.content();
  t.end.duration_s = static_cast<double>(steps) * period_s;
  t.end.complete = options.complete;
  t.end.stop_reason = options.complete ? "" : "stopped";
  t.end.outcome = options.complete ? "recovered" : "unknown";
  t.end.template_name = options.complete ? "recovered" : "";
  t.end.units = options.complete ? 1 : 0;
  t.end.control_steps = steps;
  t.end.state_hash = 0xfedcba9876543210;
  REQUIRE((*recorder)->finish(t.end, feeder.meter()));
  t.energy.emplace_back(t.end.duration_s, feeder.meter());
  return sink.content();
}

void Keeper::joints(double time_s, const JointSample& v) {
  const auto list = [](std::span<const double> values) { return std::vector<double>(values.begin(), values.end()); };
  told.joints.push_back({time_s, {list(v.position), list(v.velocity), list(v.effort), list(v.target)}});
}

void Keeper::image(double time_s, const RecordedCamera& camera, const Bytes& jpeg) {
  CHECK(camera.name == "front");
  told.images.emplace_back(time_s, std::string(jpeg.text()));
}

void Keeper::objects(double, std::span<const RecordedFrame> frames) {
  told.object_samples += frames.size();
}

}  // namespace drover::capture::test

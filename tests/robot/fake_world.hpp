// A world without physics for tests of what stands around it: an episode lasts a few steps and goes as its seed says.
#pragma once

#include <fstream>

#include "actors/robot/episode.hpp"

namespace drover::test {

// Seeds from `diverges_from` on end in an error after two steps.
class FakeWorld final : public robot::World {
 public:
  FakeWorld()
      : energy_({{"j1", "arm", "tool", 0.1},
                 {"j2", "arm", "tool", 0.1},
                 {"j3", "arm", "tool", 0.1},
                 {"j4", "arm", "tool", 0.1},
                 {"j5", "arm", "tool", 0.1},
                 {"j6", "arm", "tool", 0.1},
                 {"grip", "hand", "tool", 0.1}}) {
    info_.name = "fake";
    info_.engine = "none";
    info_.timestep_s = info_.control_period_s = 0.04;
    info_.episode_s_max = 10;
    info_.cameras.push_back({"eye", "world", {}, 45, 0.01});
  }

  const robot::WorldInfo& info() const override { return info_; }
  Status reset(uint64_t seed, std::string_view set) override {
    now_ = {};
    energy_.reset();
    events_.clear();
    condition_ = {};
    condition_.world = info_.name;
    condition_.set = set;
    condition_.seed = seed;
    ++resets;
    return {};
  }
  Status step(const robot::Action& action) override {
    now_.time_s += info_.control_period_s;
    if (condition_.seed >= diverges_from && now_.time_s > 0.05) return fail(Errc::internal, "fake", "diverged");
    energy_.on_skill(action.skill_id);
    const std::vector<robot::JointInterval> intervals(7, {1, 1, 1, 1});
    energy_.add(intervals, info_.control_period_s);
    if (now_.time_s > 0.1 && events_.empty()) events_.push_back({now_.time_s, "drawer_open", "info", "fully"});
    return {};
  }
  const robot::Observation& observe() const override { return now_; }
  const robot::EnergyMeter& energy() const override { return energy_; }
  const std::vector<robot::WorldEvent>& events() const override { return events_; }
  robot::Outcome outcome() const override { return {condition_.seed % 2 == 0, false, 0, 0.5}; }
  const robot::Condition& condition() const override { return condition_; }
  uint64_t state_hash() const override {
    return condition_.seed * 1'000'003 + static_cast<uint64_t>(now_.time_s * 100);
  }

  Status render(const robot::ViewRequest& view, robot::Image& out) override {
    if (!draws) return fail(Errc::unavailable, "eye", "no pictures here");
    out.width = view.width;
    out.height = view.height;
    out.rgb.assign(size_t{3} * view.width * view.height, static_cast<uint8_t>(now_.time_s * 100));
    return {};
  }

  uint64_t diverges_from = UINT64_MAX;
  bool draws = true;
  int resets = 0;

 private:
  robot::WorldInfo info_;
  robot::Observation now_;
  robot::EnergyMeter energy_;
  std::vector<robot::WorldEvent> events_;
  robot::Condition condition_;
};

// Two skills, `steps` control steps in all.
class FakePolicy final : public robot::Policy {
 public:
  explicit FakePolicy(int steps = 10) : steps_(steps) {}
  void begin(const robot::WorldInfo&, const robot::Observation&) override {
    at_ = 0;
    trace_.clear();
    events_.clear();
  }
  robot::Decision decide(const robot::Observation& now) override {
    if (at_ == steps_ / 2) leave(now.time_s, "success", "");
    if (at_ == steps_) {
      leave(now.time_s, "success", "");
      return {{}, true};
    }
    robot::Decision decision;
    decision.action.skill_id = at_ < steps_ / 2 ? 0 : 3;
    ++at_;
    return decision;
  }
  void stop(double time_s, const std::string& reason) override { leave(time_s, "failure", reason); }
  const std::vector<robot::SkillSpan>& trace() const override { return trace_; }
  const std::vector<robot::WorldEvent>& events() const override { return events_; }

 private:
  void leave(double time_s, const std::string& outcome, const std::string& reason) {
    const bool first = trace_.empty();
    trace_.push_back({first ? 0 : 3, first ? "LOCATE_DRAWER" : "GRASP_HANDLE", "fake", robot::NodeKind::skill,
                      first ? 0 : trace_.back().end_s, time_s, outcome, reason});
    events_.push_back({time_s, "left", "info", trace_.back().skill});
  }
  int steps_;
  int at_ = 0;
  std::vector<robot::SkillSpan> trace_;
  std::vector<robot::WorldEvent> events_;
};

}  // namespace drover::test

// DrawerManoeuvres: the six skills of opening a drawer beside a vase, by hand. Pure.
//
// A guard looks at every observation and ends the manoeuvre by name when physics disagrees: grasp_slip, locked_drawer,
// frame_collision, vase_contact, grasp_missed, not_seen, not_open. Reads the sights "handle" and "vase".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actors/robot/manoeuvres.hpp"

namespace drover::robot {

struct ScriptOptions {
  double open_m = 0.212;              // how far the drawer is pulled; the rule asks for 0.192
  double open_enough_m = 0.195;       // seen opening that counts as open
  double standoff_m = 0.12;           // before the handle
  double grip_first_m = -0.014;       // finger target when holding; further below 0 presses harder
  double grip_hard_m = -0.024;        // after a slip
  double pull_s = 2.6;                // for the whole way
  double pull_careful_s = 7.0;        // beside a touched vase
  double pull_force_N_max = 22;       // at the first try; above it without motion the drawer counts as locked
  double pull_force_hard_N_max = 90;  // when wiggling
  double stall_m = 0.012;             // tool behind its target: something is in the way
  double slip_m = 0.022;              // tool moved this much more than the drawer
  double vase_moved_m = 0.010;        // seen displacement that counts as a touch
  double vase_tilt_rad = 0.10;
  double looks_min = 3;  // sights that make a place known
};

class DrawerManoeuvres final : public Manoeuvres {
 public:
  explicit DrawerManoeuvres(const ScriptOptions& options) : options_(options) {}

  void begin(const WorldInfo& world) override;
  void enter(const Walk& walk, const Observation& now) override;
  void perceive(const Walk& walk, const Observation& now) override;
  void learn(const Walk& walk) override;
  std::vector<Leg> plan(Walk& walk, const Observation& now) override;
  std::optional<std::string> guard(const Walk& walk, const Observation& now) const override;
  std::string finish(const Walk& walk, const Observation& now) const override;
  Mat3 orientation() const override;

 private:
  struct Mean {
    Vec3 sum_m{};
    double count = 0;
    Vec3 value() const { return (1.0 / count) * sum_m; }
  };

  std::vector<Leg> look(Walk& walk, const Observation& now) const;
  std::vector<Leg> regrasp(Walk& walk, const Observation& now);
  std::vector<Leg> grasp(const Walk& walk, double standoff_m) const;
  std::vector<Leg> pull(const Observation& now) const;
  std::vector<Leg> wiggle(const Walk& walk);
  std::optional<std::string> guard_pull(const Observation& now) const;

  ScriptOptions options_;
  Mean handle_looks_, vase_looks_;
  Vec3 handle_m_{}, vase_m_{};
  bool vase_known_ = false;
  double roll_rad_ = 0;
  bool handle_seen_ = false;    // in the last look
  double opening_m_ = 0;        // seen last
  double opening_start_m_ = 0;  // when the manoeuvre began
  Vec3 tool_start_m_{};         // the real tool when the manoeuvre began
  double pull_N_ = 0;           // smoothed force along the pull
  double grip_hold_m_ = 0, pull_max_N_ = 0;
  bool careful_ = false;
  double vase_shift_m_ = 0, vase_tilt_rad_ = 0;
};

}  // namespace drover::robot

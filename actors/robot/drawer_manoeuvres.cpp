#include "actors/robot/drawer_manoeuvres.hpp"

#include <algorithm>
#include <cmath>

namespace drover::robot {
namespace {

constexpr double look_s = 0.4;
constexpr double held_m_min = 0.0015;     // fingers closed further than this hold nothing
constexpr double drawer_reach_m = 0.215;  // half the drawer front and the vase: nearer stands in the way
constexpr double half_pi = 1.5707963267948966;
// The tool looks along world x, fingers move along world y.
constexpr Mat3 facing = {0, 0, 1, 0, 1, 0, -1, 0, 0};

}  // namespace

void DrawerManoeuvres::begin(const WorldInfo&) {
  *this = DrawerManoeuvres(options_);
  grip_hold_m_ = options_.grip_first_m;
  pull_max_N_ = options_.pull_force_N_max;
}

void DrawerManoeuvres::enter(const Walk&, const Observation& now) {
  opening_start_m_ = opening_m_;
  tool_start_m_ = now.tool.position_m;
  pull_N_ = 0;
  handle_looks_ = vase_looks_ = {};
}

Mat3 DrawerManoeuvres::orientation() const {
  return facing * rotation({0, 0, 1}, roll_rad_);
}

// ---- the legs of a stage

std::vector<Leg> DrawerManoeuvres::plan(Walk& walk, const Observation& now) {
  const double open = walk.world.gripper_open_m;
  const Vec3 before_handle = handle_m_ - Vec3{options_.standoff_m, 0, 0};
  const bool first = walk.stage == 0;
  if (walk.is("look_and_grasp") || walk.is("regrasp")) return regrasp(walk, now);
  if (walk.is("back_off_and_look")) {
    if (first) return look(walk, now);
    if (walk.stage == 1) return {{before_handle, 0.9, open}};
  }
  if (!first) return {};
  if (walk.is("look_at_drawer") || walk.is("look_at_vase")) return {{walk.tool_m, look_s, walk.gripper_m}};
  if (walk.is("approach")) return {{before_handle, 1.4, open, true}};
  if (walk.is("grasp")) return grasp(walk, 0);
  if (walk.is("pull")) return pull(now);
  if (walk.is("wiggle_pull")) return wiggle(walk);
  if (walk.is("ease_off")) {
    careful_ = true;
    const Vec3 back = walk.tool_m + Vec3{0.012, 0, 0};
    return {{back, 0.5, grip_hold_m_}, {back, 0.3, grip_hold_m_}};
  }
  if (walk.is("retract")) {
    const Vec3 away = walk.tool_m - Vec3{0.07, 0, 0};
    return {{walk.tool_m, 0.4, open}, {away, 0.6, open}, {away + Vec3{0, 0, 0.12}, 0.7, open}};
  }
  return {};
}

// Opens the fingers, goes back from where the tool really is, and looks from there.
std::vector<Leg> DrawerManoeuvres::look(Walk& walk, const Observation& now) const {
  walk.tool_m = now.tool.position_m;
  const Vec3 away = walk.tool_m - Vec3{0.08, 0, 0};
  const double open = walk.world.gripper_open_m;
  return {{walk.tool_m, 0.3, open}, {away, 0.6, open}, {away, look_s, open}};
}

std::vector<Leg> DrawerManoeuvres::grasp(const Walk& walk, double standoff_m) const {
  const double open = walk.world.gripper_open_m;
  std::vector<Leg> legs;
  if (standoff_m > 0) legs.push_back({handle_m_ - Vec3{standoff_m, 0, 0}, 0.8, open});
  legs.push_back({handle_m_, 0.9, open});
  legs.push_back({handle_m_, 0.5, grip_hold_m_});
  return legs;
}

std::vector<Leg> DrawerManoeuvres::regrasp(Walk& walk, const Observation& now) {
  if (walk.is("regrasp")) grip_hold_m_ = options_.grip_hard_m;
  if (walk.stage == 0) return look(walk, now);
  if (walk.stage == 1) return grasp(walk, 0.06);
  return {};
}

// Straight out, at the height and side where the hand really is: not against what the eye believed.
std::vector<Leg> DrawerManoeuvres::pull(const Observation& now) const {
  const double way_m = std::max(0.0, options_.open_m - opening_m_);
  const Vec3 to = {now.tool.position_m[0] - way_m, now.tool.position_m[1], now.tool.position_m[2]};
  const bool in_the_way = vase_known_ && std::abs(vase_m_[1] - handle_m_[1]) < drawer_reach_m;
  double seconds = careful_ ? options_.pull_careful_s : options_.pull_s * (in_the_way ? 1.5 : 1.0);
  seconds = std::max(0.4, seconds * way_m / options_.open_m);
  return {{to, seconds, grip_hold_m_}, {to, 0.2, grip_hold_m_}};
}

// Full grip; pulls in four jerks, each further, to alternating sides.
std::vector<Leg> DrawerManoeuvres::wiggle(const Walk& walk) {
  grip_hold_m_ = options_.grip_hard_m;
  pull_max_N_ = options_.pull_force_hard_N_max;
  std::vector<Leg> legs;
  for (int i = 1; i <= 4; ++i) {
    const double side = i % 2 == 0 ? 0.008 : -0.008;
    legs.push_back({walk.tool_m + Vec3{-0.006 * i, side, 0}, 0.3, grip_hold_m_});
  }
  return legs;
}

// ---- perception

void DrawerManoeuvres::perceive(const Walk& walk, const Observation& now) {
  pull_N_ = 0.6 * pull_N_ + 0.4 * now.tool_force_N[0];
  // Looking counts only while standing still: in the last leg of a stage.
  const bool still = walk.leg + 1 >= walk.legs.size();
  const Sight* handle = now.sight("handle");
  handle_seen_ = handle != nullptr && handle->visible;
  if (handle_seen_) {
    opening_m_ = handle->extension_m;
    roll_rad_ = handle->kind == "bar_horizontal" ? half_pi : 0.0;
    if (still) handle_looks_ = {handle_looks_.sum_m + handle->position_m, handle_looks_.count + 1};
  }
  if (const Sight* vase = now.sight("vase"); vase != nullptr && vase->visible) {
    if (still) vase_looks_ = {vase_looks_.sum_m + vase->position_m, vase_looks_.count + 1};
    const Vec3 shift = vase->position_m - vase_m_;
    // Smoothed: one noisy look is no touch.
    vase_shift_m_ = vase_known_ ? 0.5 * vase_shift_m_ + 0.5 * std::hypot(shift[0], shift[1]) : 0;
    vase_tilt_rad_ = vase->tilt_rad;
  }
}

// After a stage that looked: what was seen replaces what was believed, if it was seen often enough.
void DrawerManoeuvres::learn(const Walk& walk) {
  const bool looking =
      walk.is("look_at_drawer") ||
      (walk.stage == 0 && (walk.is("back_off_and_look") || walk.is("regrasp") || walk.is("look_and_grasp")));
  if (looking && handle_looks_.count >= options_.looks_min) handle_m_ = handle_looks_.value();
  if (walk.is("look_at_vase") && vase_looks_.count >= options_.looks_min) {
    vase_m_ = vase_looks_.value();
    vase_known_ = true;
  }
}

// ---- when physics disagrees

std::optional<std::string> DrawerManoeuvres::guard(const Walk& walk, const Observation& now) const {
  if (walk.is("pull") || walk.is("wiggle_pull")) return guard_pull(now);
  const bool coming = walk.is("approach") ||
                      ((walk.is("grasp") || walk.stage == 1) && walk.leg + 1 < walk.legs.size()) ||
                      (walk.is("back_off_and_look") && walk.stage == 1);
  if (coming && walk.leg < walk.legs.size() && !walk.legs[walk.leg].in_joints &&
      norm(now.tool.position_m - walk.tool_m) > options_.stall_m)
    return "frame_collision";
  return std::nullopt;
}

std::optional<std::string> DrawerManoeuvres::guard_pull(const Observation& now) const {
  const double drawer_m = opening_m_ - opening_start_m_;
  const double tool_m = tool_start_m_[0] - now.tool.position_m[0];
  // Only a fresh look tells how far the drawer is.
  if (now.gripper_m < held_m_min || (handle_seen_ && tool_m - drawer_m > options_.slip_m)) {
    const bool full_grip = grip_hold_m_ <= options_.grip_hard_m;
    return full_grip && drawer_m < 0.004 ? "locked_drawer" : "grasp_slip";  // all the grip there is, and no motion
  }
  if (handle_seen_ && pull_N_ > pull_max_N_ && drawer_m < 0.006) return "locked_drawer";
  if (vase_known_ && !careful_ && (vase_shift_m_ > options_.vase_moved_m || vase_tilt_rad_ > options_.vase_tilt_rad))
    return "vase_contact";
  return std::nullopt;
}

std::string DrawerManoeuvres::finish(const Walk& walk, const Observation& now) const {
  if (walk.is("look_at_drawer")) return handle_looks_.count >= options_.looks_min ? "success" : "not_seen";
  if (walk.is("look_at_vase")) return vase_looks_.count >= options_.looks_min ? "success" : "not_seen";
  if (walk.is("grasp") || walk.is("look_and_grasp") || walk.is("regrasp"))
    return now.gripper_m > held_m_min ? "success" : "grasp_missed";
  if (walk.is("pull")) return opening_m_ >= options_.open_enough_m ? "success" : "not_open";
  if (walk.is("wiggle_pull")) return opening_m_ - opening_start_m_ > 0.006 ? "success" : "locked_drawer";
  if (walk.is("retract")) return opening_m_ >= options_.open_enough_m - 0.002 ? "success" : "failure";
  return "success";
}

}  // namespace drover::robot

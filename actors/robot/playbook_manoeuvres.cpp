#include "actors/robot/playbook_manoeuvres.hpp"

#include <algorithm>
#include <cmath>

namespace drover::robot {
namespace {

constexpr double seen_share = 0.3;  // of a new look in the smoothed place in the hand

// Columns: the hand's own x, the fingers' direction, where the tool looks.
Mat3 hand_of(const Playbook& book) {
  const Vec3 y = book.fingers, z = book.looks, x = cross(y, z);
  return {x[0], y[0], z[0], x[1], y[1], z[1], x[2], y[2], z[2]};
}

}  // namespace

PlaybookManoeuvres::PlaybookManoeuvres(Playbook book) : book_(std::move(book)), hand_(hand_of(book_)) {}

void PlaybookManoeuvres::begin(const WorldInfo& world) {
  things_.clear();
  kind_ = {};
  home_m_ = forward(world.arm, world.home_rad).position_m;
}

void PlaybookManoeuvres::enter(const Walk&, const Observation&) {
  for (auto& [name, thing] : things_) thing.in_hand_start_m = thing.in_hand_m;
}

// ---- perception

const PlayLeg* PlaybookManoeuvres::leg(const Walk& walk) const {
  const PlayManoeuvre* manoeuvre = book_.manoeuvre(walk.node->manoeuvre);
  const auto stage = static_cast<size_t>(walk.stage);
  return manoeuvre == nullptr || stage >= manoeuvre->legs.size() ? nullptr : &manoeuvre->legs[stage];
}

void PlaybookManoeuvres::perceive(const Walk& walk, const Observation& now) {
  const PlayLeg* at = leg(walk);
  for (const Sight& sight : now.sights) {
    Thing& thing = things_[std::string(sight.name)];
    thing.fresh = sight.visible;
    if (!sight.visible) continue;
    const Vec3 in_hand = sight.position_m - now.tool.position_m;
    thing.in_hand_m = thing.in_hand_m + seen_share * (in_hand - thing.in_hand_m);
    thing.tilt_rad = sight.tilt_rad;
    if (const PlayKind* kind = sight.kind.empty() ? nullptr : book_.kind(sight.kind)) kind_ = *kind;
    if (at == nullptr || std::find(at->learn.begin(), at->learn.end(), sight.name) == at->learn.end()) continue;
    thing.sum_m = thing.sum_m + sight.position_m;
    thing.looks += 1;
  }
}

void PlaybookManoeuvres::learn(const Walk& walk) {
  const PlayLeg* at = leg(walk);
  if (at == nullptr) return;
  for (const std::string& name : at->learn) {
    Thing& thing = things_[name];
    if (thing.looks < book_.looks_min) continue;
    thing.place_m = (1.0 / thing.looks) * thing.sum_m;
    thing.known = true;
  }
}

// ---- legs

Vec3 PlaybookManoeuvres::place(const std::string& name) const {
  const auto found = things_.find(name);
  return found == things_.end() ? home_m_ : found->second.place_m;
}

bool PlaybookManoeuvres::knows(const std::string& name) const {
  if (name.empty() || name == "here" || name == "really" || name == "home") return true;
  const auto found = things_.find(name);
  return found != things_.end() && found->second.known;
}

Vec3 PlaybookManoeuvres::destination(const PlayLeg& leg, const Walk& walk, const Observation& now) const {
  Vec3 offset = leg.offset_m;
  offset[0] += leg.reaches * kind_.reach_m;
  if (!leg.from.empty()) {
    const Vec3 way = place(leg.to) - place(leg.from);
    const double length_m = std::hypot(way[0], way[1]);
    const double c = length_m > 1e-6 ? way[0] / length_m : 1, s = length_m > 1e-6 ? way[1] / length_m : 0;
    offset = {c * offset[0] - s * offset[1], s * offset[0] + c * offset[1], offset[2]};
  }
  if (leg.grip) offset = offset + kind_.grip_m;
  if (const auto held = things_.find(leg.carry); held != things_.end()) offset = offset - held->second.in_hand_m;
  if (leg.at == "here") return walk.tool_m + offset;
  if (leg.at == "really") return now.tool.position_m + offset;
  if (leg.at == "home") return home_m_ + offset;
  return place(leg.at) + offset;
}

double PlaybookManoeuvres::finger_target(const PlayLeg& leg, const Walk& walk) const {
  if (leg.gripper == "open") return walk.world.gripper_open_m;
  if (leg.gripper == "shut") return 0;
  if (leg.gripper == "squeeze") return kind_.half_width_m - leg.squeeze_m;
  return walk.gripper_m;
}

std::vector<Leg> PlaybookManoeuvres::plan(Walk& walk, const Observation& now) {
  const PlayLeg* next = leg(walk);
  if (next == nullptr) return {};
  for (const std::string& name : next->learn) {
    things_[name].looks = 0;
    things_[name].sum_m = {};
  }
  if (next->at == "really") walk.tool_m = now.tool.position_m;
  return {{destination(*next, walk, now), next->seconds, finger_target(*next, walk), next->in_joints, next->until_N}};
}

// ---- checks

bool PlaybookManoeuvres::holds(const PlayCheck& check, const Walk& walk, const Observation& now) const {
  static const Thing nothing;
  const auto found = things_.find(check.of);
  const Thing& thing = found == things_.end() ? nothing : found->second;
  switch (check.when) {
    case When::unseen:
      return thing.looks < check.limit;
    case When::behind:
      return walk.leg < walk.legs.size() && !walk.legs[walk.leg].in_joints &&
             norm(now.tool.position_m - walk.tool_m) > check.limit;
    case When::empty:
      return now.gripper_m < check.limit;
    case When::slipped:
      return thing.fresh && norm(thing.in_hand_m - thing.in_hand_start_m) > check.limit;
    case When::apart: {
      const Vec3 way = thing.place_m - place(check.from);
      return std::hypot(way[0], way[1]) > check.limit;
    }
    case When::tilted:
      return thing.tilt_rad > check.limit;
  }
  return false;
}

std::optional<std::string> PlaybookManoeuvres::guard(const Walk& walk, const Observation& now) const {
  const PlayManoeuvre* manoeuvre = book_.manoeuvre(walk.node->manoeuvre);
  if (manoeuvre == nullptr) return "unknown_manoeuvre";
  if (const PlayLeg* at = leg(walk); at != nullptr && !(knows(at->at) && knows(at->from) && knows(at->to)))
    return "place_unknown";
  for (const PlayCheck& check : manoeuvre->stop_if)
    if (holds(check, walk, now)) return check.says;
  return std::nullopt;
}

std::string PlaybookManoeuvres::finish(const Walk& walk, const Observation& now) const {
  const PlayManoeuvre* manoeuvre = book_.manoeuvre(walk.node->manoeuvre);
  if (manoeuvre == nullptr) return "unknown_manoeuvre";
  for (const PlayCheck& check : manoeuvre->fail_if)
    if (holds(check, walk, now)) return check.says;
  return "success";
}

}  // namespace drover::robot

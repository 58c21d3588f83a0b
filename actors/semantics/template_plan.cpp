#include "actors/semantics/template_plan.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace drover::semantics {
namespace {

constexpr double down_rad = -1.5707963267948966;
constexpr std::array<std::string_view, 3> frictions = {"low", "medium", "high"};
constexpr std::array<std::string_view, 2> masses = {"light", "heavy"};

// The ways to fail that physics can play. Which of them a family has, and under which name, is in the table below.
enum class Trouble : uint8_t {
  grasp_slip,
  locked,
  frame,  // collision on the way to the handle
  drop,
  misplaced,  // tips over after it was let go; nudged upright
  ejected,    // rolls out of where it was put; taken up again
  thin_press,
  missed_patch,
  tool_loss,
  obstructed,  // something stands where it should go; shoved aside
  full_bin,    // the bin is full; shaken
  clutter,     // collision on the way to the thing
};

struct TroubleRow {
  Family family;
  Trouble trouble;
  TroubleWords words;
};
constexpr std::array table = {
    TroubleRow{Family::drawer_open, Trouble::grasp_slip, {"grasp_slip", "re-grasp"}},
    TroubleRow{Family::drawer_open, Trouble::locked, {"locked_joint", "wiggle_pull"}},
    TroubleRow{Family::drawer_open, Trouble::frame, {"collision_with_frame", "re-grasp"}},
    TroubleRow{Family::dish_place, Trouble::drop, {"drop", "pick_from_drop"}},
    TroubleRow{Family::dish_place, Trouble::misplaced, {"misalignment", "nudge"}},
    TroubleRow{Family::dish_place, Trouble::ejected, {"unstable_place", "pick_from_drop"}},
    TroubleRow{Family::wipe_surface, Trouble::thin_press, {"insufficient_force", "re-trace"}},
    TroubleRow{Family::wipe_surface, Trouble::missed_patch, {"missed_patch", "re-trace"}},
    TroubleRow{Family::wipe_surface, Trouble::tool_loss, {"tool_loss", "re-grasp_tool"}},
    TroubleRow{Family::pick_and_place, Trouble::drop, {"drop_en_route", "retry_pick"}},
    TroubleRow{Family::pick_and_place, Trouble::obstructed, {"target_obstructed", "clear_obstruction"}},
    TroubleRow{Family::sort_objects, Trouble::ejected, {"wrong_bin", "remove_from_wrong_bin"}},
    TroubleRow{Family::sort_objects, Trouble::full_bin, {"bin_full", "shake_bin"}},
    TroubleRow{Family::sort_objects, Trouble::clutter, {"clutter_collision", "back_off"}},
    TroubleRow{Family::reset_after_failure, Trouble::drop, {"drop_en_route", "retry_pick"}},
    TroubleRow{Family::reset_after_failure, Trouble::clutter, {"clutter_collision", "back_off"}},
    TroubleRow{Family::inspect_scene, Trouble::clutter, {"clutter_collision", "back_off"}},
    TroubleRow{Family::tool_change, Trouble::drop, {"tool_loss", "re-grasp_tool"}},
    TroubleRow{Family::tool_change, Trouble::obstructed, {"holder_obstructed", "clear_obstruction"}},
};

TroubleRow trouble_row(Family family, uint32_t which) {
  std::array<const TroubleRow*, table.size()> own{};
  uint32_t count = 0;
  for (const TroubleRow& row : table)
    if (row.family == family) own[count++] = &row;
  return count == 0 ? TroubleRow{family, Trouble::clutter, {"clutter_collision", "back_off"}} : *own[which % count];
}

// Tried again as it was, every family fails by what can be pressed through; a bump on the way stays one.
TroubleRow row_of(const PlanRequest& request) {
  TroubleRow row = trouble_row(request.family, request.trouble);
  if (request.kind != Template::mixed || row.trouble == Trouble::frame || row.trouble == Trouble::clutter) return row;
  switch (request.family) {
    case Family::drawer_open:
      return {request.family, Trouble::locked, {"locked_joint", ""}};
    case Family::dish_place:
      return {request.family, Trouble::obstructed, {"misalignment", ""}};
    case Family::wipe_surface:
      return {request.family, Trouble::thin_press, {"insufficient_force", ""}};
    case Family::sort_objects:
      return {request.family, Trouble::full_bin, {"bin_full", ""}};
    case Family::tool_change:
      return {request.family, Trouble::obstructed, {"holder_obstructed", ""}};
    default:
      return {request.family, Trouble::obstructed, {"target_obstructed", ""}};
  }
}

struct Kind {
  std::string_view category;
  std::array<std::string_view, 3> geometries;
  std::array<double, 3> widths_m;  // of the fingers when it is held
  double fragility;
};
constexpr Kind drawer{"drawer", {"bar_vertical", "bar_horizontal", "knob"}, {0.018, 0.018, 0.036}, 0.1};
constexpr Kind dish{"dish", {"plate", "bowl", "cup"}, {0.012, 0.016, 0.040}, 0.7};
constexpr Kind tool{"tool", {"sponge", "cloth", "squeegee"}, {0.045, 0.025, 0.015}, 0.05};
constexpr Kind part{"part", {"box", "cylinder", "sphere"}, {0.040, 0.035, 0.045}, 0.2};
constexpr Kind rack{"rack", {"slotted", "flat", "tilted"}, {0, 0, 0}, 0.1};
constexpr Kind bin{"bin", {"square", "round", "deep"}, {0, 0, 0}, 0.1};
constexpr Kind holder{"tool_holder", {"hook", "slot", "magnet"}, {0, 0, 0}, 0.1};
constexpr Kind fragile{"vase", {"slender", "wide", "glass"}, {0.03, 0.05, 0.03}, 0.95};

// One rollout in the making.
class Planner {
 public:
  Planner(const PlanRequest& request, runtime::Rng& rng) : request_(request), rng_(rng), row_(row_of(request)) {}

  Plan make();

 private:
  double draw(double low, double high) { return low + (high - low) * rng_.uniform(); }
  bool fails() const { return request_.kind != Template::success; }
  bool fails_with(Trouble trouble) const { return fails() && row_.trouble == trouble; }
  bool aborts() const { return request_.kind == Template::failure; }
  bool recovers() const { return request_.kind == Template::recovery; }
  double width(const Kind& kind) const { return kind.widths_m[request_.geometry % 3]; }

  uint8_t add(const Kind& kind, std::string name, const Place& at, bool slides = false);
  void add_fragile(const Place& way);
  void start_at(const Place& tool_m, double pitch_rad);
  ScriptStyle style() const;

  void drawer_open(ScriptWriter& w);
  void wipe_surface(ScriptWriter& w);
  void inspect_scene(ScriptWriter& w);
  void tool_change(ScriptWriter& w);
  void sort_objects(ScriptWriter& w);
  struct Carry {
    uint8_t thing = 0;
    uint8_t target = 0;
    double width_m = 0;
    double tilt_rad = 0;  // how it lies at first; upright after it was lifted
    bool troubled = false;
  };
  // False: the rollout ends here.
  bool carry(ScriptWriter& w, const Carry& c);
  bool reach(ScriptWriter& w, const Carry& c);
  void take(ScriptWriter& w, const Carry& c);
  bool travel(ScriptWriter& w, const Carry& c, const Place& above);
  bool put(ScriptWriter& w, const Carry& c, const Place& above);
  bool put_blocked(ScriptWriter& w, const Carry& c, double down_m);
  bool leave(ScriptWriter& w, const Carry& c);
  bool bump(ScriptWriter& w, const Place& goal, double short_of_m, Label broken);
  void pause(ScriptWriter& w) { w.idle(w.draw(0.55, 0.9)); }
  void finish_risk();

  const PlanRequest& request_;
  runtime::Rng& rng_;
  TroubleRow row_;
  Plan plan_;
  int fragile_ = -1;
  double clearance_m_ = 0.4;
  double speed_ = 1;
};

uint8_t Planner::add(const Kind& kind, std::string name, const Place& at, bool slides) {
  ObjectInfo info;
  info.name = std::move(name);
  info.category = std::string(kind.category);
  info.geometry = std::string(kind.geometries[request_.geometry % 3]);
  info.friction = std::string(frictions[request_.friction % 3]);
  info.mass = std::string(masses[request_.mass % 2]);
  info.slides = slides;
  plan_.objects.push_back(std::move(info));
  plan_.script.things.push_back({at, 0, 0});
  plan_.fragility = std::max(plan_.fragility, &kind == &fragile ? 0.0 : kind.fragility);
  return static_cast<uint8_t>(plan_.objects.size() - 1);
}

// Something fragile beside the way: near when the rollout is to be risky.
void Planner::add_fragile(const Place& way) {
  clearance_m_ = request_.risky ? draw(0.05, 0.09) : draw(0.25, 0.4);
  const double side = rng_.chance(0.5) ? 1 : -1;
  fragile_ = add(fragile, "bystander", {way[0] - 0.05, way[1] + side * clearance_m_, way[2]});
  if (request_.risky) plan_.fragility = std::max(plan_.fragility, fragile.fragility);
}

void Planner::start_at(const Place& tool_m, double pitch_rad) {
  plan_.script.tool_m = tool_m;
  plan_.script.pitch_rad = pitch_rad;
  plan_.script.width_m = 0.085;
}

ScriptStyle Planner::style() const {
  constexpr std::array<double, 3> newton = {3, 6, 12};
  return {speed_, newton[request_.friction % 3], request_.mass % 2 == 0 ? 0.25 : 1.1, 0.085};
}

// Runs into something `short_of_m` before `goal`. False: that was the end.
bool Planner::bump(ScriptWriter& w, const Place& goal, double short_of_m, Label broken) {
  const Place from = w.tool();
  Place way = {goal[0] - from[0], goal[1] - from[1], goal[2] - from[2]};
  const double length = std::sqrt(way[0] * way[0] + way[1] * way[1] + way[2] * way[2]);
  for (double& x : way) x /= length;
  const double go = std::max(0.06, length - short_of_m);
  const Place stop = {from[0] + go * way[0], from[1] + go * way[1], from[2] + go * way[2]};
  if (broken == Label::approach) w.approach(stop);
  if (broken == Label::transport) w.transport(stop);
  w.mark(Outcome::failure, Reason::collision);
  const bool tips = request_.risky && fragile_ >= 0 && rng_.chance(0.5);
  plan_.damage = plan_.damage || tips;
  w.collide(way, w.draw(40, 70), contact_environment, tips ? fragile_ : -1);
  pause(w);
  if (aborts()) return false;
  if (recovers()) w.back_off({-0.09 * way[0], -0.09 * way[1], -0.09 * way[2] + 0.02}, false);
  if (broken == Label::approach) w.approach(goal);
  if (broken == Label::transport) w.transport(goal);
  w.mark(recovers() ? Outcome::recovered : Outcome::retry);
  return true;
}

void Planner::drawer_open(ScriptWriter& w) {
  const uint8_t handle = 0;
  const Place at = w.thing(handle).position_m;
  const Place before = {at[0] - 0.12, at[1], at[2]};
  const double way = draw(0.17, 0.22);
  w.approach(before);
  if (fails_with(Trouble::frame)) {
    if (!bump(w, at, 0.035, Label::approach)) return;
  } else {
    w.approach(at);
  }
  w.grasp(handle, width(drawer));
  double done = 0;
  if (fails_with(Trouble::locked)) {
    w.locked_pull();
    pause(w);
    if (aborts()) return w.release({-0.08, 0, 0.08});
    if (recovers()) w.wiggle(handle);
    w.pull(handle, way);
    w.mark(recovers() ? Outcome::recovered : Outcome::retry);
  } else if (fails_with(Trouble::grasp_slip)) {
    done = draw(0.06, 0.1);
    w.pull(handle, done);
    w.mark(Outcome::failure, Reason::grasp_slip);
    w.slip({-draw(0.04, 0.06), 0, 0}, {});
    pause(w);
    if (aborts()) return w.release({-0.08, 0, 0.08});
    w.back_off({-0.07, 0, 0}, true);
    w.approach(w.thing(handle).position_m);
    w.grasp(handle, width(drawer));
    w.pull(handle, way - done);
    w.mark(Outcome::recovered);
  } else {
    w.pull(handle, way);
  }
  w.release({-0.08, 0, 0.08});
}

// ---- carrying one thing to one place

bool Planner::reach(ScriptWriter& w, const Carry& c) {
  const Place at = w.thing(c.thing).position_m;
  w.approach({at[0], at[1], at[2] + 0.12});
  if (c.troubled && fails_with(Trouble::clutter)) return bump(w, at, 0.05, Label::approach);
  w.approach(at);
  return true;
}

void Planner::take(ScriptWriter& w, const Carry& c) {
  w.grasp(c.thing, c.width_m);
  w.lift(draw(0.12, 0.18));
}

bool Planner::travel(ScriptWriter& w, const Carry& c, const Place& above) {
  if (!c.troubled || !fails_with(Trouble::drop)) {
    w.transport(above);
    return true;
  }
  const Place from = w.tool();
  const double share = draw(0.4, 0.7);
  w.transport({from[0] + share * (above[0] - from[0]), from[1] + share * (above[1] - from[1]), above[2]});
  w.mark(Outcome::failure, Reason::drop);
  w.drop(0.0);
  plan_.damage = plan_.damage || (plan_.fragility > 0.6 && request_.family == Family::dish_place && rng_.chance(0.5));
  pause(w);
  if (aborts()) return false;
  w.back_off({0, 0, 0.05}, true);
  const Place lies = w.thing(c.thing).position_m;
  w.approach({lies[0], lies[1], lies[2]});
  w.grasp(c.thing, c.width_m);
  w.lift(draw(0.12, 0.18));
  w.transport(above);
  w.mark(Outcome::recovered);
  return true;
}

// Something is where it should go: met on the way down.
bool Planner::put_blocked(ScriptWriter& w, const Carry& c, double down_m) {
  const double first = down_m * 0.5;
  w.place(first);
  w.mark(Outcome::failure, Reason::collision);
  w.collide({0, 0, -1}, w.draw(35, 55), static_cast<uint16_t>(1u << c.target), -1);
  pause(w);
  if (aborts()) return false;
  if (recovers()) {
    w.back_off({0, 0, 0.05}, false);
    if (row_.trouble == Trouble::full_bin)
      w.sway(static_cast<uint16_t>(1u << c.target));
    else
      w.shove(c.target, {0, draw(0.05, 0.08), 0}, 0);
  }
  w.place(first + (recovers() ? 0.05 : 0.0));
  w.mark(recovers() ? Outcome::recovered : Outcome::retry);
  return true;
}

// Lets go and draws back; what was put down may not stay as it was put.
bool Planner::leave(ScriptWriter& w, const Carry& c) {
  const bool misplaced = c.troubled && fails_with(Trouble::misplaced);
  const bool ejected = c.troubled && fails_with(Trouble::ejected);
  if (!misplaced && !ejected) {
    w.release({0, 0, draw(0.1, 0.14)});
    return true;
  }
  w.let_go();
  const double side = rng_.chance(0.5) ? 1 : -1;
  w.topple(c.thing, misplaced ? draw(0.4, 0.7) : 0.1,
           misplaced ? Place{0, 0.01 * side, 0} : Place{-0.05, 0.07 * side, 0});
  pause(w);
  if (aborts()) return false;
  if (misplaced) {
    w.shove(c.thing, {0, -0.06 * side, 0}, 0.02);
    w.mark(Outcome::recovered);
    w.idle(w.draw(0.5, 0.7));
  } else {
    const Place target = w.thing(c.target).position_m;
    w.back_off({0, 0, 0.1}, false);
    w.approach(w.thing(c.thing).position_m);
    take(w, c);
    w.transport({target[0], target[1], w.tool()[2]});
    w.place(w.tool()[2] - target[2] - 0.02);
    w.mark(Outcome::recovered);
    w.let_go();
  }
  w.add_retreat({0, 0, draw(0.1, 0.14)});
  return true;
}

bool Planner::put(ScriptWriter& w, const Carry& c, const Place&) {
  const double down = w.tool()[2] - w.thing(c.target).position_m[2] - 0.02;
  const bool blocked = fails_with(Trouble::obstructed) || fails_with(Trouble::full_bin);
  if (c.troubled && blocked) {
    if (!put_blocked(w, c, down)) return false;
  } else {
    w.place(down);
  }
  return leave(w, c);
}

bool Planner::carry(ScriptWriter& w, const Carry& c) {
  if (!reach(w, c)) return false;
  take(w, c);
  const Place target = w.thing(c.target).position_m;
  const Place above = {target[0], target[1], w.tool()[2]};
  return travel(w, c, above) && put(w, c, above);
}

void Planner::sort_objects(ScriptWriter& w) {
  const bool first = rng_.chance(0.5);
  for (uint8_t i = 0; i < 2; ++i)
    if (!carry(w, {i, static_cast<uint8_t>(2 + i), width(part), 0, (i == 0) == first})) return;
}

void Planner::wipe_surface(ScriptWriter& w) {
  const uint8_t wiper = 0;
  const Place at = w.thing(wiper).position_m;
  const double press = draw(7, 11), thin = draw(0.5, 1.5), y = draw(0.1, 0.14);
  w.approach({at[0], at[1], at[2] + 0.12});
  w.approach(at);
  take(w, {wiper, wiper, width(tool), 0, false});
  const double z = at[2];
  w.transport({0.5, -y, w.tool()[2]});
  w.place(w.tool()[2] - z);
  if (fails_with(Trouble::tool_loss)) {
    w.push({0.5, 0, z}, press);
    w.mark(Outcome::failure, Reason::grasp_slip);
    w.slip({0, draw(0.05, 0.07), 0}, {});
    pause(w);
    if (aborts()) return;
    w.back_off({0, 0, 0.08}, true);
    w.approach(w.thing(wiper).position_m);
    w.grasp(wiper, width(tool));
    w.push({0.5, y, z}, press);
    w.mark(Outcome::recovered);
  } else if (fails()) {
    if (row_.trouble == Trouble::missed_patch) w.push({0.5, -0.5 * y, z}, press);
    w.push({0.5, y, z}, thin);
    w.mark(Outcome::failure, Reason::insufficient_force);
    pause(w);
    if (aborts()) return w.lift(0.1);
    if (recovers()) w.carry({0.5, y, z + 0.05});
    if (recovers()) w.carry({0.5, -y, z + 0.05});
    if (recovers()) w.carry({0.5, -y, z});
    w.push({0.5, recovers() ? y : -y, z}, press);
    w.mark(recovers() ? Outcome::recovered : Outcome::retry);
  } else {
    w.push({0.5, y, z}, press);
    w.push({0.54, -y, z}, press);
  }
  w.lift(draw(0.1, 0.14));
}

void Planner::inspect_scene(ScriptWriter& w) {
  for (uint8_t i = 0; i < 3; ++i) {
    const Place at = w.thing(i).position_m;
    const Place look = {at[0] - 0.12, at[1], at[2] + 0.15};
    if (i == 1 && fails()) {
      if (!bump(w, look, 0.06, Label::approach)) return;
    } else {
      w.approach(look);
    }
    w.idle(w.draw(0.6, 1.0));
  }
}

// The hand starts with one tool, puts it away and takes another.
void Planner::tool_change(ScriptWriter& w) {
  const uint8_t old_tool = 0, new_tool = 1, old_place = 2;
  w.hold(old_tool, width(tool));
  const Place target = w.thing(old_place).position_m;
  const Carry c{old_tool, old_place, width(tool), 0, true};
  const Place above = {target[0], target[1], w.tool()[2]};
  if (!travel(w, c, above) || !put(w, c, above)) return;
  const Place at = w.thing(new_tool).position_m;
  w.approach({at[0], at[1], at[2] + 0.12});
  w.approach(at);
  take(w, {new_tool, new_tool, width(tool), 0, false});
}

void Planner::finish_risk() {
  const double near = std::exp(-std::max(0.0, clearance_m_ - 0.05) / 0.08);
  const double fast = std::clamp((speed_ - 0.8) / 0.8, 0.0, 1.0);
  const double weak = request_.risky ? fragile.fragility : plan_.fragility;
  plan_.risk = std::clamp(0.55 * near * weak + 0.35 * fast + 0.1 * weak, 0.0, 1.0);
}

Plan Planner::make() {
  speed_ = request_.rushed ? draw(2.2, 2.6) : request_.risky ? draw(1.35, 1.6) : draw(0.85, 1.05);
  const double y = draw(-0.12, 0.12);
  const Place here = {draw(0.42, 0.5), y, 0.03};
  const Place there = {draw(0.42, 0.5), (y > 0 ? -1 : 1) * draw(0.16, 0.26), 0.05};
  start_at({0.36, 0, 0.3}, down_rad);
  switch (request_.family) {
    case Family::drawer_open:
      start_at({draw(0.3, 0.36), draw(-0.1, 0.1), draw(0.3, 0.36)}, 0);
      add(drawer, "handle", {draw(0.56, 0.62), draw(-0.08, 0.08), draw(0.2, 0.26)}, true);
      break;
    case Family::dish_place:
      add(dish, "dish", here);
      add(rack, "rack", there);
      break;
    case Family::wipe_surface:
      add(tool, "wiper", {draw(0.4, 0.46), draw(0.2, 0.26), 0.02});
      break;
    case Family::sort_objects:
      add(part, "part_a", here);
      add(part, "part_b", {here[0] + 0.1, y + 0.02, 0.03});
      add(bin, "bin_a", there);
      add(bin, "bin_b", {there[0] + 0.12, there[1], 0.05});
      break;
    case Family::inspect_scene:
      add(part, "part", {0.5, draw(-0.26, -0.2), 0.03});
      add(dish, "dish", {0.55, draw(-0.04, 0.04), 0.03});
      add(tool, "wiper", {0.5, draw(0.2, 0.26), 0.03});
      break;
    case Family::tool_change:
      start_at({draw(0.36, 0.4), -0.05, 0.25}, down_rad);
      add(tool, "tool_old", {plan_.script.tool_m[0], -0.05, 0.25});
      add(tool, "tool_new", {0.5, draw(0.2, 0.26), 0.05});
      add(holder, "holder", {0.5, draw(-0.28, -0.22), 0.05});
      break;
    default:
      add(part, "part", here);
      add(rack, "target", there);
      break;
  }
  if (request_.family == Family::reset_after_failure) plan_.script.things[0].tilt_rad = draw(0.5, 1.5);
  add_fragile(plan_.script.things.back().position_m);
  ScriptWriter w(plan_.script, rng_, style());
  switch (request_.family) {
    case Family::drawer_open:
      drawer_open(w);
      break;
    case Family::wipe_surface:
      wipe_surface(w);
      break;
    case Family::sort_objects:
      sort_objects(w);
      break;
    case Family::inspect_scene:
      inspect_scene(w);
      break;
    case Family::tool_change:
      tool_change(w);
      break;
    default:
      carry(w, {0, 1, width(request_.family == Family::dish_place ? dish : part), 0, true});
      break;
  }
  if (request_.slow_stretch) w.idle(draw(9, 12));
  if (fails()) plan_.failure = std::string(row_.words.failure);
  if (recovers()) plan_.recovery = std::string(row_.words.recovery);
  finish_risk();
  return std::move(plan_);
}

}  // namespace

std::vector<TroubleWords> troubles_of(Family family) {
  std::vector<TroubleWords> words;
  for (const TroubleRow& row : table)
    if (row.family == family) words.push_back(row.words);
  return words;
}

Plan make_plan(const PlanRequest& request, runtime::Rng& rng) {
  return Planner(request, rng).make();
}

}  // namespace drover::semantics

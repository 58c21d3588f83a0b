#include "actors/semantics/template_script.hpp"

#include <algorithm>
#include <cmath>

#include "messages/check.hpp"

namespace drover::semantics {
namespace {

constexpr double gravity = 9.81;
constexpr double phase_s_min = 0.3;  // no hand does anything quicker

Place operator+(const Place& a, const Place& b) {
  return {a[0] + b[0], a[1] + b[1], a[2] + b[2]};
}
Place operator-(const Place& a, const Place& b) {
  return {a[0] - b[0], a[1] - b[1], a[2] - b[2]};
}
Place operator*(double s, const Place& a) {
  return {s * a[0], s * a[1], s * a[2]};
}
double norm(const Place& a) {
  return std::sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2]);
}
Place unit(const Place& a) {
  const double n = norm(a);
  return n > 1e-9 ? (1.0 / n) * a : Place{};
}
uint16_t bit(uint8_t thing) {
  return static_cast<uint16_t>(1u << thing);
}

}  // namespace

ScriptWriter::ScriptWriter(Script& script, runtime::Rng& rng, const ScriptStyle& style)
    : script_(script), rng_(rng), style_(style), tool_(script.tool_m), width_(script.width_m), things_(script.things) {}

Phase& ScriptWriter::add(Label label, const Place& to_m, double speed_m_per_s) {
  Phase phase;
  phase.label = label;
  const double way = norm(to_m - tool_);
  phase.seconds = std::max(phase_s_min, way / (speed_m_per_s * style_.speed) + 0.1) * draw(0.95, 1.1);
  phase.tool_from = tool_;
  phase.tool_to = tool_ = to_m;
  phase.width_from = phase.width_to = width_;
  if (held_ >= 0) phase.contacts = bit(static_cast<uint8_t>(held_));
  script_.phases.push_back(phase);
  return script_.phases.back();
}

void ScriptWriter::move_thing(Phase& phase, uint8_t thing, ThingMotion::Law law, const ThingState& to) {
  for (ThingMotion& motion : phase.motions) {
    if (motion.law != ThingMotion::Law::none) continue;
    motion = {law, thing, things_[thing], to};
    things_[thing] = to;
    return;
  }
  DROVER_CHECK(false, "a phase moves at most three things");
}

void ScriptWriter::carry_held(Phase& phase, bool upright) {
  if (held_ < 0) return;
  const auto thing = static_cast<uint8_t>(held_);
  ThingState to = things_[thing];
  to.position_m = to.position_m + (phase.tool_to - phase.tool_from);
  if (upright) to.tilt_rad = 0;
  move_thing(phase, thing, ThingMotion::Law::with_tool, to);
}

Place ScriptWriter::weight() const {
  return held_ < 0 ? Place{} : Place{0, 0, -gravity * style_.mass_kg};
}

void ScriptWriter::mark(Outcome outcome, Reason reason) {
  last().outcome = outcome;
  last().reason = reason;
}

void ScriptWriter::hold(uint8_t thing, double width_m) {
  held_ = thing;
  width_ = script_.width_m = width_m;
}

// ---- what a hand does

void ScriptWriter::approach(const Place& to_m) {
  add(Label::approach, to_m, draw(0.3, 0.45));
}

void ScriptWriter::grasp(uint8_t thing, double width_m) {
  Phase& phase = add(Label::grasp, tool_, 1);
  phase.seconds = draw(0.35, 0.5) / std::min(style_.speed, 1.2);
  phase.width_to = width_ = width_m;
  phase.contacts = bit(thing);
  phase.contact_from = 0.85;
  held_ = thing;
}

void ScriptWriter::grasp_nothing(double width_m) {
  Phase& phase = add(Label::grasp, tool_, 1);
  phase.seconds = draw(0.4, 0.6);
  phase.width_to = width_ = width_m;
}

void ScriptWriter::pull(uint8_t thing, double way_m) {
  Phase& phase = add(Label::pull, tool_ - Place{way_m, 0, 0}, draw(0.16, 0.25));
  phase.force_N = {style_.friction_N, 0, 0};
  ThingState to = things_[thing];
  to.position_m[0] -= way_m;
  to.extension_m += way_m;
  move_thing(phase, thing, ThingMotion::Law::with_tool, to);
}

void ScriptWriter::push(const Place& to_m, double press_N) {
  Phase& phase = add(Label::push, to_m, draw(0.18, 0.28));
  phase.contacts = static_cast<uint16_t>(phase.contacts | contact_environment);
  const Place drag = (-0.3 * press_N) * unit(phase.tool_to - phase.tool_from);
  phase.force_N = drag + Place{0, 0, press_N};
  phase.force_rise_s = 0.1;
  carry_held(phase);
}

void ScriptWriter::lift(double up_m) {
  Phase& phase = add(Label::lift, tool_ + Place{0, 0, up_m}, draw(0.2, 0.3));
  phase.force_N = weight();
  carry_held(phase, true);
}

void ScriptWriter::transport(const Place& to_m) {
  Phase& phase = add(Label::transport, to_m, draw(0.3, 0.45));
  phase.force_N = weight();
  carry_held(phase);
}

void ScriptWriter::place(double down_m) {
  Phase& phase = add(Label::place, tool_ - Place{0, 0, down_m}, draw(0.16, 0.25));
  phase.force_N = weight();
  carry_held(phase);
}

void ScriptWriter::let_go() {
  Phase& phase = add(Label::release, tool_, 1);
  phase.seconds = draw(0.3, 0.4);
  phase.contact_to = 0.1;
  phase.width_to = width_ = style_.open_m;
  held_ = -1;
}

void ScriptWriter::release(const Place& retreat_m) {
  let_go();
  add_retreat(retreat_m);
}

void ScriptWriter::add_retreat(const Place& way_m) {
  add(Label::release, tool_ + way_m, draw(0.25, 0.35));
}

void ScriptWriter::idle(double seconds) {
  Phase& phase = add(Label::idle, tool_, 1);
  phase.seconds = seconds;
  phase.force_N = weight();
}

// ---- what goes wrong

void ScriptWriter::slip(const Place& hand_way_m, const Place& thing_way_m) {
  Phase& phase = add(Label::slip, tool_ + hand_way_m, 0.2);
  phase.outcome = Outcome::failure;
  phase.reason = Reason::grasp_slip;
  phase.seconds = std::max(phase_s_min, norm(hand_way_m - thing_way_m) / 0.15);
  const auto thing = static_cast<uint8_t>(held_);
  ThingState to = things_[thing];
  to.position_m = to.position_m + thing_way_m;
  to.extension_m = std::max(0.0, to.extension_m - thing_way_m[0]);
  if (norm(thing_way_m) > 0) move_thing(phase, thing, ThingMotion::Law::with_tool, to);
  phase.contact_to = 0.5;
  held_ = -1;
}

// What is held falls to `floor_m`; the hand goes on a little before it stops.
void ScriptWriter::drop(double floor_m) {
  const auto thing = static_cast<uint8_t>(held_);
  ThingState to = things_[thing];
  const double fall = std::max(0.02, to.position_m[2] - floor_m);
  to.position_m = to.position_m + Place{draw(-0.03, 0.03), draw(-0.03, 0.03), -fall};
  to.tilt_rad = draw(0.3, 1.5);
  held_ = -1;
  const Place way = script_.phases.empty() ? Place{} : unit(last().tool_to - last().tool_from);
  Phase& phase = add(Label::slip, tool_ + draw(0.03, 0.05) * way, 0.3);
  phase.outcome = Outcome::failure;
  phase.reason = Reason::drop;
  phase.seconds = draw(0.35, 0.5);
  move_thing(phase, thing, ThingMotion::Law::fall, to);
}

void ScriptWriter::locked_pull() {
  Phase& phase = add(Label::pull, tool_ - Place{0.003, 0, 0}, 0.02);
  phase.outcome = Outcome::failure;
  phase.reason = Reason::locked;
  phase.seconds = draw(0.9, 1.4);
  phase.force_N = {draw(30, 42), 0, 0};
  phase.force_rise_s = draw(0.45, 0.6);
}

void ScriptWriter::collide(const Place& direction, double hard_N, uint16_t contacts, int tipped) {
  Phase& phase = add(Label::collision, tool_ + 0.004 * unit(direction), 1);
  phase.outcome = Outcome::failure;
  phase.reason = Reason::collision;
  phase.seconds = draw(0.3, 0.4);
  phase.contacts = static_cast<uint16_t>(phase.contacts | contacts);
  phase.force_N = (-hard_N) * unit(direction);
  phase.force_rise_s = 0.03;
  carry_held(phase);
  if (tipped < 0) return;
  ThingState to = things_[static_cast<size_t>(tipped)];
  to.tilt_rad = 1.5;
  to.position_m[2] -= 0.02;
  move_thing(phase, static_cast<uint8_t>(tipped), ThingMotion::Law::early, to);
}

// What was let go in the last phase tips and slides.
void ScriptWriter::topple(uint8_t thing, double tilt_rad, const Place& way_m) {
  ThingState to = things_[thing];
  to.tilt_rad = tilt_rad;
  to.position_m = to.position_m + way_m;
  move_thing(last(), thing, ThingMotion::Law::with_tool, to);
  mark(Outcome::failure, Reason::misplaced);
}

// ---- what repairs

void ScriptWriter::back_off(const Place& way_m, bool open) {
  if (open) {
    Phase& phase = add(Label::recovery_maneuver, tool_, 1);
    phase.seconds = draw(0.3, 0.4);
    phase.contact_to = 0.1;
    phase.width_to = width_ = style_.open_m;
    held_ = -1;
  }
  Phase& phase = add(Label::recovery_maneuver, tool_ + way_m, draw(0.2, 0.3));
  phase.force_N = weight();
  carry_held(phase);
}

void ScriptWriter::wiggle(uint8_t thing) {
  Phase& phase = add(Label::recovery_maneuver, tool_, 1);
  phase.seconds = draw(0.9, 1.3);
  phase.sway_m = draw(0.005, 0.007);
  phase.force_N = {draw(15, 25), 0, 0};
  phase.contacts = bit(thing);
}

void ScriptWriter::shove(uint8_t thing, const Place& way_m, double tilt_rad) {
  Phase& phase = add(Label::recovery_maneuver, tool_ + way_m, draw(0.12, 0.18));
  phase.seconds = std::max(phase.seconds, 0.5);
  phase.contacts = static_cast<uint16_t>(phase.contacts | bit(thing));
  phase.force_N = (-draw(4, 8)) * unit(way_m);
  carry_held(phase);
  ThingState to = things_[thing];
  to.position_m = to.position_m + way_m;
  to.tilt_rad = tilt_rad;
  move_thing(phase, thing, ThingMotion::Law::with_tool, to);
}

void ScriptWriter::sway(uint16_t contacts) {
  Phase& phase = add(Label::recovery_maneuver, tool_, 1);
  phase.seconds = draw(0.9, 1.3);
  phase.sway_m = draw(0.02, 0.03);
  phase.swayed = held_;
  phase.contacts = static_cast<uint16_t>(phase.contacts | contacts);
  phase.force_N = {0, 0, 5};
}

void ScriptWriter::carry(const Place& to_m) {
  Phase& phase = add(Label::recovery_maneuver, to_m, draw(0.25, 0.35));
  phase.force_N = weight();
  carry_held(phase);
}

}  // namespace drover::semantics

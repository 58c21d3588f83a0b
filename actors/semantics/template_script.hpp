// Script: the physics of one made-up rollout as a list of phases in continuous time. Pure.
//
// A phase moves the tool along a straight line with a trapezoid of speed, the fingers with it, presses on the hand and
// moves things; it also says what it truly is. ScriptWriter keeps where everything is at the end of what was written.
// Invariants: phases have seconds > 0 and follow each other without a gap.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "actors/runtime/rng.hpp"
#include "actors/semantics/rollout.hpp"
#include "actors/semantics/template_arm.hpp"

namespace drover::semantics {

struct ThingState {
  Place position_m{};
  double tilt_rad = 0;
  double extension_m = 0;
};

// How a thing gets from where it is to `to` during a phase.
struct ThingMotion {
  enum class Law : uint8_t {
    none,
    with_tool,  // as the tool goes along its line
    early,      // within the first quarter second
    fall,       // under gravity, from the start of the phase
  };
  Law law = Law::none;
  uint8_t thing = 0;
  ThingState from, to;
};

struct Phase {
  Label label = Label::idle;
  Outcome outcome = Outcome::success;
  Reason reason = Reason::none;
  double seconds = 0;
  Place tool_from{}, tool_to{};
  double width_from = 0, width_to = 0;
  uint16_t contacts = 0;
  double contact_from = 0, contact_to = 1;  // shares of the phase between which the contacts hold
  Place force_N{};                          // on the hand
  double force_rise_s = 0.05;
  double sway_m = 0;  // sideways there and back, three times
  int swayed = -1;    // the thing that goes with it
  std::array<ThingMotion, 3> motions{};
};

struct Script {
  std::vector<Phase> phases;
  std::vector<ThingState> things;  // at the start
  Place tool_m{};
  double width_m = 0;
  double pitch_rad = 0;
};

struct ScriptStyle {
  double speed = 1;       // factor on every speed
  double friction_N = 6;  // of what slides
  double mass_kg = 0.4;   // of what is carried
  double open_m = 0.085;  // fingers
};

class ScriptWriter {
 public:
  ScriptWriter(Script& script, runtime::Rng& rng, const ScriptStyle& style);

  // ---- what a hand does
  void approach(const Place& to_m);
  void grasp(uint8_t thing, double width_m);
  void grasp_nothing(double width_m);
  void pull(uint8_t thing, double way_m);
  void push(const Place& to_m, double press_N);
  void lift(double up_m);
  void transport(const Place& to_m);
  void place(double down_m);
  void release(const Place& retreat_m);
  void let_go();
  void add_retreat(const Place& way_m);
  void idle(double seconds);

  // ---- what goes wrong; the phase before becomes a failure too where it was broken off
  void slip(const Place& hand_way_m, const Place& thing_way_m);
  void drop(double floor_m);
  void locked_pull();
  void collide(const Place& direction, double hard_N, uint16_t contacts, int tipped);
  void topple(uint8_t thing, double tilt_rad, const Place& way_m);

  // ---- what repairs
  void back_off(const Place& way_m, bool open);
  void wiggle(uint8_t thing);
  void shove(uint8_t thing, const Place& way_m, double tilt_rad);
  void sway(uint16_t contacts);
  void carry(const Place& to_m);

  // Says what came of the last phase.
  void mark(Outcome outcome, Reason reason = Reason::none);
  void hold(uint8_t thing, double width_m);  // from the start
  const Place& tool() const { return tool_; }
  const ThingState& thing(uint8_t index) const { return things_[index]; }
  const ScriptStyle& style() const { return style_; }
  double draw(double low, double high) { return low + (high - low) * rng_.uniform(); }
  size_t size() const { return script_.phases.size(); }
  Phase& last() { return script_.phases.back(); }

 private:
  Phase& add(Label label, const Place& to_m, double speed_m_per_s);
  void move_thing(Phase& phase, uint8_t thing, ThingMotion::Law law, const ThingState& to);
  void carry_held(Phase& phase, bool upright = false);
  Place weight() const;

  Script& script_;
  runtime::Rng& rng_;
  ScriptStyle style_;
  Place tool_{};
  double width_ = 0;
  std::vector<ThingState> things_;
  int held_ = -1;
};

}  // namespace drover::semantics

// Playbook: manoeuvres as data, from the same skills.toml as the graph: legs, checks, and what kinds of things look
// like to a hand. Pure. The vocabulary is small on purpose; README.md lists it beside an example.
//
// Invariants after parsing: numbers are finite and in range; every manoeuvre has a leg and a name of its own; a leg
// that is turned names both ends of the direction.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "actors/robot/geometry.hpp"
#include "messages/result.hpp"

namespace drover::econ {
class StrictTable;
class TomlProblems;
}  // namespace drover::econ

namespace drover::robot {

// Where to and how. Places are those the robot believes in when the leg begins.
struct PlayLeg {
  std::string at;          // a sight's name; "here": where the tool was commanded; "really": where it is; "home"
  Vec3 offset_m{};         // from there; world axes, or turned as below
  std::string from, to;    // both or none: the offset's x points along the ground from one sight's place to the other's
  double reaches = 0;      // this many times the kind's reach are added to the offset's x
  bool grip = false;       // the kind's grip place is added
  std::string carry;       // the place is for this thing, which is held: the tool goes where it comes there
  double seconds = 0;      // how long it takes
  bool in_joints = false;  // joints move straight, not the tool
  double until_N = 0;      // above 0: ends early when this much presses back
  std::string gripper;     // keep | open | shut | squeeze
  double squeeze_m = 0;    // of squeeze: fingers' target inside the kind's half width
  std::vector<std::string> learn;  // sights whose mean over the leg is believed after it
};

enum class When : uint8_t {
  unseen,   // `of` was seen fewer than `limit` times in the last leg that learned it
  behind,   // the tool is more than `limit` [m] from its command
  empty,    // the fingers are closer than `limit` [m, each]
  slipped,  // `of` moved more than `limit` [m] in the hand since the manoeuvre began
  apart,    // the places of `of` and `from` are more than `limit` [m] apart along the ground
  tilted,   // `of` leans more than `limit` [rad]
};

struct PlayCheck {
  When when = When::behind;
  std::string of, from;
  double limit = 0;
  std::string says;  // the outcome
};

struct PlayManoeuvre {
  std::string name;
  std::vector<PlayLeg> legs;
  std::vector<PlayCheck> stop_if;  // at every observation
  std::vector<PlayCheck> fail_if;  // when all legs were walked; none holds: success
};

// What a hand must know of a kind of thing; its name is Sight::kind.
struct PlayKind {
  std::string name;
  Vec3 grip_m{};            // from the seen place to where the tool grips
  double half_width_m = 0;  // of what the fingers hold
  double reach_m = 0;       // from its middle to where it is pushed
};

struct Playbook {
  Vec3 looks{1, 0, 0};    // the tool's direction in the world, unit
  Vec3 fingers{0, 1, 0};  // along which the fingers move, unit, across `looks`
  double looks_min = 3;   // sights that make a place known
  std::vector<PlayKind> kinds;
  std::vector<PlayManoeuvre> manoeuvres;

  const PlayKind* kind(std::string_view name) const;
  const PlayManoeuvre* manoeuvre(std::string_view name) const;
};

// Reads [hand], [kind.*] and [[manoeuvre]] of a skills.toml; what is wrong goes to `problems`.
void read_playbook(econ::StrictTable& top, econ::TomlProblems& problems, Playbook& out);

}  // namespace drover::robot

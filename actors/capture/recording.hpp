// The values of a recording: what a recorder is told and what a reader gives back. Plain values, SI units, no engine.
//
// Times are seconds since the episode began; the file stamps messages with start_unix_ns + time. Poses are in the world
// frame. Quaternions are (w, x, y, z). The file itself: RECORDING.md.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "messages/bytes.hpp"

namespace drover::capture {

using Vector3 = std::array<double, 3>;
using Quaternion = std::array<double, 4>;  // w, x, y, z

struct RecordedPose {
  Vector3 position_m{};
  Quaternion rotation{1, 0, 0, 0};
  bool operator==(const RecordedPose&) const = default;
};

struct RecordedJoint {
  std::string name;
  std::string limb;  // energy is booked under these two
  std::string effector;
  double copper_W_per_Nm2 = 0;
  bool sliding = false;  // m, m/s and N instead of rad, rad/s and Nm
  bool operator==(const RecordedJoint&) const = default;
};

// Looks along -z of its own frame; y is up in the picture, x to the right.
struct RecordedCamera {
  std::string name;  // letters, digits, '_' and '-'
  std::string link = "world";
  RecordedPose in_link;
  double fovy_deg = 45;
  uint32_t width = 0;
  uint32_t height = 0;
  double rate_hz = 0;  // nominal
  bool operator==(const RecordedCamera&) const = default;
};

// What the episode drew from its seed before it began.
struct RecordedCondition {
  std::string set;  // nominal | hard | ...
  uint64_t seed = 0;
  std::map<std::string, double> numbers;
  std::map<std::string, std::string> choices;
  bool operator==(const RecordedCondition&) const = default;
};

struct RecordingStart {
  std::string robot;
  std::string task_name;
  std::string world;   // drawer_vase
  std::string engine;  // mujoco | pybullet | isaac | ue5 | real
  std::string policy;  // who decided: "script", or a policy's id
  RecordedCondition condition;
  int64_t start_unix_ns = 0;
  double timestep_s = 0;  // of the physics; 0: not known
  double control_period_s = 0;
  std::vector<RecordedJoint> joints;  // 1..64; the order of every joint vector; grippers are sliding joints
  std::vector<RecordedCamera> cameras;
  std::string urdf;  // robot description; empty: none
  bool operator==(const RecordingStart&) const = default;
};

// One value per joint, or none where the recording has none.
struct JointSample {
  std::span<const double> position;
  std::span<const double> velocity;
  std::span<const double> effort;
  std::span<const double> target;  // what was commanded
};

// One named thing of the scene.
struct RecordedFrame {
  std::string_view name;
  std::string_view parent = "world";
  RecordedPose pose;       // in the world frame, whatever the parent is
  bool is_object = false;  // no part of the robot
  double occluded = 0;     // of an object: share that the main camera does not see, 0..1
};

struct RecordedContact {
  std::string_view a, b;
  double force_N = 0;
  Vector3 point_m{};
};

// What the robot's own senses made of one thing.
struct RecordedSight {
  std::string_view name;
  bool visible = false;
  Vector3 position_m{};
  double tilt_rad = 0;
  double extension_m = 0;
  std::string_view kind;
};
struct RecordedSense {
  RecordedPose tool;
  Vector3 tool_force_N{};
  std::vector<RecordedSight> sights;
};

enum class EventOrigin : uint8_t { world, policy };
struct RecordedEvent {
  double time_s = 0;
  std::string kind;
  std::string severity = "info";  // info | warning | error
  std::string detail;
  EventOrigin origin = EventOrigin::world;
  bool operator==(const RecordedEvent&) const = default;
};

struct RecordedSkill {
  int64_t skill_id = 0;
  std::string name;
  std::string manoeuvre;
  std::string kind = "skill";  // skill | retry | recovery
  double start_s = 0;
  double end_s = 0;
  std::string outcome;  // success | failure | recovered; empty: still open
  std::string reason;   // of a failure
  bool operator==(const RecordedSkill&) const = default;
};

struct RecordedJoules {
  double mechanical = 0;  // integral of abs(torque * velocity)
  double copper = 0;      // loss in the motor
  bool operator==(const RecordedJoules&) const = default;
};

// Everything spent since the episode began, as the meter has it. Cells are skill-major: cells[s * joints + j].
struct RecordedEnergy {
  double seconds = 0;  // integrated
  double peak_W = 0;
  RecordedJoules total;
  std::vector<int64_t> skill_ids;  // -1: no skill
  std::vector<RecordedJoules> cells;
  bool operator==(const RecordedEnergy&) const = default;
};

struct RecordingEnd {
  double duration_s = 0;
  bool complete = true;  // false: the episode was stopped from outside; stop_reason says why, the rest is what it was
  std::string stop_reason = {};
  std::string outcome = "unknown";  // success | failure | recovered | unknown
  std::string template_name = {};   // success | failure | recovered | mixed
  std::string failure_reason = {};
  double units = 0;
  double attempts = 1;
  double errors = 0;
  double progress = 0;  // of the goal, 0..1
  bool safety_violated = false;
  uint64_t control_steps = 0;
  uint64_t state_hash = 0;  // of the episode; equal for equal physics
  bool operator==(const RecordingEnd&) const = default;
};

}  // namespace drover::capture

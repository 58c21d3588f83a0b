// RolloutFrame: what a robot senses at one instant, in one flat value of fixed size. Pure.
//
// Everything that reads behaviour (segmentation, tags, OOD) reads frames and nothing else: no skill names, no labels.
// Units are SI, places are in the world frame. Which fields carry anything is in Rollout::signals; the rest is zero.
// Invariant of a stream: time_s is finite and strictly increasing (the segmenter drops frames that break it).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace drover::semantics {

inline constexpr size_t joints_max = 8;
inline constexpr size_t objects_max = 6;

using Point = std::array<float, 3>;

// One thing in the scene, as it is seen. `Rollout::objects` names it.
struct ObjectState {
  Point position_m{};
  float tilt_rad = 0;     // away from upright
  float extension_m = 0;  // how far it is open, for things that slide or swing
  uint32_t visible = 0;   // 0: not seen in this frame; the rest is what was seen last
};

// Alarms that the robot's own controller raises. Sensors, not labels.
enum Alarm : uint16_t {
  alarm_protective_stop = 1,  // the safety controller stopped the arm
  alarm_grip_lost = 2,        // the gripper says that it lost what it held
};

// Contacts: bit i is "the hand or what it holds touches object i".
inline constexpr uint16_t contact_environment = 1u << 15;  // furniture, frame, surface, floor

struct RolloutFrame {
  double time_s = 0;  // from the start of the rollout
  std::array<float, joints_max> joint_rad{};
  std::array<float, joints_max> joint_rad_per_s{};
  std::array<float, joints_max> joint_Nm{};
  Point tool_m{};                                    // tool centre point
  std::array<float, 4> tool_quaternion{1, 0, 0, 0};  // w, x, y, z
  float gripper_m = 0;                               // width between the fingers
  float gripper_N = 0;                               // force between them
  Point force_N{};                                   // what touches the hand presses on it
  float power_W = 0;                                 // that the motors take up
  uint16_t contacts = 0;
  uint16_t alarms = 0;  // Alarm
  std::array<ObjectState, objects_max> objects{};
};
static_assert(std::is_trivially_copyable_v<RolloutFrame>);

// Which fields of a stream's frames mean anything.
enum Signal : uint32_t {
  signal_joints = 1,     // joint_rad and joint_rad_per_s
  signal_torque = 2,     // joint_Nm
  signal_tool = 4,       // tool_m
  signal_gripper = 8,    // gripper_m
  signal_force = 16,     // force_N
  signal_contacts = 32,  // contacts
  signal_objects = 64,   // objects
  signal_power = 128,    // power_W
  signal_alarms = 256,   // alarms
};
inline constexpr uint32_t signals_all = 511;

}  // namespace drover::semantics

// TemplateArm: a six-joint arm in closed form, so that made-up rollouts have joints that belong to their tool. Pure.
//
// Yaw at the base, two links in the vertical plane, three wrist joints that keep the tool's direction. Torques are
// statics: gravity of the links and what presses on the hand.
#pragma once

#include <array>

#include "actors/semantics/frame.hpp"

namespace drover::semantics {

inline constexpr size_t template_joints = 6;
using TemplateJoints = std::array<double, template_joints>;
using Place = std::array<double, 3>;

// Angles that bring the tool to `tool_m` (clamped to what the arm reaches); `pitch_rad`: 0 forward, -pi/2 down.
TemplateJoints template_angles(const Place& tool_m, double pitch_rad);

// Joint torques [Nm] that hold the arm at `angles_rad` with `force_N` pressing on the hand at `tool_m`.
TemplateJoints template_torques(const TemplateJoints& angles_rad, const Place& tool_m, const Place& force_N);

}  // namespace drover::semantics

#include "actors/semantics/template_arm.hpp"

#include <algorithm>
#include <cmath>

namespace drover::semantics {
namespace {

constexpr double shoulder_m = 0.30;  // above the table
constexpr double upper_m = 0.42;
constexpr double fore_m = 0.40;
constexpr double hand_m = 0.12;
constexpr double upper_kg = 2.2;
constexpr double fore_kg = 1.4;
constexpr double hand_kg = 0.9;
constexpr double gravity = 9.81;

}  // namespace

TemplateJoints template_angles(const Place& tool_m, double pitch_rad) {
  const double yaw = std::atan2(tool_m[1], tool_m[0]);
  const double r = std::hypot(tool_m[0], tool_m[1]) - hand_m * std::cos(pitch_rad);
  const double z = tool_m[2] - shoulder_m - hand_m * std::sin(pitch_rad);
  // Law of cosines in the plane of the two links.
  const double reach2 = std::clamp(r * r + z * z, 0.01, (upper_m + fore_m) * (upper_m + fore_m) * 0.9999);
  const double bend = std::acos((reach2 - upper_m * upper_m - fore_m * fore_m) / (2 * upper_m * fore_m));
  const double lift = std::atan2(z, r) + std::atan2(fore_m * std::sin(bend), upper_m + fore_m * std::cos(bend));
  return {yaw, lift, -bend, 0.0, pitch_rad - lift + bend, -yaw};
}

TemplateJoints template_torques(const TemplateJoints& angles_rad, const Place& tool_m, const Place& force_N) {
  const double upper = angles_rad[1];
  const double fore = angles_rad[1] + angles_rad[2];
  const double cos_upper = std::cos(upper) * upper_m;
  const double cos_fore = std::cos(fore) * fore_m;
  const double reach = std::hypot(tool_m[0], tool_m[1]) + 1e-9;
  // The pressing force in the arm's plane: along the reach and up.
  const double along = (force_N[0] * tool_m[0] + force_N[1] * tool_m[1]) / reach;
  const double up = force_N[2];
  const double sin_upper = std::sin(upper) * upper_m;
  const double elbow_gravity = gravity * (fore_kg * 0.5 * cos_fore + hand_kg * cos_fore);
  TemplateJoints torque{};
  torque[0] = tool_m[1] * force_N[0] - tool_m[0] * force_N[1];
  torque[1] = gravity * (upper_kg * 0.5 * cos_upper + (fore_kg + hand_kg) * cos_upper) + elbow_gravity +
              along * (tool_m[2] - shoulder_m) - up * reach;
  torque[2] = elbow_gravity + along * (tool_m[2] - shoulder_m - sin_upper) - up * (reach - cos_upper);
  torque[3] = 0.02 * force_N[1];
  torque[4] = 0.5 * gravity * hand_kg * hand_m - hand_m * up;
  torque[5] = 0.01 * force_N[1];
  return torque;
}

}  // namespace drover::semantics

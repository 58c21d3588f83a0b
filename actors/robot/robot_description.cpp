// The arm as URDF.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "actors/robot/recorded_episode.hpp"

namespace drover::robot {
namespace {

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value == 0 ? 0.0 : value);  // no -0
  return text;
}

std::string triple(const Vec3& v) {
  return number(v[0]) + " " + number(v[1]) + " " + number(v[2]);
}

// Fixed axes roll, pitch, yaw, as URDF has them.
Vec3 roll_pitch_yaw(const Mat3& m) {
  const double pitch = std::asin(std::clamp(-m[6], -1.0, 1.0));
  if (std::abs(m[6]) > 1 - 1e-9) return {0, pitch, std::atan2(-m[1], m[4])};
  return {std::atan2(m[7], m[8]), pitch, std::atan2(m[3], m[0])};
}

std::string origin(const Vec3& offset_m, const Mat3& orientation) {
  return "<origin xyz=\"" + triple(offset_m) + "\" rpy=\"" + triple(roll_pitch_yaw(orientation)) + "\"/>";
}

// A rotation that turns z into `direction`.
Mat3 z_to(const Vec3& direction) {
  const Vec3 z{0, 0, 1};
  const Vec3 axis = cross(z, direction);
  const double sine = norm(axis), cosine = dot(z, direction);
  if (sine < 1e-9) return cosine > 0 ? identity3 : rotation({1, 0, 0}, std::acos(-1.0));
  return rotation((1 / sine) * axis, std::atan2(sine, cosine));
}

// A link that reaches to where the next joint sits.
std::string link(std::string_view name, const Vec3& reach_m) {
  std::string text = "  <link name=\"" + std::string(name) + "\">";
  const double length_m = norm(reach_m);
  if (length_m > 1e-3)
    text += "<visual>" + origin(0.5 * reach_m, z_to((1 / length_m) * reach_m)) +
            "<geometry><cylinder radius=\"0.035\" length=\"" + number(length_m) + "\"/></geometry></visual>";
  return text + "</link>\n";
}

}  // namespace

std::string robot_description(const World& world) {
  const WorldInfo& info = world.info();
  const auto& joints = world.energy().joints();
  if (joints.size() < arm_joint_count) return "";
  std::vector<std::string> links;
  for (const SceneFrame& frame : world.scene())
    if (!frame.is_object && links.size() <= arm_joint_count) links.emplace_back(frame.name);
  if (links.size() <= arm_joint_count) return "";
  std::string text = "<?xml version=\"1.0\"?>\n<robot name=\"" + info.name + "_arm\">\n";
  for (size_t i = 0; i <= arm_joint_count; ++i)
    text += link(links[i], i < arm_joint_count ? info.arm.joints[i].offset_m : info.arm.tool.position_m);
  for (size_t i = 0; i < arm_joint_count; ++i) {
    const ArmJoint& joint = info.arm.joints[i];
    text += "  <joint name=\"" + joints[i].name + "\" type=\"revolute\"><parent link=\"" + links[i] +
            "\"/><child link=\"" + links[i + 1] + "\"/>" + origin(joint.offset_m, joint.orientation) + "<axis xyz=\"" +
            triple(joint.axis) + "\"/><limit lower=\"" + number(joint.low_rad) + "\" upper=\"" +
            number(joint.high_rad) + "\" effort=\"150\" velocity=\"3.2\"/></joint>\n";
  }
  return text + "</robot>\n";
}

}  // namespace drover::robot

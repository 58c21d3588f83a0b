// Arm: the kinematic chain of a 6-joint arm, and inverse kinematics by damped least squares. Pure.
//
// dq = J^T (J J^T + lambda^2 I)^-1 e, e = (position error [m], weighted rotation error). The damping keeps steps small
// near singular poses, where the wrist of this arm often is; the position is met, the rotation nearly.
#pragma once

#include <array>
#include <cstddef>

#include "actors/robot/geometry.hpp"

namespace drover::robot {

inline constexpr size_t arm_joint_count = 6;
using JointVector = std::array<double, arm_joint_count>;

struct ArmJoint {
  Vec3 offset_m{};               // of this joint's frame in the frame before it
  Mat3 orientation = identity3;  // of this joint's frame in the frame before it, at angle 0
  Vec3 axis{0, 0, 1};            // unit, in this joint's frame
  double low_rad = -3.14;
  double high_rad = 3.14;
};

struct Pose {
  Vec3 position_m{};
  Mat3 orientation = identity3;
};

struct Arm {
  Pose base;
  std::array<ArmJoint, arm_joint_count> joints;
  Pose tool;  // the tool centre point in the frame of the last joint
};

Pose forward(const Arm& arm, const JointVector& angles_rad);

struct IkOptions {
  double damping = 0.01;          // lambda
  double rotation_weight = 0.15;  // [m/rad] what an error of one radian costs beside one metre
  double step_rad_max = 0.15;     // per iteration and joint
  double tolerance = 1e-4;        // weighted error [m] at which it stops
  int iterations_max = 60;
};

struct IkResult {
  JointVector angles_rad{};
  double position_error_m = 0;
  double rotation_error_rad = 0;
};

// From `start_rad` toward `target`, inside the joint limits. Always gives an answer; how good is in the errors.
IkResult solve_ik(const Arm& arm, const JointVector& start_rad, const Pose& target, const IkOptions& options = {});

}  // namespace drover::robot

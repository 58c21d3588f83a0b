#include "actors/robot/arm.hpp"

#include <algorithm>

namespace drover::robot {
namespace {

constexpr size_t n = arm_joint_count;
using Square = std::array<double, 6 * 6>;
using Six = std::array<double, 6>;

struct Chain {
  std::array<Vec3, n> axis;    // world
  std::array<Vec3, n> origin;  // world [m]
  Pose tool;
};

Chain walk(const Arm& arm, const JointVector& q) {
  Chain out;
  Pose frame = arm.base;
  for (size_t i = 0; i < n; ++i) {
    const ArmJoint& joint = arm.joints[i];
    frame.position_m = frame.position_m + frame.orientation * joint.offset_m;
    frame.orientation = frame.orientation * joint.orientation;
    out.origin[i] = frame.position_m;
    out.axis[i] = frame.orientation * joint.axis;
    frame.orientation = frame.orientation * rotation(joint.axis, q[i]);
  }
  out.tool.position_m = frame.position_m + frame.orientation * arm.tool.position_m;
  out.tool.orientation = frame.orientation * arm.tool.orientation;
  return out;
}

// Small-angle rotation from `from` to `to`, as a world vector [rad].
Vec3 rotation_error(const Mat3& from, const Mat3& to) {
  Vec3 sum{};
  for (size_t c = 0; c < 3; ++c) sum = sum + cross(column(from, c), column(to, c));
  return 0.5 * sum;
}

// Solves A x = b for symmetric positive definite A, in place (Cholesky).
Six solve(Square a, Six b) {
  for (size_t i = 0; i < 6; ++i) {
    for (size_t j = 0; j <= i; ++j) {
      double sum = a[6 * i + j];
      for (size_t k = 0; k < j; ++k) sum -= a[6 * i + k] * a[6 * j + k];
      a[6 * i + j] = i == j ? std::sqrt(std::max(sum, 1e-18)) : sum / a[6 * j + j];
    }
  }
  for (size_t i = 0; i < 6; ++i) {
    for (size_t k = 0; k < i; ++k) b[i] -= a[6 * i + k] * b[k];
    b[i] /= a[6 * i + i];
  }
  for (size_t i = 6; i-- > 0;) {
    for (size_t k = i + 1; k < 6; ++k) b[i] -= a[6 * k + i] * b[k];
    b[i] /= a[6 * i + i];
  }
  return b;
}

// One damped step for the weighted error.
JointVector damped_step(const Chain& chain, const Six& error, const IkOptions& options) {
  Square j{};  // row: error component, column: joint
  for (size_t i = 0; i < n; ++i) {
    const Vec3 linear = cross(chain.axis[i], chain.tool.position_m - chain.origin[i]);
    for (size_t r = 0; r < 3; ++r) {
      j[6 * r + i] = linear[r];
      j[6 * (r + 3) + i] = options.rotation_weight * chain.axis[i][r];
    }
  }
  Square a{};
  for (size_t r = 0; r < 6; ++r)
    for (size_t c = 0; c < 6; ++c) {
      double sum = r == c ? options.damping * options.damping : 0.0;
      for (size_t k = 0; k < n; ++k) sum += j[6 * r + k] * j[6 * c + k];
      a[6 * r + c] = sum;
    }
  const Six y = solve(a, error);
  JointVector step{};
  for (size_t i = 0; i < n; ++i) {
    for (size_t r = 0; r < 6; ++r) step[i] += j[6 * r + i] * y[r];
    step[i] = std::clamp(step[i], -options.step_rad_max, options.step_rad_max);
  }
  return step;
}

}  // namespace

Pose forward(const Arm& arm, const JointVector& angles_rad) {
  return walk(arm, angles_rad).tool;
}

IkResult solve_ik(const Arm& arm, const JointVector& start_rad, const Pose& target, const IkOptions& options) {
  IkResult result;
  result.angles_rad = start_rad;
  for (int iteration = 0;; ++iteration) {
    const Chain chain = walk(arm, result.angles_rad);
    const Vec3 position = target.position_m - chain.tool.position_m;
    const Vec3 turn = rotation_error(chain.tool.orientation, target.orientation);
    result.position_error_m = norm(position);
    result.rotation_error_rad = norm(turn);
    const double weighted = std::hypot(result.position_error_m, options.rotation_weight * result.rotation_error_rad);
    if (weighted < options.tolerance || iteration == options.iterations_max) return result;
    const double w = options.rotation_weight;
    const Six error = {position[0], position[1], position[2], w * turn[0], w * turn[1], w * turn[2]};
    const JointVector step = damped_step(chain, error, options);
    for (size_t i = 0; i < n; ++i)
      result.angles_rad[i] = std::clamp(result.angles_rad[i] + step[i], arm.joints[i].low_rad, arm.joints[i].high_rad);
  }
}

}  // namespace drover::robot

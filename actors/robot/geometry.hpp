// Vectors and rotations, just enough for an arm: arrays of double, row-major 3x3 matrices. Pure.
#pragma once

#include <array>
#include <cmath>

namespace drover::robot {

using Vec3 = std::array<double, 3>;
using Mat3 = std::array<double, 9>;  // row-major

inline constexpr Mat3 identity3 = {1, 0, 0, 0, 1, 0, 0, 0, 1};

inline Vec3 operator+(const Vec3& a, const Vec3& b) {
  return {a[0] + b[0], a[1] + b[1], a[2] + b[2]};
}
inline Vec3 operator-(const Vec3& a, const Vec3& b) {
  return {a[0] - b[0], a[1] - b[1], a[2] - b[2]};
}
inline Vec3 operator*(double s, const Vec3& a) {
  return {s * a[0], s * a[1], s * a[2]};
}
inline double dot(const Vec3& a, const Vec3& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}
inline double norm(const Vec3& a) {
  return std::sqrt(dot(a, a));
}
inline Vec3 cross(const Vec3& a, const Vec3& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

inline Vec3 operator*(const Mat3& m, const Vec3& v) {
  return {m[0] * v[0] + m[1] * v[1] + m[2] * v[2], m[3] * v[0] + m[4] * v[1] + m[5] * v[2],
          m[6] * v[0] + m[7] * v[1] + m[8] * v[2]};
}
inline Mat3 operator*(const Mat3& a, const Mat3& b) {
  Mat3 out{};
  for (size_t r = 0; r < 3; ++r)
    for (size_t c = 0; c < 3; ++c) out[3 * r + c] = a[3 * r] * b[c] + a[3 * r + 1] * b[3 + c] + a[3 * r + 2] * b[6 + c];
  return out;
}
inline Vec3 column(const Mat3& m, size_t c) {
  return {m[c], m[3 + c], m[6 + c]};
}

// Rodrigues: rotation by `angle_rad` about the unit vector `axis`.
inline Mat3 rotation(const Vec3& axis, double angle_rad) {
  const double c = std::cos(angle_rad), s = std::sin(angle_rad), k = 1 - c;
  const auto [x, y, z] = axis;
  return {c + x * x * k,     x * y * k - z * s, x * z * k + y * s, y * x * k + z * s, c + y * y * k,
          y * z * k - x * s, z * x * k - y * s, z * y * k + x * s, c + z * z * k};
}

}  // namespace drover::robot

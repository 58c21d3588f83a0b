#include "actors/robot/world.hpp"

#include <algorithm>
#include <cmath>

namespace drover::robot {

const Sight* Observation::sight(std::string_view name) const {
  for (const Sight& sight : sights)
    if (sight.name == name) return &sight;
  return nullptr;
}

const std::vector<SceneFrame>& World::scene() const {
  static const std::vector<SceneFrame> none;
  return none;
}

const std::vector<Contact>& World::contacts() const {
  static const std::vector<Contact> none;
  return none;
}

Status World::render(const ViewRequest&, Image&) {
  return fail(Errc::unavailable, info().name + "/render", "this world makes no pictures");
}

Pose relative(const Pose& parent, const Pose& child) {
  const Mat3& p = parent.orientation;
  const Mat3 inverse = {p[0], p[3], p[6], p[1], p[4], p[7], p[2], p[5], p[8]};
  return {inverse * (child.position_m - parent.position_m), inverse * child.orientation};
}

// Shepperd's method: the largest of the four components is computed first, so that no division is by nearly nothing.
std::array<double, 4> quaternion(const Mat3& m) {
  const double trace = m[0] + m[4] + m[8];
  const std::array<double, 4> squares = {1 + trace, 1 + 2 * m[0] - trace, 1 + 2 * m[4] - trace, 1 + 2 * m[8] - trace};
  const auto largest = static_cast<size_t>(std::max_element(squares.begin(), squares.end()) - squares.begin());
  const double s = 0.5 / std::sqrt(squares[largest]);
  std::array<double, 4> q{};
  switch (largest) {
    case 0:
      q = {0, m[7] - m[5], m[2] - m[6], m[3] - m[1]};
      break;
    case 1:
      q = {m[7] - m[5], 0, m[1] + m[3], m[2] + m[6]};
      break;
    case 2:
      q = {m[2] - m[6], m[1] + m[3], 0, m[5] + m[7]};
      break;
    default:
      q = {m[3] - m[1], m[2] + m[6], m[5] + m[7], 0};
      break;
  }
  for (double& value : q) value *= s;
  q[largest] = 0.5 * std::sqrt(squares[largest]);
  if (q[0] < 0)
    for (double& value : q) value = -value;
  return q;
}

}  // namespace drover::robot

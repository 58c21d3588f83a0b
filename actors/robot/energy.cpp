#include "actors/robot/energy.hpp"

#include <algorithm>
#include <cmath>

#include "messages/check.hpp"

namespace drover::robot {

EnergyMeter::EnergyMeter(std::vector<EnergyJoint> joints) : joints_(std::move(joints)) {
  reset();
}

void EnergyMeter::reset() {
  skills_.clear();
  cells_.clear();
  total_ = {};
  seconds_ = peak_W_ = 0;
  row_ = 0;
  on_skill(-1);
}

void EnergyMeter::on_skill(int64_t skill_id) {
  if (row_ < skills_.size() && skills_[row_] == skill_id) return;
  const auto found = std::find(skills_.begin(), skills_.end(), skill_id);
  row_ = static_cast<size_t>(found - skills_.begin());
  if (found != skills_.end()) return;
  skills_.push_back(skill_id);
  cells_.resize(skills_.size() * joints_.size());
}

void EnergyMeter::add(std::span<const JointInterval> intervals, double seconds) {
  DROVER_CHECK(intervals.size() == joints_.size(), "one interval per joint");
  Joules* cells = cells_.data() + row_ * joints_.size();
  double power_W = 0;
  for (size_t i = 0; i < intervals.size(); ++i) {
    const JointInterval& at = intervals[i];
    const double start_W = std::abs(at.torque_start * at.velocity_start);
    const double end_W = std::abs(at.torque_end * at.velocity_end);
    const double square = at.torque_start * at.torque_start + at.torque_end * at.torque_end;
    const Joules spent{0.5 * (start_W + end_W) * seconds, 0.5 * square * joints_[i].copper_W_per_Nm2 * seconds};
    cells[i] += spent;
    total_ += spent;
    power_W += end_W;
  }
  seconds_ += seconds;
  peak_W_ = std::max(peak_W_, power_W);
}

std::map<std::string, Joules> EnergyMeter::by(std::string EnergyJoint::*name) const {
  std::map<std::string, Joules> out;
  for (size_t i = 0; i < cells_.size(); ++i) out[joints_[i % joints_.size()].*name] += cells_[i];
  return out;
}

std::map<std::string, Joules> EnergyMeter::per_joint() const {
  return by(&EnergyJoint::name);
}
std::map<std::string, Joules> EnergyMeter::per_limb() const {
  return by(&EnergyJoint::limb);
}
std::map<std::string, Joules> EnergyMeter::per_effector() const {
  return by(&EnergyJoint::effector);
}

std::map<int64_t, Joules> EnergyMeter::per_skill() const {
  std::map<int64_t, Joules> out;
  for (size_t i = 0; i < cells_.size(); ++i) {
    const Joules& cell = cells_[i];
    if (cell.mechanical == 0 && cell.copper == 0) continue;
    out[skills_[i / joints_.size()]] += cell;
  }
  return out;
}

}  // namespace drover::robot

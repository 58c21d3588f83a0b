// EnergyMeter: what every joint spent on every skill, integrated at the rate of the physics.
//
// Two quantities, never mixed: mechanical work, the integral of |torque*velocity| (trapezoid over one interval), and
// copper loss, the integral of (R/k_t^2)*torque^2 in the motor. The only primary data is one cell per (skill, joint);
// the total is added up beside them from the same increments, so every breakdown sums to it but for rounding.
// Pure; one owner.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace drover::robot {

// Energy of one thing [J].
struct Joules {
  double mechanical = 0;
  double copper = 0;
  Joules& operator+=(const Joules& other) {
    mechanical += other.mechanical;
    copper += other.copper;
    return *this;
  }
};

struct EnergyJoint {
  std::string name;
  std::string limb;
  std::string effector;
  double copper_W_per_Nm2 = 0;  // for a sliding joint W/N^2
};

// A joint over one interval: torque [Nm] (force [N]) and velocity [rad/s] ([m/s]) at both ends.
struct JointInterval {
  double torque_start = 0;
  double velocity_start = 0;
  double torque_end = 0;
  double velocity_end = 0;
};

class EnergyMeter {
 public:
  explicit EnergyMeter(std::vector<EnergyJoint> joints);

  void reset();
  // Books what follows on this skill. Cheap when the skill stays the same.
  void on_skill(int64_t skill_id);
  // One interval for all joints, in their order. `intervals.size()` must equal the number of joints.
  void add(std::span<const JointInterval> intervals, double seconds);

  const Joules& total() const { return total_; }
  std::map<std::string, Joules> per_joint() const;
  std::map<std::string, Joules> per_limb() const;
  std::map<std::string, Joules> per_effector() const;
  std::map<int64_t, Joules> per_skill() const;
  double seconds() const { return seconds_; }
  double peak_W() const { return peak_W_; }  // mechanical, all joints together
  const std::vector<EnergyJoint>& joints() const { return joints_; }
  // The primary data, for recordings: skills in the order they first came, cells()[skill * joints + joint].
  const std::vector<int64_t>& skill_ids() const { return skills_; }
  const std::vector<Joules>& cells() const { return cells_; }

 private:
  std::map<std::string, Joules> by(std::string EnergyJoint::*name) const;

  std::vector<EnergyJoint> joints_;
  std::vector<int64_t> skills_;
  std::vector<Joules> cells_;  // skill-major: skills_.size() * joints_.size()
  size_t row_ = 0;             // of the current skill
  Joules total_;
  double seconds_ = 0;
  double peak_W_ = 0;
};

}  // namespace drover::robot

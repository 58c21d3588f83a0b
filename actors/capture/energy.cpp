#include "actors/capture/energy.hpp"

#include <algorithm>
#include <limits>

namespace drover::capture {
namespace {

constexpr size_t joints_max = 256;
constexpr double power_max_W = 1e12;  // beyond it a reading is damage, and sums stay finite

}  // namespace

EnergyMeter::EnergyMeter(const EnergyRule& rule) : rule_(rule) {
  if (auto pattern = NamePattern::parse(rule.joint_name)) joint_name_ = std::move(*pattern);
}

EnergyMeter::Joint& EnergyMeter::joint(const std::string& capture) {
  Joint& joint = joints_[capture];
  if (joint.name.empty()) joint.name = joint_name_.expand(capture);
  return joint;
}

void EnergyMeter::add_channel(std::string_view name, uint32_t index) {
  const auto fits = [&](const NamePattern& p) { return p.empty() ? std::nullopt : p.match(name); };
  if (fits(rule_.power)) power_ = index;
  if (fits(rule_.current)) current_ = index;
  if (fits(rule_.voltage)) voltage_ = index;
  const auto bind = [&](const NamePattern& pattern, uint32_t Joint::*slot) {
    const auto capture = fits(pattern);
    if (capture && (joints_.size() < joints_max || joints_.contains(*capture))) joint(*capture).*slot = index;
  };
  bind(rule_.torque, &Joint::torque);
  bind(rule_.velocity, &Joint::velocity);
  bind(rule_.joint_current, &Joint::current);
}

double EnergyMeter::read(std::span<const double> values, uint32_t channel) {
  return channel < values.size() ? values[channel] : std::numeric_limits<double>::quiet_NaN();
}

double EnergyMeter::Integral::add(int64_t time_ns, double power_W, double gap_s) {
  if (!(std::abs(power_W) <= power_max_W)) return 0;
  double gained_J = 0;
  if (started) {
    const double step_s = static_cast<double>(time_ns - last_ns) * 1e-9;
    if (step_s <= gap_s) {
      gained_J = 0.5 * (last_W + power_W) * step_s;
      integrated_s += step_s;
    } else {
      skipped_s += step_s;
    }
  }
  joules += gained_J;
  started = true;
  last_W = power_W;
  last_ns = time_ns;
  peak_W = std::max(peak_W, power_W);
  return gained_J;
}

double EnergyMeter::integrate(int64_t time_ns, std::span<const double> values) {
  if (rule_.method == EnergyMethod::none) return 0;
  const double supply_W = power_ != no_channel ? read(values, power_) : read(values, current_) * read(values, voltage_);
  const double supply_J = supply_.add(time_ns, supply_W, rule_.gap_s);
  double work_J = 0, estimate_J = 0, work_W = 0, estimate_W = 0;
  for (auto& [capture, joint] : joints_) {
    const double power_W = std::abs(read(values, joint.torque) * read(values, joint.velocity));
    const double nominal_W = rule_.nominal_voltage_V * std::abs(read(values, joint.current));
    work_J += joint.work.add(time_ns, power_W, rule_.gap_s);
    estimate_J += joint.estimate.add(time_ns, nominal_W, rule_.gap_s);
    if (power_W <= power_max_W) work_W += power_W;
    if (nominal_W <= power_max_W) estimate_W += nominal_W;
  }
  switch (rule_.method) {
    case EnergyMethod::none:
      return 0;
    case EnergyMethod::measured_power:
      return supply_J;
    case EnergyMethod::torque_velocity:
      peak_W_ = std::max(peak_W_, work_W);
      return work_J;
    case EnergyMethod::current_nominal_voltage:
      peak_W_ = std::max(peak_W_, estimate_W);
      return estimate_J;
  }
  return 0;
}

void EnergyMeter::finish_measured(EnergyResult& result) {
  if (!supply_.started) {
    result.note = "measured_power: the log has no readable supply power";
    return;
  }
  result.method = energy_method_name(rule_.method);
  result.total_J = supply_.joules;
  result.peak_W = supply_.peak_W;
  result.integrated_s = supply_.integrated_s;
  result.not_integrated_s = supply_.skipped_s;
  result.note = "supply power integrated; joints are abs(torque*velocity), the rest is unattributed";
  double joints_J = 0;
  for (const auto& [capture, joint] : joints_) {
    if (!joint.work.started) continue;
    result.per_joint_J[joint.name] = joint.work.joules;
    joints_J += joint.work.joules;
  }
  result.per_joint_J["unattributed"] = result.total_J - joints_J;
  if (joints_J > result.total_J) result.note += "; joint work exceeds the supply energy, so unattributed is negative";
}

void EnergyMeter::finish_joints(EnergyResult& result, bool estimate) {
  bool any = false;
  for (const auto& [capture, joint] : joints_) {
    const Integral& integral = estimate ? joint.estimate : joint.work;
    if (!integral.started) continue;
    any = true;
    result.per_joint_J[joint.name] = integral.joules;
    result.total_J += integral.joules;
    result.integrated_s = std::max(result.integrated_s, integral.integrated_s);
    result.not_integrated_s = std::max(result.not_integrated_s, integral.skipped_s);
  }
  const std::string name(energy_method_name(rule_.method));
  if (!any) {
    result.note = name + ": the log has no readable " + (estimate ? "joint current" : "torque and velocity");
    return;
  }
  result.method = name;
  result.peak_W = peak_W_;
  result.estimated = estimate;
  result.note = estimate ? "estimate: abs(joint current) times a nominal voltage of " +
                               std::to_string(static_cast<int64_t>(std::llround(rule_.nominal_voltage_V))) + " V"
                         : "mechanical work abs(torque*velocity) of the joints";
}

EnergyResult EnergyMeter::finish() {
  EnergyResult result;
  switch (rule_.method) {
    case EnergyMethod::none:
      result.note = "the mapping names no energy method";
      break;
    case EnergyMethod::measured_power:
      finish_measured(result);
      break;
    case EnergyMethod::torque_velocity:
      finish_joints(result, false);
      break;
    case EnergyMethod::current_nominal_voltage:
      finish_joints(result, true);
      break;
  }
  if (supply_.started) result.supply_J = supply_.joules;
  double work_J = 0;
  bool has_work = false;
  for (auto& [capture, joint] : joints_) {
    has_work = has_work || joint.work.started;
    work_J += joint.work.joules;
    joint.work.restart();
    joint.estimate.restart();
  }
  if (has_work) result.joint_work_J = work_J;
  supply_.restart();
  peak_W_ = 0;
  return result;
}

}  // namespace drover::capture

#include "stress/sim/faults.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "actors/runtime/rng.hpp"

namespace drover::simulate {
namespace {

constexpr std::array<std::string_view, fault_kinds> names{
    "cut",     "stall",       "offline",      "latency",   "kill-robot", "kill-middle",       "kill-centre",
    "reimage", "power-robot", "power-centre", "disk-full", "clock",      "kill-centre-middle"};

bool of_disks(FaultKind kind) {
  return kind == FaultKind::power_robot || kind == FaultKind::power_centre || kind == FaultKind::disk_full;
}
bool may_be_centre(FaultKind kind) {
  return kind == FaultKind::disk_full || kind == FaultKind::clock;
}

int64_t draw_value(FaultKind kind, const FaultPlan& plan, runtime::Rng& rng) {
  switch (kind) {
    case FaultKind::stall:
      return rng.between(100, 20'000);
    case FaultKind::offline:  // mostly short, sometimes long
      return static_cast<int64_t>(std::pow(static_cast<double>(plan.offline_ms_max), rng.uniform() * 0.5 + 0.5));
    case FaultKind::latency:
      return rng.chance(0.3) ? 0 : rng.between(1, 300);
    case FaultKind::kill_robot:
      return rng.between(0, 2);
    case FaultKind::kill_middle:
      return rng.between(1, 60);
    case FaultKind::kill_centre:
      return rng.between(0, 3);
    case FaultKind::kill_centre_middle:
      return rng.between(1, 60);
    case FaultKind::power_robot:
    case FaultKind::power_centre:
      return rng.between(0, 12);
    case FaultKind::disk_full:
      return rng.between(100, 20'000);
    case FaultKind::clock:
      return rng.chance(0.5) ? rng.between(-3'600'000, 3'600'000) : rng.between(-2'000, 2'000);
    default:
      return 0;
  }
}

}  // namespace

std::string_view fault_name(FaultKind kind) noexcept {
  return static_cast<size_t>(kind) < fault_kinds ? names[static_cast<size_t>(kind)] : "unknown";
}

std::string text_of(const Fault& fault) {
  std::string text = std::to_string(fault.at_ms);
  text.append(" ms ").append(fault_name(fault.kind)).append(" robot-").append(std::to_string(fault.robot + 1));
  if (fault.value != 0) text.append(" ").append(std::to_string(fault.value));
  if (fault.kind == FaultKind::power_robot || fault.kind == FaultKind::power_centre)
    text.append(" ").append(loss_name(fault.loss)).append(" down ").append(std::to_string(fault.down_ms)).append(" ms");
  return text;
}

std::vector<Fault> draw_faults(uint64_t seed, const FaultPlan& plan) {
  auto rng = runtime::Rng::stream(seed, "faults");
  std::array<double, fault_kinds> weight{};
  double total = 0;
  for (size_t k = 0; k < fault_kinds; ++k) {
    const bool exists = rng.chance(0.6);
    const double strength = std::pow(10.0, rng.uniform() * 2 - 1);  // 0.1 .. 10
    const auto kind = static_cast<FaultKind>(k);
    if (!exists || (!plan.reimages && kind == FaultKind::reimage) || (!plan.disks && of_disks(kind))) continue;
    weight[k] = kind == FaultKind::reimage ? strength / 20 : strength;
    total += weight[k];
  }
  std::vector<Fault> faults;
  if (total <= 0 || plan.per_robot_hour <= 0) return faults;
  const double intensity = std::pow(10.0, rng.uniform() * 1.5 - 0.75);  // runs with few faults and runs with many
  const double hours = static_cast<double>(plan.duration_ms) / 3.6e6;
  const auto n = static_cast<uint64_t>(plan.per_robot_hour * hours * plan.robots * intensity);
  for (uint64_t i = 0; i < std::max<uint64_t>(n, 1); ++i) {
    double at = rng.uniform() * total;
    size_t kind = 0;
    while (kind + 1 < fault_kinds && (at >= weight[kind] || weight[kind] == 0)) at -= weight[kind++];
    Fault fault;
    fault.at_ms = rng.between(0, plan.duration_ms - 1);
    fault.kind = static_cast<FaultKind>(kind);
    fault.robot = static_cast<uint32_t>(rng.below(plan.robots));
    fault.value = draw_value(fault.kind, plan, rng);
    if (may_be_centre(fault.kind) && rng.chance(0.25)) fault.robot = plan.robots;
    if (fault.kind == FaultKind::power_robot || fault.kind == FaultKind::power_centre) {
      fault.loss = static_cast<Loss>(rng.below(losses));
      fault.down_ms = rng.chance(0.5) ? 0 : rng.between(100, 20'000);
    }
    if (weight[kind] > 0) faults.push_back(fault);
  }
  std::stable_sort(faults.begin(), faults.end(), [](const Fault& a, const Fault& b) { return a.at_ms < b.at_ms; });
  return faults;
}

}  // namespace drover::simulate

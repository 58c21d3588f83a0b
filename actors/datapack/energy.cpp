#include "actors/datapack/energy.hpp"

#include <cmath>
#include <set>

namespace drover::datapack {
namespace {

constexpr double tolerance = 1e-6;  // relative, as in messages/datapack.hpp
constexpr std::string_view unattributed = "unattributed";

Status check_energy(double value, const std::string& field) {
  if (!std::isfinite(value)) return fail(Errc::invalid_argument, field, "is not a finite number");
  if (value < 0) return fail(Errc::invalid_argument, field, "is negative");
  return {};
}

Result<Breakdown> breakdown(const std::map<std::string, double>& parts_J, double total_J, const std::string& field) {
  Breakdown out;
  double sum_J = 0;
  for (const auto& [name, energy_J] : parts_J) {
    DROVER_TRY(check_energy(energy_J, field + "." + name));
    sum_J += energy_J;
    Metrics& metrics = out[name];
    metrics["Wh"] = energy_J / joules_per_Wh;
    metrics["share"] = total_J > 0 ? energy_J / total_J : 0;
  }
  if (!out.empty() && std::abs(sum_J - total_J) > tolerance * total_J)
    return fail(Errc::invalid_argument, field,
                "sums to " + std::to_string(sum_J) + " J, the total is " + std::to_string(total_J) + " J");
  return out;
}

Metrics flat_Wh(const Breakdown& parts) {
  Metrics out;
  for (const auto& [name, metrics] : parts) out[name] = metrics.at("Wh");
  return out;
}

}  // namespace

bool energy_measured(const EnergyFacts& facts) noexcept {
  return !facts.method.empty() && facts.method != energy_not_measured;
}

Result<Energy> energy_profile(const EnergyFacts& facts, const EnergyContext& context) {
  Energy e;
  if (!energy_measured(facts)) return e;
  DROVER_TRY(check_energy(facts.total_J, "energy.total_J"));
  if (facts.supply_J) DROVER_TRY(check_energy(*facts.supply_J, "energy.supply_J"));
  e.total_Wh = facts.total_J / joules_per_Wh;
  e.Wh_per_unit = context.units > 0 ? e.total_Wh / context.units : 0;
  e.Wh_per_hour = context.hours > 0 ? e.total_Wh / context.hours : 0;
  DROVER_ASSIGN(e.per_joint, breakdown(facts.joint_J, facts.total_J, "energy.joint_J"));
  DROVER_ASSIGN(e.per_skill, breakdown(facts.skill_J, facts.total_J, "energy.skill_J"));
  DROVER_ASSIGN(e.per_limb, breakdown(facts.limb_J, facts.total_J, "energy.limb_J"));
  DROVER_ASSIGN(e.per_effector, breakdown(facts.effector_J, facts.total_J, "energy.effector_J"));
  e.limb_energy_Wh = flat_Wh(e.per_limb);
  e.skill_energy_Wh = flat_Wh(e.per_skill);
  e.coordination_metrics = facts.coordination;
  return e;
}

std::vector<std::string> energy_driver_tags(const EnergyFacts& facts, const Energy& energy,
                                            const econ::EconPreset& preset) {
  std::set<std::string> tags;
  if (energy.total_Wh > 0)
    for (const Breakdown* parts : {&energy.per_joint, &energy.per_limb, &energy.per_effector, &energy.per_skill})
      for (const auto& [name, metrics] : *parts)
        if (name != unattributed && metrics.at("share") >= preset.energy_driver_share)
          tags.insert("energy_driver:" + name);
  const auto reach = facts.coordination.find("reach_share_max");
  if (energy_measured(facts) && reach != facts.coordination.end() && reach->second >= preset.long_reach_share)
    tags.insert("energy_driver:long_reach");
  return {tags.begin(), tags.end()};
}

}  // namespace drover::datapack

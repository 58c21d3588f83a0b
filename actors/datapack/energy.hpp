// Energy of an episode: from measured joules to the pack's profile and its driver tags.
#pragma once

#include <string>
#include <vector>

#include "actors/datapack/facts.hpp"
#include "actors/econ/preset.hpp"
#include "messages/datapack.hpp"
#include "messages/result.hpp"

namespace drover::datapack {

inline constexpr double joules_per_Wh = 3600.0;

bool energy_measured(const EnergyFacts& facts) noexcept;

struct EnergyContext {
  double units = 0;
  double hours = 0;
};

// Profile in Wh: total, per unit and per hour (0 where the divisor is 0), breakdowns {name: {"Wh", "share"}} and the
// legacy maps. Not measured: all zero and empty. Errors (`where` names the map): a value that is negative or not
// finite, or a breakdown that does not sum to the total within 1e-6 relative.
Result<Energy> energy_profile(const EnergyFacts& facts, const EnergyContext& context);

// Sorted tags for what drove the energy: `energy_driver:NAME` for every joint, limb, effector or skill with at least
// the preset's share of the total (`unattributed` is never a driver), and `energy_driver:long_reach` when the source
// gave coordination `reach_share_max` at or over the preset's long_reach_share.
std::vector<std::string> energy_driver_tags(const EnergyFacts& facts, const Energy& energy,
                                            const econ::EconPreset& preset);

}  // namespace drover::datapack

// Counterfactual plan of a negative episode, by rule: what should have been done instead.
//
// The plan is derived from what went wrong, nothing else: safety, events (stops, lost grips), slow work, energy.
// Form: {"kind", "causes": [...], "steps": [{"action", "reason", "skill_id"?, "skill"?, "at_s"?}],
//        "expected_effect": {"delta_J", "by_cause": {...}}}
// expected_effect is arithmetic, not a forecast: by how much J rises when the component returns to its baseline.
// `kind` is the action for the costliest cause (ties: safety, error, mpl, ep).
#pragma once

#include <string>
#include <string_view>

#include "actors/datapack/facts.hpp"
#include "actors/econ/objective.hpp"
#include "messages/datapack.hpp"

namespace drover::datapack {

inline constexpr std::string_view counterfactual_rule_source = "rule:v1";

// One JSON object. Steps are at most 64: events beyond that are counted in "events_not_listed".
std::string counterfactual_plan(const EpisodeFacts& facts, const Energy& energy, const econ::Deltas& deltas,
                                const econ::Objective& weights);

}  // namespace drover::datapack

// The meta-objective J: how much better an episode was than its baseline (domain.md 2, "Objective").
//
//   J = a_mpl*dMPL - a_error*dError + a_ep*dEP + a_safety*safety_bonus
//   dMPL = (mpl - base)/base    dError = error - base    dEP = (ep - base)/base
//   safety_bonus = safety_penalty (-10) when something that must not break broke, else 0
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "messages/result.hpp"

namespace drover::econ {

// Weights [mpl, error, ep, safety].
struct Objective {
  double mpl = 1.0;
  double error = 1.0;
  double ep = 1.0;
  double safety = 0.5;
  bool operator==(const Objective&) const = default;
  std::vector<double> as_vector() const { return {mpl, error, ep, safety}; }
};

// What one episode achieved.
struct Performance {
  double mpl_units_per_h = 0;
  double error_rate = 0;
  std::optional<double> ep_units_per_Wh;  // absent: energy was not measured, dEP is 0
  bool safety_violated = false;
};

// What it is compared with.
struct Reference {
  std::optional<double> mpl_units_per_h;
  std::optional<double> error_rate;
  std::optional<double> ep_units_per_Wh;  // needed only when the episode's energy was measured
};

struct Deltas {
  double delta_mpl = 0;
  double delta_error = 0;
  double delta_ep = 0;
  double safety_bonus = 0;
  double delta_J = 0;
};

inline constexpr double default_safety_penalty = -10.0;

// Errors (invalid_argument, `where` names the component): a baseline that is missing, zero where it divides, negative
// or not finite; a performance value that is not finite.
Result<Deltas> objective(const Performance& episode, const Reference& base, const Objective& weights,
                         double safety_penalty = default_safety_penalty);

}  // namespace drover::econ

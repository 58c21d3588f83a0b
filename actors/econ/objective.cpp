#include "actors/econ/objective.hpp"

#include <cmath>
#include <string>

namespace drover::econ {
namespace {

Status check_finite(double value, const char* field) {
  if (std::isfinite(value)) return {};
  return fail(Errc::invalid_argument, field, "is not a finite number");
}

// (value - base) / base, where the base must be there and above zero.
Result<double> relative(double value, const std::optional<double>& base, const char* name) {
  const std::string field = std::string("baseline.") + name;
  if (!base) return fail(Errc::invalid_argument, field, "missing: a relative change needs a baseline to compare with");
  if (!std::isfinite(*base)) return fail(Errc::invalid_argument, field, "is not a finite number");
  if (*base <= 0)
    return fail(Errc::invalid_argument, field,
                "is " + std::to_string(*base) + ": a relative change needs a baseline above zero");
  return (value - *base) / *base;
}

}  // namespace

Result<Deltas> objective(const Performance& episode, const Reference& base, const Objective& weights,
                         double safety_penalty) {
  DROVER_TRY(check_finite(episode.mpl_units_per_h, "episode.mpl_units_per_h"));
  DROVER_TRY(check_finite(episode.error_rate, "episode.error_rate"));
  Deltas d;
  DROVER_ASSIGN(d.delta_mpl, relative(episode.mpl_units_per_h, base.mpl_units_per_h, "mpl_units_per_h"));
  if (!base.error_rate) return fail(Errc::invalid_argument, "baseline.error_rate", "missing");
  DROVER_TRY(check_finite(*base.error_rate, "baseline.error_rate"));
  d.delta_error = episode.error_rate - *base.error_rate;
  if (episode.ep_units_per_Wh) {
    DROVER_TRY(check_finite(*episode.ep_units_per_Wh, "episode.ep_units_per_Wh"));
    DROVER_ASSIGN(d.delta_ep, relative(*episode.ep_units_per_Wh, base.ep_units_per_Wh, "ep_units_per_Wh"));
  }
  d.safety_bonus = episode.safety_violated ? safety_penalty : 0;
  d.delta_J = weights.mpl * d.delta_mpl - weights.error * d.delta_error + weights.ep * d.delta_ep +
              weights.safety * d.safety_bonus;
  DROVER_TRY(check_finite(d.delta_J, "delta_J"));
  return d;
}

}  // namespace drover::econ

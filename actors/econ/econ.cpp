// The formulas of domain.md 1 and 4, first bullets.
#include "actors/econ/econ.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace drover::econ {
namespace {

__extension__ typedef __int128 Wide;  // products of two 64-bit amounts

constexpr int64_t ns_per_h = 3'600'000'000'000;
constexpr double usd_max = 9e12;  // keeps micro-dollars well inside 64 bits

// Subtraction that stops at the ends of the range instead of wrapping.
MicroUsd saturated(Wide value) noexcept {
  constexpr Wide low = std::numeric_limits<MicroUsd>::min();
  constexpr Wide high = std::numeric_limits<MicroUsd>::max();
  return static_cast<MicroUsd>(std::clamp(value, low, high));
}

}  // namespace

double mpl_units_per_h(double units, double hours) noexcept {
  return hours > 0 ? units / hours : 0;
}

double error_rate(double errors, double attempts) noexcept {
  return attempts > 0 ? errors / attempts : errors;
}

double ep_units_per_Wh(double units, double energy_Wh) noexcept {
  return energy_Wh > 0 ? units / energy_Wh : 0;
}

double implied_wage_usd_per_h(const WageInputs& in) noexcept {
  return in.price_per_unit_usd * in.mpl_units_per_h - in.damage_cost_usd * in.error_rate * in.mpl_units_per_h;
}

Result<double> wage_parity(double robot_wage_usd_per_h, double human_wage_usd_per_h) {
  if (!(human_wage_usd_per_h > 0) || !std::isfinite(human_wage_usd_per_h))
    return fail(Errc::invalid_argument, "human_wage_usd_per_h",
                "wage parity needs a human wage above zero, got " + std::to_string(human_wage_usd_per_h));
  if (!std::isfinite(robot_wage_usd_per_h))
    return fail(Errc::invalid_argument, "robot_wage_usd_per_h", "is not a finite number");
  return robot_wage_usd_per_h / human_wage_usd_per_h;
}

double smoothed_wage_usd_per_h(const WageSmoothing& in) noexcept {
  const double a = std::clamp(in.a, 0.0, 1.0);
  return a * in.market_usd_per_h + (1 - a) * in.previous_usd_per_h;
}

double energy_cost_usd_per_h(const EnergyCost& in) noexcept {
  return in.hours > 0 ? in.energy_Wh / 1000 * in.price_usd_per_kWh / in.hours : 0;
}

double profit_usd_per_h(const WageInputs& in, double energy_cost_usd_per_h) noexcept {
  return implied_wage_usd_per_h(in) - energy_cost_usd_per_h;
}

Result<MicroUsd> to_micro_usd(double usd) {
  if (!std::isfinite(usd)) return fail(Errc::invalid_argument, "usd", "is not a finite number");
  if (std::abs(usd) > usd_max) return fail(Errc::too_large, "usd", "over the bound of 9e12 $");
  return std::llround(usd * static_cast<double>(micro_usd_per_usd));
}

int64_t customer_share_parts(double delta_mpl_customer, double delta_mpl_total, double eps) noexcept {
  const double denominator = delta_mpl_total + eps;
  if (!(denominator > 0) || !std::isfinite(delta_mpl_customer) || !std::isfinite(denominator)) return 0;
  const double share = std::clamp(delta_mpl_customer / denominator, 0.0, 1.0);
  return std::llround(share * static_cast<double>(share_parts));
}

Result<SpreadSplit> split_spread(const SpreadInputs& in) {
  if (in.duration_ns < 0) return fail(Errc::invalid_argument, "duration_ns", "is negative");
  if (in.customer_parts < 0 || in.customer_parts > share_parts)
    return fail(Errc::invalid_argument, "customer_parts", "must be in [0, 1e9]");
  const Wide spread = std::max<Wide>(Wide{in.robot_wage_per_h} - in.human_wage_per_h, 0);
  const Wide total = (spread * in.duration_ns + ns_per_h / 2) / ns_per_h;
  if (total > std::numeric_limits<MicroUsd>::max())
    return fail(Errc::too_large, "spread", "the amount does not fit into 64-bit micro-dollars");
  SpreadSplit split;
  split.total = static_cast<MicroUsd>(total);
  split.rebate = static_cast<MicroUsd>(total * in.customer_parts / share_parts);
  split.captured = split.total - split.rebate;
  return split;
}

MicroUsd customer_cost_per_h(MicroUsd robot_wage_per_h, MicroUsd rebate_per_h, MicroUsd human_wage_per_h) noexcept {
  return std::min(saturated(Wide{robot_wage_per_h} - rebate_per_h), human_wage_per_h);
}

MicroUsd consumer_surplus_per_h(MicroUsd customer_cost, MicroUsd human_wage_per_h) noexcept {
  return std::max<MicroUsd>(saturated(Wide{human_wage_per_h} - customer_cost), 0);
}

}  // namespace drover::econ

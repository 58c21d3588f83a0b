// Labour economics of a robot: productivity, wage, parity, profit and how a spread is shared.
//
// Pure functions. Formulas: domain.md 1 and 4. Rates are doubles (they are measured and smoothed);
// amounts of money that are owed are integer micro-dollars, so that sharing never loses or makes one.
// No function divides by zero: where a denominator may be zero the rule is stated here.
#pragma once

#include <cstdint>

#include "messages/result.hpp"

namespace drover::econ {

// Marginal product of labour [good units per hour of robot time] = units / hours; 0 hours -> 0.
double mpl_units_per_h(double units, double hours) noexcept;

// errors / attempts. No attempts: 0 without errors; with errors every error is counted as one attempt's worth
// (errors / 1), so that a failure is never hidden. May exceed 1 when an attempt held several errors.
double error_rate(double errors, double attempts) noexcept;

// Energy productivity [units per Wh] = units / energy; 0 Wh (nothing measured) -> 0.
double ep_units_per_Wh(double units, double energy_Wh) noexcept;

struct WageInputs {
  double price_per_unit_usd = 0;
  double damage_cost_usd = 0;  // per error
  double error_rate = 0;
  double mpl_units_per_h = 0;
};

// Implied robot wage w_r [$ per h] = p*MPL - c_d*e*MPL. Negative when errors cost more than units earn.
double implied_wage_usd_per_h(const WageInputs& in) noexcept;

// Wage parity = w_r / w_h. Error invalid_argument: w_h is not above zero or a value is not finite.
Result<double> wage_parity(double robot_wage_usd_per_h, double human_wage_usd_per_h);

struct WageSmoothing {
  double previous_usd_per_h = 0;
  double market_usd_per_h = 0;
  double a = 0.1;  // weight of the new market value, [0, 1]
};

// w <- a*market + (1-a)*w. Always between the two.
double smoothed_wage_usd_per_h(const WageSmoothing& in) noexcept;

// Energy cost [$ per h] = power [kW] * price [$ per kWh]; 0 hours -> 0.
struct EnergyCost {
  double energy_Wh = 0;
  double hours = 0;
  double price_usd_per_kWh = 0;
};
double energy_cost_usd_per_h(const EnergyCost& in) noexcept;

// Profit [$ per h] = p*MPL - c_d*e*MPL - energy cost.
double profit_usd_per_h(const WageInputs& in, double energy_cost_usd_per_h) noexcept;

// Money that is owed: integer micro-dollars (1e-6 $), and micro-dollars per hour for rates.
using MicroUsd = int64_t;

inline constexpr int64_t micro_usd_per_usd = 1'000'000;
inline constexpr int64_t share_parts = 1'000'000'000;  // a share s is kept as round(s * 1e9) parts

// Nearest micro-dollar, halves away from zero. Errors: not finite, or over +-9e12 $.
Result<MicroUsd> to_micro_usd(double usd);

// Customer's share of a spread by cause: s_cust = dMPL_cust / (dMPL_total + eps), clamped to [0, 1], in parts of 1e9.
// No total improvement (total + eps <= 0) or a value that is not finite -> 0: nothing was caused by the customer.
int64_t customer_share_parts(double delta_mpl_customer, double delta_mpl_total, double eps = 1e-9) noexcept;

struct SpreadSplit {
  MicroUsd total = 0;     // max(spread, 0) * hours, rounded once (half up)
  MicroUsd rebate = 0;    // to the customer: s_cust of the total, rounded down
  MicroUsd captured = 0;  // to the platform: the rest
};

struct SpreadInputs {
  MicroUsd robot_wage_per_h = 0;
  MicroUsd human_wage_per_h = 0;
  int64_t duration_ns = 0;     // >= 0
  int64_t customer_parts = 0;  // customer_share_parts()
};

// Splits spread = w_r - w_h over the duration. rebate + captured == total, exactly, always; all three >= 0.
// Errors: negative duration, parts outside [0, 1e9], or an amount over the range of MicroUsd.
Result<SpreadSplit> split_spread(const SpreadInputs& in);

// Consumer surplus guarantee: what the customer pays per hour = min(w_r - rebate rate, w_h). Never above w_h.
MicroUsd customer_cost_per_h(MicroUsd robot_wage_per_h, MicroUsd rebate_per_h, MicroUsd human_wage_per_h) noexcept;

// w_h - customer cost, in micro-dollars per hour. Never negative.
MicroUsd consumer_surplus_per_h(MicroUsd customer_cost, MicroUsd human_wage_per_h) noexcept;

}  // namespace drover::econ

// What a customer is quoted: the base price of robot time, a discount for data that is shared, a premium for data that
// is withheld, and the final price. Pure integer arithmetic in micro-dollars.
//
// Amounts are rounded to the nearest micro-dollar where nothing else is said.
//
//   cost per h     = min(w_r - rebate, w_h)                          never above w_h
//   base           = max(cost per h, 0) * horizon
//   value          = p * kappa * max(E[dMPL], 0) * horizon           of all the data, in expectation
//   withheld       = p * kappa * max(E[dMPL], 0) * horizon * S       the ex-ante quote of domain.md 4
//   discount       = discount_rate * (value - withheld)              rounded down
//   premium        = p * kappa * max(E[dMPL], 0) * horizon * (S * premium_rate)
//   final          = base - discount + premium, not below 0 and not above w_h * horizon
//
// Invariant: 0 <= final <= w_h * horizon. A customer never pays more than the human wage for the same hours, whatever
// is withheld: a premium ends there.
#pragma once

#include <string>
#include <vector>

#include "actors/econ/contract.hpp"
#include "actors/econ/prediction.hpp"
#include "messages/result.hpp"

namespace drover::econ {

struct QuoteInputs {
  MicroUsd price_per_unit = 0;       // p, >= 0
  MicroUsd robot_wage_per_h = 0;     // w_r; negative when errors cost more than units earn
  MicroUsd human_wage_per_h = 0;     // w_h, > 0; indexed where wages are indexed
  MicroUsd rebate_per_h = 0;         // from the spread split, >= 0
  double kappa = 0;                  // [0, 1]
  double delta_mpl_units_per_h = 0;  // E[dMPL]
  Contract contract;
};

struct Quote {
  MicroUsd cost_per_h = 0;
  MicroUsd base = 0;
  MicroUsd value = 0;
  MicroUsd withheld = 0;
  MicroUsd discount = 0;
  MicroUsd premium = 0;
  MicroUsd cap = 0;  // w_h * horizon, rounded down
  MicroUsd final_price = 0;
  bool capped = false;   // the premium ended at the cap
  bool floored = false;  // the discount ended at zero
  bool operator==(const Quote&) const = default;
};

// Errors: invalid_argument (a value outside its range, the field is named), too_large.
Result<Quote> quote(const QuoteInputs& in);

// What goes into the ledger with the prediction: the premium as it is charged, for the share of the data's value that
// is charged (S * premium_rate), and as `cap` the room that the guarantee leaves above base and discount: no true-up
// takes the customer over w_h * horizon.
QuoteTerms terms_of(const QuoteInputs& in, const Quote& quote);

// The arithmetic line by line, for people: what, how, result.
struct QuoteLine {
  std::string what;
  std::string how;
  std::string result;
};
std::vector<QuoteLine> explain(const QuoteInputs& in, const Quote& quote);

// Wages are indexed by every market observation in turn: w <- a*market + (1-a)*w. Errors: invalid_argument (a outside
// [0, 1], a wage that is not above 0).
Result<std::vector<double>> indexed_wages(double start_usd_per_h, const std::vector<double>& market_usd_per_h,
                                          double a);

// "12.345678 $", all six digits.
std::string usd_text(MicroUsd amount);

}  // namespace drover::econ

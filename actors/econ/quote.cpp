#include "actors/econ/quote.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace drover::econ {
namespace {

__extension__ typedef __int128 Wide;

constexpr int64_t ns_per_h = 3'600'000'000'000;

Status check(const QuoteInputs& in) {
  DROVER_TRY(validate(in.contract));
  if (in.price_per_unit < 0) return fail(Errc::invalid_argument, "price_per_unit", "is negative");
  if (in.human_wage_per_h <= 0) return fail(Errc::invalid_argument, "human_wage_per_h", "must be above 0");
  if (in.rebate_per_h < 0) return fail(Errc::invalid_argument, "rebate_per_h", "is negative");
  if (!std::isfinite(in.delta_mpl_units_per_h))
    return fail(Errc::invalid_argument, "delta_mpl_units_per_h", "is not a finite number");
  return {};
}

// rate per hour * duration, rounded down.
Result<MicroUsd> over(MicroUsd per_h, int64_t duration_ns, const char* field) {
  const Wide amount = Wide{per_h} * duration_ns / ns_per_h;
  if (amount > std::numeric_limits<MicroUsd>::max())
    return fail(Errc::too_large, field, "the amount does not fit into 64-bit micro-dollars");
  return static_cast<MicroUsd>(amount);
}

MicroUsd share_of(MicroUsd amount, int64_t parts) {
  return static_cast<MicroUsd>(Wide{amount} * parts / share_parts);
}

// The share of the data's value that the premium charges: S * premium rate.
int64_t charged_parts(const Contract& contract) {
  return share_of(contract.withheld_parts, contract.premium_parts);
}

std::string share_text(int64_t parts) {
  return fmt::format("{:.9g}", static_cast<double>(parts) / static_cast<double>(share_parts));
}

std::string hours_text(int64_t ns) {
  return fmt::format("{:.9g} h", static_cast<double>(ns) / static_cast<double>(ns_per_h));
}

}  // namespace

Result<Quote> quote(const QuoteInputs& in) {
  DROVER_TRY(check(in));
  const Contract& c = in.contract;
  Quote q;
  q.cost_per_h = customer_cost_per_h(in.robot_wage_per_h, in.rebate_per_h, in.human_wage_per_h);
  DROVER_ASSIGN(q.base, over(std::max<MicroUsd>(q.cost_per_h, 0), c.horizon_ns, "base"));
  DROVER_ASSIGN(q.cap, over(in.human_wage_per_h, c.horizon_ns, "cap"));
  QuoteFactors factors{in.price_per_unit, in.kappa, in.delta_mpl_units_per_h, c.horizon_ns, share_parts};
  DROVER_ASSIGN(q.value, quote_amount(factors));
  factors.withheld_parts = c.withheld_parts;
  DROVER_ASSIGN(q.withheld, quote_amount(factors));
  factors.withheld_parts = charged_parts(c);
  DROVER_ASSIGN(q.premium, quote_amount(factors));
  q.discount = share_of(q.value - q.withheld, c.discount_parts);
  const Wide asked = Wide{q.base} - q.discount + q.premium;
  q.capped = asked > q.cap;
  q.floored = asked < 0;
  q.final_price = static_cast<MicroUsd>(std::clamp<Wide>(asked, 0, q.cap));
  return q;
}

QuoteTerms terms_of(const QuoteInputs& in, const Quote& quote) {
  QuoteTerms terms;
  terms.price_per_unit = in.price_per_unit;
  terms.horizon_ns = in.contract.horizon_ns;
  terms.withheld_parts = charged_parts(in.contract);
  const MicroUsd room = quote.cap - std::clamp<MicroUsd>(quote.base - quote.discount, 0, quote.cap);
  terms.quoted = std::min(quote.premium, room);
  terms.cap = room;
  terms.contract = fmt::format("{} S={} discount={} premium={}", sharing_tier_name(in.contract.tier),
                               share_text(in.contract.withheld_parts), share_text(in.contract.discount_parts),
                               share_text(in.contract.premium_parts));
  return terms;
}

std::vector<QuoteLine> explain(const QuoteInputs& in, const Quote& q) {
  const Contract& c = in.contract;
  const std::string hours = hours_text(c.horizon_ns);
  const std::string gain = fmt::format("{:.9g}", std::max(in.delta_mpl_units_per_h, 0.0));
  const std::string data =
      fmt::format("{} * {:.9g} * {} units/h * {}", usd_text(in.price_per_unit), in.kappa, gain, hours);
  const std::string cost = fmt::format("min({} - {}, {}) per h", usd_text(in.robot_wage_per_h),
                                       usd_text(in.rebate_per_h), usd_text(in.human_wage_per_h));
  std::string final_how = fmt::format("{} - {} + {}", usd_text(q.base), usd_text(q.discount), usd_text(q.premium));
  if (q.capped) final_how += ", ends at the cap";
  if (q.floored) final_how += ", ends at 0";
  return {
      {"cost per h = min(w_r - rebate, w_h)", cost, usd_text(q.cost_per_h)},
      {"base = cost per h * hours, not below 0", usd_text(q.cost_per_h) + " * " + hours, usd_text(q.base)},
      {"value = p * kappa * E[dMPL] * hours", data, usd_text(q.value)},
      {"withheld = value * S", usd_text(q.value) + " * " + share_text(c.withheld_parts), usd_text(q.withheld)},
      {"discount = rate * (value - withheld)",
       fmt::format("{} * ({} - {})", share_text(c.discount_parts), usd_text(q.value), usd_text(q.withheld)),
       usd_text(q.discount)},
      {"premium = rate * withheld (rounded once)", share_text(c.premium_parts) + " * " + usd_text(q.withheld),
       usd_text(q.premium)},
      {"cap = w_h * hours", usd_text(in.human_wage_per_h) + " * " + hours, usd_text(q.cap)},
      {"final = base - discount + premium", final_how, usd_text(q.final_price)},
  };
}

Result<std::vector<double>> indexed_wages(double start_usd_per_h, const std::vector<double>& market_usd_per_h,
                                          double a) {
  if (!(a >= 0 && a <= 1)) return fail(Errc::invalid_argument, "wage_smoothing", "must be in [0, 1]");
  if (!(start_usd_per_h > 0) || !std::isfinite(start_usd_per_h))
    return fail(Errc::invalid_argument, "human_wage_usd_per_h", "must be above 0");
  std::vector<double> wages;
  wages.reserve(market_usd_per_h.size());
  double wage = start_usd_per_h;
  for (const double market : market_usd_per_h) {
    if (!(market > 0) || !std::isfinite(market))
      return fail(Errc::invalid_argument, "market_usd_per_h", "must be above 0");
    wage = smoothed_wage_usd_per_h({wage, market, a});
    wages.push_back(wage);
  }
  return wages;
}

std::string usd_text(MicroUsd amount) {
  const uint64_t size = amount < 0 ? uint64_t{0} - static_cast<uint64_t>(amount) : static_cast<uint64_t>(amount);
  return fmt::format("{}{}.{:06} $", amount < 0 ? "-" : "", size / 1'000'000, size % 1'000'000);
}

}  // namespace drover::econ

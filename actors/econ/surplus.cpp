#include "actors/econ/surplus.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "actors/econ/draw.hpp"
#include "actors/econ/quote.hpp"

namespace drover::econ {
namespace {

__extension__ typedef __int128 Wide;

constexpr int64_t ns_per_h = 3'600'000'000'000;

// An amount of any size: the ends, small ones and powers of ten are as likely as the middle.
MicroUsd amount(Draw& draw, MicroUsd low, MicroUsd high) {
  switch (draw.whole(0, 5)) {
    case 0:
      return low;
    case 1:
      return high;
    case 2:
      return std::clamp<MicroUsd>(draw.whole(-3, 3), low, high);
    default: {
      MicroUsd top = high;
      for (int64_t i = draw.whole(0, 12); i > 0 && top > 9; --i) top /= 10;
      return draw.whole(std::max(low, low < 0 ? -top : low), top < low ? high : top);
    }
  }
}

int64_t share(Draw& draw) {
  const int64_t kind = draw.whole(0, 4);
  return kind == 0 ? 0 : kind == 1 ? share_parts : draw.whole(0, share_parts);
}

QuoteInputs draw_inputs(Draw& draw) {
  QuoteInputs in;
  in.price_per_unit = amount(draw, 0, 1'000'000'000'000);
  in.robot_wage_per_h = amount(draw, -1'000'000'000'000, 1'000'000'000'000);
  in.human_wage_per_h = amount(draw, 1, 1'000'000'000'000);
  in.rebate_per_h = amount(draw, 0, 1'000'000'000'000);
  in.kappa = draw.whole(0, 3) == 0 ? 1 : draw.unit();
  in.delta_mpl_units_per_h = draw.between(-10, 1000);
  in.contract.customer_id = "case";
  in.contract.withheld_parts = share(draw);
  in.contract.tier = tier_of_withheld(in.contract.withheld_parts);
  in.contract.discount_parts = share(draw);
  in.contract.premium_parts = share(draw);
  in.contract.horizon_ns = amount(draw, 1, 10'000 * ns_per_h);
  return in;
}

// What is wrong with a quote; empty: nothing.
std::string wrong_with(const QuoteInputs& in, const Quote& q) {
  const Wide limit = Wide{in.human_wage_per_h} * in.contract.horizon_ns;  // w_h * hours, exactly, in 1/ns_per_h
  if (q.cost_per_h > in.human_wage_per_h) return "cost per h is above w_h";
  if (Wide{q.final_price} * ns_per_h > limit) return "final price is above w_h * hours";
  if (q.final_price < 0) return "final price is below 0";
  if (consumer_surplus_per_h(q.cost_per_h, in.human_wage_per_h) < 0) return "surplus is negative";
  const QuoteTerms terms = terms_of(in, q);
  const MicroUsd rest = std::max<MicroUsd>(q.base - q.discount, 0);
  if (Wide{rest} + terms.quoted > q.cap || terms.quoted > *terms.cap) return "the recorded premium leaves the room";
  return {};
}

std::string wrong_with(const SpreadInputs& in, const SpreadSplit& split) {
  const Wide exact = std::max<Wide>(Wide{in.robot_wage_per_h} - in.human_wage_per_h, 0) * in.duration_ns;
  const Wide off = Wide{split.total} * ns_per_h - exact;  // rounded once, half up
  if (split.rebate + split.captured != split.total) return "rebate + captured differ from the total";
  if (split.rebate < 0 || split.captured < 0) return "a part is negative";
  if (off * 2 > ns_per_h || off * 2 < -Wide{ns_per_h}) return "the total is not spread * hours";
  return {};
}

}  // namespace

SurplusCheck check_surplus(uint64_t cases, uint64_t seed) {
  SurplusCheck out;
  out.seed = seed;
  Draw draw(seed);
  for (uint64_t i = 0; i < cases; ++i) {
    const QuoteInputs in = draw_inputs(draw);
    const SpreadInputs spread{in.robot_wage_per_h, in.human_wage_per_h, in.contract.horizon_ns, share(draw)};
    ++out.cases;
    std::string wrong;
    if (const auto q = quote(in)) {
      ++out.quotes;
      ++(q->capped ? out.at_the_cap : out.below_the_cap);
      wrong = wrong_with(in, *q);
    }
    if (const auto split = split_spread(spread); split && wrong.empty()) {
      out.splits_with_spread += split->total > 0 ? 1 : 0;
      wrong = wrong_with(spread, *split);
    }
    if (wrong.empty()) continue;
    if (out.violations++ == 0)
      out.first_violation =
          fmt::format("case {}: {} (w_r {} w_h {} rebate {} hours_ns {} S {} discount {} premium {})", i, wrong,
                      in.robot_wage_per_h, in.human_wage_per_h, in.rebate_per_h, in.contract.horizon_ns,
                      in.contract.withheld_parts, in.contract.discount_parts, in.contract.premium_parts);
  }
  return out;
}

}  // namespace drover::econ

// Quotes by hand and by property, contracts, and the market's fixed point.
#include "actors/econ/market.hpp"

#include <doctest/doctest.h>

#include <cstdlib>

#include "actors/econ/surplus.hpp"

using namespace drover;
using namespace drover::econ;

namespace {

constexpr MicroUsd usd = 1'000'000;
constexpr int64_t hour = 3'600'000'000'000;

std::string source_dir() {
  const char* dir = std::getenv("DROVER_SOURCE_DIR");
  return dir == nullptr ? "." : dir;
}

Contract contract(int64_t withheld_parts, int64_t hours = 500) {
  Contract c;
  c.customer_id = "plant-b";
  c.withheld_parts = withheld_parts;
  c.tier = tier_of_withheld(withheld_parts);
  c.discount_parts = 300'000'000;
  c.premium_parts = 800'000'000;
  c.horizon_ns = hours * hour;
  return c;
}

QuoteInputs plant(int64_t withheld_parts) {
  QuoteInputs in;
  in.price_per_unit = usd / 2;
  in.robot_wage_per_h = 16 * usd;
  in.human_wage_per_h = 18 * usd;
  in.kappa = 0.7;
  in.delta_mpl_units_per_h = 2;
  in.contract = contract(withheld_parts);
  return in;
}

MarketSweep must_sweep(const MarketConfig& config, const std::vector<double>& rates, uint64_t seed) {
  auto sweep = market_sweep(config, rates, seed);
  REQUIRE_MESSAGE(sweep, (sweep ? "" : sweep.error().message()));
  return *sweep;
}

}  // namespace

TEST_CASE("econ/quote: the arithmetic of an example by hand") {
  const auto q = quote(plant(400'000'000));
  REQUIRE(q);
  CHECK(q->cost_per_h == 16 * usd);
  CHECK(q->base == 8000 * usd);     // 16 $ * 500 h
  CHECK(q->value == 350 * usd);     // 0.5 $ * 0.7 * 2 * 500 h
  CHECK(q->withheld == 140 * usd);  // S = 0.4
  CHECK(q->discount == 63 * usd);   // 0.3 * (350 - 140)
  CHECK(q->premium == 112 * usd);   // 0.8 * 140
  CHECK(q->cap == 9000 * usd);      // 18 $ * 500 h
  CHECK(q->final_price == 8049 * usd);
  CHECK_FALSE(q->capped);
  const auto lines = explain(plant(400'000'000), *q);
  CHECK(lines.back().how == "8000.000000 $ - 63.000000 $ + 112.000000 $");
  CHECK(lines.back().result == "8049.000000 $");
  const QuoteTerms terms = terms_of(plant(400'000'000), *q);
  CHECK(terms.quoted == q->premium);
  CHECK(terms.withheld_parts == 320'000'000);  // S * premium rate
  CHECK(*terms.cap == 1063 * usd);             // what base and discount leave below the cap
}

TEST_CASE("econ/quote: a premium ends at the human wage and a discount at nothing") {
  QuoteInputs in = plant(share_parts);
  in.delta_mpl_units_per_h = 1000;
  const auto dear = quote(in);
  REQUIRE(dear);
  CHECK(dear->capped);
  CHECK(dear->final_price == 9000 * usd);
  CHECK(terms_of(in, *dear).quoted == 1000 * usd);  // what the guarantee leaves room for, not the premium
  in.contract = contract(0);
  in.contract.discount_parts = share_parts;
  const auto free = quote(in);
  REQUIRE(free);
  CHECK(free->floored);
  CHECK(free->final_price == 0);
  in.robot_wage_per_h = -usd;  // errors cost more than units earn: nobody is paid for being served
  in.delta_mpl_units_per_h = -5;
  const auto broken = quote(in);
  REQUIRE(broken);
  CHECK(broken->base == 0);
  CHECK(broken->value == 0);
  CHECK(broken->final_price == 0);
}

TEST_CASE("econ/quote: what is out of its range is refused by name") {
  const auto refused = [](auto change) {
    QuoteInputs in = plant(0);
    change(in);
    const auto q = quote(in);
    return q ? std::string("accepted") : q.error().where;
  };
  CHECK(refused([](QuoteInputs& in) { in.price_per_unit = -1; }) == "price_per_unit");
  CHECK(refused([](QuoteInputs& in) { in.human_wage_per_h = 0; }) == "human_wage_per_h");
  CHECK(refused([](QuoteInputs& in) { in.rebate_per_h = -1; }) == "rebate_per_h");
  CHECK(refused([](QuoteInputs& in) { in.delta_mpl_units_per_h = 0.0 / 0.0; }) == "delta_mpl_units_per_h");
  CHECK(refused([](QuoteInputs& in) { in.contract.horizon_ns = 0; }) == "contract.horizon_hours");
  CHECK(refused([](QuoteInputs& in) { in.contract.withheld_parts = 5; }) == "contract.sharing_tier");
  CHECK(refused([](QuoteInputs& in) { in.contract.customer_id.clear(); }) == "contract.customer_id");
  CHECK(refused([](QuoteInputs& in) { in.kappa = 1.5; }) != "accepted");
}

TEST_CASE("econ/surplus: no random case pays more than the human wage, every spread splits exactly") {
  const SurplusCheck c = check_surplus(200'000, 20260131);
  CHECK_MESSAGE(c.violations == 0, c.first_violation);
  CHECK(c.cases == 200'000);
  CHECK(c.quotes > 190'000);
  CHECK(c.at_the_cap > 10'000);  // the cap is really reached, and really not always
  CHECK(c.below_the_cap > 10'000);
  CHECK(c.splits_with_spread > 10'000);
}

TEST_CASE("econ/quote: wages are indexed by every observation in turn") {
  const auto wages = indexed_wages(18, {20, 20}, 0.1);
  REQUIRE(wages);
  CHECK((*wages)[0] == doctest::Approx(18.2));
  CHECK((*wages)[1] == doctest::Approx(18.38));
  CHECK_FALSE(indexed_wages(18, {0}, 0.1));
  CHECK_FALSE(indexed_wages(18, {20}, 1.1));
  CHECK_FALSE(indexed_wages(0, {20}, 0.1));
}

TEST_CASE("econ/contract: the example file, and every problem of a wrong one at once") {
  const auto shipped = load_contracts(source_dir() + "/configs/econ/contracts.toml");
  REQUIRE_MESSAGE(shipped, (shipped ? "" : shipped.error().message()));
  REQUIRE(shipped->size() == 3);
  for (const Contract& c : *shipped) CHECK(validate(c));
  CHECK((*shipped)[1].tier == SharingTier::partial_share);
  CHECK((*shipped)[1].withheld_parts == 400'000'000);
  CHECK((*shipped)[1].horizon_ns == 500 * hour);
  CHECK((*shipped)[1].start_unix_ns == 1'767'225'600'000'000'000);  // 2026-01-01
  CHECK(covers((*shipped)[1], 1'767'225'600'000'000'000));
  CHECK_FALSE(covers((*shipped)[1], 1'767'225'599'999'999'999));
  CHECK_FALSE(covers((*shipped)[1], 1'798'761'600'000'000'000));  // 2027-01-01
  CHECK(covers((*shipped)[2], 0));
  const auto wrong = parse_contracts(
      "[[contract]]\ncustomer_id = \"a\"\nsharing_tier = \"some\"\nhorizon_hours = -1\nstart = \"2026-02-30\"\n"
      "[[contract]]\ncustomer_id = \"a\"\nsharing_tier = \"full_share\"\nwithheld_share = 0.5\nhorizon_hours = 1\n"
      "bonus = 3\n",
      "c.toml");
  REQUIRE_FALSE(wrong);
  const std::string what = wrong.error().message();
  for (const char* part : {"sharing_tier", "horizon_hours", "start", "withheld_share", "bonus", "is there twice"})
    CHECK_MESSAGE(what.find(part) != std::string::npos, part, " in ", what);
}

TEST_CASE("econ/market: the shipped configuration is the default and converges at every rate") {
  const auto shipped = load_market(source_dir() + "/configs/econ/market.toml");
  REQUIRE_MESSAGE(shipped, (shipped ? "" : shipped.error().message()));
  CHECK(*shipped == MarketConfig{});
  const MarketSweep sweep = must_sweep(*shipped, {0, 0.1, 0.25, 0.5, 0.75, 1}, 1);
  double fleet_h = 0;
  for (const MarketRow& r : sweep.rows) {
    INFO("rate ", r.rate);
    CHECK(r.converged);
    CHECK(r.residual <= shipped->tolerance);
    CHECK(r.over_human_wage == 0);
    CHECK(r.full.customers + r.partial.customers + r.none.customers == shipped->customers);
    CHECK(r.price_mean_usd_per_h <= shipped->human_wage_usd_per_h);
    CHECK(r.customer_surplus_usd >= 0);
    if (fleet_h == 0) fleet_h = r.collected_h + r.withheld_h;
    CHECK(r.collected_h + r.withheld_h == doctest::Approx(fleet_h));
    if (r.full.customers > 0 && r.none.customers > 0) CHECK(r.full.price_mean_usd_per_h < r.none.price_mean_usd_per_h);
  }
  CHECK(sweep.rows[0].collected_h == 0);
  CHECK(sweep.rows[0].mpl_improvement == 0);
  CHECK(sweep.rows[5].collected_h > sweep.rows[1].collected_h);
}

TEST_CASE("econ/market: same seed same bytes, another seed another market") {
  MarketConfig config;
  config.customers = 60;
  CHECK(to_json(must_sweep(config, {0.3, 0.9}, 7)) == to_json(must_sweep(config, {0.3, 0.9}, 7)));
  CHECK(must_sweep(config, {0.3}, 7).rows[0].novel_h != must_sweep(config, {0.3}, 9).rows[0].novel_h);
}

TEST_CASE("econ/market: where the iterations do not suffice the row says so, and more of them find the same point") {
  MarketConfig config;
  config.customers = 80;
  config.iterations_max = 3;
  const MarketRow cut = must_sweep(config, {0.6}, 3).rows[0];
  CHECK_FALSE(cut.converged);
  CHECK(cut.iterations == 3);
  CHECK(cut.residual > config.tolerance);
  config.iterations_max = 400;
  const MarketRow found = must_sweep(config, {0.6}, 3).rows[0];
  REQUIRE(found.converged);
  config.tolerance = 1e-6;
  CHECK(must_sweep(config, {0.6}, 3).rows[0].novel_h == doctest::Approx(found.novel_h).epsilon(1e-4));
}

TEST_CASE("econ/market: wrong rates and configurations are refused") {
  CHECK_FALSE(market_sweep({}, {}, 1));
  CHECK_FALSE(market_sweep({}, {1.01}, 1));
  CHECK_FALSE(market_sweep({}, {-0.1}, 1));
  CHECK_FALSE(parse_market("customers = 0\n", "m.toml"));
  CHECK_FALSE(parse_market("hours_min = 10\nhours_max = 5\n", "m.toml"));
  CHECK_FALSE(parse_market("customer = 5\n", "m.toml"));
}

TEST_CASE("econ/scenario: data_sharing_incentives") {
  // One datapack, three contracts: who shares pays less, who withholds pays more, nobody pays more than a human costs.
  MicroUsd previous = -1;
  for (const int64_t withheld : {int64_t{0}, share_parts / 2, share_parts}) {
    const auto q = quote(plant(withheld));
    REQUIRE(q);
    CHECK(q->final_price > previous);
    CHECK(q->final_price <= q->cap);
    previous = q->final_price;
  }
  // What is known about the data matters: a prediction that is worth more, or surer, widens the difference.
  const auto difference = [](double expected, double kappa) {
    QuoteInputs share = plant(0);
    QuoteInputs withhold = plant(share_parts);
    share.delta_mpl_units_per_h = withhold.delta_mpl_units_per_h = expected;
    share.kappa = withhold.kappa = kappa;
    return quote(withhold)->final_price - quote(share)->final_price;
  };
  CHECK(difference(3, 0.7) > difference(2, 0.7));
  CHECK(difference(2, 0.9) > difference(2, 0.7));
  CHECK(difference(0, 0.7) == 0);
  CHECK(difference(2, 0) == 0);
  // In the market: with nothing to gain nobody shares, with better terms more do, and more data makes better robots.
  MarketConfig config;
  config.customers = 100;
  MarketConfig nothing = config;
  nothing.discount_rate = nothing.premium_rate = 0;
  MarketConfig better = config;
  better.discount_rate = better.premium_rate = 0.9;
  const MarketRow none = must_sweep(nothing, {0.5}, 11).rows[0];
  const MarketRow some = must_sweep(config, {0.5}, 11).rows[0];
  const MarketRow more = must_sweep(better, {0.5}, 11).rows[0];
  CHECK(none.collected_h < some.collected_h);
  CHECK(some.collected_h < more.collected_h);
  CHECK(none.mpl_units_per_h < some.mpl_units_per_h);
  CHECK(some.mpl_units_per_h < more.mpl_units_per_h);
  CHECK(more.over_human_wage == 0);
}

// Laws of the econ arithmetic: exact sharing, guarantees, monotonicity, stated zero rules.
#include "actors/econ/econ.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tests/support/random_values.hpp"

using namespace drover;
using namespace drover::econ;

TEST_CASE("econ/mpl: units per hour, and zero hours give zero") {
  CHECK(mpl_units_per_h(30, 0.5) == 60);
  CHECK(mpl_units_per_h(30, 0) == 0);
  CHECK(mpl_units_per_h(30, -1) == 0);
  CHECK(mpl_units_per_h(0, 2) == 0);
}

TEST_CASE("econ/error rate: never hides an error, never divides by zero") {
  CHECK(error_rate(1, 4) == 0.25);
  CHECK(error_rate(0, 0) == 0);
  CHECK(error_rate(2, 0) == 2);
  CHECK(error_rate(3, 1) == 3);
}

TEST_CASE("econ/ep: units per Wh, nothing measured gives zero") {
  CHECK(ep_units_per_Wh(10, 4) == 2.5);
  CHECK(ep_units_per_Wh(10, 0) == 0);
}

TEST_CASE("econ/wage: p*MPL - c_d*e*MPL by hand") {
  // p = 5, c_d = 50, e = 0.02, MPL = 60: 300 - 60 = 240 $ per h.
  CHECK(implied_wage_usd_per_h({5, 50, 0.02, 60}) == doctest::Approx(240).epsilon(1e-12));
  CHECK(implied_wage_usd_per_h({5, 50, 0.2, 60}) == doctest::Approx(-300).epsilon(1e-12));
}

TEST_CASE("econ/wage: rises with price and falls with errors and damage cost") {
  test::Rng rng(11);
  for (int i = 0; i < 2000; ++i) {
    const WageInputs in{test::number(rng, 0, 50), test::number(rng, 0, 500), test::unit(rng),
                        test::number(rng, 0.1, 500)};
    const double wage = implied_wage_usd_per_h(in);
    WageInputs dearer = in;
    dearer.price_per_unit_usd += 1;
    CHECK(implied_wage_usd_per_h(dearer) > wage);
    WageInputs worse = in;
    worse.damage_cost_usd += 1;
    worse.error_rate += 0.1;
    CHECK(implied_wage_usd_per_h(worse) < wage);
  }
}

TEST_CASE("econ/parity: w_r over w_h, and a human wage of zero is an error that says so") {
  CHECK(wage_parity(36, 18).value() == 2);
  for (double bad : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    const auto parity = wage_parity(36, bad);
    REQUIRE(!parity);
    CHECK(parity.error().code == Errc::invalid_argument);
    CHECK(parity.error().where == "human_wage_usd_per_h");
  }
  CHECK(wage_parity(std::nan(""), 18).error().where == "robot_wage_usd_per_h");
}

TEST_CASE("econ/smoothing: a new market wage enters with weight a and the result stays between the two") {
  CHECK(smoothed_wage_usd_per_h({20, 30, 0.1}) == doctest::Approx(21).epsilon(1e-12));
  test::Rng rng(12);
  for (int i = 0; i < 2000; ++i) {
    const WageSmoothing in{test::number(rng, 0, 100), test::number(rng, 0, 100), test::unit(rng)};
    const double w = smoothed_wage_usd_per_h(in);
    CHECK(w >= std::min(in.previous_usd_per_h, in.market_usd_per_h) - 1e-9);
    CHECK(w <= std::max(in.previous_usd_per_h, in.market_usd_per_h) + 1e-9);
  }
}

TEST_CASE("econ/profit: wage minus the cost of energy") {
  // 500 Wh in half an hour is 1 kW: 0.12 $ per h.
  const double cost = energy_cost_usd_per_h({500, 0.5, 0.12});
  CHECK(cost == doctest::Approx(0.12).epsilon(1e-12));
  CHECK(energy_cost_usd_per_h({500, 0, 0.12}) == 0);
  CHECK(profit_usd_per_h({5, 50, 0.02, 60}, cost) == doctest::Approx(239.88).epsilon(1e-12));
}

TEST_CASE("econ/money: dollars become the nearest micro-dollar, the impossible is refused") {
  CHECK(to_micro_usd(1.5).value() == 1'500'000);
  CHECK(to_micro_usd(-0.0000005).value() == -1);
  CHECK(to_micro_usd(0.0000004).value() == 0);
  CHECK(to_micro_usd(std::nan("")).error().code == Errc::invalid_argument);
  CHECK(to_micro_usd(1e13).error().code == Errc::too_large);
}

TEST_CASE("econ/spread: share by cause is clamped and zero where nothing was caused") {
  CHECK(customer_share_parts(1, 4, 0) == 250'000'000);
  CHECK(customer_share_parts(9, 4, 0) == share_parts);
  CHECK(customer_share_parts(-1, 4, 0) == 0);
  CHECK(customer_share_parts(1, 0, 0) == 0);
  CHECK(customer_share_parts(1, -2, 1e-9) == 0);
  CHECK(customer_share_parts(std::nan(""), 1) == 0);
  CHECK(customer_share_parts(1, std::numeric_limits<double>::infinity()) == 0);
}

TEST_CASE("econ/spread: rebate + captured = spread * hours exactly, for any amounts") {
  test::Rng rng(13);
  for (int i = 0; i < 20000; ++i) {
    SpreadInputs in;
    in.robot_wage_per_h = static_cast<MicroUsd>(test::below(rng, 1'000'000'000)) - 100'000'000;
    in.human_wage_per_h = static_cast<MicroUsd>(test::below(rng, 100'000'000));
    in.duration_ns = static_cast<int64_t>(test::below(rng, 40'000'000'000'000));
    in.customer_parts = static_cast<int64_t>(test::below(rng, share_parts + 1));
    const auto split = split_spread(in);
    REQUIRE(split);
    CHECK(split->rebate + split->captured == split->total);
    CHECK(split->rebate >= 0);
    CHECK(split->captured >= 0);
    const long double exact = std::max<long double>(0, static_cast<long double>(in.robot_wage_per_h) -
                                                           static_cast<long double>(in.human_wage_per_h)) *
                              static_cast<long double>(in.duration_ns) / 3.6e12L;
    CHECK(std::abs(static_cast<long double>(split->total) - exact) <= 0.5001L);
    if (in.robot_wage_per_h <= in.human_wage_per_h) CHECK(split->total == 0);
  }
}

TEST_CASE("econ/spread: all or nothing at the ends of the share") {
  const SpreadInputs all{50'000'000, 18'000'000, 3'600'000'000'000, share_parts};
  CHECK(split_spread(all)->total == 32'000'000);
  CHECK(split_spread(all)->captured == 0);
  SpreadInputs none = all;
  none.customer_parts = 0;
  CHECK(split_spread(none)->rebate == 0);
}

TEST_CASE("econ/spread: what cannot be is refused by name") {
  CHECK(split_spread({1, 0, -1, 0}).error().where == "duration_ns");
  CHECK(split_spread({1, 0, 1, -1}).error().where == "customer_parts");
  CHECK(split_spread({1, 0, 1, share_parts + 1}).error().where == "customer_parts");
  constexpr int64_t most = std::numeric_limits<int64_t>::max();
  CHECK(split_spread({most, -most, most, 0}).error().code == Errc::too_large);
}

TEST_CASE("econ/guarantee: a customer never pays more than the human wage, whatever the inputs") {
  constexpr int64_t most = std::numeric_limits<int64_t>::max();
  constexpr int64_t least = std::numeric_limits<int64_t>::min();
  test::Rng rng(14);
  for (int i = 0; i < 20000; ++i) {
    const auto any = [&]() -> int64_t {
      if (test::chance(rng, 20)) return test::chance(rng, 2) ? most : least;
      return static_cast<int64_t>(test::below(rng, 200'000'000)) - 100'000'000;
    };
    const MicroUsd robot = any();
    const MicroUsd rebate = any();
    const MicroUsd human = any();
    const MicroUsd cost = customer_cost_per_h(robot, rebate, human);
    CHECK(cost <= human);
    CHECK(consumer_surplus_per_h(cost, human) >= 0);
  }
  CHECK(customer_cost_per_h(30'000'000, 2'000'000, 18'000'000) == 18'000'000);
  CHECK(customer_cost_per_h(19'000'000, 2'000'000, 18'000'000) == 17'000'000);
  CHECK(consumer_surplus_per_h(17'000'000, 18'000'000) == 1'000'000);
}

// J by hand, its monotonicity, and every way a baseline can be unusable.
#include "actors/econ/objective.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/support/random_values.hpp"

using namespace drover;
using namespace drover::econ;

TEST_CASE("econ/objective: J by hand") {
  // dMPL = (66-60)/60 = 0.1, dError = 0.02-0.05 = -0.03, dEP = (1.8-2)/2 = -0.1, bonus -10.
  const auto d = objective({66, 0.02, 1.8, true}, {60, 0.05, 2.0}, {1, 1, 1, 0.5});
  REQUIRE(d);
  CHECK(d->delta_mpl == doctest::Approx(0.1).epsilon(1e-12));
  CHECK(d->delta_error == doctest::Approx(-0.03).epsilon(1e-12));
  CHECK(d->delta_ep == doctest::Approx(-0.1).epsilon(1e-12));
  CHECK(d->safety_bonus == -10);
  CHECK(d->delta_J == doctest::Approx(0.1 + 0.03 - 0.1 - 5).epsilon(1e-12));
}

TEST_CASE("econ/objective: unmeasured energy contributes nothing and needs no baseline") {
  const auto d = objective({66, 0, std::nullopt, false}, {60, 0, std::nullopt}, {});
  REQUIRE(d);
  CHECK(d->delta_ep == 0);
  CHECK(d->safety_bonus == 0);
  CHECK(d->delta_J == doctest::Approx(0.1).epsilon(1e-12));
}

TEST_CASE("econ/objective: an episode equal to its baseline has J = 0") {
  test::Rng rng(21);
  for (int i = 0; i < 1000; ++i) {
    const double mpl = test::number(rng, 1e-3, 1e4);
    const double error = test::unit(rng);
    const double ep = test::number(rng, 1e-3, 1e3);
    CHECK(objective({mpl, error, ep, false}, {mpl, error, ep}, {})->delta_J == 0);
  }
}

TEST_CASE("econ/objective: J rises with MPL and EP and falls with errors and broken things") {
  test::Rng rng(22);
  for (int i = 0; i < 2000; ++i) {
    const Reference base{test::number(rng, 1, 100), test::unit(rng), test::number(rng, 0.1, 10)};
    const Performance p{test::number(rng, 0, 200), test::unit(rng), test::number(rng, 0, 20), false};
    const double J = objective(p, base, {})->delta_J;
    Performance more = p;
    more.mpl_units_per_h += 1;
    CHECK(objective(more, base, {})->delta_J > J);
    Performance thrifty = p;
    thrifty.ep_units_per_Wh = *p.ep_units_per_Wh + 1;
    CHECK(objective(thrifty, base, {})->delta_J > J);
    Performance worse = p;
    worse.error_rate += 0.1;
    CHECK(objective(worse, base, {})->delta_J < J);
    Performance broken = p;
    broken.safety_violated = true;
    CHECK(objective(broken, base, {})->delta_J == doctest::Approx(J - 5));
  }
}

TEST_CASE("econ/objective: a zero, missing or impossible baseline is an error that names it") {
  const Performance p{10, 0.1, 1.0, false};
  const auto where = [&](Reference base) {
    const auto d = objective(p, base, {});
    return d ? std::string("accepted") : d.error().where;
  };
  CHECK(where({std::nullopt, 0.1, 1.0}) == "baseline.mpl_units_per_h");
  CHECK(where({0.0, 0.1, 1.0}) == "baseline.mpl_units_per_h");
  CHECK(where({-1.0, 0.1, 1.0}) == "baseline.mpl_units_per_h");
  CHECK(where({std::nan(""), 0.1, 1.0}) == "baseline.mpl_units_per_h");
  CHECK(where({1.0, std::nullopt, 1.0}) == "baseline.error_rate");
  CHECK(where({1.0, std::nan(""), 1.0}) == "baseline.error_rate");
  CHECK(where({1.0, 0.1, std::nullopt}) == "baseline.ep_units_per_Wh");
  CHECK(where({1.0, 0.1, 0.0}) == "baseline.ep_units_per_Wh");
  CHECK(where({1.0, 0.0, 1.0}) == "accepted");
  CHECK(objective(p, {0.0, 0.1, 1.0}, {}).error().what.find("above zero") != std::string::npos);
}

TEST_CASE("econ/objective: a performance that is not finite is refused") {
  const Reference base{1.0, 0.1, 1.0};
  CHECK(objective({std::nan(""), 0, 1.0, false}, base, {}).error().where == "episode.mpl_units_per_h");
  CHECK(objective({1, INFINITY, 1.0, false}, base, {}).error().where == "episode.error_rate");
  CHECK(objective({1, 0, std::nan(""), false}, base, {}).error().where == "episode.ep_units_per_Wh");
  CHECK(objective({1e308, 0, 1.0, false}, {1e-308, 0.1, 1.0}, {}).error().where == "delta_J");
}

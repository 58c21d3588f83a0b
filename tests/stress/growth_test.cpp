// Growth is told apart from noise, jumps and warm-up.
#include "stress/soak/growth.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

using namespace drover::soak;

namespace {

template <class F>
Series series_of(size_t samples, F&& value) {
  Series series{"s", "MB", {}, {}};
  for (size_t i = 0; i < samples; ++i) {
    series.at_s.push_back(static_cast<double>(i));
    series.values.push_back(value(static_cast<double>(i)));
  }
  return series;
}

constexpr GrowthRule rule{0.25, 4, 0.1};

}  // namespace

TEST_CASE("stress/growth: a leak is found under noise, and what is level is not called one") {
  std::mt19937_64 rng(5);
  const auto noise = [&] { return static_cast<double>(rng() % 1000) / 100 - 5; };
  CHECK(growth_of(series_of(600, [&](double t) { return 50 + 0.03 * t + noise(); }), rule).grows);
  CHECK_FALSE(growth_of(series_of(600, [&](double) { return 50 + noise(); }), rule).grows);
  CHECK_FALSE(growth_of(series_of(600, [&](double t) { return 50 - 0.1 * t + noise(); }), rule).grows);
}

TEST_CASE("stress/growth: warming up, single jumps and few samples are no growth") {
  CHECK_FALSE(growth_of(series_of(400, [](double t) { return t < 90 ? t : 90; }), rule).grows);
  CHECK_FALSE(growth_of(series_of(400, [](double t) { return t > 200 && t < 230 ? 500.0 : 50.0; }), rule).grows);
  CHECK_FALSE(growth_of(series_of(9, [](double t) { return 10 * t; }), rule).grows);
  CHECK(growth_of(series_of(40, [](double t) { return 10 * t; }), rule).grows);
}

TEST_CASE("stress/growth: small rises count only when both bounds are passed") {
  const auto rising = series_of(400, [](double t) { return 1000 + 0.02 * t; });
  const Growth growth = growth_of(rising, rule);
  CHECK(growth.rise == doctest::Approx(0.02 * 299));
  CHECK_FALSE(growth.grows);                               // less than a tenth of the median
  CHECK(growth_of(rising, {0.25, 4, 0.001}).grows);        // more than both
  CHECK_FALSE(growth_of(rising, {0.25, 7, 0.001}).grows);  // less than the least rise
  CHECK(growth.most == doctest::Approx(1000 + 0.02 * 399));
}

TEST_CASE("stress/growth: windows keep the share of each, and gaps give none") {
  Series series{"s", "ms", {0, 1, 2, 3, 20, 21}, {1, 2, 3, 10, 7, 9}};
  const Series windows = windows_of(series, 10, 1.0);
  CHECK(windows.at_s == std::vector<double>{5, 25});
  CHECK(windows.values == std::vector<double>{10, 9});
  CHECK(windows_of(series, 10, 0.0).values == std::vector<double>{1, 7});
  CHECK(windows_of({}, 10, 0.5).values.empty());
}

// Exact sums do not depend on order and round once.
#include "storage/exact_sum.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/support/random_values.hpp"

using namespace drover;
using namespace drover::storage;
using namespace drover::test;

TEST_CASE("storage/exact_sum: what doubles cannot add, the sum can") {
  ExactSum sum;
  for (const double v : {1e308, 1.0, -1e308, 0x1p-1074, -1.0}) sum.add(v);
  CHECK(sum.value() == 0x1p-1074);
  sum.add(-0x1p-1074);
  CHECK(sum.value() == 0);
  CHECK(sum == ExactSum{});
  ExactSum squares;
  squares.add_square(0x1p-1074);
  squares.add_square(3);
  CHECK(squares.value() == 9);
  squares.add_square(1e200);
  CHECK(std::isinf(squares.value()));
}

TEST_CASE("storage/exact_sum: rounding is to nearest, ties to even") {
  ExactSum sum;
  sum.add(1);
  sum.add(0x1p-53);
  CHECK(sum.value() == 1);
  CHECK(sum.rest() == 0x1p-53);
  sum.add(0x1p-1000);
  CHECK(sum.value() == 1 + 0x1p-52);
  ExactSum low;
  for (const double v : {-1.0, -0x1p-53, -0x1p-1000}) low.add(v);
  CHECK(low.value() == -(1 + 0x1p-52));
}

TEST_CASE("storage/exact_sum: any order gives the same bytes; parts add up") {
  Rng rng(1);
  std::vector<double> values;
  for (int i = 0; i < 3000; ++i) values.push_back(chance(rng, 3) ? finite(rng) : std::ldexp(unit(rng) - 0.5, 40));
  ExactSum first, squares;
  for (const double v : values) first.add(v), squares.add_square(v / 1e200);
  for (int round = 0; round < 5; ++round) {
    std::shuffle(values.begin(), values.end(), rng);
    ExactSum left, right, left_squares;
    for (size_t i = 0; i < values.size(); ++i) (i % 3 == 0 ? left : right).add(values[i]);
    for (const double v : values) left_squares.add_square(v / 1e200);
    left.add(right);
    CHECK(left == first);
    CHECK(left_squares == squares);
  }
  ExactSum copy;
  CHECK(copy.assign(first.bytes()));
  CHECK(copy == first);
  CHECK(!copy.assign(first.bytes().first(8)));
}

TEST_CASE("storage/exact_sum: integers agree with 128-bit arithmetic") {
  Rng rng(2);
  ExactSum sum, squares;
  __int128 exact = 0, exact_squares = 0;
  for (int i = 0; i < 5000; ++i) {
    const auto v = static_cast<int64_t>(rng() >> 12) * (chance(rng, 2) ? 1 : -1);
    sum.add(static_cast<double>(v));
    squares.add_square(static_cast<double>(v >> 12));
    exact += v;
    exact_squares += static_cast<__int128>(v >> 12) * (v >> 12);
    REQUIRE(sum.value() == static_cast<double>(exact));
  }
  CHECK(squares.value() == static_cast<double>(exact_squares));
}

TEST_CASE("storage/exact_sum: the deviation of close values survives a large mean") {
  ExactSum sum, squares;
  for (int i = 0; i < 1000; ++i) {
    const double v = 1e9 + (i % 2 == 0 ? 1e-6 : -1e-6);
    sum.add(v);
    squares.add_square(v);
  }
  const Moments m = moments(sum, squares, 1000);
  CHECK(m.mean == doctest::Approx(1e9));
  CHECK(m.std == doctest::Approx((1e9 + 1e-6) - 1e9).epsilon(1e-3));
  CHECK(moments({}, {}, 0).std == 0);
}

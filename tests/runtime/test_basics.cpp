// Clock, random streams and log values.
#include <doctest/doctest.h>

#include <set>

#include "actors/runtime/clock.hpp"
#include "actors/runtime/log.hpp"
#include "actors/runtime/rng.hpp"

using namespace drover::runtime;

TEST_CASE("runtime/rng: the streams never change") {
  // xoshiro256++ seeded by SplitMix64(0): fixed for ever, because recorded seeds must replay.
  Rng zero(0);
  CHECK(zero.next() == 0x53175d61490b23dfu);
  CHECK(zero.next() == 0x61da6f3dc380d507u);
  CHECK(zero.next() == 0x5c0fdf91ec9a7bfcu);
  CHECK(Rng::stream(1, "a").next() == Rng::stream(1, "a").next());
  CHECK(Rng::stream(1, "a").next() != Rng::stream(1, "b").next());
  CHECK(Rng::stream(1, "a").next() != Rng::stream(2, "a").next());
}

TEST_CASE("runtime/rng: below and between stay in range and reach both ends") {
  Rng rng(5);
  std::set<uint64_t> seen;
  std::set<int64_t> signed_seen;
  for (int i = 0; i < 1'000; ++i) {
    seen.insert(rng.below(7));
    signed_seen.insert(rng.between(-2, 2));
    const double u = rng.uniform();
    REQUIRE(u >= 0.0);
    REQUIRE(u < 1.0);
  }
  CHECK(seen == std::set<uint64_t>{0, 1, 2, 3, 4, 5, 6});
  CHECK(signed_seen == std::set<int64_t>{-2, -1, 0, 1, 2});
  CHECK(rng.below(0) == 0);
  CHECK(rng.between(INT64_MIN, INT64_MAX) != rng.between(INT64_MIN, INT64_MAX));
}

TEST_CASE("runtime/clock: a manual clock moves when told, a jump leaves the steady clock alone") {
  ManualClock clock(1'000);
  clock.advance_ns(5);
  CHECK(clock.unix_ns() == 1'005);
  CHECK(clock.steady_ns() == 5);
  clock.jump_unix_ns(3);
  CHECK(clock.unix_ns() == 3);
  CHECK(clock.steady_ns() == 5);
}

TEST_CASE("runtime/log: values stay one token on one line") {
  CHECK(log_value("plain-1.5") == "plain-1.5");
  CHECK(log_value("") == "\"\"");
  CHECK(log_value("two words") == "\"two words\"");
  CHECK(log_value("a\"b\\c\nd\x01") == "\"a\\\"b\\\\c\\nd?\"");
  CHECK(log_value("k=v") == "\"k=v\"");
  CHECK(log_value(std::string(1'000, 'x')).size() == 512 + 5);
}

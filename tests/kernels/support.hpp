// Fresh random inputs for the kernel tests: the seed is printed, DROVER_TEST_SEED replays it.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "kernels/context.hpp"

// Last, as everywhere: short macro names.
#include <doctest/doctest.h>

namespace drover::kernels::test {

inline uint64_t fresh_seed() {
  const char* given = std::getenv("DROVER_TEST_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
}

class Random {
 public:
  explicit Random(uint64_t seed = fresh_seed()) : seed_(seed), engine_(seed) {}
  uint64_t seed() const { return seed_; }
  uint64_t below(uint64_t n) { return std::uniform_int_distribution<uint64_t>(0, n - 1)(engine_); }
  size_t between(size_t low, size_t high) { return low + below(high - low + 1); }
  float uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(engine_); }
  std::vector<uint8_t> bytes(size_t n) {
    std::vector<uint8_t> out(n);
    for (auto& b : out) b = static_cast<uint8_t>(engine_());
    return out;
  }
  std::vector<float> floats(size_t n, float low, float high) {
    std::vector<float> out(n);
    for (auto& x : out) x = uniform(low, high);
    return out;
  }

 private:
  uint64_t seed_;
  std::mt19937_64 engine_;
};

inline std::unique_ptr<Context> context_of(Isa isa, uint32_t threads) {
  auto made = Context::make({.threads = threads, .isa = isa});
  REQUIRE(made);
  return std::move(*made);
}

// Largest difference over largest magnitude: what "relative error" means in these tests.
inline double relative_error(std::span<const float> got, std::span<const double> want) {
  REQUIRE(got.size() == want.size());
  double difference = 0, size = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    if (!std::isfinite(got[i])) return INFINITY;
    difference = std::max(difference, std::abs(double{got[i]} - want[i]));
    size = std::max(size, std::abs(want[i]));
  }
  return size == 0 ? difference : difference / size;
}

}  // namespace drover::kernels::test

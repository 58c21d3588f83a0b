// Rng: a small deterministic generator (xoshiro256++, Blackman and Vigna 2019, seeded by SplitMix64).
//
// The same seed gives the same bytes on every compiler and machine: no std distributions.
// Not for secrets. Not thread safe: every user owns its own stream (Environment::rng("name")).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace drover::runtime {

class Rng {
 public:
  explicit Rng(uint64_t seed = 0);
  // The stream `name` of a root seed: independent of the order in which streams are made.
  static Rng stream(uint64_t root_seed, std::string_view name);

  uint64_t next();
  // Uniform in [0, bound), without bias; bound 0 gives 0.
  uint64_t below(uint64_t bound);
  // Uniform in [low, high], low <= high.
  int64_t between(int64_t low, int64_t high);
  // Uniform in [0, 1) with 53 bits.
  double uniform();
  bool chance(double probability) { return uniform() < probability; }

  // For std algorithms that take a bit generator (their results may differ between libraries).
  using result_type = uint64_t;
  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return ~uint64_t{0}; }
  uint64_t operator()() { return next(); }

 private:
  std::array<uint64_t, 4> state_;
};

}  // namespace drover::runtime

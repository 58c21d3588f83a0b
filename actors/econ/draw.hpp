// Random draws for simulations of this room: SplitMix64. The same seed gives the same numbers on every machine: only
// integer and IEEE arithmetic, no std distributions. Not for secrets.
#pragma once

#include <cmath>
#include <cstdint>

namespace drover::econ {

class Draw {
 public:
  explicit Draw(uint64_t seed) : state_(seed) {}
  uint64_t next() noexcept {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  double unit() noexcept { return static_cast<double>(next() >> 11) * 0x1.0p-53; }  // [0, 1)
  double between(double low, double high) noexcept { return low + (high - low) * unit(); }
  // Whole number in [low, high]; the bias of the modulus is below 2^-64 * range.
  int64_t whole(int64_t low, int64_t high) noexcept {
    const uint64_t range = static_cast<uint64_t>(high) - static_cast<uint64_t>(low) + 1;
    return static_cast<int64_t>(static_cast<uint64_t>(low) + (range == 0 ? next() : next() % range));
  }
  // Log-logistic with shape 2 around its median, cut at 20 times the median: skewed, with a heavy tail.
  double skewed(double median) noexcept {
    const double u = unit();
    return median * std::fmin(20.0, std::sqrt(u / (1 - u)));
  }

 private:
  uint64_t state_;
};

}  // namespace drover::econ

// SeededWeights: untrained weights from a seed, the same bits on every machine. Internal to kernels/.
//
// SplitMix64, one draw per value in the order of the calls; only operations that IEEE 754 rounds exactly.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

#include "kernels/weights.hpp"

namespace drover::kernels {

class SeededWeights {
 public:
  SeededWeights(Architecture architecture, uint64_t seed) : state_(seed) {
    weights_.architecture = architecture;
    weights_.seed = seed;
    weights_.note = "untrained: seeded " + std::to_string(seed);
  }

  void param(std::string name, uint64_t value) { weights_.params.push_back({std::move(name), value}); }

  // [out, in], uniform in +-sqrt(6 / (in + out)).
  void matrix(std::string name, uint32_t out, uint32_t in) {
    uniform(std::move(name), {out, in}, std::sqrt(6.0 / (double{1} * in + out)));
  }
  // Uniform in +-bound.
  void uniform(std::string name, std::vector<uint32_t> shape, double bound) {
    size_t count = 1;
    for (uint32_t d : shape) count *= d;
    Tensor t{std::move(name), std::move(shape), std::vector<float>(count)};
    for (float& x : t.values) x = static_cast<float>((2.0 * unit() - 1.0) * bound);
    weights_.tensors.push_back(std::move(t));
  }
  void constant(std::string name, uint32_t size, float value) {
    weights_.tensors.push_back({std::move(name), {size}, std::vector<float>(size, value)});
  }

  Weights finish() { return std::move(weights_); }

 private:
  double unit() {  // 53 bits in [0, 1)
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1.0p-53;
  }

  uint64_t state_;
  Weights weights_;
};

}  // namespace drover::kernels

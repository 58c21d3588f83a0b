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
#include "kernels/mlp.hpp"
#include "kernels/reference.hpp"
#include "kernels/vit.hpp"

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

// Seeded weights with every value moved a little: seeded ones have neutral biases, gains and shifts.
inline Weights moved(Random& random, Result<Weights> weights) {
  REQUIRE(weights);
  for (Tensor& t : weights->tensors) {
    for (float& x : t.values) x += random.uniform(-0.1f, 0.1f);
  }
  return std::move(*weights);
}
inline Weights random_weights(Random& random, const VitShape& shape) {
  return moved(random, seeded_vit_weights(shape, random.seed()));
}
inline Weights random_weights(Random& random, const MlpShape& shape) {
  return moved(random, seeded_mlp_weights(shape, random.seed()));
}

inline VitShape random_vit_shape(Random& random) {
  VitShape s;
  s.patch = static_cast<uint32_t>(random.between(1, 9));
  s.height = s.patch * static_cast<uint32_t>(random.between(1, 8));
  s.width = s.patch * static_cast<uint32_t>(random.between(1, 8));
  s.heads = static_cast<uint32_t>(random.between(1, 3));
  s.dim = s.heads * 16 * static_cast<uint32_t>(random.between(1, 2));
  s.depth = static_cast<uint32_t>(random.between(1, 3));
  s.hidden = 16 * static_cast<uint32_t>(random.between(1, 20));
  return s;
}

inline MlpShape random_mlp_shape(Random& random) {
  MlpShape shape;
  const size_t layers = random.between(1, 4);
  for (size_t l = 0; l <= layers; ++l) shape.widths.push_back(static_cast<uint32_t>(random.between(1, 150)));
  shape.hidden = static_cast<Activation>(random.below(4));
  shape.output = static_cast<Activation>(random.below(4));
  return shape;
}

inline std::vector<float> run_vit(const Context& context, const Weights& w, std::span<const uint8_t> rgb) {
  const auto encoder = VitEncoder::make(context, w);
  REQUIRE_MESSAGE(encoder, encoder.error().message());
  std::vector<float> out(rgb.size() / encoder->shape().frame_bytes() * encoder->shape().dim, NAN);
  REQUIRE(encoder->run(context, rgb, out));
  return out;
}

}  // namespace drover::kernels::test

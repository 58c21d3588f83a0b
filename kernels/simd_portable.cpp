// The inner loops for any machine: plain loops over four floats, which a compiler may or may not turn into vectors.
// Compiled without contraction, so that the result does not depend on whether the machine has a fused multiply-add.
#include "kernels/simd.hpp"

namespace drover::kernels {
namespace {

constexpr size_t kWidth = 4;
constexpr int kTileRows = 4;

struct Vec {
  float lane[kWidth];
};

template <class F>
inline Vec each(F f) {
  Vec out;
  for (size_t i = 0; i < kWidth; ++i) out.lane[i] = f(i);
  return out;
}
inline Vec load(const float* p) {
  return each([&](size_t i) { return p[i]; });
}
inline void store(float* p, const Vec& x) {
  for (size_t i = 0; i < kWidth; ++i) p[i] = x.lane[i];
}
inline Vec set1(float x) {
  return each([&](size_t) { return x; });
}
inline Vec add(const Vec& a, const Vec& b) {
  return each([&](size_t i) { return a.lane[i] + b.lane[i]; });
}
inline Vec sub(const Vec& a, const Vec& b) {
  return each([&](size_t i) { return a.lane[i] - b.lane[i]; });
}
inline Vec mul(const Vec& a, const Vec& b) {
  return each([&](size_t i) { return a.lane[i] * b.lane[i]; });
}
inline Vec div(const Vec& a, const Vec& b) {
  return each([&](size_t i) { return a.lane[i] / b.lane[i]; });
}
inline Vec fma(const Vec& a, const Vec& b, const Vec& c) {
  return each([&](size_t i) { return a.lane[i] * b.lane[i] + c.lane[i]; });
}
inline Vec vmin(const Vec& a, const Vec& b) {
  return each([&](size_t i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline Vec vmax(const Vec& a, const Vec& b) {  // a NaN in `a` gives b, so that no NaN is ever converted to an integer
  return each([&](size_t i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline Vec pick_less(const Vec& a, const Vec& b, const Vec& x, const Vec& y) {
  return each([&](size_t i) { return a.lane[i] < b.lane[i] ? x.lane[i] : y.lane[i]; });
}
inline Vec round_nearest(const Vec& x) {
  return each(
      [&](size_t i) { return static_cast<float>(static_cast<int>(x.lane[i] + (x.lane[i] < 0 ? -0.5f : 0.5f))); });
}
inline Vec scale_pow2(const Vec& x, const Vec& n) {
  return each([&](size_t i) {
    const uint32_t bits = static_cast<uint32_t>(static_cast<int>(n.lane[i]) + 127) << 23;
    return x.lane[i] * __builtin_bit_cast(float, bits);
  });
}

struct DifferenceSum {
  uint64_t sum = 0;
  void add(const uint8_t* a, const uint8_t* b, size_t bytes) {
    uint32_t row = 0;  // a row is at most 3 * 16384 bytes
    for (size_t i = 0; i < bytes; ++i) row += static_cast<uint32_t>(a[i] > b[i] ? a[i] - b[i] : b[i] - a[i]);
    sum += row;
  }
  uint64_t finish() const { return sum; }
};

struct ChannelSums {
  uint64_t sum[3] = {0, 0, 0};
  void add(const uint8_t* p, size_t bytes) {
    uint32_t row[3] = {0, 0, 0};
    for (size_t i = 0; i < bytes; i += 3) {
      for (size_t c = 0; c < 3; ++c) row[c] += p[i + c];
    }
    for (size_t c = 0; c < 3; ++c) sum[c] += row[c];
  }
  void finish(uint64_t* sums) const {
    for (size_t c = 0; c < 3; ++c) sums[c] += sum[c];
  }
};

#include "kernels/cell_body.ipp"
#include "kernels/simd_body.ipp"

}  // namespace

const SimdOps simd_portable = {"portable", kWidth, gemm, layer_norm, softmax, cell_sums};

}  // namespace drover::kernels

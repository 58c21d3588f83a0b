// The inner loops for AVX2 with FMA. Compiled with those flags and entered only after the processor was asked.
// No standard library here: see simd.hpp.
#include <immintrin.h>

#include "kernels/simd.hpp"

namespace drover::kernels {
namespace {

constexpr size_t kWidth = 8;
constexpr int kTileRows = 6;

using Vec = __m256;

inline Vec load(const float* p) {
  return _mm256_loadu_ps(p);
}
inline void store(float* p, Vec x) {
  _mm256_storeu_ps(p, x);
}
inline Vec set1(float x) {
  return _mm256_set1_ps(x);
}
inline Vec add(Vec a, Vec b) {
  return _mm256_add_ps(a, b);
}
inline Vec sub(Vec a, Vec b) {
  return _mm256_sub_ps(a, b);
}
inline Vec mul(Vec a, Vec b) {
  return _mm256_mul_ps(a, b);
}
inline Vec div(Vec a, Vec b) {
  return _mm256_div_ps(a, b);
}
inline Vec fma(Vec a, Vec b, Vec c) {
  return _mm256_fmadd_ps(a, b, c);
}
inline Vec vmin(Vec a, Vec b) {
  return _mm256_min_ps(a, b);
}
inline Vec vmax(Vec a, Vec b) {
  return _mm256_max_ps(a, b);
}
inline Vec pick_less(Vec a, Vec b, Vec x, Vec y) {
  return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
inline Vec round_nearest(Vec x) {
  return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline Vec scale_pow2(Vec x, Vec n) {
  const __m256i bits = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  return _mm256_mul_ps(x, _mm256_castsi256_ps(bits));
}

inline __m256i bytes_at(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline uint64_t sum64(__m256i x) {
  alignas(32) uint64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), x);
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

struct DifferenceSum {
  __m256i sum = _mm256_setzero_si256();
  uint64_t rest = 0;
  void add(const uint8_t* a, const uint8_t* b, size_t bytes) {
    size_t i = 0;
    for (; i + 32 <= bytes; i += 32) sum = _mm256_add_epi64(sum, _mm256_sad_epu8(bytes_at(a + i), bytes_at(b + i)));
    for (; i < bytes; ++i) rest += static_cast<uint32_t>(a[i] > b[i] ? a[i] - b[i] : b[i] - a[i]);
  }
  uint64_t finish() const { return sum64(sum) + rest; }
};

// Byte i of a vector that starts at phase s (its first byte is channel s) is channel (i + s) % 3, so channel c takes
// the bytes with i % 3 == (c - s) mod 3. 32 % 3 == 2: successive vectors of a row have phases 0, 2, 1.
struct ChannelSums {
  __m256i first, second;  // 0xff at i % 3 == 0 and at i % 3 == 1
  __m256i red = _mm256_setzero_si256(), green = red, all = red;
  uint64_t rest[3] = {0, 0, 0};

  ChannelSums() {
    alignas(32) uint8_t mask[2][32];
    for (size_t i = 0; i < 32; ++i) {
      mask[0][i] = i % 3 == 0 ? 0xff : 0;
      mask[1][i] = i % 3 == 1 ? 0xff : 0;
    }
    first = bytes_at(mask[0]);
    second = bytes_at(mask[1]);
  }
  void take(__m256i x, __m256i red_mask, __m256i green_mask) {
    const __m256i zero = _mm256_setzero_si256();
    red = _mm256_add_epi64(red, _mm256_sad_epu8(_mm256_and_si256(x, red_mask), zero));
    green = _mm256_add_epi64(green, _mm256_sad_epu8(_mm256_and_si256(x, green_mask), zero));
    all = _mm256_add_epi64(all, _mm256_sad_epu8(x, zero));
  }
  void add(const uint8_t* p, size_t bytes) {
    const __m256i third = _mm256_andnot_si256(_mm256_or_si256(first, second), _mm256_set1_epi8(-1));
    size_t i = 0;
    for (; i + 96 <= bytes; i += 96) {
      take(bytes_at(p + i), first, second);
      take(bytes_at(p + i + 32), second, third);  // phase 2: red at i % 3 == 1
      take(bytes_at(p + i + 64), third, first);   // phase 1: red at i % 3 == 2
    }
    for (; i < bytes; i += 3) {
      for (size_t c = 0; c < 3; ++c) rest[c] += p[i + c];
    }
  }
  void finish(uint64_t* sums) const {
    const uint64_t r = sum64(red), g = sum64(green);
    sums[0] += r + rest[0];
    sums[1] += g + rest[1];
    sums[2] += sum64(all) - r - g + rest[2];
  }
};

#include "kernels/cell_body.ipp"
#include "kernels/simd_body.ipp"

}  // namespace

const SimdOps simd_avx2 = {"avx2", kWidth, gemm, layer_norm, softmax, cell_sums};

}  // namespace drover::kernels

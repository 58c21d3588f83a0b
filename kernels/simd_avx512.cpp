// The inner loops for AVX-512 (f, bw, dq, vl). Compiled with those flags and entered only after the processor was
// asked. No standard library here: see simd.hpp.
#include <immintrin.h>

#include "kernels/simd.hpp"

namespace drover::kernels {
namespace {

constexpr size_t kWidth = 16;
constexpr int kTileRows = 12;

using Vec = __m512;

inline Vec load(const float* p) {
  return _mm512_loadu_ps(p);
}
inline void store(float* p, Vec x) {
  _mm512_storeu_ps(p, x);
}
inline Vec set1(float x) {
  return _mm512_set1_ps(x);
}
inline Vec add(Vec a, Vec b) {
  return _mm512_add_ps(a, b);
}
inline Vec sub(Vec a, Vec b) {
  return _mm512_sub_ps(a, b);
}
inline Vec mul(Vec a, Vec b) {
  return _mm512_mul_ps(a, b);
}
inline Vec div(Vec a, Vec b) {
  return _mm512_div_ps(a, b);
}
inline Vec fma(Vec a, Vec b, Vec c) {
  return _mm512_fmadd_ps(a, b, c);
}
inline Vec vmin(Vec a, Vec b) {
  return _mm512_min_ps(a, b);
}
inline Vec vmax(Vec a, Vec b) {
  return _mm512_max_ps(a, b);
}
inline Vec pick_less(Vec a, Vec b, Vec x, Vec y) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
inline Vec round_nearest(Vec x) {
  return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline Vec scale_pow2(Vec x, Vec n) {
  return _mm512_scalef_ps(x, n);
}

inline __mmask64 first_bytes(size_t bytes) {
  return bytes >= 64 ? ~uint64_t{0} : (uint64_t{1} << bytes) - 1;
}
inline uint64_t sum64(__m512i x) {
  alignas(64) uint64_t lanes[8];
  _mm512_store_si512(lanes, x);
  uint64_t sum = 0;
  for (uint64_t lane : lanes) sum += lane;
  return sum;
}

struct DifferenceSum {
  __m512i sum = _mm512_setzero_si512();
  void add(const uint8_t* a, const uint8_t* b, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 64) {
      const __mmask64 mask = first_bytes(bytes - i);
      sum = _mm512_add_epi64(
          sum, _mm512_sad_epu8(_mm512_maskz_loadu_epi8(mask, a + i), _mm512_maskz_loadu_epi8(mask, b + i)));
    }
  }
  uint64_t finish() const { return sum64(sum); }
};

// Byte i of a vector that starts at phase s (its first byte is channel s) is channel (i + s) % 3, so channel c takes
// the bytes with i % 3 == (c - s) mod 3. 64 % 3 == 1: successive vectors of a row have phases 0, 1, 2.
struct ChannelSums {
  static constexpr __mmask64 every_third = 0x9249249249249249u;  // i % 3 == 0
  __m512i red = _mm512_setzero_si512(), green = red, all = red;

  void take(__m512i x, size_t phase) {
    const __mmask64 red_mask = every_third << ((3 - phase) % 3);
    const __mmask64 green_mask = every_third << ((4 - phase) % 3);
    const __m512i zero = _mm512_setzero_si512();
    red = _mm512_add_epi64(red, _mm512_sad_epu8(_mm512_maskz_mov_epi8(red_mask, x), zero));
    green = _mm512_add_epi64(green, _mm512_sad_epu8(_mm512_maskz_mov_epi8(green_mask, x), zero));
    all = _mm512_add_epi64(all, _mm512_sad_epu8(x, zero));
  }
  void add(const uint8_t* p, size_t bytes) {
    size_t phase = 0;
    for (size_t i = 0; i < bytes; i += 64) {
      take(_mm512_maskz_loadu_epi8(first_bytes(bytes - i), p + i), phase);
      phase = phase == 2 ? 0 : phase + 1;
    }
  }
  void finish(uint64_t* sums) const {
    const uint64_t r = sum64(red), g = sum64(green);
    sums[0] += r;
    sums[1] += g;
    sums[2] += sum64(all) - r - g;
  }
};

#include "kernels/cell_body.ipp"
#include "kernels/simd_body.ipp"

}  // namespace

const SimdOps simd_avx512 = {"avx512", kWidth, gemm, layer_norm, softmax, cell_sums};

}  // namespace drover::kernels

// Activation functions of the CUDA kernels, the formulas of simd_body.ipp. Internal to kernels/.
#pragma once

#include "kernels/cuda/block.hpp"

namespace drover::kernels::cuda {

// Values as in kernels/simd.hpp.
enum class Act : uint32_t { none = 0, relu = 1, tanh = 2, gelu = 3 };

// erf(x) as an odd rational minimax approximation on [-4, 4]; beyond, it is +-1 in float. Within 2e-7.
DROVER_DEV float rational_erf(float x) {
  x = fminf(fmaxf(x, -4.0f), 4.0f);
  const float z = x * x;
  float p = -2.72614225801306e-10f;
  p = fmaf(p, z, 2.77068142495902e-08f);
  p = fmaf(p, z, -2.10102402082508e-06f);
  p = fmaf(p, z, -5.69250639462346e-05f);
  p = fmaf(p, z, -7.34990630326855e-04f);
  p = fmaf(p, z, -2.95459980854025e-03f);
  p = fmaf(p, z, -1.60960333262415e-02f);
  float q = -1.45660718464996e-05f;
  q = fmaf(q, z, -2.13374055278905e-04f);
  q = fmaf(q, z, -1.68282697438203e-03f);
  q = fmaf(q, z, -7.37332916720468e-03f);
  q = fmaf(q, z, -1.42647390514189e-02f);
#if defined(__CUDACC__)
  return __fdividef(x * p, q);  // 2 ulp; q is far from the range where this fails
#else
  return x * p / q;
#endif
}

DROVER_DEV float gelu(float x) {
  const float half = 0.5f * x;
  return fmaf(half, rational_erf(x * 0.70710678118654752f), half);
}

DROVER_DEV float activate(float x, Act act) {
  switch (act) {
    case Act::none:
      return x;
    case Act::relu:
      return fmaxf(x, 0.0f);
    case Act::tanh:
      return tanhf(x);
    case Act::gelu:
      return gelu(x);
  }
  return x;
}

// exp for softmax: exact enough for the type that the result is rounded to.
template <class E>
DROVER_DEV float softmax_exp(float x) {
#if defined(__CUDACC__)
  if constexpr (sizeof(E) == 2) return __expf(x);
#endif
  return expf(x);
}

}  // namespace drover::kernels::cuda

// SimdOps: the table of inner loops that one instruction set offers. Internal to kernels/.
//
// Invariants:
// - Every entry gives the same bits for the same input however the rows are split over calls and threads: each output
//   element is summed over k in ascending order with the same operations, whatever the tile shape.
// - cell_sums is integer arithmetic: the same bits on every instruction set.
// - This header is included by files compiled for newer instruction sets: nothing inline with external linkage may be
//   added here or included from here, or the linker could pick an AVX copy for a machine without AVX.
#pragma once

#include <cstddef>
#include <cstdint>

namespace drover::kernels {

enum class Activation : uint8_t { none = 0, relu = 1, tanh = 2, gelu = 3 };  // gelu: x * Phi(x), the erf form

// Leading dimensions of activations and widths of layers are padded to this many floats, a multiple of every SIMD
// width.
constexpr size_t lane_pad = 16;

// C = act(A B + bias), or C += A B + bias when `accumulate` (act must be none then).
// A is [rows, k], B is packed as [panels][k][width], C is [rows, panels * width].
struct GemmArgs {
  const float* a = nullptr;
  size_t a_stride = 0;
  const float* b = nullptr;
  const float* bias = nullptr;  // panels * width values, or null for none
  float* c = nullptr;
  size_t c_stride = 0;
  size_t rows = 0;
  size_t k = 0;
  size_t panels = 0;
  Activation activation = Activation::none;
  bool accumulate = false;
};

// y = (x - mean) / sqrt(variance + 1e-5) * gain + shift per row; rows are `dim` apart; dim % lane_pad == 0.
struct NormArgs {
  const float* x = nullptr;
  const float* gain = nullptr;
  const float* shift = nullptr;
  float* y = nullptr;
  size_t rows = 0;
  size_t dim = 0;
};

// x[r, 0..n) = softmax(scale * x[r, 0..n)) in place. x[r, n..stride) is scratch; stride % lane_pad == 0.
struct SoftmaxArgs {
  float* x = nullptr;
  size_t stride = 0;
  size_t rows = 0;
  size_t n = 0;
  float scale = 1;
};

// One cell of an RGB frame, `rows` x `row_bytes` from `top`. Adds to sums[0..2] the three channels and to sums[3] the
// absolute differences of each byte to the same channel of the pixel on its right and of the pixel below.
struct CellArgs {
  const uint8_t* top = nullptr;
  size_t stride_bytes = 0;
  size_t rows = 0;
  size_t row_bytes = 0;      // 3 * pixels
  bool right_edge = false;   // the last pixel of a row has no right neighbour
  bool bottom_edge = false;  // the last row has no row below
  uint64_t* sums = nullptr;  // 4
};

struct SimdOps {
  const char* name;
  size_t width;  // floats per vector and panel; divides lane_pad
  void (*gemm)(const GemmArgs&) noexcept;
  void (*layer_norm)(const NormArgs&) noexcept;
  void (*softmax)(const SoftmaxArgs&) noexcept;
  void (*cell_sums)(const CellArgs&) noexcept;
};

extern const SimdOps simd_portable;
#if defined(DROVER_KERNELS_X86)
extern const SimdOps simd_avx2;    // needs avx2 and fma
extern const SimdOps simd_avx512;  // needs avx512 f, bw, dq, vl
#endif

}  // namespace drover::kernels

// Linear: one layer y = act(W x + b), packed for an instruction set. Internal to kernels/.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/aligned.hpp"
#include "kernels/simd.hpp"

namespace drover::kernels {

constexpr size_t padded(size_t n) {
  return (n + lane_pad - 1) / lane_pad * lane_pad;
}

class Linear {
 public:
  Linear() = default;

  // `weight` is [out, in] row-major, `bias` is [out]. Outputs are padded(out) wide; the padding gets act(0) = 0.
  Linear(const SimdOps& ops, std::span<const float> weight, std::span<const float> bias);

  size_t in() const noexcept { return in_; }
  size_t out_padded() const noexcept { return panels_ * width_; }

  struct Io {
    const float* x = nullptr;
    size_t x_stride = 0;
    float* y = nullptr;
    size_t y_stride = 0;
    size_t rows = 0;
  };
  void apply(const SimdOps& ops, const Io& io, Activation activation) const noexcept;
  // y += W x + b
  void accumulate(const SimdOps& ops, const Io& io) const noexcept;

 private:
  GemmArgs args(const Io& io) const noexcept;

  size_t in_ = 0;
  size_t width_ = 0;
  size_t panels_ = 0;
  AlignedFloats packed_;  // [panels][in][width]
  AlignedFloats bias_;
};

}  // namespace drover::kernels

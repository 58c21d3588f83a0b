// VitEncoder: a small vision transformer, RGB frame -> one vector. Pre-norm blocks, no class token, mean pooled.
//
//   patches   p_t = (bytes of patch t in order y, x, channel; (v / 255 - mean_c) / std_c)      t = 1..T, row by row
//   embed     x_t = W_p p_t + b_p + position_t
//   block     x += W_o attention(W_qkv norm1(x) + b_qkv) + b_o                  heads of softmax(q k^T / sqrt(d)) v
//             x += W_2 gelu(W_1 norm2(x) + b_1) + b_2                           gelu(x) = x Phi(x)
//   pool      y = mean over t of norm(x_t)
// norm is LayerNorm with eps 1e-5. Parameter and array names: WEIGHTS.md.
//
// Invariants: float32 within 1e-5 of float64; the same bits for an image whatever batch or number of threads (of one
// instruction set); the output is finite or the call fails.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/context.hpp"
#include "kernels/linear.hpp"
#include "kernels/weights.hpp"

namespace drover::kernels {

namespace cuda {
class DeviceVit;
}

struct VitShape {
  uint32_t height = 128;  // of a frame; a multiple of patch
  uint32_t width = 128;   // likewise; at most 4096 patches
  uint32_t patch = 16;    // 1..64 pixels
  uint32_t dim = 128;     // 16..1024; dim / heads is a multiple of 16
  uint32_t depth = 4;     // 1..32 blocks
  uint32_t heads = 4;     // 1..16
  uint32_t hidden = 512;  // 16..4096, a multiple of 16

  size_t tokens() const noexcept { return size_t{height / patch} * (width / patch); }
  size_t patch_values() const noexcept { return size_t{patch} * patch * 3; }
  size_t frame_bytes() const noexcept { return size_t{height} * width * 3; }
  // Multiplications and additions of one frame, counted as two.
  double flops() const noexcept;
};

class VitEncoder {
 public:
  // Packs `weights` for the context's instruction set and, on the cuda backend, uploads them; they are not needed
  // afterwards. Errors name the parameter or array that is missing, out of range or misshapen.
  static Result<VitEncoder> make(const Context& context, const Weights& weights);

  const VitShape& shape() const noexcept { return shape_; }
  bool trained() const noexcept { return trained_; }
  // Where run() computes: cpu on the cuda backend too when the device does not take this shape (heads of more than 128
  // values, more patches than it has room for).
  Backend backend() const noexcept { return device_ == nullptr ? Backend::cpu : Backend::cuda; }
  // For arrays in device memory (kernels/cuda/models.hpp); null on the processor.
  const std::shared_ptr<cuda::DeviceVit>& device() const noexcept { return device_; }

  // rgb [batch, height, width, 3] -> out [batch, dim]. invalid_argument for sizes that do not fit or another
  // instruction set than at make(); internal when the sums overflow (the content of `out` is then unspecified);
  // unavailable when the device failed. With fewer frames than threads, the threads share each frame. Threads: any
  // number may run one encoder.
  Status run(const Context& context, std::span<const uint8_t> rgb, std::span<float> out) const;

 private:
  struct Norm {
    AlignedFloats gain, shift;
  };
  struct Block {
    Norm norm1, norm2;
    Linear qkv, proj, up, down;
  };
  struct Slot;
  struct Part;

  Status take_input(const Context& context, const Weights& weights);
  Status take_device(const Context& context, const Weights& weights);
  Status take_block(const Context& context, const Weights& weights, const std::string& prefix);
  size_t wide_stride() const noexcept { return std::max(3 * size_t{shape_.dim}, size_t{shape_.hidden}); }
  Slot slot_at(float* memory) const;
  void forward(const Part& part) const;
  void embed(const Part& part) const;
  void keys_and_values(const Part& part, const Block& block, size_t parity) const;
  void attend(const Part& part, size_t parity) const;
  void finish_block(const Part& part, const Block& block) const;
  void normalise(const Part& part, const Norm& norm) const;
  Status run_cpu(const Context& context, std::span<const uint8_t> rgb, std::span<float> out) const;

  VitShape shape_;
  bool trained_ = false;
  Isa isa_ = Isa::portable;
  size_t slot_floats_ = 0;   // scratch of one frame
  size_t score_floats_ = 0;  // scratch of one thread
  Linear patch_;
  AlignedFloats position_;  // [tokens, dim]
  std::vector<Block> blocks_;
  Norm norm_;
  std::shared_ptr<cuda::DeviceVit> device_;
};

// Untrained weights of this shape, as seeded_mlp_weights; gains 1, positions within +-0.02, input mean 0.5, std 0.25.
Result<Weights> seeded_vit_weights(const VitShape& shape, uint64_t seed);

}  // namespace drover::kernels

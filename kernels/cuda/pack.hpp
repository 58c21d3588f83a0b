// Packing of models for the CUDA kernels: one blob per model, uploaded once. Plain C++, no CUDA needed. Internal.
//
// Invariant: all padding is zero, so padded columns and inner lengths add nothing.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "kernels/cuda/launch.hpp"
#include "kernels/mlp.hpp"
#include "kernels/vit.hpp"
#include "kernels/vit_input.hpp"

namespace drover::kernels::cuda {

constexpr size_t element_bytes(Element e) {
  return e == Element::bf16 ? sizeof(Bf16) : sizeof(float);
}

// Layout in product_body.hpp; `weight` is [out, in].
std::vector<std::byte> pack_layer(Element element, std::span<const float> weight, size_t out, size_t in);

struct PackedVit {
  std::vector<std::byte> blob;
  VitArgs args;  // sizes and offsets; pointers, rows, parts and slots are not set
};
// `weights` are complete and of this shape (VitEncoder::make checks). unavailable for a head over vit_head_dim_max.
Result<PackedVit> pack_vit(Element element, const VitShape& shape, const Weights& weights, const FoldedPatch& patch);

struct PackedMlp {
  std::vector<std::byte> blob;
  MlpArgs args;
};
// `weights` are complete and of this shape (MlpPolicy::make checks).
PackedMlp pack_mlp(Element element, const MlpShape& shape, const Weights& weights);

// ---- how work is spread over a device -------------------------------------------------------------------------------

struct VitPlan {
  uint32_t rows = 0, parts = 0, slots = 0;
  bool shared = false;  // arena in shared memory, else in global memory
  uint64_t arena_bytes = 0;
};
// unavailable when the blocks of one frame do not fit on the device at once. Never changes a bit of the result.
Result<VitPlan> plan_vit(Element element, const VitArgs& args, uint32_t processors, uint64_t shared_bytes,
                         uint32_t batch);

struct PoolPlan {
  uint32_t slices = 1;
};
PoolPlan plan_pool(uint32_t height, uint32_t width, uint32_t frames, uint32_t processors);

}  // namespace drover::kernels::cuda

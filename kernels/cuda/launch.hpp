// How kernels are started: the functions of kernels.cu, callable from code that nvcc does not compile. Internal.
//
// All are asynchronous on `stream` (a cudaStream_t; null is the default stream). They return null, or CUDA's text for
// what went wrong with the start itself; errors while running come from the stream.
#pragma once

#include <cstdint>

#include "kernels/cuda/mlp_body.hpp"
#include "kernels/cuda/pool_body.hpp"
#include "kernels/cuda/vit_body.hpp"

namespace drover::kernels::cuda {

enum class Element : uint8_t { f32, bf16 };

constexpr uint32_t vit_threads = 512;
constexpr uint32_t mlp_threads = 512;
constexpr uint32_t pool_threads = 128;

// One block per part of each frame under way; with more than one part all blocks run at once (a cooperative start).
const char* launch_vit(const VitArgs& args, Element element, void* stream);
// `blocks` take the tiles in turn.
const char* launch_mlp(const MlpArgs& args, Element element, uint32_t blocks, void* stream);
// Zeroes and adds up sums first when they are used; then writes out[frames or 1][64].
const char* launch_pool(const PoolArgs& args, float* out, void* stream);

}  // namespace drover::kernels::cuda

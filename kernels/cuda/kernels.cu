// The kernels themselves: each is a body from *_body.hpp given threads, memory and, where frames are shared, a barrier.
#include <cuda_runtime.h>

#include "kernels/cuda/launch.hpp"

namespace drover::kernels::cuda {
namespace {

// A barrier among the `parts` blocks of one frame, all of them running: counter[0] arrivals, counter[1] rounds.
// It leaves arrivals at zero, so a kernel needs no preparation by the one before.
__device__ void frame_barrier(uint32_t* counter, uint32_t parts) {
  __syncthreads();
  if (parts > 1) {
    if (threadIdx.x == 0) {
      volatile uint32_t* round = counter + 1;
      const uint32_t before = *round;
      __threadfence();  // this block's writes before its arrival
      if (atomicAdd(counter, 1u) + 1 == parts) {
        atomicExch(counter, 0u);
        __threadfence();
        atomicAdd(counter + 1, 1u);
      } else {
        while (*round == before) __nanosleep(20);
      }
      __threadfence();  // the others' writes before this block's reads
    }
    __syncthreads();
  }
}

template <class E, bool Shared>
__device__ __forceinline__ VitPart<E, Shared> part_of_block(const VitArgs& args, const Block& block) {
  extern __shared__ uint4 shared_memory[];
  std::byte* arena = reinterpret_cast<std::byte*>(shared_memory);
  if constexpr (!Shared) arena = args.arena + blockIdx.x * args.arena_bytes;
  return VitPart<E, Shared>(args, block, arena, blockIdx.x / args.parts, blockIdx.x % args.parts);
}

// Stages are functions of their own: inlined into one loop, the addresses that stay the same over its rounds would be
// kept in more registers than there are.
template <class E, bool Shared>
__device__ __noinline__ void vit_embed(const VitArgs& args, uint32_t frame) {
  part_of_block<E, Shared>(args, Block()).embed(frame);
}
template <class E, bool Shared>
__device__ __noinline__ void vit_keys_and_values(const VitArgs& args, uint32_t b) {
  part_of_block<E, Shared>(args, Block()).keys_and_values(b);
}
template <class E, bool Shared>
__device__ __noinline__ void vit_attend(const VitArgs& args, uint32_t b) {
  part_of_block<E, Shared>(args, Block()).attend(b);
}
template <class E, bool Shared>
__device__ __noinline__ void vit_finish_block(const VitArgs& args, uint32_t b) {
  part_of_block<E, Shared>(args, Block()).finish_block(b);
}
template <class E, bool Shared>
__device__ __noinline__ void vit_finish(const VitArgs& args) {
  part_of_block<E, Shared>(args, Block()).finish();
}

template <class E, bool Shared>
__global__ void __launch_bounds__(vit_threads, 1) vit_kernel(const __grid_constant__ VitArgs args) {
  const uint32_t slot = blockIdx.x / args.parts;
  uint32_t* barrier = args.barriers + size_t{slot} * 2;
  for (uint32_t frame = slot; frame < args.frames; frame += args.slots) {
    vit_embed<E, Shared>(args, frame);
    for (uint32_t b = 0; b < args.depth; ++b) {
      vit_keys_and_values<E, Shared>(args, b);
      frame_barrier(barrier, args.parts);
      vit_attend<E, Shared>(args, b);
      vit_finish_block<E, Shared>(args, b);
    }
    vit_finish<E, Shared>(args);
    frame_barrier(barrier, args.parts);
    part_of_block<E, Shared>(args, Block()).pool(frame);
  }
}

template <class E, bool Shared>
__global__ void __launch_bounds__(mlp_threads, 1) mlp_kernel(const __grid_constant__ MlpArgs args) {
  extern __shared__ uint4 shared_memory[];
  std::byte* arena = reinterpret_cast<std::byte*>(shared_memory);
  if constexpr (!Shared) arena = args.arena + blockIdx.x * args.arena_bytes;
  const Block block;
  const uint32_t tiles = (args.rows + mlp_tile_rows - 1) / mlp_tile_rows;
  for (uint32_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) mlp_tile<E, Shared>(args, block, arena, tile);
}

__global__ void __launch_bounds__(pool_threads) pool_kernel(const __grid_constant__ PoolArgs args) {
  __shared__ uint32_t counters[pool_values];
  pool_block(args, Block(), counters, blockIdx.x);
}

__global__ void pool_finish_kernel(const __grid_constant__ PoolArgs args, float* out) {
  pool_finish_value(args, out, uint64_t{blockIdx.x} * pool_values + threadIdx.x);
}

const char* text(cudaError_t error) {
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

template <class Args>
const char* launch(void (*kernel)(Args), const Args& args, dim3 blocks, uint32_t threads, uint64_t shared,
                   bool together, void* stream) {
  if (shared > 48 * 1024) {
    const cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared));
    if (error != cudaSuccess) return text(error);
  }
  cudaLaunchAttribute attribute;
  attribute.id = cudaLaunchAttributeCooperative;
  attribute.val.cooperative = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared;
  config.stream = static_cast<cudaStream_t>(stream);
  config.attrs = &attribute;
  config.numAttrs = together ? 1 : 0;
  return text(cudaLaunchKernelEx(&config, kernel, args));
}

}  // namespace

const char* launch_vit(const VitArgs& args, Element element, void* stream) {
  const bool shared = args.arena == nullptr;
  const uint64_t bytes = shared ? args.arena_bytes : 0;
  const dim3 blocks(args.parts * args.slots);
  const bool together = args.parts > 1;
  if (element == Element::bf16) {
    return launch(shared ? vit_kernel<Bf16, true> : vit_kernel<Bf16, false>, args, blocks, vit_threads, bytes, together,
                  stream);
  }
  return launch(shared ? vit_kernel<float, true> : vit_kernel<float, false>, args, blocks, vit_threads, bytes, together,
                stream);
}

const char* launch_mlp(const MlpArgs& args, Element element, uint32_t blocks, void* stream) {
  const bool shared = args.arena == nullptr;
  const uint64_t bytes = shared ? args.arena_bytes : 0;
  if (element == Element::bf16) {
    return launch(shared ? mlp_kernel<Bf16, true> : mlp_kernel<Bf16, false>, args, dim3(blocks), mlp_threads, bytes,
                  false, stream);
  }
  return launch(shared ? mlp_kernel<float, true> : mlp_kernel<float, false>, args, dim3(blocks), mlp_threads, bytes,
                false, stream);
}

const char* launch_pool(const PoolArgs& args, float* out, void* stream) {
  const auto s = static_cast<cudaStream_t>(stream);
  const uint32_t rows = args.as_one ? 1 : args.frames;
  if (args.out == nullptr) {
    const cudaError_t error = cudaMemsetAsync(args.sums, 0, uint64_t{rows} * pool_values * sizeof(uint64_t), s);
    if (error != cudaSuccess) return text(error);
  }
  pool_kernel<<<args.frames * args.slices, pool_threads, 0, s>>>(args);
  if (args.out == nullptr) pool_finish_kernel<<<rows, pool_values, 0, s>>>(args, out);
  return text(cudaGetLastError());
}

}  // namespace drover::kernels::cuda

// EmulatedDriver: a CUDA device in host memory. The kernels' bodies run on it block by block, with the same plans,
// packing, staging and index arithmetic as on a GPU; a block's own memory starts as NaN, so that nothing is read before
// it is written.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/cuda/driver.hpp"

namespace drover::kernels::test {

class EmulatedDriver : public cuda::Driver {
 public:
  explicit EmulatedDriver(uint32_t processors = 8, uint64_t shared_bytes = 227 * 1024)
      : info_{"emulated device", processors, shared_bytes, uint64_t{1} << 30} {}

  const cuda::DeviceInfo& info() const noexcept override { return info_; }
  void* stream() const noexcept override { return nullptr; }
  Result<void*> allocate(size_t bytes) override {
    if (bytes > info_.memory_bytes) return fail(Errc::too_large, "cuda.allocate", "out of memory");
    ++live;
    return std::memset(::operator new (bytes, std::align_val_t{256}), 0, bytes);
  }
  void release(void* p) noexcept override {
    --live;
    ::operator delete (p, std::align_val_t{256});
  }
  Result<void*> allocate_pinned(size_t bytes) override { return allocate(bytes); }
  void release_pinned(void* p) noexcept override { release(p); }
  Status to_device(void* to, const void* from, size_t bytes, void*) override {
    std::memcpy(to, from, bytes);
    return {};
  }
  Status to_host(void* to, const void* from, size_t bytes, void*) override {
    std::memcpy(to, from, bytes);
    return {};
  }
  Status copy(void* to, const void* from, size_t bytes, void* stream) override {
    return to_device(to, from, bytes, stream);
  }
  Status wait(void*) override { return {}; }

  Status start(const cuda::VitArgs& args, cuda::Element element, void*) override {
    ++starts;
    last_vit = args;
    const bool bf16 = element == cuda::Element::bf16, shared = args.arena == nullptr;
    if (bf16) shared ? vit<cuda::Bf16, true>(args) : vit<cuda::Bf16, false>(args);
    if (!bf16) shared ? vit<float, true>(args) : vit<float, false>(args);
    return {};
  }
  Status start(const cuda::MlpArgs& args, cuda::Element element, uint32_t blocks, void*) override {
    ++starts;
    const bool bf16 = element == cuda::Element::bf16, shared = args.arena == nullptr;
    if (bf16) shared ? mlp<cuda::Bf16, true>(args, blocks) : mlp<cuda::Bf16, false>(args, blocks);
    if (!bf16) shared ? mlp<float, true>(args, blocks) : mlp<float, false>(args, blocks);
    return {};
  }
  Status start(const cuda::PoolArgs& args, float* out, void*) override {
    ++starts;
    const uint32_t rows = args.as_one ? 1 : args.frames;
    if (args.out == nullptr) std::fill_n(args.sums, size_t{rows} * cuda::pool_values, 0);
    const cuda::Block block(cuda::pool_threads / cuda::warp_lanes);
    uint32_t counters[cuda::pool_values];
    for (uint64_t b = uint64_t{args.frames} * args.slices; b-- > 0;) cuda::pool_block(args, block, counters, b);
    if (args.out != nullptr) return {};
    for (uint64_t i = 0; i < uint64_t{rows} * cuda::pool_values; ++i) cuda::pool_finish_value(args, out, i);
    return {};
  }

  // Plays the work again each time, with the arguments of now; a real recording has those of then, so a test that
  // wants to see a stale one compares `recorded`.
  Status replay(std::unique_ptr<Recording>& recording, Work& work) override {
    if (recording == nullptr) {
      recording = std::make_unique<Recording>();
      ++recordings;
    }
    return work.enqueue(nullptr);
  }

  Result<double> timed(Work& work, uint32_t times) override {
    for (uint32_t i = 0; i < times; ++i) DROVER_TRY(work.enqueue(nullptr));
    return 0.0;  // an emulation has no time worth telling
  }

  std::atomic<int> live{0};  // allocations not released
  int starts = 0;
  int recordings = 0;
  cuda::VitArgs last_vit;

 private:
  // The arenas of `blocks` blocks: shared memory has no defined content at first.
  template <class Args>
  static std::byte* arenas(const Args& args, size_t blocks, std::vector<float>& memory) {
    if (args.arena != nullptr) return args.arena;
    memory.assign(blocks * args.arena_bytes / sizeof(float) + 4, std::numeric_limits<float>::quiet_NaN());
    return reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(memory.data()) + 15) / 16 * 16);
  }

  // Each part of a frame runs from one barrier to the next before the others do: the largest lead that it can have on a
  // GPU, so what a fast block may not overwrite shows. Frames of a slot follow each other without a barrier between.
  template <class E, bool Shared>
  static void vit(const cuda::VitArgs& args) {
    const cuda::Block block(cuda::vit_threads / cuda::warp_lanes);
    std::vector<float> memory;
    std::byte* arena = arenas(args, size_t{args.parts} * args.slots, memory);
    for (uint32_t slot = 0; slot < args.slots; ++slot) {
      std::vector<cuda::VitPart<E, Shared>> parts;
      for (uint32_t p = 0; p < args.parts; ++p) {
        parts.emplace_back(args, block, arena + (size_t{slot} * args.parts + p) * args.arena_bytes, slot, p);
      }
      const auto start = [&](auto& part, uint32_t frame) {
        if (frame >= args.frames) return;
        part.embed(frame);
        part.keys_and_values(0);
      };
      for (auto& part : parts) start(part, slot);
      for (uint32_t frame = slot; frame < args.frames; frame += args.slots) {
        for (uint32_t b = 0; b < args.depth; ++b) {
          for (auto& part : parts) {
            part.attend(b);
            part.finish_block(b);
            b + 1 < args.depth ? part.keys_and_values(b + 1) : part.finish();
          }
        }
        for (auto& part : parts) {
          part.pool(frame);
          start(part, frame + args.slots);
        }
      }
    }
  }

  template <class E, bool Shared>
  static void mlp(const cuda::MlpArgs& args, uint32_t blocks) {
    const cuda::Block block(cuda::mlp_threads / cuda::warp_lanes);
    const uint32_t tiles = (args.rows + cuda::mlp_tile_rows - 1) / cuda::mlp_tile_rows;
    std::vector<float> memory;
    for (uint32_t tile = 0; tile < tiles; ++tile) {
      std::byte* arena = arenas(args, blocks, memory) + tile % blocks * args.arena_bytes;
      cuda::mlp_tile<E, Shared>(args, block, arena, tile);
    }
  }

  cuda::DeviceInfo info_;
};

}  // namespace drover::kernels::test

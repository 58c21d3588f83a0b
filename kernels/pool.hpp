// vision_rgb::deterministic_pool_v1: 64 numbers for an RGB frame or a run of frames, the same bits on every machine.
//
// Definition. A frame is [height, width, 3] bytes, row-major, channels r g b. It is cut into 4 x 4 cells: cell row i
// spans pixel rows floor(i height / 4) .. floor((i + 1) height / 4) - 1, columns alike. Cell (i, j) gives features f[(4
// i + j) 4 + q]:
//   q = 0, 1, 2   mean of r, g, b over the cell's pixels, / 255
//   q = 3         mean over its pairs of |a - b| / 255, where a pair is a byte and the same channel of the pixel on its
//                 right or of the pixel below, and belongs to the cell of the left or upper pixel; pairs over the
//                 frame's edge do not exist
// "Mean pooled" over frames of one size: means over all frames' pixels and pairs.
//
// Invariants: sums are exact 64-bit integers; each feature is one float64 division sum / (255 count), rounded once to
// float. So the result depends on nothing but the bytes: not on threads, instruction set or order of frames.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "kernels/context.hpp"
#include "messages/result.hpp"

namespace drover::kernels {

constexpr std::string_view pool_v1_name = "vision_rgb::deterministic_pool_v1";
constexpr size_t pool_v1_dim = 64;
constexpr uint32_t frame_side_max = 16384;

struct FrameShape {
  uint32_t height = 0;  // 4..16384
  uint32_t width = 0;   // 4..16384

  size_t bytes() const noexcept { return size_t{height} * width * 3; }
  friend bool operator==(const FrameShape&, const FrameShape&) = default;
};

// Exact sums of any number of frames; what a recorder keeps while frames stream by.
struct PoolSums {
  std::array<uint64_t, pool_v1_dim> sums{};
  uint64_t frames = 0;
  FrameShape shape;  // of the first frame added
};

// Adds every frame of `rgb` ([frames, height, width, 3], any number of whole frames). invalid_argument for a size out
// of range, bytes that are not whole frames, or another shape than the frames before; `sums` is then unchanged.
Status pool_add(const Context& context, std::span<const uint8_t> rgb, FrameShape shape, PoolSums& sums);

// The features of all frames added. invalid_argument when there were none.
Result<std::array<float, pool_v1_dim>> pool_finish(const PoolSums& sums);

// Features of each frame by itself: `out` is [frames, 64]. Errors as above; `out` is then unchanged.
Status pool_frames(const Context& context, std::span<const uint8_t> rgb, FrameShape shape, std::span<float> out);

}  // namespace drover::kernels

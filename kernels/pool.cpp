// deterministic_pool_v1: see pool.hpp. The inner loops are SimdOps::cell_sums; here are the cells, threads and
// divisions.
#include "kernels/pool.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "kernels/simd.hpp"
#include "kernels/team.hpp"

namespace drover::kernels {
namespace {

using Sums = std::array<uint64_t, pool_v1_dim>;
constexpr size_t grid = 4;
constexpr size_t bytes_per_thread_min = 128 * 1024;  // below this, waking a thread costs more than it gives

size_t edge(size_t i, uint32_t length) {
  return i * length / grid;
}

void add_frame(const SimdOps& ops, const uint8_t* rgb, FrameShape shape, Sums& sums) {
  for (size_t i = 0; i < grid; ++i) {
    for (size_t j = 0; j < grid; ++j) {
      CellArgs cell;
      cell.stride_bytes = size_t{shape.width} * 3;
      cell.top = rgb + edge(i, shape.height) * cell.stride_bytes + edge(j, shape.width) * 3;
      cell.rows = edge(i + 1, shape.height) - edge(i, shape.height);
      cell.row_bytes = (edge(j + 1, shape.width) - edge(j, shape.width)) * 3;
      cell.right_edge = j + 1 == grid;
      cell.bottom_edge = i + 1 == grid;
      cell.sums = sums.data() + (i * grid + j) * 4;
      ops.cell_sums(cell);
    }
  }
}

// sums / (255 count), each count from the shape alone.
void divide(const Sums& sums, uint64_t frames, FrameShape shape, float* out) {
  for (size_t i = 0; i < grid; ++i) {
    for (size_t j = 0; j < grid; ++j) {
      const uint64_t rows = edge(i + 1, shape.height) - edge(i, shape.height);
      const uint64_t columns = edge(j + 1, shape.width) - edge(j, shape.width);
      const uint64_t across = rows * (j + 1 == grid ? columns - 1 : columns);
      const uint64_t down = (i + 1 == grid ? rows - 1 : rows) * columns;
      const size_t cell = (i * grid + j) * 4;
      for (size_t q = 0; q < 4; ++q) {
        const uint64_t count = frames * (q < 3 ? rows * columns : 3 * (across + down));
        // A cell of one pixel in the last corner has no pairs: its contrast is 0.
        out[cell + q] =
            count == 0 ? 0.0f
                       : static_cast<float>(static_cast<double>(sums[cell + q]) / static_cast<double>(255 * count));
      }
    }
  }
}

Status check_frames(std::span<const uint8_t> rgb, FrameShape shape) {
  const auto in_range = [](uint32_t side) { return side >= grid && side <= frame_side_max; };
  if (!in_range(shape.height) || !in_range(shape.width)) {
    return fail(Errc::invalid_argument, "pool.shape",
                std::to_string(shape.height) + " x " + std::to_string(shape.width) + " is not within 4..16384");
  }
  if (rgb.size() % shape.bytes() != 0) {
    return fail(Errc::invalid_argument, "pool.rgb",
                std::to_string(rgb.size()) + " bytes are not whole frames of " + std::to_string(shape.bytes()));
  }
  return {};
}

uint32_t ranks_for(const Context& context, size_t frames, size_t bytes) {
  return static_cast<uint32_t>(
      std::max<size_t>(1, std::min({size_t{context.threads()}, frames, bytes / bytes_per_thread_min})));
}

}  // namespace

Status pool_add(const Context& context, std::span<const uint8_t> rgb, FrameShape shape, PoolSums& sums) {
  DROVER_TRY(check_frames(rgb, shape));
  if (sums.frames > 0 && sums.shape != shape) {
    return fail(Errc::invalid_argument, "pool.shape", "differs from the frames added before");
  }
  const size_t frames = rgb.size() / shape.bytes();
  if (frames == 0) return {};
  const uint32_t ranks = ranks_for(context, frames, rgb.size());
  std::vector<Sums> partial(ranks, Sums{});
  context.team().run(ranks, 0, [&](uint32_t rank) {
    Sums mine{};
    for (size_t f = rank; f < frames; f += ranks) add_frame(context.ops(), rgb.data() + f * shape.bytes(), shape, mine);
    partial[rank] = mine;
  });
  for (const Sums& part : partial) {
    for (size_t i = 0; i < part.size(); ++i) sums.sums[i] += part[i];
  }
  sums.frames += frames;
  sums.shape = shape;
  return {};
}

Result<std::array<float, pool_v1_dim>> pool_finish(const PoolSums& sums) {
  if (sums.frames == 0) return fail(Errc::invalid_argument, "pool.frames", "no frame was added");
  std::array<float, pool_v1_dim> out;
  divide(sums.sums, sums.frames, sums.shape, out.data());
  return out;
}

Status pool_frames(const Context& context, std::span<const uint8_t> rgb, FrameShape shape, std::span<float> out) {
  DROVER_TRY(check_frames(rgb, shape));
  const size_t frames = rgb.size() / shape.bytes();
  if (out.size() != frames * pool_v1_dim) {
    return fail(Errc::invalid_argument, "pool.out",
                std::to_string(out.size()) + " values, expected " + std::to_string(frames * pool_v1_dim));
  }
  if (frames == 0) return {};
  const uint32_t ranks = ranks_for(context, frames, rgb.size());
  context.team().run(ranks, 0, [&](uint32_t rank) {
    for (size_t f = rank; f < frames; f += ranks) {
      Sums sums{};
      add_frame(context.ops(), rgb.data() + f * shape.bytes(), shape, sums);
      divide(sums, 1, shape, out.data() + f * pool_v1_dim);
    }
  });
  return {};
}

}  // namespace drover::kernels

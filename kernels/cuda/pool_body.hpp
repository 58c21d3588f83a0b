// PoolBlock: deterministic_pool_v1 (definition: kernels/pool.hpp) as one thread block's program. Internal.
//
// A frame is cut into items: one run of columns of a cell, some rows of it. A thread walks down an item with the row
// below in registers, so that each byte is read once but for the rows where items meet. Sums are integers and meet in
// 64 counters of the block, then in those of the frame: no order of threads or blocks changes a bit.
//
// Where the width is a multiple of 64, a run is 16 pixels in three vector loads; else one pixel at a time.
#pragma once

#include "kernels/cuda/block.hpp"

namespace drover::kernels::cuda {

constexpr uint32_t pool_values = 64;
constexpr uint32_t pool_item_rows = 8;
constexpr uint32_t pool_run_pixels = 16;
// A block's counters have 32 bits: at most 2 * 255 a byte.
constexpr uint64_t pool_block_bytes_max = uint64_t{1} << 23;

struct PoolArgs {
  const uint8_t* rgb = nullptr;  // at a multiple of 16 bytes
  uint32_t height = 0, width = 0;
  uint32_t frames = 0;
  uint32_t slices = 0;       // blocks of one frame
  uint64_t* sums = nullptr;  // [frames][64], or [64] when all frames are pooled as one; zero at first
  float* out = nullptr;      // [frames][64]; then `sums` is not used and slices is 1
  bool as_one = false;
};

DROVER_DEV uint32_t pool_edge(uint32_t i, uint32_t length) {
  return static_cast<uint32_t>(uint64_t{i} * length / 4);
}

// Where item `index` of a frame lies.
struct PoolItem {
  uint32_t cell_row, cell_column;
  uint32_t row, rows;        // first pixel row, number of them
  uint32_t column, columns;  // in pixels
};

struct PoolGrid {
  uint32_t height, width;
  uint32_t runs[4];    // of a cell column
  uint32_t groups[4];  // of rows in a cell row
  uint32_t runs_all, items;

  DROVER_DEV PoolGrid(uint32_t height_, uint32_t width_) : height(height_), width(width_), runs_all(0), items(0) {
    DROVER_UNROLL
    for (uint32_t i = 0; i < 4; ++i) {
      runs[i] = (pool_edge(i + 1, width) - pool_edge(i, width) + pool_run_pixels - 1) / pool_run_pixels;
      runs_all += runs[i];
    }
    DROVER_UNROLL
    for (uint32_t i = 0; i < 4; ++i) {
      groups[i] = (pool_edge(i + 1, height) - pool_edge(i, height) + pool_item_rows - 1) / pool_item_rows;
      items += groups[i] * runs_all;
    }
  }

  DROVER_DEV PoolItem item(uint32_t index) const {
    uint32_t group = index / runs_all, run = index % runs_all;
    PoolItem out{0, 0, 0, 0, 0, 0};
    DROVER_UNROLL
    for (uint32_t i = 0; i < 3; ++i) {
      if (out.cell_row == i && group >= groups[i]) group -= groups[i], out.cell_row = i + 1;
    }
    DROVER_UNROLL
    for (uint32_t i = 0; i < 3; ++i) {
      if (out.cell_column == i && run >= runs[i]) run -= runs[i], out.cell_column = i + 1;
    }
    const uint32_t bottom = pool_edge(out.cell_row + 1, height), right = pool_edge(out.cell_column + 1, width);
    out.row = pool_edge(out.cell_row, height) + group * pool_item_rows;
    out.rows = bottom - out.row < pool_item_rows ? bottom - out.row : pool_item_rows;
    out.column = pool_edge(out.cell_column, width) + run * pool_run_pixels;
    out.columns = right - out.column < pool_run_pixels ? right - out.column : pool_run_pixels;
    return out;
  }
};

struct PoolSum4 {
  uint32_t value[4] = {0, 0, 0, 0};
};

// ---- byte arithmetic ------------------------------------------------------------------------------------------------

// Sum of |a - b| over four bytes, added to `sum`.
DROVER_DEV uint32_t add_differences(uint32_t a, uint32_t b, uint32_t sum) {
#if defined(__CUDACC__)
  uint32_t out;
  asm("vabsdiff4.u32.u32.u32.add %0, %1, %2, %3;" : "=r"(out) : "r"(a), "r"(b), "r"(sum));
  return out;
#else
  for (uint32_t s = 0; s < 32; s += 8) {
    const uint32_t x = a >> s & 255u, y = b >> s & 255u;
    sum += x > y ? x - y : y - x;
  }
  return sum;
#endif
}

// Sum of the bytes of x that `ones` marks with 1, added to `sum`.
DROVER_DEV uint32_t add_bytes(uint32_t x, uint32_t ones, uint32_t sum) {
#if defined(__CUDACC__)
  return __dp4a(x, ones, sum);
#else
  for (uint32_t s = 0; s < 32; s += 8) sum += (x >> s & 255u) * (ones >> s & 255u);
  return sum;
#endif
}

// Bytes 3..6 of the eight bytes low, high.
DROVER_DEV uint32_t from_byte_3(uint32_t low, uint32_t high) {
#if defined(__CUDACC__)
  return __funnelshift_r(low, high, 24);
#else
  return low >> 24 | high << 8;
#endif
}

// ---- items ----------------------------------------------------------------------------------------------------------

struct PoolRow {
  uint32_t word[12];

  DROVER_DEV void load(const uint8_t* p) {
    DROVER_UNROLL
    for (int q = 0; q < 3; ++q) {
      const Quad quad = load_constant(reinterpret_cast<const Quad*>(p) + q);
      DROVER_UNROLL
      for (int i = 0; i < 4; ++i) word[4 * q + i] = quad.word[i];
    }
  }
};

// 16 pixels wide. Four neighbouring bytes start with r, b or g in turn: the marks of each channel repeat every 3 words.
DROVER_DEV PoolSum4 pool_item_fast(const uint8_t* rgb, const PoolGrid& grid, const PoolItem& item) {
  constexpr uint32_t red[3] = {0x01000001u, 0x00010000u, 0x00000100u};
  constexpr uint32_t green[3] = {0x00000100u, 0x01000001u, 0x00010000u};
  constexpr uint32_t blue[3] = {0x00010000u, 0x00000100u, 0x01000001u};
  const size_t stride = size_t{grid.width} * 3;
  const uint8_t* p = rgb + item.row * stride + size_t{item.column} * 3;
  const bool right_edge = item.column + pool_run_pixels == grid.width;
  PoolSum4 sum;
  PoolRow row, below;
  row.load(p);
  for (uint32_t r = 0; r < item.rows; ++r, p += stride) {
    // At the frame's edge the last pixel is compared with itself, the last row too.
    const uint32_t after = right_edge ? row.word[11] >> 8 : load_constant(reinterpret_cast<const uint32_t*>(p + 48));
    below = row;
    if (item.row + r + 1 < grid.height) below.load(p + stride);
    DROVER_UNROLL
    for (int i = 0; i < 12; ++i) {
      sum.value[0] = add_bytes(row.word[i], red[i % 3], sum.value[0]);
      sum.value[1] = add_bytes(row.word[i], green[i % 3], sum.value[1]);
      sum.value[2] = add_bytes(row.word[i], blue[i % 3], sum.value[2]);
      const uint32_t right = from_byte_3(row.word[i], i < 11 ? row.word[i < 11 ? i + 1 : 11] : after);
      sum.value[3] = add_differences(row.word[i], right, sum.value[3]);
      sum.value[3] = add_differences(row.word[i], below.word[i], sum.value[3]);
    }
    row = below;
  }
  return sum;
}

DROVER_DEV PoolSum4 pool_item_slow(const uint8_t* rgb, const PoolGrid& grid, const PoolItem& item) {
  const size_t stride = size_t{grid.width} * 3;
  PoolSum4 sum;
  for (uint32_t y = item.row; y < item.row + item.rows; ++y) {
    for (uint32_t x = item.column; x < item.column + item.columns; ++x) {
      const uint8_t* p = rgb + y * stride + size_t{x} * 3;
      DROVER_UNROLL
      for (int c = 0; c < 3; ++c) {
        const int here = load_constant(p + c);
        sum.value[c] += static_cast<uint32_t>(here);
        const int right = x + 1 < grid.width ? load_constant(p + c + 3) : here;
        const int below = y + 1 < grid.height ? load_constant(p + c + stride) : here;
        sum.value[3] += static_cast<uint32_t>((right > here ? right - here : here - right) +
                                              (below > here ? below - here : here - below));
      }
    }
  }
  return sum;
}

// ---- blocks ---------------------------------------------------------------------------------------------------------

DROVER_DEV void add_shared(uint32_t* to, uint32_t x) {
#if defined(__CUDACC__)
  atomicAdd(to, x);
#else
  *to += x;
#endif
}

DROVER_DEV void add_global(uint64_t* to, uint64_t x) {
#if defined(__CUDACC__)
  atomicAdd(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(x));
#else
  *to += x;
#endif
}

// sum / (255 count) in float64, rounded once, as the CPU does it.
DROVER_DEV float pool_mean(uint64_t sum, uint32_t value, uint32_t height, uint32_t width, uint64_t frames) {
  const uint32_t cell = value / 4, i = cell / 4, j = cell % 4;
  const uint64_t rows = pool_edge(i + 1, height) - pool_edge(i, height);
  const uint64_t columns = pool_edge(j + 1, width) - pool_edge(j, width);
  const uint64_t pairs = rows * (j == 3 ? columns - 1 : columns) + (i == 3 ? rows - 1 : rows) * columns;
  const uint64_t count = frames * (value % 4 < 3 ? rows * columns : 3 * pairs);
  return count == 0 ? 0.0f : static_cast<float>(static_cast<double>(sum) / static_cast<double>(255 * count));
}

// Block `index` of frames * slices. `counters`: 64 words of the block's own memory.
DROVER_DEV void pool_block(const PoolArgs& a, const Block& block, uint32_t* counters, uint64_t index) {
  const auto frame = static_cast<uint32_t>(index / a.slices), slice = static_cast<uint32_t>(index % a.slices);
  const uint8_t* rgb = a.rgb + size_t{frame} * a.height * a.width * 3;
  const PoolGrid grid(a.height, a.width);
  const auto first = static_cast<uint32_t>(uint64_t{grid.items} * slice / a.slices);
  const auto last = static_cast<uint32_t>(uint64_t{grid.items} * (slice + 1) / a.slices);
  block.each(pool_values, [&](uint32_t i) { counters[i] = 0; });
  block.sync();
  block.each(last - first, [&](uint32_t i) {
    const PoolItem item = grid.item(first + i);
    const PoolSum4 sum = a.width % 64 == 0 ? pool_item_fast(rgb, grid, item) : pool_item_slow(rgb, grid, item);
    uint32_t* to = counters + (item.cell_row * 4 + item.cell_column) * 4;
    DROVER_UNROLL
    for (int q = 0; q < 4; ++q) add_shared(to + q, sum.value[q]);
  });
  block.sync();
  block.each(pool_values, [&](uint32_t i) {
    if (a.out != nullptr) {
      a.out[size_t{frame} * pool_values + i] = pool_mean(counters[i], i, a.height, a.width, 1);
    } else {
      add_global(a.sums + (a.as_one ? 0 : size_t{frame} * pool_values) + i, counters[i]);
    }
  });
}

// After all blocks, when sums were used: value `index` of frames * 64 (or of 64).
DROVER_DEV void pool_finish_value(const PoolArgs& a, float* out, uint64_t index) {
  const auto value = static_cast<uint32_t>(index % pool_values);
  out[index] = pool_mean(a.sums[index], value, a.height, a.width, a.as_one ? a.frames : 1);
}

}  // namespace drover::kernels::cuda

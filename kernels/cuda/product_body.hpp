// product: C = A W^T inside one thread block, A in the block's own memory, W packed in global memory. Internal.
//
// Invariants: each result is summed over k in ascending order, whatever the number of rows, warps or blocks, so its
// bits do not depend on how rows are spread. Rows beyond the valid ones give garbage in their own rows only.
#pragma once

#include "kernels/cuda/block.hpp"

namespace drover::kernels::cuda {

constexpr uint32_t tile_k = 16;  // inner length is padded to this, with zeros on both sides

// Columns of W that one packed tile holds: for bf16 the B registers of two mma, for float one column a lane.
template <class E>
constexpr uint32_t tile_columns = sizeof(E) == 2 ? 16 : 32;

// A layer as packed by pack_layer (pack.hpp): tiles of columns, in each tiles of k.
//   bf16   [column tile][k tile][lane][8]: lane's b0, b1 of columns 0..7, then of 8..15
//   float  [column tile][k][32]
template <class E>
struct Product {
  const E* a = nullptr;  // [16 row_tiles, a_stride], a_stride % 8 == 0 for bf16, % 4 for float
  uint32_t a_stride = 0;
  uint32_t row_tiles = 0;     // of 16 rows
  const E* packed = nullptr;  // the whole layer
  uint32_t k_tiles_all = 0;   // of the layer
  uint32_t k_first = 0;       // tiles of k that take part; a's column 0 belongs to k_first
  uint32_t k_tiles = 0;
  uint32_t column_first = 0;  // tiles of columns wanted
  uint32_t column_tiles = 0;
};

// 16 RowTiles x 16 results of one warp. out(row, column, {v, v'}): two columns at once, counted from tile `column`.
template <int RowTiles, bool Shared, class Out>
DROVER_DEV void product_unit(const Product<Bf16>& p, uint32_t row_tile, uint32_t column, Out out) {
  constexpr uint32_t ahead = 4;  // loads from the second-level cache under way at once
  const uint32_t row_tiles = p.row_tiles - row_tile < RowTiles ? p.row_tiles - row_tile : RowTiles;
  const size_t tile = size_t{p.column_first + column} * p.k_tiles_all + p.k_first;
  const Quad* w = reinterpret_cast<const Quad*>(p.packed) + tile * warp_lanes;
  PerLane<float, RowTiles * 8> sum;
  PerLane<uint32_t, ahead * 4> ring;
  sum.fill(0.0f);
  lanes([&](uint32_t lane) {
    DROVER_UNROLL
    for (uint32_t d = 0; d < ahead; ++d)
      load_words(w + (d < p.k_tiles ? d : 0) * warp_lanes + lane, ring.at(lane) + d * 4);
  });
  for (uint32_t k0 = 0; k0 < p.k_tiles; k0 += ahead) {
    DROVER_UNROLL
    for (uint32_t d = 0; d < ahead; ++d) {
      const uint32_t k = k0 + d;
      if (k < p.k_tiles) {
        PerLane<uint32_t, 4> b;
        lanes([&](uint32_t lane) {
          DROVER_UNROLL
          for (int i = 0; i < 4; ++i) b.at(lane)[i] = ring.at(lane)[d * 4 + i];
          const uint32_t next = k + ahead < p.k_tiles ? k + ahead : 0;  // past the end: any valid place
          load_words(w + size_t{next} * warp_lanes + lane, ring.at(lane) + d * 4);
        });
        DROVER_UNROLL
        for (uint32_t r = 0; r < RowTiles; ++r) {
          if (r < row_tiles) {
            PerLane<uint32_t, 4> a;
            load_a<Shared>(p.a + size_t{(row_tile + r) * 16} * p.a_stride + k * tile_k, p.a_stride, a);
            mma(sum, static_cast<int>(r) * 8, a, b, 0);
            mma(sum, static_cast<int>(r) * 8 + 4, a, b, 2);
          }
        }
      }
    }
  }
  lanes([&](uint32_t lane) {
    DROVER_UNROLL
    for (uint32_t r = 0; r < RowTiles; ++r) {
      if (r < row_tiles) {
        DROVER_UNROLL
        for (uint32_t i = 0; i < 4; ++i) {  // two mma, two rows each
          const float* v = sum.at(lane) + r * 8 + i / 2 * 4 + i % 2 * 2;
          const float pair[2] = {v[0], v[1]};
          out((row_tile + r) * 16 + i % 2 * 8 + lane / 4, column * 16 + i / 2 * 8 + lane % 4 * 2, pair);
        }
      }
    }
  });
}

// Rows x 32 results of one warp, a column a lane. Plain float fused multiply-adds: tensor cores would round to 11 bits.
template <int Rows, class Out>
DROVER_DEV void product_unit(const Product<float>& p, uint32_t row, uint32_t column, Out out) {
  constexpr uint32_t step = Rows >= 16 ? 4 : 16;
  const float* w = p.packed + (size_t{p.column_first + column} * p.k_tiles_all + p.k_first) * tile_k * warp_lanes;
  const uint32_t k_end = p.k_tiles * tile_k;
  lanes([&](uint32_t lane) {
    float sum[Rows], next[step];
    DROVER_UNROLL
    for (int r = 0; r < Rows; ++r) sum[r] = 0.0f;
    DROVER_UNROLL
    for (uint32_t i = 0; i < step; ++i) next[i] = load_constant(w + i * warp_lanes + lane);
    for (uint32_t k = 0; k < k_end; k += step) {
      float b[step];
      DROVER_UNROLL
      for (uint32_t i = 0; i < step; ++i) {
        b[i] = next[i];
        if (k + step < k_end) next[i] = load_constant(w + size_t{k + step + i} * warp_lanes + lane);
      }
      DROVER_UNROLL
      for (int r = 0; r < Rows; ++r) {
        const float* a = p.a + size_t{row + static_cast<uint32_t>(r)} * p.a_stride + k;
        DROVER_UNROLL
        for (uint32_t i = 0; i < step; i += 4) {
          const Four four = *reinterpret_cast<const Four*>(a + i);
          DROVER_UNROLL
          for (uint32_t j = 0; j < 4; ++j) sum[r] = fmaf(four.value[j], b[i + j], sum[r]);
        }
      }
    }
    DROVER_UNROLL
    for (int r = 0; r < Rows; ++r) {
      const float one[1] = {sum[r]};
      out(row + static_cast<uint32_t>(r), column * warp_lanes + lane, one);
    }
  });
}

template <int RowTiles, bool Shared, class Out>
DROVER_DEV void product_units(const Block& block, const Product<Bf16>& p, Out out) {
  const uint32_t groups = (p.row_tiles + RowTiles - 1) / RowTiles;
  block.each_warp(groups * p.column_tiles, [&](uint32_t unit) {
    product_unit<RowTiles, Shared>(p, unit / p.column_tiles * RowTiles, unit % p.column_tiles, out);
  });
}

// All of it. `valid_rows`: rows beyond may be left out. No sync() inside.
template <bool Shared, class Out>
DROVER_DEV void product(const Block& block, const Product<Bf16>& p, uint32_t valid_rows, Out out) {
  (void)valid_rows;
  // Tall units read W less often; short ones keep all warps busy.
  if (p.row_tiles >= 4 && (p.row_tiles + 3) / 4 * p.column_tiles >= block.warps()) {
    product_units<4, Shared>(block, p, out);
  } else if (p.row_tiles >= 2 && (p.row_tiles + 1) / 2 * p.column_tiles >= block.warps()) {
    product_units<2, Shared>(block, p, out);
  } else {
    product_units<1, Shared>(block, p, out);
  }
}

template <int Rows, class Out>
DROVER_DEV void product_units(const Block& block, const Product<float>& p, uint32_t rows, Out out) {
  const uint32_t groups = (rows + Rows - 1) / Rows;
  block.each_warp(groups * p.column_tiles, [&](uint32_t unit) {
    product_unit<Rows>(p, unit / p.column_tiles * Rows, unit % p.column_tiles, out);
  });
}

template <bool Shared, class Out>
DROVER_DEV void product(const Block& block, const Product<float>& p, uint32_t valid_rows, Out out) {
  if (valid_rows == 1) {
    product_units<1>(block, p, 1, out);
  } else if (valid_rows <= 4 || (valid_rows + 15) / 16 * p.column_tiles < block.warps()) {
    product_units<4>(block, p, valid_rows, out);
  } else {
    product_units<16>(block, p, valid_rows, out);
  }
}

}  // namespace drover::kernels::cuda

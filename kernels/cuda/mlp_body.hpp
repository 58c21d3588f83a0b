// MlpTile: a policy network (formulas: kernels/mlp.hpp) as one thread block's program for 16 observations. Internal.
//
// All layers in one kernel: activations go back and forth between two halves of the block's own memory.
// Invariant: a row's bits do not depend on the other rows of the batch.
#pragma once

#include "kernels/cuda/maths.hpp"
#include "kernels/cuda/product_body.hpp"

namespace drover::kernels::cuda {

constexpr uint32_t mlp_tile_rows = 16;
constexpr uint32_t mlp_row_pad = 8;

struct MlpLayerAt {
  uint64_t packed = 0;
  uint64_t bias = 0;
  uint32_t in = 0;   // padded to 16
  uint32_t out = 0;  // as it is
  Act act = Act::none;
  uint32_t reserved = 0;
};

struct MlpArgs {
  const std::byte* weights = nullptr;
  uint64_t layers_at = 0;  // MlpLayerAt[layers]
  uint32_t layers = 0;
  uint32_t in = 0;    // values of an observation
  uint32_t out = 0;   // of an action
  uint32_t wide = 0;  // columns of the arena: the widest layer, padded to 32
  uint32_t rows = 0;
  const float* observations = nullptr;
  float* actions = nullptr;
  std::byte* arena = nullptr;  // [blocks][arena_bytes] when it is not shared memory
  uint64_t arena_bytes = 0;
};

template <class E>
constexpr uint64_t mlp_arena_bytes(uint64_t wide) {
  return 2 * mlp_tile_rows * (wide + mlp_row_pad) * sizeof(E);
}

// y[row][column] = act(v + bias[column]) up to the next layer's padding, where weights and biases are 0 and so act(0) =
// 0.
template <class E>
struct HiddenTo {
  E* y;
  uint32_t stride, columns_padded;
  const float* bias;
  Act act;
  template <int N>
  DROVER_DEV void operator()(uint32_t row, uint32_t column, const float (&v)[N]) const {
    if (column >= columns_padded) return;
    float h[N];
    DROVER_UNROLL
    for (int i = 0; i < N; ++i) {
      h[i] = activate(v[i] + load_constant(bias + column + i), act);
    }
    store(y + row * stride + column, h);
  }
};

struct ActionTo {
  float* y;  // of the tile's first row
  uint32_t columns, rows;
  const float* bias;
  Act act;
  template <int N>
  DROVER_DEV void operator()(uint32_t row, uint32_t column, const float (&v)[N]) const {
    if (row >= rows) return;
    DROVER_UNROLL
    for (int i = 0; i < N; ++i) {
      const uint32_t c = column + static_cast<uint32_t>(i);
      if (c < columns) y[size_t{row} * columns + c] = activate(v[i] + load_constant(bias + c), act);
    }
  }
};

template <class E, bool Shared>
DROVER_DEV void mlp_tile(const MlpArgs& a, const Block& block, std::byte* arena, uint32_t tile) {
  const uint32_t first = tile * mlp_tile_rows, stride = a.wide + mlp_row_pad;
  const uint32_t rows = a.rows - first < mlp_tile_rows ? a.rows - first : mlp_tile_rows;
  E* const one = reinterpret_cast<E*>(arena);
  E* const other = one + mlp_tile_rows * stride;
  const MlpLayerAt* layers = reinterpret_cast<const MlpLayerAt*>(a.weights + a.layers_at);
  const uint32_t in_padded = layers[0].in;
  block.each(rows * in_padded, [&](uint32_t i) {
    const uint32_t row = i / in_padded, c = i % in_padded;
    const float x[1] = {c < a.in ? load_constant(a.observations + size_t{first + row} * a.in + c) : 0.0f};
    store(one + row * stride + c, x);
  });
  block.sync();
  for (uint32_t l = 0; l < a.layers; ++l) {
    const MlpLayerAt& layer = layers[l];
    const float* bias = reinterpret_cast<const float*>(a.weights + layer.bias);
    Product<E> p;
    p.a = l % 2 == 0 ? one : other;
    p.a_stride = stride;
    p.row_tiles = 1;
    p.packed = reinterpret_cast<const E*>(a.weights + layer.packed);
    p.k_tiles_all = p.k_tiles = layer.in / tile_k;
    p.column_tiles = (layer.out + tile_columns<E> - 1) / tile_columns<E>;
    if (l + 1 < a.layers) {
      E* to = l % 2 == 0 ? other : one;
      product<Shared>(block, p, rows, HiddenTo<E>{to, stride, layers[l + 1].in, bias, layer.act});
    } else {
      product<Shared>(block, p, rows, ActionTo{a.actions + size_t{first} * a.out, a.out, rows, bias, layer.act});
    }
    block.sync();
  }
}

}  // namespace drover::kernels::cuda

// VitPart: the ViT encoder (formulas: kernels/vit.hpp) as one thread block's program over some rows of a frame.
// Internal.
//
// A frame's tokens are spread over `parts` blocks of `rows` tokens. A block keeps its rows of the residual stream, of
// the normed input and of the wide layers in its own memory (the arena) from the first layer to the last; only keys and
// values pass through global memory. So the whole encoder is one kernel, with one barrier among a frame's blocks per
// transformer block and one before pooling. Keys and values alternate between two buffers, as on the CPU.
//
// Invariant: a frame's bits depend neither on `rows`, `parts` or the batch, nor on where the arena lies.
#pragma once

#include "kernels/cuda/maths.hpp"
#include "kernels/cuda/product_body.hpp"

namespace drover::kernels::cuda {

constexpr uint32_t key_step = 64;           // keys and values are padded to this many tokens, with zeros
constexpr uint32_t vit_head_dim_max = 128;  // of these kernels
constexpr uint32_t row_pad = 8;             // elements added to each arena row: spreads rows over memory banks

// Byte offsets into the weights blob.
struct LayerAt {
  uint64_t packed = 0;
  uint64_t bias = 0;
};
struct VitBlockAt {
  uint64_t gain1 = 0, shift1 = 0, gain2 = 0, shift2 = 0;
  LayerAt qkv, proj, up, down;
};

struct VitArgs {
  uint32_t height = 0, width = 0, patch = 0, dim = 0, depth = 0, heads = 0, head_dim = 0;
  uint32_t tokens = 0;
  uint32_t tokens_padded = 0;  // multiple of key_step
  uint32_t patch_k = 0;        // values of a patch, padded to 16
  uint32_t hidden = 0;         // padded to 32
  uint32_t wide = 0;           // columns of the wide buffer, multiple of 32, at least dim
  uint32_t rows = 0;           // tokens of one block: 16, 32, 48 or 64
  uint32_t parts = 0;          // blocks of one frame
  uint32_t slots = 0;          // frames under way at once
  uint32_t frames = 0;
  const std::byte* weights = nullptr;
  uint64_t blocks_at = 0;  // VitBlockAt[depth]
  uint64_t position_at = 0, gain_at = 0, shift_at = 0;
  LayerAt patch_at;
  const uint8_t* rgb = nullptr;  // at a multiple of 4 bytes
  float* out = nullptr;
  std::byte* keys = nullptr;     // [slots][2][dim x tokens_padded] of the element type; zero at first
  std::byte* values = nullptr;   // likewise
  float* normed = nullptr;       // [slots][tokens][dim]
  uint32_t* barriers = nullptr;  // [slots][2]; zero at first
  std::byte* arena = nullptr;    // [parts * slots][arena_bytes] when it is not shared memory
  uint64_t arena_bytes = 0;
};

template <class E>
constexpr uint64_t vit_arena_bytes(uint64_t rows, uint64_t dim, uint64_t wide) {
  return rows * ((dim + row_pad) * (sizeof(float) + sizeof(E)) + (wide + row_pad) * sizeof(E));
}

// x[row][column] += v + bias[column]
struct AddTo {
  float* x;
  uint32_t stride, columns;
  const float* bias;  // or null
  template <int N>
  DROVER_DEV void operator()(uint32_t row, uint32_t column, const float (&v)[N]) const {
    if (column >= columns) return;
    float* to = x + row * stride + column;
    DROVER_UNROLL
    for (int i = 0; i < N; ++i) to[i] += bias == nullptr ? v[i] : v[i] + load_constant(bias + column + i);
  }
};

// y[row][column] = gelu(v + bias[column])
template <class E>
struct GeluTo {
  E* y;
  uint32_t stride, columns;
  const float* bias;
  template <int N>
  DROVER_DEV void operator()(uint32_t row, uint32_t column, const float (&v)[N]) const {
    if (column >= columns) return;
    float g[N];
    DROVER_UNROLL
    for (int i = 0; i < N; ++i) g[i] = gelu(v[i] + load_constant(bias + column + i));
    store(y + row * stride + column, g);
  }
};

// Queries stay with the block; keys and values go to all blocks of the frame. The layouts suit the reader: for bf16 the
// B registers hold two neighbours along the summed index (keys [token][dim], values [dim][token]); for float one lane
// has one key, then one column (keys [dim][token], values [token][dim]).
template <class E>
struct SplitQkv {
  E* queries;
  E* keys;
  E* values;
  uint32_t stride, dim, tokens, tokens_padded, first;
  const float* bias;
  template <int N>
  DROVER_DEV void operator()(uint32_t row, uint32_t column, const float (&v)[N]) const {
    if (column >= 3 * dim) return;
    float y[N];
    DROVER_UNROLL
    for (int i = 0; i < N; ++i) y[i] = v[i] + load_constant(bias + column + i);
    if (column < dim) return store(queries + row * stride + column, y);
    const uint32_t token = first + row;
    if (token >= tokens) return;
    const bool key = column < 2 * dim;
    const uint32_t d = column - (key ? dim : 2 * dim);
    if (key == (sizeof(E) == 2)) return store((key ? keys : values) + size_t{token} * dim + d, y);
    E* across = (key ? keys : values) + size_t{d} * tokens_padded + token;
    DROVER_UNROLL
    for (int i = 0; i < N; ++i) {
      const float one[1] = {y[i]};
      store(across + size_t(i) * tokens_padded, one);
    }
  }
};

template <class E, bool Shared>
class VitPart {
 public:
  // The arena is arena_bytes of unspecified content at a multiple of 16 bytes.
  DROVER_DEV VitPart(const VitArgs& args, const Block& block, std::byte* arena, uint32_t slot, uint32_t part)
      : a_(args), block_(block), slot_(slot), part_(part), first_(part * args.rows) {
    valid_ = a_.tokens - first_ < a_.rows ? a_.tokens - first_ : a_.rows;
    x_stride_ = a_.dim + row_pad;
    wide_stride_ = a_.wide + row_pad;
    x_ = reinterpret_cast<float*>(arena);
    h_ = reinterpret_cast<E*>(x_ + size_t{a_.rows} * x_stride_);
    wide_ = h_ + size_t{a_.rows} * x_stride_;
  }

  // x = W_p patches + b + position, by stretches of the patch that fit into the wide buffer.
  DROVER_DEV void embed(uint32_t frame) {
    const uint8_t* rgb = a_.rgb + size_t{frame} * a_.height * a_.width * 3;
    const float* position = floats(a_.position_at) + size_t{first_} * a_.dim;
    const float* bias = floats(a_.patch_at.bias);
    block_.each(a_.rows * a_.dim, [&](uint32_t i) {
      const uint32_t row = i / a_.dim, d = i % a_.dim;
      x_[row * x_stride_ + d] =
          row < valid_ ? load_constant(position + size_t{row} * a_.dim + d) + load_constant(bias + d) : 0.0f;
    });
    for (uint32_t k0 = 0; k0 < a_.patch_k; k0 += a_.wide) {
      const uint32_t k = a_.patch_k - k0 < a_.wide ? a_.patch_k - k0 : a_.wide;
      const uint32_t quads = k / 4;
      block_.each(a_.rows * quads, [&](uint32_t i) { stage_quad(rgb, i / quads, k0, i % quads * 4); });
      block_.sync();
      Product<E> p = layer(a_.patch_at, wide_, wide_stride_, a_.patch_k, a_.dim);
      p.k_first = k0 / tile_k;
      p.k_tiles = k / tile_k;
      product<Shared>(block_, p, valid_, AddTo{x_, x_stride_, a_.dim, nullptr});
      block_.sync();
    }
  }

  // q, k, v of this block's rows.
  DROVER_DEV void keys_and_values(uint32_t b) {
    const VitBlockAt& at = block_at(b);
    normalise(at.gain1, at.shift1, [&](uint32_t row, uint32_t d, float y) {
      const float one[1] = {y};
      store(h_ + row * x_stride_ + d, one);
    });
    block_.sync();
    const Product<E> p = layer(at.qkv, h_, x_stride_, a_.dim, 3 * a_.dim);
    product<Shared>(block_, p, valid_,
                    SplitQkv<E>{wide_, keys(b), values(b), wide_stride_, a_.dim, a_.tokens, a_.tokens_padded, first_,
                                floats(at.qkv.bias)});
  }

  // After the frame's barrier: h rows = softmax(q k^T / sqrt(head dim)) v, keys in steps with a running maximum and
  // sum.
  DROVER_DEV void attend(uint32_t b) {
    if constexpr (sizeof(E) == 2) {
      const uint32_t tiles = (valid_ + 15) / 16;
      block_.each_warp(a_.heads * tiles, [&](uint32_t unit) {
        const uint32_t head = unit / tiles, tile = unit % tiles;
        if (a_.head_dim <= 32) return attend_tile<2>(b, head, tile);
        if (a_.head_dim <= 64) return attend_tile<4>(b, head, tile);
        attend_tile<8>(b, head, tile);
      });
    } else {
      const uint32_t groups = (valid_ + 3) / 4;
      block_.each_warp(a_.heads * groups, [&](uint32_t unit) { attend_rows(b, unit / groups, unit % groups * 4); });
    }
    block_.sync();
  }

  // After attend(): projection, then the MLP by stretches of its hidden columns.
  DROVER_DEV void finish_block(uint32_t b) {
    const VitBlockAt& at = block_at(b);
    product<Shared>(block_, layer(at.proj, h_, x_stride_, a_.dim, a_.dim), valid_,
                    AddTo{x_, x_stride_, a_.dim, floats(at.proj.bias)});
    block_.sync();
    normalise(at.gain2, at.shift2, [&](uint32_t row, uint32_t d, float y) {
      const float one[1] = {y};
      store(h_ + row * x_stride_ + d, one);
    });
    block_.sync();
    for (uint32_t c0 = 0; c0 < a_.hidden; c0 += a_.wide) {
      const uint32_t columns = a_.hidden - c0 < a_.wide ? a_.hidden - c0 : a_.wide;
      Product<E> up = layer(at.up, h_, x_stride_, a_.dim, columns);
      up.column_first = c0 / tile_columns<E>;
      product<Shared>(block_, up, valid_, GeluTo<E>{wide_, wide_stride_, columns, floats(at.up.bias) + c0});
      block_.sync();
      Product<E> down = layer(at.down, wide_, wide_stride_, a_.hidden, a_.dim);
      down.k_first = c0 / tile_k;
      down.k_tiles = columns / tile_k;
      product<Shared>(block_, down, valid_, AddTo{x_, x_stride_, a_.dim, c0 == 0 ? floats(at.down.bias) : nullptr});
      block_.sync();
    }
  }

  DROVER_DEV void finish() {
    float* normed = a_.normed + (size_t{slot_} * a_.tokens + first_) * a_.dim;
    normalise(a_.gain_at, a_.shift_at,
              [&](uint32_t row, uint32_t d, float y) { normed[size_t{row} * a_.dim + d] = y; });
  }

  // After the frame's barrier: the mean over tokens, in their order; each block has some columns.
  DROVER_DEV void pool(uint32_t frame) {
    const uint32_t begin = a_.dim * part_ / a_.parts, end = a_.dim * (part_ + 1) / a_.parts;
    const float* normed = a_.normed + size_t{slot_} * a_.tokens * a_.dim;
    block_.each(end - begin, [&](uint32_t i) {
      float sum = 0.0f;
      for (uint32_t t = 0; t < a_.tokens; ++t) sum += load_shared_by_blocks(normed + size_t{t} * a_.dim + begin + i);
      a_.out[size_t{frame} * a_.dim + begin + i] = sum / static_cast<float>(a_.tokens);
    });
  }

 private:
  DROVER_DEV const float* floats(uint64_t at) const { return reinterpret_cast<const float*>(a_.weights + at); }
  DROVER_DEV const VitBlockAt& block_at(uint32_t b) const {
    return reinterpret_cast<const VitBlockAt*>(a_.weights + a_.blocks_at)[b];
  }
  DROVER_DEV size_t kv_at(uint32_t b) const { return (size_t{slot_} * 2 + b % 2) * a_.dim * a_.tokens_padded; }
  DROVER_DEV E* keys(uint32_t b) const { return reinterpret_cast<E*>(a_.keys) + kv_at(b); }
  DROVER_DEV E* values(uint32_t b) const { return reinterpret_cast<E*>(a_.values) + kv_at(b); }

  // The first `columns` columns of a whole layer of inner length k.
  DROVER_DEV Product<E> layer(const LayerAt& at, const E* a, uint32_t stride, uint32_t k, uint32_t columns) const {
    Product<E> p;
    p.a = a;
    p.a_stride = stride;
    p.row_tiles = (valid_ + 15) / 16;
    p.packed = reinterpret_cast<const E*>(a_.weights + at.packed);
    p.k_tiles_all = p.k_tiles = k / tile_k;
    p.column_tiles = (columns + tile_columns<E> - 1) / tile_columns<E>;
    return p;
  }

  // Four values of a patch, v - 128, at k0 + k; zeros beyond its end.
  DROVER_DEV void stage_quad(const uint8_t* rgb, uint32_t row, uint32_t k0, uint32_t k) {
    const uint32_t token = first_ + (row < valid_ ? row : 0), across = a_.width / a_.patch, run = a_.patch * 3;
    const uint8_t* corner = rgb + (size_t{token / across} * a_.patch * a_.width + token % across * a_.patch) * 3;
    E* to = wide_ + row * wide_stride_ + k;
    const auto move = [&](uint32_t i, uint32_t low, uint32_t high) {
      const float pair[2] = {static_cast<float>(static_cast<int>(low) - 128),
                             static_cast<float>(static_cast<int>(high) - 128)};
      store(to + i, pair);
    };
    if (a_.patch % 4 == 0) {  // then width and run are multiples of 4 too: four neighbours of one line
      const uint32_t y = (k0 + k) / run, i = (k0 + k) % run;
      const uint32_t four = load_constant(reinterpret_cast<const uint32_t*>(corner + size_t{y} * a_.width * 3 + i));
      move(0, four & 255u, four >> 8 & 255u);
      move(2, four >> 16 & 255u, four >> 24);
      return;
    }
    uint32_t v[4];
    DROVER_UNROLL
    for (uint32_t i = 0; i < 4; ++i) {
      const uint32_t at = k0 + k + i;
      v[i] = at < run * a_.patch ? load_constant(corner + size_t{at / run} * a_.width * 3 + at % run) : 128u;
    }
    move(0, v[0], v[1]);
    move(2, v[2], v[3]);
  }

  // out(row, d, LayerNorm(x row)[d]) for the valid rows.
  template <class Out>
  DROVER_DEV void normalise(uint64_t gain_at, uint64_t shift_at, Out out) {
    const float* gain = floats(gain_at);
    const float* shift = floats(shift_at);
    const float inverse_dim = 1.0f / static_cast<float>(a_.dim);
    block_.each_warp(valid_, [&](uint32_t row) {
      const float* x = x_ + row * x_stride_;
      PerLane<float, 2> sum;  // of x, then of squared distances from the mean
      sum.fill(0.0f);
      lanes([&](uint32_t lane) {
        for (uint32_t d = lane; d < a_.dim; d += warp_lanes) sum.at(lane)[0] += x[d];
      });
      reduce_warp(sum, 0, Add());
      lanes([&](uint32_t lane) {
        const float mean = sum.at(lane)[0] * inverse_dim;
        for (uint32_t d = lane; d < a_.dim; d += warp_lanes) {
          const float distance = x[d] - mean;
          sum.at(lane)[1] = fmaf(distance, distance, sum.at(lane)[1]);
        }
      });
      reduce_warp(sum, 1, Add());
      lanes([&](uint32_t lane) {
        const float mean = sum.at(lane)[0] * inverse_dim;
        const float inverse = 1.0f / sqrtf(sum.at(lane)[1] * inverse_dim + 1e-5f);
        for (uint32_t d = lane; d < a_.dim; d += warp_lanes) {
          out(row, d, fmaf((x[d] - mean) * inverse, load_constant(gain + d), load_constant(shift + d)));
        }
      });
    });
  }

  // bf16: 16 rows of one head, 32 keys a step. Tiles16: head dim in steps of 16, at most.
  template <int Tiles16>
  DROVER_DEV void attend_tile(uint32_t b, uint32_t head, uint32_t tile) {
    const int tiles = static_cast<int>(a_.head_dim / 16);
    const E* queries = wide_ + tile * 16 * wide_stride_ + head * a_.head_dim;
    const E* k = keys(b) + head * a_.head_dim;
    const E* v = values(b) + size_t{head} * a_.head_dim * a_.tokens_padded;
    const float scale = 1.0f / sqrtf(static_cast<float>(a_.head_dim));
    PerLane<float, 2> top, sum;  // of rows g and g + 8
    PerLane<float, Tiles16 * 8> o;
    top.fill(-3.0e38f);
    sum.fill(0.0f);
    o.fill(0.0f);
    for (uint32_t key = 0; key < a_.tokens; key += 32) {
      PerLane<float, 16> s;  // four mma of 8 keys
      scores<Tiles16>(queries, k, key, tiles, s);
      softmax_step<Tiles16>(key, scale, s, top, sum, o);
      DROVER_UNROLL
      for (int half = 0; half < 2; ++half) {  // 16 keys
        PerLane<uint32_t, 4> p;
        lanes([&](uint32_t lane) {
          const float* e = s.at(lane) + half * 8;
          DROVER_UNROLL
          for (int i = 0; i < 4; ++i) p.at(lane)[i] = pack_bf16(e[2 * i], e[2 * i + 1]);
        });
        DROVER_UNROLL
        for (int n = 0; n < 2 * Tiles16; ++n) {
          if (n < 2 * tiles) {
            PerLane<uint32_t, 2> w;
            load_b(v + size_t(n) * 8 * a_.tokens_padded + key + static_cast<uint32_t>(half) * 16, a_.tokens_padded, w);
            mma(o, n * 4, p, w, 0);
          }
        }
      }
    }
    reduce_quad(sum, 0, Add());
    reduce_quad(sum, 1, Add());
    lanes([&](uint32_t lane) {
      E* to = h_ + (tile * 16 + lane / 4) * x_stride_ + head * a_.head_dim + lane % 4 * 2;
      const float inverse[2] = {1.0f / sum.at(lane)[0], 1.0f / sum.at(lane)[1]};
      DROVER_UNROLL
      for (int n = 0; n < 2 * Tiles16; ++n) {
        if (n < 2 * tiles) {
          const float* c = o.at(lane) + n * 4;
          const float upper[2] = {c[0] * inverse[0], c[1] * inverse[0]};
          const float lower[2] = {c[2] * inverse[1], c[3] * inverse[1]};
          store(to + n * 8, upper);
          store(to + 8 * x_stride_ + n * 8, lower);
        }
      }
    });
  }

  // The B registers of 16 x 8 values stored as [column][16]; columns `stride` apart.
  DROVER_DEV static void load_b(const E* p, uint32_t stride, PerLane<uint32_t, 2>& out) {
    lanes([&](uint32_t lane) {
      const E* at = p + size_t{lane / 4} * stride + lane % 4 * 2;
      out.at(lane)[0] = load_shared_by_blocks(reinterpret_cast<const uint32_t*>(at));
      out.at(lane)[1] = load_shared_by_blocks(reinterpret_cast<const uint32_t*>(at + 8));
    });
  }

  template <int Tiles16>
  DROVER_DEV void scores(const E* queries, const E* k, uint32_t key, int tiles, PerLane<float, 16>& s) const {
    s.fill(0.0f);
    DROVER_UNROLL
    for (int i = 0; i < Tiles16; ++i) {
      if (i < tiles) {
        PerLane<uint32_t, 4> q;
        load_a<Shared>(queries + i * 16, wide_stride_, q);
        DROVER_UNROLL
        for (int n = 0; n < 4; ++n) {
          PerLane<uint32_t, 2> w;
          load_b(k + size_t{key + static_cast<uint32_t>(n) * 8} * a_.dim + static_cast<uint32_t>(i) * 16, a_.dim, w);
          mma(s, n * 4, q, w, 0);
        }
      }
    }
  }

  // s becomes exp(scale (s - top)); what was summed under an older maximum is scaled down.
  template <int Tiles16>
  DROVER_DEV void softmax_step(uint32_t key, float scale, PerLane<float, 16>& s, PerLane<float, 2>& top,
                               PerLane<float, 2>& sum, PerLane<float, Tiles16 * 8>& o) const {
    PerLane<float, 2> now;
    lanes([&](uint32_t lane) {
      float* mine = now.at(lane);
      mine[0] = top.at(lane)[0];
      mine[1] = top.at(lane)[1];
      DROVER_UNROLL
      for (uint32_t i = 0; i < 16; ++i) {
        if (key + i / 4 * 8 + lane % 4 * 2 + i % 2 < a_.tokens) mine[i / 2 % 2] = fmaxf(mine[i / 2 % 2], s.at(lane)[i]);
      }
    });
    reduce_quad(now, 0, Max());
    reduce_quad(now, 1, Max());
    lanes([&](uint32_t lane) {
      const float* mine = now.at(lane);
      const float shrink[2] = {softmax_exp<E>(scale * (top.at(lane)[0] - mine[0])),
                               softmax_exp<E>(scale * (top.at(lane)[1] - mine[1]))};
      DROVER_UNROLL
      for (int r = 0; r < 2; ++r) {
        sum.at(lane)[r] *= shrink[r];
        top.at(lane)[r] = mine[r];
      }
      DROVER_UNROLL
      for (int i = 0; i < Tiles16 * 8; ++i) o.at(lane)[i] *= shrink[i / 2 % 2];
      DROVER_UNROLL
      for (uint32_t i = 0; i < 16; ++i) {
        const bool real = key + i / 4 * 8 + lane % 4 * 2 + i % 2 < a_.tokens;
        const float e = real ? softmax_exp<E>(scale * (s.at(lane)[i] - mine[i / 2 % 2])) : 0.0f;
        s.at(lane)[i] = e;
        sum.at(lane)[i / 2 % 2] += e;
      }
    });
  }

  // float: four rows of one head, 32 keys a step, a key a lane and then a column a lane.
  DROVER_DEV void attend_rows(uint32_t b, uint32_t head, uint32_t row) {
    constexpr uint32_t rows = 4, columns = vit_head_dim_max / warp_lanes;
    const E* queries = wide_ + row * wide_stride_ + head * a_.head_dim;
    const E* k = keys(b) + size_t{head} * a_.head_dim * a_.tokens_padded;
    const E* v = values(b) + head * a_.head_dim;
    const float scale = 1.0f / sqrtf(static_cast<float>(a_.head_dim));
    PerLane<float, rows> top, sum, s;
    PerLane<float, rows * columns> o;
    top.fill(-3.0e38f);
    sum.fill(0.0f);
    o.fill(0.0f);
    for (uint32_t key = 0; key < a_.tokens; key += warp_lanes) {
      s.fill(0.0f);
      lanes([&](uint32_t lane) {
        for (uint32_t d = 0; d < a_.head_dim; ++d) {
          const float kd = load_shared_by_blocks(k + size_t{d} * a_.tokens_padded + key + lane);
          DROVER_UNROLL
          for (uint32_t r = 0; r < rows; ++r) s.at(lane)[r] = fmaf(queries[r * wide_stride_ + d], kd, s.at(lane)[r]);
        }
      });
      DROVER_UNROLL
      for (uint32_t r = 0; r < rows; ++r) softmax_row<columns>(key, scale, r, s, top, sum, o);
      const uint32_t keys_here = a_.tokens - key < warp_lanes ? a_.tokens - key : warp_lanes;
      for (uint32_t j = 0; j < keys_here; ++j) {
        DROVER_UNROLL
        for (uint32_t r = 0; r < rows; ++r) {
          PerLane<float, 1> p;
          broadcast(s, static_cast<int>(r), j, p);
          lanes([&](uint32_t lane) {
            DROVER_UNROLL
            for (uint32_t c = 0; c < columns; ++c) {
              const uint32_t d = c * warp_lanes + lane;
              if (d < a_.head_dim) {
                const float vd = load_shared_by_blocks(v + size_t{key + j} * a_.dim + d);
                o.at(lane)[r * columns + c] = fmaf(p.at(lane)[0], vd, o.at(lane)[r * columns + c]);
              }
            }
          });
        }
      }
    }
    lanes([&](uint32_t lane) {
      float inverse[rows];
      DROVER_UNROLL
      for (uint32_t r = 0; r < rows; ++r) inverse[r] = 1.0f / sum.at(lane)[r];
      DROVER_UNROLL
      for (uint32_t i = 0; i < rows * columns; ++i) {
        const uint32_t r = i / columns, d = i % columns * warp_lanes + lane;
        const float y[1] = {o.at(lane)[i] * inverse[r]};
        if (d < a_.head_dim) store(h_ + (row + r) * x_stride_ + head * a_.head_dim + d, y);
      }
    });
  }

  template <uint32_t Columns>
  DROVER_DEV void softmax_row(uint32_t key, float scale, uint32_t r, PerLane<float, 4>& s, PerLane<float, 4>& top,
                              PerLane<float, 4>& sum, PerLane<float, 4 * Columns>& o) const {
    PerLane<float, 1> now, part;
    lanes([&](uint32_t lane) {
      now.at(lane)[0] = key + lane < a_.tokens ? fmaxf(top.at(lane)[r], s.at(lane)[r]) : top.at(lane)[r];
    });
    reduce_warp(now, 0, Max());
    lanes([&](uint32_t lane) {
      const float e = key + lane < a_.tokens ? softmax_exp<E>(scale * (s.at(lane)[r] - now.at(lane)[0])) : 0.0f;
      s.at(lane)[r] = part.at(lane)[0] = e;
    });
    reduce_warp(part, 0, Add());
    lanes([&](uint32_t lane) {
      const float shrink = softmax_exp<E>(scale * (top.at(lane)[r] - now.at(lane)[0]));
      top.at(lane)[r] = now.at(lane)[0];
      sum.at(lane)[r] = fmaf(sum.at(lane)[r], shrink, part.at(lane)[0]);
      DROVER_UNROLL
      for (uint32_t c = 0; c < Columns; ++c) o.at(lane)[r * Columns + c] *= shrink;
    });
  }

  const VitArgs& a_;
  const Block& block_;
  uint32_t slot_, part_, first_, valid_;
  uint32_t x_stride_, wide_stride_;
  float* x_;
  E* h_;
  E* wide_;
};

}  // namespace drover::kernels::cuda

// Packing and plans: see pack.hpp.
#include "kernels/cuda/pack.hpp"

#include <algorithm>
#include <string>

#include "messages/check.hpp"

namespace drover::kernels::cuda {
namespace {

constexpr uint64_t section_align = 256;

uint32_t round_up(uint64_t n, uint32_t to) {
  return static_cast<uint32_t>((n + to - 1) / to * to);
}

// Appends sections to a blob; offsets are multiples of section_align.
class Blob {
 public:
  uint64_t add(const void* data, size_t bytes) {
    const uint64_t at = bytes_.size();
    bytes_.resize(round_up(at + std::max<size_t>(bytes, 1), section_align));
    std::memcpy(bytes_.data() + at, data, bytes);
    return at;
  }
  uint64_t floats(std::span<const float> values) { return add(values.data(), values.size_bytes()); }
  // Biases are read up to the padding of their layer's columns.
  uint64_t bias(std::span<const float> values) {
    std::vector<float> padded(round_up(values.size(), warp_lanes));
    std::copy(values.begin(), values.end(), padded.begin());
    return floats(padded);
  }
  LayerAt layer(Element e, std::span<const float> weight, std::span<const float> bias_values) {
    const auto packed = pack_layer(e, weight, bias_values.size(), weight.size() / bias_values.size());
    return {add(packed.data(), packed.size()), bias(bias_values)};
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

std::span<const float> values(const Weights& weights, const std::string& name) {
  const Tensor* tensor = weights.tensor(name);
  DROVER_CHECK(tensor != nullptr, "arrays were checked before packing");
  return tensor->values;
}

LayerAt layer_of(Blob& blob, Element e, const Weights& weights, const std::string& name) {
  return blob.layer(e, values(weights, name + ".weight"), values(weights, name + ".bias"));
}

// Place of weight (column, k) in the packed bf16 form: lane's b0, b1 of columns 0..7 of the tile, then of 8..15.
size_t bf16_place(size_t k_tiles, size_t column, size_t k) {
  const size_t in_column = column % 16, in_k = k % 16;
  const size_t lane = in_column % 8 * 4 + in_k % 8 / 2;
  const size_t element = in_column / 8 * 4 + in_k / 8 * 2 + in_k % 2;
  return ((column / 16 * k_tiles + k / 16) * warp_lanes + lane) * 8 + element;
}

}  // namespace

std::vector<std::byte> pack_layer(Element element, std::span<const float> weight, size_t out, size_t in) {
  DROVER_CHECK(out > 0 && out * in == weight.size(), "weights are [out, in]");
  // Columns to 32 for both: a hidden layer's padding is the next layer's inner length.
  const size_t columns = round_up(out, 32), k_tiles = round_up(in, tile_k) / tile_k;
  std::vector<std::byte> packed(columns * k_tiles * tile_k * element_bytes(element));
  for (size_t o = 0; o < out; ++o) {
    for (size_t k = 0; k < in; ++k) {
      const float w = weight[o * in + k];
      if (element == Element::bf16) {
        const auto bits = static_cast<uint16_t>(pack_bf16(w, 0.0f));
        std::memcpy(packed.data() + bf16_place(k_tiles, o, k) * sizeof bits, &bits, sizeof bits);
      } else {
        const size_t at = (o / 32 * k_tiles * tile_k + k) * 32 + o % 32;
        std::memcpy(packed.data() + at * sizeof w, &w, sizeof w);
      }
    }
  }
  return packed;
}

Result<PackedVit> pack_vit(Element e, const VitShape& s, const Weights& weights, const FoldedPatch& patch) {
  PackedVit out;
  VitArgs& a = out.args;
  a.height = s.height;
  a.width = s.width;
  a.patch = s.patch;
  a.dim = s.dim;
  a.depth = s.depth;
  a.heads = s.heads;
  a.head_dim = s.dim / s.heads;
  if (a.head_dim > vit_head_dim_max) {
    return fail(Errc::unavailable, "vit.heads", "the CUDA kernels take heads of at most 128 values");
  }
  a.tokens = static_cast<uint32_t>(s.tokens());
  a.tokens_padded = round_up(a.tokens, key_step);
  a.patch_k = round_up(s.patch_values(), tile_k);
  a.hidden = round_up(s.hidden, 32);
  a.wide = std::max(round_up(s.dim, 32), std::min(a.hidden, 512u));
  Blob blob;
  a.patch_at = blob.layer(e, patch.weight, patch.bias);
  a.position_at = blob.floats(values(weights, "position"));
  std::vector<VitBlockAt> blocks(s.depth);
  for (size_t b = 0; b < s.depth; ++b) {
    const std::string prefix = "block" + std::to_string(b) + ".";
    VitBlockAt& at = blocks[b];
    at.gain1 = blob.floats(values(weights, prefix + "norm1.gain"));
    at.shift1 = blob.floats(values(weights, prefix + "norm1.shift"));
    at.gain2 = blob.floats(values(weights, prefix + "norm2.gain"));
    at.shift2 = blob.floats(values(weights, prefix + "norm2.shift"));
    at.qkv = layer_of(blob, e, weights, prefix + "qkv");
    at.proj = layer_of(blob, e, weights, prefix + "proj");
    at.up = layer_of(blob, e, weights, prefix + "up");
    // The inner length of `down` is the padded hidden width: its rows get the zeros at their ends.
    const auto down = values(weights, prefix + "down.weight");
    std::vector<float> wide(size_t{s.dim} * a.hidden);
    for (size_t o = 0; o < s.dim; ++o) {
      for (size_t k = 0; k < s.hidden; ++k) wide[o * a.hidden + k] = down[o * s.hidden + k];
    }
    at.down = blob.layer(e, wide, values(weights, prefix + "down.bias"));
  }
  a.blocks_at = blob.add(blocks.data(), blocks.size() * sizeof(VitBlockAt));
  a.gain_at = blob.floats(values(weights, "norm.gain"));
  a.shift_at = blob.floats(values(weights, "norm.shift"));
  out.blob = blob.take();
  return out;
}

PackedMlp pack_mlp(Element e, const MlpShape& s, const Weights& weights) {
  PackedMlp out;
  MlpArgs& a = out.args;
  a.layers = static_cast<uint32_t>(s.widths.size() - 1);
  a.in = s.widths.front();
  a.out = s.widths.back();
  a.wide = round_up(*std::max_element(s.widths.begin(), s.widths.end()), 32);
  a.arena_bytes = e == Element::bf16 ? mlp_arena_bytes<Bf16>(a.wide) : mlp_arena_bytes<float>(a.wide);
  Blob blob;
  std::vector<MlpLayerAt> layers(a.layers);
  for (size_t l = 0; l < a.layers; ++l) {
    const LayerAt at = layer_of(blob, e, weights, "layer" + std::to_string(l));
    const Activation act = l + 1 < a.layers ? s.hidden : s.output;
    layers[l] = {at.packed, at.bias, round_up(s.widths[l], tile_k), s.widths[l + 1], static_cast<Act>(act), 0};
  }
  a.layers_at = blob.add(layers.data(), layers.size() * sizeof(MlpLayerAt));
  out.blob = blob.take();
  return out;
}

Result<VitPlan> plan_vit(Element e, const VitArgs& a, uint32_t processors, uint64_t shared_bytes, uint32_t batch) {
  const auto arena = [&](uint32_t rows) {
    return e == Element::bf16 ? vit_arena_bytes<Bf16>(rows, a.dim, a.wide)
                              : vit_arena_bytes<float>(rows, a.dim, a.wide);
  };
  VitPlan best;
  double best_cost = 0;
  for (bool shared : {true, false}) {
    if (best.rows != 0) break;  // global memory only when shared memory will not do
    for (uint32_t rows = 16; rows <= 64; rows += 16) {
      const uint32_t parts = (a.tokens + rows - 1) / rows;
      if (parts > processors || (shared && arena(rows) > shared_bytes)) continue;
      const uint32_t slots = std::min(batch, processors / parts);
      // Reading all weights once costs a block about as much as 32 rows of work.
      const double cost = static_cast<double>((batch + slots - 1) / slots) * (32 + rows);
      if (best.rows == 0 || cost < best_cost) {
        best = {rows, parts, slots, shared, arena(rows)};
        best_cost = cost;
      }
    }
  }
  if (best.rows == 0) {
    return fail(Errc::unavailable, "vit.patches",
                std::to_string(a.tokens) + " patches are too many for a device with " + std::to_string(processors) +
                    " processors");
  }
  return best;
}

PoolPlan plan_pool(uint32_t height, uint32_t width, uint32_t frames, uint32_t processors) {
  const uint64_t bytes = uint64_t{height} * width * 3;
  const uint64_t needed = (bytes + pool_block_bytes_max - 1) / pool_block_bytes_max * 2;
  const uint64_t wanted = std::max<uint64_t>(1, uint64_t{processors} * 8 / std::max(frames, 1u));
  const uint64_t items = PoolGrid(height, width).items;
  const uint64_t most = std::max<uint64_t>(1, items / pool_threads);  // an item a thread
  const uint64_t least = bytes > pool_block_bytes_max ? needed : 1;
  return {static_cast<uint32_t>(std::max(least, std::min(wanted, most)))};
}

}  // namespace drover::kernels::cuda

// VitEncoder: see vit.hpp.
//
// One program is run by every thread of a frame, each on its own rows (tokens). Everything but attention is local to a
// row; attention needs the keys and values of all rows, so there is one barrier per block: after keys and values are
// written and before they are read. They alternate between two buffers, so a thread that is one block ahead never
// writes what a slower one still reads.
#include "kernels/vit.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <string>

#include "kernels/cuda/models.hpp"
#include "kernels/seeded.hpp"
#include "kernels/team.hpp"
#include "kernels/vit_input.hpp"

namespace drover::kernels {
namespace {

constexpr size_t attention_rows = 48;  // rows of scores in cache at once

Status check_shape(const VitShape& s) {
  const auto bad = [](const char* what, const char* rule) {
    return Status(fail(Errc::invalid_argument, std::string("vit.") + what, rule));
  };
  if (s.patch == 0 || s.patch > 64) return bad("patch", "1..64");
  if (s.height == 0 || s.width == 0 || s.height > 16384 || s.width > 16384 || s.height % s.patch != 0 ||
      s.width % s.patch != 0) {
    return bad("height, width", "multiples of patch within 16384");
  }
  if (s.tokens() > 4096) return bad("patches", "at most 4096");
  if (s.heads == 0 || s.heads > 16) return bad("heads", "1..16");
  if (s.dim == 0 || s.dim > 1024 || s.dim % (s.heads * lane_pad) != 0)
    return bad("dim", "heads x a multiple of 16, at most 1024");
  if (s.depth == 0 || s.depth > 32) return bad("depth", "1..32");
  if (s.hidden == 0 || s.hidden > 4096 || s.hidden % lane_pad != 0)
    return bad("hidden", "a multiple of 16, at most 4096");
  return {};
}

std::string block_name(size_t block) {
  return "block" + std::to_string(block) + ".";
}

Result<Linear> linear_of(const Context& context, const Weights& weights, const std::string& name, uint32_t out,
                         uint32_t in) {
  DROVER_ASSIGN(const Tensor* weight, weights.tensor_of(name + ".weight", {out, in}));
  DROVER_ASSIGN(const Tensor* bias, weights.tensor_of(name + ".bias", {out}));
  return Linear(context.ops(), weight->values, bias->values);
}

Result<AlignedFloats> aligned_of(const Weights& weights, const std::string& name, const std::vector<uint32_t>& shape) {
  DROVER_ASSIGN(const Tensor* tensor, weights.tensor_of(name, shape));
  AlignedFloats out(tensor->values.size());
  std::copy(tensor->values.begin(), tensor->values.end(), out.data());
  return out;
}

}  // namespace

double VitShape::flops() const noexcept {
  const auto t = static_cast<double>(tokens());
  const double d = dim, h = hidden;
  const double block = 2 * t * (4 * d * d + 2 * d * h) + 4 * t * t * d;
  return 2 * t * static_cast<double>(patch_values()) * d + depth * block;
}

// Where the intermediate results of one frame lie.
struct VitEncoder::Slot {
  float* x = nullptr;     // [tokens, dim], the residual stream
  float* h = nullptr;     // [tokens, max(dim, patch values)], patches, normed rows, attention
  float* wide = nullptr;  // [tokens, wide_stride()], q k v, then the MLP's hidden rows
  float* keys[2] = {};    // [heads][token panels][head dim][width], k transposed, packed
  float* values[2] = {};  // [heads][head dim panels][tokens][width], packed
};

// What one thread does: rows first..last of a frame.
struct VitEncoder::Part {
  const SimdOps& ops;
  Barrier& barrier;
  const Slot& slot;
  std::span<const uint8_t> rgb;
  std::span<float> out;
  float* scores = nullptr;  // of this thread
  uint32_t rank = 0;
  size_t first = 0;
  size_t last = 0;

  size_t rows() const noexcept { return last - first; }
};

Result<VitEncoder> VitEncoder::make(const Context& context, const Weights& weights) {
  if (weights.architecture != Architecture::vit_encoder) {
    return fail(Errc::invalid_argument, "weights.architecture", "not a ViT encoder");
  }
  VitEncoder out;
  VitShape& s = out.shape_;
  DROVER_ASSIGN(s.height, weights.param("height", 16384));
  DROVER_ASSIGN(s.width, weights.param("width", 16384));
  DROVER_ASSIGN(s.patch, weights.param("patch", 64));
  DROVER_ASSIGN(s.dim, weights.param("dim", 1024));
  DROVER_ASSIGN(s.depth, weights.param("depth", 32));
  DROVER_ASSIGN(s.heads, weights.param("heads", 16));
  DROVER_ASSIGN(s.hidden, weights.param("hidden", 4096));
  DROVER_TRY(check_shape(s));
  out.isa_ = context.isa();
  out.trained_ = weights.trained;
  DROVER_TRY(out.take_input(context, weights));
  out.blocks_.reserve(s.depth);
  for (size_t b = 0; b < s.depth; ++b) DROVER_TRY(out.take_block(context, weights, block_name(b)));
  DROVER_ASSIGN(out.norm_.gain, aligned_of(weights, "norm.gain", {s.dim}));
  DROVER_ASSIGN(out.norm_.shift, aligned_of(weights, "norm.shift", {s.dim}));

  const size_t t = s.tokens(), packed = padded(t) * s.dim;
  out.slot_floats_ =
      t * s.dim + t * padded(std::max<size_t>(s.dim, s.patch_values())) + t * out.wide_stride() + 4 * packed;
  out.slot_floats_ = padded(out.slot_floats_);
  out.score_floats_ = attention_rows * padded(t);
  if (context.device() != nullptr) DROVER_TRY(out.take_device(context, weights));
  return out;
}

Status VitEncoder::take_device(const Context& context, const Weights& weights) {
  DROVER_ASSIGN(const FoldedPatch patch, fold_input(shape_, weights));
  const auto element = context.precision() == Precision::bf16 ? cuda::Element::bf16 : cuda::Element::f32;
  auto made = cuda::DeviceVit::make(context.device(), element, shape_, weights, patch);
  if (!made && made.error().code != Errc::unavailable) return tl::unexpected(made.error());
  if (made) device_ = std::move(*made);
  return {};
}

Result<FoldedPatch> fold_input(const VitShape& s, const Weights& weights) {
  const auto k = static_cast<uint32_t>(s.patch_values());
  DROVER_ASSIGN(const Tensor* mean, weights.tensor_of("input.mean", {3}));
  DROVER_ASSIGN(const Tensor* deviation, weights.tensor_of("input.std", {3}));
  DROVER_ASSIGN(const Tensor* weight, weights.tensor_of("patch.weight", {s.dim, k}));
  DROVER_ASSIGN(const Tensor* bias, weights.tensor_of("patch.bias", {s.dim}));
  if (!std::all_of(deviation->values.begin(), deviation->values.end(), [](float x) { return x >= 1e-6f; })) {
    return fail(Errc::invalid_argument, "weights.tensor.input.std", "not at least 1e-6");
  }
  FoldedPatch out{std::vector<float>(weight->values.size()), std::vector<float>(s.dim)};
  for (size_t o = 0; o < s.dim; ++o) {
    double sum = bias->values[o];
    for (size_t i = 0; i < k; ++i) {
      const double w = weight->values[o * k + i], m = mean->values[i % 3], d = deviation->values[i % 3];
      out.weight[o * k + i] = static_cast<float>(w / (255.0 * d));
      sum += w * ((128.0 / 255.0 - m) / d);
    }
    out.bias[o] = static_cast<float>(sum);
  }
  return out;
}

Status VitEncoder::take_input(const Context& context, const Weights& weights) {
  DROVER_ASSIGN(const FoldedPatch patch, fold_input(shape_, weights));
  patch_ = Linear(context.ops(), patch.weight, patch.bias);
  DROVER_ASSIGN(position_, aligned_of(weights, "position", {static_cast<uint32_t>(shape_.tokens()), shape_.dim}));
  return {};
}

Status VitEncoder::take_block(const Context& context, const Weights& weights, const std::string& prefix) {
  const uint32_t d = shape_.dim;
  Block block;
  DROVER_ASSIGN(block.norm1.gain, aligned_of(weights, prefix + "norm1.gain", {d}));
  DROVER_ASSIGN(block.norm1.shift, aligned_of(weights, prefix + "norm1.shift", {d}));
  DROVER_ASSIGN(block.qkv, linear_of(context, weights, prefix + "qkv", 3 * d, d));
  DROVER_ASSIGN(block.proj, linear_of(context, weights, prefix + "proj", d, d));
  DROVER_ASSIGN(block.norm2.gain, aligned_of(weights, prefix + "norm2.gain", {d}));
  DROVER_ASSIGN(block.norm2.shift, aligned_of(weights, prefix + "norm2.shift", {d}));
  DROVER_ASSIGN(block.up, linear_of(context, weights, prefix + "up", shape_.hidden, d));
  DROVER_ASSIGN(block.down, linear_of(context, weights, prefix + "down", d, shape_.hidden));
  blocks_.push_back(std::move(block));
  return {};
}

VitEncoder::Slot VitEncoder::slot_at(float* memory) const {
  const size_t t = shape_.tokens(), d = shape_.dim, packed = padded(t) * d;
  Slot slot;
  slot.keys[0] = memory;
  slot.keys[1] = slot.keys[0] + packed;
  slot.values[0] = slot.keys[1] + packed;
  slot.values[1] = slot.values[0] + packed;
  slot.x = slot.values[1] + packed;
  slot.wide = slot.x + t * d;
  slot.h = slot.wide + t * wide_stride();
  return slot;
}

void VitEncoder::embed(const Part& part) const {
  const VitShape& s = shape_;
  const size_t k = s.patch_values(), across = s.width / s.patch, run = size_t{s.patch} * 3;
  for (size_t t = part.first; t < part.last; ++t) {
    const uint8_t* corner = part.rgb.data() + (t / across * s.patch * s.width + t % across * s.patch) * 3;
    float* row = part.slot.h + t * k;
    for (size_t y = 0; y < s.patch; ++y) {
      const uint8_t* from = corner + y * s.width * 3;
      for (size_t i = 0; i < run; ++i) row[y * run + i] = static_cast<float>(static_cast<int>(from[i]) - 128);
    }
  }
  float* x = part.slot.x + part.first * s.dim;
  std::copy_n(position_.data() + part.first * s.dim, part.rows() * s.dim, x);
  patch_.accumulate(part.ops, {part.slot.h + part.first * k, k, x, s.dim, part.rows()});
}

void VitEncoder::normalise(const Part& part, const Norm& norm) const {
  const size_t at = part.first * shape_.dim;
  part.ops.layer_norm(
      {part.slot.x + at, norm.gain.data(), norm.shift.data(), part.slot.h + at, part.rows(), shape_.dim});
}

// q, k, v of this part's rows; k and v also into the packed form in which all rows read them.
void VitEncoder::keys_and_values(const Part& part, const Block& block, size_t parity) const {
  const size_t d = shape_.dim, head_dim = d / shape_.heads, w = part.ops.width, tokens = shape_.tokens();
  normalise(part, block.norm1);
  const size_t stride = wide_stride();
  block.qkv.apply(part.ops,
                  {part.slot.h + part.first * d, d, part.slot.wide + part.first * stride, stride, part.rows()},
                  Activation::none);
  for (size_t t = part.first; t < part.last; ++t) {
    const float* k = part.slot.wide + t * stride + d;
    const float* v = k + d;
    for (size_t head = 0; head < shape_.heads; ++head) {
      float* keys = part.slot.keys[parity] + head * padded(tokens) * head_dim + t / w * head_dim * w + t % w;
      for (size_t i = 0; i < head_dim; ++i) keys[i * w] = k[head * head_dim + i];
      float* values = part.slot.values[parity] + head * tokens * head_dim + t * w;
      for (size_t i = 0; i < head_dim; i += w) std::copy_n(v + head * head_dim + i, w, values + i * tokens);
    }
  }
}

// h rows = softmax(q k^T / sqrt(head dim)) v, head by head. Lanes of keys past the last token hold what they hold: each
// affects only its own column of scores, and those columns are not read.
void VitEncoder::attend(const Part& part, size_t parity) const {
  const size_t d = shape_.dim, head_dim = d / shape_.heads, w = part.ops.width, tokens = shape_.tokens();
  const size_t stride = padded(tokens);
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  for (size_t head = 0; head < shape_.heads; ++head) {
    for (size_t row = part.first; row < part.last; row += attention_rows) {
      const size_t rows = std::min(attention_rows, part.last - row);
      GemmArgs g;
      g.a = part.slot.wide + row * wide_stride() + head * head_dim;
      g.a_stride = wide_stride();
      g.b = part.slot.keys[parity] + head * stride * head_dim;
      g.c = part.scores;
      g.c_stride = stride;
      g.rows = rows;
      g.k = head_dim;
      g.panels = (tokens + w - 1) / w;
      part.ops.gemm(g);
      part.ops.softmax({part.scores, stride, rows, tokens, scale});
      g.a = part.scores;
      g.a_stride = stride;
      g.b = part.slot.values[parity] + head * tokens * head_dim;
      g.c = part.slot.h + row * d + head * head_dim;
      g.c_stride = d;
      g.k = tokens;
      g.panels = head_dim / w;
      part.ops.gemm(g);
    }
  }
}

void VitEncoder::finish_block(const Part& part, const Block& block) const {
  const size_t d = shape_.dim;
  float* x = part.slot.x + part.first * d;
  float* h = part.slot.h + part.first * d;
  float* wide = part.slot.wide + part.first * wide_stride();
  block.proj.accumulate(part.ops, {h, d, x, d, part.rows()});
  normalise(part, block.norm2);
  block.up.apply(part.ops, {h, d, wide, wide_stride(), part.rows()}, Activation::gelu);
  block.down.accumulate(part.ops, {wide, wide_stride(), x, d, part.rows()});
}

void VitEncoder::forward(const Part& part) const {
  embed(part);
  part.barrier.wait();  // patches are wider than rows of h: all are read before any is overwritten
  for (size_t b = 0; b < blocks_.size(); ++b) {
    keys_and_values(part, blocks_[b], b % 2);
    part.barrier.wait();
    attend(part, b % 2);
    finish_block(part, blocks_[b]);
  }
  normalise(part, norm_);
  part.barrier.wait();
  if (part.rank != 0) return;
  const size_t d = shape_.dim, tokens = shape_.tokens();
  std::copy_n(part.slot.h, d, part.out.data());
  for (size_t t = 1; t < tokens; ++t) {
    for (size_t i = 0; i < d; ++i) part.out[i] += part.slot.h[t * d + i];
  }
  for (float& y : part.out) y /= static_cast<float>(tokens);
}

Status VitEncoder::run(const Context& context, std::span<const uint8_t> rgb, std::span<float> out) const {
  if (context.isa() != isa_) return fail(Errc::invalid_argument, "vit.context", "packed for another instruction set");
  const size_t frame = shape_.frame_bytes(), batch = rgb.size() / frame;
  if (rgb.size() != batch * frame || out.size() != batch * shape_.dim) {
    return fail(Errc::invalid_argument, "vit.batch",
                std::to_string(rgb.size()) + " bytes in and " + std::to_string(out.size()) + " values out");
  }
  if (batch == 0) return {};
  DROVER_TRY(device_ != nullptr ? device_->run(rgb, out) : run_cpu(context, rgb, out));
  if (!std::all_of(out.begin(), out.end(), [](float y) { return std::isfinite(y); })) {
    return fail(Errc::internal, "vit.out", "the sums overflowed: weights are too large");
  }
  return {};
}

Status VitEncoder::run_cpu(const Context& context, std::span<const uint8_t> rgb, std::span<float> out) const {
  const size_t frame = shape_.frame_bytes(), batch = rgb.size() / frame, tokens = shape_.tokens();
  const uint32_t threads = context.threads();
  const bool shared = batch < threads;  // threads share a frame, else each takes whole frames
  const auto ranks = static_cast<uint32_t>(shared ? std::min<size_t>(threads, (tokens + 7) / 8) : threads);
  const size_t slots = shared ? 1 : ranks;
  Barrier together(ranks);
  std::atomic<size_t> next{0};
  Team& team = context.team();
  team.run(ranks, slots * slot_floats_ + ranks * score_floats_, [&](uint32_t rank) {
    const Slot slot = slot_at(team.scratch() + (shared ? 0 : rank * slot_floats_));
    float* scores = team.scratch() + slots * slot_floats_ + rank * score_floats_;
    const auto one = [&](size_t image, Barrier& barrier, size_t first, size_t last, uint32_t as) {
      forward({context.ops(), barrier, slot, rgb.subspan(image * frame, frame),
               out.subspan(image * shape_.dim, shape_.dim), scores, as, first, last});
    };
    if (shared) {
      for (size_t image = 0; image < batch; ++image) {
        one(image, together, tokens * rank / ranks, tokens * (rank + 1) / ranks, rank);
        together.wait();  // the next frame uses the same memory
      }
      return;
    }
    Barrier alone(1);
    for (size_t image = next.fetch_add(1); image < batch; image = next.fetch_add(1)) one(image, alone, 0, tokens, 0);
  });
  return {};
}

Result<Weights> seeded_vit_weights(const VitShape& s, uint64_t seed) {
  DROVER_TRY(check_shape(s));
  SeededWeights maker(Architecture::vit_encoder, seed);
  maker.param("height", s.height);
  maker.param("width", s.width);
  maker.param("patch", s.patch);
  maker.param("dim", s.dim);
  maker.param("depth", s.depth);
  maker.param("heads", s.heads);
  maker.param("hidden", s.hidden);
  maker.constant("input.mean", 3, 0.5f);
  maker.constant("input.std", 3, 0.25f);
  maker.matrix("patch.weight", s.dim, static_cast<uint32_t>(s.patch_values()));
  maker.constant("patch.bias", s.dim, 0.0f);
  maker.uniform("position", {static_cast<uint32_t>(s.tokens()), s.dim}, 0.02);
  const auto layer = [&](const std::string& name, uint32_t out, uint32_t in) {
    maker.matrix(name + ".weight", out, in);
    maker.constant(name + ".bias", out, 0.0f);
  };
  const auto norm = [&](const std::string& name) {
    maker.constant(name + ".gain", s.dim, 1.0f);
    maker.constant(name + ".shift", s.dim, 0.0f);
  };
  for (size_t b = 0; b < s.depth; ++b) {
    norm(block_name(b) + "norm1");
    layer(block_name(b) + "qkv", 3 * s.dim, s.dim);
    layer(block_name(b) + "proj", s.dim, s.dim);
    norm(block_name(b) + "norm2");
    layer(block_name(b) + "up", s.hidden, s.dim);
    layer(block_name(b) + "down", s.dim, s.hidden);
  }
  norm("norm");
  return maker.finish();
}

}  // namespace drover::kernels

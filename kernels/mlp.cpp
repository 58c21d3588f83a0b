// MlpPolicy: see mlp.hpp. Rows go through all layers in blocks that stay in the first-level cache.
#include "kernels/mlp.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "kernels/cuda/models.hpp"
#include "kernels/seeded.hpp"
#include "kernels/team.hpp"

namespace drover::kernels {
namespace {

constexpr size_t block_rows = 24;

std::string layer_name(size_t layer, const char* part) {
  return "layer" + std::to_string(layer) + "." + part;
}

Status check_shape(const MlpShape& shape) {
  if (shape.widths.size() < 2 || shape.widths.size() > mlp_layers_max + 1) {
    return fail(Errc::invalid_argument, "mlp.layers", "1..16 layers");
  }
  for (uint32_t width : shape.widths) {
    if (width == 0 || width > mlp_width_max) return fail(Errc::invalid_argument, "mlp.width", "1..8192");
  }
  return {};
}

Result<Activation> activation_of(const Weights& weights, const char* name) {
  DROVER_ASSIGN(const uint32_t value, weights.param(name, static_cast<uint32_t>(Activation::gelu)));
  return static_cast<Activation>(value);
}

bool all_finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
}

}  // namespace

Result<MlpPolicy> MlpPolicy::make(const Context& context, const Weights& weights) {
  if (weights.architecture != Architecture::mlp_policy) {
    return fail(Errc::invalid_argument, "weights.architecture", "not an MLP policy");
  }
  MlpPolicy out;
  out.isa_ = context.isa();
  DROVER_ASSIGN(const uint32_t layers, weights.param("layers", mlp_layers_max));
  for (size_t l = 0; l <= layers; ++l) {
    DROVER_ASSIGN(const uint32_t width, weights.param("width" + std::to_string(l), mlp_width_max));
    out.shape_.widths.push_back(width);
  }
  DROVER_ASSIGN(out.shape_.hidden, activation_of(weights, "hidden_activation"));
  DROVER_ASSIGN(out.shape_.output, activation_of(weights, "output_activation"));
  DROVER_TRY(check_shape(out.shape_));
  for (size_t l = 0; l < layers; ++l) {
    const uint32_t in = out.shape_.widths[l], width = out.shape_.widths[l + 1];
    DROVER_ASSIGN(const Tensor* weight, weights.tensor_of(layer_name(l, "weight"), {width, in}));
    DROVER_ASSIGN(const Tensor* bias, weights.tensor_of(layer_name(l, "bias"), {width}));
    out.layers_.emplace_back(context.ops(), weight->values, bias->values);
    out.widest_ = std::max(out.widest_, out.layers_.back().out_padded());
  }
  if (context.device() != nullptr) {
    const auto element = context.precision() == Precision::bf16 ? cuda::Element::bf16 : cuda::Element::f32;
    DROVER_ASSIGN(out.device_, cuda::DeviceMlp::make(context.device(), element, out.shape_, weights));
  }
  return out;
}

void MlpPolicy::run_rows(const SimdOps& ops, std::span<const float> x, std::span<float> y, float* scratch) const {
  const size_t in = shape_.widths.front(), out = shape_.widths.back();
  const size_t rows = x.size() / in;
  float* const halves[2] = {scratch, scratch + block_rows * widest_};
  for (size_t row = 0; row < rows; row += block_rows) {
    Linear::Io io{x.data() + row * in, in, halves[0], widest_, std::min(block_rows, rows - row)};
    for (size_t l = 0; l < layers_.size(); ++l) {
      io.y = halves[l % 2];
      layers_[l].apply(ops, io, l + 1 < layers_.size() ? shape_.hidden : shape_.output);
      io.x = io.y;
      io.x_stride = widest_;
    }
    for (size_t r = 0; r < io.rows; ++r) std::copy_n(io.x + r * widest_, out, y.data() + (row + r) * out);
  }
}

Status MlpPolicy::run(const Context& context, std::span<const float> observations, std::span<float> actions) const {
  const size_t in = shape_.widths.front(), out = shape_.widths.back();
  if (context.isa() != isa_) return fail(Errc::invalid_argument, "mlp.context", "packed for another instruction set");
  if (observations.size() % in != 0 || actions.size() != observations.size() / in * out) {
    return fail(Errc::invalid_argument, "mlp.batch",
                std::to_string(observations.size()) + " values in and " + std::to_string(actions.size()) + " out");
  }
  if (!all_finite(observations)) return fail(Errc::invalid_argument, "mlp.observations", "a value is not finite");
  if (observations.empty()) return {};
  if (device_ != nullptr) {
    DROVER_TRY(device_->run(observations, actions));
  } else {
    run_cpu(context, observations, actions);
  }
  if (!all_finite(actions)) return fail(Errc::internal, "mlp.actions", "the sums overflowed: weights are too large");
  return {};
}

void MlpPolicy::run_cpu(const Context& context, std::span<const float> observations, std::span<float> actions) const {
  const size_t in = shape_.widths.front(), out = shape_.widths.back();
  const size_t rows = observations.size() / in;
  const size_t blocks = (rows + block_rows - 1) / block_rows;
  const auto ranks = static_cast<uint32_t>(std::min<size_t>(context.threads(), blocks));
  const size_t scratch_floats = 2 * block_rows * widest_;
  Team& team = context.team();
  team.run(ranks, ranks * scratch_floats, [&](uint32_t rank) {
    const size_t first = std::min(rows, blocks * rank / ranks * block_rows);
    const size_t last = std::min(rows, blocks * (rank + 1) / ranks * block_rows);
    run_rows(context.ops(), observations.subspan(first * in, (last - first) * in),
             actions.subspan(first * out, (last - first) * out), team.scratch() + rank * scratch_floats);
  });
}

Result<Weights> seeded_mlp_weights(const MlpShape& shape, uint64_t seed) {
  DROVER_TRY(check_shape(shape));
  SeededWeights maker(Architecture::mlp_policy, seed);
  const size_t layers = shape.widths.size() - 1;
  maker.param("layers", layers);
  for (size_t l = 0; l <= layers; ++l) maker.param("width" + std::to_string(l), shape.widths[l]);
  maker.param("hidden_activation", static_cast<uint64_t>(shape.hidden));
  maker.param("output_activation", static_cast<uint64_t>(shape.output));
  for (size_t l = 0; l < layers; ++l) {
    maker.matrix(layer_name(l, "weight"), shape.widths[l + 1], shape.widths[l]);
    maker.constant(layer_name(l, "bias"), shape.widths[l + 1], 0.0f);
  }
  return maker.finish();
}

}  // namespace drover::kernels

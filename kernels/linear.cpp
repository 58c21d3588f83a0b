// Linear: packing of a weight matrix into panels, once, when a model is made.
#include "kernels/linear.hpp"

#include <algorithm>

#include "messages/check.hpp"

namespace drover::kernels {

Linear::Linear(const SimdOps& ops, std::span<const float> weight, std::span<const float> bias)
    : in_(bias.empty() ? 0 : weight.size() / bias.size()),
      width_(ops.width),
      panels_(padded(bias.size()) / ops.width),
      packed_(panels_ * in_ * width_),
      bias_(panels_ * width_) {
  DROVER_CHECK(!bias.empty() && in_ * bias.size() == weight.size(), "weights are [out, in], bias is [out]");
  for (size_t o = 0; o < bias.size(); ++o) {
    float* panel = packed_.data() + o / width_ * in_ * width_;
    for (size_t i = 0; i < in_; ++i) panel[i * width_ + o % width_] = weight[o * in_ + i];
  }
  std::copy(bias.begin(), bias.end(), bias_.data());
}

GemmArgs Linear::args(const Io& io) const noexcept {
  GemmArgs g;
  g.a = io.x;
  g.a_stride = io.x_stride;
  g.b = packed_.data();
  g.bias = bias_.data();
  g.c = io.y;
  g.c_stride = io.y_stride;
  g.rows = io.rows;
  g.k = in_;
  g.panels = panels_;
  return g;
}

void Linear::apply(const SimdOps& ops, const Io& io, Activation activation) const noexcept {
  GemmArgs g = args(io);
  g.activation = activation;
  ops.gemm(g);
}

void Linear::accumulate(const SimdOps& ops, const Io& io) const noexcept {
  GemmArgs g = args(io);
  g.accumulate = true;
  ops.gemm(g);
}

}  // namespace drover::kernels

// The formulas in float64: see reference.hpp.
#include "kernels/reference.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "messages/check.hpp"

namespace drover::kernels {
namespace {

using Rows = std::vector<std::vector<double>>;

const std::vector<float>& values(const Weights& w, const std::string& name) {
  const Tensor* t = w.tensor(name);
  DROVER_CHECK(t != nullptr, "a reference needs complete weights");
  return t->values;
}

Rows linear(const Weights& w, const std::string& name, const Rows& x) {
  const auto& weight = values(w, name + ".weight");
  const auto& bias = values(w, name + ".bias");
  Rows out;
  for (const auto& row : x) {
    std::vector<double> y(bias.begin(), bias.end());
    for (size_t o = 0; o < y.size(); ++o) {
      for (size_t i = 0; i < row.size(); ++i) y[o] += double{weight[o * row.size() + i]} * row[i];
    }
    out.push_back(std::move(y));
  }
  return out;
}

Rows norm(const Weights& w, const std::string& name, Rows x) {
  const auto& gain = values(w, name + ".gain");
  const auto& shift = values(w, name + ".shift");
  for (auto& row : x) {
    const auto n = static_cast<double>(row.size());
    double mean = 0, variance = 0;
    for (double v : row) mean += v / n;
    for (double v : row) variance += (v - mean) * (v - mean) / n;
    for (size_t i = 0; i < row.size(); ++i) row[i] = (row[i] - mean) / std::sqrt(variance + 1e-5) * gain[i] + shift[i];
  }
  return x;
}

void add(Rows& x, const Rows& y) {
  for (size_t t = 0; t < x.size(); ++t) {
    for (size_t i = 0; i < x[t].size(); ++i) x[t][i] += y[t][i];
  }
}

Rows attention(const Rows& qkv, size_t heads, size_t dim) {
  const size_t head_dim = dim / heads;
  Rows out(qkv.size(), std::vector<double>(dim, 0));
  for (size_t h = 0; h < heads; ++h) {
    for (size_t t = 0; t < qkv.size(); ++t) {
      std::vector<double> p(qkv.size());
      double sum = 0;
      for (size_t u = 0; u < qkv.size(); ++u) {
        double dot = 0;
        for (size_t i = 0; i < head_dim; ++i) dot += qkv[t][h * head_dim + i] * qkv[u][dim + h * head_dim + i];
        sum += p[u] = std::exp(dot / std::sqrt(static_cast<double>(head_dim)));
      }
      for (size_t u = 0; u < qkv.size(); ++u) {
        for (size_t i = 0; i < head_dim; ++i)
          out[t][h * head_dim + i] += p[u] / sum * qkv[u][2 * dim + h * head_dim + i];
      }
    }
  }
  return out;
}

Rows patches_of(const Weights& w, const VitShape& s, std::span<const uint8_t> rgb) {
  const auto& mean = values(w, "input.mean");
  const auto& deviation = values(w, "input.std");
  Rows patches;
  for (size_t py = 0; py < s.height / s.patch; ++py) {
    for (size_t px = 0; px < s.width / s.patch; ++px) {
      std::vector<double> patch;
      for (size_t y = 0; y < s.patch; ++y) {
        for (size_t x = 0; x < s.patch; ++x) {
          for (size_t c = 0; c < 3; ++c) {
            const double v = rgb[((py * s.patch + y) * s.width + px * s.patch + x) * 3 + c];
            patch.push_back((v / 255.0 - mean[c]) / deviation[c]);
          }
        }
      }
      patches.push_back(std::move(patch));
    }
  }
  return patches;
}

std::string layer_name(size_t layer, const char* part) {
  return std::string("layer").append(std::to_string(layer)).append(part);
}

}  // namespace

std::vector<double> vit_reference(const Weights& w, const VitShape& s, std::span<const uint8_t> rgb) {
  Rows x = linear(w, "patch", patches_of(w, s, rgb));
  const auto& position = values(w, "position");
  for (size_t t = 0; t < x.size(); ++t) {
    for (size_t i = 0; i < s.dim; ++i) x[t][i] += position[t * s.dim + i];
  }
  for (size_t b = 0; b < s.depth; ++b) {
    const std::string prefix = "block" + std::to_string(b) + ".";
    add(x,
        linear(w, prefix + "proj", attention(linear(w, prefix + "qkv", norm(w, prefix + "norm1", x)), s.heads, s.dim)));
    Rows up = linear(w, prefix + "up", norm(w, prefix + "norm2", x));
    for (auto& row : up) {
      for (double& v : row) v = 0.5 * v * (1 + std::erf(v / std::sqrt(2.0)));
    }
    add(x, linear(w, prefix + "down", up));
  }
  x = norm(w, "norm", x);
  std::vector<double> out(s.dim, 0);
  for (const auto& row : x) {
    for (size_t i = 0; i < s.dim; ++i) out[i] += row[i] / static_cast<double>(x.size());
  }
  return out;
}

double activation_reference(double x, Activation kind) {
  switch (kind) {
    case Activation::none:
      return x;
    case Activation::relu:
      return std::max(x, 0.0);
    case Activation::tanh:
      return std::tanh(x);
    case Activation::gelu:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
  }
  return x;
}

std::vector<double> mlp_reference(const Weights& w, const MlpShape& shape, std::span<const float> input) {
  std::vector<double> out;
  const size_t in = shape.widths.front(), layers = shape.widths.size() - 1;
  for (size_t row = 0; row < input.size() / in; ++row) {
    std::vector<double> h(input.begin() + static_cast<ptrdiff_t>(row * in),
                          input.begin() + static_cast<ptrdiff_t>((row + 1) * in));
    for (size_t l = 0; l < layers; ++l) {
      const Tensor* weight = w.tensor(layer_name(l, ".weight"));
      const Tensor* bias = w.tensor(layer_name(l, ".bias"));
      std::vector<double> next(shape.widths[l + 1]);
      for (size_t o = 0; o < next.size(); ++o) {
        double sum = bias->values[o];
        for (size_t i = 0; i < h.size(); ++i) sum += double{weight->values[o * h.size() + i]} * h[i];
        next[o] = activation_reference(sum, l + 1 < layers ? shape.hidden : shape.output);
      }
      h = next;
    }
    out.insert(out.end(), h.begin(), h.end());
  }
  return out;
}

double relative_error(std::span<const float> got, std::span<const double> want) {
  DROVER_CHECK(got.size() == want.size(), "as many values as the reference has");
  double difference = 0, size = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    if (!std::isfinite(got[i])) return INFINITY;
    difference = std::max(difference, std::abs(double{got[i]} - want[i]));
    size = std::max(size, std::abs(want[i]));
  }
  return size == 0 ? difference : difference / size;
}

}  // namespace drover::kernels

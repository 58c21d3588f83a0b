// ViT encoder against a float64 reference written from the formulas, on every instruction set.
#include "kernels/vit.hpp"

#include <algorithm>
#include <thread>

#include "tests/kernels/support.hpp"

using namespace drover;
using namespace drover::kernels;
using test::Random;

namespace {

using Rows = std::vector<std::vector<double>>;

const std::vector<float>& values(const Weights& w, const std::string& name) {
  const Tensor* t = w.tensor(name);
  REQUIRE_MESSAGE(t != nullptr, name);
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

std::vector<double> reference(const Weights& w, const VitShape& s, std::span<const uint8_t> rgb) {
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
  Rows x = linear(w, "patch", patches);
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

// Seeded weights with every bias, gain and shift moved off its neutral value.
Weights random_weights(Random& random, const VitShape& shape) {
  auto w = seeded_vit_weights(shape, random.seed());
  REQUIRE(w);
  for (Tensor& t : w->tensors) {
    for (float& x : t.values) x += random.uniform(-0.1f, 0.1f);
  }
  return std::move(*w);
}

VitShape random_shape(Random& random) {
  VitShape s;
  s.patch = static_cast<uint32_t>(random.between(1, 9));
  s.height = s.patch * static_cast<uint32_t>(random.between(1, 8));
  s.width = s.patch * static_cast<uint32_t>(random.between(1, 8));
  s.heads = static_cast<uint32_t>(random.between(1, 3));
  s.dim = s.heads * 16 * static_cast<uint32_t>(random.between(1, 2));
  s.depth = static_cast<uint32_t>(random.between(1, 3));
  s.hidden = 16 * static_cast<uint32_t>(random.between(1, 20));
  return s;
}

std::vector<float> run(const Context& context, const Weights& w, std::span<const uint8_t> rgb) {
  const auto encoder = VitEncoder::make(context, w);
  REQUIRE_MESSAGE(encoder, encoder.error().message());
  std::vector<float> out(rgb.size() / encoder->shape().frame_bytes() * encoder->shape().dim, NAN);
  REQUIRE(encoder->run(context, rgb, out));
  return out;
}

}  // namespace

TEST_CASE("kernels/vit: agrees with float64 for random shapes, weights and frames") {
  Random random;
  CAPTURE(random.seed());
  double worst = 0;
  for (int round = 0; round < 12; ++round) {
    const VitShape s = random_shape(random);
    const Weights w = random_weights(random, s);
    const auto rgb = random.bytes(s.frame_bytes());
    const auto want = reference(w, s, rgb);
    for (Isa isa : usable_isas()) {
      CAPTURE(isa_name(isa));
      CAPTURE(round);
      const double error = test::relative_error(run(*test::context_of(isa, 2), w, rgb), want);
      CHECK(error < 1e-5);
      worst = std::max(worst, error);
    }
  }
  MESSAGE("worst relative error " << worst);
}

TEST_CASE("kernels/vit: agrees with float64 at the size that robots run") {
  Random random;
  CAPTURE(random.seed());
  const VitShape s;
  const Weights w = random_weights(random, s);
  const auto rgb = random.bytes(s.frame_bytes());
  const auto want = reference(w, s, rgb);
  for (Isa isa : usable_isas()) {
    CAPTURE(isa_name(isa));
    const double error = test::relative_error(run(*test::context_of(isa, 2), w, rgb), want);
    CHECK(error < 1e-5);
    MESSAGE(isa_name(isa) << ": relative error " << error);
  }
}

TEST_CASE("kernels/vit: a frame has the same bits alone, in any batch and with any number of threads") {
  Random random;
  CAPTURE(random.seed());
  for (int round = 0; round < 4; ++round) {
    VitShape s = random_shape(random);
    if (round == 0)
      s.height = s.patch * 13, s.width = s.patch * 9, s.dim = s.heads * 16,
      s.hidden = 320;  // 117 tokens, hidden > 3 dim
    const Weights w = random_weights(random, s);
    const size_t batch = 5;
    const auto rgb = random.bytes(s.frame_bytes() * batch);
    for (Isa isa : usable_isas()) {
      std::vector<float> alone;
      const auto one = test::context_of(isa, 1);
      for (size_t f = 0; f < batch; ++f) {
        const auto y = run(*one, w, std::span(rgb).subspan(f * s.frame_bytes(), s.frame_bytes()));
        alone.insert(alone.end(), y.begin(), y.end());
      }
      for (uint32_t threads : {1u, 2u, 3u, 8u}) {  // 8: more threads than frames, so they share each
        CAPTURE(threads);
        CHECK(run(*test::context_of(isa, threads), w, rgb) == alone);
      }
    }
  }
}

TEST_CASE("kernels/vit: one encoder serves several callers, and a context several encoders") {
  Random random;
  const VitShape small{16, 16, 8, 16, 1, 1, 16}, large{32, 32, 4, 32, 2, 2, 64};
  const auto context = test::context_of(usable_isas().back(), 2);
  const auto a = VitEncoder::make(*context, *seeded_vit_weights(small, 1));
  const auto b = VitEncoder::make(*context, *seeded_vit_weights(large, 2));
  REQUIRE((a && b));
  const auto rgb_a = random.bytes(small.frame_bytes()), rgb_b = random.bytes(large.frame_bytes() * 3);
  const auto work = [&](std::vector<float>& ya, std::vector<float>& yb) {
    ya.resize(16), yb.resize(3 * 32);
    for (int i = 0; i < 20; ++i) {
      if (!a->run(*context, rgb_a, ya) || !b->run(*context, rgb_b, yb)) ya.clear();
    }
  };
  std::vector<float> ya[2], yb[2];
  std::thread other([&] { work(ya[1], yb[1]); });
  work(ya[0], yb[0]);
  other.join();
  CHECK(ya[0].size() == 16);
  CHECK(ya[0] == ya[1]);
  CHECK(yb[0] == yb[1]);
}

TEST_CASE("kernels/vit: seeded weights travel through the file format") {
  Random random;
  const VitShape s{24, 16, 8, 32, 2, 2, 48};
  const auto w = seeded_vit_weights(s, 11);
  REQUIRE(w);
  const auto bytes = encode_weights(*w);
  REQUIRE(bytes);
  const auto back = decode_weights(*bytes);
  REQUIRE(back);
  CHECK(!back->trained);
  CHECK(back->note == "untrained: seeded 11");
  const auto context = test::context_of(Isa::portable, 1);
  const auto rgb = random.bytes(s.frame_bytes());
  CHECK(run(*context, *back, rgb) == run(*context, *w, rgb));
}

TEST_CASE("kernels/vit: bad inputs and weights are errors") {
  const auto context = test::context_of(Isa::portable, 1);
  const VitShape s{16, 16, 8, 16, 1, 1, 16};
  const auto w = seeded_vit_weights(s, 3);
  REQUIRE(w);
  const auto encoder = VitEncoder::make(*context, *w);
  REQUIRE(encoder);
  std::vector<uint8_t> rgb(s.frame_bytes());
  std::vector<float> out(16);
  CHECK(encoder->run(*context, rgb, out));
  CHECK(encoder->run(*context, {}, {}));
  CHECK(!encoder->run(*context, std::span(rgb).first(rgb.size() - 1), out));
  CHECK(!encoder->run(*context, rgb, std::span(out).first(15)));
  if (usable_isas().size() > 1) CHECK(!encoder->run(*test::context_of(usable_isas().back(), 1), rgb, out));

  for (size_t i = 0; i < w->tensors.size(); ++i) {  // every array is needed, and in its shape
    Weights bad = *w;
    bad.tensors[i].shape.push_back(1);
    CAPTURE(w->tensors[i].name);
    CHECK(!VitEncoder::make(*context, bad));
    bad.tensors.erase(bad.tensors.begin() + static_cast<ptrdiff_t>(i));
    CHECK(!VitEncoder::make(*context, bad));
  }
  for (size_t i = 0; i < w->params.size(); ++i) {
    for (uint64_t value : {uint64_t{0}, uint64_t{7}, uint64_t{17}, uint64_t{1} << 32, ~uint64_t{0}}) {
      Weights bad = *w;
      bad.params[i].value = value;
      CAPTURE(w->params[i].name);
      CAPTURE(value);
      CHECK(!VitEncoder::make(*context, bad));
    }
  }
  Weights flat = *w;
  for (Tensor& t : flat.tensors) {
    if (t.name == "input.std") t.values[1] = 0;
  }
  CHECK(!VitEncoder::make(*context, flat));
  Weights huge = *w;
  for (Tensor& t : huge.tensors) {
    if (t.name == "norm.gain") std::fill(t.values.begin(), t.values.end(), 3e38f);
    if (t.name == "norm.shift") std::fill(t.values.begin(), t.values.end(), 3e38f);
  }
  const auto overflowing = VitEncoder::make(*context, huge);
  REQUIRE(overflowing);
  CHECK(overflowing->run(*context, rgb, out).error().code == Errc::internal);
}

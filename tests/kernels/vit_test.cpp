// ViT encoder against a float64 reference written from the formulas, on every instruction set.
#include "kernels/vit.hpp"

#include <algorithm>
#include <thread>

#include "tests/kernels/support.hpp"

using namespace drover;
using namespace drover::kernels;
using test::Random;
using test::random_weights;

TEST_CASE("kernels/vit: agrees with float64 for random shapes, weights and frames") {
  Random random;
  CAPTURE(random.seed());
  double worst = 0;
  for (int round = 0; round < 12; ++round) {
    const VitShape s = test::random_vit_shape(random);
    const Weights w = random_weights(random, s);
    const auto rgb = random.bytes(s.frame_bytes());
    const auto want = vit_reference(w, s, rgb);
    for (Isa isa : usable_isas()) {
      CAPTURE(isa_name(isa));
      CAPTURE(round);
      const double error = relative_error(test::run_vit(*test::context_of(isa, 2), w, rgb), want);
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
  const auto want = vit_reference(w, s, rgb);
  for (Isa isa : usable_isas()) {
    CAPTURE(isa_name(isa));
    const double error = relative_error(test::run_vit(*test::context_of(isa, 2), w, rgb), want);
    CHECK(error < 1e-5);
    MESSAGE(isa_name(isa) << ": relative error " << error);
  }
}

TEST_CASE("kernels/vit: a frame has the same bits alone, in any batch and with any number of threads") {
  Random random;
  CAPTURE(random.seed());
  for (int round = 0; round < 4; ++round) {
    VitShape s = test::random_vit_shape(random);
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
        const auto y = test::run_vit(*one, w, std::span(rgb).subspan(f * s.frame_bytes(), s.frame_bytes()));
        alone.insert(alone.end(), y.begin(), y.end());
      }
      for (uint32_t threads : {1u, 2u, 3u, 8u}) {  // 8: more threads than frames, so they share each
        CAPTURE(threads);
        CHECK(test::run_vit(*test::context_of(isa, threads), w, rgb) == alone);
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
  CHECK(test::run_vit(*context, *back, rgb) == test::run_vit(*context, *w, rgb));
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

// MLP policy against a float64 reference, on every instruction set.
#include "kernels/mlp.hpp"

#include <algorithm>

#include "tests/kernels/support.hpp"

using namespace drover;
using namespace drover::kernels;
using test::Random;
using test::random_weights;

TEST_CASE("kernels/mlp: agrees with float64 for random shapes, batches and activations") {
  Random random;
  CAPTURE(random.seed());
  double worst = 0;
  for (Isa isa : usable_isas()) {
    const auto context = test::context_of(isa, 2);
    for (int round = 0; round < 24; ++round) {
      const MlpShape shape = test::random_mlp_shape(random);
      const Weights w = random_weights(random, shape);
      const auto policy = MlpPolicy::make(*context, w);
      REQUIRE(policy);
      const size_t batch = round % 3 == 0 ? 1 : random.between(1, 80);
      const auto input = random.floats(batch * shape.widths.front(), -2, 2);
      std::vector<float> got(batch * shape.widths.back(), NAN);
      REQUIRE(policy->run(*context, input, got));
      const double error = relative_error(got, mlp_reference(w, shape, input));
      CAPTURE(isa_name(isa));
      CAPTURE(round);
      CHECK(error < 1e-5);
      worst = std::max(worst, error);
    }
  }
  MESSAGE("worst relative error " << worst);
}

TEST_CASE("kernels/mlp: activations over their whole range") {
  for (Isa isa : usable_isas()) {
    const auto context = test::context_of(isa, 1);
    for (Activation kind : {Activation::none, Activation::relu, Activation::tanh, Activation::gelu}) {
      const MlpShape shape{{1, 1}, Activation::none, kind};
      auto w = seeded_mlp_weights(shape, 1);
      w->tensors[0].values = {1.0f};
      const auto policy = MlpPolicy::make(*context, *w);
      REQUIRE(policy);
      std::vector<float> input;
      for (float x = -12; x <= 12; x += 0.00373f) input.push_back(x);
      for (float x : {0.0f, -0.0f, 1e-30f, -1e-30f, 1e30f, -1e30f, 88.0f, -88.0f, 0.625f, -0.625f}) input.push_back(x);
      std::vector<float> got(input.size());
      REQUIRE(policy->run(*context, input, got));
      for (size_t i = 0; i < input.size(); ++i) {
        const double want = activation_reference(input[i], kind);
        CAPTURE(input[i]);
        // gelu is x times a probability that is known to an absolute 1e-7 or so.
        const double scale = std::max(1.0, std::abs(kind == Activation::gelu ? double{input[i]} : want));
        REQUIRE(std::abs(got[i] - want) <= 2e-7 * scale);
      }
    }
  }
}

TEST_CASE("kernels/mlp: a row has the same bits alone, in any batch and with any number of threads") {
  Random random;
  CAPTURE(random.seed());
  const MlpShape shape{{19, 130, 70, 7}, Activation::gelu, Activation::tanh};
  const Weights w = random_weights(random, shape);
  const size_t batch = 101;
  const auto input = random.floats(batch * 19, -1, 1);
  for (Isa isa : usable_isas()) {
    const auto one = test::context_of(isa, 1);
    const auto policy = MlpPolicy::make(*one, w);
    REQUIRE(policy);
    std::vector<float> alone(batch * 7);
    for (size_t r = 0; r < batch; ++r) {
      REQUIRE(policy->run(*one, std::span(input).subspan(r * 19, 19), std::span(alone).subspan(r * 7, 7)));
    }
    for (uint32_t threads : {1u, 2u, 3u}) {
      std::vector<float> together(batch * 7);
      REQUIRE(policy->run(*test::context_of(isa, threads), input, together));
      CHECK(together == alone);
    }
  }
}

TEST_CASE("kernels/mlp: bad inputs and weights are errors") {
  const auto context = test::context_of(Isa::portable, 1);
  const MlpShape shape{{3, 4, 2}, Activation::relu, Activation::none};
  const auto w = seeded_mlp_weights(shape, 5);
  REQUIRE(w);
  const auto policy = MlpPolicy::make(*context, *w);
  REQUIRE(policy);
  std::vector<float> in{1, 2, 3}, out(2);
  CHECK(policy->run(*context, in, out));
  CHECK(policy->run(*context, {}, {}));
  CHECK(!policy->run(*context, std::span(in).first(2), out));
  CHECK(!policy->run(*context, in, std::span(out).first(1)));
  in[1] = NAN;
  CHECK(policy->run(*context, in, out).error().code == Errc::invalid_argument);
  if (usable_isas().size() > 1)
    CHECK(!policy->run(*test::context_of(usable_isas().back(), 1), std::vector<float>{1, 2, 3}, out));

  const auto refused = [&](auto change) {
    Weights bad = *w;
    change(bad);
    return !MlpPolicy::make(*context, bad);
  };
  CHECK(refused([](Weights& b) { b.architecture = Architecture::vit_encoder; }));
  CHECK(refused([](Weights& b) { b.params.erase(b.params.begin()); }));
  CHECK(refused([](Weights& b) { b.params[0].value = 0; }));
  CHECK(refused([](Weights& b) { b.params[0].value = uint64_t{1} << 40; }));
  CHECK(refused([](Weights& b) { b.params[1].value = 0; }));
  CHECK(refused([](Weights& b) { b.params[1].value = 4; }));
  CHECK(refused([](Weights& b) { b.params.back().value = 4; }));
  CHECK(refused([](Weights& b) { b.tensors.pop_back(); }));
  CHECK(refused([](Weights& b) { b.tensors[0].values.pop_back(); }));
  Weights huge = *w;
  for (Tensor& t : huge.tensors) std::fill(t.values.begin(), t.values.end(), 3e38f);
  const auto overflowing = MlpPolicy::make(*context, huge);
  REQUIRE(overflowing);
  CHECK(overflowing->run(*context, std::vector<float>{1, 2, 3}, out).error().code == Errc::internal);
  CHECK(!seeded_mlp_weights({{3}, Activation::none, Activation::none}, 1));
  CHECK(!seeded_mlp_weights({{3, 0}, Activation::none, Activation::none}, 1));
}

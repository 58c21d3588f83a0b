// deterministic_pool_v1 against its definition in float64, and the promise of equal bits.
#include "kernels/pool.hpp"

#include <algorithm>
#include <cstring>

#include "tests/kernels/support.hpp"

using namespace drover;
using namespace drover::kernels;
using test::Random;

namespace {

// The definition, word for word and slowly, in float64.
std::vector<double> reference(std::span<const uint8_t> rgb, FrameShape s) {
  const size_t frames = rgb.size() / s.bytes();
  std::vector<double> sum(64, 0), count(64, 0);
  const auto cell_of = [&](size_t y, size_t x) {
    size_t i = 0, j = 0;
    while ((i + 1) * s.height / 4 <= y) ++i;
    while ((j + 1) * s.width / 4 <= x) ++j;
    return (i * 4 + j) * 4;
  };
  for (size_t f = 0; f < frames; ++f) {
    const auto at = [&](size_t y, size_t x, size_t c) {
      return static_cast<double>(rgb[f * s.bytes() + (y * s.width + x) * 3 + c]);
    };
    for (size_t y = 0; y < s.height; ++y) {
      for (size_t x = 0; x < s.width; ++x) {
        const size_t cell = cell_of(y, x);
        for (size_t c = 0; c < 3; ++c) {
          sum[cell + c] += at(y, x, c) / 255;
          count[cell + c] += 1;
          if (x + 1 < s.width) sum[cell + 3] += std::abs(at(y, x, c) - at(y, x + 1, c)) / 255, count[cell + 3] += 1;
          if (y + 1 < s.height) sum[cell + 3] += std::abs(at(y, x, c) - at(y + 1, x, c)) / 255, count[cell + 3] += 1;
        }
      }
    }
  }
  for (size_t i = 0; i < 64; ++i) sum[i] = count[i] == 0 ? 0 : sum[i] / count[i];
  return sum;
}

std::array<float, 64> pooled(const Context& context, std::span<const uint8_t> rgb, FrameShape shape) {
  PoolSums sums;
  REQUIRE(pool_add(context, rgb, shape, sums));
  auto out = pool_finish(sums);
  REQUIRE(out);
  return *out;
}

}  // namespace

TEST_CASE("kernels/pool: a frame worked by hand") {
  // 4 x 4 pixels: every cell is one pixel. Pixel 0 is (255, 0, 51), its right neighbour (0, 0, 51), below all 0.
  std::vector<uint8_t> rgb(48, 0);
  rgb[0] = 255, rgb[2] = 51, rgb[5] = 51;
  const auto f = pooled(*test::context_of(Isa::portable, 1), rgb, {4, 4});
  CHECK(f[0] == 1.0f);
  CHECK(f[1] == 0.0f);
  CHECK(f[2] == 0.2f);
  CHECK(f[3] == static_cast<float>((255.0 + 255.0 + 51.0) / (6 * 255.0)));  // across 255, 0, 0; down 255, 0, 51
  CHECK(f[4 + 2] == 0.2f);
  CHECK(f[4 + 3] == static_cast<float>((51.0 + 51.0) / (6 * 255.0)));
  CHECK(std::all_of(f.begin() + 8, f.end(), [](float x) { return x == 0.0f; }));
}

TEST_CASE("kernels/pool: agrees with the float64 definition on random frames of random size") {
  Random random;
  CAPTURE(random.seed());
  for (Isa isa : usable_isas()) {
    const auto context = test::context_of(isa, 2);
    for (int round = 0; round < 12; ++round) {
      const FrameShape shape{static_cast<uint32_t>(random.between(4, 90)),
                             static_cast<uint32_t>(random.between(4, 300))};
      CAPTURE(isa_name(isa));
      CAPTURE(shape.height);
      CAPTURE(shape.width);
      const auto rgb = random.bytes(shape.bytes() * random.between(1, 3));
      CHECK(relative_error(pooled(*context, rgb, shape), reference(rgb, shape)) < 1e-7);
    }
  }
}

TEST_CASE("kernels/pool: the same bits on every instruction set, with any number of threads, in any order of frames") {
  Random random;
  CAPTURE(random.seed());
  const FrameShape shape{static_cast<uint32_t>(random.between(96, 140)),
                         static_cast<uint32_t>(random.between(96, 140))};
  const size_t frames = 17;
  const auto rgb = random.bytes(shape.bytes() * frames);
  const auto want = pooled(*test::context_of(Isa::portable, 1), rgb, shape);
  std::vector<float> each_want(frames * 64);
  REQUIRE(pool_frames(*test::context_of(Isa::portable, 1), rgb, shape, each_want));
  for (Isa isa : usable_isas()) {
    for (uint32_t threads : {1u, 2u, 5u}) {
      const auto context = test::context_of(isa, threads);
      CHECK(pooled(*context, rgb, shape) == want);
      std::vector<float> each(frames * 64);
      REQUIRE(pool_frames(*context, rgb, shape, each));
      CHECK(each == each_want);
      PoolSums backwards;
      for (size_t f = frames; f-- > 0;) {
        REQUIRE(pool_add(*context, std::span(rgb).subspan(f * shape.bytes(), shape.bytes()), shape, backwards));
      }
      CHECK(*pool_finish(backwards) == want);
    }
  }
}

TEST_CASE("kernels/pool: never reads past the last frame") {
  Random random;
  for (Isa isa : usable_isas()) {
    const auto context = test::context_of(isa, 1);
    for (uint32_t width = 4; width < 70; ++width) {
      const FrameShape shape{5, width};
      const std::vector<uint8_t> rgb = random.bytes(shape.bytes());  // its own allocation: ASan guards the end
      CHECK(relative_error(pooled(*context, rgb, shape), reference(rgb, shape)) < 1e-7);
    }
  }
}

TEST_CASE("kernels/pool: the largest sums do not overflow") {
  const FrameShape shape{4, frame_side_max};
  std::vector<uint8_t> rgb(shape.bytes(), 255);
  for (size_t i = 0; i < rgb.size(); i += 6) rgb[i] = rgb[i + 1] = rgb[i + 2] = 0;  // black and white columns
  for (Isa isa : usable_isas()) {
    const auto f = pooled(*test::context_of(isa, 1), rgb, shape);
    CHECK(f[0] == 0.5f);
    CHECK(f[3] == 0.5f);  // across always 1, down always 0
  }
}

TEST_CASE("kernels/pool: what is not whole frames in range is refused and changes nothing") {
  const auto context = test::context_of(Isa::portable, 1);
  const std::vector<uint8_t> rgb(8 * 8 * 3, 7);
  PoolSums sums;
  REQUIRE(pool_add(*context, rgb, {8, 8}, sums));
  const PoolSums before = sums;
  const auto refused = [&](std::span<const uint8_t> bytes, FrameShape shape) {
    const auto status = pool_add(*context, bytes, shape, sums);
    CHECK(sums.sums == before.sums);
    CHECK(sums.frames == 1);
    return !status && status.error().code == Errc::invalid_argument;
  };
  CHECK(refused(rgb, {3, 8}));
  CHECK(refused(rgb, {8, 0}));
  CHECK(refused(rgb, {8, 16385}));
  CHECK(refused(std::span(rgb).first(191), {8, 8}));
  CHECK(refused(rgb, {4, 8}));  // whole frames, but not the shape of those before
  CHECK(pool_add(*context, {}, {8, 8}, sums));
  CHECK(!pool_finish(PoolSums{}));
  std::vector<float> out(63, -1.0f);
  CHECK(!pool_frames(*context, rgb, {8, 8}, out));
  CHECK(std::all_of(out.begin(), out.end(), [](float x) { return x == -1.0f; }));
}

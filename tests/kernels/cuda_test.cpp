// The CUDA kernels' bodies, packing, plans and host side on an emulated device, always; and on the machine's own device
// where there is one. References are float64.
#include <algorithm>
#include <cstring>
#include <map>

#include "kernels/cuda/models.hpp"
#include "kernels/pool.hpp"
#include "tests/kernels/emulated_driver.hpp"
#include "tests/kernels/support.hpp"

using namespace drover;
using namespace drover::kernels;
using test::EmulatedDriver;
using test::Random;

namespace {

std::unique_ptr<Context> context_on(std::shared_ptr<cuda::Driver> driver, Precision precision) {
  ContextOptions options;
  options.threads = 1;
  options.backend = Backend::cuda;
  options.precision = precision;
  options.device = std::move(driver);
  auto made = Context::make(options);
  REQUIRE(made);
  return std::move(*made);
}

std::shared_ptr<cuda::Driver> real_device() {
  auto device = cuda::open_device();
  if (!device) {
    MESSAGE("no CUDA device to test on: " << device.error().what);
    return nullptr;
  }
  return *device;
}

constexpr double tolerance(Precision precision) {
  return precision == Precision::bf16 ? 1e-2 : 1e-5;
}
std::string name_of(Precision precision) {
  return precision == Precision::bf16 ? "bf16" : "float32";
}

// ViT of `shape` on `driver` against float64.
void check_vit(const std::shared_ptr<cuda::Driver>& driver, Random& random, const VitShape& shape, size_t batch) {
  const Weights w = test::random_weights(random, shape);
  const auto rgb = random.bytes(shape.frame_bytes() * batch);
  for (Precision precision : {Precision::f32, Precision::bf16}) {
    CAPTURE(name_of(precision));
    const auto context = context_on(driver, precision);
    const auto encoder = VitEncoder::make(*context, w);
    REQUIRE_MESSAGE(encoder, encoder.error().message());
    REQUIRE(encoder->backend() == Backend::cuda);
    std::vector<float> got(batch * shape.dim, NAN);
    const Status status = encoder->run(*context, rgb, got);
    REQUIRE_MESSAGE(status, status.error().message());
    for (size_t f = 0; f < batch; ++f) {
      const auto want = vit_reference(w, shape, std::span(rgb).subspan(f * shape.frame_bytes(), shape.frame_bytes()));
      const double error = relative_error(std::span(got).subspan(f * shape.dim, shape.dim), want);
      CHECK(error < tolerance(precision));
      if (f == 0 && shape.dim == VitShape{}.dim) {
        MESSAGE(name_of(precision) << " ViT, " << shape.tokens() << " patches: relative error " << error);
      }
    }
  }
}

// `bf16_tolerance`: a few outputs that happen to cancel are small beside what was rounded on the way to them.
void check_mlp(const std::shared_ptr<cuda::Driver>& driver, Random& random, const MlpShape& shape, size_t batch,
               double bf16_tolerance) {
  const Weights w = test::random_weights(random, shape);
  const auto in = random.floats(batch * shape.widths.front(), -2, 2);
  const auto want = mlp_reference(w, shape, in);
  for (Precision precision : {Precision::f32, Precision::bf16}) {
    CAPTURE(name_of(precision));
    const auto context = context_on(driver, precision);
    const auto policy = MlpPolicy::make(*context, w);
    REQUIRE_MESSAGE(policy, policy.error().message());
    REQUIRE(policy->backend() == Backend::cuda);
    std::vector<float> got(batch * shape.widths.back(), NAN);
    const Status status = policy->run(*context, in, got);
    REQUIRE_MESSAGE(status, status.error().message());
    CHECK(relative_error(got, want) < (precision == Precision::bf16 ? bf16_tolerance : tolerance(precision)));
  }
}

// Memory of a driver, for pooling.
struct OnDevice {
  OnDevice(cuda::Driver& d, size_t bytes) : driver(d) {
    auto made = d.allocate(bytes);
    REQUIRE(made);
    p = *made;
  }
  ~OnDevice() { driver.release(p); }
  cuda::Driver& driver;
  void* p = nullptr;
};

void check_pool(const std::shared_ptr<cuda::Driver>& driver, Random& random, FrameShape shape, uint32_t frames) {
  CAPTURE(shape.height);
  CAPTURE(shape.width);
  CAPTURE(frames);
  const auto cpu = test::context_of(usable_isas().back(), 1);
  const auto rgb = random.bytes(shape.bytes() * frames);
  OnDevice in(*driver, rgb.size()), out(*driver, frames * 64 * sizeof(float));
  REQUIRE(driver->to_device(in.p, rgb.data(), rgb.size(), nullptr));
  cuda::DevicePool pool(driver);
  for (bool as_one : {false, true}) {
    REQUIRE(
        pool.enqueue(static_cast<const uint8_t*>(in.p), shape, frames, as_one, static_cast<float*>(out.p), nullptr));
    std::vector<float> got(as_one ? 64 : frames * 64), want(got.size());
    REQUIRE(driver->to_host(got.data(), out.p, got.size() * sizeof(float), nullptr));
    REQUIRE(driver->wait(nullptr));
    if (as_one) {
      PoolSums sums;
      REQUIRE(pool_add(*cpu, rgb, shape, sums));
      const auto one = pool_finish(sums);
      std::copy(one->begin(), one->end(), want.begin());
    } else {
      REQUIRE(pool_frames(*cpu, rgb, shape, want));
    }
    CHECK(std::memcmp(got.data(), want.data(), got.size() * sizeof(float)) == 0);
  }
}

}  // namespace

TEST_CASE("kernels/cuda: the packed bf16 form gives back the product that it was made from") {
  Random random;
  CAPTURE(random.seed());
  for (int round = 0; round < 20; ++round) {
    const size_t out = random.between(1, 70), in = random.between(1, 70), rows = random.between(1, 64);
    const uint32_t k = static_cast<uint32_t>((in + 15) / 16 * 16), stride = k + 8;
    // Small integers: bf16 and float hold them and their sums exactly.
    std::vector<float> weight(out * in);
    for (float& w : weight) w = static_cast<float>(random.below(9)) - 4;
    const auto packed = cuda::pack_layer(cuda::Element::bf16, weight, out, in);
    std::vector<uint32_t> a(64 * stride / 2 + 4, 0);
    auto* a16 = reinterpret_cast<uint16_t*>(a.data());
    std::vector<float> x(rows * in);
    for (size_t r = 0; r < rows; ++r) {
      for (size_t i = 0; i < in; ++i) {
        x[r * in + i] = static_cast<float>(random.below(9)) - 4;
        a16[r * stride + i] = static_cast<uint16_t>(cuda::pack_bf16(x[r * in + i], 0));
      }
    }
    cuda::Product<cuda::Bf16> p;
    p.a = reinterpret_cast<const cuda::Bf16*>(a16);
    p.a_stride = stride;
    p.row_tiles = static_cast<uint32_t>((rows + 15) / 16);
    std::vector<cuda::Quad> aligned(packed.size() / sizeof(cuda::Quad));
    std::memcpy(aligned.data(), packed.data(), packed.size());
    p.packed = reinterpret_cast<const cuda::Bf16*>(aligned.data());
    p.k_tiles_all = p.k_tiles = k / 16;
    p.column_tiles = static_cast<uint32_t>((out + 15) / 16);
    for (uint32_t warps : {1u, 8u, 64u}) {  // tall and short units
      std::map<std::pair<uint32_t, uint32_t>, float> got;
      const auto keep = [&](uint32_t row, uint32_t column, const float(&v)[2]) {
        got[{row, column}] = v[0], got[{row, column + 1}] = v[1];
      };
      cuda::product<true>(cuda::Block(warps), p, static_cast<uint32_t>(rows), keep);
      for (size_t r = 0; r < rows; ++r) {
        for (size_t o = 0; o < out; ++o) {
          float want = 0;
          for (size_t i = 0; i < in; ++i) want += x[r * in + i] * weight[o * in + i];
          REQUIRE(got.at({static_cast<uint32_t>(r), static_cast<uint32_t>(o)}) == want);
        }
      }
    }
  }
}

TEST_CASE("kernels/cuda: bf16 rounds to nearest even") {
  const auto round = [](float x) { return cuda::bf16_bits_to_float(cuda::pack_bf16(x, 0) & 0xffffu); };
  CHECK(round(1.0f) == 1.0f);
  CHECK(round(1.0f + 0x1p-8f) == 1.0f);               // half way, to even
  CHECK(round(1.0f + 0x1.8p-7f) == 1.0f + 0x1p-6f);   // half way, to even
  CHECK(round(1.0f + 0x1.02p-8f) == 1.0f + 0x1p-7f);  // over half way
  CHECK(round(-128.0f) == -128.0f);
  CHECK(round(127.0f) == 127.0f);  // every byte - 128 is exact
  CHECK(std::isnan(round(NAN)));
  CHECK(cuda::pack_bf16(1.0f, -2.0f) == 0xc0003f80u);
}

TEST_CASE("kernels/cuda: ViT bodies agree with float64 for random shapes, weights and frames") {
  Random random;
  CAPTURE(random.seed());
  for (int round = 0; round < 8; ++round) {
    CAPTURE(round);
    // Few processors: frames share slots. Little shared memory: arenas lie in global memory.
    const auto driver = std::make_shared<EmulatedDriver>(static_cast<uint32_t>(random.between(4, 12)),
                                                         round % 3 == 2 ? 1024 : 227 * 1024);
    check_vit(driver, random, test::random_vit_shape(random), random.between(1, 3));
  }
}

TEST_CASE("kernels/cuda: ViT bodies agree with float64 for wide heads, long rows and many patches") {
  Random random;
  CAPTURE(random.seed());
  const auto driver = std::make_shared<EmulatedDriver>(132);
  check_vit(driver, random, {20, 16, 4, 128, 1, 1, 48}, 1);  // one head of 128
  check_vit(driver, random, {8, 12, 4, 240, 1, 3, 560}, 1);  // heads of 80, hidden columns in two stretches
  check_vit(driver, random, {64, 64, 32, 32, 1, 2, 32}, 1);  // patches of 3072 values in several stretches
  check_vit(driver, random, {33, 27, 3, 32, 2, 2, 32}, 2);   // 99 patches: a last step of keys with few of them
  check_vit(driver, random, {5, 5, 5, 16, 1, 1, 16}, 1);     // one patch of 75 values
}

TEST_CASE("kernels/cuda: ViT bodies agree with float64 at the size that robots run") {
  Random random;
  CAPTURE(random.seed());
  check_vit(std::make_shared<EmulatedDriver>(132), random, VitShape{}, 1);
}

TEST_CASE("kernels/cuda: a frame has the same bits however it is spread over blocks") {
  Random random;
  CAPTURE(random.seed());
  const VitShape shape{48, 40, 4, 64, 2, 2, 576};  // 120 patches
  const Weights w = test::random_weights(random, shape);
  const size_t batch = 3;
  const auto rgb = random.bytes(shape.frame_bytes() * batch);
  for (Precision precision : {Precision::f32, Precision::bf16}) {
    CAPTURE(name_of(precision));
    std::vector<float> first;
    std::vector<uint32_t> rows_seen;
    for (uint32_t processors : {2u, 6u, 10u, 132u}) {
      for (uint64_t shared : {uint64_t{227 * 1024}, uint64_t{1024}}) {
        const auto driver = std::make_shared<EmulatedDriver>(processors, shared);
        const auto context = context_on(driver, precision);
        const auto encoder = VitEncoder::make(*context, w);
        REQUIRE(encoder);
        std::vector<float> alone(batch * shape.dim), together(alone.size());
        for (size_t f = 0; f < batch; ++f) {
          REQUIRE(encoder->run(*context, std::span(rgb).subspan(f * shape.frame_bytes(), shape.frame_bytes()),
                               std::span(alone).subspan(f * shape.dim, shape.dim)));
        }
        REQUIRE(encoder->run(*context, rgb, together));
        CHECK((driver->last_vit.arena == nullptr) == (shared > 1024));
        rows_seen.push_back(driver->last_vit.rows);
        CHECK(together == alone);
        if (first.empty()) first = alone;
        CHECK(alone == first);
      }
    }
    CHECK(*std::min_element(rows_seen.begin(), rows_seen.end()) <
          *std::max_element(rows_seen.begin(), rows_seen.end()));
  }
}

TEST_CASE("kernels/cuda: MLP bodies agree with float64 for random shapes, batches and activations") {
  Random random;
  CAPTURE(random.seed());
  for (int round = 0; round < 24; ++round) {
    CAPTURE(round);
    const auto driver = std::make_shared<EmulatedDriver>(3, round % 4 == 3 ? 1024 : 227 * 1024);
    check_mlp(driver, random, test::random_mlp_shape(random), round % 3 == 0 ? 1 : random.between(1, 80), 0.1);
  }
  check_mlp(std::make_shared<EmulatedDriver>(), random, {{32, 256, 256, 8}, Activation::tanh, Activation::none}, 40,
            1e-2);
}

TEST_CASE("kernels/cuda: a row of a policy has the same bits alone and in any batch") {
  Random random;
  CAPTURE(random.seed());
  const MlpShape shape{{19, 130, 40, 7}, Activation::gelu, Activation::tanh};
  const Weights w = test::random_weights(random, shape);
  const size_t batch = 37;
  const auto in = random.floats(batch * 19, -2, 2);
  for (Precision precision : {Precision::f32, Precision::bf16}) {
    const auto context = context_on(std::make_shared<EmulatedDriver>(), precision);
    const auto policy = MlpPolicy::make(*context, w);
    REQUIRE(policy);
    std::vector<float> together(batch * 7);
    REQUIRE(policy->run(*context, in, together));
    for (size_t rows : {1u, 3u, 12u}) {
      std::vector<float> some(rows * 7);
      REQUIRE(policy->run(*context, std::span(in).first(rows * 19), some));
      CHECK(std::equal(some.begin(), some.end(), together.begin()));
    }
  }
}

TEST_CASE("kernels/cuda: pooling bodies give the CPU's bits") {
  Random random;
  CAPTURE(random.seed());
  const auto driver = std::make_shared<EmulatedDriver>(132);
  for (int round = 0; round < 20; ++round) {
    check_pool(driver, random,
               {static_cast<uint32_t>(random.between(4, 90)), static_cast<uint32_t>(random.between(4, 300))},
               static_cast<uint32_t>(random.between(1, 3)));
  }
  for (uint32_t width : {64u, 128u, 320u}) {  // vector loads
    check_pool(driver, random, {static_cast<uint32_t>(random.between(4, 200)), width}, 2);
  }
  check_pool(driver, random, {480, 640}, 1);  // several blocks
  check_pool(driver, random, {4, 4}, 3);      // a pixel a cell
  check_pool(driver, random, {64, 64}, 70);   // more frames than eight a processor: one block each
}

TEST_CASE("kernels/cuda: pooling's 32-bit counters do not overflow on the largest contrasts") {
  // 1024 x 1024 pixels, black and white in turn: 2 x 255 a byte in one block's cell.
  const FrameShape shape{1024, 1024};
  CHECK(shape.bytes() < cuda::pool_block_bytes_max);
  std::vector<uint8_t> rgb(shape.bytes());
  for (size_t y = 0; y < shape.height; ++y) {
    for (size_t i = 0; i < shape.width * 3; ++i) rgb[y * shape.width * 3 + i] = (y + i / 3) % 2 ? 255 : 0;
  }
  EmulatedDriver driver(1);
  std::vector<float> got(64), want(64);
  cuda::PoolArgs args;
  args.rgb = rgb.data();
  args.height = args.width = 1024;
  args.frames = args.slices = 1;
  args.out = got.data();
  REQUIRE(driver.start(args, got.data(), nullptr));
  REQUIRE(pool_frames(*test::context_of(Isa::portable, 1), rgb, shape, want));
  CHECK(got == want);
  for (uint32_t side : {512u, 1700u, 4096u, 16384u}) {  // no slice holds more than a block may
    const auto plan = cuda::plan_pool(side, side, 1, 1);
    const uint64_t items = cuda::PoolGrid(side, side).items;
    const uint64_t most = (items + plan.slices - 1) / plan.slices;
    CHECK(most * cuda::pool_run_pixels * cuda::pool_item_rows * 3 <= cuda::pool_block_bytes_max);
  }
}

TEST_CASE("kernels/cuda: plans fit the device or are refused") {
  cuda::VitArgs args;
  args.dim = 128;
  args.wide = 512;
  args.tokens = 64;
  const auto one = cuda::plan_vit(cuda::Element::bf16, args, 132, 227 * 1024, 1);
  REQUIRE(one);
  CHECK(one->parts * one->rows >= 64);
  CHECK(one->slots == 1);
  CHECK(one->shared);
  const auto many = cuda::plan_vit(cuda::Element::bf16, args, 132, 227 * 1024, 64);
  REQUIRE(many);
  CHECK(many->parts * many->slots <= 132);
  CHECK(many->arena_bytes <= 227 * 1024);
  args.tokens = 4096;
  CHECK(cuda::plan_vit(cuda::Element::f32, args, 64, 227 * 1024, 1));
  const auto refused = cuda::plan_vit(cuda::Element::f32, args, 63, 227 * 1024, 1);
  REQUIRE(!refused);
  CHECK(refused.error().code == Errc::unavailable);
}

TEST_CASE("kernels/cuda: what a device does not take runs on the processor, with its bits") {
  Random random;
  const VitShape wide_head{16, 16, 8, 144, 1, 1, 16};  // a head of 144
  const VitShape many{64, 64, 1, 16, 1, 1, 16};        // 4096 patches, 2 processors
  for (const VitShape& shape : {wide_head, many}) {
    const Weights w = test::random_weights(random, shape);
    const auto rgb = random.bytes(shape.frame_bytes());
    const auto context = context_on(std::make_shared<EmulatedDriver>(2), Precision::bf16);
    const auto encoder = VitEncoder::make(*context, w);
    REQUIRE(encoder);
    CHECK(encoder->backend() == Backend::cpu);
    std::vector<float> out(shape.dim);
    REQUIRE(encoder->run(*context, rgb, out));
    CHECK(out == test::run_vit(*test::context_of(context->isa(), 1), w, rgb));
  }
}

TEST_CASE("kernels/cuda: one frame is recorded once, again when its memory moved, and nothing is left behind") {
  Random random;
  const VitShape shape{16, 16, 4, 32, 1, 2, 64};
  const Weights w = test::random_weights(random, shape);
  const auto driver = std::make_shared<EmulatedDriver>();
  {
    const auto context = context_on(driver, Precision::f32);
    const auto encoder = VitEncoder::make(*context, w);
    REQUIRE(encoder);
    const auto rgb = random.bytes(shape.frame_bytes() * 5);
    std::vector<float> one(32), five(5 * 32), again(32);
    const auto first = std::span(rgb).first(shape.frame_bytes());
    REQUIRE(encoder->run(*context, first, one));
    REQUIRE(encoder->run(*context, first, again));
    CHECK(driver->recordings == 1);
    REQUIRE(encoder->run(*context, rgb, five));  // more frames under way: more scratch
    REQUIRE(encoder->run(*context, first, again));
    CHECK(driver->recordings == 2);
    REQUIRE(encoder->run(*context, first, again));
    CHECK(driver->recordings == 2);
    CHECK(one == again);
    CHECK(std::equal(one.begin(), one.end(), five.begin()));
    CHECK(encoder->run(*context, {}, {}));
  }
  CHECK(driver->live == 0);
}

TEST_CASE("kernels/cuda: overflow is an error on a device too") {
  const VitShape shape{16, 16, 8, 16, 1, 1, 16};
  auto w = seeded_vit_weights(shape, 3);
  REQUIRE(w);
  for (Tensor& t : w->tensors) {
    if (t.name == "norm.gain" || t.name == "norm.shift") std::fill(t.values.begin(), t.values.end(), 3e38f);
  }
  const auto context = context_on(std::make_shared<EmulatedDriver>(), Precision::f32);
  const auto encoder = VitEncoder::make(*context, *w);
  REQUIRE(encoder);
  std::vector<uint8_t> rgb(shape.frame_bytes(), 9);
  std::vector<float> out(16);
  const Status status = encoder->run(*context, rgb, out);
  REQUIRE(!status);
  CHECK(status.error().code == Errc::internal);
}

TEST_CASE("kernels/cuda: the context says what it runs on") {
  const auto on = context_on(std::make_shared<EmulatedDriver>(), Precision::bf16);
  CHECK(on->backend() == Backend::cuda);
  CHECK(on->description().starts_with("kernels: cuda emulated device, 8 processors, bf16; else cpu "));
  ContextOptions options;
  options.threads = 1;
  options.backend = Backend::cpu;
  const auto off = Context::make(options);
  REQUIRE(off);
  CHECK((*off)->backend() == Backend::cpu);
  CHECK((*off)->description().ends_with("; CUDA not asked for"));
  options.backend = Backend::cuda;
  const auto asked = Context::make(options);
  if (cuda::open_device()) {
    REQUIRE(asked);
    CHECK((*asked)->backend() == Backend::cuda);
  } else {
    REQUIRE(!asked);
    CHECK(asked.error().code == Errc::unavailable);
    CHECK(!asked.error().what.empty());
  }
}

// ---- the machine's own device ---------------------------------------------------------------------------------------

TEST_CASE("kernels/cuda: on this machine's device: ViT agrees with float64") {
  const auto device = real_device();
  if (device == nullptr) return;
  Random random;
  CAPTURE(random.seed());
  for (int round = 0; round < 12; ++round) check_vit(device, random, test::random_vit_shape(random), 3);
  check_vit(device, random, {20, 16, 4, 128, 1, 1, 48}, 2);
  check_vit(device, random, {8, 12, 4, 240, 1, 3, 560}, 2);
  check_vit(device, random, {64, 64, 32, 32, 1, 2, 32}, 2);
  check_vit(device, random, {33, 27, 3, 32, 2, 2, 32}, 2);
  check_vit(device, random, VitShape{}, 2);
}

TEST_CASE("kernels/cuda: on this machine's device: a frame has the same bits alone and in every batch") {
  const auto device = real_device();
  if (device == nullptr) return;
  Random random;
  CAPTURE(random.seed());
  const VitShape shape;
  const Weights w = test::random_weights(random, shape);
  const size_t batch = 70;
  const auto rgb = random.bytes(shape.frame_bytes() * batch);
  for (Precision precision : {Precision::f32, Precision::bf16}) {
    const auto context = context_on(device, precision);
    const auto encoder = VitEncoder::make(*context, w);
    REQUIRE(encoder);
    std::vector<float> alone(batch * shape.dim);
    for (size_t f = 0; f < batch; ++f) {
      REQUIRE(encoder->run(*context, std::span(rgb).subspan(f * shape.frame_bytes(), shape.frame_bytes()),
                           std::span(alone).subspan(f * shape.dim, shape.dim)));
    }
    for (size_t frames : {size_t{2}, size_t{33}, batch}) {
      for (int repeat = 0; repeat < 5; ++repeat) {
        std::vector<float> together(frames * shape.dim);
        REQUIRE(encoder->run(*context, std::span(rgb).first(frames * shape.frame_bytes()), together));
        CHECK(std::equal(together.begin(), together.end(), alone.begin()));
      }
    }
  }
}

TEST_CASE("kernels/cuda: on this machine's device: MLP agrees with float64") {
  const auto device = real_device();
  if (device == nullptr) return;
  Random random;
  CAPTURE(random.seed());
  for (int round = 0; round < 40; ++round) {
    check_mlp(device, random, test::random_mlp_shape(random), round % 3 == 0 ? 1 : random.between(1, 300), 0.1);
  }
  check_mlp(device, random, {{32, 256, 256, 8}, Activation::tanh, Activation::none}, 1000, 1e-2);
  check_mlp(device, random, {{17, 6000, 3}, Activation::relu, Activation::none}, 33, 2e-2);  // arenas in global memory
}

TEST_CASE("kernels/cuda: on this machine's device: pooling gives the CPU's bits") {
  const auto device = real_device();
  if (device == nullptr) return;
  Random random;
  CAPTURE(random.seed());
  for (int round = 0; round < 40; ++round) {
    check_pool(device, random,
               {static_cast<uint32_t>(random.between(4, 200)), static_cast<uint32_t>(random.between(4, 700))},
               static_cast<uint32_t>(random.between(1, 5)));
  }
  check_pool(device, random, {128, 128}, 300);
  check_pool(device, random, {480, 640}, 20);
  check_pool(device, random, {2000, 3008}, 1);
}

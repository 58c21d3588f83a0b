// Checks of every backend and figures of the CUDA device: see kernels_device.hpp.
#include "kernels_device.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/cuda/models.hpp"
#include "kernels/mlp.hpp"
#include "kernels/pool.hpp"
#include "kernels/reference.hpp"
#include "kernels/vit.hpp"

namespace drover::bench {
namespace {

using namespace kernels;

constexpr double f32_error_max = 1e-5;
constexpr double bf16_error_max = 1e-2;

// ---- correctness ----------------------------------------------------------------------------------------------------

class Checker {
 public:
  explicit Checker(uint64_t seed) : engine_(seed) {}

  bool all(const Context& context, const std::string& name) {
    const bool bf16 = context.precision() == Precision::bf16;
    const double allowed = bf16 ? bf16_error_max : f32_error_max;
    report(name, "vit", vit(context), allowed);
    report(name, "mlp", mlp(context), allowed);
    if (context.device() == nullptr || !bf16) report(name, "pool", pool(context), 0);
    return good_;
  }

 private:
  void report(const std::string& name, const char* what, Result<double> error, double allowed) {
    const bool good = error && *error <= allowed;
    good_ = good_ && good;
    if (!error) {
      std::printf("check %-12s %-4s  FAILED: %s\n", name.c_str(), what, error.error().message().c_str());
    } else {
      std::printf("check %-12s %-4s  error %.1e, allowed %.0e  %s\n", name.c_str(), what, *error, allowed,
                  good ? "ok" : "FAILED");
    }
  }

  float uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(engine_); }
  std::vector<uint8_t> bytes(size_t n) {
    std::vector<uint8_t> out(n);
    for (auto& b : out) b = static_cast<uint8_t>(engine_());
    return out;
  }
  // Biases, gains and shifts of seeded weights are neutral: move all values a little.
  Result<Weights> moved(Result<Weights> weights) {
    if (!weights) return weights;
    for (Tensor& t : weights->tensors) {
      for (float& x : t.values) x += uniform(-0.05f, 0.05f);
    }
    return weights;
  }

  Result<double> vit(const Context& context) {
    double worst = 0;
    // The shape of robots in batches that spread differently, then heads of 64 and odd numbers of patches.
    for (const auto& [shape, batch] : {std::pair{VitShape{}, size_t{1}}, std::pair{VitShape{}, size_t{5}},
                                       std::pair{VitShape{60, 84, 12, 192, 2, 3, 400}, size_t{3}}}) {
      DROVER_ASSIGN(const Weights weights, moved(seeded_vit_weights(shape, engine_())));
      DROVER_ASSIGN(const VitEncoder encoder, VitEncoder::make(context, weights));
      if (encoder.backend() != context.backend()) return fail(Errc::unavailable, "vit", "not run on the device");
      const auto rgb = bytes(shape.frame_bytes() * batch);
      std::vector<float> out(batch * shape.dim);
      DROVER_TRY(encoder.run(context, rgb, out));
      for (size_t f = 0; f < batch; ++f) {
        const auto frame = std::span(rgb).subspan(f * shape.frame_bytes(), shape.frame_bytes());
        const auto want = vit_reference(weights, shape, frame);
        worst = std::max(worst, relative_error(std::span(out).subspan(f * shape.dim, shape.dim), want));
      }
    }
    return worst;
  }

  Result<double> mlp(const Context& context) {
    double worst = 0;
    const MlpShape shape{{32, 256, 256, 8}, Activation::tanh, Activation::none};
    for (size_t batch : {1, 3, 200}) {
      DROVER_ASSIGN(const Weights weights, moved(seeded_mlp_weights(shape, engine_())));
      DROVER_ASSIGN(const MlpPolicy policy, MlpPolicy::make(context, weights));
      std::vector<float> in(batch * 32), out(batch * 8);
      for (float& x : in) x = uniform(-2, 2);
      DROVER_TRY(policy.run(context, in, out));
      worst = std::max(worst, relative_error(out, mlp_reference(weights, shape, in)));
    }
    return worst;
  }

  // Against the plain loops of the processor, bit by bit: 0 or 1.
  Result<double> pool(const Context& context) {
    ContextOptions plain;
    plain.threads = 1;
    plain.isa = Isa::portable;
    DROVER_ASSIGN(const auto portable, Context::make(plain));
    for (const FrameShape shape : {FrameShape{128, 128}, FrameShape{480, 640}, FrameShape{97, 211}}) {
      const uint32_t frames = 3;
      const auto rgb = bytes(shape.bytes() * frames);
      std::vector<float> want(frames * pool_v1_dim), got(want.size());
      DROVER_TRY(pool_frames(*portable, rgb, shape, want));
      if (context.device() == nullptr) {
        DROVER_TRY(pool_frames(context, rgb, shape, got));
      } else {
        DROVER_TRY(pool_on_device(context.device(), rgb, shape, frames, got));
      }
      if (std::memcmp(want.data(), got.data(), want.size() * sizeof(float)) != 0) return 1.0;
    }
    return 0.0;
  }

  static Status pool_on_device(const std::shared_ptr<cuda::Driver>& driver, std::span<const uint8_t> rgb,
                               FrameShape shape, uint32_t frames, std::span<float> got) {
    cuda::Memory in(driver, false), out(driver, false);
    cuda::DevicePool pool(driver);
    DROVER_TRY(in.reserve(rgb.size_bytes()));
    DROVER_TRY(out.reserve(got.size_bytes()));
    DROVER_TRY(driver->to_device(in.as<void>(), rgb.data(), rgb.size_bytes(), nullptr));
    DROVER_TRY(pool.enqueue(in.as<const uint8_t>(), shape, frames, false, out.as<float>(), nullptr));
    DROVER_TRY(driver->to_host(got.data(), out.as<void>(), got.size_bytes(), nullptr));
    return driver->wait(nullptr);
  }

  std::mt19937_64 engine_;
  bool good_ = true;
};

// ---- times ----------------------------------------------------------------------------------------------------------

template <class F>
class WorkOf : public cuda::Driver::Work {
 public:
  explicit WorkOf(F f) : f_(f) {}
  Status enqueue(void* stream) override { return f_(stream); }

 private:
  F f_;
};

// Device seconds for one, the best of some rounds of about 20 ms.
template <class F>
Result<double> device_seconds(cuda::Driver& driver, F f) {
  WorkOf<F> work(f);
  DROVER_TRY(driver.timed(work, 3));
  DROVER_ASSIGN(double best, driver.timed(work, 10));
  const auto times = static_cast<uint32_t>(std::clamp(0.02 / std::max(best, 1e-7), 1.0, 10000.0));
  for (int round = 0; round < 7; ++round) {
    DROVER_ASSIGN(const double seconds, driver.timed(work, times));
    best = std::min(best, seconds);
  }
  return best;
}

// Seconds of one whole host call: the median of many.
template <class F>
Result<double> call_seconds(F f) {
  std::vector<double> all;
  for (int i = 0; i < 200; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    DROVER_TRY(f());
    all.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::nth_element(all.begin(), all.begin() + 100, all.end());
  return all[100];
}

Status time_pool(const std::shared_ptr<cuda::Driver>& driver) {
  // More bytes than any cache holds.
  for (const auto& [shape, frames] : {std::pair{FrameShape{128, 128}, 8192u}, std::pair{FrameShape{480, 640}, 512u}}) {
    const size_t bytes = shape.bytes() * frames;
    cuda::Memory in(driver, false), to(driver, false), out(driver, false);
    cuda::DevicePool pool(driver);
    DROVER_TRY(in.reserve(bytes));
    DROVER_TRY(to.reserve(bytes));
    DROVER_TRY(out.reserve(frames * pool_v1_dim * sizeof(float)));
    DROVER_ASSIGN(const double copy_s, device_seconds(*driver, [&](void* stream) {
                    return driver->copy(to.as<void>(), in.as<void>(), bytes, stream);
                  }));
    DROVER_ASSIGN(const double pool_s, device_seconds(*driver, [&, shape = shape, frames = frames](void* stream) {
                    return pool.enqueue(in.as<const uint8_t>(), shape, frames, false, out.as<float>(), stream);
                  }));
    const auto n = static_cast<double>(bytes);
    std::printf(
        "cuda pool %ux%u batch %-5u %12.0f images/s  %7.0f GB/s read  copy %7.0f GB/s read and written  ratio %.2f\n",
        shape.width, shape.height, frames, frames / pool_s, n / pool_s * 1e-9, 2 * n / copy_s * 1e-9,
        n / pool_s / (2 * n / copy_s));
  }
  return {};
}

Status time_vit(const Context& context, const char* name) {
  const VitShape shape;
  DROVER_ASSIGN(const Weights weights, seeded_vit_weights(shape, 1));
  DROVER_ASSIGN(const VitEncoder encoder, VitEncoder::make(context, weights));
  const auto& driver = context.device();
  for (uint32_t batch : {1u, 64u, 1024u}) {
    std::vector<uint8_t> rgb(shape.frame_bytes() * batch, 77);
    std::vector<float> out(size_t{batch} * shape.dim);
    cuda::Memory in(driver, false), to(driver, false);
    DROVER_TRY(in.reserve(rgb.size()));
    DROVER_TRY(to.reserve(out.size() * sizeof(float)));
    DROVER_ASSIGN(const double device_s, device_seconds(*driver, [&](void* stream) {
                    return encoder.device()->enqueue(in.as<const uint8_t>(), to.as<float>(), batch, stream);
                  }));
    DROVER_ASSIGN(const double call_s, call_seconds([&] { return encoder.run(context, rgb, out); }));
    std::printf(
        "cuda vit 128x128 p16 d128 x4 %-7s batch %-4u  device %9.1f us  %10.0f images/s  %6.1f TFLOP/s  host call "
        "%9.1f us\n",
        name, batch, device_s * 1e6, batch / device_s, batch * shape.flops() / device_s * 1e-12, call_s * 1e6);
  }
  return {};
}

Status time_mlp(const Context& context, const char* name) {
  const MlpShape shape{{32, 256, 256, 8}, Activation::tanh, Activation::none};
  DROVER_ASSIGN(const Weights weights, seeded_mlp_weights(shape, 1));
  DROVER_ASSIGN(const MlpPolicy policy, MlpPolicy::make(context, weights));
  const auto& driver = context.device();
  for (uint32_t batch : {1u, 64u, 4096u}) {
    std::vector<float> rows(size_t{batch} * 32, 0.25f), out(size_t{batch} * 8);
    cuda::Memory in(driver, false), to(driver, false);
    DROVER_TRY(in.reserve(rows.size() * sizeof(float)));
    DROVER_TRY(to.reserve(out.size() * sizeof(float)));
    DROVER_ASSIGN(const double device_s, device_seconds(*driver, [&](void* stream) {
                    return policy.device()->enqueue(in.as<const float>(), to.as<float>(), batch, stream);
                  }));
    DROVER_ASSIGN(const double call_s, call_seconds([&] { return policy.run(context, rows, out); }));
    std::printf("cuda mlp 32-256-256-8 %-7s batch %-4u  device %9.1f us  %12.0f rows/s  host call %9.1f us\n", name,
                batch, device_s * 1e6, batch / device_s, call_s * 1e6);
  }
  return {};
}

}  // namespace

bool check_backends(uint64_t seed) {
  std::printf("check: seed %llu\n", static_cast<unsigned long long>(seed));
  Checker checker(seed);
  bool good = true;
  for (Isa isa : usable_isas()) {
    ContextOptions options;
    options.isa = isa;
    const auto context = Context::make(options);
    good = context && checker.all(**context, std::string(isa_name(isa))) && good;
  }
  auto device = cuda::open_device();
  if (!device) {
    std::printf("check cuda: not run: %s\n", device.error().what.c_str());
    return good;
  }
  for (Precision precision : {Precision::f32, Precision::bf16}) {
    ContextOptions options;
    options.backend = Backend::cuda;
    options.device = *device;
    options.precision = precision;
    const auto context = Context::make(options);
    good = context && checker.all(**context, precision == Precision::bf16 ? "cuda bf16" : "cuda float32") && good;
  }
  return good;
}

Status bench_device() {
  auto device = cuda::open_device();
  if (!device) {
    std::printf("cuda: no figures: %s\n", device.error().what.c_str());
    return {};
  }
  DROVER_TRY(time_pool(*device));
  for (Precision precision : {Precision::f32, Precision::bf16}) {
    ContextOptions options;
    options.backend = Backend::cuda;
    options.device = *device;
    options.precision = precision;
    DROVER_ASSIGN(const auto context, Context::make(options));
    const char* name = precision == Precision::bf16 ? "bf16" : "float32";
    DROVER_TRY(time_vit(*context, name));
    DROVER_TRY(time_mlp(*context, name));
  }
  return {};
}

}  // namespace drover::bench

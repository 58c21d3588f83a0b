// drover-bench-kernels: pooling, ViT and MLP rates beside raw limits measured in the same run; on a CUDA device too
// when there is one (kernels_device.cpp). With --check: every backend of this machine against float64 on random inputs
// first; the exit status is 1 when one is wrong.
//
// Each figure is the best of several rounds, so that a busy machine disturbs it little; rounds of product and limit
// take turns. One line per figure: name, rate, share of the limit where one applies.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "kernels/mlp.hpp"
#include "kernels/pool.hpp"
#include "kernels/simd.hpp"
#include "kernels/team.hpp"
#include "kernels/vit.hpp"
#include "kernels_device.hpp"
#include "messages/check.hpp"

namespace {

using namespace drover;
using namespace drover::kernels;

struct Settings {
  uint32_t threads = 0;
  std::string isa = "best";
  uint32_t rounds = 5;
  double round_seconds = 0.1;
  bool check = false;
  uint64_t seed = std::random_device{}();
};

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Calls per second of the best of `rounds` rounds of at least round_seconds each.
double best_rate(const Settings& settings, const std::function<void()>& call) {
  call();
  double best = 0;
  for (uint32_t round = 0; round < settings.rounds; ++round) {
    const double start = now_s();
    uint64_t calls = 0;
    double spent = 0;
    do {
      call();
      ++calls;
      spent = now_s() - start;
    } while (spent < settings.round_seconds);
    best = std::max(best, static_cast<double>(calls) / spent);
  }
  return best;
}

void must(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "drover-bench-kernels: %s\n", status.error().message().c_str());
  std::exit(1);
}

template <class T>
T must(Result<T> result) {
  if (!result) must(Status(tl::unexpected(result.error())));
  return std::move(*result);
}

std::vector<uint8_t> random_bytes(size_t n) {
  std::mt19937_64 engine(1);
  std::vector<uint8_t> out(n);
  for (auto& b : out) b = static_cast<uint8_t>(engine());
  return out;
}

// Bytes per second read by memcpy of `bytes` on as many threads as the context has.
double memcpy_rate(const Settings& settings, const Context& context, size_t bytes) {
  std::vector<uint8_t> from = random_bytes(bytes), to(bytes);
  const uint32_t ranks = context.threads();
  return static_cast<double>(bytes) * best_rate(settings, [&] {
           context.team().run(ranks, 0, [&](uint32_t rank) {
             const size_t first = bytes * rank / ranks, last = bytes * (rank + 1) / ranks;
             std::memcpy(to.data() + first, from.data() + first, last - first);
           });
         });
}

// Operations per second of one large product in the kernels' own inner loop, on `ranks` threads.
double gemm_rate(const Settings& settings, const Context& context, uint32_t ranks) {
  constexpr size_t n = 384;
  std::vector<float> a(n * n, 0.5f), b(n * n, 0.25f), c(n * n * ranks);
  GemmArgs g;
  g.a = a.data();
  g.a_stride = n;
  g.b = b.data();
  g.c_stride = n;
  g.rows = n;
  g.k = n;
  g.panels = n / context.ops().width;
  return 2.0 * n * n * n * ranks * best_rate(settings, [&] {
           context.team().run(ranks, 0, [&](uint32_t rank) {
             GemmArgs mine = g;
             mine.c = c.data() + rank * n * n;
             context.ops().gemm(mine);
           });
         });
}

void bench_pool(const Settings& settings, const Context& context) {
  for (const FrameShape shape : {FrameShape{128, 128}, FrameShape{480, 640}}) {
    for (size_t batch : {1, 64}) {
      const auto rgb = random_bytes(shape.bytes() * batch);
      std::vector<float> out(batch * pool_v1_dim);
      const double limit = memcpy_rate(settings, context, rgb.size());
      const double calls = best_rate(settings, [&] { must(pool_frames(context, rgb, shape, out)); });
      const double bytes = calls * static_cast<double>(rgb.size());
      std::printf(
          "pool %ux%u batch %-3zu %10.0f images/s  %6.2f GB/s  memcpy of the same bytes %6.2f GB/s  ratio %.2f\n",
          shape.width, shape.height, batch, calls * static_cast<double>(batch), bytes * 1e-9, limit * 1e-9,
          bytes / limit);
    }
  }
}

void bench_vit(const Settings& settings, const Context& context) {
  const VitShape shape;
  const VitEncoder encoder = must(VitEncoder::make(context, must(seeded_vit_weights(shape, 1))));
  for (size_t batch : {1, 64}) {
    const auto rgb = random_bytes(shape.frame_bytes() * batch);
    std::vector<float> out(batch * shape.dim);
    const double limit = gemm_rate(settings, context, context.threads());
    const double calls = best_rate(settings, [&] { must(encoder.run(context, rgb, out)); });
    const double images = calls * static_cast<double>(batch);
    std::printf(
        "vit %ux%u p%u d%u x%u batch %-3zu %8.1f images/s  %6.1f GFLOP/s  plain product %6.1f GFLOP/s  ratio %.2f\n",
        shape.width, shape.height, shape.patch, shape.dim, shape.depth, batch, images, images * shape.flops() * 1e-9,
        limit * 1e-9, images * shape.flops() / limit);
  }
}

void bench_mlp(const Settings& settings, const Context& context) {
  const MlpShape shape{{32, 256, 256, 8}, Activation::tanh, Activation::none};
  const MlpPolicy policy = must(MlpPolicy::make(context, must(seeded_mlp_weights(shape, 1))));
  for (size_t batch : {1, 64}) {
    std::vector<float> in(batch * 32, 0.25f), out(batch * 8);
    const double calls = best_rate(settings, [&] { must(policy.run(context, in, out)); });
    std::printf("mlp 32-256-256-8 batch %-3zu %10.0f rows/s  %6.1f us a call\n", batch,
                calls * static_cast<double>(batch), 1e6 / calls);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  CLI::App app{"Rates of the inference kernels beside raw limits of the same run"};
  app.add_option("--threads", settings.threads, "threads, 0 for all")->check(CLI::Range(0, 64));
  app.add_option("--isa", settings.isa, "best, portable, avx2 or avx512")
      ->check(CLI::IsMember({"best", "portable", "avx2", "avx512"}));
  app.add_option("--rounds", settings.rounds, "rounds per figure; the best counts")->check(CLI::Range(1, 100));
  app.add_option("--round-seconds", settings.round_seconds, "of one round")->check(CLI::Range(0.01, 10.0));
  app.add_flag("--check", settings.check, "compare every backend with float64 first");
  app.add_option("--seed", settings.seed, "of the check's inputs and weights; by default a fresh one");
  CLI11_PARSE(app, argc, argv);
  if (settings.check && !bench::check_backends(settings.seed)) return 1;
  ContextOptions options;
  options.threads = settings.threads;
  options.backend = Backend::cpu;
  for (Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
    if (isa_name(isa) == settings.isa) options.isa = isa;
  }
  const auto context = must(Context::make(options));
  std::printf("%s\n", context->description().c_str());
  bench_pool(settings, *context);
  bench_vit(settings, *context);
  bench_mlp(settings, *context);
  must(bench::bench_device());
  return 0;
}

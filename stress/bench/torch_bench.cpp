// drover-bench-torch: our inference kernels beside LibTorch eager, on the same weights and inputs.
//
// Rounds of both take turns in one process, so that a busy machine disturbs both alike; a figure is the median over
// rounds. LibTorch is measured with one thread and with as many as ours has, and the better one counts. Both must agree
// on the results first. OpenBLAS takes processors that it does not know for one without vector units, so the kernels
// for this machine's instruction set are named to it. Built only where LibTorch is installed; nothing else needs it.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "kernels/mlp.hpp"
#include "kernels/vit.hpp"

namespace {

using namespace drover;
using namespace drover::kernels;

struct Settings {
  uint32_t threads = 0;
  uint32_t rounds = 21;
  double round_seconds = 0.05;
};

template <class T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "drover-bench-torch: %s\n", result.error().message().c_str());
  std::exit(1);
}
void must(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "drover-bench-torch: %s\n", status.error().message().c_str());
  std::exit(1);
}

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Seconds a call, in one round of at least `round_seconds`.
double round_of(double round_seconds, const std::function<void()>& call) {
  const double start = now_s();
  uint64_t calls = 0;
  double spent = 0;
  do {
    call();
    ++calls;
    spent = now_s() - start;
  } while (spent < round_seconds);
  return spent / static_cast<double>(calls);
}

struct Times {
  double ours_s = 0, torch_s = 0;
  int torch_threads = 1;
};

Times side_by_side(const Settings& settings, int threads, const std::function<void()>& ours,
                   const std::function<void()>& torch) {
  std::vector<int> counts{1};
  if (threads > 1) counts.push_back(threads);
  Times best;
  std::vector<double> our_rounds;
  for (int count : counts) {
    at::set_num_threads(count);
    ours();
    torch();
    torch();
    std::vector<double> torch_rounds;
    for (uint32_t i = 0; i < settings.rounds; ++i) {
      our_rounds.push_back(round_of(settings.round_seconds, ours));
      torch_rounds.push_back(round_of(settings.round_seconds, torch));
    }
    const double t = median(torch_rounds);
    if (count == 1 || t < best.torch_s) best = {0, t, count};
  }
  best.ours_s = median(our_rounds);
  return best;
}

void report(const std::string& name, size_t batch, const Times& t, double error) {
  const auto n = static_cast<double>(batch);
  std::printf(
      "%-28s batch %-3zu  ours %9.1f/s (%8.1f us)  LibTorch %9.1f/s (%8.1f us, %d threads)  ratio %.2f  agree %.1e\n",
      name.c_str(), batch, n / t.ours_s, t.ours_s * 1e6, n / t.torch_s, t.torch_s * 1e6, t.torch_threads,
      t.torch_s / t.ours_s, error);
}

double difference(const std::vector<float>& ours, const at::Tensor& torch) {
  const at::Tensor flat = torch.contiguous().view({-1});
  const float* p = flat.data_ptr<float>();
  double largest = 0, size = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    largest = std::max(largest, std::abs(double{ours[i]} - double{p[i]}));
    size = std::max(size, std::abs(double{p[i]}));
  }
  if (!(largest < 1e-3 * size)) {
    std::fprintf(stderr, "drover-bench-torch: the results differ by %g of %g: not the same model\n", largest, size);
    std::exit(1);
  }
  return largest / size;
}

// All arrays of a model as tensors, by name.
std::map<std::string, at::Tensor> tensors_of(const Weights& weights) {
  std::map<std::string, at::Tensor> out;
  for (const Tensor& t : weights.tensors) {
    std::vector<int64_t> shape(t.shape.begin(), t.shape.end());
    at::Tensor tensor = at::empty(shape, at::kFloat);
    std::copy(t.values.begin(), t.values.end(), tensor.data_ptr<float>());
    out.emplace(t.name, tensor);
  }
  return out;
}

// The encoder as one would write it with torch.nn.functional.
class TorchVit {
 public:
  TorchVit(const VitShape& shape, const Weights& weights) : s_(shape), w_(tensors_of(weights)) {
    conv_ = w_.at("patch.weight").view({s_.dim, s_.patch, s_.patch, 3}).permute({0, 3, 1, 2}).contiguous();
    blocks_.resize(s_.depth);
    for (size_t b = 0; b < s_.depth; ++b) {
      const std::string p = "block" + std::to_string(b) + ".";
      const auto at = [&](const char* name) { return w_.at(p + name); };
      blocks_[b] = {at("norm1.gain"), at("norm1.shift"), at("norm2.gain"),  at("norm2.shift"),
                    at("qkv.weight"), at("qkv.bias"),    at("proj.weight"), at("proj.bias"),
                    at("up.weight"),  at("up.bias"),     at("down.weight"), at("down.bias")};
    }
  }

  at::Tensor operator()(const at::Tensor& rgb) const {
    const int64_t n = rgb.size(0), d = s_.dim, heads = s_.heads, t = static_cast<int64_t>(s_.tokens());
    const at::Tensor image = (rgb.to(at::kFloat) / 255.0f - w_.at("input.mean")) / w_.at("input.std");
    at::Tensor x =
        at::conv2d(image.permute({0, 3, 1, 2}), conv_, w_.at("patch.bias"), s_.patch).flatten(2).transpose(1, 2) +
        w_.at("position");
    for (const Block& b : blocks_) {
      const at::Tensor qkv = at::linear(at::layer_norm(x, {d}, b.gain1, b.shift1), b.qkv, b.qkv_bias)
                                 .view({n, t, 3, heads, d / heads})
                                 .permute({2, 0, 3, 1, 4});
      const at::Tensor scores =
          at::matmul(qkv[0], qkv[1].transpose(-2, -1)) / std::sqrt(static_cast<double>(d / heads));
      const at::Tensor attended = at::matmul(at::softmax(scores, -1), qkv[2]).transpose(1, 2).reshape({n, t, d});
      x = x + at::linear(attended, b.proj, b.proj_bias);
      const at::Tensor up = at::gelu(at::linear(at::layer_norm(x, {d}, b.gain2, b.shift2), b.up, b.up_bias));
      x = x + at::linear(up, b.down, b.down_bias);
    }
    return at::layer_norm(x, {d}, w_.at("norm.gain"), w_.at("norm.shift")).mean(1);
  }

 private:
  struct Block {
    at::Tensor gain1, shift1, gain2, shift2, qkv, qkv_bias, proj, proj_bias, up, up_bias, down, down_bias;
  };
  VitShape s_;
  std::map<std::string, at::Tensor> w_;
  at::Tensor conv_;
  std::vector<Block> blocks_;
};

void bench_vit(const Settings& settings, const Context& context) {
  const VitShape shape;
  const Weights weights = must(seeded_vit_weights(shape, 1));
  const VitEncoder encoder = must(VitEncoder::make(context, weights));
  const TorchVit torch(shape, weights);
  for (size_t batch : {1, 8, 64}) {
    std::mt19937_64 engine(7);
    std::vector<uint8_t> rgb(shape.frame_bytes() * batch);
    for (auto& b : rgb) b = static_cast<uint8_t>(engine());
    std::vector<float> out(batch * shape.dim);
    const at::Tensor in = at::from_blob(rgb.data(), {static_cast<int64_t>(batch), shape.height, shape.width, 3},
                                        at::TensorOptions().dtype(at::kByte));
    must(encoder.run(context, rgb, out));
    const double error = difference(out, torch(in));
    const Times t = side_by_side(
        settings, static_cast<int>(context.threads()), [&] { must(encoder.run(context, rgb, out)); },
        [&] { torch(in); });
    report("vit 128x128 p16 d128 x4", batch, t, error);
  }
}

void bench_mlp(const Settings& settings, const Context& context) {
  const MlpShape shape{{32, 256, 256, 8}, Activation::tanh, Activation::none};
  const Weights weights = must(seeded_mlp_weights(shape, 1));
  const MlpPolicy policy = must(MlpPolicy::make(context, weights));
  const auto w = tensors_of(weights);
  const auto torch = [&](const at::Tensor& x) {
    const at::Tensor a = at::tanh(at::linear(x, w.at("layer0.weight"), w.at("layer0.bias")));
    const at::Tensor b = at::tanh(at::linear(a, w.at("layer1.weight"), w.at("layer1.bias")));
    return at::linear(b, w.at("layer2.weight"), w.at("layer2.bias"));
  };
  for (size_t batch : {1, 64, 1024}) {
    std::mt19937 engine(7);
    std::uniform_real_distribution<float> uniform(-1, 1);
    std::vector<float> in(batch * 32), out(batch * 8);
    for (float& x : in) x = uniform(engine);
    const at::Tensor x = at::from_blob(in.data(), {static_cast<int64_t>(batch), 32});
    must(policy.run(context, in, out));
    const double error = difference(out, torch(x));
    const Times t = side_by_side(
        settings, static_cast<int>(context.threads()), [&] { must(policy.run(context, in, out)); }, [&] { torch(x); });
    report("mlp 32-256-256-8", batch, t, error);
  }
}

// OpenBLAS reads the name while it is loaded: the program starts itself once more.
void name_blas_core(char** argv) {
  const auto isas = usable_isas();
  if (std::getenv("OPENBLAS_CORETYPE") != nullptr || isas.back() == Isa::portable) return;
  setenv("OPENBLAS_CORETYPE", isas.back() == Isa::avx512 ? "SkylakeX" : "Haswell", 1);
  execv("/proc/self/exe", argv);
}

}  // namespace

int main(int argc, char** argv) {
  name_blas_core(argv);
  Settings settings;
  CLI::App app{"Our inference kernels beside LibTorch eager on the processor"};
  app.add_option("--threads", settings.threads, "threads, 0 for all")->check(CLI::Range(0, 64));
  app.add_option("--rounds", settings.rounds, "rounds per figure; the median counts")->check(CLI::Range(1, 1000));
  app.add_option("--round-seconds", settings.round_seconds, "of one round")->check(CLI::Range(0.001, 10.0));
  CLI11_PARSE(app, argc, argv);
  const c10::InferenceMode inference;
  ContextOptions options;
  options.threads = settings.threads;
  options.backend = Backend::cpu;
  const auto context = must(Context::make(options));
  std::printf("%s\n", context->description().c_str());
  bench_vit(settings, *context);
  bench_mlp(settings, *context);
  return 0;
}

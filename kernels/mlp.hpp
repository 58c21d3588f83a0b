// MlpPolicy: forward pass of a policy network, observation -> action.
//
//   h_0 = observation;  h_{l+1} = act(W_l h_l + b_l) for all but the last layer;  action = act_out(W h + b)
//
// Invariants: finite in, finite out or an error; the same bits for a row whatever batch or number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/context.hpp"
#include "kernels/linear.hpp"
#include "kernels/weights.hpp"

namespace drover::kernels {

namespace cuda {
class DeviceMlp;
}

constexpr uint32_t mlp_layers_max = 16;
constexpr uint32_t mlp_width_max = 8192;

struct MlpShape {
  std::vector<uint32_t> widths;  // observation, hidden layers..., action: 2..17 values of 1..8192
  Activation hidden = Activation::tanh;
  Activation output = Activation::none;
};

class MlpPolicy {
 public:
  // Packs `weights` for the context's instruction set and, on the cuda backend, uploads them; they are not needed
  // afterwards. Errors name the parameter or array that is missing, out of range or misshapen.
  static Result<MlpPolicy> make(const Context& context, const Weights& weights);

  const MlpShape& shape() const noexcept { return shape_; }
  Backend backend() const noexcept { return device_ == nullptr ? Backend::cpu : Backend::cuda; }
  // For arrays in device memory (kernels/cuda/models.hpp); null on the processor.
  const std::shared_ptr<cuda::DeviceMlp>& device() const noexcept { return device_; }

  // observations [batch, widths.front()] -> actions [batch, widths.back()]. invalid_argument for sizes that do not fit,
  // another instruction set than at make(), or an observation that is not finite; internal when the sums overflow (the
  // content of `actions` is then unspecified); unavailable when the device failed. Threads: any number may run one
  // policy.
  Status run(const Context& context, std::span<const float> observations, std::span<float> actions) const;

 private:
  void run_cpu(const Context& context, std::span<const float> observations, std::span<float> actions) const;
  void run_rows(const SimdOps& ops, std::span<const float> x, std::span<float> y, float* scratch) const;

  MlpShape shape_;
  Isa isa_ = Isa::portable;
  std::vector<Linear> layers_;
  size_t widest_ = 0;
  std::shared_ptr<cuda::DeviceMlp> device_;
};

// Untrained weights of this shape: uniform in +-sqrt(6 / (in + out)), biases 0, the same bits on every machine for a
// seed; `note` says so. invalid_argument for a shape out of range.
Result<Weights> seeded_mlp_weights(const MlpShape& shape, uint64_t seed);

}  // namespace drover::kernels

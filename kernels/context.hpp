// Context: what the kernels run on, a CUDA device or an instruction set of the processor with some threads. Made once,
// by the node's main.
//
// Invariants:
// - A result never depends on the number of threads, only on the backend, its precision and the instruction set (and
//   pooling not even on those).
// - A context always has its processor side: what a device does not take runs there.
// - Work is split over at most `threads` threads, of which the caller is one; between calls the others sleep.
// - Calls on one context are served one after the other; any thread may call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "messages/result.hpp"

namespace drover::kernels {

struct SimdOps;
class Team;
namespace cuda {
class Driver;
}

enum class Backend : uint8_t { cpu, cuda };

// Of a CUDA device's products. f32: plain float32. bf16: inputs of products rounded to 8 bits of mantissa, tensor
// cores, sums in float32; results within 1e-2. The processor always computes in float32.
enum class Precision : uint8_t { f32, bf16 };

enum class Isa : uint8_t { portable, avx2, avx512 };

std::string_view isa_name(Isa isa) noexcept;

// Those that this build has and this machine can run, slowest first. Never empty.
std::vector<Isa> usable_isas();

struct ContextOptions {
  uint32_t threads = 0;    // 0: as many as the machine has; at most 64
  std::optional<Isa> isa;  // none: the fastest usable
  // none: the CUDA device when there is one and no instruction set is named, else the processor.
  std::optional<Backend> backend = std::nullopt;
  Precision precision = Precision::f32;
  std::shared_ptr<cuda::Driver> device = nullptr;  // to use instead of the machine's first device
};

class Context {
 public:
  // invalid_argument for more than 64 threads, unavailable for an instruction set or a CUDA device this machine does
  // not have or when the system gives no more threads. Looking for a device takes no time without a driver, and some
  // tenths of a second with one.
  static Result<std::unique_ptr<Context>> make(const ContextOptions& options);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  Isa isa() const noexcept { return isa_; }
  uint32_t threads() const noexcept;

  Backend backend() const noexcept { return device_ == nullptr ? Backend::cpu : Backend::cuda; }
  Precision precision() const noexcept { return precision_; }

  // One line for the log: "kernels: cpu avx512, 2 threads; no CUDA driver" or
  // "kernels: cuda NVIDIA H200, 132 processors, float32; else cpu avx512, 2 threads".
  std::string description() const;

  // For the kernels themselves.
  const SimdOps& ops() const noexcept { return *ops_; }
  Team& team() const noexcept { return *team_; }
  const std::shared_ptr<cuda::Driver>& device() const noexcept { return device_; }  // null on the cpu backend

 private:
  Context(Isa isa, const SimdOps& ops, std::unique_ptr<Team> team);
  Status choose_backend(const ContextOptions& options);

  Isa isa_;
  const SimdOps* ops_;
  std::unique_ptr<Team> team_;
  std::shared_ptr<cuda::Driver> device_;
  Precision precision_ = Precision::f32;
  std::string no_device_;  // why there is none
};

}  // namespace drover::kernels

// Context: the choice of instruction set, made once from what the processor says.
#include "kernels/context.hpp"

#include <algorithm>
#include <system_error>

#include "kernels/cuda/driver.hpp"
#include "kernels/simd.hpp"
#include "kernels/team.hpp"

namespace drover::kernels {
namespace {

constexpr uint32_t threads_max = 64;

bool usable(Isa isa) {
  switch (isa) {
    case Isa::portable:
      return true;
#if defined(DROVER_KERNELS_X86)
    case Isa::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::avx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
    case Isa::avx2:
    case Isa::avx512:
      return false;
#endif
  }
  return false;
}

const SimdOps& ops_of(Isa isa) {
#if defined(DROVER_KERNELS_X86)
  if (isa == Isa::avx2) return simd_avx2;
  if (isa == Isa::avx512) return simd_avx512;
#endif
  (void)isa;
  return simd_portable;
}

}  // namespace

std::string_view isa_name(Isa isa) noexcept {
  switch (isa) {
    case Isa::portable:
      return "portable";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
  }
  return "unknown";
}

std::vector<Isa> usable_isas() {
  std::vector<Isa> out;
  for (Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
    if (usable(isa)) out.push_back(isa);
  }
  return out;
}

Result<std::unique_ptr<Context>> Context::make(const ContextOptions& options) {
  if (options.threads > threads_max) {
    return fail(Errc::invalid_argument, "kernels.threads",
                std::to_string(options.threads) + " is over the limit of " + std::to_string(threads_max));
  }
  const Isa isa = options.isa.value_or(usable_isas().back());
  if (!usable(isa)) {
    return fail(Errc::unavailable, "kernels.isa", std::string(isa_name(isa)) + " is not available on this machine");
  }
  const uint32_t machine = std::clamp(std::thread::hardware_concurrency(), 1u, threads_max);
  const uint32_t threads = options.threads == 0 ? machine : options.threads;
  std::unique_ptr<Context> out;
  try {
    out.reset(new Context(isa, ops_of(isa), std::make_unique<Team>(threads)));
  } catch (const std::system_error& error) {
    return fail(Errc::unavailable, "kernels.threads", error.what());
  }
  DROVER_TRY(out->choose_backend(options));
  return out;
}

Status Context::choose_backend(const ContextOptions& options) {
  const Backend wanted = options.backend.value_or(options.isa ? Backend::cpu : Backend::cuda);
  if (wanted == Backend::cpu) {
    no_device_ = "CUDA not asked for";
    return {};
  }
  if (options.device != nullptr) {
    device_ = options.device;
  } else if (auto found = cuda::open_device(); found) {
    device_ = std::move(*found);
  } else if (options.backend) {
    return fail(Errc::unavailable, "kernels.backend", found.error().what);
  } else {
    no_device_ = found.error().what;
  }
  if (device_ != nullptr) precision_ = options.precision;
  return {};
}

Context::Context(Isa isa, const SimdOps& ops, std::unique_ptr<Team> team)
    : isa_(isa), ops_(&ops), team_(std::move(team)) {}
Context::~Context() = default;

uint32_t Context::threads() const noexcept {
  return team_->size();
}

std::string Context::description() const {
  const uint32_t n = threads();
  std::string cpu = "cpu " + std::string(isa_name(isa_)) + ", " + std::to_string(n) + (n == 1 ? " thread" : " threads");
  if (device_ == nullptr) return "kernels: " + cpu + "; " + no_device_;
  const cuda::DeviceInfo& device = device_->info();
  return "kernels: cuda " + device.name + ", " + std::to_string(device.processors) + " processors, " +
         (precision_ == Precision::bf16 ? "bf16" : "float32") + "; else " + cpu;
}

}  // namespace drover::kernels

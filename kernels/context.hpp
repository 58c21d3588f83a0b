// Context: which instruction set the kernels run on and the threads they run with. Made once, by the node's main.
//
// Invariants:
// - A result never depends on the number of threads, only on the instruction set (and pooling not even on that).
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

enum class Isa : uint8_t { portable, avx2, avx512 };

std::string_view isa_name(Isa isa) noexcept;

// Those that this build has and this machine can run, slowest first. Never empty.
std::vector<Isa> usable_isas();

struct ContextOptions {
  uint32_t threads = 0;    // 0: as many as the machine has; at most 64
  std::optional<Isa> isa;  // none: the fastest usable
};

class Context {
 public:
  // invalid_argument for more than 64 threads, unavailable for an instruction set this machine does not have or when
  // the system gives no more threads.
  static Result<std::unique_ptr<Context>> make(const ContextOptions& options);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  Isa isa() const noexcept { return isa_; }
  uint32_t threads() const noexcept;

  // One line for the log: "kernels: cpu avx512, 2 threads; no CUDA driver".
  std::string description() const;

  // For the kernels themselves.
  const SimdOps& ops() const noexcept { return *ops_; }
  Team& team() const noexcept { return *team_; }

 private:
  Context(Isa isa, const SimdOps& ops, std::unique_ptr<Team> team);

  Isa isa_;
  const SimdOps* ops_;
  std::unique_ptr<Team> team_;
};

}  // namespace drover::kernels

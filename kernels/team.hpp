// Team: a fixed set of threads that run one function together, each with its rank. Internal to kernels/.
//
// Invariants:
// - run() returns only after every rank has returned from the function; writes made by a rank are visible to the
// caller.
// - A waiting thread spins for some microseconds (the next stage of a network is that near), then sleeps in the kernel.
// - The function must not throw and must not call run() of the same team.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels/aligned.hpp"

namespace drover::kernels {

// A barrier for `ranks` threads, usable again and again. One rank: free.
class Barrier {
 public:
  explicit Barrier(uint32_t ranks) : ranks_(ranks) {}
  void wait() noexcept;

 private:
  uint32_t ranks_;
  std::atomic<uint32_t> arrived_{0};
  std::atomic<uint32_t> phase_{0};
};

class Team {
 public:
  // Throws std::system_error when the system gives no thread; caught by Context::make.
  explicit Team(uint32_t threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  uint32_t size() const noexcept { return static_cast<uint32_t>(workers_.size()) + 1; }

  // Calls f(rank) on ranks 0..ranks-1 at once; rank 0 is the caller. 1 <= ranks <= size(). `shared_floats` of scratch,
  // aligned to 64 bytes, with unspecified content, are at scratch() for the time of the call.
  template <class F>
  void run(uint32_t ranks, size_t shared_floats, F&& f) {
    const std::lock_guard lock(mutex_);
    scratch_.grow(shared_floats);
    run_locked(
        ranks, [](void* self, uint32_t rank) { (*static_cast<std::remove_reference_t<F>*>(self))(rank); }, &f);
  }
  float* scratch() noexcept { return scratch_.data(); }

 private:
  using Job = void (*)(void*, uint32_t);
  void run_locked(uint32_t ranks, Job job, void* self);
  void work(uint32_t rank) noexcept;

  std::mutex mutex_;
  AlignedFloats scratch_;
  std::vector<std::thread> workers_;
  Job job_ = nullptr;  // written before generation_ is raised, read after
  void* self_ = nullptr;
  uint32_t ranks_ = 0;
  bool stop_ = false;
  std::atomic<uint32_t> generation_{0};
  std::atomic<uint32_t> busy_{0};
};

}  // namespace drover::kernels

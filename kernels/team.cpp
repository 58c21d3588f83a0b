// Team: see team.hpp. The generation counter publishes a job, the busy counter takes back its end.
#include "kernels/team.hpp"

#include "messages/check.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace drover::kernels {
namespace {

void pause() noexcept {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// Returns when `value` is no longer `old`.
void wait_while(const std::atomic<uint32_t>& value, uint32_t old) noexcept {
  for (int i = 0; i < 500; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

void Barrier::wait() noexcept {
  if (ranks_ == 1) return;
  const uint32_t phase = phase_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == ranks_) {
    arrived_.store(0, std::memory_order_relaxed);  // published by the phase below
    phase_.store(phase + 1, std::memory_order_release);
    phase_.notify_all();
  } else {
    wait_while(phase_, phase);
  }
}

Team::Team(uint32_t threads) {
  DROVER_CHECK(threads > 0, "a team has at least its caller");
  workers_.reserve(threads - 1);
  try {
    for (uint32_t rank = 1; rank < threads; ++rank) workers_.emplace_back([this, rank] { work(rank); });
  } catch (...) {
    stop_ = true;
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
    for (auto& worker : workers_) worker.join();
    throw;
  }
}

Team::~Team() {
  stop_ = true;
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void Team::run_locked(uint32_t ranks, Job job, void* self) {
  DROVER_CHECK(ranks > 0 && ranks <= size(), "ranks within the team");
  if (ranks > 1) {
    job_ = job;
    self_ = self;
    ranks_ = ranks;
    busy_.store(static_cast<uint32_t>(workers_.size()), std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
  }
  job(self, 0);
  if (ranks == 1) return;
  for (uint32_t left = busy_.load(std::memory_order_acquire); left != 0; left = busy_.load(std::memory_order_acquire)) {
    wait_while(busy_, left);
  }
}

void Team::work(uint32_t rank) noexcept {
  uint32_t seen = 0;  // every generation ends only after every worker has seen it, so none is missed
  for (;;) {
    wait_while(generation_, seen);
    ++seen;
    if (stop_) return;
    if (rank < ranks_) job_(self_, rank);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_all();
  }
}

}  // namespace drover::kernels

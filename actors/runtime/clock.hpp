// Clock: the only source of time. Logic gets times as arguments; actors read them from their environment.
//
// Threads: reading is safe from any thread. steady_ns never goes back; unix_ns may jump (operators set clocks).
#pragma once

#include <atomic>
#include <cstdint>

namespace drover::runtime {

class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds since 1970-01-01 UTC.
  virtual int64_t unix_ns() const = 0;
  // Nanoseconds since an arbitrary start; monotonic; for deadlines and intervals.
  virtual int64_t steady_ns() const = 0;

  int64_t steady_ms() const { return steady_ns() / 1'000'000; }
};

// The machine's clocks.
class SystemClock final : public Clock {
 public:
  int64_t unix_ns() const override;
  int64_t steady_ns() const override;
};

// A clock that moves only when told to; for tests of logic that takes a Clock.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(int64_t unix_ns = 0) : unix_ns_(unix_ns) {}
  int64_t unix_ns() const override { return unix_ns_.load(); }
  int64_t steady_ns() const override { return steady_ns_.load(); }
  void advance_ns(int64_t delta_ns) {
    unix_ns_ += delta_ns;
    steady_ns_ += delta_ns;
  }
  // Sets the wall clock alone, as an operator or NTP would.
  void jump_unix_ns(int64_t unix_ns) { unix_ns_ = unix_ns; }

 private:
  std::atomic<int64_t> unix_ns_;
  std::atomic<int64_t> steady_ns_ = 0;
};

}  // namespace drover::runtime

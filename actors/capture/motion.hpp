// MotionTrace: the skill trace of a recorded episode: MOVE while a joint is faster than the threshold, DWELL otherwise,
// STOPPED while a stopping event holds; one step for the whole episode when the mapping names no velocity.
//
// Invariants: steps are contiguous and time-ordered; their energies sum to what was added; at most steps_max of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "actors/capture/captured.hpp"
#include "actors/capture/mapping.hpp"

namespace drover::capture {

enum class MotionState : uint8_t { whole, move, dwell, stopped };

class MotionTrace {
 public:
  static constexpr size_t steps_max = 4096;
  explicit MotionTrace(const MotionRule& rule) : rule_(rule) {}

  void begin(int64_t time_ns);
  // Energy gained up to the sample at hand; it belongs to the step that was running.
  void add_energy(double joules);
  // The state from `time_ns` on.
  void enter(MotionState state, int64_t time_ns);
  MotionState state() const noexcept { return state_; }
  // Ends the trace. Steps shorter than min_step_s are joined to the one before (the first: to the one after).
  std::vector<MotionStep> finish(int64_t end_ns);

 private:
  struct Raw {
    MotionState state;
    int64_t start_ns, end_ns;
    double energy_J;
  };
  std::vector<Raw> joined() const;
  const Skill& skill(MotionState state) const;

  const MotionRule& rule_;
  MotionState state_ = MotionState::whole;
  int64_t start_ns_ = 0;
  std::vector<Raw> steps_;
};

}  // namespace drover::capture

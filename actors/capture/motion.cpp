#include "actors/capture/motion.hpp"

#include "messages/check.hpp"

namespace drover::capture {

void MotionTrace::begin(int64_t time_ns) {
  steps_.clear();
  start_ns_ = time_ns;
  steps_.push_back({state_, time_ns, time_ns, 0});
}

void MotionTrace::add_energy(double joules) {
  steps_.back().energy_J += joules;
}

void MotionTrace::enter(MotionState state, int64_t time_ns) {
  state_ = state;
  if (steps_.back().state == state || steps_.size() >= steps_max) return;
  steps_.back().end_ns = time_ns;
  if (steps_.size() == 1 && steps_.back().start_ns == time_ns) {
    steps_.back().state = state;  // the first sample only now says what the episode starts with
    return;
  }
  steps_.push_back({state, time_ns, time_ns, 0});
}

const Skill& MotionTrace::skill(MotionState state) const {
  switch (state) {
    case MotionState::move:
      return rule_.move;
    case MotionState::dwell:
      return rule_.dwell;
    case MotionState::stopped:
      return rule_.stopped;
    case MotionState::whole:
      break;
  }
  return rule_.whole;
}

std::vector<MotionTrace::Raw> MotionTrace::joined() const {
  std::vector<Raw> out;
  for (const Raw& step : steps_) {
    const bool is_short = static_cast<double>(step.end_ns - step.start_ns) * 1e-9 < rule_.min_step_s;
    // A stop is never joined away: it is what the reader of the trace looks for.
    const bool join =
        !out.empty() && (out.back().state == step.state || (is_short && step.state != MotionState::stopped));
    if (join) {
      out.back().end_ns = step.end_ns;
      out.back().energy_J += step.energy_J;
    } else {
      out.push_back(step);
    }
  }
  if (out.size() > 1 && static_cast<double>(out[0].end_ns - out[0].start_ns) * 1e-9 < rule_.min_step_s &&
      out[0].state != MotionState::stopped) {
    out[1].start_ns = out[0].start_ns;
    out[1].energy_J += out[0].energy_J;
    out.erase(out.begin());
  }
  return out;
}

std::vector<MotionStep> MotionTrace::finish(int64_t end_ns) {
  DROVER_CHECK(!steps_.empty(), "finish() without begin()");
  steps_.back().end_ns = end_ns;
  std::vector<MotionStep> out;
  for (const Raw& step : joined()) {
    const Skill& name = skill(step.state);
    out.push_back({name.id, name.name, static_cast<double>(step.start_ns - start_ns_) * 1e-9,
                   static_cast<double>(step.end_ns - start_ns_) * 1e-9,
                   step.state == MotionState::stopped ? "failure" : "success", step.energy_J});
  }
  steps_.clear();
  return out;
}

}  // namespace drover::capture

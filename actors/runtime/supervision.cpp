#include "actors/runtime/supervision.hpp"

#include <algorithm>
#include <cmath>

#include "messages/buggify.hpp"
#include "messages/check.hpp"

namespace drover::runtime {

using State = Supervision::ChildState;
using Kind = Decision::Kind;

int64_t RestartBackoff::delay_ms(uint32_t attempt, Rng& rng) const {
  if (delay_min_ms <= 0) return 0;
  const double exponent = attempt > 0 ? static_cast<double>(attempt - 1) : 0.0;
  double delay = static_cast<double>(delay_min_ms) * std::pow(std::max(factor, 1.0), exponent);
  delay = std::min(delay, static_cast<double>(delay_max_ms));  // also catches an infinite power
  if (jitter > 0) delay *= 1.0 - std::min(jitter, 1.0) * rng.uniform();
  return static_cast<int64_t>(delay);
}

Supervision::Supervision(SupervisionRules rules, std::vector<ChildSpec> children, Rng rng)
    : rules_(rules), specs_(std::move(children)), rng_(rng), slots_(specs_.size()) {}

Decisions Supervision::take() {
  Decisions out;
  out.swap(out_);
  return out;
}

void Supervision::arm(size_t child, int64_t delay_ms) {
  slots_[child].timer = next_token_++;
  out_.push_back({Kind::timer, child, delay_ms, slots_[child].timer});
}

// ---- events

Decisions Supervision::start(int64_t now_ms) {
  for (size_t child = 0; child < specs_.size(); ++child) start_queue_.push_back(child);
  advance(now_ms);
  return take();
}

Decisions Supervision::started(size_t child, int64_t now_ms) {
  DROVER_CHECK(starting_ == child, "started() without a start decision");
  starting_.reset();
  slots_[child].state = State::running;
  slots_[child].started_ms = now_ms;
  if (shutting_down_) queue_stop(child);
  advance(now_ms);
  return take();
}

Decisions Supervision::failed_to_start(size_t child, std::string reason, int64_t now_ms) {
  DROVER_CHECK(starting_ == child, "failed_to_start() without a start decision");
  starting_.reset();
  slots_[child].state = State::idle;
  start_queue_.clear();
  if (!shutting_down_) {
    if (initial_) {
      shut_down("failed to start " + specs_[child].name + ": " + reason, now_ms);
    } else {
      restart(child, reason, now_ms);
    }
  }
  advance(now_ms);
  return take();
}

Decisions Supervision::exited(size_t child, ExitKind kind, std::string reason, int64_t now_ms) {
  const State state = slots_.at(child).state;
  if (over_ || (state != State::running && state != State::stopping)) return {};
  const bool to_be_stopped = std::find(stop_queue_.begin(), stop_queue_.end(), child) != stop_queue_.end();
  if (to_be_stopped) {
    std::erase(stop_queue_, child);
    ended(child);
  } else if (std::none_of(deferred_.begin(), deferred_.end(), [&](const Exit& e) { return e.child == child; })) {
    deferred_.push_back({child, kind, std::move(reason)});
  }
  advance(now_ms);
  return take();
}

Decisions Supervision::timer(uint64_t token, int64_t now_ms) {
  const auto slot = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& s) { return s.timer == token; });
  if (over_ || token == 0 || slot == slots_.end()) return {};
  const auto child = static_cast<size_t>(slot - slots_.begin());
  slot->timer = 0;
  if (slot->state == State::backing_off) {
    begin_starts(child);
  } else if (slot->state == State::stopping && !slot->killed) {
    slot->killed = true;
    out_.push_back({Kind::kill, child});
    arm(child, rules_.kill_grace_ms);
  } else if (slot->state == State::stopping) {
    out_.push_back({Kind::abandon, child});
    std::erase(stop_queue_, child);
    ended(child);
    slots_[child].state = State::gone;
    if (!give_up_reason_) shut_down(specs_[child].name + " survived its kill", now_ms);
  }
  advance(now_ms);
  return take();
}

Decisions Supervision::stop(int64_t now_ms) {
  if (over_ || shutting_down_) return {};
  shut_down(std::nullopt, now_ms);
  advance(now_ms);
  return take();
}

// ---- what follows from them

// Counts one restart; false when it is one too many for the window.
bool Supervision::may_restart(int64_t now_ms) {
  restarts_ms_.push_back(now_ms);
  while (now_ms - restarts_ms_.front() > rules_.intensity.window_ms) restarts_ms_.pop_front();
  return restarts_ms_.size() <= rules_.intensity.max_restarts || buggify::bug(buggify::Bug::intensity_swallowed);
}

bool Supervision::in_group(size_t cause, size_t child) const {
  switch (rules_.strategy) {
    case Strategy::one_for_one:
      return child == cause;
    case Strategy::one_for_all:
      return true;
    case Strategy::rest_for_one:
      return buggify::bug(buggify::Bug::restart_order_reversed) ? child <= cause : child >= cause;
  }
  return false;
}

void Supervision::handle_exit(const Exit& exit, int64_t now_ms) {
  Slot& slot = slots_[exit.child];
  const RestartRule rule = specs_[exit.child].restart;
  slot.state = rule == RestartRule::temporary ? State::gone : State::idle;
  const bool wanted =
      rule == RestartRule::permanent || (rule == RestartRule::transient && exit.kind == ExitKind::abnormal);
  if (wanted) restart(exit.child, exit.reason, now_ms);
}

void Supervision::restart(size_t cause, const std::string& reason, int64_t now_ms) {
  if (!may_restart(now_ms)) {
    return shut_down("too many restarts (" + std::to_string(rules_.intensity.max_restarts) + " in " +
                         std::to_string(rules_.intensity.window_ms) + " ms), last: " + specs_[cause].name + ": " +
                         reason,
                     now_ms);
  }
  Slot& slot = slots_[cause];
  if (now_ms - slot.started_ms >= rules_.backoff.stable_after_ms) slot.attempt = 0;
  ++slot.attempt;
  for (size_t child = specs_.size(); child-- > 0;) {
    if (child != cause && in_group(cause, child)) queue_stop(child);
  }
  restart_cause_ = cause;
}

// Ends everything in reverse. With a reason the supervisor gives up, without one it was asked to end.
void Supervision::shut_down(std::optional<std::string> give_up_reason, int64_t) {
  if (!give_up_reason_) give_up_reason_ = std::move(give_up_reason);
  shutting_down_ = true;
  restart_cause_.reset();
  start_queue_.clear();
  for (size_t child = specs_.size(); child-- > 0;) queue_stop(child);
}

// Makes sure that `child` will not run: a living one is queued, a waiting one forgets its restart.
void Supervision::queue_stop(size_t child) {
  Slot& slot = slots_[child];
  const auto exit = std::find_if(deferred_.begin(), deferred_.end(), [&](const Exit& e) { return e.child == child; });
  if (exit != deferred_.end()) {  // it has ended by itself meanwhile
    deferred_.erase(exit);
    ended(child);
  } else if (slot.state == State::backing_off) {
    slot.state = State::idle;
    slot.timer = 0;
  } else if (slot.state == State::running) {
    if (std::find(stop_queue_.begin(), stop_queue_.end(), child) == stop_queue_.end()) stop_queue_.push_back(child);
  }
}

void Supervision::ended(size_t child) {
  Slot& slot = slots_[child];
  slot.state = specs_[child].restart == RestartRule::temporary ? State::gone : State::idle;
  slot.timer = 0;
  slot.killed = false;
}

void Supervision::emit_stop(size_t child) {
  Slot& slot = slots_[child];
  slot.state = State::stopping;
  if (specs_[child].shutdown_ms == 0) {
    slot.killed = true;
    out_.push_back({Kind::kill, child});
    return arm(child, rules_.kill_grace_ms);
  }
  out_.push_back({Kind::stop, child});
  if (specs_[child].shutdown_ms > 0) arm(child, specs_[child].shutdown_ms);
}

void Supervision::begin_starts(size_t cause) {
  slots_[cause].state = State::idle;
  for (size_t child = 0; child < specs_.size(); ++child) {
    if (!in_group(cause, child) || slots_[child].state != State::idle) continue;
    if (std::find(start_queue_.begin(), start_queue_.end(), child) == start_queue_.end()) start_queue_.push_back(child);
  }
}

// The stop queue is empty and a restart waits for it: begin the backoff, or the starts at once.
void Supervision::advance_stops(int64_t) {
  const size_t cause = *restart_cause_;
  restart_cause_.reset();
  const int64_t delay = rules_.backoff.delay_ms(slots_[cause].attempt, rng_);
  if (delay == 0) return begin_starts(cause);
  slots_[cause].state = State::backing_off;
  arm(cause, delay);
}

// Goes on until something must be awaited. Ends: each turn empties a queue or waits; restarts are bounded by intensity.
void Supervision::advance(int64_t now_ms) {
  while (!over_ && !starting_) {
    if (!stop_queue_.empty()) {
      if (slots_[stop_queue_.front()].state == State::running) emit_stop(stop_queue_.front());
      return;
    }
    if (restart_cause_) {
      advance_stops(now_ms);
    } else if (shutting_down_) {
      over_ = true;
      if (give_up_reason_) {
        out_.push_back({Kind::gave_up, 0, 0, 0, *give_up_reason_});
      } else {
        out_.push_back({Kind::stopped});
      }
    } else if (!start_queue_.empty()) {
      starting_ = start_queue_.front();
      start_queue_.pop_front();
      slots_[*starting_].state = State::starting;
      out_.push_back({Kind::start, *starting_});
    } else if (!deferred_.empty()) {
      initial_ = false;
      const Exit exit = std::move(deferred_.front());
      deferred_.pop_front();
      handle_exit(exit, now_ms);
    } else {
      initial_ = false;
      return;
    }
  }
}

}  // namespace drover::runtime

// Supervision: who is started, stopped, restarted or given up, as a pure state machine with OTP's semantics.
//
// In: events (started, failed to start, exited, timer, stop). Out: decisions, to be carried out in order.
// The time is an argument; the machine asks for timers. At most one start is outstanding: after `start` the
// driver reports started() or failed_to_start() before anything else.
//
// Rules, as in OTP's supervisor:
// - Children start in the order of their specs and stop in reverse, one at a time, each within its deadline.
// - permanent: restarted whatever the exit. transient: only after an abnormal exit. temporary: never; its spec goes
// with it.
// - one_for_one restarts the child; one_for_all stops the others in reverse and starts all in order; rest_for_one does
// so
//   with those after the child. A group start also starts transient children that had ended normally.
// - Every restart, and every failed start while restarting, counts. More than max_restarts within window_ms: all
// children are
//   stopped in reverse and the supervisor gives up. A failed first start gives up at once.
// - A child that ends while its group is being stopped counts as stopped, not as a new failure.
// Ours on top of OTP:
// - A restart waits for an exponential backoff with jitter (OTP restarts at once; delay_min_ms = 0 does the same).
// - A child that survives the kill at its deadline (a stuck thread) is abandoned and the supervisor gives up, because a
// second
//   instance beside a living one could break what it owns.
// - Giving up is always an abnormal exit, also for a transient supervisor (OTP's `shutdown` would end its subtree
// silently).
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "actors/runtime/rng.hpp"

namespace drover::runtime {

enum class RestartRule : uint8_t { permanent, transient, temporary };
enum class Strategy : uint8_t { one_for_one, one_for_all, rest_for_one };
enum class ExitKind : uint8_t { normal, abnormal };  // a stop that was asked for is normal

struct ChildSpec {
  static constexpr int64_t no_deadline = -1;  // for supervisors: their children have deadlines of their own

  std::string name;  // unique within the node
  RestartRule restart = RestartRule::permanent;
  int64_t shutdown_ms = 5'000;  // from the polite stop to the kill; 0: killed at once; no_deadline: never killed
};

struct Intensity {
  uint32_t max_restarts = 5;   // so many within the window are accepted, one more is too many
  int64_t window_ms = 60'000;  // a restart of this age still counts
};

struct RestartBackoff {
  int64_t delay_min_ms = 50;         // before the first restart of a child; 0: restart at once, always
  int64_t delay_max_ms = 10'000;     // before jitter
  double factor = 2.0;               // per further restart of the same child; at least 1
  double jitter = 0.2;               // 0..1: the delay is drawn from [delay * (1 - jitter), delay]
  int64_t stable_after_ms = 60'000;  // a child that ran this long starts from delay_min_ms again

  // The delay before restart number `attempt` (from 1). At most delay_max_ms. Draws from rng once if jitter > 0.
  int64_t delay_ms(uint32_t attempt, Rng& rng) const;
};

struct SupervisionRules {
  Strategy strategy = Strategy::one_for_one;
  Intensity intensity;
  RestartBackoff backoff;
  int64_t kill_grace_ms = 2'000;  // from the kill to `abandon`
};

struct Decision {
  enum class Kind : uint8_t {
    start,    // start `child`
    stop,     // ask `child` to stop; a timer decision for the deadline follows
    kill,     // kill `child`
    abandon,  // `child` survived the kill; forget it, and say so loudly
    timer,    // call timer(token) after delay_ms
    stopped,  // last: all children have ended as asked
    gave_up,  // last: all children have ended; end abnormally with `reason`
  };
  Kind kind;
  size_t child = 0;
  int64_t delay_ms = 0;
  uint64_t token = 0;
  std::string reason = {};
};
using Decisions = std::vector<Decision>;

class Supervision {
 public:
  enum class ChildState : uint8_t { idle, starting, running, stopping, backing_off, gone };

  Supervision(SupervisionRules rules, std::vector<ChildSpec> children, Rng rng);

  Decisions start(int64_t now_ms);                                              // once, first
  Decisions started(size_t child, int64_t now_ms);                              // answer to a start decision
  Decisions failed_to_start(size_t child, std::string reason, int64_t now_ms);  // answer to a start decision
  // A child ended. Ignored for a child that is not alive here (for example an abandoned one).
  Decisions exited(size_t child, ExitKind kind, std::string reason, int64_t now_ms);
  Decisions timer(uint64_t token, int64_t now_ms);  // stale tokens are ignored
  Decisions stop(int64_t now_ms);                   // the owner asks for an orderly end; repeats are ignored

  const std::vector<ChildSpec>& children() const { return specs_; }
  ChildState state(size_t child) const { return slots_.at(child).state; }
  bool over() const { return over_; }

 private:
  struct Slot {
    ChildState state = ChildState::idle;
    uint32_t attempt = 0;  // restarts without a stable run between
    int64_t started_ms = 0;
    uint64_t timer = 0;  // the token that is awaited, 0 when none
    bool killed = false;
  };
  struct Exit {
    size_t child;
    ExitKind kind;
    std::string reason;
  };

  bool busy() const { return !stop_queue_.empty() || !start_queue_.empty() || starting_; }
  bool may_restart(int64_t now_ms);
  bool in_group(size_t cause, size_t child) const;
  void handle_exit(const Exit& exit, int64_t now_ms);
  void restart(size_t cause, const std::string& reason, int64_t now_ms);
  void shut_down(std::optional<std::string> give_up_reason, int64_t now_ms);
  void queue_stop(size_t child);
  void ended(size_t child);
  void advance(int64_t now_ms);
  void advance_stops(int64_t now_ms);
  void emit_stop(size_t child);
  void begin_starts(size_t cause);
  void arm(size_t child, int64_t delay_ms);
  Decisions take();

  SupervisionRules rules_;
  std::vector<ChildSpec> specs_;
  Rng rng_;
  std::vector<Slot> slots_;
  std::deque<int64_t> restarts_ms_;      // at most max_restarts + 1
  std::deque<size_t> stop_queue_;        // front is being stopped if its state is `stopping`
  std::deque<size_t> start_queue_;       // in order of the specs
  std::deque<Exit> deferred_;            // at most one per child
  std::optional<size_t> starting_;       // the outstanding start
  std::optional<size_t> restart_cause_;  // whose restart follows when the stop queue is empty
  std::optional<std::string> give_up_reason_;
  bool initial_ = true;
  bool shutting_down_ = false;
  bool over_ = false;
  uint64_t next_token_ = 1;
  Decisions out_;
};

}  // namespace drover::runtime

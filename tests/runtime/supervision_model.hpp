// A second, independent reading of OTP's supervisor, to check the machine against: blocking, as OTP's own is. It starts
// and stops children through hooks, has a mailbox of exits, and finishes one exit before it looks at the next. No
// backoff, no deadlines.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "actors/runtime/supervision.hpp"

namespace drover::runtime::test {

class OtpModel {
 public:
  struct Hooks {
    std::function<bool(size_t)> start;  // false: failed
    std::function<void(size_t)> stop;   // may call report() for others that end meanwhile
  };

  OtpModel(Strategy strategy, Intensity intensity, std::vector<RestartRule> rules, Hooks hooks)
      : strategy_(strategy), intensity_(intensity), hooks_(std::move(hooks)) {
    for (const RestartRule rule : rules) children_.push_back({rule});
  }

  // False: gave up.
  bool start(int64_t now_ms) {
    now_ms_ = now_ms;
    for (size_t i = 0; i < children_.size(); ++i)
      if (!(children_[i].alive = hooks_.start(i))) return give_up();
    return drain();
  }
  // A child ended by itself.
  void report(size_t child, ExitKind kind) {
    if (!children_[child].alive) return;
    children_[child].alive = false;
    mailbox_.push_back({child, kind});
  }
  bool handle_reports(int64_t now_ms) {
    now_ms_ = now_ms;
    return drain();
  }
  void stop() {
    stop_where([](size_t) { return true; });
    over = true;
  }
  bool alive(size_t child) const { return children_[child].alive; }
  size_t size() const { return children_.size(); }
  bool over = false;

 private:
  struct Entry {
    RestartRule rule;
    bool alive = false;
    bool deleted = false;
  };

  bool drain() {
    while (!over && !mailbox_.empty()) {
      const auto [child, kind] = mailbox_.front();
      mailbox_.pop_front();
      Entry& entry = children_[child];
      if (entry.rule == RestartRule::temporary) {
        entry.deleted = true;
      } else if (entry.rule == RestartRule::permanent || kind == ExitKind::abnormal) {
        if (!restart(child)) return false;
      }
    }
    return !over;
  }

  bool restart(size_t child) {
    restarts_.push_back(now_ms_);
    std::erase_if(restarts_, [&](int64_t then) { return now_ms_ - then > intensity_.window_ms; });
    if (restarts_.size() > intensity_.max_restarts) return give_up();
    size_t first = child, last = child;
    if (strategy_ == Strategy::one_for_all) first = 0;
    if (strategy_ != Strategy::one_for_one) last = children_.size() - 1;
    stop_where([&](size_t i) { return i >= first && i <= last; });
    for (size_t i = first; i <= last; ++i) {
      if (children_[i].deleted) continue;
      if (!(children_[i].alive = hooks_.start(i))) return restart(i);
    }
    return true;
  }

  template <class Pick>
  void stop_where(Pick pick) {
    for (size_t i = children_.size(); i-- > 0;) {
      if (!pick(i)) continue;
      Entry& entry = children_[i];
      const bool was_there = entry.alive || in_mailbox(i);
      if (entry.alive) {
        entry.alive = false;
        hooks_.stop(i);
      }
      std::erase_if(mailbox_, [&](const auto& exit) { return exit.first == i; });
      if (was_there && entry.rule == RestartRule::temporary) entry.deleted = true;
    }
  }
  bool in_mailbox(size_t child) const {
    return std::any_of(mailbox_.begin(), mailbox_.end(), [&](const auto& exit) { return exit.first == child; });
  }
  bool give_up() {
    stop();
    return false;
  }

  Strategy strategy_;
  Intensity intensity_;
  Hooks hooks_;
  std::vector<Entry> children_;
  std::deque<std::pair<size_t, ExitKind>> mailbox_;
  std::vector<int64_t> restarts_;
  int64_t now_ms_ = 0;
};

}  // namespace drover::runtime::test

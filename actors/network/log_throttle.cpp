#include "actors/network/log_throttle.hpp"

#include <utility>

namespace drover::network {

std::optional<uint64_t> LogThrottle::should_log(const std::string& key, int64_t now_ms) {
  const auto found = index_.find(key);
  if (found == index_.end()) {
    if (entries_.size() >= keys_max_) {
      index_.erase(entries_.back().key);
      entries_.pop_back();
    }
    entries_.push_front({key, now_ms, 0});
    index_.emplace(key, entries_.begin());
    return 0;
  }
  entries_.splice(entries_.begin(), entries_, found->second);
  Entry& entry = entries_.front();
  if (now_ms - entry.logged_ms < int64_t{repeat_ms_}) {
    ++entry.silent;
    ++swallowed_;
    return std::nullopt;
  }
  entry.logged_ms = now_ms;
  return std::exchange(entry.silent, 0);
}

}  // namespace drover::network

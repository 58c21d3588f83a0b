// LogThrottle: hostile or broken peers are logged once each, not once per byte or per connection. Pure.
//
// A fact has a key (what kind of trouble, from which address). Its first occurrence is logged; later ones are counted
// and the count is logged with the next occurrence after `repeat_ms`. The table is bounded: when it is full the key
// that was quiet longest is dropped.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

namespace drover::network {

class LogThrottle {
 public:
  explicit LogThrottle(uint32_t repeat_ms, size_t keys_max = 1024) : repeat_ms_(repeat_ms), keys_max_(keys_max) {}

  // Nothing: stay silent. A number: log now, that many occurrences were swallowed since the last line.
  std::optional<uint64_t> should_log(const std::string& key, int64_t now_ms);

  uint64_t swallowed() const noexcept { return swallowed_; }
  size_t keys() const noexcept { return entries_.size(); }

 private:
  struct Entry {
    std::string key;
    int64_t logged_ms = 0;
    uint64_t silent = 0;
  };
  uint32_t repeat_ms_;
  size_t keys_max_;
  uint64_t swallowed_ = 0;
  std::list<Entry> entries_;  // most recent first
  std::unordered_map<std::string, std::list<Entry>::iterator> index_;
};

}  // namespace drover::network

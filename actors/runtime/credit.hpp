// Credit: how bulk stays bounded between actors, in bytes and in messages.
//
// The consumer owns a CreditedInbox of fixed capacity and divides that capacity into equal windows, one per producer. A
// producer sends only while its CreditWindow has room, else it waits; the consumer returns the credit of an item when
// it has processed it. So the inbox never holds more than its capacity while producers keep to their windows. Overflow
// rule: push() refuses what does not fit (the item stays with the caller); a refused item means that a producer broke
// its window, or had two lives at once. Refusing is never silent: the glue (credit_actor.hpp) counts it and tells the
// producer. An item larger than a whole window's bytes would never fit: can_send() refuses it for ever, fits_at_all()
// tells.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

#include "messages/buggify.hpp"
#include "messages/check.hpp"
#include "messages/result.hpp"

namespace drover::runtime {

struct Credit {
  uint64_t messages = 0;
  uint64_t bytes = 0;

  friend bool operator==(const Credit&, const Credit&) = default;
};

// The producer's side: what it may still send. Never negative, never above the window.
class CreditWindow {
 public:
  CreditWindow() = default;  // closed: nothing may be sent
  explicit CreditWindow(Credit window) : window_(window), available_(window) {}

  bool can_send(uint64_t bytes) const { return available_.messages > 0 && available_.bytes >= bytes; }
  bool fits_at_all(uint64_t bytes) const { return window_.messages > 0 && window_.bytes >= bytes; }
  // Takes credit for one message; false and nothing taken if there is not enough.
  bool consume(uint64_t bytes) {
    if (!can_send(bytes)) return false;
    available_.messages -= 1;
    available_.bytes -= bytes;
    return true;
  }
  // Credit comes back. More than is out (a peer's error, or a late return to a new life) is cut to the window; returns
  // false then.
  bool release(Credit credit) {
    const Credit out = in_flight();
    const bool honest = credit.messages <= out.messages && credit.bytes <= out.bytes;
    if (credit.messages > 0 && buggify::bug(buggify::Bug::credit_not_returned)) --credit.messages;
    available_.messages += credit.messages < out.messages ? credit.messages : out.messages;
    available_.bytes += credit.bytes < out.bytes ? credit.bytes : out.bytes;
    return honest;
  }
  Credit available() const { return available_; }
  Credit window() const { return window_; }
  Credit in_flight() const { return {window_.messages - available_.messages, window_.bytes - available_.bytes}; }

 private:
  Credit window_;
  Credit available_;
};

// The consumer's side: a first-in first-out queue that never holds more than its capacity.
template <class Item>
class CreditedInbox {
 public:
  explicit CreditedInbox(Credit capacity) : capacity_(capacity) {}

  // Errors: overloaded (does not fit now); the item is untouched.
  Status push(Item&& item, uint64_t bytes) {
    const bool full = used_.messages >= capacity_.messages || bytes > capacity_.bytes - used_.bytes;
    if (full && !buggify::bug(buggify::Bug::inbox_unbounded))
      return fail(
          Errc::overloaded, "inbox",
          std::to_string(used_.messages) + " messages and " + std::to_string(used_.bytes) + " bytes are queued");
    used_.messages += 1;
    used_.bytes += bytes;
    items_.emplace_back(std::move(item), bytes);
    return {};
  }
  // The oldest item and its bytes.
  std::optional<std::pair<Item, uint64_t>> pop() {
    if (items_.empty()) return std::nullopt;
    std::optional<std::pair<Item, uint64_t>> front(std::move(items_.front()));
    items_.pop_front();
    DROVER_CHECK(used_.messages > 0 && used_.bytes >= front->second, "inbox accounting");
    used_.messages -= 1;
    used_.bytes -= front->second;
    return front;
  }
  bool empty() const { return items_.empty(); }
  Credit used() const { return used_; }
  Credit capacity() const { return capacity_; }
  // The equal window of each of `producers` producers.
  Credit share(uint32_t producers) const {
    const uint64_t n = producers == 0 ? 1 : producers;
    return {capacity_.messages / n, capacity_.bytes / n};
  }

 private:
  const Credit capacity_;
  Credit used_;
  std::deque<std::pair<Item, uint64_t>> items_;
};

}  // namespace drover::runtime

// The credit lane between actors: bulk flows through a bounded local queue, one item per turn, and control never waits
// behind it.
//
// Consumer: holds a CreditedLane<Item> in its state, splices lane.handlers(self) into its behavior, and gets its items
// one at a time. Between two items it goes back to its mailbox by sending itself LaneTurn at normal priority; control
// messages are sent with message_priority::high and so overtake. A control message waits for at most the item in work
// and the handful of messages that CAF takes per round, whatever the length of the queue (tested: "control overtakes
// bulk"). Producer: holds a CreditedSender<Item>, splices sender.handlers(self), calls sender.open() once the consumer
// is known (and again when it has been restarted: watch Ref::generation or the consumer's down message), then offer().
// offer() returning false means: wait for on_credit.
//
// Messages: OpenLane (producer -> consumer, ahead) answered by LaneCredit{initial}; LaneItem<Item> (normal);
// LaneCredit (consumer -> producer, ahead); LaneRefused (no window free, or the producer overran its own).
// The lane monitors its producers. The actor's down handler must call lane.forget(down.source), so that the window of a
// producer that has gone is given to the next; until then new ones are refused and may open() again.
#pragma once

#include <caf/actor.hpp>
#include <caf/actor_cast.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/message_handler.hpp>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "actors/runtime/credit.hpp"
#include "actors/runtime/metrics.hpp"

namespace drover::runtime {

struct OpenLane {};
struct LaneCredit {
  Credit credit;
  bool initial = false;
};
struct LaneRefused {
  Error error;
};
struct LaneTurn {};
template <class Item>
struct LaneItem {
  Item item;
  uint64_t bytes = 0;
};

}  // namespace drover::runtime

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::runtime::OpenLane)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::runtime::LaneCredit)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::runtime::LaneRefused)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::runtime::LaneTurn)
namespace caf {
template <class Item>
struct allowed_unsafe_message_type<drover::runtime::LaneItem<Item>> : std::true_type {};
}  // namespace caf

namespace drover::runtime {

struct LaneConfig {
  Credit capacity{256, 16u << 20};  // of all producers together
  uint32_t max_producers = 1;       // each gets capacity / max_producers; at least 1
};

template <class Item>
class CreditedLane {
 public:
  // `handle` processes one item; a throw ends the actor as in any handler. `refused` (may be null) counts refused
  // items.
  CreditedLane(LaneConfig config, std::function<void(Item&)> handle, Counter* refused = nullptr)
      : config_(config), inbox_(config.capacity), handle_(std::move(handle)), refused_(refused) {}

  // The lane must live as long as the actor (put it into the actor's state, behind a unique_ptr if it is made late).
  caf::message_handler handlers(caf::event_based_actor* self) {
    return caf::message_handler{[this, self](const OpenLane&) { open(self, self->current_sender()); },
                                [this, self](LaneItem<Item>& item) { take(self, std::move(item)); },
                                [this, self](const LaneTurn&) { turn(self); }};
  }
  // A producer has gone: its window may be given away once its queued items are done.
  void forget(const caf::actor_addr& producer) {
    if (auto it = producers_.find(producer); it != producers_.end()) {
      it->second.gone = true;
      drop_if_done(it);
    }
  }
  Credit used() const { return inbox_.used(); }
  size_t producer_count() const { return producers_.size(); }

 private:
  struct Producer {
    CreditWindow window;  // mirrors the producer's own, so that overrunning it is seen
    bool gone = false;
  };
  struct Queued {
    Item item;
    caf::strong_actor_ptr producer;
  };
  using Producers = std::map<caf::actor_addr, Producer>;

  static void tell(caf::event_based_actor* self, const caf::strong_actor_ptr& to, LaneCredit credit) {
    if (to) self->send<caf::message_priority::high>(caf::actor_cast<caf::actor>(to), credit);
  }
  void refuse(caf::event_based_actor* self, const caf::strong_actor_ptr& to, Error error) {
    if (refused_) refused_->add();
    if (to) self->send<caf::message_priority::high>(caf::actor_cast<caf::actor>(to), LaneRefused{std::move(error)});
  }
  void open(caf::event_based_actor* self, const caf::strong_actor_ptr& from) {
    if (!from) return;
    const auto address = caf::actor_cast<caf::actor_addr>(from);
    if (producers_.contains(address)) return;  // it has its window
    if (producers_.size() >= (config_.max_producers == 0 ? 1 : config_.max_producers))
      return refuse(self, from, {Errc::overloaded, "lane", "all producer windows are taken"});
    self->monitor(caf::actor_cast<caf::actor>(from));
    const Credit window = inbox_.share(config_.max_producers);
    producers_.emplace(address, Producer{CreditWindow(window), false});
    tell(self, from, {window, true});
  }
  void take(caf::event_based_actor* self, LaneItem<Item> item) {
    const caf::strong_actor_ptr from = self->current_sender();
    const auto it = producers_.find(caf::actor_cast<caf::actor_addr>(from));
    if (it == producers_.end() || !it->second.window.consume(item.bytes))
      return refuse(self, from, {Errc::overloaded, "lane", "item without credit"});
    if (const Status pushed = inbox_.push({std::move(item.item), from}, item.bytes); !pushed)
      return refuse(self, from, pushed.error());  // cannot be while windows add up to the capacity
    if (!turning_) next_turn(self);
  }
  void next_turn(caf::event_based_actor* self) {
    turning_ = true;
    self->send(self, LaneTurn{});
  }
  void turn(caf::event_based_actor* self) {
    turning_ = false;
    auto next = inbox_.pop();
    if (!next) return;
    auto& [queued, bytes] = *next;
    handle_(queued.item);
    const Credit credit{1, bytes};
    if (const auto it = producers_.find(caf::actor_cast<caf::actor_addr>(queued.producer)); it != producers_.end()) {
      it->second.window.release(credit);
      if (!it->second.gone) tell(self, queued.producer, {credit, false});
      drop_if_done(it);
    }
    if (!inbox_.empty()) next_turn(self);
  }
  void drop_if_done(typename Producers::iterator it) {
    if (it->second.gone && it->second.window.in_flight() == Credit{}) producers_.erase(it);
  }

  LaneConfig config_;
  CreditedInbox<Queued> inbox_;
  std::function<void(Item&)> handle_;
  Counter* refused_;
  Producers producers_;  // at most max_producers
  bool turning_ = false;
};

template <class Item>
class CreditedSender {
 public:
  // `on_credit` is called whenever there may be room again; `on_refused` when the consumer refused (a restart, or a
  // bug).
  explicit CreditedSender(std::function<void()> on_credit, std::function<void(const Error&)> on_refused = nullptr)
      : on_credit_(std::move(on_credit)), on_refused_(std::move(on_refused)) {}

  caf::message_handler handlers(caf::event_based_actor* self) {
    return caf::message_handler{[this, self](const LaneCredit& credit) { receive(self, credit); },
                                [this](const LaneRefused& refused) {
                                  if (on_refused_) on_refused_(refused.error);
                                }};
  }
  // Asks `consumer` for a window; until it answers nothing can be sent. Does nothing while the lane to this consumer is
  // open. Items in flight to an earlier consumer are the caller's to repeat.
  void open(caf::event_based_actor* self, caf::actor consumer) {
    if (consumer && consumer == consumer_ && window_.window().messages > 0) return;
    consumer_ = std::move(consumer);
    window_ = CreditWindow();
    if (consumer_) self->send<caf::message_priority::high>(consumer_, OpenLane{});
  }
  // Sends if there is credit. False: `item` is untouched; wait for on_credit.
  bool offer(caf::event_based_actor* self, Item&& item, uint64_t bytes) {
    if (!consumer_ || !window_.consume(bytes)) return false;
    self->send(consumer_, LaneItem<Item>{std::move(item), bytes});
    return true;
  }
  const CreditWindow& window() const { return window_; }

 private:
  void receive(caf::event_based_actor* self, const LaneCredit& credit) {
    if (!consumer_ || self->current_sender() != caf::actor_cast<caf::strong_actor_ptr>(consumer_))
      return;  // of an earlier consumer
    if (credit.initial) {
      window_ = CreditWindow(credit.credit);
    } else {
      window_.release(credit.credit);
    }
    if (on_credit_) on_credit_();
  }

  std::function<void()> on_credit_;
  std::function<void(const Error&)> on_refused_;
  caf::actor consumer_;
  CreditWindow window_;
};

}  // namespace drover::runtime

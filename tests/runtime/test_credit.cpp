// Credit: never negative, never above capacity; bulk stays bounded; control overtakes it.
#include <doctest/doctest.h>

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>

#include "actors/runtime/credit.hpp"
#include "actors/runtime/credit_actor.hpp"
#include "actors/runtime/packet_message.hpp"
#include "actors/runtime/simulation.hpp"

using namespace drover;
using namespace drover::runtime;

TEST_CASE("runtime/credit: accounting holds under random producers") {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const auto producers = static_cast<uint32_t>(1 + rng.below(4));
    CreditedInbox<int> inbox({1 + rng.below(40) + producers, 1 + rng.below(4'000) + producers});
    const Credit share = inbox.share(producers);
    std::vector<CreditWindow> windows(producers, CreditWindow(share));
    std::deque<std::pair<uint32_t, int>> order;
    std::vector<uint32_t> owner;
    for (int turn = 0; turn < 500; ++turn) {
      const auto p = static_cast<uint32_t>(rng.below(producers));
      const uint64_t bytes = rng.below(share.bytes * 2);
      const Credit before = windows[p].available();
      if (rng.chance(0.6)) {
        const bool sent = windows[p].consume(bytes);
        REQUIRE(sent == (before.messages > 0 && before.bytes >= bytes));
        if (!sent) REQUIRE(windows[p].available() == before);
        if (sent) REQUIRE(inbox.push(static_cast<int>(owner.size()), bytes));  // never overflows: the windows add up
        if (sent) owner.push_back(p);
      } else if (auto item = inbox.pop()) {
        order.emplace_back(owner[static_cast<size_t>(item->first)], item->first);
        REQUIRE(windows[order.back().first].release({1, item->second}));
      }
      Credit out;
      for (const auto& w : windows) out = {out.messages + w.in_flight().messages, out.bytes + w.in_flight().bytes};
      REQUIRE(out == inbox.used());
      REQUIRE(inbox.used().messages <= inbox.capacity().messages);
      REQUIRE(inbox.used().bytes <= inbox.capacity().bytes);
    }
    for (size_t i = 1; i < order.size(); ++i) REQUIRE(order[i - 1].second < order[i].second);  // first in, first out
  }
}

TEST_CASE("runtime/credit: what breaks the rules is refused or cut, never wrapped around") {
  CreditedInbox<int> inbox({2, 10});
  CHECK(inbox.push(1, 8));
  CHECK(inbox.push(2, 3).error().code == Errc::overloaded);
  CHECK(inbox.push(2, UINT64_MAX).error().code == Errc::overloaded);
  CHECK(inbox.push(2, 2));
  CHECK(inbox.push(3, 0).error().code == Errc::overloaded);
  CHECK(inbox.used() == Credit{2, 10});
  CreditWindow window({2, 10});
  CHECK_FALSE(window.release({1, 1}));  // nothing was out
  CHECK(window.available() == Credit{2, 10});
  CHECK_FALSE(window.fits_at_all(11));
  CHECK(window.consume(10));
  CHECK_FALSE(window.consume(0 + 1));
  CHECK_FALSE(window.release({UINT64_MAX, UINT64_MAX}));
  CHECK(window.available() == Credit{2, 10});
  CHECK_FALSE(CreditWindow().consume(0));
}

namespace {
struct Ask {
  uint64_t sent_at_item = 0;
};
struct Go {};
}  // namespace
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(Ask)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(Go)

namespace {

struct Consumed {
  uint64_t items = 0;
  uint64_t peak_messages = 0;
  uint64_t asked = 0;
  uint64_t control = 0;
  uint64_t control_wait_items_max = 0;
};
struct ConsumerState {
  std::unique_ptr<CreditedLane<uint64_t>> lane;
};
caf::behavior consumer(caf::stateful_actor<ConsumerState>* self, Consumed* out, LaneConfig config, Counter* refused) {
  auto& lane = self->state.lane;
  // While an item is in work another thread may send control: here the handler itself does.
  lane = std::make_unique<CreditedLane<uint64_t>>(
      config,
      [self, out](uint64_t&) {
        ++out->items;
        if (out->items % 3 != 0) return;
        ++out->asked;
        self->send<caf::message_priority::high>(self, Ask{out->items});
      },
      refused);
  self->set_down_handler([self](caf::down_msg& down) { self->state.lane->forget(down.source); });
  return lane->handlers(self).or_else([=](const Ask& ask) {
    ++out->control;
    out->control_wait_items_max = std::max(out->control_wait_items_max, out->items - ask.sent_at_item);
    out->peak_messages = std::max(out->peak_messages, self->state.lane->used().messages);
  });
}

struct ProducerState {
  std::unique_ptr<CreditedSender<uint64_t>> sender;
  uint64_t left = 0;
};
// Offers `count` items as fast as credit allows; `refusals` counts what the consumer refused.
caf::behavior producer(caf::stateful_actor<ProducerState>* self, caf::actor target, uint64_t count, int* refusals) {
  self->state.left = count;
  self->state.sender = std::make_unique<CreditedSender<uint64_t>>(
      [self] {
        auto& state = self->state;
        while (state.left > 0 && state.sender->offer(self, uint64_t{state.left}, 100)) --state.left;
      },
      [refusals](const Error&) { ++*refusals; });
  self->state.sender->open(self, target);
  return self->state.sender->handlers(self).or_else([=](const Go&) { self->state.sender->open(self, target); });
}

}  // namespace

TEST_CASE("runtime/credit_actor: every item arrives, memory stays within the capacity") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Simulation sim(seed);
    Environment& environment = sim.environment();
    Consumed consumed;
    int refusals = 0;
    Counter refused;
    const caf::actor sink = environment.spawn(consumer, &consumed, LaneConfig{{12, 1'000}, 2}, &refused);
    const caf::actor a = environment.spawn(producer, sink, uint64_t{500}, &refusals);
    const caf::actor b = environment.spawn(producer, sink, uint64_t{300}, &refusals);
    while (sim.step()) {
      if (sim.steps() % 7 == 0) caf::anon_send(sink, Ask{consumed.items});
    }
    CHECK(consumed.items == 800);
    CHECK(consumed.peak_messages <= 10);  // 1000 bytes of 100
    CHECK(consumed.peak_messages > 1);
    CHECK(refused.value() == 0);
    CHECK(refusals == 0);
    for (const auto& actor : {a, b, sink}) caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
    sim.drain();
  }
}

TEST_CASE("runtime/credit_actor: control overtakes bulk, whatever the queue holds") {
  // The wait, in bulk items handled between the sending of a control message and its handling, does not depend on the
  // length of the queue.
  for (const uint64_t capacity : {10u, 1'000u, 10'000u}) {
    CAPTURE(capacity);
    Simulation sim(capacity);
    Environment& environment = sim.environment();
    Consumed consumed;
    int refusals = 0;
    const caf::actor sink = environment.spawn(consumer, &consumed, LaneConfig{{capacity, capacity * 100}, 1}, nullptr);
    const caf::actor source = environment.spawn(producer, sink, 3 * capacity, &refusals);
    uint64_t asked = 0;
    while (sim.step()) {
      if (sim.steps() % 5 != 0) continue;
      caf::anon_send<caf::message_priority::high>(sink, Ask{consumed.items});
      ++asked;
    }
    CHECK(consumed.items == 3 * capacity);
    CHECK(consumed.control == asked + consumed.asked);
    CHECK(consumed.asked == capacity);
    CHECK(consumed.peak_messages <= capacity);
    CHECK(consumed.peak_messages >= capacity / 2);
    CHECK(consumed.control_wait_items_max <= 3);
    for (const auto& actor : {source, sink}) caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
    sim.drain();
  }
}

TEST_CASE("runtime/credit_actor: windows are finite; one that has gone makes room; items without credit are refused") {
  Simulation sim(9);
  Environment& environment = sim.environment();
  Consumed consumed;
  int refusals_a = 0, refusals_b = 0;
  Counter refused;
  const caf::actor sink = environment.spawn(consumer, &consumed, LaneConfig{{4, 400}, 1}, &refused);
  const caf::actor a = environment.spawn(producer, sink, uint64_t{10}, &refusals_a);
  sim.drain();
  const caf::actor b = environment.spawn(producer, sink, uint64_t{10}, &refusals_b);
  sim.drain();
  CHECK(refusals_b == 1);
  CHECK(consumed.items == 10);
  caf::anon_send_exit(a, caf::exit_reason::kill);
  sim.drain();
  caf::anon_send(b, Go{});
  sim.drain();
  CHECK(consumed.items == 20);
  CHECK(refused.value() == 1);
  caf::anon_send(sink, LaneItem<uint64_t>{1, 100});
  sim.drain();
  CHECK(consumed.items == 20);
  CHECK(refused.value() == 2);
  for (const auto& actor : {b, sink}) caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
  sim.drain();
}

TEST_CASE("runtime/credit_actor: a producer that overruns its window is told and takes nothing from the others") {
  Simulation sim(10);
  Environment& environment = sim.environment();
  Consumed consumed;
  Counter refused;
  int told = 0;
  const caf::actor sink = environment.spawn(consumer, &consumed, LaneConfig{{4, 400}, 2}, &refused);
  const caf::actor rogue = environment.spawn([&](caf::event_based_actor* self) -> caf::behavior {
    self->send<caf::message_priority::high>(sink, OpenLane{});
    return {[&sink, self](const LaneCredit& credit) {
              if (!credit.initial) return;
              CHECK(credit.credit == Credit{2, 200});
              for (uint64_t i = 0; i < 3; ++i) self->send(sink, LaneItem<uint64_t>{i, 100});
            },
            [&told](const LaneRefused& refusal) { told += refusal.error.code == Errc::overloaded; }};
  });
  sim.drain();
  CHECK(consumed.items + refused.value() == 3);
  CHECK(refused.value() == 1);
  CHECK(static_cast<uint64_t>(told) == refused.value());
  for (const auto& actor : {rogue, sink}) caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
  sim.drain();
}

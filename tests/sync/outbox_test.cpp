// The journal lane against a model centre that answers late, repeats, loses and refuses at random.
#include "actors/sync/outbox.hpp"

#include <doctest/doctest.h>

#include <deque>
#include <random>

using namespace drover::sync;

namespace {

constexpr uint64_t record_bytes = 100;

struct Sent {
  uint64_t generation, first_seq, last_seq;
};

// A centre that keeps what it was given in order, and the wire between.
struct Model {
  Outbox outbox{{.window_bytes = 3000, .block_max_bytes = 1000}};
  std::mt19937_64 rng;
  uint64_t journal_last = 0, durable = 0, generation_seen = 0;
  std::deque<Sent> wire;
  std::deque<Outbox::Read> reads;
  uint64_t applied_twice = 0;

  explicit Model(uint64_t seed) : rng(seed) {}
  uint64_t draw(uint64_t n) { return rng() % n; }

  void read() {
    if (auto r = outbox.next_read()) reads.push_back(*r);
    CHECK_FALSE(outbox.next_read().has_value());  // one read at a time
  }
  void answer_read() {
    if (reads.empty()) return;
    const auto r = reads.front();
    reads.pop_front();
    const uint64_t n = std::min<uint64_t>(1 + draw(r.max_bytes / record_bytes), journal_last - r.from_seq + 1);
    if (outbox.read_done(r, r.from_seq, r.from_seq + n - 1, n * record_bytes))
      wire.push_back({outbox.generation(), r.from_seq, r.from_seq + n - 1});
    CHECK(outbox.in_flight_bytes() <= 3000);
  }
  void deliver(bool faults) {
    if (wire.empty()) return;
    const Sent s = wire.front();
    wire.pop_front();
    const uint64_t fate = faults ? draw(10) : 9;
    if (fate == 0) return outbox.replied(s.generation, s.first_seq, s.last_seq, BlockReply::lost, 0, "");
    if (fate == 1) return outbox.replied(s.generation, s.first_seq, s.last_seq, BlockReply::overloaded, durable, "");
    if (s.first_seq > durable + 1)
      return outbox.replied(s.generation, s.first_seq, s.last_seq, BlockReply::gap, durable, "");
    durable = std::max(durable, s.last_seq);
    if (fate == 2) return outbox.replied(s.generation, s.first_seq, s.last_seq, BlockReply::lost, 0, "ack lost");
    outbox.replied(s.generation, s.first_seq, s.last_seq, BlockReply::ok, durable, "");
  }
  void cut() {
    outbox.link_down();
    wire.clear();
  }
  void connect() {
    if (!outbox.up()) outbox.link_up(durable, 0, 0);
  }
  void step(bool faults) {
    switch (draw(8)) {
      case 0:
        if (faults) journal_last += draw(20);
        outbox.journal_grew(journal_last);
        break;
      case 1:
        if (faults) cut();
        break;
      case 2:
        connect();
        break;
      case 3:
        outbox.resume();
        break;
      case 4:
      case 5:
        read();
        answer_read();
        break;
      default:
        deliver(faults);
        break;
    }
    CHECK(outbox.acked_seq() <= durable);  // nothing is believed durable that is not
    CHECK(outbox.sent_seq() >= outbox.acked_seq());
  }
};

}  // namespace

TEST_CASE("sync/outbox: drains in order under random loss, delay, cuts and repeats") {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    Model model(seed);
    for (int i = 0; i < 400; ++i) model.step(true);
    for (int i = 0; i < 20000 && !(model.outbox.drained() && model.durable == model.journal_last); ++i)
      model.step(false);
    CHECK(model.durable == model.journal_last);
    CHECK(model.outbox.acked_seq() == model.journal_last);
    CHECK(model.outbox.halted().empty());
  }
}

TEST_CASE("sync/outbox: a refusal halts for good and says why") {
  Outbox outbox({});
  outbox.journal_grew(10);
  outbox.link_up(0, 0, 0);
  const auto read = outbox.next_read();
  REQUIRE(read.has_value());
  CHECK(outbox.read_done(*read, 1, 10, 1000));
  outbox.replied(outbox.generation(), 1, 10, BlockReply::conflict, 4, "seq 5 differs");
  CHECK(outbox.halted() == "seq 5 differs");
  CHECK_FALSE(outbox.next_read().has_value());
  outbox.link_down();
  outbox.link_up(4, 0, 0);
  CHECK_FALSE(outbox.next_read().has_value());
}

TEST_CASE("sync/outbox: a centre that knows more than the journal halts the lane") {
  Outbox outbox({});
  outbox.journal_grew(10);
  outbox.link_up(11, 0, 0);
  CHECK(outbox.halted().find("restored from an old copy") != std::string::npos);
}

TEST_CASE("sync/outbox: a centre that lost its disk is sent everything again") {
  Outbox outbox({});
  outbox.journal_grew(10);
  outbox.link_up(10, 0, 0);
  CHECK(outbox.drained());
  outbox.link_down();
  outbox.link_up(0, 0, 0);
  const auto read = outbox.next_read();
  REQUIRE(read.has_value());
  CHECK(read->from_seq == 1);
}

TEST_CASE("sync/outbox: a read that a rewind overtook sends nothing and blocks nothing") {
  Outbox outbox({});
  outbox.journal_grew(10);
  outbox.link_up(0, 0, 0);
  const auto stale = outbox.next_read();
  REQUIRE(stale.has_value());
  outbox.link_down();
  outbox.link_up(0, 0, 0);
  const auto fresh = outbox.next_read();
  REQUIRE(fresh.has_value());
  CHECK_FALSE(outbox.read_done(*stale, 1, 10, 1000));
  CHECK_FALSE(outbox.next_read().has_value());
  CHECK(outbox.read_done(*fresh, 1, 10, 1000));
}

TEST_CASE("sync/outbox: five corrupt answers in a row halt, one good answer starts the count again") {
  Outbox outbox({});
  outbox.journal_grew(10);
  outbox.link_up(0, 0, 0);
  auto answer = [&](BlockReply reply, uint64_t durable) {
    outbox.resume();
    const auto read = outbox.next_read();
    REQUIRE(read.has_value());
    CHECK(outbox.read_done(*read, read->from_seq, read->from_seq, 100));
    outbox.replied(outbox.generation(), read->from_seq, read->from_seq, reply, durable, "checksum");
  };
  for (const auto readable : {BlockReply::overloaded, BlockReply::gap}) {
    for (int i = 0; i < 4; ++i) answer(BlockReply::corrupt, 0);
    answer(readable, 0);  // the centre could read that one: its disk is full, or it lacks what came before
  }
  for (int i = 0; i < 4; ++i) answer(BlockReply::corrupt, 0);
  answer(BlockReply::ok, 1);
  for (int i = 0; i < 4; ++i) answer(BlockReply::corrupt, 1);
  CHECK(outbox.halted().empty());
  answer(BlockReply::corrupt, 1);
  CHECK_FALSE(outbox.halted().empty());
}

// The sessions actor alone, between a peer and stores that only count: what never reaches the inbox.
#include <doctest/doctest.h>

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <chrono>
#include <memory>
#include <vector>

#include "actors/runtime/simulation.hpp"
#include "actors/sync/sessions_actor.hpp"

using namespace drover;
using namespace drover::sync;

namespace {

struct Seen {
  uint64_t stored_blocks = 0;
  std::vector<network::AppendAck> acks;
};

Bytes block_with(bool good_hash) {
  BlockBuilder source(1);
  REQUIRE(source.add(RecordKind::event, 1, 5, as_bytes("a fact")));
  const Bytes bytes = source.finish();
  if (good_hash) return bytes;
  // The frame with one byte of its payload changed, under a block checksum that is right again.
  const Bytes changed = Bytes::make(bytes.size(), [&](std::span<std::byte> to) {
    std::copy(bytes.view().begin(), bytes.view().end(), to.begin());
    to[block_header_bytes + record_header_bytes] ^= std::byte{1};
  });
  RecordView record;
  record.seq = 1;
  record.frame = changed.view().subspan(block_header_bytes);
  BlockBuilder forged(1);
  REQUIRE(forged.add_frame(record));
  return forged.finish();
}

caf::behavior stores(caf::event_based_actor*, Seen* seen) {
  return {[](const OpenStream&) { return Result<StreamOpened>(StreamOpened{0}); },
          [](const AskCentral&) { return CentralFacts{}; },
          [seen](const StoreBlock& block) {
            ++seen->stored_blocks;
            return network::AppendReply(network::AppendAck{block.block.last_seq(), network::AckStatus::ok, ""});
          }};
}

caf::behavior peer(caf::event_based_actor* self, Seen* seen, caf::actor sessions, Bytes block) {
  network::PeerHello hello;
  hello.session = {1, {network::Role::robot, "robot-1"}};
  hello.incarnation = 7;
  const auto timeout = std::chrono::seconds(5);
  self->request(sessions, timeout, hello)
      .then([self, seen, sessions, block, hello, timeout](network::HelloReply& reply) {
        REQUIRE(reply);
        network::PeerAppend append;
        append.session = hello.session;
        append.block = block;
        self->request(sessions, timeout, append).then([seen](network::AppendReply& answered) {
          REQUIRE(answered);
          seen->acks.push_back(*answered);
        });
      });
  return {[](int) {}};
}

Seen send(const Bytes& block) {
  runtime::Simulation sim(1);
  auto& env = sim.environment("centre");
  Seen seen;
  const auto store = env.spawn(stores, &seen);
  env.directory().bind("inbox", store);
  env.directory().bind("centre", store);
  const auto sessions = spawn_sessions(env, {}, env.ref("listener"), env.ref("inbox"), env.ref("centre"));
  const auto robot = env.spawn(peer, &seen, sessions, block);
  sim.run_for(1000);
  for (const auto& actor : {robot, sessions, store}) caf::anon_send_exit(actor, caf::exit_reason::kill);
  sim.drain();
  return seen;
}

// A centre that answers `quick` questions and is then in a transaction for ever.
caf::behavior busy_centre(caf::event_based_actor* self, int quick) {
  auto asked = std::make_shared<int>(0);
  auto held = std::make_shared<std::vector<caf::typed_response_promise<CentralFacts>>>();
  return {[](const OpenStream&) { return Result<StreamOpened>(StreamOpened{0}); },
          [self, asked, held, quick](const AskCentral&) -> caf::result<CentralFacts> {
            auto promise = self->make_response_promise<CentralFacts>();
            if (++*asked > quick) {
              held->push_back(promise);
              return promise;
            }
            CentralFacts facts;
            facts.applied_seq = static_cast<uint64_t>(*asked);
            promise.deliver(facts);
            return promise;
          }};
}

struct Heartbeat {
  int64_t asked_ms = 0, answered_ms = -1;
  network::PingReply reply = fail(Errc::internal, "test", "no answer");
};

// Pings once a second.
caf::behavior pinging(caf::event_based_actor* self, std::vector<Heartbeat>* beats, runtime::Simulation* sim,
                      caf::actor sessions, size_t count) {
  network::PeerHello hello;
  hello.session = {1, {network::Role::robot, "robot-1"}};
  hello.incarnation = 7;
  beats->resize(count);
  self->request(sessions, std::chrono::seconds(5), hello).then([=](network::HelloReply& reply) {
    REQUIRE(reply);
    for (size_t i = 0; i < count; ++i) self->delayed_send(self, std::chrono::seconds(i), static_cast<int>(i));
  });
  return {[=](int number) {
    Heartbeat& beat = (*beats)[static_cast<size_t>(number)];
    beat.asked_ms = sim->now_ms();
    network::PeerPing ping;
    ping.session = hello.session;
    self->request(sessions, std::chrono::minutes(5), ping).then([sim, &beat](network::PingReply& reply) {
      beat.answered_ms = sim->now_ms();
      beat.reply = std::move(reply);
    });
  }};
}

std::vector<Heartbeat> heartbeats(int quick, size_t count, int64_t for_ms) {
  runtime::Simulation sim(2);
  auto& env = sim.environment("centre");
  std::vector<Heartbeat> beats;
  const auto store = env.spawn(busy_centre, quick);
  env.directory().bind("inbox", store);
  env.directory().bind("centre", store);
  const auto sessions = spawn_sessions(env, {}, env.ref("listener"), env.ref("inbox"), env.ref("centre"));
  const auto robot = env.spawn(pinging, &beats, &sim, sessions, count);
  sim.run_for(for_ms);
  for (const auto& actor : {robot, sessions, store}) caf::anon_send_exit(actor, caf::exit_reason::kill);
  sim.drain();
  return beats;
}

}  // namespace

TEST_CASE("sync/sessions: a heartbeat does not wait for a centre that is busy, and says what that said last") {
  const auto beats = heartbeats(3, 4, 10'000);  // the hello asks once, too
  for (size_t i = 0; i < beats.size(); ++i) {
    REQUIRE(beats[i].reply);
    CHECK(beats[i].answered_ms - beats[i].asked_ms <= 10);
    CHECK(beats[i].reply->applied_seq == std::min<uint64_t>(i + 2, 3));  // the third and fourth are the second's
  }
}

TEST_CASE("sync/sessions: a centre that does not answer within the bound is told of") {
  const auto beats = heartbeats(1, 1, 40'000);
  REQUIRE_FALSE(beats[0].reply);
  CHECK(beats[0].reply.error().code == Errc::unavailable);
  CHECK(beats[0].answered_ms - beats[0].asked_ms == 30'000);
}

TEST_CASE("sync/sessions: a block whose records are what they claim reaches the inbox") {
  const Seen seen = send(block_with(true));
  REQUIRE(seen.acks.size() == 1);
  CHECK(seen.acks[0].status == network::AckStatus::ok);
  CHECK(seen.stored_blocks == 1);
}

TEST_CASE("sync/sessions: a record with another content than its hash says never reaches the inbox") {
  const Seen seen = send(block_with(false));
  REQUIRE(seen.acks.size() == 1);
  CHECK(seen.acks[0].status == network::AckStatus::corrupt);
  CHECK(seen.acks[0].message.find("record seq 1") != std::string::npos);
  CHECK(seen.stored_blocks == 0);
}

TEST_CASE("sync/sessions: bytes that are no block never reach the inbox") {
  const Seen seen = send(Bytes::copy_of("not a block at all, but longer than a block header is"));
  REQUIRE(seen.acks.size() == 1);
  CHECK(seen.acks[0].status == network::AckStatus::corrupt);
  CHECK(seen.stored_blocks == 0);
}

// The sessions actor alone, between a peer and stores that only count: what never reaches the inbox.
#include <doctest/doctest.h>

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <chrono>

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

}  // namespace

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

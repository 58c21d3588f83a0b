// A centre and a robot as small actors, for tests of sessions: the centre keeps a watermark per robot and remembers
// what it saw; the robot records what its uplink told it.
#pragma once

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "actors/network/uplink_messages.hpp"
#include "actors/runtime/environment.hpp"

namespace drover::test {

using namespace drover::network;

// What an actor saw; guarded because real networks run on other threads.
struct Seen {
  std::mutex mutex;
  std::vector<std::string> events;
  std::map<std::string, std::vector<std::string>> blocks;  // by robot, in order of arrival
  uint64_t durable_seq = 0;
  bool mute = false;         // append and ping are never answered
  std::string refuse_hello;  // non-empty: every hello is refused with it

  void add(std::string event) {
    std::lock_guard lock(mutex);
    events.push_back(std::move(event));
  }
  size_t count(std::string_view prefix) {
    std::lock_guard lock(mutex);
    size_t n = 0;
    for (const auto& event : events) n += event.starts_with(prefix) ? 1 : 0;
    return n;
  }
};

// A block is text "first-last:payload"; the centre accepts it when it continues its watermark.
inline AppendAck apply(Seen& seen, const PeerAppend& append) {
  const std::string text(append.block.text());
  const uint64_t first = std::strtoull(text.c_str(), nullptr, 10);
  const uint64_t last = std::strtoull(text.c_str() + text.find('-') + 1, nullptr, 10);
  if (first > seen.durable_seq + 1) return {seen.durable_seq, AckStatus::gap, "gap"};
  if (last > seen.durable_seq) {
    seen.durable_seq = last;
    seen.blocks[append.session.peer.node_id].push_back(text);
  }
  return {seen.durable_seq, AckStatus::ok, ""};
}

inline caf::behavior fake_centre(caf::event_based_actor* self, Seen* seen) {
  return {
      [seen](const PeerHello& hello) -> HelloReply {
        seen->add("hello " + hello.session.peer.text() + " inc=" + std::to_string(hello.incarnation));
        std::lock_guard lock(seen->mutex);
        if (!seen->refuse_hello.empty()) return fail(Errc::refused, hello.session.peer.text(), seen->refuse_hello);
        return PeerWelcome{seen->durable_seq, 5, 0, 0};
      },
      [seen, self](const PeerAppend& append) -> caf::result<AppendReply> {
        std::lock_guard lock(seen->mutex);
        auto promise = self->make_response_promise<AppendReply>();
        if (!seen->mute) promise.deliver(AppendReply(apply(*seen, append)));
        return promise;
      },
      [](const PeerWants& wants) -> WantsReply {
        ChunkWants out;
        for (uint32_t i = 0; i < wants.max_items; ++i)
          out.items.push_back({sha256(as_bytes(std::to_string(i))), i, 1000 + i});
        return out;
      },
      [](const PeerChunk& chunk) -> ChunkReply {
        const uint64_t end = chunk.offset + chunk.bytes.size();
        return ChunkAck{end, end == chunk.size_bytes && chunk.hash == sha256(chunk.bytes)};
      },
      [](const PeerKnowledge& ask) -> KnowledgeReply {
        return KnowledgeUpdate{ask.have + 1, Bytes::copy_of("knowledge")};
      },
      [seen, self](const PeerPing& ping) -> caf::result<PingReply> {
        seen->add("ping " + ping.session.peer.text() + " " + ping.status.alarm);
        std::lock_guard lock(seen->mutex);
        auto promise = self->make_response_promise<PingReply>();
        if (!seen->mute) promise.deliver(PingReply(Pong{seen->durable_seq, 5, 3, 42}));
        return promise;
      },
      [](const PeerQuery& query) -> QueryAnswer {
        if (query.request == "bad") return fail(Errc::not_found, "packs.show", "no such pack");
        return QueryReply{"{\"echo\":" + query.request + "}"};
      },
      [seen](const PeerGone& gone) { seen->add("gone " + gone.session.peer.text() + " " + gone.reason.what); },
  };
}

// Records LinkUp / LinkDown / LinkPong and answers PrepareHello.
inline caf::behavior fake_robot(caf::event_based_actor*, Seen* seen, uint64_t incarnation) {
  return {
      [seen, incarnation](const PrepareHello&) {
        seen->add("prepare");
        return HelloFacts{incarnation, 1, 10, 4};
      },
      [seen](const LinkUp& up) { seen->add("up " + up.centre.text() + " durable=" + std::to_string(up.durable_seq)); },
      [seen](const LinkDown& down) { seen->add("down " + down.reason.message()); },
      [seen](const LinkPong& pong) { seen->add("pong wanted=" + std::to_string(pong.pong.chunks_wanted)); },
  };
}

inline Bytes block(uint64_t first, uint64_t last, size_t payload_bytes = 10) {
  return Bytes::copy_of(std::to_string(first) + "-" + std::to_string(last) + ":" + std::string(payload_bytes, 'x'));
}

}  // namespace drover::test

// How actors of a robot (or gateway, trainer, operator tool) use an uplink: the reconnecting session to a
// coordinator. The uplink is one CAF actor; these plain structs are what it takes and what it tells.
//
// Requests are answered with Result<...>, always, within Limits::call_timeout_ms of being sent on the wire:
//   unavailable  the link is down, or went down before the answer came (the call may or may not have had effect)
//   overloaded   the bulk queue is full (Limits::bulk_queue_bytes); nothing was sent
//   too_large    the block is larger than the welcome allows; nothing was sent
//   timeout      the centre did not answer in time
//   others       the centre's own error, as its handler gave it
// Bulk (SendBlock, SendChunk) goes out in the order in which it was asked for; control overtakes it.
#pragma once

#include <caf/allowed_unsafe_message_type.hpp>
#include <cstdint>
#include <string>

#include "actors/network/session_messages.hpp"

namespace drover::network {

// ---- requests to the uplink's actor
struct SendBlock {  // -> AppendReply
  Bytes block{};
};
struct SendChunk {  // -> ChunkReply
  Hash hash{};
  uint64_t offset = 0;
  uint32_t size_bytes = 0;  // size of the whole chunk
  Bytes bytes{};
};
struct FetchWants {  // -> WantsReply
  uint64_t budget_bytes = 0;
  uint32_t max_items = 0;
};
struct FetchKnowledge {  // -> KnowledgeReply
  uint64_t have = 0;
};
struct SendQuery {  // -> QueryAnswer
  std::string request{};
};

// ---- notifications to the uplink's actor (no reply)
struct WatchLink {};  // the sender becomes the subscriber; it gets LinkUp at once if the link is up, else LinkDown
struct SetStatus {    // the health report that the next pings carry
  NodeStatus status{};
};
struct CutLink {};  // drop the connection as if the network had failed; the uplink reconnects by its backoff

// ---- what the uplink asks its subscriber, once per dial. Reply: HelloFacts (a plain struct, not a Result).
struct PrepareHello {};
struct HelloFacts {
  uint64_t incarnation = 0;
  uint64_t first_seq = 0;
  uint64_t last_seq = 0;
  uint64_t knowledge_version = 0;
};

// ---- notifications from the uplink to its subscriber
struct LinkUp {
  PeerName centre{};  // from the centre's certificate
  uint16_t protocol = 0;
  uint64_t session_id = 0;
  uint64_t durable_seq = 0;
  uint64_t knowledge_version = 0;
  uint64_t window_bytes = 0;     // in force: the smaller of the centre's and our own
  uint32_t max_block_bytes = 0;  // in force: the smaller of the centre's and our own
};
struct LinkDown {  // sent when an established link ends and after each failed dial
  Error reason{};
  uint32_t retry_in_ms = 0;
};
struct LinkPong {  // after each answered ping
  Pong pong{};
  int64_t round_trip_us = 0;
};

}  // namespace drover::network

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::SendBlock)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::SendChunk)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::FetchWants)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::FetchKnowledge)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::SendQuery)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::WatchLink)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::SetStatus)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::CutLink)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::PrepareHello)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::HelloFacts)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::LinkUp)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::LinkDown)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::LinkPong)

// What the network asks of the actor that serves peers (the coordinator's session handler), as plain
// CAF messages, and what it expects back.
//
// Every request is answered with Result<...>: an Error reaches the peer with its code, place and text.
// A handler that never answers costs the peer Limits::call_timeout_ms and nothing else. Requests of one
// session arrive in the order in which the peer made them; answers may be given in any order.
// The handler is bound by Listen::handler or by sending ServePeers to the listener's actor.
//
//   behavior handler(event_based_actor* self) {
//     return {[=](const PeerHello& hello) -> Result<PeerWelcome> { ... },
//             [=](const PeerAppend& append) -> caf::result<AppendReply> { ... promise ... }, ...
#pragma once

#include <caf/allowed_unsafe_message_type.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "actors/network/peer_name.hpp"
#include "actors/runtime/packet_message.hpp"
#include "messages/bytes.hpp"
#include "messages/hash.hpp"
#include "messages/result.hpp"

namespace drover::network {

// Which session a request belongs to. session_id is unique within one listener's life and never 0.
struct SessionRef {
  uint64_t session_id = 0;
  PeerName peer{};  // from the certificate
};

// A peer wants a session. Reply: Result<PeerWelcome>. An error refuses the session and is told to the peer.
struct PeerHello {
  SessionRef session{};
  std::string address{};           // network address of the peer, or "memory"
  std::string software_version{};  // as the peer said
  uint16_t protocol = 0;           // version both sides will use
  uint64_t incarnation = 0;        // of the robot's store; never 0 for robots and gateways
  uint64_t first_seq = 0;          // first sequence number still in the robot's journal; 0: empty
  uint64_t last_seq = 0;           // last sequence number in the robot's journal; 0: empty
  uint64_t knowledge_version = 0;
};
struct PeerWelcome {
  uint64_t durable_seq = 0;  // last sequence number of this incarnation that is on the centre's disk
  uint64_t knowledge_version = 0;
  uint64_t window_bytes = 0;     // most unacknowledged bytes the centre accepts; 0: the listener's limit; clamped to it
  uint32_t max_block_bytes = 0;  // largest block the centre accepts; 0: the listener's limit; clamped to it
};

// One journal block. Reply: Result<AppendAck>, after the commit that holds the block was synced.
// Answers for the block itself (gap, conflict, ...) are an ok Result with that status.
struct PeerAppend {
  SessionRef session{};
  Bytes block{};
};
// Values are those of schema/session.capnp.
enum class AckStatus : uint8_t { ok = 0, gap = 1, conflict = 2, corrupt = 3, refused = 4, overloaded = 5 };
struct AppendAck {
  uint64_t durable_seq = 0;  // watermark after this append
  AckStatus status = AckStatus::ok;
  std::string message{};  // for refusals: what was wrong, naming the record
};

// Chunks of this robot that the centre lacks, most valuable per byte first. Reply: Result<ChunkWants>.
struct PeerWants {
  SessionRef session{};
  uint64_t budget_bytes = 0;
  uint32_t max_items = 0;
};
struct ChunkWant {
  Hash hash{};              // SHA-256 of the whole chunk
  uint64_t offset = 0;      // bytes the centre already has of it
  uint32_t size_bytes = 0;  // size of the whole chunk
};
struct ChunkWants {
  std::vector<ChunkWant> items{};
};

// A piece of a chunk, in order. Reply: Result<ChunkAck>.
struct PeerChunk {
  SessionRef session{};
  Hash hash{};
  uint64_t offset = 0;
  uint32_t size_bytes = 0;  // size of the whole chunk
  Bytes bytes{};
};
struct ChunkAck {
  uint64_t durable_bytes = 0;  // how much of the chunk is on the centre's disk
  bool complete = false;
};

// Knowledge newer than `have`. Reply: Result<KnowledgeUpdate>.
struct PeerKnowledge {
  SessionRef session{};
  uint64_t have = 0;
};
struct KnowledgeUpdate {
  uint64_t version = 0;  // equal to `have` when there is nothing new
  Bytes snapshot{};      // flat SignedKnowledge (knowledge.capnp) or empty
};

// Small health report carried by each ping.
struct NodeStatus {
  uint64_t journal_last_seq = 0;
  uint64_t journal_acked_seq = 0;
  uint64_t store_bytes = 0;
  uint64_t blob_backlog_bytes = 0;
  bool capture_stopped = false;
  std::string alarm{};  // empty: none
};
// A sign of life. Reply: Result<Pong>. Sent with high priority so that it overtakes bulk in a mailbox.
struct PeerPing {
  SessionRef session{};
  NodeStatus status{};
};
struct Pong {
  uint64_t durable_seq = 0;
  uint64_t knowledge_version = 0;
  uint64_t chunks_wanted = 0;
  int64_t time_unix_ns = 0;
  uint64_t applied_seq = 0;  // last record of this robot whose chunks the centre has entered in its wants
};

// A question from an operator or trainer: JSON in, JSON out. Reply: Result<QueryReply>.
struct PeerQuery {
  SessionRef session{};
  std::string request{};
};
struct QueryReply {
  std::string reply{};
};

// Notification: the session ended; no more requests of it follow. Sent once after each PeerHello that was not answered
// with an error, also when the peer left before the answer came.
struct PeerGone {
  SessionRef session{};
  Error reason{};
};

// To a listener's actor: the sender (or `handler`, when given through Listen) serves peers from now on. Sessions
// that an earlier handler welcomed are closed, so that their peers say hello to the new one. No reply.
struct ServePeers {};

using HelloReply = Result<PeerWelcome>;
using AppendReply = Result<AppendAck>;
using WantsReply = Result<ChunkWants>;
using ChunkReply = Result<ChunkAck>;
using KnowledgeReply = Result<KnowledgeUpdate>;
using PingReply = Result<Pong>;
using QueryAnswer = Result<QueryReply>;

}  // namespace drover::network

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::PeerHello)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::PeerAppend)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::PeerWants)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::PeerChunk)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::PeerKnowledge)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::PeerPing)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::PeerQuery)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::PeerGone)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::network::ServePeers)

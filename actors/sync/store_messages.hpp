// What other actors ask of a node's store actors, as plain CAF messages. A store actor owns its LMDB
// environment and is the only one that writes to it; every reply leaves after the commit it reports was synced.
#pragma once

#include <caf/allowed_unsafe_message_type.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "actors/network/session_messages.hpp"
#include "actors/runtime/packet_message.hpp"
#include "actors/sync/central_store.hpp"
#include "actors/sync/robot_store.hpp"
#include "messages/bytes.hpp"
#include "messages/hash.hpp"
#include "messages/record.hpp"
#include "messages/result.hpp"

namespace drover::sync {

// ---- central inbox ---------------------------------------------------------------------------

// The watermark of a stream, made if it is new. Reply: Result<StreamOpened>.
// Errors: refused (quarantined robot, older incarnation than one already seen).
struct OpenStream {
  std::string robot;
  uint64_t incarnation = 0;
  int64_t now_unix_ns = 0;
};
struct StreamOpened {
  uint64_t durable_seq = 0;
};

// One parsed and hash-checked block. Reply: network::AppendReply, after the group commit that holds it.
struct StoreBlock {
  std::string robot;
  uint64_t incarnation = 0;
  Block block;
  int64_t now_unix_ns = 0;
};

// Subscribes the sender to InboxGrew, sent after each commit with the streams that grew. No reply.
struct WatchInbox {};
struct InboxGrew {
  std::vector<StreamId> streams;
};

// ---- central store (what the inbox's records become) ---------------------------------------------

// Reply: network::WantsReply.
struct ListWants {
  std::string robot;
  uint64_t budget_bytes = 0;
  uint32_t max_items = 0;
};
// Reply: network::ChunkReply.
struct StorePiece {
  std::string robot;
  Hash hash{};
  uint64_t offset = 0;
  uint32_t size_bytes = 0;
  Bytes bytes;
};
// Reply: network::KnowledgeReply.
struct ReadKnowledge {
  uint64_t have = 0;
};
// Reply: network::QueryAnswer. JSON in, JSON out.
struct RunQuery {
  network::PeerName peer;  // who asks
  std::string request;
};
// Reply: CentralFacts.
struct AskCentral {
  std::string robot;  // empty: no robot's figures
  uint64_t incarnation = 0;
};
struct CentralFacts {
  uint64_t knowledge_version = 0;
  uint64_t chunks_wanted = 0;     // of that robot, counted up to 64
  uint64_t applied_seq = 0;       // of that robot's newest incarnation
  uint64_t applied_records = 0;   // since the actor started
  uint64_t rejected_records = 0;  // since the actor started
  bool caught_up = false;         // every stream was applied to its end
};

}  // namespace drover::sync

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::StoreCapture)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::ReadMarks)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::ReadBlock)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::ReadPiece)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::RecordsAcked)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::ChunkAcked)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::AskRobotStore)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::RobotStoreFacts)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::ApplyKnowledge)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::ChunksSettled)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::WatchJournal)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::JournalGrew)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::OpenStream)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::StoreBlock)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::WatchInbox)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::InboxGrew)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::ListWants)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::StorePiece)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::ReadKnowledge)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::RunQuery)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::AskCentral)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::CentralFacts)

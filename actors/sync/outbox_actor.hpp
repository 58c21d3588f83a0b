// The outbox actor: moves a robot's journal and chunks to the centre and brings knowledge back.
//
// In:    network::{PrepareHello, LinkUp, LinkDown, LinkPong} from the uplink, JournalGrew from the store,
//        AskOutbox from anyone (reply: OutboxFacts).
// Out:   SendBlock/SendChunk/FetchWants/FetchKnowledge to the uplink; ReadBlock/ReadPiece/RecordsAcked/ChunkAcked/
//        ApplyKnowledge to the store.
// Rules: decisions are Outbox's (journal lane) and BlobLane's (chunk lane); this file only carries them out.
//        At most one journal read is outstanding; unacknowledged bytes are bounded by the window.
// Supervision: permanent. State is rebuilt from the store and the next hello; nothing is lost by a restart.
#pragma once

#include <caf/actor.hpp>
#include <string>

#include "actors/runtime/environment.hpp"
#include "actors/sync/blob_lane.hpp"
#include "actors/sync/outbox.hpp"
#include "actors/sync/store_messages.hpp"

namespace drover::sync {

struct OutboxConfig {
  OutboxLimits journal;
  BlobLaneLimits blobs;
  uint64_t call_timeout_ms = 30'000;   // a block or piece unanswered this long counts as lost
  uint64_t store_timeout_ms = 30'000;  // for requests to the local store
  uint64_t retry_ms = 250;             // pause after the centre was overloaded
};

struct AskOutbox {};
struct OutboxFacts {
  bool link_up = false;
  std::string halted;  // non-empty: the centre refused us for good
  uint64_t acked_seq = 0;
  uint64_t last_seq = 0;
  uint64_t in_flight_bytes = 0;
  uint64_t resent_blocks = 0;
  uint64_t blocks_sent = 0;
  uint64_t journal_bytes_sent = 0;
  uint64_t blob_bytes_sent = 0;
  uint64_t links = 0;  // times the link came up
  uint64_t chunks_wanted = 0;
  int64_t round_trip_us = 0;
  uint64_t knowledge_version = 0;
};

// `uplink` and `store` are looked up at each use, so both may restart.
caf::actor spawn_outbox(runtime::Environment& env, OutboxConfig config, runtime::Ref uplink, runtime::Ref store);

}  // namespace drover::sync

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::AskOutbox)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::OutboxFacts)

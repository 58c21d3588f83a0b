// The inbox actor: commits the blocks of many robots together and acknowledges them when they are on disk.
//
// In:    OpenStream (reply: Result<StreamOpened>), StoreBlock (reply: network::AppendReply), WatchInbox, AskInbox.
// Out:   InboxGrew to watchers after each commit.
// Rules: everything that is queued while a commit runs goes into the next one. An acknowledgement leaves only after the
// commit
//        that holds its block was synced. More than pending_bytes_max waiting: `overloaded`, nothing is stored.
// Supervision: permanent, first child (stops last). Blocking: it has a thread of its own.
#pragma once

#include <caf/actor.hpp>
#include <memory>

#include "actors/runtime/environment.hpp"
#include "actors/sync/central_store.hpp"
#include "actors/sync/store_messages.hpp"

namespace drover::sync {

struct InboxConfig {
  uint64_t commit_bytes_max = 8u << 20;     // a commit takes at most so many block bytes; 64 KiB .. 256 MiB
  uint64_t commit_delay_ms = 0;             // wait so long for more before a commit; 0: as soon as the disk is free
  uint64_t pending_bytes_max = 256u << 20;  // blocks waiting for a commit
};

struct AskInbox {};
struct InboxFacts {
  uint64_t commits = 0;
  uint64_t blocks = 0;
  uint64_t bytes = 0;
  uint64_t pending_bytes = 0;
  std::string alarm;  // why the last commit failed; empty: it did not
};

caf::actor spawn_inbox(runtime::Environment& env, InboxConfig config, std::shared_ptr<CentralStore> store);

}  // namespace drover::sync

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::AskInbox)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::InboxFacts)

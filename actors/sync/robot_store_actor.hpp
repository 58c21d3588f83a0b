// The robot store actor: the one writer of a robot's store.
//
// In:    StoreCapture, ReadMarks, ReadBlock, ReadPiece, ApplyKnowledge (replies: Result<...>), AskRobotStore (reply:
//        RobotStoreFacts), RecordsAcked, ChunkAcked, ChunksSettled, WatchJournal (no reply).
// Out:   JournalGrew to watchers, after the commit that made it grow.
// Rules: acknowledgements are collected and written in one transaction when the mailbox has nothing more urgent, so a
//        thousand acknowledged chunks cost one sync.
// Supervision: permanent, first child (stops last). Blocking: it has a thread of its own.
#pragma once

#include <caf/actor.hpp>
#include <memory>

#include "actors/runtime/environment.hpp"
#include "actors/sync/robot_store.hpp"
#include "actors/sync/store_messages.hpp"

namespace drover::sync {

caf::actor spawn_robot_store(runtime::Environment& env, std::shared_ptr<RobotStore> store);

}  // namespace drover::sync

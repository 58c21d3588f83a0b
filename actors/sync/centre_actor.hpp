// The centre actor: turns what the inbox holds into datapacks, episodes, events and wanted chunks, stores chunks, and
// answers questions about all of it.
//
// In:    InboxGrew; ListWants, StorePiece, ReadKnowledge, RunQuery (replies as in store_messages.hpp), AskCentral
//        (reply: CentralFacts).
// Rules: records are applied a bounded piece at a time, streams taking turns, so that questions and chunks get in
// between.
//        Pieces of chunks that are queued together share one commit. A record that breaks an invariant, or whose
//        handling threw again and again (quarantine), is set aside as rejected and the stream goes on.
// Supervision: permanent. Blocking: it has a thread of its own. After a restart it goes on at the stored watermarks.
#pragma once

#include <caf/actor.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "actors/runtime/environment.hpp"
#include "actors/sync/central_store.hpp"
#include "actors/sync/store_messages.hpp"

namespace drover::sync {

struct CentreConfig {
  uint64_t apply_bytes = 1u << 20;  // records per transaction
  // While blocks keep arriving, applying takes at most this share of the time, so that acknowledging, which shares the
  // disk, goes first; it never stops, and takes all of the time once the inbox is quiet. 0.05 .. 1
  double apply_share = 0.25;
  uint64_t inbox_quiet_ms = 50;                       // no block for so long: the inbox is quiet
  uint64_t apply_rest_ms = 500;                       // longest pause between two transactions
  uint64_t pieces_bytes_max = 8u << 20;               // pieces per transaction
  uint64_t wants_bytes_max = 8u << 20;                // asked of one robot at a time
  uint64_t budget_bytes_per_s = uint64_t{256} << 20;  // of all robots together; 0: no chunks are asked for
  uint64_t retry_ms = 1000;                           // pause after the disk refused
};

// Answers a JSON request of a peer; given by the node, so that this room does not know the requests. It may change the
// store (publishing knowledge); it runs between two transactions of the centre.
using QueryFunction =
    std::function<Result<std::string>(CentralStore& store, const network::PeerName& peer, std::string_view request)>;

caf::actor spawn_centre(runtime::Environment& env, CentreConfig config, std::shared_ptr<CentralStore> store,
                        runtime::Ref inbox, QueryFunction query);

}  // namespace drover::sync

// CentralStore: everything a coordinator keeps. Logic without actors; the inbox actor and the centre actor share one.
//
// Two LMDB environments under one folder:
//   inbox/    every robot's journal as it came. Acknowledging a block costs one group commit here and nothing else.
//   central/  what the records become: datapacks and their indexes, episodes, events, receipts, chunks, knowledge, and
//             how far each stream has been applied, in the same transaction as the effects.
// central/ can be deleted and is then rebuilt from inbox/ (chunks are fetched again from the robots that hold them).
//
// Invariants
// - A record has its effects exactly once, in stream order, whatever crashes: the watermark commits with them.
// - A record that breaks an invariant is kept aside with the reason (EpisodeStore::put_rejected) and the stream goes
// on.
// - The content of central/ does not depend on how records were batched or how streams interleaved.
// Threads: calls may come from any thread; writers of one environment queue behind each other.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "messages/knowledge.hpp"
#include "messages/record.hpp"
#include "messages/result.hpp"
#include "storage/blobs.hpp"
#include "storage/datapack_store.hpp"
#include "storage/env.hpp"
#include "storage/episode_store.hpp"
#include "storage/inbox.hpp"
#include "storage/marks.hpp"
#include "storage/valuation_store.hpp"

namespace drover::sync {

struct CentralStoreOptions {
  std::string path;
  uint64_t map_initial_bytes = 256u << 20;
  uint64_t map_max_bytes = uint64_t{1} << 40;
  uint64_t free_reserve_bytes = 0;
  storage::Sync sync = storage::Sync::synced;
  storage::Access access = storage::Access::read_write;  // read_only: beside a live coordinator
  storage::Verify verify = storage::Verify::structure;
};

struct StreamId {
  std::string robot;
  uint64_t incarnation = 0;
  auto operator<=>(const StreamId&) const = default;
};

struct Applied {
  uint64_t records = 0;
  uint64_t rejected = 0;
  uint64_t applied_seq = 0;  // watermark after the call
  bool more = false;         // the stream holds further records
};

// Runs `take` for a record, or refuses to: false sets the record aside as quarantined. May throw what `take` throws.
using RecordGuard = std::function<bool(const StreamId&, const Bytes& frame, const std::function<void()>& take)>;

class CentralStore {
 public:
  // Errors: those of Env::open.
  static Result<std::unique_ptr<CentralStore>> open(const CentralStoreOptions& options);

  // ---- inbox
  Result<storage::StreamFacts> open_stream(const StreamId& stream, int64_t now_unix_ns);
  Result<std::vector<storage::AppendOutcome>> append(std::span<const storage::Incoming> incoming);
  Result<std::vector<StreamId>> streams() const;

  // ---- centre
  // Applies at most max_bytes of records of one stream (at least one block) in one transaction. Without a guard every
  // record is taken.
  Result<Applied> apply(const StreamId& stream, uint64_t max_bytes, const RecordGuard& guard = {});
  Result<uint64_t> applied_seq(const StreamId& stream) const;
  Result<std::vector<storage::WantedChunk>> wanted(const std::string& robot, uint64_t budget_bytes,
                                                   uint32_t max_items) const;
  // Moves the watermark without applying: what a consumer that lost its place would do. For seeded bugs only.
  Status skip_to(const StreamId& stream, uint64_t seq);
  // Several pieces in one transaction; one result each.
  Result<std::vector<storage::Blobs::PieceResult>> put_pieces(std::span<const storage::Blobs::Piece> pieces);
  Result<storage::HeldKnowledge> knowledge() const;
  // Stores signed knowledge; the caller made or checked the signature. Returns the version held.
  Result<uint64_t> publish(uint64_t version, ByteView signed_bytes);
  // Stores a datapack that did not come through a journal (import). Same id and content: nothing changes.
  Status import_packs(std::span<const Datapack> packs);

  const storage::Env& inbox_env() const { return inbox_env_; }
  const storage::Env& central_env() const { return central_env_; }
  // For who keeps tables of its own beside what records become (novelty).
  storage::Env& central_env_to_write() { return central_env_; }
  const storage::Inbox& inbox() const { return inbox_; }
  const storage::DatapackStore& packs() const { return packs_; }
  const storage::ValuationStore& valuations() const { return valuations_; }
  const storage::EpisodeStore& episodes() const { return episodes_; }
  const storage::Blobs& blobs() const { return blobs_; }
  const storage::KnowledgeStore& knowledge_store() const { return knowledge_; }
  // Handle to the watermarks in central/.
  const storage::Inbox& progress() const { return progress_; }

 private:
  CentralStore(storage::Env inbox_env, storage::Env central_env);
  // Where a record's effects go.
  struct Target {
    storage::WriteTxn& txn;
    storage::DatapackBatch& packs;
    const StreamId& stream;
    const RecordGuard& guard;
  };
  Status set_applied(storage::WriteTxn& txn, const StreamId& stream, uint64_t seq) const;
  Status apply_record(const Target& to, const Block& block, size_t index, Applied& applied);
  Status take_record(const Target& to, const RecordView& record);
  Status take_episode(const Target& to, const RecordView& record);
  Status take_datapack(const Target& to, const RecordView& record);
  Status take_receipt(storage::WriteTxn& txn, const storage::RecordOrigin& origin, const RecordView& record);

  storage::Env inbox_env_;
  storage::Env central_env_;
  storage::Inbox inbox_;
  storage::Inbox progress_;
  storage::DatapackStore packs_;
  storage::ValuationStore valuations_;
  storage::EpisodeStore episodes_;
  storage::Blobs blobs_;
  storage::KnowledgeStore knowledge_;
};

inline constexpr std::string_view apply_consumer = "centre";

}  // namespace drover::sync

// RobotStore: everything a robot keeps, in one LMDB environment, so that what belongs together commits together:
// journal, chunks, marks of the sources, knowledge. Logic without actors; the robot store actor owns one.
//
// Invariants
// - store() is one transaction: records, chunks and marks are all there after a crash, or none of them.
// - Nothing unacknowledged is ever evicted. Every eviction journals a receipt in the same transaction.
// - When the quota or the disk leaves no room, store() refuses with disk_full and changes nothing.
// Threads: calls may come from any thread; the actor makes them one at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "messages/bytes.hpp"
#include "messages/hash.hpp"
#include "messages/knowledge.hpp"
#include "messages/record.hpp"
#include "messages/result.hpp"
#include "storage/blobs.hpp"
#include "storage/env.hpp"
#include "storage/journal.hpp"
#include "storage/marks.hpp"

namespace drover::sync {

struct NewRecord {
  RecordKind kind{};
  int64_t time_unix_ns = 0;
  Bytes payload;
};

struct NewChunk {
  Hash hash{};
  Bytes bytes;
  double value_per_byte = 0;
  std::string episode_id;
};

// Opaque to the store: lets a source remember how far it got in the same transaction as what it produced.
struct SourceMark {
  std::string key;
  std::string value;  // empty, when stored: the mark is erased
};

// Stores all of it in one transaction, or nothing. Reply: Result<StoredCapture>.
// Errors: disk_full (quota or disk; capture must stop), io, corrupt.
struct StoreCapture {
  std::vector<NewRecord> records;
  std::vector<NewChunk> chunks;
  std::vector<SourceMark> marks;
};
struct StoredCapture {
  uint64_t first_seq = 0;  // of `records`; 0 when there were none
  uint64_t last_seq = 0;
};

// Reply: Result<SourceMarks>: all marks whose key starts with the prefix, in key order.
struct ReadMarks {
  std::string prefix;
};
struct SourceMarks {
  std::vector<SourceMark> marks;
};

// A block of consecutive records from from_seq on, at most max_bytes unless the first record alone is larger.
// Reply: Result<BlockRead>; empty bytes when the journal ends before from_seq.
struct ReadBlock {
  uint64_t from_seq = 0;
  uint32_t max_bytes = 0;
};
struct BlockRead {
  uint64_t first_seq = 0;
  uint64_t last_seq = 0;
  Bytes block;
};

// A piece of a chunk. Reply: Result<Bytes>; not_found when the chunk is not here.
struct ReadPiece {
  Hash hash{};
  uint64_t offset = 0;
  uint32_t bytes = 0;
};

// The centre has it on disk. No reply.
struct RecordsAcked {
  uint64_t seq = 0;
};
struct ChunkAcked {
  Hash hash{};
};

// Reply: RobotStoreFacts.
struct AskRobotStore {};
struct RobotStoreFacts {
  std::string robot;
  uint64_t incarnation = 0;
  uint64_t first_seq = 0;
  uint64_t last_seq = 0;
  uint64_t acked_seq = 0;
  uint64_t knowledge_version = 0;
  uint64_t blob_bytes = 0;          // chunks held here
  uint64_t blob_backlog_bytes = 0;  // of those, not yet at the centre
  uint64_t quota_bytes = 0;
  bool capture_stopped = false;
  std::string alarm;  // empty: none
};

// Applies a signed snapshot if it is newer and its signature is good. Reply: Result<KnowledgeApplied>.
struct ApplyKnowledge {
  Bytes snapshot;
};
struct KnowledgeApplied {
  uint64_t version = 0;  // held after the call
};

// Subscribes the sender to JournalGrew. No reply; one JournalGrew comes at once.
struct WatchJournal {};
struct JournalGrew {
  uint64_t last_seq = 0;
};

// The centre holds every chunk that records up to `applied_seq` refer to. No reply.
struct ChunksSettled {
  uint64_t applied_seq = 0;
};

struct RobotStoreOptions {
  std::string path;
  std::string robot;                          // node id; an existing store must be of the same robot
  uint64_t incarnation = 0;                   // for a new store; an existing one keeps its own. Never 0
  uint64_t quota_bytes = uint64_t{32} << 30;  // of chunks
  uint64_t map_initial_bytes = 64u << 20;
  uint64_t map_max_bytes = uint64_t{64} << 30;
  uint64_t free_reserve_bytes = 0;             // of the file system
  std::optional<Ed25519Key> knowledge_key;     // public key of the only accepted author; absent: none is accepted
  storage::Sync sync = storage::Sync::synced;  // nosync: benchmarks and tests only
  storage::Verify verify = storage::Verify::structure;
};

class RobotStore {
 public:
  // Errors: those of Env::open and Journal::open.
  static Result<RobotStore> open(const RobotStoreOptions& options);

  Result<StoredCapture> store(const StoreCapture& capture, int64_t now_unix_ns);
  Result<SourceMarks> marks(const std::string& prefix) const;
  Result<BlockRead> read_block(uint64_t from_seq, uint32_t max_bytes) const;
  // A chunk that is damaged or gone is journaled once as lost (event and receipt), so that the centre stops asking.
  Result<Bytes> read_piece(const Hash& hash, uint64_t offset, uint32_t bytes, int64_t now_unix_ns);
  Status records_acked(uint64_t seq);
  Status chunks_acked(const std::vector<Hash>& hashes);
  // Marks all chunks as acknowledged when the journal ends at or before applied_seq; else changes nothing.
  Status chunks_settled(uint64_t applied_seq);
  Result<KnowledgeApplied> apply_knowledge(const Bytes& snapshot);
  Result<RobotStoreFacts> facts() const;

  const storage::JournalIdentity& identity() const { return journal_.identity(); }
  const storage::Env& env() const { return env_; }

 private:
  RobotStore(RobotStoreOptions options, storage::Env env, storage::Journal journal);
  Result<std::vector<Receipt>> make_room(storage::WriteTxn& txn, uint64_t incoming_bytes, int64_t now_unix_ns) const;
  Result<StoredCapture> store_once(const StoreCapture& capture, int64_t now_unix_ns);
  Status store_marks_in(storage::WriteTxn& txn, const std::vector<SourceMark>& marks) const;
  Status forget_damaged(storage::WriteTxn& txn, const Hash& hash, int64_t now_unix_ns) const;
  Status journal_lost_chunk(const Hash& hash, const Error& why, int64_t now_unix_ns);

  RobotStoreOptions options_;
  storage::Env env_;
  storage::Journal journal_;
  storage::Blobs blobs_;
  storage::Marks marks_;
  storage::KnowledgeStore knowledge_;
};

// The tables of a robot's store, for opening one read-only.
std::vector<std::string> robot_store_databases();

}  // namespace drover::sync

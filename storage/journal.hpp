// Journal: a robot's own records, in order, on its own disk. journal.md documents the format.
//
// Invariants
// - Sequence numbers begin at 1 and never repeat within an incarnation, also over crashes and trims.
// - An append is one transaction: all of its records are there after a crash, or none.
// - acked <= last, and nothing above acked is ever trimmed.
//
// A Journal is a handle without state of its own (everything is in the Env): copy freely, use from any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "messages/record.hpp"
#include "storage/env.hpp"

namespace drover::storage {

inline constexpr uint64_t journal_block_bytes = 1u << 20;  // a stored block closes at this size

struct JournalIdentity {
  std::string robot;
  uint64_t incarnation = 0;
  bool operator==(const JournalIdentity&) const = default;
};

struct NewRecord {
  RecordKind kind{};
  int64_t time_unix_ns = 0;
  ByteView payload;
  uint16_t schema = 1;
};

struct AppendedRange {
  uint64_t first_seq = 0;  // 0: nothing was appended
  uint64_t last_seq = 0;
};

struct JournalFacts {
  uint64_t first_seq = 0;  // oldest record still here; last_seq + 1 when there is none
  uint64_t last_seq = 0;   // 0 before the first append
  uint64_t acked_seq = 0;
};

class Journal {
 public:
  static std::vector<std::string> databases();  // tables the Env must be opened with

  // Opens the journal, or founds it with this identity. On an existing journal the robot must match and the stored
  // incarnation wins. Errors: conflict (another robot's journal), invalid_argument, those of Env.
  static Result<Journal> open(Env& env, const JournalIdentity& identity);
  // For operator commands: not_found when there is no journal.
  static Result<Journal> open_existing(const Env& env);

  const JournalIdentity& identity() const noexcept { return identity_; }

  // Appends in the caller's transaction, so that chunks and marks commit with the records.
  // Errors: too_large (a payload over record_payload_max_bytes), those of WriteTxn.
  Result<AppendedRange> append_in(WriteTxn& txn, std::span<const NewRecord> records) const;
  Result<AppendedRange> append(Env& env, std::span<const NewRecord> records) const;

  Result<JournalFacts> facts_in(const ReadTxn& txn) const;
  Result<JournalFacts> facts(const Env& env) const;

  // Records from from_seq on as one block, at most max_bytes of it unless the first record alone is larger.
  // Stored blocks are joined or cut as needed; records are copied as they lie, never hashed again.
  // Empty when the journal ends before from_seq. Errors: gap (trimmed already), corrupt.
  Result<Bytes> read_in(const ReadTxn& txn, uint64_t from_seq, uint64_t max_bytes) const;
  Result<Bytes> read(const Env& env, uint64_t from_seq, uint64_t max_bytes) const;

  // The centre holds everything up to seq. Never goes back. Error: invalid_argument (above last_seq).
  Status ack_in(WriteTxn& txn, uint64_t seq) const;
  // Drops whole stored blocks up to `upto`. Returns how many records. Error: refused (upto above acked_seq).
  Result<uint64_t> trim_in(WriteTxn& txn, uint64_t upto) const;

 private:
  Journal(Db blocks, Db state, JournalIdentity identity);
  Db blocks_;
  Db state_;
  JournalIdentity identity_;
};

}  // namespace drover::storage

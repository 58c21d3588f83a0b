// Blobs: chunks of raw data, each named by its SHA-256, on robots and at the centre. blobs.md documents the format.
//
// Invariants
// - A chunk that is held has the content its name says: it was hashed before it was stored, and is sealed.
// - A chunk is stored once, however many episodes of however many robots refer to it.
// - Only acknowledged chunks can be evicted, cheapest per byte first; what is evicted yields a receipt.
// - The totals and the orders of eviction and of wanting are kept in the same transaction as the chunks.
//
// A Blobs is a handle without state of its own: copy freely, use from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "messages/episode.hpp"
#include "storage/env.hpp"

namespace drover::storage {

inline constexpr size_t chunk_bytes = 256u << 10;     // the size every blob is cut at
inline constexpr size_t chunk_max_bytes = 16u << 20;  // the largest chunk taken from others
inline constexpr size_t chunk_episodes_max = 32;      // episode ids remembered per chunk (the smallest ones)
inline constexpr size_t chunk_robots_max = 64;        // robots asked for one missing chunk

// Cuts bytes into chunks of chunk_bytes (the last one shorter) and describes them. Pure.
BlobRef describe_blob(std::string name, std::string media_type, ByteView content);
// The i-th chunk's bytes of a content described by describe_blob.
ByteView chunk_of(ByteView content, size_t index);

struct ChunkFacts {
  uint32_t size_bytes = 0;
  double value_per_byte = 0;  // the highest that any episode gave it
  bool held = false;
  bool acked = false;                  // the other side has it on disk
  std::vector<std::string> episodes;   // ascending
  std::vector<std::string> wanted_of;  // robots that can send it, while it is missing; ascending
};

struct BlobTotals {
  uint64_t held_bytes = 0;
  uint64_t held_chunks = 0;
  uint64_t acked_bytes = 0;   // of held
  uint64_t wanted_bytes = 0;  // missing, each chunk once
  uint64_t wanted_chunks = 0;
};

struct NewChunk {
  Hash hash{};
  ByteView bytes;
  double value_per_byte = 0;
  std::string_view episode_id;
};

struct WantedChunk {
  Hash hash{};
  uint32_t size_bytes = 0;
  uint64_t have_bytes = 0;  // the first this many are here already
  double value_per_byte = 0;
};

struct PieceOutcome {
  uint64_t have_bytes = 0;  // contiguous from the start; send from here
  bool complete = false;    // the whole chunk is here and its hash is right
};

class Blobs {
 public:
  static std::vector<std::string> databases();
  static Blobs open(const Env& env);

  // Stores a whole chunk; true when it was not here before. Also adds the episode and raises the value.
  // Errors: corrupt (content is not what the hash says), too_large, conflict (known with another size).
  Result<bool> put_in(WriteTxn& txn, const NewChunk& chunk) const;

  // Takes the next piece of a chunk. A piece that begins after what is here is ignored, one that overlaps is cut.
  // When the last piece came, the content is hashed; wrong content is dropped altogether: Errc::corrupt is in the
  // outcome's `error`, not a failed Result, so that the drop is committed.
  struct Piece {
    Hash hash{};
    uint64_t offset = 0;
    uint32_t size_bytes = 0;  // of the whole chunk
    ByteView bytes;
  };
  struct PieceResult {
    PieceOutcome outcome;
    std::optional<Error> error;  // corrupt, too_large, conflict, invalid_argument: the sender's fault
  };
  Result<PieceResult> put_piece_in(WriteTxn& txn, const Piece& piece) const;

  // The chunk. Errors: not_found, corrupt (damaged on disk).
  Result<Bytes> get_in(const ReadTxn& txn, const Hash& hash) const;
  // [offset, offset + size) of it, cut at its end. Errors: also invalid_argument (offset past the end).
  Result<Bytes> get_piece_in(const ReadTxn& txn, const Hash& hash, uint64_t offset, uint64_t size) const;
  Result<bool> has_in(const ReadTxn& txn, const Hash& hash) const;
  Result<std::optional<ChunkFacts>> facts_in(const ReadTxn& txn, const Hash& hash) const;
  Result<std::vector<ChunkRef>> missing_in(const ReadTxn& txn, std::span<const ChunkRef> chunks) const;
  Result<BlobTotals> totals_in(const ReadTxn& txn) const;
  // In hash order, held ones only.
  Status each_held_in(const ReadTxn& txn, const std::function<Status(const Hash&, const ChunkFacts&)>& visit) const;

  // Robot: the centre has the chunk. Unknown chunks are ignored.
  Status ack_in(WriteTxn& txn, const Hash& hash) const;
  // Robot: chunks that may go, cheapest per byte first (then by hash), until they add up to `bytes`.
  Result<std::vector<Hash>> eviction_candidates_in(const ReadTxn& txn, uint64_t bytes) const;
  // Robot: drops these. Returns a receipt each, to be journaled in the same transaction.
  // Errors: refused (not acknowledged; nothing is dropped), not_found.
  Result<std::vector<Receipt>> evict_in(WriteTxn& txn, std::span<const Hash> hashes, int64_t now_unix_ns,
                                        std::string_view reason) const;

  // Centre: an episode of `robot` refers to these; the missing ones become wanted of that robot.
  // Error: conflict (a chunk is known with another size).
  Status refer_in(WriteTxn& txn, std::string_view robot, std::string_view episode_id, double value_per_byte,
                  std::span<const ChunkRef> chunks) const;
  // Centre: what to ask a robot for, most valuable per byte first (then by hash), at most max_items of them and about
  // budget_bytes of what is missing (at least one).
  Result<std::vector<WantedChunk>> wanted_in(const ReadTxn& txn, std::string_view robot, uint64_t budget_bytes,
                                             uint32_t max_items) const;
  // Centre: the robot no longer has it (its receipt came): it is no longer asked for it.
  Status unwant_in(WriteTxn& txn, std::string_view robot, const Hash& hash) const;

  // Calls sink with the blob's bytes, chunk after chunk, and checks sizes and the blob's own hash at the end.
  // Errors: not_found (which chunk is missing), corrupt, the sink's.
  Status stream_in(const ReadTxn& txn, const BlobRef& blob, const std::function<Status(ByteView)>& sink) const;

 private:
  Blobs(Db chunks, Db states, Db parts, Db evictable, Db wanted, Db totals);
  Result<std::optional<ChunkFacts>> load(const ReadTxn& txn, const Hash& hash) const;
  Status save(WriteTxn& txn, const Hash& hash, const std::optional<ChunkFacts>& before, const ChunkFacts& after) const;
  Status drop(WriteTxn& txn, const Hash& hash, const ChunkFacts& before) const;
  Status index(WriteTxn& txn, const Hash& hash, const ChunkFacts& facts, bool add) const;
  Status count(WriteTxn& txn, const ChunkFacts& facts, bool add) const;
  Result<std::vector<Hash>> most_valuable(const ReadTxn& txn, uint64_t bytes) const;
  Result<uint64_t> have_bytes(const ReadTxn& txn, const Hash& hash) const;
  Result<bool> finish_chunk(WriteTxn& txn, const Piece& piece, const std::optional<ChunkFacts>& before) const;

  Db chunks_;
  Db states_;
  Db parts_;
  Db evictable_;
  Db wanted_;
  Db totals_;
};

}  // namespace drover::storage

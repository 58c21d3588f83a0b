// Records and blocks: the byte form in which a robot's journal is stored, sent and kept at the centre.
//
// A record is one fact (episode, datapack, event, ...) with a sequence number that never repeats
// within a robot's incarnation. A block is a run of consecutive records under one checksum; it is
// the unit of disk writes, of sending and of central storage. FORMAT.md has a worked example.
//
// All integers are little endian. Layout, every part a multiple of 8 bytes:
//   block  := magic u32 'DRB1' | count u32 | first_seq u64 | body_bytes u64 | checksum u64 | record*
//   record := payload_bytes u32 | kind u16 | schema u16 | seq u64 | time_unix_ns i64 | sha256[32] |
//             payload | zero padding to 8
// checksum is XXH3-64 over the first 24 header bytes and the body. sha256 covers kind, schema, seq, time
// and payload, so two records are the same exactly when their hashes are.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "messages/bytes.hpp"
#include "messages/hash.hpp"
#include "messages/result.hpp"

namespace drover {

enum class RecordKind : uint16_t {
  episode = 1,     // Episode (episode.capnp)
  datapack = 2,    // Datapack (datapack.capnp)
  enrichment = 3,  // Enrichment (records.capnp)
  event = 4,       // Event (records.capnp)
  outcome = 5,     // Outcome (records.capnp)
  receipt = 6,     // Receipt (records.capnp)
};
std::string_view record_kind_name(RecordKind kind) noexcept;  // "unknown" outside the list

inline constexpr uint32_t block_magic = 0x31425244;  // "DRB1"
inline constexpr size_t block_header_bytes = 32;
inline constexpr size_t record_header_bytes = 56;
inline constexpr size_t record_payload_max_bytes = 8u << 20;
inline constexpr size_t block_max_bytes = 16u << 20;
inline constexpr uint32_t block_max_records = 1u << 20;

struct RecordView {
  RecordKind kind{};
  uint16_t schema = 0;
  uint64_t seq = 0;
  int64_t time_unix_ns = 0;
  Hash hash{};
  ByteView payload;  // points into the block
  ByteView frame;    // the whole record with header and padding
};

// Hash of a record's identity and content, as stored in its header.
Hash record_hash(const RecordView& record);

class Block;

// Collects consecutive records into one block. Not thread safe.
class BlockBuilder {
 public:
  explicit BlockBuilder(uint64_t first_seq);

  // Appends a record with the next sequence number and returns that number.
  // Errors: too_large when the payload or the block would exceed its bound; nothing is added then.
  Result<uint64_t> add(RecordKind kind, uint16_t schema, int64_t time_unix_ns, ByteView payload);

  // Appends an existing record unchanged; its seq must be the next one.
  Status add_frame(const RecordView& record);
  // The same for the records [from, end) of a block, as many as fit `max_bytes` of this block and its bounds, in one
  // copy. Returns how many. Error: gap, when record `from` is not the next one.
  Result<size_t> add_frames(const Block& block, size_t from, size_t end, uint64_t max_bytes);

  uint64_t first_seq() const noexcept { return first_seq_; }
  uint64_t next_seq() const noexcept { return first_seq_ + count_; }
  uint32_t count() const noexcept { return count_; }
  size_t size_bytes() const noexcept { return buffer_.size(); }
  bool empty() const noexcept { return count_ == 0; }
  // Room for a block of so many bytes, so that it grows without copying.
  void reserve(uint64_t bytes) { buffer_.reserve(std::min<uint64_t>(bytes, block_max_bytes)); }

  // Seals the block. The builder is empty afterwards and continues at next_seq().
  Bytes finish();

 private:
  uint64_t first_seq_;
  uint32_t count_ = 0;
  std::vector<std::byte> buffer_;
};

// A parsed block. Holds a share of the bytes, so views stay valid as long as the Block lives.
class Block {
 public:
  Block() = default;

  // Checks structure, bounds, order and the checksum. Does not hash records; verify_hashes() does.
  // Errors: truncated, corrupt, too_large, unsupported_version; `where` names the byte offset.
  static Result<Block> parse(Bytes bytes) { return parse(std::move(bytes), true); }
  // The same for bytes whose integrity was just checked by other means (a store's seal): the checksum is not
  // computed again.
  static Result<Block> parse_sealed(Bytes bytes) { return parse(std::move(bytes), false); }

  // Recomputes every record's SHA-256. Error: corrupt, naming the record's seq.
  Status verify_hashes() const;

  uint64_t first_seq() const noexcept { return first_seq_; }
  uint64_t last_seq() const noexcept { return first_seq_ + offsets_.size() - 1; }
  size_t count() const noexcept { return offsets_.size(); }
  const Bytes& bytes() const noexcept { return bytes_; }
  RecordView record(size_t index) const;  // index < count()

 private:
  static Result<Block> parse(Bytes bytes, bool verify_checksum);

  Bytes bytes_;
  uint64_t first_seq_ = 0;
  std::vector<uint32_t> offsets_;
};

}  // namespace drover

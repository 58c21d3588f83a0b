// Reading MCAP files, whole or damaged.
//
// RecordReader gives every record in file order, also those inside chunks, and checks every CRC the file carries
// (chunk, attachment, data section, summary). read_messages gives messages with their schema and channel, by file order
// or by log time, filtered, through the chunk index where there is a trustworthy one.
//
// Invariants: outside bytes never crash, hang or allocate beyond the limits. The first damage ends the reading; all
// before it was delivered, and nothing of a chunk whose CRC is wrong. What a chunk's CRC does not cover (records
// outside chunks) is vouched for only when DataEnd was reached without damage. Threads: a reader belongs to one thread;
// sources may be shared.
#pragma once

#include <bitset>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/mcap/io.hpp"
#include "storage/mcap/types.hpp"

namespace drover::mcap {

struct ReadOptions {
  uint64_t record_bytes_max = uint64_t{256} << 20;   // one record outside chunks, as stored
  uint64_t chunk_bytes_max = uint64_t{256} << 20;    // one chunk, uncompressed
  uint64_t table_bytes_max = uint64_t{64} << 20;     // all schemas and channels together (read_messages)
  uint64_t pending_bytes_max = uint64_t{512} << 20;  // chunks held open to order overlapping ones (read_messages)
  uint64_t span_count_max = uint64_t{4} << 20;       // chunks or runs of loose messages in one file (read_messages)
  bool check_crcs = true;
  bool emit_chunks = false;   // give each Chunk before the records inside it
  bool emit_unknown = false;  // give records with unknown opcodes; else they are skipped
};

struct Item {
  uint64_t offset = 0;                   // file offset of the record; for a record inside a chunk: of the chunk
  std::optional<uint64_t> chunk_offset;  // offset inside the uncompressed chunk, for records inside a chunk
  bool crc_checked = false;              // stands in a chunk whose CRC was there and right
  AnyRecord record;
};

class RecordReader {
 public:
  explicit RecordReader(std::shared_ptr<const Source> source, ReadOptions options = {});

  // The next record, or nothing at the end: then damage() says whether the file was whole.
  std::optional<Item> next();

  // Set when reading ended early. A file that just stops (no footer) is damaged with Errc::truncated.
  const std::optional<Damage>& damage() const noexcept { return damage_; }

  // File offset of the next record that is not inside the current chunk.
  uint64_t position() const noexcept { return position_; }

 private:
  enum class Stage : uint8_t { magic, header, data, summary, closing, done };
  struct Frame {
    uint8_t opcode;
    uint64_t offset;
    Bytes body;
  };

  std::optional<Item> stop(uint64_t offset, Errc code, std::string what);
  std::optional<Item> stop(uint64_t offset, const Error& error);
  Result<Bytes> fetch(uint64_t offset, uint64_t size);
  void read_magic();
  void read_closing();
  std::optional<Frame> read_frame();
  std::optional<Item> next_outside();
  std::optional<Item> next_inside();
  Status enter(const Frame& frame, const AnyRecord& record);
  Status enter_chunk(const Chunk& chunk, uint64_t offset);
  Status check_footer(const Frame& frame, const Footer& footer) const;
  bool fits_chunk(const MessageIndex& index);
  bool belongs_here(uint8_t opcode) const noexcept;

  std::shared_ptr<const Source> source_;
  ReadOptions options_;
  Stage stage_ = Stage::magic;
  uint64_t position_ = 0;
  uint8_t last_opcode_ = 0;  // of the record before, outside chunks
  uint64_t last_offset_ = 0;
  uint32_t crc_ = 0;            // running: of the data section, then of the summary
  uint64_t summary_start_ = 0;  // where DataEnd ended
  Bytes window_;                // read-ahead
  uint64_t window_offset_ = 0;
  Bytes chunk_;  // uncompressed records of the current chunk
  uint64_t chunk_file_offset_ = 0;
  uint64_t chunk_at_ = 0;
  bool chunk_crc_checked_ = false;
  std::bitset<65536> chunk_channels_;    // with messages in the last chunk
  std::bitset<65536> indexed_channels_;  // with an index behind it
  std::optional<Damage> damage_;
};

enum class Order : uint8_t { file, log_time };

struct MessageQuery {
  Order order = Order::log_time;     // equal log times keep file order
  std::optional<uint64_t> start_ns;  // log time, inclusive
  std::optional<uint64_t> end_ns;    // log time, exclusive
  std::vector<std::string> topics;   // empty: all
  bool use_index = true;             // false: always scan
};

struct ReadMessage {
  std::shared_ptr<const Schema> schema;    // null: the channel has no schema
  std::shared_ptr<const Channel> channel;  // never null
  Message message;
  uint64_t offset = 0;       // of the message, or of the chunk that holds it
  bool crc_checked = false;  // as in Item; false: only DataEnd, reached without damage, vouches for it
};

struct ReadReport {
  bool used_index = false;     // the data section was not scanned; its CRC was not checked
  uint64_t message_count = 0;  // delivered
  std::optional<Damage> damage;
};

// Return false to stop reading.
using MessageCallback = std::function<bool(const ReadMessage&)>;

// Delivers the messages `query` asks for. The index is used when the summary is sound, names every channel and its
// chunks account for every message record of the file; otherwise the file is scanned. With Order::log_time a scan
// reads the file twice, and in a damaged file orders what lies before the damage. A damaged chunk met through the index
// ends the delivery at the first log time that the index states for it.
ReadReport read_messages(const std::shared_ptr<const Source>& source, const MessageQuery& query,
                         const ReadOptions& options, const MessageCallback& callback);

// What the summary section says.
struct Summary {
  Footer footer;
  std::map<uint16_t, Schema> schemas;
  std::map<uint16_t, Channel> channels;
  std::optional<Statistics> statistics;
  std::vector<ChunkIndex> chunks;
  std::vector<AttachmentIndex> attachments;
  std::vector<MetadataIndex> metadata;
};

// Reads the summary from the end of the file. Errors: not_found (the file has none), truncated, corrupt, too_large, io.
Result<Summary> read_summary(const Source& source, const ReadOptions& options = {});

// One attachment or metadata record that an index points to. Errors as above.
Result<Attachment> read_attachment(const Source& source, const AttachmentIndex& index, const ReadOptions& options = {});
Result<Metadata> read_metadata(const Source& source, const MetadataIndex& index, const ReadOptions& options = {});

}  // namespace drover::mcap

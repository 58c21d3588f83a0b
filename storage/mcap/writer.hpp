// Writing MCAP files.
//
// Invariants: the same calls with the same options give the same bytes (for one version of the compression library).
// Each chunk goes to the sink in one append together with its message indexes, so after a crash the file reads up to
// the last chunk that was appended. After a sink failed the writer only repeats that error. Memory is bounded by the
// chunk size, the schemas and channels, and one index entry per chunk, attachment and metadata record. Threads: a
// writer belongs to one thread. The sink must outlive it. Making bytes durable is the sink owner's part: flush() the
// writer, then sync the sink.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "storage/mcap/io.hpp"
#include "storage/mcap/types.hpp"

namespace drover::mcap {

struct WriterOptions {
  std::string profile = {};
  std::string library = "drover";
  bool chunked = true;  // false: records stand in the data section directly, without message or chunk indexes
  uint64_t chunk_size_bytes = uint64_t{1} << 20;  // a chunk is closed when its records reach this; 1 B .. 1 GiB
  Compression compression = Compression::zstd;
  bool repeat_schemas = true;  // in the summary; readers need both to use the chunk index
  bool repeat_channels = true;
  bool statistics = true;
  bool message_index = true;
  bool chunk_index = true;
  bool attachment_index = true;
  bool metadata_index = true;
  bool summary_offsets = true;
  bool chunk_crcs = true;
  bool attachment_crcs = true;
  bool data_crc = true;
  bool summary_crc = true;
};

class Writer {
 public:
  // Writes magic and header. Errors: invalid_argument (chunk size out of bounds), the sink's.
  static Result<Writer> open(Sink& sink, WriterOptions options);

  // Registers and writes a schema or channel; the first form chooses the next free id. A second registration of the
  // same id is ignored when equal. Errors: invalid_argument (schema id 0), conflict (same id, other content), not_found
  // (the channel names a schema that was not registered), too_large, refused (closed), the sink's.
  Result<uint16_t> add_schema(std::string name, std::string encoding, Bytes data);
  Result<uint16_t> add_channel(std::string topic, std::string message_encoding, uint16_t schema_id,
                               StringMap metadata = {});
  Status add_schema(Schema schema);
  Status add_channel(Channel channel);

  // Errors: not_found (channel not registered), too_large (over 1 GiB), refused (closed), the sink's.
  Status write(const Message& message);

  // Written at once, outside chunks. Attachment::crc is ignored. Errors: too_large, refused (closed), the sink's.
  Status write(const Attachment& attachment);
  Status write(const Metadata& metadata);

  // Closes the current chunk and hands it to the sink.
  Status flush();

  // Flushes, writes the summary and the footer. The file is complete only after this succeeded. Once.
  Status close();

  uint64_t message_count() const noexcept { return statistics_.message_count; }
  uint64_t bytes_written() const noexcept { return position_; }  // what the sink has taken so far

 private:
  struct OpenChunk {
    std::string records;
    std::map<uint16_t, MessageIndex> index;  // by channel: a deterministic order
    uint64_t message_count = 0;
    uint64_t start_ns = 0, end_ns = 0;
  };

  Writer(Sink& sink, WriterOptions options) : sink_(&sink), options_(std::move(options)) {}
  Status usable() const;
  Status emit(std::string_view bytes);
  Status put(const AnyRecord& record);
  void count(const Message& message);
  void append_indexes(std::string& out, ChunkIndex& index);
  Status write_summary();
  template <class Records>
  void append_group(std::string& out, uint64_t base, const Records& records);

  Sink* sink_;
  WriterOptions options_;
  uint64_t position_ = 0;
  uint32_t data_crc_ = 0;
  OpenChunk chunk_;
  std::map<uint16_t, Schema> schemas_;
  std::map<uint16_t, Channel> channels_;
  std::map<uint16_t, uint64_t> channel_counts_;
  Statistics statistics_;
  std::vector<ChunkIndex> chunk_indexes_;
  std::vector<AttachmentIndex> attachment_indexes_;
  std::vector<MetadataIndex> metadata_indexes_;
  std::vector<SummaryOffset> summary_offsets_;
  std::optional<Error> failed_;
  bool closed_ = false;
};

}  // namespace drover::mcap

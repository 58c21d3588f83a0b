// The record types of an MCAP file (mcap.dev/spec), as plain values.
//
// Invariants: field order and meaning are the specification's; times are nanoseconds since an epoch the writer chose;
// maps keep the order they have in the file. `Bytes` members share the buffer they were read from, so a small message
// that is kept keeps its whole chunk alive: copy it (Bytes::copy_of) when it must outlive the reading.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "messages/bytes.hpp"
#include "messages/result.hpp"

namespace drover::mcap {

enum class Opcode : uint8_t {
  header = 0x01,
  footer = 0x02,
  schema = 0x03,
  channel = 0x04,
  message = 0x05,
  chunk = 0x06,
  message_index = 0x07,
  chunk_index = 0x08,
  attachment = 0x09,
  attachment_index = 0x0a,
  statistics = 0x0b,
  metadata = 0x0c,
  metadata_index = 0x0d,
  summary_offset = 0x0e,
  data_end = 0x0f,
};

enum class Compression : uint8_t { none, lz4, zstd };

// "", "lz4" or "zstd": the text a Chunk carries.
std::string_view compression_name(Compression compression) noexcept;

using StringMap = std::vector<std::pair<std::string, std::string>>;

struct Header {
  std::string profile;  // "" or for example "ros2"
  std::string library;
  bool operator==(const Header&) const = default;
};

struct Footer {
  uint64_t summary_start = 0;         // file offset, 0: no summary
  uint64_t summary_offset_start = 0;  // file offset, 0: no summary offsets
  uint32_t summary_crc = 0;           // 0: not available
  bool operator==(const Footer&) const = default;
};

struct Schema {
  uint16_t id = 0;  // never 0 in a file; 0 in a Channel means "no schema"
  std::string name;
  std::string encoding;  // for example "ros2msg"
  Bytes data;
  bool operator==(const Schema&) const = default;
};

struct Channel {
  uint16_t id = 0;
  uint16_t schema_id = 0;  // 0: no schema
  std::string topic;
  std::string message_encoding;  // for example "cdr"
  StringMap metadata;
  bool operator==(const Channel&) const = default;
};

struct Message {
  uint16_t channel_id = 0;
  uint32_t sequence = 0;
  uint64_t log_time_ns = 0;
  uint64_t publish_time_ns = 0;
  Bytes data;
  bool operator==(const Message&) const = default;
};

struct Chunk {
  uint64_t message_start_time_ns = 0;
  uint64_t message_end_time_ns = 0;
  uint64_t uncompressed_bytes = 0;
  uint32_t uncompressed_crc = 0;  // 0: not available
  std::string compression;        // as it stands in the file; may be one this build does not know
  Bytes records;                  // as stored: compressed
  bool operator==(const Chunk&) const = default;
};

struct MessageIndex {
  struct Entry {
    uint64_t log_time_ns = 0;
    uint64_t offset = 0;  // into the uncompressed chunk
    bool operator==(const Entry&) const = default;
  };
  uint16_t channel_id = 0;
  std::vector<Entry> entries;
  bool operator==(const MessageIndex&) const = default;
};

struct ChunkIndex {
  uint64_t message_start_time_ns = 0;
  uint64_t message_end_time_ns = 0;
  uint64_t chunk_start_offset = 0;                                   // file offset of the Chunk's opcode
  uint64_t chunk_length = 0;                                         // of the whole record, opcode and length included
  std::vector<std::pair<uint16_t, uint64_t>> message_index_offsets;  // channel id -> file offset
  uint64_t message_index_length = 0;
  std::string compression;
  uint64_t compressed_bytes = 0;
  uint64_t uncompressed_bytes = 0;
  bool operator==(const ChunkIndex&) const = default;
};

struct Attachment {
  uint64_t log_time_ns = 0;
  uint64_t create_time_ns = 0;
  std::string name;
  std::string media_type;
  Bytes data;
  uint32_t crc = 0;  // set by the reader; the writer computes its own. 0: not available
  bool operator==(const Attachment&) const = default;
};

struct AttachmentIndex {
  uint64_t offset = 0;
  uint64_t length = 0;
  uint64_t log_time_ns = 0;
  uint64_t create_time_ns = 0;
  uint64_t data_bytes = 0;
  std::string name;
  std::string media_type;
  bool operator==(const AttachmentIndex&) const = default;
};

struct Statistics {
  uint64_t message_count = 0;
  uint16_t schema_count = 0;
  uint32_t channel_count = 0;
  uint32_t attachment_count = 0;
  uint32_t metadata_count = 0;
  uint32_t chunk_count = 0;
  uint64_t message_start_time_ns = 0;  // 0 when there are no messages
  uint64_t message_end_time_ns = 0;
  std::vector<std::pair<uint16_t, uint64_t>> channel_message_counts;
  bool operator==(const Statistics&) const = default;
};

struct Metadata {
  std::string name;
  StringMap metadata;
  bool operator==(const Metadata&) const = default;
};

struct MetadataIndex {
  uint64_t offset = 0;
  uint64_t length = 0;
  std::string name;
  bool operator==(const MetadataIndex&) const = default;
};

struct SummaryOffset {
  uint8_t group_opcode = 0;
  uint64_t group_start = 0;
  uint64_t group_length = 0;
  bool operator==(const SummaryOffset&) const = default;
};

struct DataEnd {
  uint32_t data_section_crc = 0;  // 0: not available
  bool operator==(const DataEnd&) const = default;
};

// A record this build does not know: reserved (0x10..0x7f) or private (0x80..0xff).
struct UnknownRecord {
  uint8_t opcode = 0;
  Bytes data;
  bool operator==(const UnknownRecord&) const = default;
};

using AnyRecord =
    std::variant<Header, Footer, Schema, Channel, Message, Chunk, MessageIndex, ChunkIndex, Attachment, AttachmentIndex,
                 Statistics, Metadata, MetadataIndex, SummaryOffset, DataEnd, UnknownRecord>;

// Where and why reading stopped. Everything before it was delivered.
struct Damage {
  uint64_t offset = 0;  // file offset of the record (for a record inside a chunk: of the chunk)
  Errc code = Errc::corrupt;
  std::string what;
};

}  // namespace drover::mcap

#include "storage/mcap/codec.hpp"

#include <lz4frame.h>
#include <zlib.h>
#include <zstd.h>

#include <memory>
#include <type_traits>

namespace drover::mcap {

namespace {

// Reads fields in order. A field over the end sets the sticky `failed` and gives zeros from then on.
class Cursor {
 public:
  explicit Cursor(const Bytes& body) : body_(body) {}

  template <class T>
  T integer() {
    T value = 0;
    if (!take(sizeof(T))) return value;
    for (size_t i = 0; i < sizeof(T); ++i)
      value = static_cast<T>(value | static_cast<T>(static_cast<T>(body_.data()[at_ - sizeof(T) + i]) << (8 * i)));
    return value;
  }
  uint8_t u8() { return integer<uint8_t>(); }
  uint16_t u16() { return integer<uint16_t>(); }
  uint32_t u32() { return integer<uint32_t>(); }
  uint64_t u64() { return integer<uint64_t>(); }

  std::string string() { return std::string(bytes(u32()).text()); }
  Bytes bytes(uint64_t size) { return take(size) ? body_.slice(at_ - size, size) : Bytes(); }
  Bytes rest() { return failed_ ? Bytes() : bytes(body_.size() - at_); }

  // A u32 byte length, then entries until it is used up. The count is bounded by the bytes there are.
  template <class Entry>
  void entries(Entry&& entry) {
    const Bytes block = bytes(u32());
    if (failed_) return;
    Cursor inner(block);
    while (inner.at_ < block.size() && !inner.failed_) entry(inner);
    failed_ = inner.failed_;
  }
  StringMap string_map() {
    StringMap map;
    entries([&](Cursor& in) {
      std::string key = in.string();
      map.emplace_back(std::move(key), in.string());
    });
    return map;
  }
  std::vector<std::pair<uint16_t, uint64_t>> id_map() {
    std::vector<std::pair<uint16_t, uint64_t>> map;
    entries([&](Cursor& in) {
      const uint16_t id = in.u16();
      map.emplace_back(id, in.u64());
    });
    return map;
  }
  bool failed() const noexcept { return failed_; }
  size_t at() const noexcept { return at_; }

 private:
  bool take(uint64_t size) {
    if (failed_ || size > body_.size() - at_) failed_ = true;
    if (!failed_) at_ += size;
    return !failed_;
  }

  const Bytes& body_;
  size_t at_ = 0;
  bool failed_ = false;
};

// One read() and one write() per record type, in the field order of the specification.
void read(Cursor& in, Header& r) {
  r.profile = in.string();
  r.library = in.string();
}
void read(Cursor& in, Footer& r) {
  r.summary_start = in.u64();
  r.summary_offset_start = in.u64();
  r.summary_crc = in.u32();
}
void read(Cursor& in, Schema& r) {
  r.id = in.u16();
  r.name = in.string();
  r.encoding = in.string();
  r.data = in.bytes(in.u32());
}
void read(Cursor& in, Channel& r) {
  r.id = in.u16();
  r.schema_id = in.u16();
  r.topic = in.string();
  r.message_encoding = in.string();
  r.metadata = in.string_map();
}
void read(Cursor& in, Message& r) {
  r.channel_id = in.u16();
  r.sequence = in.u32();
  r.log_time_ns = in.u64();
  r.publish_time_ns = in.u64();
  r.data = in.rest();
}
void read(Cursor& in, Chunk& r) {
  r.message_start_time_ns = in.u64();
  r.message_end_time_ns = in.u64();
  r.uncompressed_bytes = in.u64();
  r.uncompressed_crc = in.u32();
  r.compression = in.string();
  r.records = in.bytes(in.u64());
}
void read(Cursor& in, MessageIndex& r) {
  r.channel_id = in.u16();
  in.entries([&](Cursor& entry) {
    const uint64_t log_time_ns = entry.u64();
    r.entries.push_back({log_time_ns, entry.u64()});
  });
}
void read(Cursor& in, ChunkIndex& r) {
  r.message_start_time_ns = in.u64();
  r.message_end_time_ns = in.u64();
  r.chunk_start_offset = in.u64();
  r.chunk_length = in.u64();
  r.message_index_offsets = in.id_map();
  r.message_index_length = in.u64();
  r.compression = in.string();
  r.compressed_bytes = in.u64();
  r.uncompressed_bytes = in.u64();
}
void read(Cursor& in, Attachment& r) {
  r.log_time_ns = in.u64();
  r.create_time_ns = in.u64();
  r.name = in.string();
  r.media_type = in.string();
  r.data = in.bytes(in.u64());
  r.crc = in.u32();
}
void read(Cursor& in, AttachmentIndex& r) {
  r.offset = in.u64();
  r.length = in.u64();
  r.log_time_ns = in.u64();
  r.create_time_ns = in.u64();
  r.data_bytes = in.u64();
  r.name = in.string();
  r.media_type = in.string();
}
void read(Cursor& in, Statistics& r) {
  r.message_count = in.u64();
  r.schema_count = in.u16();
  r.channel_count = in.u32();
  r.attachment_count = in.u32();
  r.metadata_count = in.u32();
  r.chunk_count = in.u32();
  r.message_start_time_ns = in.u64();
  r.message_end_time_ns = in.u64();
  r.channel_message_counts = in.id_map();
}
void read(Cursor& in, Metadata& r) {
  r.name = in.string();
  r.metadata = in.string_map();
}
void read(Cursor& in, MetadataIndex& r) {
  r.offset = in.u64();
  r.length = in.u64();
  r.name = in.string();
}
void read(Cursor& in, SummaryOffset& r) {
  r.group_opcode = in.u8();
  r.group_start = in.u64();
  r.group_length = in.u64();
}
void read(Cursor& in, DataEnd& r) {
  r.data_section_crc = in.u32();
}

class Out {
 public:
  explicit Out(std::string& to) : to_(to) {}

  template <class T>
  void integer(T value) {
    for (size_t i = 0; i < sizeof(T); ++i) to_.push_back(static_cast<char>((value >> (8 * i)) & 0xff));
  }
  void u16(uint16_t value) { integer(value); }
  void u32(uint32_t value) { integer(value); }
  void u64(uint64_t value) { integer(value); }
  void raw(std::string_view text) { to_.append(text); }
  void string(std::string_view text) {
    u32(static_cast<uint32_t>(text.size()));
    raw(text);
  }
  // A u32 byte length in front of what `write` appends.
  template <class Write>
  void sized(Write&& write) {
    const size_t start = to_.size();
    u32(0);
    write();
    const uint64_t size = to_.size() - start - 4;
    for (size_t i = 0; i < 4; ++i) to_[start + i] = static_cast<char>((size >> (8 * i)) & 0xff);
  }
  void string_map(const StringMap& map) {
    sized([&] {
      for (const auto& [key, value] : map) string(key), string(value);
    });
  }
  void id_map(const std::vector<std::pair<uint16_t, uint64_t>>& map) {
    sized([&] {
      for (const auto& [id, value] : map) u16(id), u64(value);
    });
  }

 private:
  std::string& to_;
};

void write(Out& out, const Header& r) {
  out.string(r.profile), out.string(r.library);
}
void write(Out& out, const Footer& r) {
  out.u64(r.summary_start), out.u64(r.summary_offset_start), out.u32(r.summary_crc);
}
void write(Out& out, const Schema& r) {
  out.u16(r.id), out.string(r.name), out.string(r.encoding), out.string(r.data.text());
}
void write(Out& out, const Channel& r) {
  out.u16(r.id), out.u16(r.schema_id), out.string(r.topic), out.string(r.message_encoding);
  out.string_map(r.metadata);
}
void write(Out& out, const Message& r) {
  out.u16(r.channel_id), out.u32(r.sequence), out.u64(r.log_time_ns), out.u64(r.publish_time_ns);
  out.raw(r.data.text());
}
void write(Out& out, const Chunk& r) {
  out.u64(r.message_start_time_ns), out.u64(r.message_end_time_ns), out.u64(r.uncompressed_bytes);
  out.u32(r.uncompressed_crc), out.string(r.compression), out.u64(r.records.size()), out.raw(r.records.text());
}
void write(Out& out, const MessageIndex& r) {
  out.u16(r.channel_id);
  out.sized([&] {
    for (const auto& entry : r.entries) out.u64(entry.log_time_ns), out.u64(entry.offset);
  });
}
void write(Out& out, const ChunkIndex& r) {
  out.u64(r.message_start_time_ns), out.u64(r.message_end_time_ns);
  out.u64(r.chunk_start_offset), out.u64(r.chunk_length);
  out.id_map(r.message_index_offsets);
  out.u64(r.message_index_length), out.string(r.compression);
  out.u64(r.compressed_bytes), out.u64(r.uncompressed_bytes);
}
void write_without_crc(Out& out, const Attachment& r) {
  out.u64(r.log_time_ns), out.u64(r.create_time_ns), out.string(r.name), out.string(r.media_type);
  out.u64(r.data.size()), out.raw(r.data.text());
}
void write(Out& out, const Attachment& r) {
  write_without_crc(out, r), out.u32(r.crc);
}
void write(Out& out, const AttachmentIndex& r) {
  out.u64(r.offset), out.u64(r.length), out.u64(r.log_time_ns), out.u64(r.create_time_ns), out.u64(r.data_bytes);
  out.string(r.name), out.string(r.media_type);
}
void write(Out& out, const Statistics& r) {
  out.u64(r.message_count), out.u16(r.schema_count), out.u32(r.channel_count), out.u32(r.attachment_count);
  out.u32(r.metadata_count), out.u32(r.chunk_count);
  out.u64(r.message_start_time_ns), out.u64(r.message_end_time_ns);
  out.id_map(r.channel_message_counts);
}
void write(Out& out, const Metadata& r) {
  out.string(r.name), out.string_map(r.metadata);
}
void write(Out& out, const MetadataIndex& r) {
  out.u64(r.offset), out.u64(r.length), out.string(r.name);
}
void write(Out& out, const SummaryOffset& r) {
  out.integer(r.group_opcode), out.u64(r.group_start), out.u64(r.group_length);
}
void write(Out& out, const DataEnd& r) {
  out.u32(r.data_section_crc);
}
void write(Out& out, const UnknownRecord& r) {
  out.raw(r.data.text());
}

template <class Record>
Result<AnyRecord> decode_as(const Bytes& body, const char* name) {
  Record record;
  Cursor in(body);
  read(in, record);
  if (in.failed()) return fail(Errc::corrupt, name, "a field runs over the end of its record");
  return AnyRecord(std::move(record));
}

Result<AnyRecord> decode_schema(const Bytes& body) {
  auto record = decode_as<Schema>(body, "Schema");
  if (record && std::get<Schema>(*record).id == 0)
    return fail(Errc::corrupt, "Schema.id", "0 is not a valid schema id");
  return record;
}

template <class T>
uint8_t opcode_of(const T& record) {
  if constexpr (std::is_same_v<T, UnknownRecord>) return record.opcode;
  return static_cast<uint8_t>(AnyRecord(std::in_place_type<T>).index() + 1);
}

}  // namespace

static_assert(std::is_same_v<std::variant_alternative_t<static_cast<size_t>(Opcode::data_end) - 1, AnyRecord>, DataEnd>,
              "AnyRecord lists the record types in opcode order: opcode_of relies on it");

std::string_view compression_name(Compression compression) noexcept {
  switch (compression) {
    case Compression::none:
      return "";
    case Compression::lz4:
      return "lz4";
    case Compression::zstd:
      return "zstd";
  }
  return "";
}

Result<AnyRecord> decode_record(uint8_t opcode, const Bytes& body) {
  switch (static_cast<Opcode>(opcode)) {
    case Opcode::header:
      return decode_as<Header>(body, "Header");
    case Opcode::footer:
      return decode_as<Footer>(body, "Footer");
    case Opcode::schema:
      return decode_schema(body);
    case Opcode::channel:
      return decode_as<Channel>(body, "Channel");
    case Opcode::message:
      return decode_as<Message>(body, "Message");
    case Opcode::chunk:
      return decode_as<Chunk>(body, "Chunk");
    case Opcode::message_index:
      return decode_as<MessageIndex>(body, "MessageIndex");
    case Opcode::chunk_index:
      return decode_as<ChunkIndex>(body, "ChunkIndex");
    case Opcode::attachment:
      return decode_as<Attachment>(body, "Attachment");
    case Opcode::attachment_index:
      return decode_as<AttachmentIndex>(body, "AttachmentIndex");
    case Opcode::statistics:
      return decode_as<Statistics>(body, "Statistics");
    case Opcode::metadata:
      return decode_as<Metadata>(body, "Metadata");
    case Opcode::metadata_index:
      return decode_as<MetadataIndex>(body, "MetadataIndex");
    case Opcode::summary_offset:
      return decode_as<SummaryOffset>(body, "SummaryOffset");
    case Opcode::data_end:
      return decode_as<DataEnd>(body, "DataEnd");
  }
  if (opcode == 0) return fail(Errc::corrupt, "opcode", "0 is not a valid opcode");
  return AnyRecord(UnknownRecord{opcode, body});
}

void append_record(std::string& out, const AnyRecord& record) {
  std::visit(
      [&](const auto& r) {
        const size_t start = out.size();
        out.push_back(static_cast<char>(opcode_of(r)));
        out.append(8, '\0');
        Out fields(out);
        write(fields, r);
        const uint64_t size = out.size() - start - kFrameBytes;
        for (size_t i = 0; i < 8; ++i) out[start + 1 + i] = static_cast<char>((size >> (8 * i)) & 0xff);
      },
      record);
}

uint32_t crc32_of(ByteView bytes, uint32_t crc) noexcept {
  return static_cast<uint32_t>(::crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

uint32_t attachment_crc(const Attachment& attachment) {
  std::string head;
  Out out(head);
  Attachment without_data = attachment;
  without_data.data = {};
  write_without_crc(out, without_data);
  for (size_t i = 0; i < 8; ++i)
    head[head.size() - 8 + i] = static_cast<char>((uint64_t{attachment.data.size()} >> (8 * i)) & 0xff);
  return crc32_of(attachment.data, crc32_of(as_bytes(head)));
}

namespace {

Status inflate_zstd(ByteView from, std::span<std::byte> to) {
  const size_t size = ZSTD_decompress(to.data(), to.size(), from.data(), from.size());
  if (ZSTD_isError(size)) return fail(Errc::corrupt, "Chunk.records", std::string("zstd: ") + ZSTD_getErrorName(size));
  if (size != to.size()) return fail(Errc::corrupt, "Chunk.uncompressed_size", "zstd data is shorter than declared");
  return {};
}

Status inflate_lz4(ByteView from, std::span<std::byte> to) {
  LZ4F_dctx* raw = nullptr;
  if (LZ4F_isError(LZ4F_createDecompressionContext(&raw, LZ4F_VERSION)))
    return fail(Errc::internal, "Chunk.records", "lz4: out of memory");
  const std::unique_ptr<LZ4F_dctx, decltype(&LZ4F_freeDecompressionContext)> context(raw,
                                                                                     LZ4F_freeDecompressionContext);
  size_t read = 0, written = 0, hint = 1;
  while (read < from.size()) {
    size_t in = from.size() - read, out = to.size() - written;
    hint = LZ4F_decompress(raw, to.data() + written, &out, from.data() + read, &in, nullptr);
    if (LZ4F_isError(hint)) return fail(Errc::corrupt, "Chunk.records", std::string("lz4: ") + LZ4F_getErrorName(hint));
    if (in == 0 && out == 0) break;  // no progress: the output is full or the input is malformed
    read += in, written += out;
  }
  if (read != from.size() || written != to.size() || hint != 0)
    return fail(Errc::corrupt, "Chunk.uncompressed_size", "lz4 data does not have the declared size");
  return {};
}

}  // namespace

Result<Bytes> decompress_chunk(const Chunk& chunk, uint64_t bytes_max, bool check_crc) {
  if (chunk.compression != "" && chunk.compression != "lz4" && chunk.compression != "zstd")
    return fail(Errc::unsupported_version, "Chunk.compression",
                chunk.compression.substr(0, 32).append(" is not a compression this build knows"));
  if (chunk.uncompressed_bytes > bytes_max)
    return fail(Errc::too_large, "Chunk.uncompressed_size",
                std::to_string(chunk.uncompressed_bytes) + " bytes are over the limit of " + std::to_string(bytes_max));
  Bytes records;
  Status status;
  if (chunk.compression.empty()) {
    records = chunk.records;
    if (records.size() != chunk.uncompressed_bytes)
      return fail(Errc::corrupt, "Chunk.uncompressed_size", "differs from the records' size");
  } else if (chunk.uncompressed_bytes > 0 || !chunk.records.empty()) {
    // LZ4 spends at least 1 byte on 255, zstd 4 on a block of 128 KiB: a claim beyond that is refused before anything
    // is allocated.
    const uint64_t ratio_max = chunk.compression == "lz4" ? 256 : 32768;
    if (chunk.uncompressed_bytes / ratio_max > chunk.records.size())
      return fail(Errc::corrupt, "Chunk.uncompressed_size", "more than so few bytes can hold");
    records = Bytes::make(chunk.uncompressed_bytes, [&](std::span<std::byte> to) {
      status = chunk.compression == "lz4" ? inflate_lz4(chunk.records, to) : inflate_zstd(chunk.records, to);
    });
  }
  DROVER_TRY(std::move(status));
  if (check_crc && chunk.uncompressed_crc != 0 && crc32_of(records) != chunk.uncompressed_crc)
    return fail(Errc::corrupt, "Chunk.uncompressed_crc", "CRC mismatch");
  return records;
}

Result<std::string> compress(Compression compression, ByteView bytes) {
  std::string out;
  if (compression == Compression::none) return std::string(as_text(bytes));
  if (compression == Compression::zstd) {
    out.resize(ZSTD_compressBound(bytes.size()));
    const size_t size = ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 1);
    if (ZSTD_isError(size)) return fail(Errc::internal, "mcap/zstd", ZSTD_getErrorName(size));
    out.resize(size);
    return out;
  }
  LZ4F_preferences_t preferences = {};
  preferences.frameInfo.contentSize = bytes.size();
  out.resize(LZ4F_compressFrameBound(bytes.size(), &preferences));
  const size_t size = LZ4F_compressFrame(out.data(), out.size(), bytes.data(), bytes.size(), &preferences);
  if (LZ4F_isError(size)) return fail(Errc::internal, "mcap/lz4", LZ4F_getErrorName(size));
  out.resize(size);
  return out;
}

}  // namespace drover::mcap

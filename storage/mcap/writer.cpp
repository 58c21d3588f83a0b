#include "storage/mcap/writer.hpp"

#include <algorithm>

#include "storage/mcap/codec.hpp"

namespace drover::mcap {

namespace {

constexpr uint64_t kRecordBytesMax = uint64_t{1} << 30;

uint64_t map_bytes(const StringMap& map) {
  uint64_t size = 0;
  for (const auto& [key, value] : map) size += 8 + key.size() + value.size();
  return size;
}

Status check_size(const char* what, uint64_t size) {
  if (size > kRecordBytesMax) return fail(Errc::too_large, what, std::to_string(size) + " bytes in one record");
  return {};
}

AnyRecord as_record(const std::pair<const uint16_t, Schema>& entry) {
  return entry.second;
}
AnyRecord as_record(const std::pair<const uint16_t, Channel>& entry) {
  return entry.second;
}
template <class Record>
AnyRecord as_record(const Record& record) {
  return record;
}

}  // namespace

Result<Writer> Writer::open(Sink& sink, WriterOptions options) {
  if (options.chunk_size_bytes == 0 || options.chunk_size_bytes > kRecordBytesMax)
    return fail(Errc::invalid_argument, "chunk_size_bytes", "must be 1 B .. 1 GiB");
  Writer writer(sink, std::move(options));
  std::string out(reinterpret_cast<const char*>(kMagic.data()), kMagic.size());
  append_record(out, Header{writer.options_.profile, writer.options_.library});
  DROVER_TRY(writer.emit(out));
  return writer;
}

Status Writer::usable() const {
  if (failed_) return tl::unexpected<Error>(*failed_);
  if (closed_) return fail(Errc::refused, "mcap/writer", "already closed");
  return {};
}

Status Writer::emit(std::string_view bytes) {
  if (auto status = sink_->append(as_bytes(bytes)); !status) {
    failed_ = status.error();
    return status;
  }
  if (options_.data_crc) data_crc_ = crc32_of(as_bytes(bytes), data_crc_);
  position_ += bytes.size();
  return {};
}

// A schema, channel or message: into the chunk or, unchunked, to the sink.
Status Writer::put(const AnyRecord& record) {
  if (!options_.chunked) {
    std::string out;
    append_record(out, record);
    return emit(out);
  }
  append_record(chunk_.records, record);
  return chunk_.records.size() >= options_.chunk_size_bytes ? flush() : Status{};
}

Result<uint16_t> Writer::add_schema(std::string name, std::string encoding, Bytes data) {
  const unsigned id = schemas_.empty() ? 1u : schemas_.rbegin()->first + 1u;
  if (id > UINT16_MAX) return fail(Errc::too_large, "Schema.id", "no free id is left");
  DROVER_TRY(add_schema(Schema{static_cast<uint16_t>(id), std::move(name), std::move(encoding), std::move(data)}));
  return static_cast<uint16_t>(id);
}

Result<uint16_t> Writer::add_channel(std::string topic, std::string message_encoding, uint16_t schema_id,
                                     StringMap metadata) {
  const unsigned id = channels_.empty() ? 1u : channels_.rbegin()->first + 1u;
  if (id > UINT16_MAX) return fail(Errc::too_large, "Channel.id", "no free id is left");
  DROVER_TRY(add_channel(Channel{static_cast<uint16_t>(id), schema_id, std::move(topic), std::move(message_encoding),
                                 std::move(metadata)}));
  return static_cast<uint16_t>(id);
}

Status Writer::add_schema(Schema schema) {
  DROVER_TRY(usable());
  if (schema.id == 0) return fail(Errc::invalid_argument, "Schema.id", "0 means \"no schema\"");
  DROVER_TRY(check_size("Schema", schema.name.size() + schema.encoding.size() + schema.data.size()));
  const auto [at, added] = schemas_.try_emplace(schema.id, schema);
  if (!added && at->second == schema) return {};
  if (!added) return fail(Errc::conflict, "Schema.id", std::to_string(schema.id) + " has another definition already");
  ++statistics_.schema_count;
  return put(schema);
}

Status Writer::add_channel(Channel channel) {
  DROVER_TRY(usable());
  if (channel.schema_id != 0 && !schemas_.contains(channel.schema_id))
    return fail(Errc::not_found, "Channel.schema_id", std::to_string(channel.schema_id) + " was not registered");
  DROVER_TRY(
      check_size("Channel", channel.topic.size() + channel.message_encoding.size() + map_bytes(channel.metadata)));
  const auto [at, added] = channels_.try_emplace(channel.id, channel);
  if (!added && at->second == channel) return {};
  if (!added) return fail(Errc::conflict, "Channel.id", std::to_string(channel.id) + " has another definition already");
  ++statistics_.channel_count;
  return put(channel);
}

void Writer::count(const Message& message) {
  const uint64_t time_ns = message.log_time_ns;
  const bool first = statistics_.message_count == 0;
  statistics_.message_start_time_ns = first ? time_ns : std::min(statistics_.message_start_time_ns, time_ns);
  statistics_.message_end_time_ns = std::max(statistics_.message_end_time_ns, time_ns);
  ++statistics_.message_count;
  ++channel_counts_[message.channel_id];
  if (!options_.chunked) return;
  chunk_.start_ns = chunk_.message_count == 0 ? time_ns : std::min(chunk_.start_ns, time_ns);
  chunk_.end_ns = std::max(chunk_.end_ns, time_ns);
  ++chunk_.message_count;
  auto& index = chunk_.index[message.channel_id];
  index.channel_id = message.channel_id;
  index.entries.push_back({time_ns, chunk_.records.size()});
}

Status Writer::write(const Message& message) {
  DROVER_TRY(usable());
  if (!channels_.contains(message.channel_id))
    return fail(Errc::not_found, "Message.channel_id", std::to_string(message.channel_id) + " was not registered");
  DROVER_TRY(check_size("Message", message.data.size()));
  count(message);
  return put(message);
}

Status Writer::write(const Attachment& attachment) {
  DROVER_TRY(usable());
  DROVER_TRY(check_size("Attachment", attachment.name.size() + attachment.media_type.size() + attachment.data.size()));
  Attachment copy = attachment;
  copy.crc = options_.attachment_crcs ? attachment_crc(copy) : 0;
  std::string out;
  append_record(out, copy);
  attachment_indexes_.push_back(
      {position_, out.size(), copy.log_time_ns, copy.create_time_ns, copy.data.size(), copy.name, copy.media_type});
  ++statistics_.attachment_count;
  return emit(out);
}

Status Writer::write(const Metadata& metadata) {
  DROVER_TRY(usable());
  DROVER_TRY(check_size("Metadata", metadata.name.size() + map_bytes(metadata.metadata)));
  std::string out;
  append_record(out, metadata);
  metadata_indexes_.push_back({position_, out.size(), metadata.name});
  ++statistics_.metadata_count;
  return emit(out);
}

void Writer::append_indexes(std::string& out, ChunkIndex& index) {
  const size_t start = out.size();
  for (const auto& [channel_id, entries] : chunk_.index) {
    index.message_index_offsets.emplace_back(channel_id, position_ + out.size());
    append_record(out, entries);
  }
  index.message_index_length = out.size() - start;
}

Status Writer::flush() {
  DROVER_TRY(usable());
  if (chunk_.records.empty()) return {};
  const ByteView records = as_bytes(chunk_.records);
  Chunk chunk{chunk_.start_ns,
              chunk_.end_ns,
              records.size(),
              options_.chunk_crcs ? crc32_of(records) : 0,
              std::string(compression_name(options_.compression)),
              {}};
  DROVER_ASSIGN(const std::string compressed, compress(options_.compression, records));
  chunk.records = Bytes::copy_of(compressed);
  std::string out;
  append_record(out, chunk);
  ChunkIndex index{
      chunk.message_start_time_ns, chunk.message_end_time_ns, position_, out.size(), {}, 0, chunk.compression,
      compressed.size(),           chunk.uncompressed_bytes};
  if (options_.message_index) append_indexes(out, index);
  ++statistics_.chunk_count;
  if (options_.chunk_index) chunk_indexes_.push_back(std::move(index));
  chunk_ = {};
  return emit(out);
}

// Appends one group of equal records to the summary and notes where it stands. `base` is the file offset of `out`.
template <class Records>
void Writer::append_group(std::string& out, uint64_t base, const Records& records) {
  if (records.empty()) return;
  const size_t start = out.size();
  for (const auto& record : records) append_record(out, as_record(record));
  summary_offsets_.push_back({static_cast<uint8_t>(out[start]), base + start, out.size() - start});
}

Status Writer::write_summary() {
  std::string out;
  append_record(out, DataEnd{options_.data_crc ? data_crc_ : 0});
  DROVER_TRY(emit(out));

  out.clear();
  const uint64_t base = position_;
  if (options_.repeat_schemas) append_group(out, base, schemas_);
  if (options_.repeat_channels) append_group(out, base, channels_);
  if (options_.statistics) {
    statistics_.channel_message_counts.assign(channel_counts_.begin(), channel_counts_.end());
    append_group(out, base, std::vector<Statistics>{statistics_});
  }
  if (options_.metadata_index) append_group(out, base, metadata_indexes_);
  if (options_.attachment_index) append_group(out, base, attachment_indexes_);
  append_group(out, base, chunk_indexes_);

  Footer footer;
  if (!out.empty()) footer.summary_start = base;
  if (options_.summary_offsets && !summary_offsets_.empty()) {
    footer.summary_offset_start = base + out.size();
    for (const auto& offset : summary_offsets_) append_record(out, offset);
  }
  append_record(out, footer);
  if (options_.summary_crc) {
    footer.summary_crc = crc32_of(as_bytes(out).first(out.size() - 4));
    out.resize(out.size() - kFrameBytes - kFooterBodyBytes);
    append_record(out, footer);
  }
  out.append(reinterpret_cast<const char*>(kMagic.data()), kMagic.size());
  return emit(out);
}

Status Writer::close() {
  DROVER_TRY(flush());
  DROVER_TRY(write_summary());
  closed_ = true;
  return {};
}

}  // namespace drover::mcap

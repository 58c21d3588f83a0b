// read_messages and the summary: spans, ordering, filters.
//
// A span is a chunk, or a run of records between chunks. The plan lists all spans of a file with their time ranges:
// from the chunk index when it is trustworthy, else from a scan. Messages are then delivered span by span in file
// order, or merged by log time with as few spans open as their ranges overlap.
#include <algorithm>
#include <queue>
#include <set>

#include "storage/mcap/codec.hpp"
#include "storage/mcap/reader.hpp"

namespace drover::mcap {

namespace {

constexpr uint64_t kRunBytes = uint64_t{1} << 20;  // a run of loose records is cut into spans of about this size

uint64_t little_u64(const std::byte* at) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value |= static_cast<uint64_t>(at[i]) << (8 * i);
  return value;
}

Damage to_damage(uint64_t offset, const Error& error) {
  return {offset, error.code, error.where + ": " + error.what};
}

// Schemas and channels seen so far. Their bytes are copied out of chunks and bounded.
class Tables {
 public:
  explicit Tables(uint64_t bytes_max) : bytes_max_(bytes_max) {}

  Status add(const AnyRecord& record) {
    if (const auto* schema = std::get_if<Schema>(&record)) return add_schema(*schema);
    if (const auto* channel = std::get_if<Channel>(&record)) return add_channel(*channel);
    return {};
  }
  Status add_schema(const Schema& schema) {
    if (const auto known = schemas_.find(schema.id); known != schemas_.end())
      return *known->second == schema ? Status{}
                                      : fail(Errc::corrupt, "Schema.id", "is defined twice with other content");
    DROVER_TRY(take(schema.name.size() + schema.encoding.size() + schema.data.size()));
    auto copy = std::make_shared<Schema>(schema);
    copy->data = Bytes::copy_of(schema.data.view());
    schemas_[schema.id] = std::move(copy);
    return {};
  }
  Status add_channel(const Channel& channel) {
    if (const auto known = channels_.find(channel.id); known != channels_.end())
      return *known->second == channel ? Status{}
                                       : fail(Errc::corrupt, "Channel.id", "is defined twice with other content");
    uint64_t size = channel.topic.size() + channel.message_encoding.size();
    for (const auto& [key, value] : channel.metadata) size += 64 + key.size() + value.size();
    DROVER_TRY(take(size));
    channels_[channel.id] = std::make_shared<Channel>(channel);
    return {};
  }
  // Errors: corrupt when the message's channel, or that channel's schema, was not seen.
  Result<ReadMessage> resolve(Message message, uint64_t offset, bool crc_checked) const {
    const auto channel = channels_.find(message.channel_id);
    if (channel == channels_.end())
      return fail(Errc::corrupt, "Message.channel_id", std::to_string(message.channel_id) + " was not defined before");
    ReadMessage out{nullptr, channel->second, std::move(message), offset, crc_checked};
    if (channel->second->schema_id == 0) return out;
    const auto schema = schemas_.find(channel->second->schema_id);
    if (schema == schemas_.end())
      return fail(Errc::corrupt, "Channel.schema_id",
                  std::to_string(channel->second->schema_id) + " was not defined before");
    out.schema = schema->second;
    return out;
  }

 private:
  Status take(uint64_t size) {
    bytes_ += size + 128;
    if (bytes_ > bytes_max_) return fail(Errc::too_large, "mcap/schemas", "schemas and channels are over the limit");
    return {};
  }

  uint64_t bytes_max_;
  uint64_t bytes_ = 0;
  std::map<uint16_t, std::shared_ptr<const Schema>> schemas_;
  std::map<uint16_t, std::shared_ptr<const Channel>> channels_;
};

struct Filter {
  explicit Filter(const MessageQuery& query) : query_(query), topics_(query.topics.begin(), query.topics.end()) {}
  bool wants(const ReadMessage& m) const {
    const uint64_t time_ns = m.message.log_time_ns;
    return (!query_.start_ns || time_ns >= *query_.start_ns) && (!query_.end_ns || time_ns < *query_.end_ns) &&
           (topics_.empty() || topics_.contains(m.channel->topic));
  }
  bool wants_range(uint64_t first_ns, uint64_t last_ns) const {
    return (!query_.start_ns || last_ns >= *query_.start_ns) && (!query_.end_ns || first_ns < *query_.end_ns);
  }

 private:
  const MessageQuery& query_;
  std::set<std::string, std::less<>> topics_;
};

struct Span {
  uint64_t offset = 0;
  uint64_t length = 0;
  uint64_t first_ns = 0, last_ns = 0;   // log times inside, both inclusive
  uint64_t message_count = UINT64_MAX;  // read no more than this: what follows is damaged
};

struct Plan {
  std::vector<Span> spans;  // in file order
  Tables tables;
  std::optional<Damage> damage;  // found by the scan; reported after what lies before it
};

// One frame of the data section, without its body.
struct Head {
  uint8_t opcode;
  uint64_t length;  // of the whole record
};
Result<Head> read_head(const Source& source, uint64_t offset, uint64_t end) {
  if (offset > end || end - offset < kFrameBytes) return fail(Errc::truncated, "mcap", "no record here");
  DROVER_ASSIGN(const Bytes head, source.read(offset, kFrameBytes));
  const uint64_t length = little_u64(head.data() + 1);
  if (length > end - offset - kFrameBytes) return fail(Errc::truncated, "mcap", "a record runs over the end");
  return Head{static_cast<uint8_t>(head.data()[0]), length + kFrameBytes};
}

// Reads the one record at `offset`. Errors: truncated, corrupt, too_large, io.
Result<AnyRecord> read_record(const Source& source, uint64_t offset, uint64_t bytes_max) {
  DROVER_ASSIGN(const Head head, read_head(source, offset, source.size()));
  if (head.length > bytes_max) return fail(Errc::too_large, "mcap", "a record is over the limit");
  DROVER_ASSIGN(const Bytes body, source.read(offset + kFrameBytes, head.length - kFrameBytes));
  return decode_record(head.opcode, body);
}

struct Loaded {
  uint64_t buffer_bytes = 0;  // of the buffer that a span's records share
  bool crc_checked = false;   // by the chunk's own CRC
};

// Calls `visit(record)` for every record inside a span until it returns an error. Sets `loaded` before the first call.
template <class Visit>
Status each_in_span(const Source& source, const Span& span, const ReadOptions& options, Loaded& loaded, Visit&& visit) {
  DROVER_ASSIGN(const Head outer, read_head(source, span.offset, source.size()));
  Bytes records;
  if (outer.opcode == static_cast<uint8_t>(Opcode::chunk)) {
    DROVER_ASSIGN(const AnyRecord record, read_record(source, span.offset, options.record_bytes_max));
    const auto& chunk = std::get<Chunk>(record);
    DROVER_ASSIGN(records, decompress_chunk(chunk, options.chunk_bytes_max, options.check_crcs));
    loaded.crc_checked = options.check_crcs && chunk.uncompressed_crc != 0;
  } else {
    DROVER_ASSIGN(records, source.read(span.offset, span.length));
  }
  loaded.buffer_bytes = records.size();
  uint64_t messages = 0;
  for (uint64_t at = 0; at < records.size() && messages < span.message_count;) {
    const uint64_t left = records.size() - at;
    const uint64_t length = left < kFrameBytes ? UINT64_MAX : little_u64(records.data() + at + 1);
    if (left < kFrameBytes || length > left - kFrameBytes)
      return fail(Errc::corrupt, "mcap", "a record runs over the end of its chunk");
    const auto opcode = static_cast<uint8_t>(records.data()[at]);
    DROVER_ASSIGN(AnyRecord record, decode_record(opcode, records.slice(at + kFrameBytes, length)));
    if (std::holds_alternative<Message>(record)) ++messages;
    DROVER_TRY(visit(std::move(record)));
    at += kFrameBytes + length;
  }
  return {};
}

// Extends the plan by one message found at `item`, in its chunk or in the current run.
Status note_message(Plan& plan, const Item& item, uint64_t end, bool new_span, uint64_t span_count_max) {
  const auto& message = std::get<Message>(item.record);
  if (new_span) {
    if (plan.spans.size() >= span_count_max) return fail(Errc::too_large, "mcap", "more chunks than the limit");
    plan.spans.push_back({item.offset, 0, message.log_time_ns, message.log_time_ns, 0});
  }
  Span& span = plan.spans.back();
  span.length = end - span.offset;
  span.first_ns = std::min(span.first_ns, message.log_time_ns);
  span.last_ns = std::max(span.last_ns, message.log_time_ns);
  ++span.message_count;
  return {};
}

Plan plan_by_scan(const std::shared_ptr<const Source>& source, ReadOptions options) {
  Plan plan{{}, Tables(options.table_bytes_max), std::nullopt};
  options.emit_chunks = true;
  options.emit_unknown = true;
  RecordReader reader(source, options);
  bool run_open = false;           // the last span is a run of loose records that may grow
  uint64_t in_chunk = UINT64_MAX;  // the chunk the last span stands for
  while (auto item = reader.next()) {
    Status status = plan.tables.add(item->record);
    if (const auto* message = std::get_if<Message>(&item->record); message != nullptr && status) {
      const bool loose = !item->chunk_offset;
      const bool grows =
          loose ? run_open && reader.position() - plan.spans.back().offset <= kRunBytes : in_chunk == item->offset;
      if (auto known = plan.tables.resolve(*message, item->offset, item->crc_checked); !known)
        status = tl::unexpected(known.error());
      if (status) status = note_message(plan, *item, reader.position(), !grows, options.span_count_max);
      run_open = loose;
      in_chunk = loose ? UINT64_MAX : item->offset;
    } else if (!item->chunk_offset && !std::holds_alternative<Schema>(item->record) &&
               !std::holds_alternative<Channel>(item->record)) {
      run_open = false;
    }
    if (!status) {
      plan.damage = to_damage(item->offset, status.error());
      return plan;
    }
  }
  plan.damage = reader.damage();
  return plan;
}

// Walks the heads of the records between the chunks the index names. True when none of them holds a message.
Result<bool> index_covers_all(const Source& source, const Summary& summary, const std::vector<ChunkIndex>& chunks,
                              Tables& tables, uint64_t record_bytes_max) {
  const uint64_t end = summary.footer.summary_start;
  size_t next_chunk = 0;
  for (uint64_t at = kMagic.size(); at < end;) {
    DROVER_ASSIGN(const Head head, read_head(source, at, end));
    const auto opcode = static_cast<Opcode>(head.opcode);
    if (opcode == Opcode::message) return false;
    if (opcode == Opcode::schema || opcode == Opcode::channel) {
      DROVER_ASSIGN(const AnyRecord record, read_record(source, at, record_bytes_max));
      DROVER_TRY(tables.add(record));
    }
    if (opcode == Opcode::chunk) {
      if (next_chunk >= chunks.size()) return false;
      const ChunkIndex& index = chunks[next_chunk++];
      if (index.chunk_start_offset != at || index.chunk_length != head.length) return false;
    }
    at += head.length;
    if (opcode == Opcode::data_end) return at == end && next_chunk == chunks.size();
  }
  return false;
}

// The plan from the chunk index, or nothing when there is none that accounts for the whole file.
std::optional<Plan> plan_by_index(const Source& source, const ReadOptions& options) {
  auto summary = read_summary(source, options);
  if (!summary || !summary->statistics || summary->chunks.size() > options.span_count_max) return std::nullopt;
  if (summary->statistics->chunk_count != summary->chunks.size()) return std::nullopt;
  if (summary->channels.size() < summary->statistics->channel_count) return std::nullopt;
  Plan plan{{}, Tables(options.table_bytes_max), std::nullopt};
  for (const auto& [id, schema] : summary->schemas)
    if (!plan.tables.add_schema(schema)) return std::nullopt;
  for (const auto& [id, channel] : summary->channels)
    if (!plan.tables.add_channel(channel)) return std::nullopt;
  auto chunks = summary->chunks;
  std::stable_sort(chunks.begin(), chunks.end(),
                   [](const auto& a, const auto& b) { return a.chunk_start_offset < b.chunk_start_offset; });
  const auto covers = index_covers_all(source, *summary, chunks, plan.tables, options.record_bytes_max);
  if (!covers || !*covers) return std::nullopt;
  for (const auto& chunk : chunks)
    plan.spans.push_back({chunk.chunk_start_offset, chunk.chunk_length, chunk.message_start_time_ns,
                          chunk.message_end_time_ns, UINT64_MAX});
  return plan;
}

// Delivers a plan's messages. One use.
class Delivery {
 public:
  Delivery(const Source& source, Plan plan, const MessageQuery& query, const ReadOptions& options,
           const MessageCallback& callback, ReadReport& report)
      : source_(source),
        plan_(std::move(plan)),
        filter_(query),
        options_(options),
        callback_(callback),
        report_(report) {}

  void in_file_order() {
    for (size_t i = 0; i < plan_.spans.size() && !stopped_; ++i) {
      if (!filter_.wants_range(plan_.spans[i].first_ns, plan_.spans[i].last_ns)) continue;
      load(i, [&](ReadMessage m, uint64_t) { deliver(m); });
    }
    finish();
  }

  // Opens spans by their first time; a message goes out once no unopened span can hold an earlier one.
  void by_log_time() {
    std::vector<size_t> order;
    for (size_t i = 0; i < plan_.spans.size(); ++i)
      if (filter_.wants_range(plan_.spans[i].first_ns, plan_.spans[i].last_ns)) order.push_back(i);
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return plan_.spans[a].first_ns < plan_.spans[b].first_ns; });
    open_.assign(plan_.spans.size(), {});
    for (size_t next = 0; !stopped_ && (next < order.size() || !pending_.empty());) {
      if (next < order.size() &&
          (pending_.empty() || plan_.spans[order[next]].first_ns <= pending_.top().message.message.log_time_ns)) {
        open(order[next++]);
      } else {
        deliver_first();
      }
    }
    if (damage_) drain();
    finish();
  }

 private:
  struct Pending {
    ReadMessage message;
    size_t span;
    uint64_t number;
  };
  struct Later {
    bool operator()(const Pending& a, const Pending& b) const {
      return std::tuple(a.message.message.log_time_ns, a.span, a.number) >
             std::tuple(b.message.message.log_time_ns, b.span, b.number);
    }
  };
  struct Open {
    uint64_t message_count = 0;
    uint64_t bytes = 0;
  };

  // Returns the size of the buffer that the messages taken share.
  template <class Take>
  uint64_t load(size_t index, Take&& take) {
    const Span& span = plan_.spans[index];
    uint64_t number = 0;
    Loaded loaded;
    auto status = each_in_span(source_, span, options_, loaded, [&](AnyRecord record) -> Status {
      DROVER_TRY(plan_.tables.add(record));
      auto* message = std::get_if<Message>(&record);
      if (message == nullptr || stopped_) return {};
      if (message->log_time_ns < span.first_ns || message->log_time_ns > span.last_ns)
        return fail(Errc::corrupt, "ChunkIndex.message_start_time", "a message lies outside its chunk's time range");
      DROVER_ASSIGN(ReadMessage resolved, plan_.tables.resolve(std::move(*message), span.offset, loaded.crc_checked));
      ++number;
      if (filter_.wants(resolved)) take(std::move(resolved), number);
      return {};
    });
    if (!status) stop_at(span, to_damage(span.offset, status.error()));
    return loaded.buffer_bytes;
  }

  void stop_at(const Span& span, Damage damage) {
    damage_ = std::move(damage);
    damaged_from_ns_ = span.first_ns;
    stopped_ = true;
  }

  void open(size_t index) {
    Open& open = open_[index];
    const uint64_t buffer_bytes = load(index, [&](ReadMessage m, uint64_t number) {
      ++open.message_count;
      pending_.push({std::move(m), index, number});
    });
    // A span's buffer lives as long as any of its messages waits, so all of it counts.
    if (open.message_count > 0) open.bytes = buffer_bytes + open.message_count * sizeof(Pending);
    open_bytes_ += open.bytes;
    if (open_bytes_ > options_.pending_bytes_max && !stopped_) {
      const Span& span = plan_.spans[index];
      stop_at(span, {span.offset, Errc::too_large, "chunks overlap in time by more than the limit allows"});
    }
  }

  void deliver_first() {
    const Pending first = pending_.top();
    pending_.pop();
    Open& open = open_[first.span];
    if (--open.message_count == 0) open_bytes_ -= open.bytes;
    deliver(first.message);
  }

  // After damage: what lies before the damaged span in log time still goes out, so that the caller has a prefix.
  void drain() {
    for (stopped_ = false; !stopped_ && !pending_.empty();) {
      if (pending_.top().message.message.log_time_ns >= damaged_from_ns_) return;
      deliver_first();
    }
  }

  void deliver(const ReadMessage& message) {
    if (stopped_) return;
    ++report_.message_count;
    if (!callback_(message)) stopped_ = true, by_caller_ = true;
  }

  void finish() {
    if (damage_) report_.damage = damage_;
    if (!damage_ && !by_caller_) report_.damage = plan_.damage;
  }

  const Source& source_;
  Plan plan_;
  Filter filter_;
  const ReadOptions& options_;
  const MessageCallback& callback_;
  ReadReport& report_;
  std::vector<Open> open_;
  std::priority_queue<Pending, std::vector<Pending>, Later> pending_;
  uint64_t open_bytes_ = 0;
  bool stopped_ = false;
  bool by_caller_ = false;
  std::optional<Damage> damage_;
  uint64_t damaged_from_ns_ = 0;
};

// File order without an index: one pass, nothing kept.
ReadReport stream(const std::shared_ptr<const Source>& source, const MessageQuery& query, const ReadOptions& options,
                  const MessageCallback& callback) {
  ReadReport report;
  Tables tables(options.table_bytes_max);
  const Filter filter(query);
  ReadOptions plain = options;
  plain.emit_chunks = plain.emit_unknown = false;
  RecordReader reader(source, plain);
  while (auto item = reader.next()) {
    Status status = tables.add(item->record);
    if (auto* message = std::get_if<Message>(&item->record); message != nullptr && status) {
      auto resolved = tables.resolve(std::move(*message), item->offset, item->crc_checked);
      if (!resolved) {
        status = tl::unexpected(resolved.error());
      } else if (filter.wants(*resolved)) {
        ++report.message_count;
        if (!callback(*resolved)) return report;
      }
    }
    if (!status) {
      report.damage = to_damage(item->offset, status.error());
      return report;
    }
  }
  report.damage = reader.damage();
  return report;
}

Status collect(Summary& summary, AnyRecord record) {
  if (auto* schema = std::get_if<Schema>(&record)) {
    summary.schemas.emplace(schema->id, std::move(*schema));
  } else if (auto* channel = std::get_if<Channel>(&record)) {
    summary.channels.emplace(channel->id, std::move(*channel));
  } else if (auto* statistics = std::get_if<Statistics>(&record)) {
    summary.statistics = std::move(*statistics);
  } else if (auto* chunk = std::get_if<ChunkIndex>(&record)) {
    summary.chunks.push_back(std::move(*chunk));
  } else if (auto* attachment = std::get_if<AttachmentIndex>(&record)) {
    summary.attachments.push_back(std::move(*attachment));
  } else if (auto* metadata = std::get_if<MetadataIndex>(&record)) {
    summary.metadata.push_back(std::move(*metadata));
  } else if (!std::holds_alternative<SummaryOffset>(record) && !std::holds_alternative<UnknownRecord>(record)) {
    return fail(Errc::corrupt, "mcap/summary", "a record that does not belong in a summary");
  }
  return {};
}

template <class Record, class Index>
Result<Record> read_indexed(const Source& source, const Index& index, const ReadOptions& options, const char* where) {
  DROVER_ASSIGN(AnyRecord record, read_record(source, index.offset, options.record_bytes_max));
  auto* found = std::get_if<Record>(&record);
  if (found == nullptr || found->name != index.name)
    return fail(Errc::corrupt, where, "the index does not point to such a record");
  return std::move(*found);
}

}  // namespace

ReadReport read_messages(const std::shared_ptr<const Source>& source, const MessageQuery& query,
                         const ReadOptions& options, const MessageCallback& callback) {
  const bool filtered = query.start_ns || query.end_ns || !query.topics.empty();
  const bool ordered = query.order == Order::log_time;
  if (!ordered && (!filtered || !query.use_index)) return stream(source, query, options, callback);
  std::optional<Plan> plan;
  if (query.use_index) plan = plan_by_index(*source, options);
  ReadReport report;
  report.used_index = plan.has_value();
  if (!plan && !ordered) return stream(source, query, options, callback);
  if (!plan) plan = plan_by_scan(source, options);
  Delivery delivery(*source, std::move(*plan), query, options, callback, report);
  ordered ? delivery.by_log_time() : delivery.in_file_order();
  return report;
}

Result<Summary> read_summary(const Source& source, const ReadOptions& options) {
  constexpr uint64_t kTail = kFrameBytes + kFooterBodyBytes + kMagic.size();
  const std::string_view magic(reinterpret_cast<const char*>(kMagic.data()), kMagic.size());
  const uint64_t size = source.size();
  if (size < kMagic.size() + kTail) return fail(Errc::truncated, "mcap", "too short for a footer");
  DROVER_ASSIGN(const Bytes tail, source.read(size - kTail, kTail));
  if (tail.text().substr(kTail - kMagic.size()) != magic) return fail(Errc::truncated, "mcap", "no magic at the end");
  if (tail.data()[0] != std::byte{0x02} || little_u64(tail.data() + 1) != kFooterBodyBytes)
    return fail(Errc::corrupt, "mcap", "no footer at the end");
  DROVER_ASSIGN(const AnyRecord record, decode_record(0x02, tail.slice(kFrameBytes, kFooterBodyBytes)));
  Summary summary;
  summary.footer = std::get<Footer>(record);
  const uint64_t start = summary.footer.summary_start, end = size - kTail;
  if (start == 0) return fail(Errc::not_found, "mcap", "the file has no summary");
  if (start < kMagic.size() || start > end) return fail(Errc::corrupt, "Footer.summary_start", "outside the file");
  if (end - start > options.record_bytes_max) return fail(Errc::too_large, "mcap", "the summary is over the limit");
  DROVER_ASSIGN(const Bytes bytes, source.read(start, end - start));
  const uint32_t crc = crc32_of(tail.view().first(kFrameBytes + 16), crc32_of(bytes));
  if (options.check_crcs && summary.footer.summary_crc != 0 && summary.footer.summary_crc != crc)
    return fail(Errc::corrupt, "Footer.summary_crc", "CRC mismatch");
  for (uint64_t at = 0; at < bytes.size();) {
    const uint64_t left = bytes.size() - at;
    const uint64_t length = left < kFrameBytes ? UINT64_MAX : little_u64(bytes.data() + at + 1);
    if (left < kFrameBytes || length > left - kFrameBytes)
      return fail(Errc::corrupt, "mcap/summary", "a record runs over");
    const auto opcode = static_cast<uint8_t>(bytes.data()[at]);
    DROVER_ASSIGN(AnyRecord item, decode_record(opcode, bytes.slice(at + kFrameBytes, length)));
    DROVER_TRY(collect(summary, std::move(item)));
    at += kFrameBytes + length;
  }
  return summary;
}

Result<Attachment> read_attachment(const Source& source, const AttachmentIndex& index, const ReadOptions& options) {
  DROVER_ASSIGN(Attachment found, read_indexed<Attachment>(source, index, options, "AttachmentIndex"));
  if (options.check_crcs && found.crc != 0 && found.crc != attachment_crc(found))
    return fail(Errc::corrupt, "Attachment.crc", "CRC mismatch");
  return found;
}

Result<Metadata> read_metadata(const Source& source, const MetadataIndex& index, const ReadOptions& options) {
  return read_indexed<Metadata>(source, index, options, "MetadataIndex");
}

}  // namespace drover::mcap

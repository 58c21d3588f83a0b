#include "storage/mcap/reader.hpp"

#include <algorithm>

#include "storage/mcap/codec.hpp"

namespace drover::mcap {

namespace {

constexpr uint64_t kWindowBytes = uint64_t{1} << 20;

uint64_t little_u64(const std::byte* at) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value |= static_cast<uint64_t>(at[i]) << (8 * i);
  return value;
}

bool is(uint8_t opcode, Opcode which) {
  return opcode == static_cast<uint8_t>(which);
}
bool is_unknown(uint8_t opcode) {
  return opcode > static_cast<uint8_t>(Opcode::data_end);
}

}  // namespace

RecordReader::RecordReader(std::shared_ptr<const Source> source, ReadOptions options)
    : source_(std::move(source)), options_(options) {}

std::optional<Item> RecordReader::stop(uint64_t offset, Errc code, std::string what) {
  damage_ = Damage{offset, code, std::move(what)};
  stage_ = Stage::done;
  chunk_ = {};
  window_ = {};
  return std::nullopt;
}

std::optional<Item> RecordReader::stop(uint64_t offset, const Error& error) {
  return stop(offset, error.code, error.where + ": " + error.what);
}

// The caller has checked that the range lies inside the source.
Result<Bytes> RecordReader::fetch(uint64_t offset, uint64_t size) {
  if (size > kWindowBytes) return source_->read(offset, size);
  if (offset < window_offset_ || offset + size > window_offset_ + window_.size()) {
    DROVER_ASSIGN(window_, source_->read(offset, std::min(kWindowBytes, source_->size() - offset)));
    window_offset_ = offset;
  }
  return window_.slice(offset - window_offset_, size);
}

std::optional<Item> RecordReader::next() {
  while (stage_ != Stage::done) {
    const bool inside = chunk_at_ < chunk_.size();
    if (stage_ == Stage::magic) {
      read_magic();
    } else if (stage_ == Stage::closing) {
      read_closing();
    } else if (auto item = inside ? next_inside() : next_outside()) {
      return item;
    }
  }
  return std::nullopt;
}

void RecordReader::read_magic() {
  const uint64_t size = std::min<uint64_t>(source_->size(), kMagic.size());
  auto magic = fetch(0, size);
  if (!magic) {
    stop(0, magic.error());
  } else if (as_text(*magic) != std::string_view(reinterpret_cast<const char*>(kMagic.data()), size)) {
    stop(0, Errc::corrupt, "not an MCAP file: the magic at its start is wrong");
  } else if (size < kMagic.size()) {
    stop(0, Errc::truncated, "the file ends inside the magic");
  } else {
    crc_ = crc32_of(*magic);
    position_ = size;
    stage_ = Stage::header;
  }
}

void RecordReader::read_closing() {
  const uint64_t left = source_->size() - position_;
  auto magic = fetch(position_, std::min<uint64_t>(left, kMagic.size()));
  if (!magic) {
    stop(position_, magic.error());
  } else if (as_text(*magic) != std::string_view(reinterpret_cast<const char*>(kMagic.data()), magic->size())) {
    stop(position_, Errc::corrupt, "the magic at the end of the file is wrong");
  } else if (left < kMagic.size()) {
    stop(position_, Errc::truncated, "the file ends inside its closing magic");
  } else if (left > kMagic.size()) {
    stop(position_ + kMagic.size(), Errc::corrupt, "there are bytes after the closing magic");
  }
  stage_ = Stage::done;
  window_ = {};
}

std::optional<RecordReader::Frame> RecordReader::read_frame() {
  const uint64_t offset = position_, left = source_->size() - position_;
  if (left < kFrameBytes) {
    stop(offset, Errc::truncated,
         left == 0 ? "the file ends without a footer" : "the file ends inside a record's head");
    return std::nullopt;
  }
  auto head = fetch(offset, kFrameBytes);
  if (!head) return stop(offset, head.error()), std::nullopt;
  const uint64_t length = little_u64(head->data() + 1);
  const auto opcode = static_cast<uint8_t>(head->data()[0]);
  if (length > left - kFrameBytes) {
    stop(offset, Errc::truncated,
         "a record claims " + std::to_string(length) + " bytes, the file has " + std::to_string(left - kFrameBytes));
    return std::nullopt;
  }
  if (length > options_.record_bytes_max) {
    stop(offset, Errc::too_large, "a record of " + std::to_string(length) + " bytes is over the limit");
    return std::nullopt;
  }
  auto body = fetch(offset + kFrameBytes, length);
  if (!body) return stop(offset, body.error()), std::nullopt;
  if (options_.check_crcs && !is(opcode, Opcode::data_end) && !is(opcode, Opcode::footer))
    crc_ = crc32_of(*body, crc32_of(*head, crc_));
  position_ = offset + kFrameBytes + length;
  return Frame{opcode, offset, std::move(*body)};
}

bool RecordReader::belongs_here(uint8_t opcode) const noexcept {
  if (stage_ == Stage::header) return is(opcode, Opcode::header);
  if (is_unknown(opcode)) return true;
  switch (static_cast<Opcode>(opcode)) {
    case Opcode::schema:
    case Opcode::channel:
      return true;
    case Opcode::message:
    case Opcode::chunk:
    case Opcode::message_index:
    case Opcode::attachment:
    case Opcode::metadata:
    case Opcode::data_end:
      return stage_ == Stage::data;
    case Opcode::statistics:
    case Opcode::chunk_index:
    case Opcode::attachment_index:
    case Opcode::metadata_index:
    case Opcode::summary_offset:
    case Opcode::footer:
      return stage_ == Stage::summary;
    case Opcode::header:
      return false;
  }
  return false;
}

std::optional<Item> RecordReader::next_outside() {
  auto frame = read_frame();
  if (!frame) return std::nullopt;
  auto record = decode_record(frame->opcode, frame->body);
  if (!record) return stop(frame->offset, record.error());
  if (!belongs_here(frame->opcode)) {
    return stop(frame->offset, Errc::corrupt,
                "a record with opcode " + std::to_string(frame->opcode) + " does not belong in this section");
  }
  const auto* index = std::get_if<MessageIndex>(&*record);
  if (index != nullptr && !fits_chunk(*index))
    return stop(last_offset_, Errc::corrupt, "a message index follows that does not fit the chunk before it");
  last_opcode_ = frame->opcode;
  last_offset_ = frame->offset;
  if (auto status = enter(*frame, *record); !status) return stop(frame->offset, status.error());
  if (is(frame->opcode, Opcode::chunk) && !options_.emit_chunks) return std::nullopt;
  if (is_unknown(frame->opcode) && !options_.emit_unknown) return std::nullopt;
  return Item{frame->offset, std::nullopt, false, std::move(*record)};
}

// The specification puts one message index per channel immediately behind the chunk. An index that does not fit the
// last chunk means that the record before it was a chunk whose opcode is damaged: else that chunk would go missing as
// an unknown record, and only the CRC at the end of the data section would tell.
bool RecordReader::fits_chunk(const MessageIndex& index) {
  if (!is(last_opcode_, Opcode::chunk) && !is(last_opcode_, Opcode::message_index)) return false;
  const bool first = !indexed_channels_.test(index.channel_id);
  indexed_channels_.set(index.channel_id);
  return first && (index.entries.empty() || chunk_channels_.test(index.channel_id));
}

// Takes notice of the records that change what comes next, and checks the CRCs they carry.
Status RecordReader::enter(const Frame& frame, const AnyRecord& record) {
  if (std::holds_alternative<Header>(record)) {
    stage_ = Stage::data;
  } else if (const auto* chunk = std::get_if<Chunk>(&record)) {
    return enter_chunk(*chunk, frame.offset);
  } else if (const auto* attachment = std::get_if<Attachment>(&record)) {
    if (options_.check_crcs && attachment->crc != 0 && attachment->crc != attachment_crc(*attachment))
      return fail(Errc::corrupt, "Attachment.crc", "CRC mismatch");
  } else if (const auto* end = std::get_if<DataEnd>(&record)) {
    if (options_.check_crcs && end->data_section_crc != 0 && end->data_section_crc != crc_)
      return fail(Errc::corrupt, "DataEnd.data_section_crc", "CRC mismatch: a record before this one is damaged");
    stage_ = Stage::summary;
    summary_start_ = position_;
    crc_ = 0;
  } else if (const auto* footer = std::get_if<Footer>(&record)) {
    DROVER_TRY(check_footer(frame, *footer));
    stage_ = Stage::closing;
  }
  return {};
}

Status RecordReader::enter_chunk(const Chunk& chunk, uint64_t offset) {
  DROVER_ASSIGN(chunk_, decompress_chunk(chunk, options_.chunk_bytes_max, options_.check_crcs));
  chunk_file_offset_ = offset;
  chunk_at_ = 0;
  chunk_channels_.reset();
  indexed_channels_.reset();
  chunk_crc_checked_ = options_.check_crcs && chunk.uncompressed_crc != 0;
  return {};
}

Status RecordReader::check_footer(const Frame& frame, const Footer& footer) const {
  if (frame.body.size() != kFooterBodyBytes) return fail(Errc::corrupt, "Footer", "its length is not 20 bytes");
  if (footer.summary_start != 0 && footer.summary_start != summary_start_)
    return fail(Errc::corrupt, "Footer.summary_start", "does not point behind DataEnd");
  if (footer.summary_offset_start != 0 &&
      (footer.summary_offset_start < summary_start_ || footer.summary_offset_start > frame.offset))
    return fail(Errc::corrupt, "Footer.summary_offset_start", "does not point into the summary");
  if (!options_.check_crcs || footer.summary_crc == 0) return {};
  std::string head;
  append_record(head, footer);  // the CRC covers the footer up to the CRC itself
  if (crc32_of(as_bytes(head).first(head.size() - 4), crc_) != footer.summary_crc)
    return fail(Errc::corrupt, "Footer.summary_crc", "CRC mismatch");
  return {};
}

std::optional<Item> RecordReader::next_inside() {
  const uint64_t at = chunk_at_, left = chunk_.size() - at;
  if (left < kFrameBytes) return stop(chunk_file_offset_, Errc::corrupt, "a chunk ends inside a record's head");
  const auto opcode = static_cast<uint8_t>(chunk_.data()[at]);
  const uint64_t length = little_u64(chunk_.data() + at + 1);
  if (length > left - kFrameBytes)
    return stop(chunk_file_offset_, Errc::corrupt, "a record runs over the end of its chunk");
  if (!is(opcode, Opcode::schema) && !is(opcode, Opcode::channel) && !is(opcode, Opcode::message) &&
      !is_unknown(opcode)) {
    return stop(chunk_file_offset_, Errc::corrupt,
                "a record with opcode " + std::to_string(opcode) + " does not belong in a chunk");
  }
  auto record = decode_record(opcode, chunk_.slice(at + kFrameBytes, length));
  if (!record) return stop(chunk_file_offset_, record.error());
  chunk_at_ = at + kFrameBytes + length;
  if (const auto* message = std::get_if<Message>(&*record)) chunk_channels_.set(message->channel_id);
  if (is_unknown(opcode) && !options_.emit_unknown) return std::nullopt;
  return Item{chunk_file_offset_, at, chunk_crc_checked_, std::move(*record)};
}

}  // namespace drover::mcap

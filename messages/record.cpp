#include "messages/record.hpp"

#include <algorithm>
#include <bit>
#include <string>

#include "messages/check.hpp"
#include "messages/hash_many.hpp"

namespace drover {
namespace {

static_assert(std::endian::native == std::endian::little, "blocks are read in place as little endian");

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <class T>
void store(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

size_t padded(size_t size) {
  return (size + 7) & ~size_t{7};
}

// Equal records are equal bytes: the padding that no hash covers must be zero.
bool zero_padding(const std::byte* payload, size_t payload_bytes) {
  for (size_t i = payload_bytes; i < padded(payload_bytes); ++i)
    if (payload[i] != std::byte{0}) return false;
  return true;
}

uint64_t block_checksum(ByteView block) {
  const uint64_t header = checksum64(block.first(24));
  return checksum64(block.subspan(block_header_bytes), header);
}

std::string at(size_t offset) {
  return "block@" + std::to_string(offset);
}

void write_record_header(std::byte* head, const RecordView& r) {
  store<uint32_t>(head, static_cast<uint32_t>(r.payload.size()));
  store<uint16_t>(head + 4, static_cast<uint16_t>(r.kind));
  store<uint16_t>(head + 6, r.schema);
  store<uint64_t>(head + 8, r.seq);
  store<int64_t>(head + 16, r.time_unix_ns);
  std::memcpy(head + 24, r.hash.data(), r.hash.size());
}

RecordView read_record(const std::byte* head) {
  RecordView r;
  const auto size = load<uint32_t>(head);
  r.kind = static_cast<RecordKind>(load<uint16_t>(head + 4));
  r.schema = load<uint16_t>(head + 6);
  r.seq = load<uint64_t>(head + 8);
  r.time_unix_ns = load<int64_t>(head + 16);
  std::memcpy(r.hash.data(), head + 24, r.hash.size());
  r.payload = {head + record_header_bytes, size};
  r.frame = {head, record_header_bytes + padded(size)};
  return r;
}

}  // namespace

std::string_view record_kind_name(RecordKind kind) noexcept {
  switch (kind) {
    case RecordKind::episode:
      return "episode";
    case RecordKind::datapack:
      return "datapack";
    case RecordKind::enrichment:
      return "enrichment";
    case RecordKind::event:
      return "event";
    case RecordKind::outcome:
      return "outcome";
    case RecordKind::receipt:
      return "receipt";
  }
  return "unknown";
}

// What a record's hash covers: kind, schema, seq and time, the 20 bytes after the size, in that order; then the
// payload.
static void append_hashed(const RecordView& record, std::vector<std::byte>& out) {
  std::array<std::byte, 20> identity;
  store<uint16_t>(identity.data(), static_cast<uint16_t>(record.kind));
  store<uint16_t>(identity.data() + 2, record.schema);
  store<uint64_t>(identity.data() + 4, record.seq);
  store<int64_t>(identity.data() + 12, record.time_unix_ns);
  out.insert(out.end(), identity.begin(), identity.end());
  out.insert(out.end(), record.payload.begin(), record.payload.end());
}

Hash record_hash(const RecordView& record) {
  thread_local std::vector<std::byte> scratch;
  scratch.clear();
  append_hashed(record, scratch);
  return sha256(scratch);
}

BlockBuilder::BlockBuilder(uint64_t first_seq) : first_seq_(first_seq), buffer_(block_header_bytes) {}

Result<uint64_t> BlockBuilder::add(RecordKind kind, uint16_t schema, int64_t time_unix_ns, ByteView payload) {
  RecordView record;
  record.kind = kind;
  record.schema = schema;
  record.seq = next_seq();
  record.time_unix_ns = time_unix_ns;
  record.payload = payload;
  const size_t frame_bytes = record_header_bytes + padded(payload.size());
  if (payload.size() > record_payload_max_bytes)
    return fail(
        Errc::too_large, "record",
        std::to_string(payload.size()) + " payload bytes, the bound is " + std::to_string(record_payload_max_bytes));
  if (buffer_.size() + frame_bytes > block_max_bytes || count_ == block_max_records)
    return fail(Errc::too_large, "block", "the block is full");
  record.hash = record_hash(record);
  const size_t offset = buffer_.size();
  buffer_.resize(offset + frame_bytes);
  write_record_header(buffer_.data() + offset, record);
  if (!payload.empty()) std::memcpy(buffer_.data() + offset + record_header_bytes, payload.data(), payload.size());
  ++count_;
  return record.seq;
}

Status BlockBuilder::add_frame(const RecordView& record) {
  if (record.seq != next_seq())
    return fail(Errc::gap, "block",
                "expected seq " + std::to_string(next_seq()) + ", got " + std::to_string(record.seq));
  if (buffer_.size() + record.frame.size() > block_max_bytes || count_ == block_max_records)
    return fail(Errc::too_large, "block", "the block is full");
  buffer_.insert(buffer_.end(), record.frame.begin(), record.frame.end());
  ++count_;
  return {};
}

Result<size_t> BlockBuilder::add_frames(const Block& block, size_t from, size_t end, uint64_t max_bytes) {
  end = std::min(end, block.count());
  if (from >= end) return 0;
  if (block.first_seq() + from != next_seq())
    return fail(Errc::gap, "block",
                "expected seq " + std::to_string(next_seq()) + ", got " + std::to_string(block.first_seq() + from));
  const std::byte* first = block.record(from).frame.data();
  size_t bytes = 0;
  size_t taken = 0;
  const uint64_t bound = std::min<uint64_t>(max_bytes, block_max_bytes);
  for (; from + taken < end && count_ + taken < block_max_records; ++taken) {
    const size_t frame_bytes = block.record(from + taken).frame.size();
    if (buffer_.size() + bytes + frame_bytes > bound) break;
    bytes += frame_bytes;
  }
  buffer_.insert(buffer_.end(), first, first + bytes);  // frames lie one behind the other
  count_ += static_cast<uint32_t>(taken);
  return taken;
}

Bytes BlockBuilder::finish() {
  std::byte* head = buffer_.data();
  store<uint32_t>(head, block_magic);
  store<uint32_t>(head + 4, count_);
  store<uint64_t>(head + 8, first_seq_);
  store<uint64_t>(head + 16, buffer_.size() - block_header_bytes);
  store<uint64_t>(head + 24, block_checksum(buffer_));
  std::vector<std::byte> sealed(block_header_bytes);
  sealed.swap(buffer_);
  first_seq_ += count_;
  count_ = 0;
  return Bytes::adopt(std::move(sealed));
}

Result<Block> Block::parse(Bytes bytes, bool verify_checksum) {
  const size_t size = bytes.size();
  if (size < block_header_bytes) return fail(Errc::truncated, at(size), "shorter than a block header");
  if (size > block_max_bytes)
    return fail(Errc::too_large, at(0), std::to_string(size) + " bytes, over the block bound");
  const std::byte* base = bytes.data();
  if (load<uint32_t>(base) != block_magic)
    return fail(Errc::unsupported_version, at(0), "not a DRB1 block; was it written by a newer Drover?");
  const auto count = load<uint32_t>(base + 4);
  const auto body_bytes = load<uint64_t>(base + 16);
  if (body_bytes != size - block_header_bytes)
    return fail(Errc::truncated, at(16),
                "the header says " + std::to_string(body_bytes) + " body bytes, there are " +
                    std::to_string(size - block_header_bytes));
  if (count == 0 || count > block_max_records || count > body_bytes / record_header_bytes)
    return fail(Errc::corrupt, at(4), "impossible record count " + std::to_string(count));
  if (verify_checksum && load<uint64_t>(base + 24) != block_checksum(bytes.view()))
    return fail(Errc::corrupt, at(24), "checksum mismatch");
  Block block;
  block.first_seq_ = load<uint64_t>(base + 8);
  if (block.first_seq_ == 0 || block.first_seq_ > UINT64_MAX - count)
    return fail(Errc::corrupt, at(8), "impossible first sequence number");
  block.offsets_.reserve(count);
  size_t offset = block_header_bytes;
  for (uint32_t i = 0; i < count; ++i) {
    if (size - offset < record_header_bytes) return fail(Errc::corrupt, at(offset), "record header outside the block");
    const size_t payload_bytes = load<uint32_t>(base + offset);
    if (payload_bytes > record_payload_max_bytes || padded(payload_bytes) > size - offset - record_header_bytes)
      return fail(Errc::corrupt, at(offset), "record payload outside the block");
    if (load<uint64_t>(base + offset + 8) != block.first_seq_ + i)
      return fail(Errc::corrupt, at(offset), "record out of order");
    if (!zero_padding(base + offset + record_header_bytes, payload_bytes))
      return fail(Errc::corrupt, at(offset), "padding is not zero");
    block.offsets_.push_back(static_cast<uint32_t>(offset));
    offset += record_header_bytes + padded(payload_bytes);
  }
  if (offset != size) return fail(Errc::corrupt, at(offset), "bytes after the last record");
  block.bytes_ = std::move(bytes);
  return block;
}

RecordView Block::record(size_t index) const {
  DROVER_CHECK(index < offsets_.size(), "record index outside the block");
  return read_record(bytes_.data() + offsets_[index]);
}

// In groups that stay in the processor's cache: identity and payload of each record lie side by side in `scratch`.
Status Block::verify_hashes() const {
  constexpr size_t group_records = 64;
  constexpr size_t group_bytes = 64 << 10;
  std::vector<std::byte> scratch;
  std::array<size_t, group_records + 1> ends;
  std::array<ByteView, group_records> inputs;
  std::array<Hash, group_records> hashes;
  for (size_t next = 0; next < offsets_.size();) {
    scratch.clear();
    const size_t first = next;
    for (; next < offsets_.size() && next - first < group_records && scratch.size() < group_bytes; ++next) {
      ends[next - first] = scratch.size();
      append_hashed(record(next), scratch);
    }
    const size_t n = next - first;
    ends[n] = scratch.size();
    for (size_t i = 0; i < n; ++i) inputs[i] = ByteView(scratch).subspan(ends[i], ends[i + 1] - ends[i]);
    sha256_many(std::span(inputs).first(n), std::span(hashes).first(n));
    for (size_t i = 0; i < n; ++i)
      if (const RecordView r = record(first + i); hashes[i] != r.hash)
        return fail(Errc::corrupt, "record seq " + std::to_string(r.seq), "content does not match its SHA-256");
  }
  return {};
}

}  // namespace drover

// Content-delimited lists of datapack summaries (see datapack_index.hpp).
#include "storage/datapack_index.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "messages/check.hpp"
#include "messages/hash.hpp"

namespace drover::storage {
namespace {

constexpr uint64_t boundary_mask = 15;  // one row in 16 opens a block

bool opens_block(const PackRow& row) {
  return (row.hash & boundary_mask) == 0;
}

bool starts_with(ByteView key, ByteView prefix) {
  return key.size() >= prefix.size() && std::memcmp(key.data(), prefix.data(), prefix.size()) == 0;
}

PackRow row_at(ByteView block, size_t index) {
  PackRow row;
  std::memcpy(&row, block.data() + index * row_bytes, row_bytes);
  return row;
}

tl::unexpected<Error> bad_block(const ListId& list) {
  return fail(Errc::corrupt, "packs.lists/kind " + std::to_string(static_cast<int>(list.kind)),
              "a block is not a whole number of rows");
}

struct Block {
  Place first;          // its key; all zeros for the block ahead of the first opening row
  Place next;           // key of the block behind it, or place_end
  bool exists = false;  // the first block of a list may not
  std::vector<PackRow> rows;
};

Result<Place> place_in_key(ByteView key, size_t prefix_bytes, const ListId& list) {
  KeyReader reader(key.subspan(prefix_bytes));
  Place place{reader.u64(), {reader.u64(), reader.u64()}};
  if (!reader.done()) return bad_block(list);
  return place;
}

// The block that a row at `place` belongs to.
Result<Block> find_block(WriteTxn& txn, Db lists, const ListId& list, const Place& place) {
  const Key prefix = list_prefix(list);
  Cursor cursor = txn.cursor(lists);
  Block block;
  DROVER_ASSIGN(bool found, cursor.at_most(block_key(list, place)));
  if (found && starts_with(cursor.key(), prefix)) {
    DROVER_ASSIGN(block.first, place_in_key(cursor.key(), prefix.view().size(), list));
    DROVER_ASSIGN(const ByteView value, cursor.value());
    if (value.empty() || value.size() % row_bytes != 0) return bad_block(list);
    block.rows.resize(value.size() / row_bytes);
    std::memcpy(block.rows.data(), value.data(), value.size());
    block.exists = true;
    DROVER_ASSIGN(found, cursor.next());
  } else {
    DROVER_ASSIGN(found, cursor.at_least(prefix));
  }
  block.next = place_end;
  if (found && starts_with(cursor.key(), prefix)) {
    DROVER_ASSIGN(block.next, place_in_key(cursor.key(), prefix.view().size(), list));
  }
  return block;
}

// Writes merged rows back, cut where a row opens a block.
Status write_block(WriteTxn& txn, Db lists, const ListId& list, const Block& block) {
  const auto& rows = block.rows;
  Place first = block.first;
  size_t start = 0;
  for (size_t i = 0; i <= rows.size(); ++i) {
    const bool cut = i == rows.size() || (opens_block(rows[i]) && place_of(list.kind, rows[i]) != first);
    if (!cut) continue;
    if (i > start) {
      DROVER_TRY(txn.put(lists, block_key(list, first), std::as_bytes(std::span(rows).subspan(start, i - start))));
    } else if (block.exists && i == 0) {
      DROVER_TRY(txn.erase(lists, block_key(list, first)));
    }
    if (i < rows.size()) first = place_of(list.kind, rows[i]);
    start = i;
  }
  return {};
}

uint64_t bin_floor_bits(size_t bin) {  // bin >= 128: the smallest positive double in it
  const uint64_t step = bin - 128;     // 0 .. 127: octave * 8 + eighth
  return (uint64_t{1023 - 10} << 52) + (step << 49);
}

}  // namespace

const std::string_view engine_names[engine_count] = {"pybullet", "isaac", "ue5", "mujoco", "real"};

uint64_t name_hash(std::string_view name) {
  const Hash digest = sha256(as_bytes(name));
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) value = value << 8 | static_cast<uint64_t>(digest[i]);
  return value;
}

std::optional<uint8_t> engine_index(std::string_view name) {
  for (uint8_t i = 0; i < engine_count; ++i)
    if (engine_names[i] == name) return i;
  return std::nullopt;
}

uint8_t class_code(const PackClass& c) {
  const unsigned source = c.engine * 3u + static_cast<unsigned>(c.source);
  const unsigned bucket = source * 2 + static_cast<unsigned>(c.bucket);
  return static_cast<uint8_t>((bucket * 2 + (c.sima ? 1 : 0)) * 2 + (c.counterfactual ? 1 : 0));
}
PackClass class_of(uint8_t code) {
  DROVER_CHECK(code < class_count, "a class code is out of range");
  return {static_cast<uint8_t>(code / 24), static_cast<SourceType>(code / 8 % 3), static_cast<Bucket>(code / 4 % 2),
          code / 2 % 2 == 1, code % 2 == 1};
}

uint64_t skill_bit(int64_t skill_id) {
  return uint64_t{1} << (skill_id >= 0 && skill_id < 63 ? skill_id : 63);
}
uint64_t tag_bits(uint64_t tag_hash) {
  return uint64_t{1} << (tag_hash & 63) | uint64_t{1} << (tag_hash >> 6 & 63);
}

Place place_of(ListKind kind, const PackRow& row) {
  switch (kind) {
    case ListKind::by_delta_j:
      return {ordered_bits(row.delta_j), row.id()};
    case ListKind::by_trust:
      return {ordered_bits(row.trust), row.id()};
    case ListKind::by_mvd:
      return {ordered_bits(row.mvd), row.id()};
    case ListKind::by_w_econ:
      return {ordered_bits(row.w_econ), row.id()};
    default:
      return {0, row.id()};
  }
}

Key list_prefix(const ListId& list) {
  Key key;
  key.u64(list.task).u8(static_cast<uint8_t>(list.kind)).u64(list.attribute);
  return key;
}
Key block_key(const ListId& list, const Place& first) {
  return list_prefix(list).u64(first.value).u64(first.id.time).u64(first.id.hash);
}

Status insert_rows(WriteTxn& txn, Db lists, const ListId& list, std::span<const PackRow> rows) {
  const auto before = [&](const PackRow& a, const PackRow& b) {
    return place_of(list.kind, a) < place_of(list.kind, b);
  };
  for (size_t done = 0; done < rows.size();) {
    DROVER_ASSIGN(Block block, find_block(txn, lists, list, place_of(list.kind, rows[done])));
    size_t end = done;
    while (end < rows.size() && place_of(list.kind, rows[end]) < block.next) ++end;
    DROVER_CHECK(end > done, "a row was sent to a block it does not belong to");
    const auto old = static_cast<std::ptrdiff_t>(block.rows.size());
    block.rows.insert(block.rows.end(), rows.begin() + static_cast<std::ptrdiff_t>(done),
                      rows.begin() + static_cast<std::ptrdiff_t>(end));
    std::inplace_merge(block.rows.begin(), block.rows.begin() + old, block.rows.end(), before);
    DROVER_TRY(write_block(txn, lists, list, block));
    done = end;
  }
  return {};
}

ListScan::ListScan(const ReadTxn& txn, Db lists, const ListId& list, const Range& range)
    : cursor_(txn.cursor(lists)), list_(list), prefix_(list_prefix(list)), range_(range) {}

// Moves to the next block in scan direction. False when the list has no more.
Result<bool> ListScan::load() {
  bool found = false;
  if (started_) {
    DROVER_ASSIGN(found, range_.descending ? cursor_.previous() : cursor_.next());
    if (!found || !starts_with(cursor_.key(), prefix_)) return false;
    return open_block();
  }
  started_ = true;
  DROVER_ASSIGN(found, cursor_.at_most(block_key(list_, range_.descending ? range_.high : range_.low)));
  if (found && starts_with(cursor_.key(), prefix_)) return open_block();
  if (range_.descending) return false;
  DROVER_ASSIGN(found, cursor_.at_least(prefix_));
  if (!found || !starts_with(cursor_.key(), prefix_)) return false;
  return open_block();
}

Result<bool> ListScan::open_block() {
  DROVER_ASSIGN(block_, cursor_.value());
  if (block_.empty() || block_.size() % row_bytes != 0) return bad_block(list_);
  count_ = block_.size() / row_bytes;
  at_ = 0;
  return true;
}

Result<bool> ListScan::next() {
  while (!done_) {
    if (at_ == count_) {
      DROVER_ASSIGN(const bool more, load());
      if (!more) break;
    }
    row_ = row_at(block_, range_.descending ? count_ - 1 - at_ : at_);
    ++at_;
    const Place place = place_of(list_.kind, row_);
    if (range_.descending ? place >= range_.high : place < range_.low) continue;
    if (range_.descending ? place < range_.low : place >= range_.high) break;
    return true;
  }
  done_ = true;
  return false;
}

size_t histogram_bin(double value) noexcept {
  const double size = std::abs(value);
  size_t step = 0;
  if (size >= 64) {
    step = 127;
  } else if (size >= 0x1p-10) {
    step = static_cast<size_t>((std::bit_cast<uint64_t>(size) - bin_floor_bits(128)) >> 49);
  }
  return value < 0 ? 127 - step : 128 + step;
}

double estimate_at_least(const Histogram& histogram, double low) noexcept {
  const size_t bin = histogram_bin(low);
  double count = 0;
  for (size_t i = bin + 1; i < histogram.size(); ++i) count += static_cast<double>(histogram[i]);
  const auto edge = [](size_t b) { return std::bit_cast<double>(bin_floor_bits(b)); };
  double share = 1;  // of the bin itself that is taken to lie at or above `low`
  if (bin > 128 && bin < 255) share = 1 - (low - edge(bin)) / (edge(bin + 1) - edge(bin));
  if (bin < 127 && bin > 0) share = (-low - edge(255 - bin)) / (edge(256 - bin) - edge(255 - bin));
  return count + share * static_cast<double>(histogram[bin]);
}

}  // namespace drover::storage

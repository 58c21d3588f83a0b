// Lists of datapack summaries: the secondary indexes of the datapack store. DATAPACKS.md shows the bytes.
//
// A list holds one 72-byte row per datapack, sorted by (value, row id); the row is all that filters need, so a
// scan never touches the datapacks. Rows lie in blocks of 16 on average. Where a block ends is decided by the rows
// alone (a row whose hash is a multiple of 16 opens a block), so a list has the same bytes in whatever order and
// in whatever batches its rows were inserted.
// Threads: values over table handles; every call happens inside the caller's transaction.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "messages/datapack.hpp"
#include "storage/env.hpp"
#include "storage/keys.hpp"

namespace drover::storage {

// The first 8 bytes of the SHA-256 of a name, as an integer: how names appear in keys.
uint64_t name_hash(std::string_view name);

// Where a datapack lies: start time, then a hash of its pack_id. Both are content, never arrival.
struct RowId {
  uint64_t time = 0;  // ordered_time(start_unix_ns)
  uint64_t hash = 0;  // name_hash(pack_id)
  auto operator<=>(const RowId&) const = default;
};
inline uint64_t ordered_time(int64_t unix_ns) {
  return static_cast<uint64_t>(unix_ns) ^ (uint64_t{1} << 63);
}

inline constexpr size_t engine_count = 5;
inline constexpr size_t class_count = engine_count * 3 * 2 * 2 * 2;
// Everything that has few values, in one number: engine, source, bucket, has sima, has counterfactual.
struct PackClass {
  uint8_t engine = 0;  // index into engine_names
  SourceType source = SourceType::real;
  Bucket bucket = Bucket::positive;
  bool sima = false;
  bool counterfactual = false;
};
extern const std::string_view engine_names[engine_count];
std::optional<uint8_t> engine_index(std::string_view name);
uint8_t class_code(const PackClass& pack_class);
PackClass class_of(uint8_t code);  // code < class_count

// The summary of one datapack, exactly as it lies on disk (little endian, no padding).
struct PackRow {
  uint64_t time = 0;
  uint64_t hash = 0;
  double delta_j = 0;
  double trust = 0;
  double mvd = 0;  // -infinity: absent
  double w_econ = 0;
  uint64_t skills = 0;  // bit i: skill i occurs in the trace; bit 63: some other skill does
  uint64_t tags = 0;    // two bits of each tag's hash: a missing bit proves absence
  uint32_t robot = 0;   // low bits of the robot's name hash
  uint32_t code = 0;    // class_code
  RowId id() const { return {time, hash}; }
  bool operator==(const PackRow&) const = default;
};
inline constexpr size_t row_bytes = 72;
static_assert(sizeof(PackRow) == row_bytes);

uint64_t skill_bit(int64_t skill_id);
uint64_t tag_bits(uint64_t tag_hash);

enum class ListKind : uint8_t {
  by_time = 1,
  by_delta_j = 2,
  by_trust = 3,
  by_mvd = 4,
  by_w_econ = 5,
  skill = 6,  // lists of the packs that have something, in order of time
  robot = 7,
  tag = 8,
  pack_class = 9,
};

struct ListId {
  uint64_t task = 0;  // name_hash(task_name)
  ListKind kind{};
  uint64_t attribute = 0;  // skill id (ordered), name hash or class code; 0 for the sorted lists
  auto operator<=>(const ListId&) const = default;
};

// A place in a list. The value is ordered_bits of the field for sorted lists, else 0.
struct Place {
  uint64_t value = 0;
  RowId id;
  auto operator<=>(const Place&) const = default;
};
inline constexpr Place place_end{UINT64_MAX, {UINT64_MAX, UINT64_MAX}};
Place place_of(ListKind kind, const PackRow& row);

Key list_prefix(const ListId& list);
Key block_key(const ListId& list, const Place& first);

// Inserts rows that are not in the list yet, sorted by place_of. Errors: corrupt, and those of put.
Status insert_rows(WriteTxn& txn, Db lists, const ListId& list, std::span<const PackRow> rows);

// Walks rows with low <= place < high, in either direction.
class ListScan {
 public:
  struct Range {
    Place low;
    Place high = place_end;
    bool descending = false;
  };
  ListScan(const ReadTxn& txn, Db lists, const ListId& list, const Range& range);

  // False at the end. Errors: corrupt (a block of odd size, or one that the checksum refuses).
  Result<bool> next();
  const PackRow& row() const noexcept { return row_; }

 private:
  Result<bool> load();
  Result<bool> open_block();

  Cursor cursor_;
  ListId list_;
  Key prefix_;
  Range range_;
  ByteView block_;
  size_t at_ = 0;     // next row of the block, counted in scan direction
  size_t count_ = 0;  // rows of the block
  bool started_ = false;
  bool done_ = false;
  PackRow row_;
};

// A histogram with fixed limits: 256 bins, 8 to an octave between 2^-10 and 2^6 on both sides of zero, so that equal
// sets of values give equal counts everywhere. For estimates only.
inline constexpr size_t histogram_bins = 256;
using Histogram = std::vector<uint64_t>;  // histogram_bins counts
size_t histogram_bin(double value) noexcept;
// About how many values are >= low.
double estimate_at_least(const Histogram& histogram, double low) noexcept;

}  // namespace drover::storage

#include "storage/lmdb_check.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "storage/seal.hpp"

namespace drover::storage::detail {
namespace {

constexpr uint64_t page_bytes = 4096;
constexpr uint64_t page_none = ~uint64_t{0};
constexpr size_t page_header_bytes = 16;
constexpr size_t node_header_bytes = 8;
constexpr size_t depth_max = 32;
constexpr uint16_t page_branch = 1, page_leaf = 2, page_overflow = 4, page_meta = 8;
constexpr uint16_t node_big = 1, node_table = 2;
constexpr size_t meta_free_table = 40, meta_main_table = 88, table_bytes = 48;

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// The file mapped for reading; nothing outside [0, size) is ever touched.
class File {
 public:
  static Result<File> open(const std::filesystem::path& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return fail(Errc::not_found, path.string(), "absent");
    if (fd < 0) return fail(Errc::io, path.string(), std::strerror(errno));
    struct stat facts {};
    File file;
    if (::fstat(fd, &facts) == 0) file.size_ = static_cast<uint64_t>(facts.st_size);
    if (file.size_ != 0) {
      void* at = ::mmap(nullptr, file.size_, PROT_READ, MAP_SHARED, fd, 0);
      if (at != MAP_FAILED) file.data_ = static_cast<const std::byte*>(at);
    }
    const int error = errno;
    ::close(fd);
    if (file.size_ == 0) return fail(Errc::not_found, path.string(), "empty");
    if (file.data_ == nullptr) return fail(Errc::io, path.string(), std::strerror(error));
    return file;
  }
  File(File&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(other.size_) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  }
  uint64_t pages() const { return size_ / page_bytes; }
  const std::byte* page(uint64_t number) const { return data_ + number * page_bytes; }

 private:
  File() = default;
  const std::byte* data_ = nullptr;
  uint64_t size_ = 0;
};

struct Table {
  std::string name;  // empty: one of LMDB's own two
  bool free_list = false;
  uint16_t depth = 0;
  uint64_t branches = 0, leaves = 0, overflows = 0, entries = 0, root = page_none;
};

Table read_table(const std::byte* at, std::string name, bool free_list) {
  Table t;
  t.name = std::move(name);
  t.free_list = free_list;
  t.depth = load<uint16_t>(at + 6);
  t.branches = load<uint64_t>(at + 8);
  t.leaves = load<uint64_t>(at + 16);
  t.overflows = load<uint64_t>(at + 24);
  t.entries = load<uint64_t>(at + 32);
  t.root = load<uint64_t>(at + 40);
  return t;
}

class Walker {
 public:
  Walker(const File& file, std::string where, uint64_t last_page, bool large_values)
      : file_(file), where_(std::move(where)), last_page_(last_page), large_values_(large_values) {
    used_.resize(last_page / 64 + 1);
  }

  Status snapshot(const std::byte* meta) {
    DROVER_TRY(table(read_table(meta + meta_main_table, "", false)));
    const std::vector<Table> tables = std::move(found_);
    for (const Table& t : tables) DROVER_TRY(table(t));
    return table(read_table(meta + meta_free_table, "", true));
  }

 private:
  Status bad(uint64_t page, const std::string& what) const {
    return fail(Errc::corrupt, where_ + " page " + std::to_string(page), what);
  }

  // Marks pages used (or free); each page has one owner.
  Status claim(uint64_t first, uint64_t count, uint64_t by) {
    if (first < 2 || count > last_page_ + 1 || first > last_page_ + 1 - count)
      return bad(by, "points to page " + std::to_string(first) + ", past the last page");
    for (uint64_t p = first; p < first + count; ++p) {
      const uint64_t bit = uint64_t{1} << (p % 64);
      if ((used_[p / 64] & bit) != 0) return bad(by, "page " + std::to_string(p) + " belongs to two owners");
      used_[p / 64] |= bit;
    }
    return {};
  }
  Status in_file(uint64_t first, uint64_t count, uint64_t by) const {
    if (first + count > file_.pages())
      return fail(
          Errc::truncated, where_ + " page " + std::to_string(by),
          "points to page " + std::to_string(first) + ", but the file ends at page " + std::to_string(file_.pages()));
    return {};
  }

  Status table(const Table& t) {
    table_ = &t;
    seed_ = table_seed(t.name);
    counted_ = Table{};
    if (t.root == page_none) {
      if (t.entries != 0 || t.depth != 0) return bad(0, "empty table '" + t.name + "' with entries");
      return {};
    }
    if (t.depth == 0 || t.depth > depth_max) return bad(t.root, "impossible depth of table '" + t.name + "'");
    DROVER_TRY(walk(t.root, 1, {}, std::nullopt, 0));
    if (counted_.branches != t.branches || counted_.leaves != t.leaves || counted_.overflows != t.overflows ||
        counted_.entries != t.entries)
      return bad(t.root, "counts of table '" + t.name + "' do not match its tree");
    return {};
  }

  bool less(ByteView a, ByteView b) const {
    if (table_->free_list && a.size() == 8 && b.size() == 8) return load<uint64_t>(a.data()) < load<uint64_t>(b.data());
    return as_text(a) < as_text(b);
  }

  struct Node {
    ByteView key;
    const std::byte* head = nullptr;
    const std::byte* data = nullptr;
    size_t room = 0;  // bytes from data to the end of the page
  };

  // Node `i` with its key inside the page.
  Result<Node> node(uint64_t number, const std::byte* page, size_t i, size_t upper) const {
    const size_t at = load<uint16_t>(page + page_header_bytes + 2 * i);
    if (at < upper || at % 2 != 0 || at > page_bytes - node_header_bytes)
      return tl::unexpected(bad(number, "node outside the page").error());
    const size_t key_bytes = load<uint16_t>(page + at + 6);
    if (key_bytes > page_bytes - node_header_bytes - at)
      return tl::unexpected(bad(number, "key outside the page").error());
    Node n;
    n.head = page + at;
    n.key = {page + at + node_header_bytes, key_bytes};
    n.data = n.key.data() + key_bytes;
    n.room = page_bytes - node_header_bytes - at - key_bytes;
    return n;
  }

  // Checks the page's header; returns its number of nodes.
  Result<size_t> open_page(uint64_t number, const std::byte* page, bool leaf) const {
    const auto flags = load<uint16_t>(page + 10);
    const size_t lower = load<uint16_t>(page + 12);
    const size_t upper = load<uint16_t>(page + 14);
    if (load<uint64_t>(page) != number) return tl::unexpected(bad(number, "holds another page").error());
    if (flags != (leaf ? page_leaf : page_branch)) return tl::unexpected(bad(number, "is of another kind").error());
    if (lower < page_header_bytes || lower % 2 != 0 || lower > upper || upper > page_bytes)
      return tl::unexpected(bad(number, "impossible free space").error());
    const size_t count = (lower - page_header_bytes) / 2;
    if (count < (leaf ? 1U : 2U)) return tl::unexpected(bad(number, "has too few nodes").error());
    return count;
  }

  Status walk(uint64_t number, uint16_t depth, ByteView low, std::optional<ByteView> high, uint64_t by) {
    DROVER_TRY(claim(number, 1, by));
    DROVER_TRY(in_file(number, 1, by));
    const std::byte* page = file_.page(number);
    const bool leaf = depth == table_->depth;
    DROVER_ASSIGN(const size_t count, open_page(number, page, leaf));
    const size_t upper = load<uint16_t>(page + 14);
    ++(leaf ? counted_.leaves : counted_.branches);
    size_t node_bytes = 0;
    ByteView previous;
    for (size_t i = 0; i < count; ++i) {
      DROVER_ASSIGN(const Node n, node(number, page, i, upper));
      const bool lowest = !leaf && i == 0;  // the first branch key stands for "below everything here"
      if (!lowest) {
        if (n.key.empty() || less(n.key, low) || (high && !less(n.key, *high)) || (i > 0 && !less(previous, n.key)))
          return bad(number, "keys out of order");
        previous = n.key;
      }
      if (leaf) {
        DROVER_ASSIGN(const size_t data_bytes, entry(number, n));
        node_bytes += (node_header_bytes + n.key.size() + data_bytes + 1) & ~size_t{1};
      } else {
        node_bytes += (node_header_bytes + n.key.size() + 1) & ~size_t{1};
        std::optional<ByteView> end = high;
        if (i + 1 < count) {
          DROVER_ASSIGN(const Node after, node(number, page, i + 1, upper));
          end = after.key;
        }
        const auto child = load<uint16_t>(n.head) | uint64_t{load<uint16_t>(n.head + 2)} << 16 |
                           uint64_t{load<uint16_t>(n.head + 4)} << 32;
        DROVER_TRY(walk(child, static_cast<uint16_t>(depth + 1), lowest ? low : n.key, end, number));
      }
    }
    if (node_bytes != page_bytes - upper) return bad(number, "node sizes do not fill the page");
    return {};
  }

  // One leaf entry; returns the bytes its data takes in the page.
  Result<size_t> entry(uint64_t number, const Node& n) {
    ++counted_.entries;
    const size_t size = load<uint16_t>(n.head) | size_t{load<uint16_t>(n.head + 2)} << 16;
    const auto flags = load<uint16_t>(n.head + 4);
    const bool main = table_->name.empty() && !table_->free_list;
    if ((flags & ~(main ? node_table : node_big)) != 0 || (main && flags != node_table))
      return tl::unexpected(bad(number, "unknown kind of entry").error());
    const size_t here = (flags & node_big) != 0 ? 8 : size;
    if (here > n.room) return tl::unexpected(bad(number, "value outside the page").error());
    if (main) {
      if (size != table_bytes || load<uint16_t>(n.data + 4) != 0)
        return tl::unexpected(bad(number, "odd table header").error());
      found_.push_back(read_table(n.data, std::string(as_text(n.key)), false));
      return here;
    }
    ByteView value{n.data, size};
    if ((flags & node_big) != 0) {
      DROVER_ASSIGN(value, overflow(number, load<uint64_t>(n.data), size));
    }
    if (table_->free_list) {
      DROVER_TRY(free_pages(number, n.key, value));
    } else if (((flags & node_big) == 0 || large_values_) && !seal_matches(seed_, n.key, value)) {
      return tl::unexpected(bad(number, "a value of table '" + table_->name + "' does not match its checksum").error());
    }
    return here;
  }

  Result<ByteView> overflow(uint64_t by, uint64_t first, size_t size) {
    DROVER_TRY(claim(first, 1, by));
    DROVER_TRY(in_file(first, 1, by));
    const std::byte* page = file_.page(first);
    const uint64_t pages = load<uint32_t>(page + 12);
    if (load<uint64_t>(page) != first || load<uint16_t>(page + 10) != page_overflow ||
        pages < (page_header_bytes - 1 + size) / page_bytes + 1)
      return tl::unexpected(bad(first, "is not the large value it should be").error());
    DROVER_TRY(claim(first + 1, pages - 1, by));
    DROVER_TRY(in_file(first, (page_header_bytes - 1 + size) / page_bytes + 1, by));
    counted_.overflows += pages;
    return ByteView(page + page_header_bytes, size);
  }

  Status free_pages(uint64_t number, ByteView key, ByteView value) {
    if (key.size() != 8 || value.size() < 8) return bad(number, "odd free list entry");
    const auto count = load<uint64_t>(value.data());
    if (count > value.size() / 8 - 1) return bad(number, "free list entry longer than its value");
    uint64_t above = page_none;
    for (uint64_t i = 1; i <= count; ++i) {
      const auto free = load<uint64_t>(value.data() + 8 * i);
      if (free >= above) return bad(number, "free list out of order");
      above = free;
      DROVER_TRY(claim(free, 1, number));
    }
    return {};
  }

  const File& file_;
  std::string where_;
  uint64_t last_page_;
  bool large_values_;
  std::vector<uint64_t> used_;
  std::vector<Table> found_;
  const Table* table_ = nullptr;
  uint64_t seed_ = 0;
  Table counted_;
};

Result<MetaFacts> check_meta(const File& file, uint64_t number, const std::string& where) {
  const std::byte* page = file.page(number);
  const std::string at = where + " meta page " + std::to_string(number);
  if ((load<uint16_t>(page + 10) & page_meta) == 0 || load<uint32_t>(page + 16) != 0xBEEFC0DEU)
    return fail(Errc::corrupt, at, "not an LMDB meta page");
  if (load<uint32_t>(page + 20) != 1)
    return fail(Errc::unsupported_version, at, "LMDB data version " + std::to_string(load<uint32_t>(page + 20)));
  if (load<uint32_t>(page + meta_free_table) != page_bytes)
    return fail(Errc::corrupt, at, "page size is not 4096 bytes");
  if (load<uint64_t>(page + 24) != 0) return fail(Errc::corrupt, at, "unexpected fixed address");
  if ((load<uint16_t>(page + meta_free_table + 4) & ~0x0008U) != 0 || load<uint16_t>(page + meta_main_table + 4) != 0)
    return fail(Errc::corrupt, at, "unexpected table flags");
  MetaFacts facts;
  facts.last_page = load<uint64_t>(page + 136);
  facts.transaction = load<uint64_t>(page + 144);
  const auto map_bytes = load<uint64_t>(page + 32);
  if (map_bytes > uint64_t{1} << 47 || map_bytes % page_bytes != 0)
    return fail(Errc::corrupt, at, "impossible map size");
  if (facts.last_page < 1 || facts.last_page >= uint64_t{1} << 35)
    return fail(Errc::corrupt, at, "impossible last page");
  return facts;
}

Result<MetaFacts> metas(const File& file, const std::string& where) {
  if (file.pages() < 2) return fail(Errc::truncated, where, "shorter than its two meta pages");
  DROVER_ASSIGN(const MetaFacts even, check_meta(file, 0, where));
  DROVER_ASSIGN(const MetaFacts odd, check_meta(file, 1, where));
  const bool fresh = even.transaction == 0 && odd.transaction == 0;
  const uint64_t apart =
      even.transaction > odd.transaction ? even.transaction - odd.transaction : odd.transaction - even.transaction;
  if (!fresh && (even.transaction % 2 != 0 || odd.transaction % 2 != 1 || apart != 1))
    return fail(Errc::corrupt, where,
                "its two meta pages are of transactions " + std::to_string(even.transaction) + " and " +
                    std::to_string(odd.transaction) + ", which do not follow each other");
  return even.transaction >= odd.transaction ? even : odd;
}

}  // namespace

Result<MetaFacts> check_metas(const std::filesystem::path& path) {
  DROVER_ASSIGN(const File file, File::open(path));
  return metas(file, path.string());
}

Status check_pages(const std::filesystem::path& path, uint64_t transaction, bool large_values) {
  DROVER_ASSIGN(const File file, File::open(path));
  if (file.pages() < 2) return fail(Errc::truncated, path.string(), "shorter than its two meta pages");
  // A copy: a writer beside us may overwrite the page two transactions later.
  std::vector<std::byte> meta(file.page(transaction & 1), file.page(transaction & 1) + page_bytes);
  if (load<uint64_t>(meta.data() + 144) != transaction)
    return fail(Errc::unavailable, path.string(), "the snapshot is gone");
  const auto last_page = load<uint64_t>(meta.data() + 136);
  // Every page in use was written, so a map of used pages beyond the file would be waste.
  if (last_page >= uint64_t{1} << 35) return fail(Errc::corrupt, path.string(), "impossible last page");
  return Walker(file, path.string(), last_page, large_values).snapshot(meta.data());
}

}  // namespace drover::storage::detail

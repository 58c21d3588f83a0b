// Env: one LMDB environment, the only door to the disk. env.md documents what lies on disk.
//
// Invariants
// - When write() returns success (with Sync::synced) the whole transaction is on disk; on any error
//   nothing of it is. A transaction is the closure: nothing outlives it, so nothing can leak or go stale.
// - Every value is stored with a checksum over table name, key and value; a value that is read back was
//   written by us under that key, or the read is Errc::corrupt.
// - At most one process writes an environment (writer.lock). Any number read beside it.
// - A full disk refuses writes with Errc::disk_full; reads go on, and writes do again once there is space.
//
// Threads: an Env may be used from any thread; write() calls queue behind each other, read() calls run
// beside them. A closure must not call read() or write() of the same Env (checked, our bug), and must be
// short: while it runs, the map cannot grow and freed pages cannot be reused.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "messages/bytes.hpp"
#include "messages/result.hpp"

namespace drover::storage {

enum class Sync : uint8_t {
  synced,  // a commit returns after fdatasync
  nosync,  // the system writes when it likes: for tests and for the unsynced column of benchmarks only
};
enum class Access : uint8_t { read_write, read_only };
enum class Verify : uint8_t {
  none,       // trust the file: only for stores made by this process
  structure,  // every page that holds keys is checked, and every value small enough to lie in one
  full,       // and every large value as well: reads the whole store
};

struct EnvOptions {
  std::filesystem::path path;                       // a directory; made (and its parent synced) if absent
  std::vector<std::string> databases;               // tables, at most 64; the list may grow between opens
  uint64_t map_initial_bytes = uint64_t{64} << 20;  // address space at first; grows by doubling
  uint64_t map_max_bytes = uint64_t{1} << 40;       // the store's bound; past it: disk_full
  uint64_t free_reserve_bytes = 0;                  // writes are refused when the file system has less free
  Sync sync = Sync::synced;
  Access access = Access::read_write;
  Verify verify = Verify::structure;
  uint32_t readers_max = 254;
};

namespace detail {
struct EnvCore;
}

// A table of one Env. Get it once from Env::db; copy freely.
class Db {
 public:
  Db() = default;

 private:
  friend class Env;
  friend class ReadTxn;
  friend class WriteTxn;
  friend class Cursor;
  explicit Db(uint32_t index) : index_(index) {}
  uint32_t index_ = UINT32_MAX;
};

// Walks a table in key order. Lives inside the closure of its transaction. Views are valid until the
// transaction ends, in a write transaction until the next put or erase.
class Cursor {
 public:
  Cursor(const Cursor&) = delete;
  Cursor& operator=(const Cursor&) = delete;
  Cursor(Cursor&& other) noexcept;
  ~Cursor();

  // Each returns false when there is no such entry; then key() is empty.
  Result<bool> first();
  Result<bool> last();
  Result<bool> next();
  Result<bool> previous();
  Result<bool> at_least(ByteView key);  // the smallest key >= `key`
  Result<bool> at_most(ByteView key);   // the largest key <= `key`

  ByteView key() const noexcept { return key_; }
  // Value without checksum. Error: corrupt.
  Result<ByteView> value() const;
  // Its size, without touching it.
  size_t value_bytes() const noexcept;

 private:
  friend class ReadTxn;
  friend class WriteTxn;
  Cursor(const detail::EnvCore* core, void* txn, uint32_t index);
  Result<bool> step(int operation, ByteView key);

  const detail::EnvCore* core_;
  void* cursor_ = nullptr;
  uint32_t index_;
  int open_rc_ = 0;
  ByteView key_;
  ByteView sealed_;
};

class ReadTxn {
 public:
  ReadTxn(const ReadTxn&) = delete;
  ReadTxn& operator=(const ReadTxn&) = delete;

  // The value, or nothing. The view is valid until the transaction ends (write: until the next change).
  // Errors: corrupt (checksum), invalid_argument (empty or too long key).
  Result<std::optional<ByteView>> get(Db db, ByteView key) const;
  Cursor cursor(Db db) const;
  // Number of entries of a table, from its header: O(1).
  Result<uint64_t> count(Db db) const;

  // Calls visit(key, value) for each entry whose key starts with `prefix` (empty: all), in key order,
  // until it returns false or an error.
  Status for_each(Db db, ByteView prefix, const std::function<Result<bool>(ByteView, ByteView)>& visit) const;

 protected:
  friend class Env;
  ReadTxn(const detail::EnvCore* core, void* txn) : core_(core), txn_(txn) {}
  const detail::EnvCore* core_;
  void* txn_;
};

class WriteTxn : public ReadTxn {
 public:
  // Inserts or replaces. Errors: invalid_argument, disk_full, io, corrupt. After an error return it from the
  // closure; committing in spite of it is refused.
  Status put(Db db, ByteView key, ByteView value) { return put_parts(db, key, std::span(&value, 1)); }
  // The same with the value in parts, written into the map without joining them first.
  Status put_parts(Db db, ByteView key, std::span<const ByteView> parts);
  // The same for a key above all others of the table (faster, fills pages). Other keys: invalid_argument.
  Status append(Db db, ByteView key, ByteView value);
  // The same as put, but a key above all others of the table fills pages, where put leaves them half empty.
  Status put_ascending(Db db, ByteView key, ByteView value);
  // True when there was something to erase.
  Result<bool> erase(Db db, ByteView key);
  // Erases all keys with this prefix; returns how many.
  Result<uint64_t> erase_prefix(Db db, ByteView prefix);

 private:
  friend class Env;
  WriteTxn(const detail::EnvCore* core, void* txn) : ReadTxn(core, txn) {}
  enum class Fallback { none, put };  // when MDB_APPEND is refused
  Status put_with(Db db, ByteView key, std::span<const ByteView> parts, unsigned flags, Fallback fallback);
  Status failed(int rc, uint32_t index, ByteView key);
  int rc_ = 0;  // first error LMDB gave
};

struct EnvFacts {
  uint64_t map_bytes = 0;              // address space now
  uint64_t used_bytes = 0;             // pages ever used, freed ones included
  uint64_t file_bytes = 0;             // of data.mdb
  uint64_t disk_free_bytes = 0;        // of its file system, for us
  uint64_t transactions = 0;           // committed write transactions since the store was made
  uint32_t stale_readers_cleared = 0;  // left behind by processes that died, found at open
};

class Env {
 public:
  // Errors: refused (another process writes: its pid is named), corrupt or truncated (damaged file: what and
  // where), not_found (read only and absent), already_exists (open in this process), unsupported_version,
  // invalid_argument, io.
  static Result<Env> open(const EnvOptions& options);

  Env(Env&&) noexcept;
  Env& operator=(Env&&) noexcept;
  ~Env();  // no transaction may be open

  // A table named in EnvOptions::databases; any other name is our bug. In a read-only Env a table that was never
  // written is empty.
  Db db(std::string_view name) const;

  // Runs `body(WriteTxn&) -> Result<T>` (or Status) in a transaction and commits it. An error from the body rolls
  // back. The body may run several times (the map was too small: it is grown and the body run again), so it must
  // have no effect but on the transaction and on variables that it sets anew each time.
  // Errors: the body's, and disk_full, io, corrupt, refused (read only).
  template <class Body>
  auto write(Body&& body) -> std::invoke_result_t<Body&, WriteTxn&> {
    using R = std::invoke_result_t<Body&, WriteTxn&>;
    R result = fail(Errc::internal, "env", "the transaction did not run");
    const Status status = write_erased([&](WriteTxn& txn) -> Status {
      result = body(txn);
      if (!result) return tl::unexpected(result.error());
      return {};
    });
    if (!status) return tl::unexpected(status.error());
    return result;
  }

  // Runs `body(const ReadTxn&) -> Result<T>` on a snapshot. Errors: the body's, and io, overloaded (readers_max).
  template <class Body>
  auto read(Body&& body) const -> std::invoke_result_t<Body&, const ReadTxn&> {
    using R = std::invoke_result_t<Body&, const ReadTxn&>;
    R result = fail(Errc::internal, "env", "the transaction did not run");
    const Status status = read_erased([&](const ReadTxn& txn) -> Status {
      result = body(txn);
      return {};
    });
    if (!status) return tl::unexpected(status.error());
    return result;
  }

  Result<EnvFacts> facts() const;
  const std::filesystem::path& path() const noexcept;

  // Checks the live store as of now; see Verify. Errors: corrupt, truncated.
  Status verify(Verify depth) const;

 private:
  explicit Env(std::unique_ptr<detail::EnvCore> core);
  Status write_erased(const std::function<Status(WriteTxn&)>& body);
  Status read_erased(const std::function<Status(const ReadTxn&)>& body) const;
  std::unique_ptr<detail::EnvCore> core_;
};

}  // namespace drover::storage

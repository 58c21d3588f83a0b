#include "storage/env.hpp"

#include <fcntl.h>
#include <lmdb.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <utility>

#include "messages/buggify.hpp"
#include "messages/check.hpp"
#include "storage/keys.hpp"
#include "storage/lmdb_check.hpp"
#include "storage/seal.hpp"

namespace drover::storage {
namespace {

constexpr uint64_t page_bytes = 4096;
constexpr size_t databases_max = 64;
constexpr MDB_dbi absent = UINT32_MAX;
constexpr const char* closed_reason = "the store could not be reopened after a failed write";

uint64_t page_aligned(uint64_t bytes) {
  return (std::max(bytes, 16 * page_bytes) + page_bytes - 1) / page_bytes * page_bytes;
}

// Directories whose environment is open in this process. LMDB must not open one twice in a process: closing
// the second would drop the first one's file locks. This mirrors a fact of the process, hence the one global here.
class OpenDirectories {
 public:
  bool enter(dev_t device, ino_t inode) {
    const std::lock_guard lock(mutex_);
    return open_.emplace(device, inode).second;
  }
  void leave(dev_t device, ino_t inode) {
    const std::lock_guard lock(mutex_);
    open_.erase({device, inode});
  }
  static OpenDirectories& of_process() {
    static OpenDirectories all;
    return all;
  }

 private:
  std::mutex mutex_;
  std::set<std::pair<dev_t, ino_t>> open_;
};

Error system_error(const std::string& where, int error) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  return {full ? Errc::disk_full : Errc::io, where, std::strerror(error)};
}

Error lmdb_error(const std::string& where, int rc) {
  switch (rc) {
    case MDB_MAP_FULL:
      return {Errc::disk_full, where, "the store has reached its bound (map_max_bytes)"};
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_BAD_TXN:
      return {Errc::corrupt, where, mdb_strerror(rc)};
    case MDB_VERSION_MISMATCH:
      return {Errc::unsupported_version, where, mdb_strerror(rc)};
    case MDB_READERS_FULL:
      return {Errc::overloaded, where, "too many readers at once (readers_max)"};
    case MDB_BAD_VALSIZE:
    case MDB_KEYEXIST:
      return {Errc::invalid_argument, where, mdb_strerror(rc)};
    default:
      return rc > 0 ? system_error(where, rc) : Error{Errc::io, where, mdb_strerror(rc)};
  }
}

Status sync_directory(const std::filesystem::path& directory) {
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return tl::unexpected(system_error(directory.string(), errno));
  const int rc = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  if (rc != 0 && error != EINVAL) return tl::unexpected(system_error(directory.string(), error));
  return {};
}

MDB_val to_val(ByteView bytes) {
  return {bytes.size(), const_cast<std::byte*>(bytes.data())};
}
ByteView to_view(const MDB_val& value) {
  return {static_cast<const std::byte*>(value.mv_data), value.mv_size};
}

std::string printable(ByteView key) {
  std::string hex = to_hex(key.first(std::min<size_t>(key.size(), 48)));
  return key.size() > 48 ? hex + "..." : hex;
}

}  // namespace

namespace detail {

struct EnvCore {
  EnvOptions options;
  MDB_env* env = nullptr;
  int lock_fd = -1;
  dev_t device = 0;
  ino_t inode = 0;
  bool entered = false;
  uint64_t map_bytes = 0;
  uint32_t stale_readers = 0;
  std::vector<MDB_dbi> dbis;
  std::vector<uint64_t> seeds;
  std::mutex write_mutex;
  mutable std::shared_mutex map_mutex;  // shared: a transaction is open; unique: the map changes

  EnvCore() = default;
  EnvCore(const EnvCore&) = delete;
  EnvCore& operator=(const EnvCore&) = delete;
  ~EnvCore() {
    close_map();
    if (lock_fd >= 0) ::close(lock_fd);
    if (entered) OpenDirectories::of_process().leave(device, inode);
  }

  bool writable() const { return options.access == Access::read_write; }
  std::string where() const { return options.path.string(); }
  std::string where(uint32_t index) const { return where() + "/" + options.databases[index]; }
  std::filesystem::path data_file() const { return options.path / "data.mdb"; }
  Error bad_value(uint32_t index, ByteView key) const {
    return {Errc::corrupt, where(index) + " key " + printable(key), "the value does not match its checksum"};
  }

  void close_map() {
    if (env != nullptr) mdb_env_close(env);
    env = nullptr;
  }
  Status enter_directory();
  Status take_writer_lock();
  Status open_map();
  Status open_tables();
  Status grow_map();
  Status adopt_map();
  Status check_reserve() const;
  Error commit_error(int rc) const;
};

// Marks this thread as being inside a transaction of one Env, to catch nesting, which would deadlock.
class Nesting {
 public:
  explicit Nesting(const EnvCore* core) : core_(core), above_(innermost_) {
    for (const Nesting* n = above_; n != nullptr; n = n->above_)
      DROVER_CHECK(n->core_ != core, "a transaction was begun inside another one of the same Env");
    innermost_ = this;
  }
  ~Nesting() { innermost_ = above_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  const EnvCore* core_;
  Nesting* above_;
  static thread_local Nesting* innermost_;
};
thread_local Nesting* Nesting::innermost_ = nullptr;

// Aborts unless committed, whatever way the scope is left.
class OpenTxn {
 public:
  OpenTxn() = default;
  ~OpenTxn() { abort(); }
  OpenTxn(const OpenTxn&) = delete;
  OpenTxn& operator=(const OpenTxn&) = delete;
  int begin(MDB_env* env, unsigned flags) { return mdb_txn_begin(env, nullptr, flags, &txn_); }
  int commit() { return mdb_txn_commit(std::exchange(txn_, nullptr)); }
  void abort() {
    if (txn_ != nullptr) mdb_txn_abort(std::exchange(txn_, nullptr));
  }
  MDB_txn* get() const { return txn_; }

 private:
  MDB_txn* txn_ = nullptr;
};

Status EnvCore::enter_directory() {
  std::error_code error;
  const bool there = std::filesystem::is_directory(options.path, error);
  if (!there && !writable()) return fail(Errc::not_found, where(), "there is no store here");
  if (!there) {
    std::filesystem::create_directories(options.path, error);
    if (error) return tl::unexpected(system_error(where(), error.value()));
    const auto parent = std::filesystem::absolute(options.path).lexically_normal().parent_path();
    DROVER_TRY(sync_directory(parent.empty() ? "/" : parent));
  }
  struct stat facts {};
  if (::stat(options.path.c_str(), &facts) != 0) return tl::unexpected(system_error(where(), errno));
  device = facts.st_dev;
  inode = facts.st_ino;
  entered = OpenDirectories::of_process().enter(device, inode);
  if (!entered) return fail(Errc::already_exists, where(), "this store is already open in this process");
  return {};
}

Status EnvCore::take_writer_lock() {
  const auto file = options.path / "writer.lock";
  lock_fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_fd < 0) return tl::unexpected(system_error(file.string(), errno));
  if (::flock(lock_fd, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    if (error != EWOULDBLOCK) return tl::unexpected(system_error(file.string(), error));
    char pid[24] = {};
    const ssize_t got = ::pread(lock_fd, pid, sizeof pid - 1, 0);
    std::string holder = got > 0 ? std::string(pid, static_cast<size_t>(got)) : "unknown";
    holder.erase(std::find(holder.begin(), holder.end(), '\n'), holder.end());
    return fail(Errc::refused, where(),
                "another process writes this store (pid " + holder + "); stop it, or open read-only");
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  // The pid is only for the message above; a full disk must not keep a store from opening.
  if (::ftruncate(lock_fd, 0) != 0 || ::pwrite(lock_fd, pid.data(), pid.size(), 0) < 0) return {};
  return {};
}

Status EnvCore::open_map() {
  const auto facts = check_metas(data_file());
  if (!facts && (facts.error().code != Errc::not_found || !writable())) return tl::unexpected(facts.error());
  const bool fresh = !facts;
  if (int rc = mdb_env_create(&env); rc != 0) return tl::unexpected(lmdb_error(where(), rc));
  if (map_bytes == 0) map_bytes = page_aligned(std::min(options.map_initial_bytes, options.map_max_bytes));
  if (!fresh) map_bytes = std::max(map_bytes, page_aligned((facts->last_page + 1) * page_bytes));
  int rc = mdb_env_set_mapsize(env, map_bytes);
  if (rc == 0) rc = mdb_env_set_maxdbs(env, static_cast<MDB_dbi>(databases_max));
  if (rc == 0) rc = mdb_env_set_maxreaders(env, options.readers_max);
  unsigned flags = MDB_NOTLS;
  if (!writable()) flags |= MDB_RDONLY;
  if (options.sync == Sync::nosync || buggify::bug(buggify::Bug::ack_before_sync)) flags |= MDB_NOSYNC;
  if (rc == 0) rc = mdb_env_open(env, options.path.c_str(), flags, 0644);
  if (rc != 0) return tl::unexpected(lmdb_error(where(), rc));
  MDB_envinfo info{};
  mdb_env_info(env, &info);
  map_bytes = info.me_mapsize;
  int dead = 0;
  mdb_reader_check(env, &dead);
  stale_readers += static_cast<uint32_t>(std::max(dead, 0));
  if (fresh) DROVER_TRY(sync_directory(options.path));
  return {};
}

Status EnvCore::open_tables() {
  dbis.assign(options.databases.size(), absent);
  OpenTxn txn;
  if (const int rc = txn.begin(env, writable() ? 0 : MDB_RDONLY); rc != 0)
    return tl::unexpected(lmdb_error(where(), rc));
  for (uint32_t i = 0; i < dbis.size(); ++i) {
    const char* name = options.databases[i].c_str();
    int rc = mdb_dbi_open(txn.get(), name, 0, &dbis[i]);
    if (rc == MDB_NOTFOUND) {
      dbis[i] = absent;
      if (!writable()) continue;
      rc = mdb_dbi_open(txn.get(), name, MDB_CREATE, &dbis[i]);
    }
    if (rc != 0) return tl::unexpected(lmdb_error(where(i), rc));
  }
  // Handles become lasting with the commit, also of a transaction that changed nothing.
  if (const int rc = txn.commit(); rc != 0) return tl::unexpected(lmdb_error(where(), rc));
  return {};
}

Status EnvCore::grow_map() {
  const std::unique_lock lock(map_mutex);
  int dead = 0;
  mdb_reader_check(env, &dead);
  const uint64_t bound = options.map_max_bytes / page_bytes * page_bytes;
  if (map_bytes >= bound) return tl::unexpected(lmdb_error(where(), MDB_MAP_FULL));
  const uint64_t wanted = std::min(bound, map_bytes * 2);
  if (const int rc = mdb_env_set_mapsize(env, wanted); rc != 0) return tl::unexpected(lmdb_error(where(), rc));
  map_bytes = wanted;
  return {};
}

// Another process made the store larger than our map.
Status EnvCore::adopt_map() {
  const std::unique_lock lock(map_mutex);
  if (const int rc = mdb_env_set_mapsize(env, 0); rc != 0) return tl::unexpected(lmdb_error(where(), rc));
  MDB_envinfo info{};
  mdb_env_info(env, &info);
  map_bytes = info.me_mapsize;
  return {};
}

Status EnvCore::check_reserve() const {
  if (options.free_reserve_bytes == 0) return {};
  struct statvfs facts {};
  if (::statvfs(options.path.c_str(), &facts) != 0) return tl::unexpected(system_error(where(), errno));
  const uint64_t free = uint64_t{facts.f_bavail} * facts.f_frsize;
  if (free < options.free_reserve_bytes)
    return fail(Errc::disk_full, where(),
                std::to_string(free) + " bytes free on its file system, the reserve is " +
                    std::to_string(options.free_reserve_bytes));
  return {};
}

// LMDB reports a short write, which is how a full disk usually shows, as EIO: look which one it was.
Error EnvCore::commit_error(int rc) const {
  constexpr uint64_t nearly_full_bytes = uint64_t{16} << 20;
  Error error = lmdb_error(where(), rc);
  if (rc != EIO) return error;
  struct statvfs disk {};
  struct stat file {};
  rlimit limit{};
  const bool full =
      ::statvfs(options.path.c_str(), &disk) == 0 && uint64_t{disk.f_bavail} * disk.f_frsize < nearly_full_bytes;
  const bool at_limit = ::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
                        ::stat(data_file().c_str(), &file) == 0 &&
                        static_cast<uint64_t>(file.st_size) + nearly_full_bytes > limit.rlim_cur;
  if (full || at_limit) return {Errc::disk_full, where(), "the file system took only a part of a write"};
  return error;
}

}  // namespace detail

// ---- Cursor ----------------------------------------------------------------------------------

Cursor::Cursor(const detail::EnvCore* core, void* txn, uint32_t index) : core_(core), index_(index) {
  DROVER_CHECK(index < core->dbis.size(), "a Db that is not of this Env");
  if (core->dbis[index] == absent) return;
  MDB_cursor* cursor = nullptr;
  open_rc_ = mdb_cursor_open(static_cast<MDB_txn*>(txn), core->dbis[index], &cursor);
  cursor_ = cursor;
}

Cursor::Cursor(Cursor&& other) noexcept
    : core_(other.core_),
      cursor_(std::exchange(other.cursor_, nullptr)),
      index_(other.index_),
      open_rc_(other.open_rc_),
      key_(other.key_),
      sealed_(other.sealed_) {}

Cursor::~Cursor() {
  if (cursor_ != nullptr) mdb_cursor_close(static_cast<MDB_cursor*>(cursor_));
}

Result<bool> Cursor::step(int operation, ByteView key) {
  key_ = {};
  sealed_ = {};
  if (open_rc_ != 0) return tl::unexpected(lmdb_error(core_->where(index_), open_rc_));
  if (cursor_ == nullptr) return false;
  MDB_val k = to_val(key);
  MDB_val v{};
  const int rc = mdb_cursor_get(static_cast<MDB_cursor*>(cursor_), &k, &v, static_cast<MDB_cursor_op>(operation));
  if (rc == MDB_NOTFOUND) return false;
  if (rc != 0) return tl::unexpected(lmdb_error(core_->where(index_), rc));
  key_ = to_view(k);
  sealed_ = to_view(v);
  return true;
}

Result<bool> Cursor::first() {
  return step(MDB_FIRST, {});
}
Result<bool> Cursor::last() {
  return step(MDB_LAST, {});
}
Result<bool> Cursor::next() {
  return step(MDB_NEXT, {});
}
Result<bool> Cursor::previous() {
  return step(MDB_PREV, {});
}
Result<bool> Cursor::at_least(ByteView key) {
  if (key.empty()) return first();
  return step(MDB_SET_RANGE, key);
}
Result<bool> Cursor::at_most(ByteView key) {
  DROVER_ASSIGN(const bool found, at_least(key));
  if (found && std::ranges::equal(key_, key)) return true;
  return found ? previous() : last();
}

Result<ByteView> Cursor::value() const {
  if (!detail::seal_matches(core_->seeds[index_], key_, sealed_)) return tl::unexpected(core_->bad_value(index_, key_));
  return sealed_.first(sealed_.size() - detail::seal_bytes);
}

size_t Cursor::value_bytes() const noexcept {
  return sealed_.size() < detail::seal_bytes ? 0 : sealed_.size() - detail::seal_bytes;
}

// ---- transactions ----------------------------------------------------------------------------

Result<std::optional<ByteView>> ReadTxn::get(Db db, ByteView key) const {
  DROVER_CHECK(db.index_ < core_->dbis.size(), "a Db that is not of this Env");
  if (key.empty() || key.size() > key_max_bytes)
    return fail(Errc::invalid_argument, core_->where(db.index_), "empty, too long or malformed key");
  if (core_->dbis[db.index_] == absent) return std::nullopt;
  MDB_val k = to_val(key);
  MDB_val v{};
  const int rc = mdb_get(static_cast<MDB_txn*>(txn_), core_->dbis[db.index_], &k, &v);
  if (rc == MDB_NOTFOUND) return std::nullopt;
  if (rc != 0) return tl::unexpected(lmdb_error(core_->where(db.index_), rc));
  const ByteView sealed = to_view(v);
  if (!detail::seal_matches(core_->seeds[db.index_], key, sealed))
    return tl::unexpected(core_->bad_value(db.index_, key));
  return sealed.first(sealed.size() - detail::seal_bytes);
}

Cursor ReadTxn::cursor(Db db) const {
  return Cursor(core_, txn_, db.index_);
}

Result<uint64_t> ReadTxn::count(Db db) const {
  DROVER_CHECK(db.index_ < core_->dbis.size(), "a Db that is not of this Env");
  if (core_->dbis[db.index_] == absent) return 0;
  MDB_stat stat{};
  const int rc = mdb_stat(static_cast<MDB_txn*>(txn_), core_->dbis[db.index_], &stat);
  if (rc != 0) return tl::unexpected(lmdb_error(core_->where(db.index_), rc));
  return stat.ms_entries;
}

Status ReadTxn::for_each(Db db, ByteView prefix, const std::function<Result<bool>(ByteView, ByteView)>& visit) const {
  Cursor at = cursor(db);
  DROVER_ASSIGN(bool more, at.at_least(prefix));
  while (more) {
    const ByteView key = at.key();
    if (key.size() < prefix.size() || !std::ranges::equal(key.first(prefix.size()), prefix)) break;
    DROVER_ASSIGN(const ByteView value, at.value());
    DROVER_ASSIGN(const bool go_on, visit(key, value));
    if (!go_on) break;
    DROVER_ASSIGN(more, at.next());
  }
  return {};
}

Status WriteTxn::failed(int rc, uint32_t index, ByteView key) {
  if (rc_ == 0) rc_ = rc;
  Error error = lmdb_error(core_->where(index), rc);
  if (error.code == Errc::invalid_argument || error.code == Errc::corrupt) error.where += " key " + printable(key);
  return tl::unexpected(std::move(error));
}

Status WriteTxn::put_with(Db db, ByteView key, std::span<const ByteView> parts, unsigned flags, Fallback fallback) {
  DROVER_CHECK(db.index_ < core_->dbis.size(), "a Db that is not of this Env");
  if (key.empty() || key.size() > key_max_bytes)
    return fail(Errc::invalid_argument, core_->where(db.index_), "empty, too long or malformed key");
  size_t size = 0;
  for (const ByteView part : parts) size += part.size();
  if (size > UINT32_MAX - page_bytes)
    return fail(Errc::too_large, core_->where(db.index_) + " key " + printable(key), "value over 4 GiB");
  MDB_val k = to_val(key);
  MDB_val v{size + detail::seal_bytes, nullptr};
  int rc = mdb_put(static_cast<MDB_txn*>(txn_), core_->dbis[db.index_], &k, &v, flags | MDB_RESERVE);
  if (rc == MDB_KEYEXIST && fallback == Fallback::put) {  // not above the last key; nothing was touched
    v = {size + detail::seal_bytes, nullptr};
    rc = mdb_put(static_cast<MDB_txn*>(txn_), core_->dbis[db.index_], &k, &v, MDB_RESERVE);
  }
  if (rc != 0) return failed(rc, db.index_, key);
  auto* at = static_cast<std::byte*>(v.mv_data);
  for (const ByteView part : parts) {
    if (!part.empty()) std::memcpy(at, part.data(), part.size());
    at += part.size();
  }
  const uint64_t seal = detail::seal_of(core_->seeds[db.index_], key, {static_cast<const std::byte*>(v.mv_data), size});
  std::memcpy(at, &seal, sizeof seal);
  return {};
}

Status WriteTxn::put_parts(Db db, ByteView key, std::span<const ByteView> parts) {
  return put_with(db, key, parts, 0, Fallback::none);
}

Status WriteTxn::append(Db db, ByteView key, ByteView value) {
  return put_with(db, key, std::span(&value, 1), MDB_APPEND, Fallback::none);
}

Status WriteTxn::put_ascending(Db db, ByteView key, ByteView value) {
  return put_with(db, key, std::span(&value, 1), MDB_APPEND, Fallback::put);
}

Result<bool> WriteTxn::erase(Db db, ByteView key) {
  DROVER_CHECK(db.index_ < core_->dbis.size(), "a Db that is not of this Env");
  if (key.empty() || key.size() > key_max_bytes)
    return fail(Errc::invalid_argument, core_->where(db.index_), "empty, too long or malformed key");
  MDB_val k = to_val(key);
  const int rc = mdb_del(static_cast<MDB_txn*>(txn_), core_->dbis[db.index_], &k, nullptr);
  if (rc == MDB_NOTFOUND) return false;
  if (rc != 0) return tl::unexpected(failed(rc, db.index_, key).error());
  return true;
}

Result<uint64_t> WriteTxn::erase_prefix(Db db, ByteView prefix) {
  Cursor at = cursor(db);
  uint64_t erased = 0;
  DROVER_ASSIGN(bool more, at.at_least(prefix));
  while (more) {
    if (at.key_.size() < prefix.size() || !std::ranges::equal(at.key_.first(prefix.size()), prefix)) break;
    // mdb_cursor_del leaves the cursor at the next entry, which MDB_NEXT then returns.
    if (const int rc = mdb_cursor_del(static_cast<MDB_cursor*>(at.cursor_), 0); rc != 0)
      return tl::unexpected(failed(rc, db.index_, prefix).error());
    ++erased;
    DROVER_ASSIGN(more, at.next());
  }
  return erased;
}

// ---- Env -------------------------------------------------------------------------------------

Env::Env(std::unique_ptr<detail::EnvCore> core) : core_(std::move(core)) {}
Env::Env(Env&&) noexcept = default;
Env& Env::operator=(Env&&) noexcept = default;
Env::~Env() = default;

Result<Env> Env::open(const EnvOptions& options) {
  if (options.databases.empty() || options.databases.size() > databases_max)
    return fail(Errc::invalid_argument, options.path.string(), "between 1 and 64 tables are possible");
  if (options.map_max_bytes < 16 * page_bytes || options.map_max_bytes > uint64_t{1} << 46)
    return fail(Errc::invalid_argument, options.path.string(), "map_max_bytes must be 64 KiB .. 64 TiB");
  if (::sysconf(_SC_PAGESIZE) != static_cast<long>(page_bytes))
    return fail(Errc::unsupported_version, options.path.string(), "stores need a system with pages of 4096 bytes");
  auto core = std::make_unique<detail::EnvCore>();
  core->options = options;
  for (const auto& name : options.databases) core->seeds.push_back(detail::table_seed(name));
  DROVER_TRY(core->enter_directory());
  if (core->writable()) DROVER_TRY(core->take_writer_lock());
  DROVER_TRY(core->open_map());
  Env env(std::move(core));
  if (options.verify != Verify::none) DROVER_TRY(env.verify(options.verify));
  DROVER_TRY(env.core_->open_tables());
  return env;
}

Db Env::db(std::string_view name) const {
  const auto& names = core_->options.databases;
  const auto found = std::find(names.begin(), names.end(), name);
  DROVER_CHECK(found != names.end(), "a table that was not named in EnvOptions");
  return Db(static_cast<uint32_t>(found - names.begin()));
}

Status Env::write_erased(const std::function<Status(WriteTxn&)>& body) {
  detail::EnvCore& core = *core_;
  if (!core.writable()) return fail(Errc::refused, core.where(), "the store is open read-only");
  const detail::Nesting nesting(&core);
  const std::lock_guard writing(core.write_mutex);
  constexpr int attempts_max = 64;  // each doubles the map
  for (int attempt = 0; attempt < attempts_max; ++attempt) {
    DROVER_TRY(core.check_reserve());
    int rc = 0;
    {
      const std::shared_lock map(core.map_mutex);
      if (core.env == nullptr) return fail(Errc::io, core.where(), closed_reason);
      detail::OpenTxn open;
      rc = open.begin(core.env, 0);
      if (rc == 0) {
        if (buggify::fire(buggify::Site::env_run_twice)) {
          WriteTxn rehearsal(&core, open.get());
          (void)body(rehearsal);
          open.abort();
          if ((rc = open.begin(core.env, 0)) != 0) return tl::unexpected(core.commit_error(rc));
        }
        WriteTxn txn(&core, open.get());
        const Status status = body(txn);
        rc = txn.rc_;
        if (rc == 0 && !status) return status;
        if (rc == 0) rc = open.commit();
      }
    }
    if (rc == 0) return {};
    if (rc == MDB_MAP_FULL) {
      DROVER_TRY(core.grow_map());
    } else if (rc == MDB_MAP_RESIZED) {
      DROVER_TRY(core.adopt_map());
    } else if (rc == MDB_PANIC) {
      // LMDB could not write a meta page and shut itself; what was committed before is intact.
      const std::unique_lock map(core.map_mutex);
      core.close_map();
      Status reopened = core.open_map();
      if (reopened) reopened = core.open_tables();
      if (!reopened) {
        core.close_map();
        return reopened;
      }
    } else {
      return tl::unexpected(core.commit_error(rc));
    }
  }
  return fail(Errc::io, core.where(), "the map would not settle");
}

Status Env::read_erased(const std::function<Status(const ReadTxn&)>& body) const {
  detail::EnvCore& core = *core_;
  const detail::Nesting nesting(&core);
  constexpr int attempts_max = 16;
  for (int attempt = 0; attempt < attempts_max; ++attempt) {
    {
      const std::shared_lock map(core.map_mutex);
      if (core.env == nullptr) return fail(Errc::io, core.where(), closed_reason);
      detail::OpenTxn open;
      const int rc = open.begin(core.env, MDB_RDONLY);
      if (rc == 0) return body(ReadTxn(&core, open.get()));
      if (rc != MDB_MAP_RESIZED) return tl::unexpected(lmdb_error(core.where(), rc));
    }
    DROVER_TRY(core.adopt_map());
  }
  return fail(Errc::io, core.where(), "the map would not settle");
}

Status Env::verify(Verify depth) const {
  if (depth == Verify::none) return {};
  constexpr int attempts_max = 16;
  Status status;
  for (int attempt = 0; attempt < attempts_max; ++attempt) {
    DROVER_TRY(read_erased([&](const ReadTxn& txn) -> Status {
      const uint64_t snapshot = mdb_txn_id(static_cast<MDB_txn*>(txn.txn_));
      status = detail::check_pages(core_->data_file(), snapshot, depth == Verify::full);
      return {};
    }));
    if (status || status.error().code != Errc::unavailable) return status;
  }
  return status;
}

Result<EnvFacts> Env::facts() const {
  EnvFacts facts;
  DROVER_TRY(read_erased([&](const ReadTxn&) -> Status {
    MDB_envinfo info{};
    mdb_env_info(core_->env, &info);
    facts.map_bytes = info.me_mapsize;
    facts.used_bytes = (info.me_last_pgno + 1) * page_bytes;
    facts.transactions = info.me_last_txnid;
    return {};
  }));
  struct stat file {};
  if (::stat(core_->data_file().c_str(), &file) == 0) facts.file_bytes = static_cast<uint64_t>(file.st_size);
  struct statvfs disk {};
  if (::statvfs(core_->options.path.c_str(), &disk) == 0)
    facts.disk_free_bytes = uint64_t{disk.f_bavail} * disk.f_frsize;
  facts.stale_readers_cleared = core_->stale_readers;
  return facts;
}

const std::filesystem::path& Env::path() const noexcept {
  return core_->options.path;
}

}  // namespace drover::storage

#include "stress/sim/faulty_disk.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "messages/check.hpp"

namespace drover::simulate {
namespace {

constexpr size_t sector_bytes = 512;
constexpr std::array<std::string_view, 3> steps{"write", "sync", "commit"};
constexpr std::array<std::string_view, losses> names{"dropped", "kept", "reordered", "torn"};

thread_local FaultyDisk* armed = nullptr;

// What stands behind us: the system, or a sanitizer that wants to see the calls.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
template <class F>
F* next_of(const char* name) {
  return reinterpret_cast<F*>(::dlsym(RTLD_NEXT, name));
}
ssize_t system_pwrite(int fd, const void* bytes, size_t size, int64_t offset) {
  static auto* const next = next_of<ssize_t(int, const void*, size_t, off_t)>("pwrite");
  return next(fd, bytes, size, offset);
}
ssize_t system_write(int fd, const void* bytes, size_t size) {
  static auto* const next = next_of<ssize_t(int, const void*, size_t)>("write");
  return next(fd, bytes, size);
}
ssize_t system_writev(int fd, const iovec* parts, int count) {
  static auto* const next = next_of<ssize_t(int, const iovec*, int)>("writev");
  return next(fd, parts, count);
}
#else
ssize_t system_pwrite(int fd, const void* bytes, size_t size, int64_t offset) {
  return static_cast<ssize_t>(::syscall(SYS_pwrite64, fd, bytes, size, offset));
}
ssize_t system_write(int fd, const void* bytes, size_t size) {
  return static_cast<ssize_t>(::syscall(SYS_write, fd, bytes, size));
}
ssize_t system_writev(int fd, const iovec* parts, int count) {
  return static_cast<ssize_t>(::syscall(SYS_writev, fd, parts, count));
}
#endif

}  // namespace

std::string_view disk_step_name(DiskStep step) noexcept {
  return steps[static_cast<size_t>(step)];
}
std::string_view loss_name(Loss loss) noexcept {
  return static_cast<size_t>(loss) < losses ? names[static_cast<size_t>(loss)] : "unknown";
}

FaultyDisk::FaultyDisk() {
  DROVER_CHECK(armed == nullptr, "there is a faulty disk in this thread already");
  armed = this;
}

FaultyDisk::~FaultyDisk() {
  armed = nullptr;
}

void FaultyDisk::mount(const std::string& folder, int node) {
  mounts_.emplace_back(folder + "/", node);
}

void FaultyDisk::forget(const std::string& folder) {
  std::erase_if(files_, [&](const auto& entry) { return entry.second.path.starts_with(folder + "/"); });
  std::erase_if(mounts_, [&](const auto& entry) { return entry.first == folder + "/"; });
}

void FaultyDisk::power_off(int node) {
  off_[node] = true;
}

bool FaultyDisk::off(int node) const {
  const auto found = off_.find(node);
  return found != off_.end() && found->second;
}

int FaultyDisk::node_of(const std::string& path) const {
  for (const auto& [folder, node] : mounts_)
    if (path.starts_with(folder)) return node;
  return -1;
}

FaultyDisk::File* FaultyDisk::file_of(int fd, bool& dsync) {
  struct stat facts {};
  if (::fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) return nullptr;
  const std::pair<uint64_t, uint64_t> key{facts.st_dev, facts.st_ino};
  auto found = files_.find(key);
  if (found == files_.end()) {
    std::array<char, 4096> path{};
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    const ssize_t size = ::readlink(link.c_str(), path.data(), path.size() - 1);
    File file;
    if (size > 0) file.path.assign(path.data(), static_cast<size_t>(size));
    file.node = node_of(file.path);
    if (file.node < 0) return nullptr;
    found = files_.emplace(key, std::move(file)).first;
  }
  dsync = (::fcntl(fd, F_GETFL) & O_DSYNC) != 0;
  return &found->second;
}

void FaultyDisk::remember(File& file, int fd, const std::byte* bytes, size_t size, uint64_t offset, bool after_death) {
  Write w;
  w.offset = offset;
  w.after.assign(bytes, bytes + size);
  w.after_death = after_death;
  struct stat facts {};
  ::fstat(fd, &facts);
  w.size_before = static_cast<uint64_t>(facts.st_size);
  if (offset < w.size_before) {
    const int in = ::open(file.path.c_str(), O_RDONLY | O_CLOEXEC);  // `fd` may be for writing only
    DROVER_CHECK(in >= 0, "a mounted file cannot be read");
    w.before.resize(std::min<uint64_t>(size, w.size_before - offset));
    const ssize_t got = ::pread(in, w.before.data(), w.before.size(), static_cast<off_t>(offset));
    ::close(in);
    DROVER_CHECK(got == static_cast<ssize_t>(w.before.size()), "a mounted file cannot be read");
  }
  file.unsynced.push_back(std::move(w));
}

ssize_t FaultyDisk::write(int fd, const std::byte* bytes, size_t size, int64_t offset) {
  bool dsync = false;
  const bool at_position = offset < 0;
  File* file = file_of(fd, dsync);
  if (at_position) offset = file == nullptr ? 0 : static_cast<int64_t>(::lseek(fd, 0, SEEK_CUR));
  const auto really = [&] {
    if (at_position) return system_write(fd, bytes, size);
    return system_pwrite(fd, bytes, size, offset);
  };
  if (file == nullptr) return really();
  if (off(file->node)) {
    remember(*file, fd, bytes, size, static_cast<uint64_t>(offset), true);
    return really();
  }
  ++operations_;
  const DiskStep step = dsync ? DiskStep::commit : DiskStep::write;
  const Verdict verdict =
      watch_ ? watch_({step, file->node, file->path, static_cast<uint64_t>(offset), size}) : Verdict{};
  if (verdict.what == Verdict::refuse) {
    errno = verdict.error;
    return -1;
  }
  if (verdict.what == Verdict::power_off) power_off(file->node);
  // The write during which the power goes may have reached the disk, too.
  if (!dsync || verdict.what == Verdict::power_off)
    remember(*file, fd, bytes, size, static_cast<uint64_t>(offset), false);
  return really();
}

int FaultyDisk::sync(int fd) {
  bool dsync = false;
  File* file = file_of(fd, dsync);
  if (file == nullptr) return static_cast<int>(::syscall(SYS_fdatasync, fd));
  if (off(file->node)) return 0;
  ++operations_;
  const Verdict verdict = watch_ ? watch_({DiskStep::sync, file->node, file->path, 0, 0}) : Verdict{};
  if (verdict.what == Verdict::refuse) {
    errno = verdict.error;
    return -1;
  }
  if (verdict.what == Verdict::power_off)
    power_off(file->node);
  else
    file->unsynced.clear();  // durable; the real disk needs no sync, it is not switched off
  return 0;
}

// Undoes everything that was not synced, the last first, and does again what the loss lets through.
void FaultyDisk::restore(File& file, Loss loss, runtime::Rng& rng) {
  if (file.unsynced.empty()) return;
  const int fd = ::open(file.path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;  // deleted since
  for (size_t i = file.unsynced.size(); i-- > 0;) {
    const Write& w = file.unsynced[i];
    if (!w.before.empty()) (void)system_pwrite(fd, w.before.data(), w.before.size(), static_cast<int64_t>(w.offset));
    DROVER_CHECK(::ftruncate(fd, static_cast<off_t>(w.size_before)) == 0, "a mounted file cannot be cut");
  }
  for (const Write& w : file.unsynced) {
    if (w.after_death || loss == Loss::dropped || (loss == Loss::reordered && rng.chance(0.5))) continue;
    for (size_t at = 0; at < w.after.size(); at += sector_bytes) {
      if (loss == Loss::torn && rng.chance(0.5)) continue;
      const size_t size = std::min(sector_bytes, w.after.size() - at);
      (void)system_pwrite(fd, w.after.data() + at, size, static_cast<int64_t>(w.offset + at));
    }
  }
  ::close(fd);
}

uint64_t FaultyDisk::power_on(int node, Loss loss, runtime::Rng& rng) {
  uint64_t unsynced = 0;
  for (auto& [key, file] : files_) {
    if (file.node != node) continue;
    unsynced += static_cast<uint64_t>(
        std::count_if(file.unsynced.begin(), file.unsynced.end(), [](const Write& w) { return !w.after_death; }));
    restore(file, loss, rng);
    file.unsynced.clear();
  }
  off_[node] = false;
  return unsynced;
}

}  // namespace drover::simulate

// ---- in the system's place -------------------------------------------------------------------
// Symbols of the executable come before those of libc for every library that it loads, LMDB among them. Without a
// FaultyDisk in this thread they are the bare system calls.

extern "C" {
ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset);
ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t offset);
ssize_t write(int fd, const void* bytes, size_t size);
ssize_t writev(int fd, const iovec* parts, int count);
int fdatasync(int fd);
int fsync(int fd);
}

namespace {
using drover::simulate::armed;
}

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  if (armed == nullptr) return drover::simulate::system_pwrite(fd, bytes, size, offset);
  return armed->write(fd, static_cast<const std::byte*>(bytes), size, offset);
}

ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t offset) {
  return pwrite(fd, bytes, size, offset);
}

ssize_t write(int fd, const void* bytes, size_t size) {
  if (armed == nullptr) return drover::simulate::system_write(fd, bytes, size);
  return armed->write(fd, static_cast<const std::byte*>(bytes), size, -1);
}

ssize_t writev(int fd, const iovec* parts, int count) {
  if (armed == nullptr) return drover::simulate::system_writev(fd, parts, count);
  ssize_t sum = 0;  // one after the other: the power may go between two pages of one call
  for (int i = 0; i < count; ++i) {
    const ssize_t wrote = armed->write(fd, static_cast<const std::byte*>(parts[i].iov_base), parts[i].iov_len, -1);
    if (wrote < 0) return sum > 0 ? sum : wrote;
    sum += wrote;
    if (static_cast<size_t>(wrote) < parts[i].iov_len) break;
  }
  return sum;
}

int fdatasync(int fd) {
  if (armed == nullptr) return static_cast<int>(::syscall(SYS_fdatasync, fd));
  return armed->sync(fd);
}

int fsync(int fd) {
  if (armed == nullptr) return static_cast<int>(::syscall(SYS_fsync, fd));
  return armed->sync(fd);
}

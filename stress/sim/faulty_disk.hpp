// FaultyDisk: a disk below LMDB's own file operations, that can be switched off at any of them.
//
// The program that links this (drover-stress, the tests of stress/) answers pwrite, write, writev, fsync and fdatasync
// itself: they do what the system does, and while a FaultyDisk lives in the calling thread, the writes to files below
// its mounted folders are remembered until a sync makes them durable. When a node's power goes, its files keep what was
// synced and, of what was not, what the Loss says: nothing, all, any subset of the writes, any subset of their
// 512-byte sectors. A write to a file that was opened with O_DSYNC (LMDB's meta page) is durable when it returns.
//
// Not modelled: names (creating, renaming and deleting is durable at once), disks that lie about syncs, and sectors
// that are torn themselves. Threads: one, the one that made it; at most one FaultyDisk per thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "actors/runtime/rng.hpp"

namespace drover::simulate {

enum class DiskStep : uint8_t { write, sync, commit };  // commit: a write to a file opened with O_DSYNC
std::string_view disk_step_name(DiskStep step) noexcept;

struct DiskOp {
  DiskStep step = DiskStep::write;
  int node = 0;
  std::string_view path;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};
// What happens to an operation that is about to begin.
struct Verdict {
  enum What : uint8_t { proceed, power_off, refuse } what = proceed;
  int error = 0;  // errno, for refuse
};

// What becomes of writes that were not synced when the power went.
enum class Loss : uint8_t { dropped, kept, reordered, torn, count_ };
inline constexpr size_t losses = static_cast<size_t>(Loss::count_);
std::string_view loss_name(Loss loss) noexcept;

class FaultyDisk {
 public:
  FaultyDisk();
  ~FaultyDisk();
  FaultyDisk(const FaultyDisk&) = delete;
  FaultyDisk& operator=(const FaultyDisk&) = delete;

  // Files below `folder` are of that node, from now on.
  void mount(const std::string& folder, int node);
  void forget(const std::string& folder);  // it was deleted
  // Asked before every operation on a mounted file of a node that has power.
  void set_watch(std::function<Verdict(const DiskOp&)> watch) { watch_ = std::move(watch); }

  // From now on nothing that the node writes lasts. Its processes may go on for a while; nobody will know.
  void power_off(int node);
  bool off(int node) const;
  // Call when the node's files are closed. Brings them to what the loss leaves and gives the node power again.
  // Returns how many unsynced writes there were.
  uint64_t power_on(int node, Loss loss, runtime::Rng& rng);
  uint64_t operations() const { return operations_; }

  // For the functions that stand in the system's place.
  ssize_t write(int fd, const std::byte* bytes, size_t size, int64_t offset);  // offset -1: at the file's position
  int sync(int fd);

 private:
  struct Write {
    uint64_t offset = 0;
    uint64_t size_before = 0;  // of the file
    std::vector<std::byte> before, after;
    bool after_death = false;
  };
  struct File {
    std::string path;
    int node = 0;
    std::vector<Write> unsynced;
  };
  File* file_of(int fd, bool& dsync);
  int node_of(const std::string& path) const;
  void remember(File& file, int fd, const std::byte* bytes, size_t size, uint64_t offset, bool after_death);
  void restore(File& file, Loss loss, runtime::Rng& rng);

  std::vector<std::pair<std::string, int>> mounts_;
  std::map<std::pair<uint64_t, uint64_t>, File> files_;  // by device and inode
  std::map<int, bool> off_;
  std::function<Verdict(const DiskOp&)> watch_;
  uint64_t operations_ = 0;
};

}  // namespace drover::simulate

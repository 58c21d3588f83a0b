// Spool: decides which files of a watched folder to take, in which order, and from which episode on. No disk, no clock.
//
// The caller lists the folder (poll), hashes the file that next() names (start), captures its episodes, and stores the
// mark that each step returns in the same transaction as the records of that step; only then it calls commit(). So a
// daemon that dies anywhere continues at the first episode whose records were not stored: every file exactly once.
// Invariants: a file is offered only when its size and time stood still for stable_polls looks; files are offered in
// name order; content that was taken is never taken again, whatever it is called (unless the config allows it); a file
// that kills or fails the capture attempts_max times without progress is quarantined.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "messages/bytes.hpp"
#include "messages/hash.hpp"
#include "messages/result.hpp"

namespace drover::capture {

inline constexpr std::string_view set_aside_suffix = ".set_aside";

struct SpoolConfig {
  uint32_t stable_polls = 2;    // looks with equal size and time before a file counts as complete; 1: files are renamed
                                // into the folder in one step. 1 .. 1000
  bool skip_duplicates = true;  // the same content under another name is noted, not captured again
  uint32_t attempts_max = 3;    // failures without progress before quarantine; 1 .. 100
  size_t files_max = 100'000;   // unsettled ones of the folder; further ones (in name order) wait
  std::vector<std::string> ignored_suffixes = {".part",
                                               ".partial",
                                               ".tmp",
                                               ".temp",
                                               ".crdownload",
                                               ".swp",
                                               "~",
                                               "metadata.yaml",  // the last: rosbag2's index
                                               std::string(set_aside_suffix)};
  // For a folder of the product's own: a file is deleted once its episodes are stored durably, and one that was set
  // aside (quarantined, duplicate) gets set_aside_suffix. Off for folders of others: nothing there is ever touched.
  bool remove_done = false;
  size_t marks_kept = 1024;  // with remove_done: marks of files that are gone; 1 or more
};

struct FileStat {
  std::string name;  // without folders
  uint64_t size_bytes = 0;
  int64_t mtime_ns = 0;
  bool operator==(const FileStat&) const = default;
};

enum class MarkState : uint8_t { taking = 1, done = 2, duplicate = 3, quarantined = 4 };
std::string_view mark_state_name(MarkState state) noexcept;

// What is known about one content under one name; the unit that the store keeps. Key: mark_key().
struct SpoolMark {
  FileStat file;
  Hash hash{};
  MarkState state = MarkState::taking;
  uint64_t next_ordinal = 0;  // episodes before it are stored
  uint32_t attempts = 0;      // starts since the last progress
  std::string detail;         // duplicate: the other name; quarantined: the reason
  bool operator==(const SpoolMark&) const = default;
};

std::string mark_key(const SpoolMark& mark);  // "<sha256 hex>/<16 hex of the name's>": per content and name, 81 bytes
Bytes encode(const SpoolMark& mark);          // JSON text
Result<SpoolMark> decode_mark(ByteView bytes);

class Spool {
 public:
  explicit Spool(SpoolConfig config) : config_(std::move(config)) {}

  // Takes over a mark that the store kept. Call for all of them before the first poll.
  void restore(const SpoolMark& mark) { commit(mark); }

  // One look at the folder: its regular files, in any order. Files that are gone are forgotten (their marks are not).
  void poll(std::vector<FileStat> listing);

  // The first file in name order that is complete and not settled.
  std::optional<FileStat> next() const;

  // Size of the content that was taken under this name when the file has grown since: the caller hashes that many
  // bytes of the front and hands the result to start().
  std::optional<uint64_t> grown_from(const FileStat& file) const;

  // What to do with the file that next() named, now that its content is known. The mark is to be stored before the
  // capture begins. `prefix` answers grown_from().
  struct Start {
    bool take = false;  // else the mark says why not, and the file is settled once committed
    SpoolMark mark;     // take: capture from mark.next_ordinal on
  };
  Start start(const FileStat& file, const Hash& hash, const std::optional<Hash>& prefix = std::nullopt) const;

  // Marks for the steps after start(). They change nothing until commit().
  static SpoolMark advanced(SpoolMark mark,
                            uint64_t next_ordinal);  // records up to next_ordinal - 1 are stored with it
  static SpoolMark finished(SpoolMark mark);
  static SpoolMark rejected(SpoolMark mark, std::string reason);  // can never be captured as it is
  SpoolMark failed(SpoolMark mark, std::string reason) const;     // may work later: quarantined after attempts_max

  // The store has kept `mark`.
  void commit(const SpoolMark& mark);
  // Offers a quarantined file again, once it stood still again (an operator repaired the cause). False: there is none
  // of that name.
  bool forgive(std::string_view name);

  // Marks of the files of the last look that are settled: what remove_done has to tidy up after a crash.
  const std::vector<SpoolMark>& settled() const noexcept { return settled_; }
  // With remove_done: forgets the oldest marks of files that are done and gone, so that a robot that records for years
  // does not carry them all; at most marks_kept stay. Gives what it forgot, for the store to erase. Call after poll().
  std::vector<SpoolMark> forget_gone();
  std::vector<SpoolMark> marks() const;  // by key
  size_t waiting_count() const;          // files that are ready or still settling
  uint64_t polls() const noexcept { return polls_; }

 private:
  struct Seen {
    FileStat file;
    uint32_t stable = 0;  // looks in a row with this stat
  };
  bool ignored(std::string_view name) const;
  const SpoolMark* latest(const FileStat& file) const;

  SpoolConfig config_;
  uint64_t polls_ = 0;
  std::map<std::string, Seen> seen_;  // by name
  std::vector<SpoolMark> settled_;
  std::map<std::string, SpoolMark> marks_;                     // by key
  std::multimap<std::string, std::string, std::less<>> keys_;  // name -> key
  std::map<std::string, uint64_t> resting_;                    // name -> look from which it is offered again
};

}  // namespace drover::capture

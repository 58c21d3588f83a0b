// JSON Lines files of datapacks: one file per task, one pack per line, only ever appended to.
//
// Invariants: a line is complete or it is not a line: bytes behind the last newline are a torn write, reported and
// never parsed. The writer cuts a torn tail off before it appends.
// Threads: one thread per object.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "messages/datapack.hpp"
#include "messages/result.hpp"
#include "storage/datapack_store.hpp"

namespace drover::storage {

struct JsonlOptions {
  size_t line_max_bytes = 8u << 20;
  bool stop_at_error = false;  // else bad lines are reported and skipped
  uint32_t errors_max = 1000;  // reading stops behind so many bad lines
};

struct JsonlReport {
  uint64_t lines = 0;  // complete, blank ones included
  uint64_t packs = 0;  // handed to the caller
  uint64_t bad_lines = 0;
  uint64_t torn_bytes = 0;    // behind the last newline
  std::vector<Error> errors;  // where = "file:line:column field", at most errors_max
};

// Reads every pack of a file. `take(pack)` may refuse: refusals (invalid_argument, unsupported_version, conflict)
// count as bad lines, any other error ends the reading and is returned.
// Errors: not_found, io; with stop_at_error also that of the first bad line.
Result<JsonlReport> read_jsonl(const std::filesystem::path& file, const JsonlOptions& options,
                               const std::function<Status(Datapack&&)>& take);

// The same, parsed, checked and prepared on `threads` threads of its own; `take` is called in the order of the lines on
// the caller's. `check` says what else a pack must be; it is called from several threads at once.
struct PreparedSink {
  uint32_t threads = 1;                          // 1 .. 64
  std::function<Status(const Datapack&)> check;  // may be empty
  std::function<Status(PreparedPack&&)> take;
};
Result<JsonlReport> read_jsonl_prepared(const std::filesystem::path& file, const JsonlOptions& options,
                                        const PreparedSink& sink);

// "<dir>/<task>_datapacks.jsonl" with bytes that are not letters, digits, '-', '_' or '.' as %XX, so that
// every task has a file of its own and none leaves the directory.
std::filesystem::path jsonl_path(const std::filesystem::path& dir, std::string_view task);

// Appends packs to one file per task under a directory.
class JsonlWriter {
 public:
  explicit JsonlWriter(std::filesystem::path dir) : dir_(std::move(dir)) {}
  ~JsonlWriter();
  JsonlWriter(const JsonlWriter&) = delete;
  JsonlWriter& operator=(const JsonlWriter&) = delete;

  // Errors: invalid_argument (the pack cannot be written as JSON), io, disk_full, overloaded (more than 256 tasks).
  Status append(const Datapack& pack);
  // Writes what is buffered and syncs every file. Lines are safe once this has returned.
  Status finish();
  // Files that were opened, by task, and the torn bytes cut off each.
  struct File {
    std::filesystem::path path;
    uint64_t packs = 0;
    uint64_t torn_bytes_cut = 0;
  };
  std::map<std::string, File> files() const;

 private:
  struct Open {
    File file;
    int fd = -1;
    std::string buffer;
  };
  Result<Open*> open(const std::string& task);
  static Status flush(Open& open);
  std::filesystem::path dir_;
  std::map<std::string, Open> open_;
};

}  // namespace drover::storage

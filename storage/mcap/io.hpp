// Where MCAP bytes come from and go to: memory or a file. The reader and the writer see only these interfaces.
//
// Invariants: a Source's size is fixed when it is opened; a file that shrinks afterwards gives an error, never a fault
// (files are read with pread, not mapped). A Sink only ever appends.
#pragma once

#include <memory>
#include <string>

#include "messages/bytes.hpp"
#include "messages/result.hpp"

namespace drover::mcap {

class Source {
 public:
  virtual ~Source() = default;
  virtual uint64_t size() const noexcept = 0;
  // Exactly `size` bytes from `offset`; the caller keeps the range inside size(). Errors: io, truncated.
  // Safe to call from several threads at once.
  virtual Result<Bytes> read(uint64_t offset, size_t size) const = 0;
};

// Shares `bytes`; reading copies nothing.
std::shared_ptr<const Source> memory_source(Bytes bytes);

// Opens a regular file for reading; holds one descriptor until the last reference goes. Errors: not_found, io.
Result<std::shared_ptr<const Source>> file_source(const std::string& path);

class Sink {
 public:
  virtual ~Sink() = default;
  // Appends all of `bytes` or fails. After a failure the sink's content is unspecified beyond the last success.
  virtual Status append(ByteView bytes) = 0;
};

// Collects everything in memory.
class MemorySink final : public Sink {
 public:
  Status append(ByteView bytes) override;
  const std::string& content() const noexcept { return content_; }

 private:
  std::string content_;
};

// Appends to a new file (fails with already_exists when it is there). Not synced unless sync() is called.
class FileSink final : public Sink {
 public:
  static Result<std::unique_ptr<FileSink>> create(const std::string& path);
  // As create(), and holds a lock on the file as long as the sink lives, so that publish_abandoned() leaves it alone.
  static Result<std::unique_ptr<FileSink>> create_locked(const std::string& path);
  ~FileSink() override;
  FileSink(const FileSink&) = delete;
  FileSink& operator=(const FileSink&) = delete;

  Status append(ByteView bytes) override;  // errors: disk_full, io
  Status sync();                           // fdatasync
  // Makes the content durable, then gives the file this name (in the same folder), durably too. Never over something
  // that is there: already_exists. Errors also: disk_full, io; then the file keeps its old name.
  Status publish(const std::string& path);

 private:
  FileSink(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::string path_;
  int fd_;
};

// Renames a file that was made with create_locked() by a process (or a sink) that is gone. False: it still has its
// writer, or is not there (any more). Errors: already_exists (`path` is taken), io.
Result<bool> publish_abandoned(const std::string& part_path, const std::string& path);

}  // namespace drover::mcap

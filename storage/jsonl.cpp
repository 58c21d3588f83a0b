// JSON Lines files of datapacks (see jsonl.hpp).
#include "storage/jsonl.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "storage/datapack_json.hpp"

namespace drover::storage {
namespace {

constexpr size_t chunk_bytes = 1u << 20;
constexpr size_t files_max = 256;

tl::unexpected<Error> system_error(const std::filesystem::path& path, const char* doing) {
  const int error = errno;
  const Errc code = error == ENOENT ? Errc::not_found : error == ENOSPC ? Errc::disk_full : Errc::io;
  return fail(code, path.string(), std::string(doing) + ": " + std::strerror(error));
}

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// Reads up to `size` bytes behind `buffer`'s end. Returns how many; 0 at the end of the file.
Result<size_t> read_more(int fd, std::string& buffer, const std::filesystem::path& path) {
  const size_t old = buffer.size();
  buffer.resize(old + chunk_bytes);
  for (;;) {
    const ssize_t got = ::read(fd, buffer.data() + old, chunk_bytes);
    if (got < 0 && errno == EINTR) continue;
    buffer.resize(old + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0) return system_error(path, "read");
    return static_cast<size_t>(got);
  }
}

// One complete line of the file.
struct Line {
  std::string_view text;
  uint64_t number = 0;
};
// Gets lines, and problems that have no text, in the order of the file.
class LineSink {
 public:
  virtual ~LineSink() = default;
  virtual Status line(const Line& line) = 0;
  virtual Status bad(Error error) = 0;
  virtual Status finish() { return {}; }
  virtual bool enough() const = 0;
};

class LineReader {
 public:
  LineReader(const std::filesystem::path& path, const JsonlOptions& options, LineSink& sink, JsonlReport& report)
      : path_(path), options_(options), sink_(sink), report_(report) {}

  Status run() {
    const Fd fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0) return system_error(path_, "open");
    for (;;) {
      DROVER_ASSIGN(const size_t got, read_more(fd.get(), buffer_, path_));
      if (got == 0) break;
      DROVER_TRY(lines());
      if (sink_.enough()) return {};
    }
    DROVER_TRY(sink_.finish());
    report_.torn_bytes = skipping_ ? skipped_ + buffer_.size() : buffer_.size();
    return {};
  }

 private:
  // Takes the complete lines out of the buffer.
  Status lines() {
    size_t start = 0;
    for (;;) {
      const size_t end = buffer_.find('\n', start);
      if (end == std::string::npos) break;
      ++report_.lines;
      const std::string_view text(buffer_.data() + start, end - start);
      start = end + 1;
      if (skipping_) {
        skipping_ = false;
      } else if (text.size() > options_.line_max_bytes) {
        DROVER_TRY(too_long(report_.lines));
      } else if (text.find_first_not_of(" \t\r") != std::string_view::npos) {
        DROVER_TRY(sink_.line({text, report_.lines}));
      }
      if (sink_.enough()) return {};
    }
    buffer_.erase(0, start);
    if (buffer_.size() <= options_.line_max_bytes) return {};
    if (!skipping_) {
      skipped_ = 0;
      skipping_ = true;
      DROVER_TRY(too_long(report_.lines + 1));
    }
    skipped_ += buffer_.size();
    buffer_.clear();
    return {};
  }

  Status too_long(uint64_t number) {
    return sink_.bad({Errc::too_large, path_.string() + ":" + std::to_string(number) + ":1",
                      "the line is longer than " + std::to_string(options_.line_max_bytes) + " bytes"});
  }

  const std::filesystem::path& path_;
  const JsonlOptions& options_;
  LineSink& sink_;
  JsonlReport& report_;
  std::string buffer_;
  bool skipping_ = false;  // inside a line that is too long
  uint64_t skipped_ = 0;
};

// What both sinks do with outcomes.
class CountingSink : public LineSink {
 public:
  CountingSink(const std::filesystem::path& path, const JsonlOptions& options, JsonlReport& report)
      : path_(path), options_(options), report_(report) {}
  Status bad(Error error) override {
    ++report_.bad_lines;
    if (options_.stop_at_error) return tl::unexpected(std::move(error));
    if (report_.errors.size() < options_.errors_max) report_.errors.push_back(std::move(error));
    return {};
  }
  bool enough() const override { return report_.bad_lines >= options_.errors_max; }

 protected:
  std::string place(uint64_t number) const { return path_.string() + ":" + std::to_string(number); }
  // The line holds no newline, so its own line number is always 1: replaced by that of the file.
  Status bad_json(uint64_t number, Error error) {
    error.where = place(number) + error.where.substr(std::min(error.where.find(':'), error.where.size()));
    return bad(std::move(error));
  }
  Status taken(uint64_t number, const Status& outcome) {
    if (outcome) return ++report_.packs, Status{};
    Error error = outcome.error();
    const bool refused =
        error.code == Errc::invalid_argument || error.code == Errc::unsupported_version || error.code == Errc::conflict;
    error.where = place(number) + ": " + error.where;
    if (!refused) return tl::unexpected(std::move(error));
    return bad(std::move(error));
  }

  const std::filesystem::path& path_;
  const JsonlOptions& options_;
  JsonlReport& report_;
};

class PackSink final : public CountingSink {
 public:
  PackSink(const std::filesystem::path& path, const JsonlOptions& options, JsonlReport& report,
           const std::function<Status(Datapack&&)>& take)
      : CountingSink(path, options, report), take_(take) {}
  Status line(const Line& line) override {
    auto pack = datapack_from_json(line.text);
    if (!pack) return bad_json(line.number, std::move(pack).error());
    return taken(line.number, take_(std::move(*pack)));
  }

 private:
  const std::function<Status(Datapack&&)>& take_;
};

// Lines in batches through worker threads; at most two batches a thread are on the way.
class PreparingSink final : public CountingSink {
 public:
  PreparingSink(const std::filesystem::path& path, const JsonlOptions& options, JsonlReport& report,
                const PreparedSink& sink)
      : CountingSink(path, options, report), sink_(sink) {
    for (uint32_t i = 0; i < std::clamp(sink.threads, 1u, 64u); ++i) threads_.emplace_back([this] { work(); });
  }
  ~PreparingSink() override {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  Status line(const Line& line) override {
    if (!open_) open_ = std::make_shared<Batch>();
    open_->lines.push_back({open_->text.size(), line.text.size(), line.number});
    open_->text.append(line.text);
    if (open_->text.size() < batch_bytes) return {};
    return send();
  }
  // Problems keep their place among the lines: what came before is settled first.
  Status bad(Error error) override {
    if (!settling_) DROVER_TRY(finish());
    return CountingSink::bad(std::move(error));
  }
  Status finish() override {
    if (open_) DROVER_TRY(send());
    while (!sent_.empty()) DROVER_TRY(settle());
    return {};
  }

 private:
  static constexpr size_t batch_bytes = 256u << 10;
  struct Parsed {
    bool bad_json = false;
    Result<PreparedPack> pack = fail(Errc::internal, "line", "was not parsed");
  };
  struct Batch {
    struct Span {
      size_t start = 0, size = 0;
      uint64_t number = 0;
    };
    std::string text;
    std::vector<Span> lines;
    std::vector<Parsed> results;
    bool done = false;
  };

  Status send() {
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(open_);
    }
    wake_.notify_one();
    sent_.push_back(std::move(open_));
    open_.reset();
    return sent_.size() < 2 * threads_.size() + 1 ? Status{} : settle();
  }

  // Hands the oldest batch to the caller.
  Status settle() {
    const std::shared_ptr<Batch> batch = sent_.front();
    sent_.pop_front();
    {
      std::unique_lock lock(mutex_);
      ready_.wait(lock, [&] { return batch->done; });
    }
    settling_ = true;
    Status status;
    for (size_t i = 0; status && i < batch->results.size() && !enough(); ++i) {
      Parsed& one = batch->results[i];
      const uint64_t number = batch->lines[i].number;
      if (one.bad_json) {
        status = bad_json(number, std::move(one.pack).error());
      } else if (!one.pack) {
        status = taken(number, tl::unexpected(one.pack.error()));
      } else {
        status = taken(number, sink_.take(std::move(*one.pack)));
      }
    }
    settling_ = false;
    return status;
  }

  void work() {
    PackPreparer preparer;
    for (;;) {
      std::shared_ptr<Batch> batch;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return ending_ || !waiting_.empty(); });
        if (waiting_.empty()) return;
        batch = std::move(waiting_.front());
        waiting_.pop_front();
      }
      for (const auto& span : batch->lines)
        batch->results.push_back(prepare(preparer, std::string_view(batch->text).substr(span.start, span.size)));
      {
        const std::lock_guard lock(mutex_);
        batch->done = true;
      }
      ready_.notify_one();
    }
  }

  Parsed prepare(PackPreparer& preparer, std::string_view text) const {
    Parsed out;
    auto pack = datapack_from_json(text);
    if (!pack) {
      out.bad_json = true;
      out.pack = tl::unexpected(std::move(pack).error());
      return out;
    }
    if (sink_.check) {
      if (const Status good = sink_.check(*pack); !good) {
        out.pack = tl::unexpected(good.error());
        return out;
      }
    }
    out.pack = preparer.prepare(*pack);
    return out;
  }

  const PreparedSink& sink_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_, ready_;
  std::deque<std::shared_ptr<Batch>> waiting_;  // for a thread
  bool ending_ = false;
  std::shared_ptr<Batch> open_;              // being filled
  std::deque<std::shared_ptr<Batch>> sent_;  // not settled yet, oldest first
  bool settling_ = false;
};

// Bytes behind the last newline of a file of `size` bytes.
Result<uint64_t> torn_bytes(int fd, uint64_t size, const std::filesystem::path& path) {
  std::string block(64 << 10, '\0');
  uint64_t end = size;
  while (end > 0) {
    const uint64_t start = end > block.size() ? end - block.size() : 0;
    const ssize_t got = ::pread(fd, block.data(), end - start, static_cast<off_t>(start));
    if (got != static_cast<ssize_t>(end - start)) return system_error(path, "read");
    const size_t newline = std::string_view(block.data(), end - start).rfind('\n');
    if (newline != std::string_view::npos) return size - (start + newline + 1);
    end = start;
  }
  return size;
}

}  // namespace

Result<JsonlReport> read_jsonl(const std::filesystem::path& file, const JsonlOptions& options,
                               const std::function<Status(Datapack&&)>& take) {
  JsonlReport report;
  PackSink sink(file, options, report, take);
  DROVER_TRY(LineReader(file, options, sink, report).run());
  return report;
}

Result<JsonlReport> read_jsonl_prepared(const std::filesystem::path& file, const JsonlOptions& options,
                                        const PreparedSink& prepared) {
  JsonlReport report;
  PreparingSink sink(file, options, report, prepared);
  DROVER_TRY(LineReader(file, options, sink, report).run());
  return report;
}

std::filesystem::path jsonl_path(const std::filesystem::path& dir, std::string_view task) {
  constexpr std::string_view hex = "0123456789ABCDEF";
  std::string name;
  for (const char c : task) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '_' || (c == '.' && !name.empty());
    if (plain) {
      name += c;
    } else {
      name += '%';
      name += hex[byte >> 4];
      name += hex[byte & 15];
    }
  }
  return dir / (name + "_datapacks.jsonl");
}

JsonlWriter::~JsonlWriter() {
  for (auto& [task, open] : open_) ::close(open.fd);
}

Result<JsonlWriter::Open*> JsonlWriter::open(const std::string& task) {
  if (const auto at = open_.find(task); at != open_.end()) return &at->second;
  if (open_.size() >= files_max) return fail(Errc::overloaded, dir_.string(), "more than 256 tasks in one export");
  std::error_code error;
  std::filesystem::create_directories(dir_, error);
  Open fresh;
  fresh.file.path = jsonl_path(dir_, task);
  fresh.fd = ::open(fresh.file.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fresh.fd < 0) return system_error(fresh.file.path, "open");
  const auto prepare = [&]() -> Status {
    struct stat facts {};
    if (::fstat(fresh.fd, &facts) != 0) return system_error(fresh.file.path, "stat");
    const auto size = static_cast<uint64_t>(facts.st_size);
    DROVER_ASSIGN(fresh.file.torn_bytes_cut, torn_bytes(fresh.fd, size, fresh.file.path));
    const auto end = static_cast<off_t>(size - fresh.file.torn_bytes_cut);
    if (fresh.file.torn_bytes_cut > 0 && ::ftruncate(fresh.fd, end) != 0)
      return system_error(fresh.file.path, "truncate");
    if (::lseek(fresh.fd, end, SEEK_SET) < 0) return system_error(fresh.file.path, "seek");
    return {};
  };
  if (const Status status = prepare(); !status) {
    ::close(fresh.fd);
    return tl::unexpected(status.error());
  }
  return &open_.emplace(task, std::move(fresh)).first->second;
}

Status JsonlWriter::append(const Datapack& pack) {
  DROVER_ASSIGN(const std::string line, datapack_to_json(pack));
  if (line.size() > json_line_max_bytes)
    return fail(Errc::invalid_argument, pack.pack_id, "is longer as JSON than a line may be");
  DROVER_ASSIGN(Open* const target, open(pack.task_name));
  target->buffer += line;
  target->buffer += '\n';
  ++target->file.packs;
  return target->buffer.size() < chunk_bytes ? Status{} : flush(*target);
}

// On failure the buffer keeps what was not written, so the file may end in a torn line until a flush succeeds.
Status JsonlWriter::flush(Open& open) {
  while (!open.buffer.empty()) {
    const ssize_t put = ::write(open.fd, open.buffer.data(), open.buffer.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return system_error(open.file.path, "write");
    open.buffer.erase(0, static_cast<size_t>(put));
  }
  return {};
}

Status JsonlWriter::finish() {
  for (auto& [task, open] : open_) {
    DROVER_TRY(flush(open));
    if (::fdatasync(open.fd) != 0) return system_error(open.file.path, "sync");
  }
  if (open_.empty()) return {};
  const Fd dir(::open(dir_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (dir.get() < 0 || ::fsync(dir.get()) != 0) return system_error(dir_, "sync");
  return {};
}

std::map<std::string, JsonlWriter::File> JsonlWriter::files() const {
  std::map<std::string, File> out;
  for (const auto& [task, open] : open_) out.emplace(task, open.file);
  return out;
}

}  // namespace drover::storage

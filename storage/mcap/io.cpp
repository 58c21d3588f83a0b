#include "storage/mcap/io.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "messages/check.hpp"

namespace drover::mcap {

namespace {

tl::unexpected<Error> fail_errno(const std::string& path, const char* call) {
  const int code = errno;
  Errc errc = Errc::io;
  if (code == ENOENT) errc = Errc::not_found;
  if (code == EEXIST) errc = Errc::already_exists;
  if (code == ENOSPC || code == EDQUOT) errc = Errc::disk_full;
  return fail(errc, path, std::string(call) + ": " + std::strerror(code));
}

class MemorySource final : public Source {
 public:
  explicit MemorySource(Bytes bytes) : bytes_(std::move(bytes)) {}
  uint64_t size() const noexcept override { return bytes_.size(); }
  Result<Bytes> read(uint64_t offset, size_t size) const override {
    DROVER_CHECK(offset <= bytes_.size() && size <= bytes_.size() - offset, "read outside the source");
    return bytes_.slice(offset, size);
  }

 private:
  Bytes bytes_;
};

class FileSource final : public Source {
 public:
  FileSource(std::string path, int fd, uint64_t size) : path_(std::move(path)), fd_(fd), size_(size) {}
  ~FileSource() override { ::close(fd_); }
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  uint64_t size() const noexcept override { return size_; }
  Result<Bytes> read(uint64_t offset, size_t size) const override {
    Status status;
    Bytes bytes = Bytes::make(size, [&](std::span<std::byte> to) { status = read_into(offset, to); });
    DROVER_TRY(std::move(status));
    return bytes;
  }

 private:
  Status read_into(uint64_t offset, std::span<std::byte> to) const {
    while (!to.empty()) {
      const ssize_t got = ::pread(fd_, to.data(), to.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail_errno(path_, "pread");
      if (got == 0) return fail(Errc::truncated, path_, "the file became shorter while it was read");
      offset += static_cast<uint64_t>(got);
      to = to.subspan(static_cast<size_t>(got));
    }
    return {};
  }

  std::string path_;
  int fd_;
  uint64_t size_;
};

}  // namespace

std::shared_ptr<const Source> memory_source(Bytes bytes) {
  return std::make_shared<MemorySource>(std::move(bytes));
}

Result<std::shared_ptr<const Source>> file_source(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fail_errno(path, "open");
  struct stat info = {};
  if (::fstat(fd, &info) != 0) {
    auto error = fail_errno(path, "fstat");
    ::close(fd);
    return error;
  }
  if (!S_ISREG(info.st_mode)) {
    ::close(fd);
    return fail(Errc::invalid_argument, path, "not a regular file");
  }
  return std::make_shared<FileSource>(path, fd, static_cast<uint64_t>(info.st_size));
}

Status MemorySink::append(ByteView bytes) {
  content_.append(as_text(bytes));
  return {};
}

Result<std::unique_ptr<FileSink>> FileSink::create(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return fail_errno(path, "open");
  return std::unique_ptr<FileSink>(new FileSink(path, fd));
}

FileSink::~FileSink() {
  ::close(fd_);
}

Status FileSink::append(ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(fd_, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return fail_errno(path_, "write");
    bytes = bytes.subspan(static_cast<size_t>(wrote));
  }
  return {};
}

Status FileSink::sync() {
  if (::fdatasync(fd_) != 0) return fail_errno(path_, "fdatasync");
  return {};
}

}  // namespace drover::mcap

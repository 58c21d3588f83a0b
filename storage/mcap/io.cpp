#include "storage/mcap/io.hpp"

#include <fcntl.h>
#include <sys/file.h>
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

// A descriptor that is closed at the end of its scope.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

// Whether `path` still names the open file.
bool names(const std::string& path, int fd) {
  struct stat here = {}, there = {};
  return ::fstat(fd, &here) == 0 && ::stat(path.c_str(), &there) == 0 && here.st_dev == there.st_dev &&
         here.st_ino == there.st_ino;
}

Status rename_durably(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) != 0) return fail_errno(to, "rename");
  const size_t slash = to.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : to.substr(0, slash + 1);
  const Descriptor dir(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (dir.get() < 0 || ::fsync(dir.get()) != 0) return fail_errno(folder, "fsync");
  return {};
}

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

Result<std::unique_ptr<FileSink>> FileSink::create_locked(const std::string& path) {
  // Between open and lock somebody may take the empty file for an abandoned one: then try again.
  for (int attempt = 0; attempt < 3; ++attempt) {
    DROVER_ASSIGN(auto sink, create(path));
    if (::flock(sink->fd_, LOCK_EX) != 0) return fail_errno(path, "flock");
    if (names(path, sink->fd_)) return sink;
  }
  return fail(Errc::io, path, "the new file was taken away three times");
}

Status FileSink::publish(const std::string& path) {
  DROVER_TRY(sync());
  DROVER_TRY(rename_durably(path_, path));
  path_ = path;
  return {};
}

Result<bool> publish_abandoned(const std::string& part_path, const std::string& path) {
  const Descriptor file(::open(part_path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  if (file.get() < 0 && errno == ENOENT) return false;
  if (file.get() < 0) return fail_errno(part_path, "open");
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return false;
    return fail_errno(part_path, "flock");
  }
  if (!names(part_path, file.get())) return false;  // its writer just gave it a name
  if (::fdatasync(file.get()) != 0) return fail_errno(part_path, "fdatasync");
  DROVER_TRY(rename_durably(part_path, path));
  return true;
}

}  // namespace drover::mcap

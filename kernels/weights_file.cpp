// Weight files on disk: whole or not at all.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "kernels/weights.hpp"

namespace drover::kernels {
namespace {

constexpr size_t file_bytes_max = weights_values_max * sizeof(float) + (size_t{1} << 20);

tl::unexpected<Error> system_error(const std::string& path, const char* step) {
  const Errc code = errno == ENOENT ? Errc::not_found : errno == ENOSPC ? Errc::disk_full : Errc::io;
  return fail(code, path, std::string(step) + ": " + std::strerror(errno));
}

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

Status write_synced(const std::string& path, ByteView bytes) {
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (file.get() < 0) return system_error(path, "open");
  while (!bytes.empty()) {
    const ssize_t written = ::write(file.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return system_error(path, "write");
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  if (::fsync(file.get()) != 0) return system_error(path, "fsync");
  return {};
}

}  // namespace

Status write_weights_file(const std::string& path, const Weights& weights) {
  DROVER_ASSIGN(const std::vector<std::byte> bytes, encode_weights(weights));
  const std::string beside = path + ".tmp";
  if (auto status = write_synced(beside, bytes); !status) {
    ::unlink(beside.c_str());
    return status;
  }
  if (std::rename(beside.c_str(), path.c_str()) != 0) {
    auto error = system_error(path, "rename");
    ::unlink(beside.c_str());
    return error;
  }
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0 || ::fsync(directory.get()) != 0) return system_error(folder, "fsync");
  return {};
}

Result<Weights> read_weights_file(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return system_error(path, "open");
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return system_error(path, "stat");
  if (!S_ISREG(info.st_mode)) return fail(Errc::io, path, "not a regular file");
  if (info.st_size < 0 || static_cast<size_t>(info.st_size) > file_bytes_max) {
    return fail(Errc::too_large, path, std::to_string(info.st_size) + " bytes");
  }
  std::vector<std::byte> bytes(static_cast<size_t>(info.st_size));
  size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t n = ::read(file.get(), bytes.data() + have, bytes.size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error(path, "read");
    if (n == 0) return fail(Errc::truncated, path, "shrank while it was read");
    have += static_cast<size_t>(n);
  }
  auto weights = decode_weights(bytes);
  if (!weights) weights.error().where = path + ": " + weights.error().where;
  return weights;
}

}  // namespace drover::kernels

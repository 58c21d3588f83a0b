// See warm.hpp.
#include "warm.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <vector>

#include "messages/check.hpp"

namespace drover::bench {

void warm_page_cache(const std::filesystem::path& path, uint64_t bytes) {
  const std::vector<std::byte> piece(1u << 20, std::byte{0x5a});
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  DROVER_CHECK(fd >= 0, "the file that warms the page cache cannot be made");
  for (uint64_t done = 0; done < bytes; done += piece.size())
    DROVER_CHECK(::write(fd, piece.data(), piece.size()) == static_cast<ssize_t>(piece.size()),
                 "the file that warms the page cache cannot be written");
  ::close(fd);
  std::filesystem::remove(path);
}

}  // namespace drover::bench

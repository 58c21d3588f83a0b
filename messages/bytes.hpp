// Bytes: an immutable, shared run of bytes. Copying shares, slicing shares, nothing copies.
//
// Threads: the content never changes after construction, so any number of threads may read.
// Alignment: a buffer made by Bytes starts at 16 bytes; a slice starts wherever it was cut.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace drover {

using ByteView = std::span<const std::byte>;

inline ByteView as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class Bytes {
 public:
  Bytes() = default;

  static Bytes copy_of(ByteView source);
  static Bytes copy_of(std::string_view source) { return copy_of(as_bytes(source)); }

  // Takes the vector over; nothing is copied.
  static Bytes adopt(std::vector<std::byte> source);
  // Shares memory without owning it: the caller keeps it alive and unchanged as long as any share of this lives.
  static Bytes borrow(ByteView source) noexcept;

  // Allocates `size` zeroed bytes and lets `fill(std::span<std::byte>)` write them before they become immutable.
  template <class Fill>
  static Bytes make(size_t size, Fill&& fill) {
    Bytes bytes = allocate(size);
    fill(std::span<std::byte>(const_cast<std::byte*>(bytes.data_), size));
    return bytes;
  }

  const std::byte* data() const noexcept { return data_; }
  size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  ByteView view() const noexcept { return {data_, size_}; }
  std::string_view text() const noexcept { return as_text(view()); }
  operator ByteView() const noexcept { return view(); }

  // Shares [offset, offset + size). The range must lie inside this run.
  Bytes slice(size_t offset, size_t size) const;

  friend bool operator==(const Bytes& a, const Bytes& b) noexcept {
    return a.size_ == b.size_ && (a.data_ == b.data_ || a.size_ == 0 || std::memcmp(a.data_, b.data_, a.size_) == 0);
  }

 private:
  static Bytes allocate(size_t size);

  std::shared_ptr<const std::byte> owner_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace drover

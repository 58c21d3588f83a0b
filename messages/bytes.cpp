#include "messages/bytes.hpp"

#include <new>

#include "messages/check.hpp"

namespace drover {

Bytes Bytes::allocate(size_t size) {
  constexpr std::align_val_t alignment{16};
  auto* raw = static_cast<std::byte*>(::operator new(size == 0 ? 1 : size, alignment));
  std::memset(raw, 0, size);
  Bytes bytes;
  bytes.owner_ = std::shared_ptr<const std::byte>(
      raw, [alignment](const std::byte* p) { ::operator delete(const_cast<std::byte*>(p), alignment); });
  bytes.data_ = raw;
  bytes.size_ = size;
  return bytes;
}

Bytes Bytes::copy_of(ByteView source) {
  return make(source.size(), [&](std::span<std::byte> target) {
    if (!source.empty()) std::memcpy(target.data(), source.data(), source.size());
  });
}

Bytes Bytes::slice(size_t offset, size_t size) const {
  DROVER_CHECK(offset <= size_ && size <= size_ - offset, "slice outside its run");
  Bytes part = *this;
  part.data_ = data_ + offset;
  part.size_ = size;
  return part;
}

}  // namespace drover

#include "messages/bytes.hpp"

#include <new>

#include "messages/check.hpp"

namespace drover {

namespace {

constexpr std::align_val_t alignment{16};

std::shared_ptr<const std::byte> own(std::byte* raw) {
  return {raw, [](const std::byte* p) { ::operator delete(const_cast<std::byte*>(p), alignment); }};
}

std::byte* uninitialised(size_t size) {
  return static_cast<std::byte*>(::operator new(size == 0 ? 1 : size, alignment));
}

}  // namespace

Bytes Bytes::allocate(size_t size) {
  auto* raw = uninitialised(size);
  std::memset(raw, 0, size);
  Bytes bytes;
  bytes.owner_ = own(raw);
  bytes.data_ = raw;
  bytes.size_ = size;
  return bytes;
}

// Every byte is written here, so nothing needs zeroing first: blocks pass this several times on their way.
Bytes Bytes::copy_of(ByteView source) {
  auto* raw = uninitialised(source.size());
  if (!source.empty()) std::memcpy(raw, source.data(), source.size());
  Bytes bytes;
  bytes.owner_ = own(raw);
  bytes.data_ = raw;
  bytes.size_ = source.size();
  return bytes;
}

Bytes Bytes::adopt(std::vector<std::byte> source) {
  const auto kept = std::make_shared<const std::vector<std::byte>>(std::move(source));
  Bytes bytes;
  bytes.owner_ = {kept, kept->data()};
  bytes.data_ = kept->data();
  bytes.size_ = kept->size();
  return bytes;
}

Bytes Bytes::borrow(ByteView source) noexcept {
  Bytes bytes;
  bytes.data_ = source.data();
  bytes.size_ = source.size();
  return bytes;
}

Bytes Bytes::slice(size_t offset, size_t size) const {
  DROVER_CHECK(offset <= size_ && size <= size_ - offset, "slice outside its run");
  Bytes part = *this;
  part.data_ = data_ + offset;
  part.size_ = size;
  return part;
}

}  // namespace drover

// Rows: small fixed layouts inside a table's value. Integers little endian, text and lists prefixed
// with a u32 length. Reading is bounded and total: a short or odd row gives false from done(), never a read past it.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "messages/bytes.hpp"
#include "messages/hash.hpp"

namespace drover::storage {

static_assert(std::endian::native == std::endian::little, "rows are written as they lie in memory");

class RowWriter {
 public:
  RowWriter& u8(uint8_t v) { return put(v); }
  RowWriter& u32(uint32_t v) { return put(v); }
  RowWriter& u64(uint64_t v) { return put(v); }
  RowWriter& i64(int64_t v) { return put(v); }
  RowWriter& f64(double v) { return put(v); }
  RowWriter& hash(const Hash& v) { return raw(ByteView(v)); }
  RowWriter& text(std::string_view v) { return u32(static_cast<uint32_t>(v.size())).raw(as_bytes(v)); }
  RowWriter& raw(ByteView v) {
    buffer_.insert(buffer_.end(), v.begin(), v.end());
    return *this;
  }
  ByteView view() const noexcept { return buffer_; }
  operator ByteView() const noexcept { return buffer_; }

 private:
  template <class T>
  RowWriter& put(T v) {
    const auto* p = reinterpret_cast<const std::byte*>(&v);
    buffer_.insert(buffer_.end(), p, p + sizeof v);
    return *this;
  }
  std::vector<std::byte> buffer_;
};

class RowReader {
 public:
  explicit RowReader(ByteView row) noexcept : rest_(row) {}
  uint8_t u8() noexcept { return get<uint8_t>(); }
  uint32_t u32() noexcept { return get<uint32_t>(); }
  uint64_t u64() noexcept { return get<uint64_t>(); }
  int64_t i64() noexcept { return get<int64_t>(); }
  double f64() noexcept { return get<double>(); }
  Hash hash() noexcept { return get<Hash>(); }
  std::string text() {
    const auto size = u32();
    return std::string(as_text(raw(size)));
  }
  ByteView raw(size_t size) noexcept {
    if (size > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    const auto part = rest_.first(size);
    rest_ = rest_.subspan(size);
    return part;
  }
  bool ok() const noexcept { return ok_; }
  bool done() const noexcept { return ok_ && rest_.empty(); }

 private:
  template <class T>
  T get() noexcept {
    T v{};
    const auto part = raw(sizeof v);
    if (part.size() == sizeof v) std::memcpy(&v, part.data(), sizeof v);
    return v;
  }
  ByteView rest_;
  bool ok_ = true;
};

}  // namespace drover::storage

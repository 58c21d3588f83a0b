// Keys of the store's tables: byte strings whose memcmp order is the order we want to scan in.
//
// Integers are big endian, text ends with a zero byte, doubles are mapped so that byte order is
// numeric order. A key is at most key_max_bytes long and never empty; a builder that was given text
// with a zero byte, or too much of it, yields an empty view, which every table refuses with
// invalid_argument: a bad name from outside can never alias another key.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "messages/bytes.hpp"

namespace drover::storage {

inline constexpr size_t key_max_bytes = 511;

// Maps a double to an integer with the same order; NaN sorts above everything.
inline uint64_t ordered_bits(double value) noexcept {
  if (value != value) return UINT64_MAX;
  const auto bits = std::bit_cast<uint64_t>(value == 0 ? 0.0 : value);
  return (bits >> 63) != 0 ? ~bits : bits | (uint64_t{1} << 63);
}
inline double from_ordered_bits(uint64_t bits) noexcept {
  return std::bit_cast<double>((bits >> 63) != 0 ? bits & ~(uint64_t{1} << 63) : ~bits);
}

// Builds a key in place. Copyable value; not thread safe.
class Key {
 public:
  Key() = default;

  Key& u8(uint8_t value) { return integer(value); }
  Key& u32(uint32_t value) { return integer(value); }
  Key& u64(uint64_t value) { return integer(value); }
  Key& i64(int64_t value) { return integer(static_cast<uint64_t>(value) ^ (uint64_t{1} << 63)); }
  Key& f64(double value) { return integer(ordered_bits(value)); }
  // For descending scans.
  Key& f64_descending(double value) { return integer(~ordered_bits(value)); }
  Key& text(std::string_view value) {
    if (value.find('\0') != std::string_view::npos) bad_ = true;
    raw(as_bytes(value));
    return u8(0);
  }
  Key& raw(ByteView value) {
    if (value.size() > buffer_.size() - size_) {
      bad_ = true;
      return *this;
    }
    if (!value.empty()) std::memcpy(buffer_.data() + size_, value.data(), value.size());
    size_ += value.size();
    return *this;
  }

  ByteView view() const noexcept { return {buffer_.data(), bad_ ? 0 : size_}; }
  operator ByteView() const noexcept { return view(); }

 private:
  template <class T>
  Key& integer(T value) {
    std::array<std::byte, sizeof(T)> bytes;
    for (size_t i = 0; i < sizeof(T); ++i)
      bytes[i] = static_cast<std::byte>(static_cast<uint64_t>(value) >> (8 * (sizeof(T) - 1 - i)));
    return raw(bytes);
  }

  std::array<std::byte, key_max_bytes> buffer_;
  size_t size_ = 0;
  bool bad_ = false;
};

// Takes a key apart. After a short or malformed key every further part is empty and ok() is false.
class KeyReader {
 public:
  explicit KeyReader(ByteView key) noexcept : rest_(key) {}

  uint8_t u8() noexcept { return static_cast<uint8_t>(integer(1)); }
  uint32_t u32() noexcept { return static_cast<uint32_t>(integer(4)); }
  uint64_t u64() noexcept { return integer(8); }
  int64_t i64() noexcept { return static_cast<int64_t>(integer(8) ^ (uint64_t{1} << 63)); }
  double f64() noexcept { return from_ordered_bits(integer(8)); }
  double f64_descending() noexcept { return from_ordered_bits(~integer(8)); }
  std::string_view text() noexcept {
    const auto end = as_text(rest_).find('\0');
    if (end == std::string_view::npos) {
      ok_ = false;
      return {};
    }
    const auto part = as_text(rest_).substr(0, end);
    rest_ = rest_.subspan(end + 1);
    return part;
  }
  ByteView raw(size_t size) noexcept {
    if (size > rest_.size()) {
      ok_ = false;
      return {};
    }
    const auto part = rest_.first(size);
    rest_ = rest_.subspan(size);
    return part;
  }
  ByteView rest() const noexcept { return rest_; }
  // True when nothing was malformed and nothing is left.
  bool done() const noexcept { return ok_ && rest_.empty(); }
  bool ok() const noexcept { return ok_; }

 private:
  uint64_t integer(size_t size) noexcept {
    uint64_t value = 0;
    for (const std::byte b : raw(size)) value = value << 8 | static_cast<uint64_t>(b);
    return value;
  }

  ByteView rest_;
  bool ok_ = true;
};

}  // namespace drover::storage

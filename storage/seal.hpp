// The seal: 8 bytes after every value that tell damage from data. Internal to storage/.
//
// seal = XXH3-64(value, seed = XXH3-64(key, seed = XXH3-64(table name))), little endian. A value found under
// another key, or in another table, than it was written under does not match.
#pragma once

#include <cstring>
#include <string>

#include "messages/bytes.hpp"
#include "messages/hash.hpp"

namespace drover::storage::detail {

inline constexpr size_t seal_bytes = 8;

inline uint64_t table_seed(std::string_view name) noexcept {
  return checksum64(as_bytes(name));
}
inline uint64_t seal_of(uint64_t table, ByteView key, ByteView value) noexcept {
  return checksum64(value, checksum64(key, table));
}
// `sealed` is value and seal together.
inline bool seal_matches(uint64_t table, ByteView key, ByteView sealed) noexcept {
  if (sealed.size() < seal_bytes) return false;
  const auto value = sealed.first(sealed.size() - seal_bytes);
  uint64_t stored = 0;
  std::memcpy(&stored, sealed.data() + value.size(), seal_bytes);
  return stored == seal_of(table, key, value);
}

}  // namespace drover::storage::detail

// The two digests Drover uses: SHA-256 for identity of content, XXH3-64 for damage detection.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "messages/bytes.hpp"
#include "messages/result.hpp"

namespace drover {

using Hash = std::array<std::byte, 32>;

// SHA-256 of the bytes. Thread safe.
Hash sha256(ByteView bytes);

// Incremental SHA-256 for content that does not fit in memory at once.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(ByteView bytes);
  Hash finish();  // once

 private:
  void* context_;
};

// XXH3 with a 64-bit result: fast, not cryptographic. Detects damage, proves nothing about origin.
uint64_t checksum64(ByteView bytes, uint64_t seed = 0) noexcept;

std::string to_hex(ByteView bytes);
std::string to_hex(const Hash& hash);
Result<Hash> hash_from_hex(std::string_view text);

}  // namespace drover

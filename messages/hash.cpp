#include "messages/hash.hpp"

#include <openssl/evp.h>
// XXH3 written for the widest vectors this processor has. The library chooses at run time; without this header it uses
// what every x86-64 has, at a third of the speed.
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

#include "messages/check.hpp"

namespace drover {
namespace {

const EVP_MD* sha256_algorithm() {
  // Fetching once avoids a name look-up per digest, which costs more than hashing a small record.
  static EVP_MD* algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return algorithm;
}

struct Context {
  EVP_MD_CTX* value = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(value); }
};

int nibble(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

Hash sha256(ByteView bytes) {
  thread_local Context context;
  Hash hash;
  unsigned size = 0;
  const bool done = EVP_DigestInit_ex2(context.value, sha256_algorithm(), nullptr) == 1 &&
                    EVP_DigestUpdate(context.value, bytes.data(), bytes.size()) == 1 &&
                    EVP_DigestFinal_ex(context.value, reinterpret_cast<unsigned char*>(hash.data()), &size) == 1;
  DROVER_CHECK(done && size == hash.size(), "SHA-256 is not available in libcrypto");
  return hash;
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  DROVER_CHECK(EVP_DigestInit_ex2(static_cast<EVP_MD_CTX*>(context_), sha256_algorithm(), nullptr) == 1,
               "SHA-256 is not available in libcrypto");
}

Sha256::~Sha256() {
  EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_));
}

void Sha256::update(ByteView bytes) {
  DROVER_CHECK(EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_), bytes.data(), bytes.size()) == 1,
               "SHA-256 update failed");
}

Hash Sha256::finish() {
  Hash hash;
  unsigned size = 0;
  DROVER_CHECK(
      EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_), reinterpret_cast<unsigned char*>(hash.data()), &size) == 1,
      "SHA-256 finish failed");
  return hash;
}

uint64_t checksum64(ByteView bytes, uint64_t seed) noexcept {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

std::string to_hex(ByteView bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (std::byte b : bytes) {
    text.push_back(digits[static_cast<size_t>(b) >> 4]);
    text.push_back(digits[static_cast<size_t>(b) & 15]);
  }
  return text;
}

std::string to_hex(const Hash& hash) {
  return to_hex(ByteView(hash));
}

Result<Hash> hash_from_hex(std::string_view text) {
  Hash hash;
  if (text.size() != hash.size() * 2) return fail(Errc::invalid_argument, "hash", "expected 64 hexadecimal digits");
  for (size_t i = 0; i < hash.size(); ++i) {
    const int high = nibble(text[2 * i]);
    const int low = nibble(text[2 * i + 1]);
    if (high < 0 || low < 0) return fail(Errc::invalid_argument, "hash", "not a hexadecimal digit");
    hash[i] = static_cast<std::byte>(high * 16 + low);
  }
  return hash;
}

}  // namespace drover

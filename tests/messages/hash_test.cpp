// Digests against published vectors; hexadecimal text both ways.
#include "messages/hash.hpp"

#include <doctest/doctest.h>

#include "tests/support/random_values.hpp"

using namespace drover;

TEST_CASE("messages/hash: SHA-256 of the FIPS 180-4 examples") {
  CHECK(to_hex(sha256(as_bytes(""))) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(to_hex(sha256(as_bytes("abc"))) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(to_hex(sha256(as_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))) ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST_CASE("messages/hash: incremental SHA-256 equals the one of the whole, wherever it is cut") {
  test::Rng rng(51);
  for (int i = 0; i < 200; ++i) {
    const Bytes whole = test::random_bytes(rng, test::below(rng, 2000));
    Sha256 pieces;
    size_t at = 0;
    while (at < whole.size()) {
      const size_t n = 1 + test::below(rng, whole.size() - at);
      pieces.update(whole.view().subspan(at, n));
      at += n;
    }
    CHECK(pieces.finish() == sha256(whole));
  }
}

TEST_CASE("messages/hash: XXH3-64 of the published empty input, and seeds matter") {
  CHECK(checksum64({}) == 0x2d06800538d394c2);
  CHECK(checksum64(as_bytes("a"), 1) != checksum64(as_bytes("a"), 2));
}

TEST_CASE("messages/hash: hexadecimal text round trips and refuses anything else") {
  test::Rng rng(52);
  for (int i = 0; i < 200; ++i) {
    const Hash hash = test::random_hash(rng);
    CHECK(hash_from_hex(to_hex(hash)).value() == hash);
  }
  CHECK(hash_from_hex(std::string(64, 'A')).value()[0] == std::byte{0xaa});
  CHECK(hash_from_hex("ab").error().code == Errc::invalid_argument);
  CHECK(hash_from_hex(std::string(63, 'a') + "g").error().code == Errc::invalid_argument);
  CHECK(hash_from_hex(std::string(66, 'a')).error().code == Errc::invalid_argument);
}

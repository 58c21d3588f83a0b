// Knowledge is believed only from its one writer, whole and unchanged.
#include "messages/knowledge.hpp"

#include <doctest/doctest.h>

#include "messages/hash.hpp"
#include "tests/support/random_values.hpp"

using namespace drover;

namespace {

Ed25519Key key_from_hex(std::string_view hex) {
  return hash_from_hex(hex).value();
}

// RFC 8032, 7.1, test 1: a foreign key pair.
Ed25519KeyPair rfc_pair() {
  return {key_from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"),
          key_from_hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")};
}

SignedKnowledge signed_sample(const Ed25519KeyPair& pair) {
  Knowledge k;
  k.version = 3;
  k.author = "coordinator";
  k.documents["ontology"] = Bytes::copy_of("{}");
  return sign_knowledge(k, pair).value();
}

}  // namespace

TEST_CASE("messages/knowledge: a signature is verified by its key and by no other") {
  const auto pair = generate_ed25519().value();
  const auto other = generate_ed25519().value();
  const auto s = signed_sample(pair);
  CHECK(verify_knowledge(s, pair.public_key));
  CHECK(!verify_knowledge(s, other.public_key));
  CHECK(pair.private_key != other.private_key);
}

TEST_CASE("messages/knowledge: the signature is plain Ed25519 (RFC 8032 key, deterministic)") {
  const auto a = signed_sample(rfc_pair());
  CHECK(a == signed_sample(rfc_pair()));
  CHECK(verify_knowledge(a, rfc_pair().public_key));
  const Hash id = sha256(rfc_pair().public_key);
  CHECK(std::equal(a.key_id.begin(), a.key_id.end(), id.begin()));
}

TEST_CASE("messages/knowledge: any flipped bit of body, signature or key id is refused") {
  const auto pair = rfc_pair();
  const auto good = signed_sample(pair);
  for (size_t i = 0; i < good.body.size(); ++i) {
    auto bad = good;
    bad.body = Bytes::make(good.body.size(), [&](std::span<std::byte> b) {
      std::memcpy(b.data(), good.body.data(), b.size());
      b[i] ^= std::byte{1};
    });
    CHECK(!verify_knowledge(bad, pair.public_key));
  }
  for (size_t i = 0; i < good.signature.size(); ++i) {
    auto bad = good;
    bad.signature[i] ^= std::byte{0x10};
    CHECK(!verify_knowledge(bad, pair.public_key));
  }
  for (size_t i = 0; i < good.key_id.size(); ++i) {
    auto bad = good;
    bad.key_id[i] ^= std::byte{1};
    CHECK(!verify_knowledge(bad, pair.public_key));
  }
  auto empty = good;
  empty.body = {};
  CHECK(!verify_knowledge(empty, pair.public_key));
}

TEST_CASE("messages/knowledge: a signed document round trips and its content is what was signed") {
  test::Rng rng(101);
  const auto pair = rfc_pair();
  for (int i = 0; i < 50; ++i) {
    const Knowledge k = test::random_knowledge(rng);
    const auto s = sign_knowledge(k, pair).value();
    const Bytes flat = encode(s);
    const auto back = decode_signed_knowledge(flat).value();
    CHECK(back == s);
    CHECK(verify_knowledge(back, pair.public_key));
    CHECK(decode_knowledge(back.body).value() == k);
  }
}

TEST_CASE("messages/knowledge: truncation is refused, a signature of another size names the field") {
  const Bytes flat = encode(signed_sample(rfc_pair()));
  for (size_t size = 0; size < flat.size(); ++size) CHECK(!decode_signed_knowledge(flat.slice(0, size)));
  CHECK(decode_signed_knowledge(encode(Knowledge{})).error().code == Errc::corrupt);
}

// Knowledge <-> flat bytes, and its Ed25519 signature.
#include <openssl/evp.h>

#include <memory>

#include "messages/capnp_util.hpp"
#include "messages/knowledge.hpp"
#include "messages/packet.hpp"
#include "messages/schema/records.capnp.h"

namespace drover {
namespace {

using codec::count;
using codec::blob;
using codec::text;

constexpr size_t knowledge_max_bytes = 64u << 20;

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

const unsigned char* raw(ByteView bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

std::array<std::byte, 8> key_id(const Ed25519Key& public_key) {
  const Hash hash = sha256(public_key);
  std::array<std::byte, 8> id;
  std::copy_n(hash.begin(), id.size(), id.begin());
  return id;
}

}  // namespace

Bytes encode(const Knowledge& v) {
  capnp::MallocMessageBuilder message;
  auto b = message.initRoot<schema::Knowledge>();
  b.setVersion(v.version);
  b.setCreatedUnixNs(v.created_unix_ns);
  b.setAuthor(text(v.author));
  auto documents = b.initDocuments(count(v.documents));
  uint32_t i = 0;
  for (const auto& [name, body] : v.documents) {
    documents[i].setName(text(name));
    documents[i++].setBody(blob(body));
  }
  return flat_bytes(message);
}

Result<Knowledge> decode_knowledge(ByteView flat) {
  return read_flat<schema::Knowledge>(
      flat, "knowledge",
      [](schema::Knowledge::Reader r) -> Result<Knowledge> {
        Knowledge v;
        v.version = r.getVersion();
        v.created_unix_ns = r.getCreatedUnixNs();
        v.author = text(r.getAuthor());
        for (auto d : r.getDocuments())
          v.documents.emplace(text(d.getName()), Bytes::copy_of(codec::view(d.getBody())));
        return v;
      },
      PacketLimits{knowledge_max_bytes, 32});
}

Bytes encode(const SignedKnowledge& v) {
  capnp::MallocMessageBuilder message;
  auto b = message.initRoot<schema::SignedKnowledge>();
  b.setBody(blob(v.body));
  b.setSignature(blob(v.signature));
  b.setKeyId(blob(v.key_id));
  return flat_bytes(message);
}

Result<SignedKnowledge> decode_signed_knowledge(ByteView flat) {
  return read_flat<schema::SignedKnowledge>(
      flat, "signed_knowledge",
      [](schema::SignedKnowledge::Reader r) -> Result<SignedKnowledge> {
        SignedKnowledge v;
        v.body = Bytes::copy_of(codec::view(r.getBody()));
        if (r.getSignature().size() != v.signature.size()) return fail(Errc::corrupt, "signature", "needs 64 bytes");
        if (r.getKeyId().size() != v.key_id.size()) return fail(Errc::corrupt, "key_id", "needs 8 bytes");
        std::memcpy(v.signature.data(), r.getSignature().begin(), v.signature.size());
        std::memcpy(v.key_id.data(), r.getKeyId().begin(), v.key_id.size());
        return v;
      },
      PacketLimits{knowledge_max_bytes, 32});
}

Result<Ed25519KeyPair> generate_ed25519() {
  Key key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), EVP_PKEY_free);
  Ed25519KeyPair pair;
  size_t private_bytes = pair.private_key.size();
  size_t public_bytes = pair.public_key.size();
  if (!key ||
      EVP_PKEY_get_raw_private_key(key.get(), reinterpret_cast<unsigned char*>(pair.private_key.data()),
                                   &private_bytes) != 1 ||
      EVP_PKEY_get_raw_public_key(key.get(), reinterpret_cast<unsigned char*>(pair.public_key.data()), &public_bytes) !=
          1)
    return fail(Errc::internal, "ed25519", "libcrypto could not make a key");
  return pair;
}

Result<SignedKnowledge> sign_knowledge(const Knowledge& value, const Ed25519KeyPair& pair) {
  SignedKnowledge v;
  v.body = encode(value);
  v.key_id = key_id(pair.public_key);
  Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, raw(pair.private_key), pair.private_key.size()),
          EVP_PKEY_free);
  DigestContext context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  size_t size = v.signature.size();
  if (!key || EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(v.signature.data()), &size, raw(v.body),
                     v.body.size()) != 1)
    return fail(Errc::internal, "ed25519", "libcrypto could not sign");
  return v;
}

bool verify_knowledge(const SignedKnowledge& value, const Ed25519Key& public_key) {
  Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw(public_key), public_key.size()), EVP_PKEY_free);
  DigestContext context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  return key && value.key_id == key_id(public_key) &&
         EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(value.signature.data()),
                          value.signature.size(), raw(value.body), value.body.size()) == 1;
}

}  // namespace drover

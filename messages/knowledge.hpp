// Knowledge: the single-writer, versioned and signed documents that the centre publishes to robots
// (ontology, vocabulary, trust matrix, econ parameters, policies).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "messages/bytes.hpp"
#include "messages/result.hpp"

namespace drover {

struct Knowledge {
  uint64_t version = 0;  // 1 and up; robots apply only what is newer than what they hold
  int64_t created_unix_ns = 0;
  std::string author;                      // node id of the writer
  std::map<std::string, Bytes> documents;  // name -> content
  bool operator==(const Knowledge&) const = default;
};

struct SignedKnowledge {
  Bytes body;                             // flat schema::Knowledge
  std::array<std::byte, 64> signature{};  // Ed25519 over body
  std::array<std::byte, 8> key_id{};      // first 8 bytes of SHA-256(public key)
  bool operator==(const SignedKnowledge&) const = default;
};

Bytes encode(const Knowledge& value);
Bytes encode(const SignedKnowledge& value);
Result<Knowledge> decode_knowledge(ByteView flat);
Result<SignedKnowledge> decode_signed_knowledge(ByteView flat);

// Ed25519. Keys are raw 32 bytes. `verify` is false for any other body, signature or key.
using Ed25519Key = std::array<std::byte, 32>;
struct Ed25519KeyPair {
  Ed25519Key private_key{};
  Ed25519Key public_key{};
};
Result<Ed25519KeyPair> generate_ed25519();
Result<SignedKnowledge> sign_knowledge(const Knowledge& value, const Ed25519KeyPair& key);
bool verify_knowledge(const SignedKnowledge& value, const Ed25519Key& public_key);

}  // namespace drover

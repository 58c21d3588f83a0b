// Publishing what was learnt: the semantic documents become part of the signed knowledge that robots take.
#pragma once

#include "actors/semantics/central_semantics.hpp"
#include "messages/knowledge.hpp"

namespace drover::semantics {

// Replaces the semantic documents in force and leaves all others; when they are the same already, nothing is published.
// Returns the version in force. Errors: those of the store and of the state file.
Result<uint64_t> publish_documents(sync::CentralStore& store, CentralSemantics& learnt, const Ed25519KeyPair& key,
                                   int64_t now_unix_ns);

}  // namespace drover::semantics

#include "actors/semantics/central_publish.hpp"

#include <algorithm>

#include "actors/fleet/publish.hpp"

namespace drover::semantics {

Result<uint64_t> publish_documents(sync::CentralStore& store, CentralSemantics& learnt, const Ed25519KeyPair& key,
                                   int64_t now_unix_ns) {
  fleet::PublishRequest request;
  request.author = "semantics";
  DROVER_ASSIGN(request.documents, learnt.documents());
  DROVER_ASSIGN(const auto held, store.knowledge());
  if (held.version > 0) {
    DROVER_ASSIGN(const auto sealed, decode_signed_knowledge(held.bytes));
    DROVER_ASSIGN(const auto knowledge, decode_knowledge(sealed.body));
    const bool same = std::all_of(request.documents.begin(), request.documents.end(), [&](const auto& d) {
      const auto at = knowledge.documents.find(d.first);
      return at != knowledge.documents.end() && at->second == d.second;
    });
    if (same) return held.version;
  }
  DROVER_ASSIGN(const auto published, fleet::publish(store, request, key, now_unix_ns));
  return published.version;
}

}  // namespace drover::semantics

// Publishing knowledge: lays documents over what is in force, signs the result and stores it as the next version. The
// coordinator does it for operators with its own key; `drover knowledge publish --store` does it beside a stopped one.
//
// A remote request is {"call": "knowledge.publish", "documents": {"vocabulary": {"text": "..."}}, "remove": ["old"],
// "only": false}; a document that is not UTF-8 has "hex" instead of "text". QUERIES.md lists it with the questions.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "actors/sync/central_store.hpp"
#include "messages/knowledge.hpp"
#include "messages/result.hpp"

namespace drover::fleet {

struct PublishRequest {
  std::map<std::string, Bytes> documents;  // set or replaced; together at most 8 MiB
  std::vector<std::string> remove;
  bool only = false;   // every document that is not named here goes
  std::string author;  // who asked, for example "operator/ops"
};

// True when the request is to be handled by publish() and not by run_query().
bool is_publish(std::string_view request);

// Errors: invalid_argument, naming the field.
Result<PublishRequest> parse_publish(std::string_view request, std::string author);
// The request that parse_publish reads.
std::string publish_json(const PublishRequest& request);

// Returns what is in force now. Errors: not_found (a document to remove), too_large, those of the store.
Result<Knowledge> publish(sync::CentralStore& store, const PublishRequest& request, const Ed25519KeyPair& key,
                          int64_t now_unix_ns);

// {"version": 3, "documents": 2}
std::string publish_reply(const Knowledge& knowledge);

}  // namespace drover::fleet

// Fleet queries: questions of operators about a coordinator's store, JSON in and JSON out.
//
// A request is one flat JSON object: {"call": "packs.query", "task_name": "ur3_cycle", "limit": 10}. Every field is
// checked: an unknown call, an unknown field and a value of the wrong type are errors that name it. QUERIES.md lists
// calls, fields and replies. The same code answers `drover packs --store` and a remote operator.
//
// Invariants
// - Nothing is changed: every call works beside a live coordinator on a store that is open read-only.
// - A reply is bounded. Rows that would not fit are left out and the reply says "truncated": true.
// - Replies do not depend on the moment: the same store gives the same bytes (store.facts tells its file's facts).
// Threads: pure functions over a store that may be used from any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "actors/sync/central_store.hpp"
#include "messages/result.hpp"

namespace drover::fleet {

struct QueryBounds {
  size_t reply_bytes_max = (1u << 20) - 1024;  // of the whole reply; what a session carries by default
};

// Answers one request. Errors: invalid_argument (where = the field, or "call"), not_found (that pack, episode or
// document is not here), too_large (one item alone is over the bound), and those of the store.
Result<std::string> answer_query(const sync::CentralStore& store, std::string_view request, const QueryBounds& bounds);

// The same with the default bounds: what a coordinator gives to its sessions (sync::QueryFunction).
Result<std::string> run_query(const sync::CentralStore& store, std::string_view request);

// Names of all calls, ascending.
std::vector<std::string> query_calls();

}  // namespace drover::fleet

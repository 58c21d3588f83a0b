// Questions of operators about what the fleet has learnt: JSON in, JSON out, like the questions about its store
// (actors/fleet/query.hpp). The same code answers `drover ontology --store` and a remote operator.
//
// | call | fields | reply, beside ontology_version, graph_version and episodes |
// | --- | --- | --- |
// | ontology.facts | | metrics, decisions by verdict, urgencies of the economy, sha256 of the knowledge |
// | ontology.show | kind, limit | nodes: id, kind, value, seen, confidence, source, tags, versions, because |
// | ontology.tasks | limit | tasks in order: id, kind, role, priority, parent, action, object, because, next |
// | ontology.trust | | tags: trust, tier, effect with interval, episodes, claim |
// | ontology.focus | | phase, tier_shares, emphasise, why, alerts |
// | ontology.decisions | verdict, limit | decisions, newest first: id, verdict, suggestion, about, reason, said_by,
// rationale, evidence | | ontology.explain | id | chain: down to episodes and segments; text: the same for people |
//
// A reply is bounded: rows that do not fit are left out and it says "truncated": true. Pure but for its types: a view
// is immutable, so any thread may ask.
#pragma once

#include <string>
#include <string_view>

#include "actors/fleet/query.hpp"
#include "actors/semantics/knowledge_view.hpp"
#include "messages/result.hpp"

namespace drover::semantics {

// True when the request is to be answered here.
bool is_knowledge_query(std::string_view request);

// Errors: invalid_argument (the field, or "call"), not_found (what is to be explained).
Result<std::string> answer_knowledge(const KnowledgeView& view, std::string_view request,
                                     const fleet::QueryBounds& bounds);
// The same for what hangs on the board. Errors: not_found when nothing does.
Result<std::string> answer_knowledge(const KnowledgeBoard& board, std::string_view request);

}  // namespace drover::semantics

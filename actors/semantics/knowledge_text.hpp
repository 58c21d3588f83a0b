// KnowledgeText: the documents that go to the robots over the knowledge lane, and reading them there. Pure.
//
// Documents: "vocabulary", "ontology", "task_graph", "trust_matrix" and "semantics" (versions and SHA-256 of the
// others, training focus, alerts). Equal knowledge gives equal bytes, so versions can be compared by hash on any node.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "actors/semantics/orchestrator.hpp"
#include "messages/bytes.hpp"
#include "messages/hash.hpp"

namespace drover::semantics {

// Name -> content, ready for publishing.
std::map<std::string, Bytes> knowledge_documents(const Vocabulary& vocabulary, const Orchestrator& orchestrator,
                                                 const TrainingFocus& focus);

// SHA-256 over all documents in order of their names: what two nodes compare.
Hash knowledge_hash(const std::map<std::string, Bytes>& documents);

// What a robot holds after it took the documents.
struct HeldKnowledge {
  uint64_t ontology_version = 0;
  uint64_t graph_version = 0;
  Ontology ontology;
  TaskGraph graph;
  std::string hash;  // hex of knowledge_hash
};
// Errors: not_found (a document is missing), corrupt (unreadable, or its hash is not the one that "semantics" states).
Result<HeldKnowledge> read_knowledge(const std::map<std::string, Bytes>& documents);

}  // namespace drover::semantics

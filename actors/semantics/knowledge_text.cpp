#include "actors/semantics/knowledge_text.hpp"

#include "actors/semantics/json_read.hpp"
#include "actors/semantics/json_text.hpp"

namespace drover::semantics {
namespace {

constexpr std::string_view format_name = "drover.semantics.v1";
constexpr const char* stated[] = {"ontology", "task_graph", "trust_matrix", "vocabulary"};
constexpr size_t alerts_published = 32;

}  // namespace

std::map<std::string, Bytes> knowledge_documents(const Vocabulary& vocabulary, const Orchestrator& orchestrator,
                                                 const TrainingFocus& focus) {
  std::map<std::string, Bytes> out;
  out["vocabulary"] = Bytes::copy_of(vocabulary.json());
  out["ontology"] = Bytes::copy_of(orchestrator.ontology().json());
  out["task_graph"] = Bytes::copy_of(orchestrator.graph().json());
  out["trust_matrix"] = Bytes::copy_of(orchestrator.trust().json());
  JsonText text;
  text.begin_object().field("format", format_name).field("ontology_version", orchestrator.ontology().version());
  text.field("task_graph_version", orchestrator.graph().version()).key("sha256").begin_object();
  for (const auto& [name, document] : out) text.field(name, to_hex(sha256(document)));
  text.end_object().line().key("training_focus");
  focus.write(text);
  text.line().key("alerts").begin_array();
  const auto& alerts = orchestrator.alerts();
  for (size_t i = alerts.size() > alerts_published ? alerts.size() - alerts_published : 0; i < alerts.size(); ++i)
    text.line()
        .begin_object()
        .field("kind", alerts[i].kind)
        .field("subject", alerts[i].subject)
        .field("message", alerts[i].message)
        .field("episode", alerts[i].episode)
        .end_object();
  text.line().end_array().end_object();
  out["semantics"] = Bytes::copy_of(std::move(text).text() + "\n");
  return out;
}

Hash knowledge_hash(const std::map<std::string, Bytes>& documents) {
  Sha256 all;
  for (const auto& [name, document] : documents) {
    all.update(as_bytes(name));
    all.update(sha256(document));
  }
  return all.finish();
}

Result<HeldKnowledge> read_knowledge(const std::map<std::string, Bytes>& documents) {
  const auto document = [&](const char* name) -> Result<Bytes> {
    const auto at = documents.find(name);
    if (at == documents.end()) return fail(Errc::not_found, name, "is not among the documents");
    return at->second;
  };
  DROVER_ASSIGN(const Bytes index, document("semantics"));
  DROVER_ASSIGN(const nlohmann::json root, parse_state(index.text(), format_name));
  DROVER_ASSIGN(const nlohmann::json* hashes, get_map(root, "sha256"));
  std::map<std::string, Bytes> taken{{"semantics", index}};
  for (const char* name : stated) {
    DROVER_ASSIGN(const Bytes content, document(name));
    DROVER_ASSIGN(const std::string wanted, get_text(*hashes, name));
    if (to_hex(sha256(content)) != wanted)
      return fail(Errc::corrupt, name, "is not the document that belongs to this version");
    taken[name] = content;
  }
  HeldKnowledge out;
  DROVER_ASSIGN(const OntologyStore store, OntologyStore::restore(taken["ontology"].text()));
  DROVER_ASSIGN(out.graph, TaskGraph::restore(taken["task_graph"].text()));
  out.ontology = store.current();
  out.ontology_version = store.version();
  out.graph_version = out.graph.version();
  out.hash = to_hex(knowledge_hash(taken));
  return out;
}

}  // namespace drover::semantics

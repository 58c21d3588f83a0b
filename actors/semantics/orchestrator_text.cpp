// Explanations and saved state of the orchestrator.
#include <fmt/format.h>

#include <set>

#include "actors/semantics/json_read.hpp"
#include "actors/semantics/json_text.hpp"
#include "actors/semantics/orchestrator.hpp"

namespace drover::semantics {
namespace {

constexpr std::string_view format_name = "drover.orchestrator.v1";
constexpr size_t chain_depth_max = 4;

using nlohmann::json;

template <class Enum>
Result<Enum> read_enum(const json& from, const char* field, std::string_view (*spell)(Enum) noexcept, size_t count) {
  DROVER_ASSIGN(const std::string text, get_text(from, field));
  for (size_t i = 0; i < count; ++i)
    if (spell(static_cast<Enum>(i)) == text) return static_cast<Enum>(i);
  return bad_state(field, "unknown value \"" + text + "\"");
}

Result<EvidenceTrail> read_evidence(const json& from) {
  DROVER_ASSIGN(const json* node, get_map(from, "evidence"));
  return EvidenceTrail::read(*node);
}

Result<Proposal> read_proposal(const json& from) {
  Proposal p;
  DROVER_ASSIGN(p.type, read_enum(from, "type", proposal_type_name, proposal_type_count));
  DROVER_ASSIGN(p.target, get_text(from, "target"));
  DROVER_ASSIGN(p.name, get_text(from, "name"));
  DROVER_ASSIGN(p.other, get_text(from, "other"));
  DROVER_ASSIGN(const json* value, get_node(from, "value"));
  if (value->is_number()) p.value = value->get<double>();
  if (value->is_string()) p.value = value->get<std::string>();
  DROVER_ASSIGN(p.priority, read_enum(from, "priority", priority_name, 4));
  DROVER_ASSIGN(p.source, read_enum(from, "source", source_name, 6));
  DROVER_ASSIGN(p.confidence, get_number(from, "confidence"));
  DROVER_ASSIGN(p.source_tag, get_text(from, "source_tag"));
  DROVER_ASSIGN(p.rationale, get_text(from, "rationale"));
  DROVER_ASSIGN(p.evidence, read_evidence(from));
  return p;
}

Result<Refinement> read_refinement(const json& from) {
  Refinement r;
  DROVER_ASSIGN(r.type, read_enum(from, "type", refinement_type_name, refinement_type_count));
  DROVER_ASSIGN(r.target, get_text(from, "target"));
  DROVER_ASSIGN(r.other, get_text(from, "other"));
  DROVER_ASSIGN(r.name, get_text(from, "name"));
  DROVER_ASSIGN(r.second, get_text(from, "second"));
  DROVER_ASSIGN(r.before, get_truth(from, "before"));
  DROVER_ASSIGN(r.new_priority, read_enum(from, "new_priority", priority_name, 4));
  DROVER_ASSIGN(r.priority, read_enum(from, "priority", priority_name, 4));
  DROVER_ASSIGN(r.source, read_enum(from, "source", source_name, 6));
  DROVER_ASSIGN(r.confidence, get_number(from, "confidence"));
  DROVER_ASSIGN(r.source_tag, get_text(from, "source_tag"));
  DROVER_ASSIGN(r.rationale, get_text(from, "rationale"));
  DROVER_ASSIGN(r.because, get_texts(from, "because"));
  DROVER_ASSIGN(r.evidence, read_evidence(from));
  return r;
}

void write_decision(JsonText& out, const Decision& d) {
  out.begin_object().field("id", d.id()).field("number", d.number).field("verdict", verdict_name(d.verdict));
  out.field("suggestion", d.suggestion).field("node", d.node).field("reason", d.reason).field("episode", d.episode);
  out.field("ontology_version", d.ontology_version).field("graph_version", d.graph_version);
  out.key("content").raw(d.content).end_object();
}

Result<Decision> read_decision(const json& from) {
  Decision d;
  DROVER_ASSIGN(d.number, get_count(from, "number"));
  DROVER_ASSIGN(d.verdict, read_enum(from, "verdict", verdict_name, 4));
  DROVER_ASSIGN(d.suggestion, get_text(from, "suggestion"));
  DROVER_ASSIGN(d.node, get_text(from, "node"));
  DROVER_ASSIGN(d.reason, get_text(from, "reason"));
  DROVER_ASSIGN(d.episode, get_count(from, "episode"));
  DROVER_ASSIGN(d.ontology_version, get_count(from, "ontology_version"));
  DROVER_ASSIGN(d.graph_version, get_count(from, "graph_version"));
  DROVER_ASSIGN(const json* content, get_map(from, "content"));
  // Written again by the program itself, so that the bytes are those of a decision that was never saved.
  JsonText out;
  if (d.suggestion.starts_with("p-")) {
    DROVER_ASSIGN(const Proposal p, read_proposal(*content));
    write(out, p);
  } else {
    DROVER_ASSIGN(const Refinement r, read_refinement(*content));
    write(out, r);
  }
  d.content = std::move(out).text();
  return d;
}

// One line per step of a chain, indented by depth.
void tell(const json& chain, size_t depth, std::string& out) {
  const std::string indent(2 * depth, ' ');
  const auto text = [&](const char* field) {
    return chain.contains(field) && chain[field].is_string() ? chain[field].get<std::string>() : std::string();
  };
  out.append(fmt::format("{}{} ({})", indent, text("id"), text("what")));
  if (!text("verdict").empty()) out.append(fmt::format(": {} as {}", text("verdict"), text("decision")));
  if (!text("reason").empty()) out.append(fmt::format(", {}", text("reason")));
  out.push_back('\n');
  const json none = json::object();
  const json& s = chain.contains("suggestion") ? chain["suggestion"] : none;
  if (s.contains("rationale"))
    out.append(fmt::format("{}  said by {} with confidence {}: {}\n", indent, s["source"].get<std::string>(),
                           s["confidence"].dump(), s["rationale"].get<std::string>()));
  const json& evidence = chain.contains("evidence") ? chain["evidence"] : s.contains("evidence") ? s["evidence"] : none;
  if (evidence.contains("count")) {
    out.append(
        fmt::format("{}  seen {} {}\n", indent, evidence["count"].dump(), evidence["count"] == 1 ? "time" : "times"));
    for (const char* part : {"first", "last"})
      for (const json& ref : evidence[part])
        out.append(fmt::format("{}    {} episode {} segment {} from {:.2f} s to {:.2f} s\n", indent, part,
                               ref["episode"].get<std::string>(),
                               ref["segment"].get<std::string>().empty() ? "-" : ref["segment"].get<std::string>(),
                               ref["start_s"].get<double>(), ref["end_s"].get<double>()));
  }
  if (chain.contains("because"))
    for (const json& step : chain["because"]) tell(step, depth + 1, out);
}

}  // namespace

const Decision* Orchestrator::decision_of(std::string_view id) const {
  for (const std::deque<Decision>* list : {&decisions_, &refusals_})
    for (auto at = list->rbegin(); at != list->rend(); ++at)
      if (at->suggestion == id || at->id() == id) return &*at;
  return nullptr;
}

// {"id", "what", "verdict", "decision", "suggestion": {...}, "evidence": {...}, "because": [chains]}; empty: unknown.
std::string Orchestrator::chain_json(std::string_view id, size_t depth) const {
  JsonText out;
  std::vector<std::string> because;
  out.begin_object().field("id", id);
  if (const OntologyNode* node = ontology_.current().find(id)) {
    out.field("what", fmt::format("ontology {}", node_kind_name(node->kind)))
        .field("source", source_name(node->source));
    out.field("since_version", node->since_version).key("value");
    append_value(out, node->value);
    out.key("evidence");
    node->evidence.write(out);
    if (!node->because.empty()) because.push_back(node->because);
    if (node->kind == NodeKind::recovery) because.push_back(node->subject);
  } else if (const TaskNode* task = graph_.find(id)) {
    out.field("what",
              fmt::format("task {}{}{}", task_kind_name(task->kind), task->role.empty() ? "" : ", ", task->role));
    if (!task->because.empty()) because.push_back(task->because);
  } else if (const Decision* d = decision_of(id)) {
    out.field("what", d->suggestion.starts_with("p-") ? "proposal" : "refinement");
    out.field("verdict", verdict_name(d->verdict)).field("decision", d->id()).field("reason", d->reason);
    out.field("about", d->node).field("ontology_version", d->ontology_version).field("graph_version", d->graph_version);
    out.key("suggestion").raw(d->content);
    const nlohmann::json content = nlohmann::json::parse(d->content, nullptr, false);
    if (content.contains("because"))
      for (const nlohmann::json& step : content["because"]) because.push_back(step.get<std::string>());
  } else {
    return {};
  }
  if (depth < chain_depth_max && !because.empty()) {
    out.key("because").begin_array();
    for (const std::string& step : because)
      if (const std::string below = chain_json(step, depth + 1); !below.empty()) out.raw(below);
    out.end_array();
  }
  out.end_object();
  return std::move(out).text();
}

Result<std::string> Orchestrator::explain(std::string_view id) const {
  std::string chain = chain_json(id, 0);
  if (chain.empty())
    return fail(Errc::not_found, std::string(id),
                "is no ontology node, task node, proposal (p-..), refinement (r-..) or decision (d-..) that is kept");
  return chain;
}

Result<std::string> Orchestrator::explain_text(std::string_view id) const {
  DROVER_ASSIGN(const std::string chain, explain(id));
  std::string out;
  tell(nlohmann::json::parse(chain), 0, out);
  return out;
}

std::string Orchestrator::json() const {
  JsonText out;
  out.begin_object().field("format", format_name).field("next_number", next_number_);
  out.key("counts").begin_array();
  for (const uint64_t n : {counts_.proposals, counts_.invalid, counts_.applied, counts_.confirmed, counts_.deferred,
                           counts_.refused, counts_.outranked})
    out.value(n);
  out.end_array().key("econ").begin_array();
  out.value(econ_.error_urgency).value(econ_.energy_urgency).value(econ_.mpl_urgency).end_array();
  const std::pair<const char*, const std::deque<Decision>*> lists[] = {{"decisions", &decisions_},
                                                                       {"refusals", &refusals_}};
  for (const auto& [name, list] : lists) {
    out.key(name).begin_array();
    for (const Decision& d : *list) {
      out.line();
      write_decision(out, d);
    }
    out.end_array();
  }
  out.key("alerts").begin_array();
  for (const SemanticAlert& a : alerts_) {
    out.line().begin_object().field("kind", a.kind).field("subject", a.subject).field("message", a.message);
    out.field("episode", a.episode).end_object();
  }
  out.end_array().key("waiting_proposals").begin_array();
  for (const auto& [id, p] : waiting_proposals_) write(out, p);
  out.end_array().key("waiting_refinements").begin_array();
  for (const auto& [id, r] : waiting_refinements_) write(out, r);
  out.end_array().field("ontology", ontology_.json()).field("task_graph", graph_.json()).end_object();
  return std::move(out).text();
}

Status Orchestrator::restore(std::string_view text, const TrustMatrix& trust) {
  DROVER_ASSIGN(const nlohmann::json root, parse_state(text, format_name));
  DROVER_ASSIGN(const std::string ontology, get_text(root, "ontology"));
  DROVER_ASSIGN(const std::string graph, get_text(root, "task_graph"));
  DROVER_ASSIGN(OntologyStore store, OntologyStore::restore(ontology));
  DROVER_ASSIGN(TaskGraph tasks, TaskGraph::restore(graph));
  Orchestrator fresh(config_, *vocabulary_, std::move(store), std::move(tasks), trust_config_);
  DROVER_ASSIGN(fresh.next_number_, get_count(root, "next_number"));
  DROVER_ASSIGN(const nlohmann::json* counts, get_list(root, "counts"));
  DROVER_ASSIGN(const nlohmann::json* econ, get_list(root, "econ"));
  if (counts->size() != 7 || econ->size() != 3) return bad_state("counts", "have the wrong length");
  uint64_t* const into[] = {&fresh.counts_.proposals, &fresh.counts_.invalid,  &fresh.counts_.applied,
                            &fresh.counts_.confirmed, &fresh.counts_.deferred, &fresh.counts_.refused,
                            &fresh.counts_.outranked};
  for (size_t i = 0; i < 7; ++i) {
    if (!(*counts)[i].is_number_unsigned()) return bad_state("counts", "must be whole numbers");
    *into[i] = (*counts)[i].get<uint64_t>();
  }
  double* const urgencies[] = {&fresh.econ_.error_urgency, &fresh.econ_.energy_urgency, &fresh.econ_.mpl_urgency};
  for (size_t i = 0; i < 3; ++i) {
    if (!(*econ)[i].is_number()) return bad_state("econ", "must be numbers");
    *urgencies[i] = (*econ)[i].get<double>();
  }
  const std::pair<const char*, std::deque<Decision>*> lists[] = {{"decisions", &fresh.decisions_},
                                                                 {"refusals", &fresh.refusals_}};
  for (const auto& [name, list] : lists) {
    DROVER_ASSIGN(const nlohmann::json* items, get_list(root, name));
    for (const nlohmann::json& item : *items) {
      DROVER_ASSIGN(Decision d, read_decision(item));
      list->push_back(std::move(d));
    }
  }
  DROVER_ASSIGN(const nlohmann::json* alerts, get_list(root, "alerts"));
  for (const nlohmann::json& item : *alerts) {
    SemanticAlert a;
    DROVER_ASSIGN(a.kind, get_text(item, "kind"));
    DROVER_ASSIGN(a.subject, get_text(item, "subject"));
    DROVER_ASSIGN(a.message, get_text(item, "message"));
    DROVER_ASSIGN(a.episode, get_count(item, "episode"));
    fresh.alerts_.push_back(std::move(a));
  }
  DROVER_TRY(fresh.restore_waiting(root));
  fresh.trust_ = trust;
  *this = std::move(fresh);
  return {};
}

Status Orchestrator::restore_waiting(const nlohmann::json& root) {
  DROVER_ASSIGN(const nlohmann::json* proposals, get_list(root, "waiting_proposals"));
  for (const nlohmann::json& item : *proposals) {
    DROVER_ASSIGN(Proposal p, read_proposal(item));
    std::string id = p.id();
    waiting_proposals_.emplace(std::move(id), std::move(p));
  }
  DROVER_ASSIGN(const nlohmann::json* refinements, get_list(root, "waiting_refinements"));
  for (const nlohmann::json& item : *refinements) {
    DROVER_ASSIGN(Refinement r, read_refinement(item));
    std::string id = r.id();
    waiting_refinements_.emplace(std::move(id), std::move(r));
  }
  return {};
}

}  // namespace drover::semantics

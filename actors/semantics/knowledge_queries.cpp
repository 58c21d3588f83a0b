#include "actors/semantics/knowledge_queries.hpp"

#include <algorithm>
#include <array>

#include "actors/fleet/reply.hpp"
#include "actors/fleet/request.hpp"
#include "actors/semantics/json_text.hpp"

namespace drover::semantics {
namespace {

using fleet::Reply;
using fleet::RequestFields;
using fleet::Row;

constexpr uint32_t rows_max = 100'000;

Row value_row(const Value& value) {
  if (const double* number = std::get_if<double>(&value)) return *number;
  if (const std::string* text = std::get_if<std::string>(&value)) return *text;
  return nullptr;
}

std::string text_of(std::string_view name) {
  return std::string(name);
}

struct Call {
  const KnowledgeView& view;
  RequestFields& fields;
  Reply& reply;
};

Status facts(const Call& call) {
  DROVER_TRY(call.fields.done());
  const Orchestrator& o = call.view.orchestrator;
  JsonText metrics;
  call.view.metrics.write(metrics);
  call.reply.raw("metrics", metrics.text());
  const DecisionCounts& c = o.counts();
  call.reply.field("decisions", Row{{"proposals", c.proposals},
                                    {"invalid", c.invalid},
                                    {"applied", c.applied},
                                    {"confirmed", c.confirmed},
                                    {"deferred", c.deferred},
                                    {"refused", c.refused},
                                    {"outranked", c.outranked}});
  call.reply.field("econ", Row{{"error_urgency", o.econ().error_urgency},
                               {"energy_urgency", o.econ().energy_urgency},
                               {"mpl_urgency", o.econ().mpl_urgency}});
  call.reply.field("sha256", to_hex(knowledge_hash(knowledge_documents(*call.view.vocabulary, o, call.view.focus))));
  return {};
}

Status show(const Call& call) {
  std::string kind;
  uint32_t limit = rows_max;
  call.fields.text("kind", kind);
  call.fields.bounded("limit", limit, {1, rows_max});
  DROVER_TRY(call.fields.done());
  call.reply.begin_list("nodes");
  for (const auto& [id, node] : call.view.orchestrator.ontology().current().nodes) {
    if (!kind.empty() && node_kind_name(node.kind) != kind) continue;
    if (limit-- == 0) break;
    const bool fits = call.reply.item(Row{{"id", id},
                                          {"kind", text_of(node_kind_name(node.kind))},
                                          {"value", value_row(node.value)},
                                          {"detail", node.detail},
                                          {"seen", node.evidence.count()},
                                          {"confidence", node.confidence},
                                          {"source", text_of(source_name(node.source))},
                                          {"tags", node.tags},
                                          {"since_version", node.since_version},
                                          {"changed_version", node.changed_version},
                                          {"because", node.because}});
    if (!fits) break;
  }
  call.reply.end_list();
  return {};
}

Status tasks(const Call& call) {
  uint32_t limit = rows_max;
  call.fields.bounded("limit", limit, {1, rows_max});
  DROVER_TRY(call.fields.done());
  const TaskGraph& graph = call.view.orchestrator.graph();
  call.reply.begin_list("tasks");
  for (const std::string& id : graph.order()) {
    if (limit-- == 0) break;
    const TaskNode& node = *graph.find(id);
    Row next = Row::array();
    for (const auto& [to, kind] : graph.edges_from(id))
      next.push_back(Row{{"to", to}, {"kind", text_of(edge_kind_name(kind))}});
    const bool fits = call.reply.item(Row{{"id", id},
                                          {"kind", text_of(task_kind_name(node.kind))},
                                          {"role", node.role},
                                          {"priority", text_of(priority_name(node.priority))},
                                          {"parent", node.parent},
                                          {"action", node.action},
                                          {"object", node.object},
                                          {"preconditions", node.preconditions},
                                          {"parallel_group", node.parallel_group},
                                          {"because", node.because},
                                          {"next", std::move(next)}});
    if (!fits) break;
  }
  call.reply.end_list();
  return {};
}

Status trust(const Call& call) {
  DROVER_TRY(call.fields.done());
  const TrustMatrix& matrix = call.view.orchestrator.trust();
  call.reply.begin_list("tags");
  for (size_t i = 0; i < tag_kind_count; ++i) {
    const auto kind = static_cast<TagKind>(i);
    const TrustEntry& e = matrix.entry(kind);
    const TierRights rights = matrix.rights(kind);
    call.reply.item(Row{{"tag", text_of(tag_kind_name(kind))},
                        {"trust", e.trust},
                        {"tier", text_of(trust_tier_name(e.tier))},
                        {"effect", e.strength},
                        {"low", e.low},
                        {"high", e.high},
                        {"impact", e.impact},
                        {"episodes", e.n},
                        {"enough_samples", e.enough},
                        {"claim", e.claim},
                        {"may_raise_safety_stop", rights.may_raise_safety_stop},
                        {"sampling_multiplier", rights.sampling_multiplier}});
  }
  call.reply.end_list();
  return {};
}

Status focus(const Call& call) {
  DROVER_TRY(call.fields.done());
  const TrainingFocus& f = call.view.focus;
  call.reply.field("phase", text_of(curriculum_stage_name(f.phase)));
  call.reply.field("tier_shares", f.tier_shares);
  call.reply.field("why", f.why);
  call.reply.begin_list("emphasise");
  for (const FocusTag& tag : f.tags) call.reply.item(Row{{"tag", tag.tag}, {"weight", tag.weight}, {"why", tag.why}});
  call.reply.end_list();
  call.reply.begin_list("alerts");
  const auto& alerts = call.view.orchestrator.alerts();
  for (auto at = alerts.rbegin(); at != alerts.rend(); ++at)
    if (!call.reply.item(
            Row{{"kind", at->kind}, {"subject", at->subject}, {"message", at->message}, {"episode", at->episode}}))
      break;
  call.reply.end_list();
  return {};
}

Row decision_row(const Decision& d) {
  const Row content = Row::parse(d.content, nullptr, false);
  const auto part = [&](const char* name) {
    return content.is_object() && content.contains(name) ? content[name] : Row();
  };
  return Row{{"id", d.id()},
             {"verdict", text_of(verdict_name(d.verdict))},
             {"suggestion", d.suggestion},
             {"type", part("type")},
             {"about", d.node},
             {"reason", d.reason},
             {"episode", d.episode},
             {"ontology_version", d.ontology_version},
             {"graph_version", d.graph_version},
             {"said_by", part("source")},
             {"confidence", part("confidence")},
             {"rationale", part("rationale")},
             {"evidence", part("evidence")}};
}

std::optional<Verdict> verdict_from(std::string_view name) {
  for (const Verdict v : {Verdict::applied, Verdict::deferred, Verdict::refused})
    if (verdict_name(v) == name) return v;
  return std::nullopt;
}

Status decisions(const Call& call) {
  std::optional<Verdict> wanted;
  uint32_t limit = 1000;
  call.fields.choice("verdict", wanted, verdict_from, "applied, deferred, refused");
  call.fields.bounded("limit", limit, {1, rows_max});
  DROVER_TRY(call.fields.done());
  std::vector<const Decision*> found;
  for (const auto* list : {&call.view.orchestrator.decisions(), &call.view.orchestrator.refusals()})
    for (const Decision& d : *list)
      if (!wanted || d.verdict == *wanted) found.push_back(&d);
  std::sort(found.begin(), found.end(), [](const Decision* a, const Decision* b) { return a->number > b->number; });
  if (found.size() > limit) found.resize(limit);
  call.reply.begin_list("decisions");
  for (const Decision* d : found)
    if (!call.reply.item(decision_row(*d))) break;
  call.reply.end_list();
  return {};
}

Status explain(const Call& call) {
  std::string id;
  call.fields.required("id", id);
  DROVER_TRY(call.fields.done());
  DROVER_ASSIGN(const std::string chain, call.view.orchestrator.explain(id));
  DROVER_ASSIGN(const std::string text, call.view.orchestrator.explain_text(id));
  call.reply.raw("chain", chain);
  call.reply.field("text", text);
  return {};
}

struct Entry {
  std::string_view name;
  Status (*run)(const Call&);
};
constexpr std::array entries{
    Entry{"ontology.decisions", decisions}, Entry{"ontology.explain", explain}, Entry{"ontology.facts", facts},
    Entry{"ontology.focus", focus},         Entry{"ontology.show", show},       Entry{"ontology.tasks", tasks},
    Entry{"ontology.trust", trust},
};

}  // namespace

bool is_knowledge_query(std::string_view request) {
  const nlohmann::json parsed = nlohmann::json::parse(request, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("call") || !parsed["call"].is_string()) return false;
  return parsed["call"].get<std::string>().starts_with("ontology.");
}

Result<std::string> answer_knowledge(const KnowledgeView& view, std::string_view request,
                                     const fleet::QueryBounds& bounds) {
  DROVER_ASSIGN(auto fields, RequestFields::parse(request));
  std::string name;
  fields.required("call", name);
  const auto at = std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.name == name; });
  if (at == entries.end()) {
    std::string known;
    for (const Entry& e : entries) known.append(known.empty() ? "" : ", ").append(e.name);
    return fail(Errc::invalid_argument, "call", "is not one of " + known);
  }
  Reply reply(bounds.reply_bytes_max);
  reply.field("ontology_version", view.orchestrator.ontology().version());
  reply.field("graph_version", view.orchestrator.graph().version());
  reply.field("episodes", view.metrics.episodes);
  DROVER_TRY(at->run({view, fields, reply}));
  return reply.finish();
}

Result<std::string> answer_knowledge(const KnowledgeBoard& board, std::string_view request) {
  const auto view = board.get();
  if (!view) return fail(Errc::not_found, "ontology", "this coordinator has learnt nothing, or is not told to");
  return answer_knowledge(*view, request, {});
}

}  // namespace drover::semantics

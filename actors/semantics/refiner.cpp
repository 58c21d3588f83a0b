#include "actors/semantics/refiner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "actors/semantics/json_text.hpp"
#include "actors/semantics/names.hpp"
#include "messages/hash.hpp"

namespace drover::semantics {
namespace {

constexpr std::array<std::string_view, refinement_type_count> type_names = {
    "split",       "insert_checkpoint", "reorder",        "merge", "add_precondition",
    "parallelize", "insert_recovery",   "adjust_priority"};

// A skill that often fails for this reason is two skills: the one that really fails comes first.
struct SplitRule {
  Label label;
  Reason reason;
  std::string_view first, second;
};
constexpr std::array<SplitRule, 5> split_rules = {{
    {Label::grasp, Reason::grasp_missed, "approach", "grasp"},
    {Label::pull, Reason::grasp_slip, "grasp", "pull"},
    {Label::place, Reason::misplaced, "transport", "place"},
    {Label::transport, Reason::drop, "lift", "transport"},
    {Label::push, Reason::insufficient_force, "approach", "push"},
}};

bool handles(std::string_view action) {
  return action == "pull" || action == "push" || action == "lift" || action == "place" || action == "transport";
}

bool skill_in_force(const TaskNode& node) {
  return node.kind == TaskKind::skill && node.role.empty() && node.merged_into.empty();
}

}  // namespace

// What all rules look at.
struct Refiner::Looked {
  const TaskGraph& graph;
  const Ontology& ontology;
  const Vocabulary& vocabulary;
  const SkillTable& skills;
  const EconSignals& econ;

  // Nodes of the graph that are this skill.
  std::vector<std::string> nodes_of(const SkillKey& key) const {
    return graph.skills(family_name(key.family), label_name(key.label), vocabulary.name(key.object));
  }
};

std::string_view refinement_type_name(RefinementType type) noexcept {
  return enum_name(type_names, type);
}

std::string Refinement::id() const {
  std::string all = fmt::format("{}|{}|{}|{}|{}|{}|{}", refinement_type_name(type), target, other, name, second, before,
                                priority_name(new_priority));
  for (const auto& [node, Wh] : energy_Wh) all.append(fmt::format("|{}={}", node, Wh));
  return fmt::format("r-{:016x}", checksum64(as_bytes(all)));
}

Status apply(TaskGraph& graph, const Refinement& r) {
  const std::string id = r.id();
  switch (r.type) {
    case RefinementType::split:
      return graph.split(r.target, r.name, r.second, id);
    case RefinementType::insert_checkpoint:
      return graph.insert_checkpoint(r.target, r.name, r.before, id);
    case RefinementType::reorder:
      return graph.reorder(r.target, r.energy_Wh, id);
    case RefinementType::merge:
      return graph.merge(r.target, r.other, id);
    case RefinementType::add_precondition:
      return graph.add_precondition(r.target, r.name, id);
    case RefinementType::parallelize:
      return graph.parallelize(r.target, r.other, id);
    case RefinementType::insert_recovery:
      return graph.insert_recovery(r.target, r.name, r.second, id);
    case RefinementType::adjust_priority:
      return graph.adjust_priority(r.target, r.new_priority, id);
  }
  return fail(Errc::invalid_argument, "type", "unknown refinement");
}

void write(JsonText& out, const Refinement& r) {
  out.begin_object().field("id", r.id()).field("type", refinement_type_name(r.type)).field("target", r.target);
  out.field("other", r.other).field("name", r.name).field("second", r.second).field("before", r.before);
  out.field("new_priority", priority_name(r.new_priority)).field("priority", priority_name(r.priority));
  out.field("source", source_name(r.source)).field("confidence", r.confidence).field("source_tag", r.source_tag);
  out.field("rationale", r.rationale).key("because").begin_array();
  for (const std::string& id : r.because) out.value(id);
  out.end_array().key("evidence");
  r.evidence.write(out);
  out.end_object();
}

std::vector<Refinement> Refiner::safety_checkpoints(const TaskGraph& graph, const Ontology& ontology) const {
  std::vector<Refinement> out;
  for (const auto& [id, node] : graph.nodes()) {
    if (!skill_in_force(node) || !handles(node.action) || node.object.empty()) continue;
    const bool fragile = ontology.has_tag(node.object, "fragile");
    if (!fragile && ontology.risk_of(node.object) < config_.risky) continue;
    Refinement r;
    r.type = RefinementType::insert_checkpoint;
    r.target = id;
    r.name = "verify";
    r.priority = Priority::high;
    r.rationale = fmt::format("{} is {}", node.object, fragile ? "fragile" : "at risk");
    r.because = {object_id(node.object)};
    if (const OntologyNode* object = ontology.find(object_id(node.object))) r.evidence = object->evidence;
    out.push_back(std::move(r));
  }
  return out;
}

void Refiner::recoveries(const Looked& at, std::vector<Refinement>& out) const {
  for (const auto& [id, node] : at.ontology.nodes) {
    if (node.kind != NodeKind::recovery) continue;
    const OntologyNode* fragility = at.ontology.find(node.subject);
    if (fragility == nullptr) continue;
    const auto reason = reason_from(fragility->name);
    const std::string_view object = std::string_view(fragility->subject).substr(object_id("").size());
    for (const auto& [key, skill] : at.skills) {
      if (!reason || skill.by_reason[static_cast<size_t>(*reason)] == 0 || at.vocabulary.name(key.object) != object)
        continue;
      for (const std::string& target : at.nodes_of(key)) {
        Refinement r;
        r.type = RefinementType::insert_recovery;
        r.target = target;
        r.name = fragility->name;
        r.second = node.name;
        r.priority = Priority::high;
        r.source = node.source;
        r.source_tag = tag_kind_name(TagKind::recovery);
        r.confidence = node.confidence;
        r.rationale = fmt::format("{} puts {} right", node.name, fragility->name);
        r.because = {id, fragility->id};
        r.evidence = node.evidence;
        out.push_back(std::move(r));
      }
    }
  }
}

void Refiner::preconditions(const Looked& at, std::vector<Refinement>& out) const {
  for (const auto& [id, node] : at.ontology.nodes) {
    if (node.kind != NodeKind::constraint || node.name == "expected_Wh") continue;
    const std::string_view object = std::string_view(node.subject).substr(object_id("").size());
    const double* limit = std::get_if<double>(&node.value);
    for (const auto& [target, skill] : at.graph.nodes()) {
      const bool gate = node.name == "skill_gate";
      if (!skill_in_force(skill) || skill.object != object || (gate && skill.action != node.detail)) continue;
      if (!gate && !handles(skill.action) && skill.action != "approach") continue;
      Refinement r;
      r.type = RefinementType::add_precondition;
      r.target = target;
      const char* relation = node.name.starts_with("max_") ? "<=" : ">=";
      const std::string what = gate ? "trust" : node.name;
      r.name = limit == nullptr ? what : fmt::format("{}{}{}", what, relation, *limit);
      r.priority = node.name == "safety_stop" ? Priority::critical : Priority::high;
      r.source = node.source == Source::seed ? Source::sima2 : node.source;
      r.rationale = fmt::format("{} must hold for {}", node.name, object);
      r.because = {id};
      r.evidence = node.evidence;
      out.push_back(std::move(r));
    }
  }
}

void Refiner::splits(const Looked& at, std::vector<Refinement>& out) const {
  for (const auto& [key, skill] : at.skills) {
    for (const SplitRule& rule : split_rules) {
      const uint64_t n = skill.by_reason[static_cast<size_t>(rule.reason)];
      const bool often = static_cast<double>(n) >= config_.split_share * static_cast<double>(skill.attempts);
      if (key.label != rule.label || n < config_.split_failures || !often) continue;
      for (const std::string& target : at.nodes_of(key)) {
        if (target.find("/2_") != std::string::npos) continue;  // the second half of a split is as small as it gets
        Refinement r;
        r.type = RefinementType::split;
        r.target = target;
        r.name = rule.first;
        r.second = rule.second;
        r.rationale = fmt::format("{} of {} attempts failed by {}", n, skill.attempts, reason_name(rule.reason));
        r.because = {fragility_id(at.vocabulary.name(key.object), reason_name(rule.reason))};
        r.evidence = skill.failed;
        out.push_back(std::move(r));
      }
    }
  }
}

void Refiner::priorities(const Looked& at, std::vector<Refinement>& out) const {
  for (const auto& [key, skill] : at.skills) {
    if (skill.attempts < config_.priority_attempts || is_anomaly(key.label)) continue;
    const double share = static_cast<double>(skill.failures) / static_cast<double>(skill.attempts);
    if (share < config_.priority_failure_share) continue;
    for (const std::string& target : at.nodes_of(key)) {
      Refinement r;
      r.type = RefinementType::adjust_priority;
      r.target = target;
      r.new_priority = at.econ.error_urgency > config_.urgent ? Priority::critical : Priority::high;
      r.source = at.econ.error_urgency > config_.urgent ? Source::econ_signals : Source::sima2;
      if (at.graph.find(target)->priority <= r.new_priority) continue;
      r.rationale = fmt::format("{} of {} attempts failed", skill.failures, skill.attempts);
      r.evidence = skill.failed;
      out.push_back(std::move(r));
    }
  }
}

void Refiner::orders(const Looked& at, std::vector<Refinement>& out) const {
  if (at.econ.energy_urgency <= config_.urgent) return;
  std::map<std::string, std::map<std::string, double>> measured;  // composite -> child -> Wh
  for (const auto& [key, skill] : at.skills) {
    if (skill.energy_count == 0) continue;
    for (const std::string& target : at.nodes_of(key))
      measured[at.graph.find(target)->parent][target] = skill.energy_sum_Wh / static_cast<double>(skill.energy_count);
  }
  for (auto& [composite, energies] : measured) {
    if (energies.size() < 2 || composite.empty()) continue;
    Refinement r;
    r.type = RefinementType::reorder;
    r.target = composite;
    for (auto& [node, Wh] : energies) Wh = static_cast<double>(static_cast<int64_t>(Wh * 1e6)) / 1e6;
    r.energy_Wh = std::move(energies);
    r.source = Source::econ_signals;
    r.priority = Priority::low;
    r.rationale = "energy is urgent, and these are free in their order";
    TaskGraph trial = at.graph;  // rare, and only when energy is urgent
    if (apply(trial, r)) out.push_back(std::move(r));
  }
}

void Refiner::merges(const Looked& at, std::vector<Refinement>& out) const {
  std::map<std::string, std::string> first;  // what it does -> who did it first
  for (const auto& [id, node] : at.graph.nodes()) {
    if (!skill_in_force(node) || node.object.empty()) continue;
    const std::string does = fmt::format("{}|{}|{}", node.parent, node.action, node.object);
    const auto [at_first, fresh] = first.emplace(does, id);
    if (fresh) continue;
    const bool adjacent =
        at.graph.edges_from(at_first->second).contains(id) || at.graph.edges_from(id).contains(at_first->second);
    const bool unordered = !adjacent && at.graph.edges_from(id).empty();
    if (!adjacent && !unordered) continue;  // it is done twice on purpose
    Refinement r;
    r.type = RefinementType::merge;
    r.target = at_first->second;
    r.other = id;
    r.priority = Priority::low;
    r.rationale = fmt::format("both {} {}", node.action, node.object);
    out.push_back(std::move(r));
  }
}

void Refiner::parallels(const Looked& at, std::vector<Refinement>& out) const {
  if (at.econ.mpl_urgency <= config_.urgent) return;
  for (const auto& [id, node] : at.graph.nodes()) {
    if (!skill_in_force(node)) continue;
    for (const auto& [next, kind] : at.graph.edges_from(id)) {
      const TaskNode& other = *at.graph.find(next);
      const bool apart = skill_in_force(other) && other.parent == node.parent && other.object != node.object;
      if (kind != EdgeKind::soft || !apart || !node.parallel_group.empty()) continue;
      Refinement r;
      r.type = RefinementType::parallelize;
      r.target = id;
      r.other = next;
      r.source = Source::econ_signals;
      r.priority = Priority::low;
      r.rationale = "output is urgent, and these touch different things";
      out.push_back(std::move(r));
    }
  }
}

std::vector<Refinement> Refiner::suggest(const TaskGraph& graph, const Ontology& ontology, const Vocabulary& vocabulary,
                                         const SkillTable& skills, const EconSignals& econ) {
  const Looked at{graph, ontology, vocabulary, skills, econ};
  std::vector<Refinement> all = safety_checkpoints(graph, ontology);
  recoveries(at, all);
  preconditions(at, all);
  splits(at, all);
  priorities(at, all);
  orders(at, all);
  merges(at, all);
  parallels(at, all);
  std::map<std::pair<Priority, std::string>, Refinement> fresh;
  for (Refinement& r : all) {
    std::string id = r.id();
    if (!made_.contains(id)) fresh.emplace(std::pair{r.priority, std::move(id)}, std::move(r));
  }
  std::vector<Refinement> out;
  for (auto& [key, r] : fresh) {
    if (out.size() >= config_.suggestions_max) break;
    made_.insert(key.second);
    out.push_back(std::move(r));
  }
  return out;
}

}  // namespace drover::semantics

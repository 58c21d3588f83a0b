#include "actors/semantics/invariants.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "actors/semantics/json_read.hpp"
#include "actors/semantics/json_text.hpp"

namespace drover::semantics {
namespace {

constexpr std::string_view format_name = "drover.invariants.v1";
constexpr uint64_t pair_every = 8;  // episodes between two looks at the fragility nodes

EvidenceTrail trail_of(const EpisodeFacts& facts, size_t segment) {
  EvidenceTrail out;
  if (segment < facts.actions.size()) {
    const ActionFact& a = facts.actions[segment];
    out.add(facts.episode_id, a.key, a.start_s, a.end_s);
  } else {
    out.add(facts.episode_id, "", 0, facts.duration_s);
  }
  return out;
}

// The node of the graph that a segment was: the skill itself, else its task.
std::string node_of(const TaskGraph& graph, const Vocabulary& vocabulary, const EpisodeFacts& facts, size_t segment) {
  const std::string_view task = family_name(facts.family);
  if (segment < facts.actions.size()) {
    const ActionFact& a = facts.actions[segment];
    const auto skills = graph.skills(task, label_name(a.label), vocabulary.name(a.object));
    if (!skills.empty()) return skills.front();
    // An anomaly happened during what went before it.
    for (size_t i = segment; i-- > 0;) {
      const auto before = graph.skills(task, label_name(facts.actions[i].label), "");
      if (!before.empty()) return before.front();
    }
  }
  return graph.resolve(task);
}

bool recovered_after(const EpisodeFacts& facts, size_t segment) {
  for (size_t i = segment + 1; i < facts.actions.size() && i <= segment + 2; ++i) {
    const ActionFact& a = facts.actions[i];
    if (a.label == Label::recovery_maneuver || a.outcome == Outcome::recovered) return true;
  }
  return false;
}

}  // namespace

void Invariants::lucky(const EpisodeFacts& facts, const Enriched& enriched, const TaskGraph& graph,
                       InvariantFindings& out) const {
  if (!enriched.tags.marked("lucky")) return;
  const size_t segment = enriched.tags.risk.front().segment;
  Refinement r;
  r.type = RefinementType::insert_checkpoint;
  r.target = node_of(graph, *vocabulary_, facts, segment);
  r.name = "verify";
  r.before = false;
  r.priority = Priority::high;
  r.source = facts.source;
  r.source_tag = tag_kind_name(TagKind::risk);
  r.rationale = "high risk and success without a recovery was luck; verify instead";
  r.evidence = trail_of(facts, segment);
  if (!r.target.empty()) out.refinements.push_back(std::move(r));
}

void Invariants::contain(const EpisodeFacts& facts, const Enriched& enriched, const Ontology& ontology,
                         const TaskGraph& graph, InvariantFindings& out) const {
  for (const OodTag& tag : enriched.tags.ood) {
    if (tag.source == OodSource::visual && tag.severity >= config_.inspect_from) {
      Refinement r;
      r.type = RefinementType::insert_checkpoint;
      r.target = node_of(graph, *vocabulary_, facts, tag.segment);
      r.name = "inspect";
      r.priority = Priority::high;
      r.source = facts.source;
      r.source_tag = tag_kind_name(TagKind::ood);
      r.rationale = fmt::format("something unknown in sight: {}", tag.details);
      r.evidence = trail_of(facts, tag.segment);
      if (!r.target.empty()) out.refinements.push_back(std::move(r));
    }
    if (tag.severity <= config_.ood_critical || recovered_after(facts, tag.segment)) continue;
    // The thing it was about, or the one at most risk.
    TermId about = tag.segment < facts.actions.size() ? facts.actions[tag.segment].object : TermId{};
    for (const TermId object : facts.objects)
      if (!about || ontology.find(object_id(vocabulary_->name(about))) == nullptr) about = object;
    if (!about) continue;
    Proposal p;
    p.type = ProposalType::add_safety_constraint;
    p.target = vocabulary_->name(about);
    p.name = "safety_stop";
    p.value = config_.ood_critical;
    p.priority = Priority::critical;
    p.source = facts.source;
    p.confidence = std::min(1.0, tag.severity);
    p.source_tag = tag_kind_name(TagKind::ood);
    p.rationale = fmt::format("{} out of distribution, severity {}, and nothing was done about it: {}",
                              ood_source_name(tag.source), tag.severity, tag.details);
    p.evidence = trail_of(facts, tag.segment);
    out.proposals.push_back(std::move(p));
  }
}

void Invariants::doom(const EpisodeFacts& facts, Enriched& enriched, const TaskGraph& graph, InvariantFindings& out) {
  for (size_t i = 0; i < facts.actions.size(); ++i) {
    const ActionFact& a = facts.actions[i];
    // An anomaly is never a success, so a row of them says nothing: what it happened to counts.
    if (!a.object || a.label == Label::idle || a.label == Label::recovery_maneuver || is_anomaly(a.label)) continue;
    const std::string_view object = vocabulary_->name(a.object);
    std::string key = fmt::format("{}|{}|{}", facts.robot, label_name(a.label), object);
    if (a.outcome != Outcome::failure) {
      streaks_.erase(key);
      continue;
    }
    if (streaks_.size() >= config_.streaks_max && !streaks_.contains(key)) {
      const auto oldest = std::min_element(streaks_.begin(), streaks_.end(), [](const auto& x, const auto& y) {
        return x.second.last_episode < y.second.last_episode;
      });
      streaks_.erase(oldest);
    }
    Streak& streak = streaks_[std::move(key)];
    streak.failures = streak.reason == a.reason ? streak.failures + 1 : 1;
    streak.reason = a.reason;
    streak.last_episode = episodes_;
    if (streak.failures < config_.doom_loop_failures) continue;
    enriched.tags.mark("doom_loop");
    if (streak.failures > config_.doom_loop_failures) continue;  // said once per loop
    Proposal p;
    p.type = ProposalType::infer_fragility;
    p.target = object;
    p.name = "locked";
    p.value = 0.6;
    p.priority = Priority::critical;
    p.source = facts.source;
    p.confidence = 0.9;
    p.rationale = fmt::format("{} {} failed {} times in a row by {}", label_name(a.label), object, streak.failures,
                              reason_name(a.reason));
    p.evidence = trail_of(facts, i);
    Refinement r;
    r.type = RefinementType::insert_recovery;
    r.target = node_of(graph, *vocabulary_, facts, i);
    r.name = "locked";
    r.second = "abort";
    r.priority = Priority::critical;
    r.source = facts.source;
    r.confidence = 0.9;
    r.rationale = p.rationale;
    r.because = {node_id_of(p)};
    r.evidence = p.evidence;
    out.alerts.push_back({"doom_loop", node_id_of(p), p.rationale, episodes_});
    out.proposals.push_back(std::move(p));
    if (!r.target.empty()) out.refinements.push_back(std::move(r));
  }
}

void Invariants::pair_up(const Ontology& ontology, InvariantFindings& out) {
  if (episodes_ % pair_every != 0) return;
  std::map<std::string, uint64_t> still;
  for (const OntologyNode* node : ontology.unpaired_fragilities()) {
    const auto at = unpaired_since_.find(node->id);
    const uint64_t since = at == unpaired_since_.end() ? episodes_ : at->second;
    still.emplace(node->id, since);
    if (episodes_ - since <= config_.unpaired_episodes || !alerted_.insert(node->id).second) continue;
    out.alerts.push_back({"missing_skill", node->id,
                          fmt::format("{} has had no recovery for {} episodes", node->id, episodes_ - since),
                          episodes_});
  }
  std::erase_if(alerted_, [&](const std::string& id) { return !still.contains(id); });
  unpaired_since_ = std::move(still);
}

InvariantFindings Invariants::watch(const EpisodeFacts& facts, Enriched& enriched, const Ontology& ontology,
                                    const TaskGraph& graph) {
  InvariantFindings out;
  ++episodes_;
  lucky(facts, enriched, graph, out);
  contain(facts, enriched, ontology, graph, out);
  doom(facts, enriched, graph, out);
  pair_up(ontology, out);
  return out;
}

std::string Invariants::json() const {
  JsonText out;
  out.begin_object().field("format", format_name).field("episodes", episodes_).key("streaks").begin_object();
  for (const auto& [key, s] : streaks_) {
    out.key(key).begin_array().value(reason_name(s.reason)).value(s.failures).value(s.last_episode).end_array();
  }
  out.end_object().key("unpaired").begin_object();
  for (const auto& [id, since] : unpaired_since_) out.field(id, since);
  out.end_object().key("alerted").begin_array();
  for (const std::string& id : alerted_) out.value(id);
  out.end_array().end_object();
  return std::move(out).text();
}

Status Invariants::restore(std::string_view json) {
  DROVER_ASSIGN(const nlohmann::json root, parse_state(json, format_name));
  Invariants fresh(config_, *vocabulary_);
  DROVER_ASSIGN(fresh.episodes_, get_count(root, "episodes"));
  DROVER_ASSIGN(const nlohmann::json* streaks, get_map(root, "streaks"));
  for (const auto& [key, s] : streaks->items()) {
    if (!s.is_array() || s.size() != 3 || !s[0].is_string() || !s[1].is_number_unsigned() || !s[2].is_number_unsigned())
      return bad_state("streaks", "must hold [reason, failures, episode]");
    const auto reason = reason_from(s[0].get<std::string>());
    if (!reason) return bad_state("streaks", "unknown reason");
    fresh.streaks_[key] = {*reason, s[1].get<uint32_t>(), s[2].get<uint64_t>()};
  }
  DROVER_ASSIGN(const nlohmann::json* unpaired, get_map(root, "unpaired"));
  for (const auto& [id, since] : unpaired->items()) {
    if (!since.is_number_unsigned()) return bad_state("unpaired", "must hold episodes");
    fresh.unpaired_since_[id] = since.get<uint64_t>();
  }
  DROVER_ASSIGN(const auto alerted, get_texts(root, "alerted"));
  fresh.alerted_.insert(alerted.begin(), alerted.end());
  *this = std::move(fresh);
  return {};
}

}  // namespace drover::semantics

#include "actors/semantics/orchestrator.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "actors/semantics/json_text.hpp"
#include "actors/semantics/names.hpp"

namespace drover::semantics {
namespace {

constexpr std::array<std::string_view, 4> verdict_names = {"applied", "confirmed", "deferred", "refused"};

template <class Suggestion>
std::string content_of(const Suggestion& s) {
  JsonText out;
  write(out, s);
  return std::move(out).text();
}

}  // namespace

std::string_view verdict_name(Verdict verdict) noexcept {
  return enum_name(verdict_names, verdict);
}
std::string Decision::id() const {
  return fmt::format("d-{}", number);
}

double DecisionCounts::acceptance() const {
  const uint64_t judged = applied + confirmed + deferred + refused;
  return judged == 0 ? 1.0 : static_cast<double>(applied + confirmed) / static_cast<double>(judged);
}

Orchestrator::Orchestrator(const OrchestratorConfig& config, const Vocabulary& vocabulary, OntologyStore ontology,
                           TaskGraph graph, const TrustConfig& trust)
    : config_(config),
      vocabulary_(&vocabulary),
      ontology_(std::move(ontology)),
      graph_(std::move(graph)),
      trust_config_(trust),
      trust_(trust, {}) {}

// What addresses an urgency of the economy goes one priority up.
void Orchestrator::lift(Proposal& p) const {
  const bool about_errors = p.type == ProposalType::infer_fragility || p.type == ProposalType::add_safety_constraint ||
                            p.type == ProposalType::add_skill_gate || p.type == ProposalType::adjust_risk ||
                            p.name == "recovered_by";
  const bool about_energy = p.type == ProposalType::add_energy_heuristic;
  const bool about_output = p.type == ProposalType::add_affordance || p.type == ProposalType::add_object_category;
  const bool urgent = (about_errors && econ_.error_urgency > config_.urgent) ||
                      (about_energy && econ_.energy_urgency > config_.urgent) ||
                      (about_output && econ_.mpl_urgency > config_.urgent);
  if (urgent && p.priority != Priority::critical) p.priority = static_cast<Priority>(static_cast<int>(p.priority) - 1);
}

void Orchestrator::keep(const Decision& d) {
  const bool applied = d.verdict == Verdict::applied;
  std::deque<Decision>& where = applied ? decisions_ : refusals_;
  where.push_back(d);
  while (where.size() > (applied ? config_.applied_max : config_.refused_max)) where.pop_front();
}

void Orchestrator::raise(SemanticAlert alert) {
  alerts_.push_back(std::move(alert));
  while (alerts_.size() > config_.alerts_max) alerts_.pop_front();
}

Decision Orchestrator::decide_proposal(const Proposal& p, uint64_t episode) {
  Decision d;
  d.number = next_number_++;
  d.suggestion = p.id();
  d.node = node_id_of(p);
  d.episode = episode;
  d.content = content_of(p);
  if (!trust_.permits(p.source_tag)) {
    d.verdict = Verdict::deferred;
    d.reason = fmt::format("leans on {}, which is not believed enough", p.source_tag);
    const bool room = waiting_proposals_.size() < config_.deferred_max;
    if (room) waiting_proposals_.insert_or_assign(d.suggestion, p);
  } else if (const auto done = ontology_.apply(p)) {
    d.verdict = *done == ApplyOutcome::confirmed ? Verdict::confirmed : Verdict::applied;
  } else {
    d.verdict = Verdict::refused;
    d.reason = done.error().message();
  }
  return d;
}

Decision Orchestrator::decide_refinement(const Refinement& r, uint64_t episode) {
  Decision d;
  d.number = next_number_++;
  d.suggestion = r.id();
  d.node = r.target;
  d.episode = episode;
  d.content = content_of(r);
  if (!trust_.permits(r.source_tag)) {
    d.verdict = Verdict::deferred;
    d.reason = fmt::format("leans on {}, which is not believed enough", r.source_tag);
    const bool room = waiting_refinements_.size() < config_.deferred_max;
    if (room) waiting_refinements_.insert_or_assign(d.suggestion, r);
  } else if (const Status done = apply(graph_, r)) {
    d.verdict = Verdict::applied;
  } else if (done.error().code == Errc::already_exists) {
    d.verdict = Verdict::confirmed;
  } else {
    d.verdict = Verdict::refused;
    d.reason = done.error().message();
  }
  return d;
}

std::vector<Decision> Orchestrator::decide(std::vector<Proposal> proposals, std::vector<Refinement> refinements,
                                           uint64_t episode) {
  std::vector<Decision> out;
  std::vector<Proposal> valid;
  for (Proposal& p : proposals) {
    if (const Status good = validate(p, *vocabulary_); !good) {
      ++counts_.invalid;
      Decision d{next_number_++,
                 Verdict::refused,
                 p.id(),
                 node_id_of(p),
                 good.error().message(),
                 content_of(p),
                 episode,
                 0,
                 0};
      keep(d);
      out.push_back(std::move(d));
      continue;
    }
    ++counts_.proposals;
    lift(p);
    valid.push_back(std::move(p));
  }
  Reconciled reconciled = reconcile(std::move(valid));
  for (const auto& [loser, winner] : reconciled.outranked) {
    ++counts_.outranked;
    Decision d{next_number_++,    Verdict::refused, loser.id(),          node_id_of(loser), "outranked by " + winner,
               content_of(loser), episode,          ontology_.version(), graph_.version()};
    keep(d);
    out.push_back(std::move(d));
  }
  std::vector<Decision> decided;
  for (const Proposal& p : reconciled.standing) decided.push_back(decide_proposal(p, episode));
  for (const Refinement& r : refinements) decided.push_back(decide_refinement(r, episode));
  const uint64_t ontology_version = ontology_.seal();
  const uint64_t graph_version = graph_.seal();
  for (Decision& d : decided) {
    d.ontology_version = ontology_version;
    d.graph_version = graph_version;
    uint64_t* const counters[] = {&counts_.applied, &counts_.confirmed, &counts_.deferred, &counts_.refused};
    ++*counters[static_cast<size_t>(d.verdict)];
    if (d.verdict == Verdict::confirmed) continue;
    keep(d);
    out.push_back(std::move(d));
  }
  return out;
}

std::vector<Decision> Orchestrator::on_trust(const TrustMatrix& matrix, uint64_t episode) {
  for (const CalibrationAlert& a : calibration_alerts(trust_, matrix))
    raise({"calibration", std::string(tag_kind_name(a.tag)), a.message, episode});
  trust_ = matrix;
  std::vector<Proposal> proposals;
  std::vector<Refinement> refinements;
  for (auto at = waiting_proposals_.begin(); at != waiting_proposals_.end();) {
    if (!trust_.permits(at->second.source_tag)) {
      ++at;
      continue;
    }
    proposals.push_back(std::move(at->second));
    at = waiting_proposals_.erase(at);
  }
  for (auto at = waiting_refinements_.begin(); at != waiting_refinements_.end();) {
    if (!trust_.permits(at->second.source_tag)) {
      ++at;
      continue;
    }
    refinements.push_back(std::move(at->second));
    at = waiting_refinements_.erase(at);
  }
  if (proposals.empty() && refinements.empty()) return {};
  return decide(std::move(proposals), std::move(refinements), episode);
}

TrainingFocus Orchestrator::propose_training_focus(const SkillTable& skills, const FleetState& fleet,
                                                   const FocusTargets& targets) const {
  TrainingFocus out;
  std::map<std::string, FocusTag> gaps;
  const auto want = [&](std::string tag, double weight, std::string why) {
    FocusTag& at = gaps[tag];
    if (weight <= at.weight) return;
    at = {std::move(tag), std::min(1.0, weight), std::move(why)};
  };
  for (const auto& [key, s] : skills) {
    if (s.attempts < 10 || !key.object || is_anomaly(key.label)) continue;
    const double success = 1 - static_cast<double>(s.failures) / static_cast<double>(s.attempts);
    const double gap = targets.success - success;
    if (gap <= 0) continue;
    const std::string skill = fmt::format("{}:{}", label_name(key.label), vocabulary_->name(key.object));
    want("skill:" + skill, gap * (1 + econ_.error_urgency),
         fmt::format("{} works in {:.0f} % of {} attempts, wanted {:.0f} %", skill, 100 * success, s.attempts,
                     100 * targets.success));
  }
  for (const auto& [tag, share] : targets.tag_shares) {
    const auto kind = tag_kind_from(tag);
    if (kind && !trust_.rights(*kind).used) continue;  // untrusted: ignored everywhere
    const auto count = fleet.tag_counts.find(tag);
    const double has = count == fleet.tag_counts.end() || fleet.episodes == 0
                           ? 0
                           : static_cast<double>(count->second) / static_cast<double>(fleet.episodes);
    if (has < share)
      want(tag, share - has, fmt::format("{:.1f} % of episodes have it, wanted {:.0f} %", 100 * has, 100 * share));
  }
  for (auto& [tag, focus] : gaps) out.tags.push_back(std::move(focus));
  std::stable_sort(out.tags.begin(), out.tags.end(),
                   [](const FocusTag& a, const FocusTag& b) { return a.weight > b.weight; });
  if (out.tags.size() > 16) out.tags.resize(16);
  if (fleet.error_rate >= 0.05 && fleet.episodes < 1000) {
    out.phase = CurriculumStage::warmup;
    out.tier_shares = {0.5, 0.5, 0};
    out.why.push_back(fmt::format("error rate {:.1f} % is not below 5 % yet", 100 * fleet.error_rate));
  } else if (fleet.affordance_success <= 0.8 && fleet.episodes < 5000) {
    out.phase = CurriculumStage::skill_building;
    out.why.push_back(fmt::format("{:.0f} % of attempts work, 80 % are needed", 100 * fleet.affordance_success));
  } else if (fleet.mpl_growth >= 0.05 && fleet.episodes < 15000) {
    out.phase = CurriculumStage::frontier;
    out.tier_shares = {0, 0.4, 0.6};
    out.why.push_back(fleet.mpl_growth >= 1 ? std::string("that output has stopped growing is not shown yet")
                                            : fmt::format("output still grows by {:.1f} % per thousand episodes",
                                                          100 * fleet.mpl_growth));
  } else {
    out.phase = CurriculumStage::fine_tuning;
    out.tier_shares = {0.1, 0.4, 0.5};
    out.why.push_back("output no longer grows: weak spots first");
  }
  return out;
}

void TrainingFocus::write(JsonText& out) const {
  out.begin_object().field("phase", curriculum_stage_name(phase)).key("tier_shares").begin_array();
  for (const double share : tier_shares) out.value(share);
  out.end_array().key("tags").begin_array();
  for (const FocusTag& t : tags)
    out.begin_object().field("tag", t.tag).field("weight", t.weight).field("why", t.why).end_object();
  out.end_array().key("why").begin_array();
  for (const std::string& reason : why) out.value(reason);
  out.end_array().end_object();
}

}  // namespace drover::semantics

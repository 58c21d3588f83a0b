#include "actors/semantics/update_engine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "messages/check.hpp"

namespace drover::semantics {
namespace {

constexpr double limit_max = 1e6;

double round_to(double value, int digits) {
  if (!(value > 0)) return 0;
  const double scale = std::pow(10.0, digits - 1 - std::floor(std::log10(value)));
  return std::round(value * scale) / scale;
}

double severity_of(Reason reason) {
  switch (failure_level(reason, false)) {
    case Level::critical:
      return 0.9;
    case Level::high:
      return 0.8;
    case Level::medium:
      return 0.6;
    case Level::low:
      break;
  }
  return 0.4;
}

bool damaging(Reason reason) {
  return failure_level(reason, false) >= Level::high;
}

bool doubled(uint64_t n, uint64_t from) {
  return n >= from && n % from == 0 && std::has_single_bit(n / from);
}

}  // namespace

UpdateEngine::Track& UpdateEngine::show(const Key& key, const EpisodeFacts& facts, const ActionFact& action) {
  Track& track = tracks_[key];
  ++track.count;
  track.best = std::min(track.best, facts.source);
  track.fresh.add(facts.episode_id, action.key, action.start_s, action.end_s);
  return track;
}

bool UpdateEngine::enough(const Key& key, const Track& t) const {
  switch (key.kind) {
    case Kind::object:
      return true;
    case Kind::affordance:
      return t.count >= config_.affordance_successes;
    case Kind::fragility:
      return t.count >= config_.fragility_failures;
    case Kind::recovered:
      return t.count >= config_.recoveries;
    case Kind::max_force:
      return t.count >= config_.collisions && t.least > 0;
    case Kind::gate:
      return t.attempts >= config_.gate_attempts &&
             static_cast<double>(t.count) >= config_.gate_failure_share * static_cast<double>(t.attempts);
    case Kind::heuristic:
      return t.count >= config_.heuristic_samples;
    case Kind::tag:
      return t.count >= config_.tag_failures;
    case Kind::risk:
      return t.attempts >= config_.risk_attempts;
  }
  return false;
}

void UpdateEngine::consider(const Key& key, Track& t) {
  if (!enough(key, t)) return;
  const bool better_source = t.best < t.sent;
  bool moved = false;
  if (key.kind == Kind::heuristic && t.sent_once && std::has_single_bit(t.count)) {
    const double mean = t.sum / static_cast<double>(t.count);
    moved = std::abs(mean - t.sent_value) > config_.heuristic_step * t.sent_value;
  }
  if (key.kind == Kind::max_force && t.sent_once) moved = t.least * config_.force_margin < 0.7 * t.sent_value;
  if (key.kind == Kind::risk) moved = doubled(t.attempts, config_.risk_attempts);
  const bool first = !t.sent_once && key.kind != Kind::risk;
  if (first || moved || (better_source && key.kind != Kind::risk)) due_.insert(key);
}

void UpdateEngine::observe_failure(const EpisodeFacts& facts, const ActionFact& a) {
  const auto reason = static_cast<uint8_t>(a.reason);
  const auto also = [&](const Key& key) { consider(key, show(key, facts, a)); };
  also({Kind::fragility, a.object, reason, {}});
  also({Kind::tag, a.object, 0, vocabulary_->find(TermKind::tag, "failure_prone")});
  if (a.reason == Reason::drop || (a.reason == Reason::collision && a.label == Label::collision))
    also({Kind::tag, a.object, 0, vocabulary_->find(TermKind::tag, "fragile")});
  if (a.reason == Reason::grasp_slip) also({Kind::tag, a.object, 0, vocabulary_->find(TermKind::tag, "slippery")});
  if (a.label != Label::collision) return;  // what was under way when it happened did not press that hard
  const Key key{Kind::max_force, a.object, 0, {}};
  Track& track = show(key, facts, a);
  const double force = static_cast<double>(a.metrics.force_N_max);
  if (force > 0 && force < limit_max) track.least = track.least > 0 ? std::min(track.least, force) : force;
  consider(key, track);
}

void UpdateEngine::observe_success(const EpisodeFacts& facts, const ActionFact& a) {
  const TermId shown = vocabulary_->affordance_of(vocabulary_->find(TermKind::action, label_name(a.label)));
  if (shown && a.confidence >= config_.affordance_confidence) {
    const Key key{Kind::affordance, a.object, 0, shown};
    consider(key, show(key, facts, a));
  }
  const double Wh = static_cast<double>(a.metrics.energy_Wh);
  if (!facts.has_power || !(Wh > 0) || Wh > limit_max) return;
  const Key key{Kind::heuristic, a.object, static_cast<uint8_t>(a.label), {}};
  Track& track = show(key, facts, a);
  track.sum += Wh;
  consider(key, track);
}

void UpdateEngine::observe_skill(const EpisodeFacts& facts, const ActionFact& a) {
  const bool failed = a.outcome == Outcome::failure;
  SkillStats& skill = skills_[{facts.family, a.label, a.object}];
  ++skill.attempts;
  if (failed) {
    ++skill.failures;
    ++skill.by_reason[static_cast<size_t>(a.reason)];
    skill.failed.add(facts.episode_id, a.key, a.start_s, a.end_s);
  } else if (facts.has_power && a.metrics.energy_Wh > 0) {
    skill.energy_sum_Wh += static_cast<double>(a.metrics.energy_Wh);
    ++skill.energy_count;
  }
  const Key gate{Kind::gate, a.object, static_cast<uint8_t>(a.label), {}};
  Track& gated = tracks_[gate];
  ++gated.attempts;
  gated.best = std::min(gated.best, facts.source);
  if (failed && !is_anomaly(a.label)) consider(gate, show(gate, facts, a));
  const Key risk{Kind::risk, a.object, 0, {}};
  Track& risky = tracks_[risk];
  ++risky.attempts;
  risky.best = std::min(risky.best, facts.source);
  if (failed && damaging(a.reason))
    show(risk, facts, a);
  else if (doubled(risky.attempts, config_.risk_attempts))  // that nothing happened has its evidence too
    risky.fresh.add(facts.episode_id, a.key, a.start_s, a.end_s);
  consider(risk, risky);
}

void UpdateEngine::observe_recoveries(const EpisodeFacts& facts, const Enriched& enriched) {
  for (const RecoveryTag& tag : enriched.tags.recovery) {
    const TermId object = vocabulary_->find(TermKind::object, tag.object);
    const TermId recovery = vocabulary_->find(TermKind::recovery, tag.recovery);
    const auto reason = reason_from(tag.failure);
    if (!object || !recovery || !reason || tag.success_segment >= facts.actions.size()) continue;
    const Key key{Kind::recovered, object, static_cast<uint8_t>(*reason), recovery};
    consider(key, show(key, facts, facts.actions[tag.success_segment]));
  }
}

void UpdateEngine::observe(const EpisodeFacts& facts, const Enriched& enriched) {
  for (const ActionFact& a : facts.actions) {
    if (!a.object || a.label == Label::idle) continue;
    const Key object{Kind::object, a.object, 0, {}};
    Track& seen = show(object, facts, a);
    if (seen.count == 1) due_.insert(object);
    if (a.label == Label::recovery_maneuver) continue;
    observe_skill(facts, a);
    if (a.outcome == Outcome::failure)
      observe_failure(facts, a);
    else
      observe_success(facts, a);
  }
  observe_recoveries(facts, enriched);
}

Status UpdateEngine::submit(Proposal proposal) {
  DROVER_TRY(validate(proposal, *vocabulary_));
  std::string id = proposal.id();
  if (const auto at = pending_.find(id); at != pending_.end()) {
    at->second.evidence.merge(proposal.evidence);
    return {};
  }
  if (pending_.size() >= config_.pending_max)
    return fail(Errc::overloaded, "proposals", fmt::format("{} wait already", config_.pending_max));
  pending_.emplace(std::move(id), std::move(proposal));
  return {};
}

double UpdateEngine::value_now(const Key& key, const Track& t, const Ontology& ontology) const {
  switch (key.kind) {
    case Kind::fragility:
      return severity_of(static_cast<Reason>(key.detail));
    case Kind::max_force:
      return std::max(1.0, std::floor(t.least * config_.force_margin));
    case Kind::gate:
      return config_.gate_trust;
    case Kind::heuristic:
      return round_to(t.sum / static_cast<double>(t.count), 3);
    case Kind::risk: {
      const double prior = ontology.risk_of(vocabulary_->name(key.object));
      const double weight = config_.risk_prior_weight;
      const double seen = (prior * weight + static_cast<double>(t.count)) / (weight + static_cast<double>(t.attempts));
      return std::round(seen * 100) / 100;
    }
    default:
      return 0;
  }
}

// What was seen to be so.
void UpdateEngine::describe_seen(const Key& key, const Track& t, Proposal& p) const {
  const std::string object(vocabulary_->name(key.object));
  switch (key.kind) {
    case Kind::object:
      p.type = ProposalType::add_object_category;
      p.target.clear();
      p.name = object;
      p.priority = Priority::high;
      p.rationale = fmt::format("{} was handled and is not in the ontology", object);
      break;
    case Kind::affordance:
      p.type = ProposalType::add_affordance;
      p.name = vocabulary_->name(key.term);
      p.rationale = fmt::format("it was done to {} with success", object);
      break;
    case Kind::recovered:
      p.type = ProposalType::update_object_relationship;
      p.target = fmt::format("{}/{}", object, reason_name(static_cast<Reason>(key.detail)));
      p.name = "recovered_by";
      p.other = vocabulary_->name(key.term);
      p.source_tag = tag_kind_name(TagKind::recovery);
      p.priority = Priority::high;
      p.rationale = fmt::format("{} put it right {} times", p.other, t.count);
      break;
    default:
      p.type = ProposalType::add_semantic_tag;
      p.name = vocabulary_->name(key.term);
      p.rationale = fmt::format("{} failures that show it", t.count);
      break;
  }
}

// What has a value that was measured or counted.
void UpdateEngine::describe_measured(const Key& key, const Track& t, double value, Proposal& p) const {
  p.value = value;
  switch (key.kind) {
    case Kind::fragility:
      p.type = ProposalType::infer_fragility;
      p.name = reason_name(static_cast<Reason>(key.detail));
      p.priority = damaging(static_cast<Reason>(key.detail)) ? Priority::critical : Priority::high;
      p.rationale = fmt::format("{} failed by {} {} times", p.target, p.name, t.count);
      break;
    case Kind::max_force:
      p.type = ProposalType::add_safety_constraint;
      p.name = "max_force_N";
      p.priority = Priority::critical;
      p.rationale = fmt::format("{} collisions, the softest with {:.1f} N", t.count, t.least);
      break;
    case Kind::gate:
      p.type = ProposalType::add_skill_gate;
      p.name = label_name(static_cast<Label>(key.detail));
      p.rationale = fmt::format("{} of {} attempts failed", t.count, t.attempts);
      break;
    case Kind::heuristic:
      p.type = ProposalType::add_energy_heuristic;
      p.name = label_name(static_cast<Label>(key.detail));
      p.priority = Priority::low;
      p.rationale = fmt::format("mean of {} measured successes", t.count);
      break;
    default:
      p.type = ProposalType::adjust_risk;
      p.priority = Priority::high;
      p.rationale = fmt::format("{} of {} attempts did damage", t.count, t.attempts);
      break;
  }
}

Proposal UpdateEngine::proposal_of(const Key& key, const Track& t, const Ontology& ontology) const {
  Proposal p;
  p.target = vocabulary_->name(key.object);
  p.source = t.best;
  p.evidence = t.fresh;
  // A share rests on all attempts, a fact on the times that it was shown.
  const bool share = key.kind == Kind::risk || key.kind == Kind::gate;
  const double n = static_cast<double>(share ? t.attempts : t.count);
  p.confidence = std::round(n / (n + 1) * 100) / 100;
  switch (key.kind) {
    case Kind::object:
    case Kind::affordance:
    case Kind::recovered:
    case Kind::tag:
      describe_seen(key, t, p);
      break;
    case Kind::fragility:
    case Kind::max_force:
    case Kind::gate:
    case Kind::heuristic:
    case Kind::risk:
      describe_measured(key, t, value_now(key, t, ontology), p);
      break;
  }
  return p;
}

std::vector<Proposal> UpdateEngine::drain(const Ontology& ontology) {
  std::vector<Proposal> out;
  for (auto at = due_.begin(); at != due_.end() && out.size() < config_.drain_max;) {
    const Key key = *at;
    Track& track = tracks_[key];
    const std::string_view object = vocabulary_->name(key.object);
    const bool known = ontology.find(object_id(object)) != nullptr;
    bool wanted = key.kind == Kind::object ? !known : true;
    if (key.kind != Kind::object && !known) {
      ++at;  // until the object is there
      continue;
    }
    if (key.kind == Kind::recovered &&
        ontology.find(fragility_id(object, reason_name(static_cast<Reason>(key.detail)))) == nullptr) {
      ++at;  // until the failure is a node
      continue;
    }
    if (key.kind == Kind::risk) {
      // What co-agents show may raise a risk; only real robots may lower it.
      const double step = value_now(key, track, ontology) - ontology.risk_of(object);
      wanted = step > config_.risk_step || (track.best == Source::real_log && step < -config_.risk_step);
    }
    if (wanted) {
      out.push_back(proposal_of(key, track, ontology));
      track.sent = track.best;
      track.sent_value = value_now(key, track, ontology);
      track.sent_once = true;
      track.fresh = {};
    }
    at = due_.erase(at);
  }
  for (auto& [id, proposal] : pending_) out.push_back(std::move(proposal));
  pending_.clear();
  return out;
}

void UpdateEngine::flush_evidence(OntologyStore& store) {
  for (auto& [key, track] : tracks_) {
    if (track.fresh.count() == 0) continue;
    if (!track.sent_once && key.kind != Kind::object) continue;  // not proposed yet: the trail goes with the proposal
    Proposal about = proposal_of(key, track, store.current());
    if (store.support(node_id_of(about), track.fresh)) track.fresh = {};
  }
}

uint64_t UpdateEngine::failures(std::string_view object, std::string_view failure) const {
  const TermId term = vocabulary_->find(TermKind::object, object);
  const auto reason = reason_from(failure);
  if (!term || !reason) return 0;
  const auto at = tracks_.find({Kind::fragility, term, static_cast<uint8_t>(*reason), {}});
  return at == tracks_.end() ? 0 : at->second.count;
}

}  // namespace drover::semantics

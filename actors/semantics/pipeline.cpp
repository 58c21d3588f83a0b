#include "actors/semantics/pipeline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "actors/semantics/concepts.hpp"
#include "actors/semantics/json_text.hpp"

namespace drover::semantics {
namespace {

constexpr size_t rolling_episodes = 100;
constexpr uint64_t novel_below = 2;  // a pair seen less often before is new
constexpr uint64_t expected_min = 20;
constexpr uint64_t output_block = 1000;
constexpr size_t rounds_max = 3;  // an object, what hangs on it, and what hangs on that

}  // namespace

double Stage2Metrics::share(TagKind kind) const {
  return episodes == 0 ? 0
                       : static_cast<double>(episodes_with[static_cast<size_t>(kind)]) / static_cast<double>(episodes);
}

void Stage2Metrics::write(JsonText& out) const {
  out.begin_object().field("episodes", episodes).field("primitives", primitives).key("tag_shares").begin_object();
  for (size_t i = 0; i < tag_kind_count; ++i)
    out.field(tag_kind_name(static_cast<TagKind>(i)), share(static_cast<TagKind>(i)));
  out.end_object().field("ood_primitives", ood_primitives).field("refused_words", refused_words);
  out.field("retroactive_records", retroactive_records).field("forgotten_outcomes", forgotten_outcomes);
  out.field("write_amplification", write_amplification).field("orphans", orphans).field("acceptance", acceptance);
  out.field("ontology_nodes", ontology_nodes).field("task_nodes", task_nodes).field("task_depth", task_depth);
  out.field("resilience", resilience).end_object();
}

Stage2Pipeline::Stage2Pipeline(const Stage2Config& config, const Vocabulary& vocabulary, OntologyStore ontology,
                               TaskGraph graph)
    : config_(config),
      vocabulary_(&vocabulary),
      orchestrator_(config.orchestrator, vocabulary, std::move(ontology), std::move(graph), config.trust),
      update_(config.update, vocabulary),
      invariants_(config.invariants, vocabulary),
      refiner_(config.refiner),
      reference_(config.ood),
      correlator_(config.trust.correlator),
      econ_watch_(config.econ) {}

Analysis Stage2Pipeline::analyse(const Rollout& rollout, std::span<const Segment> segments,
                                 std::span<const Primitive> primitives) const {
  return {gather_facts(rollout, segments, primitives, *vocabulary_), rollout.embedding, std::nullopt};
}

void Stage2Pipeline::map_concepts(EpisodeFacts& facts) const {
  const Vocabulary& v = *vocabulary_;
  for (ActionFact& a : facts.actions) {
    const std::string_view shown = v.name(v.affordance_of(v.find(TermKind::action, label_name(a.label))));
    const std::string_view failure = a.outcome == Outcome::failure ? reason_name(a.reason) : std::string_view();
    a.mapped = !a.ambiguous &&
               closest_concept(orchestrator_.ontology().current(), v.name(a.object), shown, failure).has_value();
  }
}

std::vector<std::string> Stage2Pipeline::novel_pairs(const EpisodeFacts& facts) {
  std::vector<std::string> out;
  std::set<std::pair<Label, TermId>> here;
  for (const ActionFact& a : facts.actions) {
    if (!a.object || a.label == Label::idle || is_anomaly(a.label)) continue;
    if (!here.emplace(a.label, a.object).second) continue;
    if (pairs_[{a.label, a.object}]++ < novel_below)
      out.push_back(fmt::format("{}/{}", label_name(a.label), vocabulary_->name(a.object)));
  }
  std::sort(out.begin(), out.end());
  return out;
}

double Stage2Pipeline::expected_Wh(const EpisodeFacts& facts) const {
  const auto at = family_Wh_.find(facts.family);
  return at == family_Wh_.end() || at->second.second < expected_min
             ? 0
             : at->second.first / static_cast<double>(at->second.second);
}

void Stage2Pipeline::count(const EpisodeFacts& facts, const Enriched& enriched) {
  ++metrics_.episodes;
  metrics_.primitives += facts.actions.size();
  metrics_.refused_words += facts.refused_words.size();
  for (size_t i = 0; i < tag_kind_count; ++i)
    metrics_.episodes_with[i] += enriched.tags.has(static_cast<TagKind>(i)) ? 1 : 0;
  std::set<uint32_t> odd;
  for (const OodTag& t : enriched.tags.ood) odd.insert(t.segment);
  metrics_.ood_primitives += odd.size();
  for (const std::string& mark : enriched.tags.marks) ++mark_counts_[mark];
  last_failed_.push_back(facts.success ? 0 : 1);
  if (last_failed_.size() > rolling_episodes) last_failed_.pop_front();
  uint64_t failures = 0;
  for (const ActionFact& a : facts.actions) failures += a.outcome == Outcome::failure ? 1 : 0;
  resilience_.observe(enriched.tags, failures);
  if (facts.has_power && facts.success && facts.energy_Wh > 0) {
    auto& [sum, n] = family_Wh_[facts.family];
    sum += facts.energy_Wh;
    ++n;
  }
}

void Stage2Pipeline::count_outcome(const OutcomeFacts& outcome, double energy_Wh) {
  if (econ_watch_.observe(outcome, energy_Wh)) orchestrator_.on_econ(econ_watch_.signals());
  if (!std::isfinite(outcome.mpl)) return;
  output_.sum += outcome.mpl;
  if (++output_.count < output_block) return;
  output_.before_mean = output_.last_mean;
  output_.last_mean = output_.sum / static_cast<double>(output_.count);
  ++output_.blocks;
  output_.sum = 0;
  output_.count = 0;
}

// What the risk tag is about; without one the thing of the scene that is known to be most at risk.
TermId Stage2Pipeline::most_at_risk(const EpisodeFacts& facts, const TagSet& tags) const {
  if (!tags.risk.empty()) return vocabulary_->find(TermKind::object, tags.risk.front().object);
  TermId out;
  double worst = -1;
  for (const TermId term : facts.objects) {
    const double risk = orchestrator_.ontology().current().risk_of(vocabulary_->name(term));
    if (risk > worst) worst = risk, out = term;
  }
  return out;
}

void Stage2Pipeline::remember(const EpisodeFacts& facts, uint32_t bits, const Enriched& enriched, bool outcome_known) {
  Known known{facts.pack_id, {}};
  for (const ActionFact& a : facts.actions)
    if (a.outcome == Outcome::failure && a.object && known.failures.size() < 64)
      known.failures.emplace_back(a.object, a.reason);
  std::sort(known.failures.begin(), known.failures.end());
  known.failures.erase(std::unique(known.failures.begin(), known.failures.end()), known.failures.end());
  if (!known.failures.empty()) known_.push_back(std::move(known));
  if (known_.size() > config_.retro_packs_max) {
    retroactive_.erase(known_base_);
    known_.pop_front();
    ++known_base_;
  }
  const double energy_Wh = std::isfinite(facts.energy_Wh) ? facts.energy_Wh : 0;
  Waiting waiting{bits, outcome_known, most_at_risk(facts, enriched.tags), energy_Wh, facts.episode_id};
  if (!waiting_.insert_or_assign(facts.pack_id, std::move(waiting)).second) return;
  waiting_order_.push_back(facts.pack_id);
  while (waiting_.size() > config_.pending_outcomes_max) {
    const auto oldest = waiting_.find(waiting_order_.front());
    if (oldest != waiting_.end()) {
      metrics_.forgotten_outcomes += oldest->second.counted ? 0 : 1;
      waiting_.erase(oldest);
    }
    waiting_order_.pop_front();
  }
  // Ids whose outcome has come stay in the order until they are half of it.
  if (waiting_order_.size() > 2 * waiting_.size() + 64)
    std::erase_if(waiting_order_, [&](const std::string& id) { return !waiting_.contains(id); });
}

void Stage2Pipeline::decide(InvariantFindings findings, bool now, std::vector<Decision>& out) {
  for (SemanticAlert& alert : findings.alerts) orchestrator_.raise(std::move(alert));
  const uint64_t episode = invariants_.episodes();
  const bool urgent = !findings.proposals.empty() || !findings.refinements.empty();
  if (!now && !urgent) return;
  std::vector<Proposal> proposals = std::move(findings.proposals);
  std::vector<Refinement> refinements = std::move(findings.refinements);
  for (size_t round = 0; round < rounds_max; ++round) {
    std::vector<Proposal> due = update_.drain(orchestrator_.ontology().current());
    if (round == 0) {
      // A stop must not wait for its object to become known.
      std::move(proposals.begin(), proposals.end(), std::back_inserter(due));
    }
    if (due.empty() && (round > 0 || refinements.empty())) break;
    auto decided =
        orchestrator_.decide(std::move(due), round == 0 ? std::move(refinements) : std::vector<Refinement>{}, episode);
    queue_retroactive(decided);
    std::move(decided.begin(), decided.end(), std::back_inserter(out));
  }
}

EnrichmentStamp Stage2Pipeline::stamp(int64_t time_unix_ns) const {
  EnrichmentStamp out;
  out.ontology_version = orchestrator_.ontology().version();
  out.vocabulary_hash = vocabulary_->hash().substr(0, 16);
  out.time_unix_ns = time_unix_ns;
  return out;
}

// Fragility nodes and tags that are new concern episodes of before.
void Stage2Pipeline::queue_retroactive(const std::vector<Decision>& decisions) {
  for (const Decision& d : decisions) {
    if (d.verdict != Verdict::applied || !d.suggestion.starts_with("p-")) continue;
    const OntologyNode* node = orchestrator_.ontology().current().find(d.node);
    if (node == nullptr || node->because != d.suggestion) continue;
    const bool fragility = node->kind == NodeKind::fragility;
    if (!fragility && (node->kind != NodeKind::object || node->tags.empty())) continue;
    const std::string_view object = std::string_view(fragility ? node->subject : node->id).substr(object_id("").size());
    const TermId term = vocabulary_->find(TermKind::object, object);
    const Reason reason = fragility ? reason_from(node->name).value_or(Reason::none) : Reason::none;  // none: any
    std::vector<std::string> words;
    if (fragility) words.push_back(fmt::format("fragile:{}", object));
    if (!fragility)
      for (const std::string& tag : node->tags) words.push_back(fmt::format("{}:{}", tag, object));
    for (size_t i = 0; i < known_.size(); ++i) {
      const Known& k = known_[i];
      const bool concerned = std::any_of(k.failures.begin(), k.failures.end(), [&](const auto& f) {
        return f.first == term && (reason == Reason::none || f.second == reason);
      });
      if (concerned) retroactive_[known_base_ + i].insert(words.begin(), words.end());
    }
    retro_because_ = d.id();
  }
}

void Stage2Pipeline::take_retroactive(size_t at_most, int64_t time_unix_ns, std::vector<Enrichment>& out) {
  EnrichmentStamp why = stamp(time_unix_ns);
  why.because = retro_because_;
  for (size_t n = 0; n < at_most && !retroactive_.empty(); ++n) {
    const auto at = retroactive_.begin();
    const std::vector<std::string> words(at->second.begin(), at->second.end());
    out.push_back(retroactive_record(known_[at->first - known_base_].pack_id, words, why));
    retroactive_.erase(at);
    ++metrics_.retroactive_records;
  }
}

CommitResult Stage2Pipeline::commit(Analysis analysis, int64_t time_unix_ns) {
  CommitResult out;
  EpisodeFacts& facts = analysis.facts;
  map_concepts(facts);
  const std::vector<OodTag> found = reference_.detect(facts, analysis.embedding, 1);
  const bool believed = orchestrator_.trust().trust(TagKind::ood) > config_.ood.detector_trust_min;
  reference_.learn(facts, analysis.embedding);
  const TaggingContext context{*vocabulary_, orchestrator_.ontology().current(), expected_Wh(facts),
                               novel_pairs(facts)};
  out.enriched = enrich(facts, believed ? found : std::vector<OodTag>(), config_.tagging, context);
  InvariantFindings findings =
      invariants_.watch(facts, out.enriched, orchestrator_.ontology().current(), orchestrator_.graph());
  update_.observe(facts, out.enriched);
  count(facts, out.enriched);

  const bool failed = std::any_of(facts.actions.begin(), facts.actions.end(),
                                  [](const ActionFact& a) { return a.outcome == Outcome::failure; });
  const uint32_t bits = correlated_bits(out.enriched.tags, found, failed);
  if (analysis.outcome) correlator_.observe(facts.pack_id, bits, *analysis.outcome);
  if (analysis.outcome) count_outcome(*analysis.outcome, facts.energy_Wh);
  remember(facts, bits, out.enriched, analysis.outcome.has_value());
  out.ood_found = found;

  const uint64_t n = metrics_.episodes;
  decide(std::move(findings), n % config_.decide_every == 0, out.decisions);
  if (n % config_.refine_every == 0) {
    auto refinements = refiner_.suggest(orchestrator_.graph(), orchestrator_.ontology().current(), *vocabulary_,
                                        update_.skills(), orchestrator_.econ());
    auto decided = orchestrator_.decide({}, std::move(refinements), invariants_.episodes());
    std::move(decided.begin(), decided.end(), std::back_inserter(out.decisions));
  }
  if (n % config_.trust_every == 0) {
    auto decided = orchestrator_.on_trust({config_.trust, correlator_.answers()}, invariants_.episodes());
    queue_retroactive(decided);
    std::move(decided.begin(), decided.end(), std::back_inserter(out.decisions));
  }
  out.audit = audit(out.enriched.tags, out.enriched.semantic_quality, orchestrator_.trust());
  out.enriched.semantic_quality = out.audit.quality;
  out.record = enrichment_record(facts, out.enriched, stamp(time_unix_ns));
  take_retroactive(config_.retro_per_commit_max, time_unix_ns, out.retroactive);
  return out;
}

Result<std::vector<Decision>> Stage2Pipeline::on_outcome(std::string_view pack_id, const OutcomeFacts& outcome,
                                                         bool real) {
  const auto at = waiting_.find(pack_id);
  if (at == waiting_.end()) return fail(Errc::not_found, std::string(pack_id), "waits for no outcome");
  const Waiting waiting = std::move(at->second);
  waiting_.erase(at);
  if (!waiting.counted) {
    correlator_.observe(pack_id, waiting.bits, outcome);
    count_outcome(outcome, waiting.energy_Wh);
  }
  std::vector<Decision> out;
  if (!real || !(outcome.damage > 0)) return out;
  // Ground truth: what really was damaged is at risk, whatever anybody else believes.
  const std::string object(vocabulary_->name(waiting.object));
  const Ontology& ontology = orchestrator_.ontology().current();
  if (object.empty() || ontology.find(object_id(object)) == nullptr) return out;
  const double risk = std::max(0.7, ontology.risk_of(object));
  Proposal p;
  p.type = ProposalType::adjust_risk;
  p.target = object;
  p.value = risk;
  p.priority = Priority::critical;
  p.source = Source::real_log;
  p.confidence = 1;
  p.rationale = fmt::format("real damage of {}", outcome.damage);
  p.evidence.add(waiting.episode_id, "", 0, 0);
  out = orchestrator_.decide({std::move(p)}, {}, invariants_.episodes());
  return out;
}

CommitResult Stage2Pipeline::settle(int64_t time_unix_ns) {
  CommitResult out;
  decide({}, true, out.decisions);
  auto refinements = refiner_.suggest(orchestrator_.graph(), orchestrator_.ontology().current(), *vocabulary_,
                                      update_.skills(), orchestrator_.econ());
  auto decided = orchestrator_.decide({}, std::move(refinements), invariants_.episodes());
  std::move(decided.begin(), decided.end(), std::back_inserter(out.decisions));
  decided = orchestrator_.on_trust({config_.trust, correlator_.answers()}, invariants_.episodes());
  queue_retroactive(decided);
  std::move(decided.begin(), decided.end(), std::back_inserter(out.decisions));
  take_retroactive(retroactive_.size(), time_unix_ns, out.retroactive);
  update_.flush_evidence(orchestrator_.ontology_for_evidence());
  return out;
}

Stage2Metrics Stage2Pipeline::metrics() const {
  Stage2Metrics out = metrics_;
  const Ontology& ontology = orchestrator_.ontology().current();
  out.write_amplification = orchestrator_.ontology().write_amplification();
  out.orphans = ontology.orphans().size() + orchestrator_.graph().orphans().size();
  out.acceptance = orchestrator_.counts().acceptance();
  out.ontology_nodes = ontology.nodes.size();
  out.task_nodes = orchestrator_.graph().nodes().size();
  out.task_depth = orchestrator_.graph().depth();
  out.resilience = resilience_.score();
  return out;
}

TrainingFocus Stage2Pipeline::focus() const {
  FleetState fleet;
  fleet.episodes = metrics_.episodes;
  uint64_t failed = 0;
  for (const uint8_t f : last_failed_) failed += f;
  if (!last_failed_.empty()) fleet.error_rate = static_cast<double>(failed) / static_cast<double>(last_failed_.size());
  uint64_t attempts = 0, failures = 0;
  for (const auto& [key, skill] : update_.skills()) attempts += skill.attempts, failures += skill.failures;
  if (attempts > 0) fleet.affordance_success = 1 - static_cast<double>(failures) / static_cast<double>(attempts);
  // Until two blocks are full nobody knows that output has stopped growing.
  fleet.mpl_growth = output_.blocks < 2 || !(output_.before_mean > 0) ? 1 : output_.last_mean / output_.before_mean - 1;
  for (size_t i = 0; i < tag_kind_count; ++i)
    fleet.tag_counts[std::string(tag_kind_name(static_cast<TagKind>(i)))] = metrics_.episodes_with[i];
  for (const auto& [mark, n] : mark_counts_) fleet.tag_counts[mark] = n;
  return orchestrator_.propose_training_focus(update_.skills(), fleet, {});
}

std::map<std::string, Bytes> Stage2Pipeline::documents() {
  update_.flush_evidence(orchestrator_.ontology_for_evidence());
  return knowledge_documents(*vocabulary_, orchestrator_, focus());
}

}  // namespace drover::semantics

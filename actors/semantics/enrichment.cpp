#include "actors/semantics/enrichment.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "actors/semantics/json_text.hpp"
#include "actors/semantics/quality.hpp"

namespace drover::semantics {
namespace {

constexpr size_t tags_max = 16;  // of each kind
constexpr double risky_object = 0.6;

bool is_risky(std::string_view object, const TaggingContext& context) {
  return !object.empty() &&
         (context.ontology.risk_of(object) >= risky_object || context.ontology.has_tag(object, "fragile"));
}

double ramp(double value, double from, double to) {
  return std::clamp((value - from) / (to - from), 0.0, 1.0);
}

// What one segment does that may break something: hazards are independent ways to do damage, each weighted with the
// risk of the thing it concerns; score = 1 - product of (1 - hazard).
class Hazards {
 public:
  void take(double hazard, double risk, std::string_view object, const char* why) {
    const double score = hazard * (0.3 + 0.7 * risk);
    safe_ *= 1 - score;
    if (score <= worst_) return;
    worst_ = score;
    object_ = object;
    why_ = why;
  }
  double score() const { return 1 - safe_; }
  std::string_view object() const { return object_; }
  const char* why() const { return why_; }

 private:
  double safe_ = 1, worst_ = 0;
  std::string_view object_;
  const char* why_ = "";
};

Hazards hazards_of(const EpisodeFacts& facts, const ActionFact& a, std::span<const double> scene_risk,
                   std::span<const TermId> handled, const TaggingConfig& config, const TaggingContext& context) {
  Hazards out;
  const std::string_view own = context.vocabulary.name(a.object);
  const double own_risk = a.object ? context.ontology.risk_of(own) : 0;
  double around = own_risk;
  std::string_view riskiest = own;
  for (size_t k = 0; k < facts.scene.size() && k < a.near_m.size(); ++k) {
    const double distance = static_cast<double>(a.near_m[k]);
    // What the episode is about is meant to be near.
    if (distance < 0 || std::binary_search(handled.begin(), handled.end(), facts.scene[k])) continue;
    const std::string_view thing = context.vocabulary.name(facts.scene[k]);
    const double hazard = ramp(config.near_m - distance, 0, config.near_m / 2);
    if (hazard > 0 && scene_risk[k] >= risky_object) out.take(hazard, scene_risk[k], thing, "close to it");
    if (distance < 2 * config.near_m && scene_risk[k] > around) around = scene_risk[k], riskiest = thing;
  }
  const SegmentMetrics& m = a.metrics;
  const double speed = static_cast<double>(m.speed_m_per_s_max);
  out.take(0.5 * ramp(speed, config.fast_m_per_s, 2 * config.fast_m_per_s), around, riskiest, "fast");
  out.take(0.5 * ramp(static_cast<double>(m.force_N_max), config.force_N, 2 * config.force_N), around, riskiest,
           "high force");
  if (a.label == Label::collision) out.take(1, around, riskiest, "collision");
  if (a.reason == Reason::drop) out.take(1, own_risk, own, "drop");
  return out;
}

void tag_risk(const EpisodeFacts& facts, const TaggingConfig& config, const TaggingContext& context, TagSet& out) {
  std::vector<double> scene_risk;
  for (const TermId object : facts.scene)
    scene_risk.push_back(context.ontology.risk_of(context.vocabulary.name(object)));
  std::vector<TermId> handled;
  for (const ActionFact& a : facts.actions)
    if (a.object) handled.push_back(a.object);
  std::sort(handled.begin(), handled.end());
  RiskTag worst;
  for (size_t i = 0; i < facts.actions.size(); ++i) {
    const Hazards hazards = hazards_of(facts, facts.actions[i], scene_risk, handled, config, context);
    if (hazards.score() <= worst.score) continue;
    worst.score = hazards.score();
    worst.object = hazards.object();
    worst.why = hazards.why();
    worst.segment = static_cast<uint32_t>(i);
  }
  if (worst.score < config.risk_high) return;
  worst.level = worst.score >= config.risk_critical ? Level::critical : Level::high;
  out.risk.push_back(std::move(worst));
}

void tag_affordances(const EpisodeFacts& facts, const TaggingConfig& config, const TaggingContext& context,
                     TagSet& out) {
  std::set<std::pair<TermId, TermId>> seen;
  for (const ActionFact& a : facts.actions) {
    const TermId shown =
        context.vocabulary.affordance_of(context.vocabulary.find(TermKind::action, label_name(a.label)));
    if (!shown || !a.object || a.outcome == Outcome::failure || a.confidence < config.affordance_confidence) continue;
    if (out.affordance.size() >= tags_max || !seen.emplace(a.object, shown).second) continue;
    out.affordance.push_back(
        {std::string(context.vocabulary.name(a.object)), std::string(context.vocabulary.name(shown)), a.confidence});
  }
}

void tag_failures(const EpisodeFacts& facts, const TaggingContext& context, TagSet& out) {
  for (size_t i = 0; i < facts.actions.size(); ++i) {
    const ActionFact& a = facts.actions[i];
    if (a.outcome != Outcome::failure) continue;
    const bool stopped = a.reason == Reason::protective_stop || a.reason == Reason::grip_lost;
    if (stopped && out.intervention.size() < tags_max)
      out.intervention.push_back({std::string(reason_name(a.reason)), a.end_s, static_cast<uint32_t>(i)});
    if (!a.object) continue;
    const std::string object(context.vocabulary.name(a.object));
    const std::string failure(reason_name(a.reason));
    const OntologyNode* node = context.ontology.find(fragility_id(object, failure));
    const double* severity = node == nullptr ? nullptr : std::get_if<double>(&node->value);
    const bool known = std::any_of(out.fragility.begin(), out.fragility.end(),
                                   [&](const FragilityTag& t) { return t.object == object && t.failure == failure; });
    if (severity != nullptr && !known && out.fragility.size() < tags_max)
      out.fragility.push_back({object, failure, *severity});
  }
}

void tag_efficiency(const EpisodeFacts& facts, const TaggingConfig& config, double expected_Wh, TagSet& out) {
  if (!facts.has_power || !(expected_Wh > 0)) return;
  const double ratio = facts.energy_Wh / expected_Wh;
  if (ratio >= config.wasteful_ratio) out.efficiency.push_back({facts.energy_Wh, expected_Wh, true});
  if (ratio <= config.frugal_ratio) out.efficiency.push_back({facts.energy_Wh, expected_Wh, false});
}

void tag_novelty(const EpisodeFacts& facts, const TaggingContext& context, TagSet& out) {
  for (const TermId object : facts.objects) {
    const std::string_view name = context.vocabulary.name(object);
    if (name.empty() || context.ontology.find(object_id(name)) != nullptr || out.novelty.size() >= tags_max) continue;
    out.novelty.push_back({1.0, fmt::format("object:{}", name)});
  }
  for (const std::string& pair : context.novel_pairs)
    if (out.novelty.size() < tags_max) out.novelty.push_back({0.5, "pair:" + pair});
}

// The rules by which tags that contradict each other are told apart.
void settle_conflicts(const EpisodeFacts& facts, TagSet& tags) {
  const auto drop = [&](std::string kept, std::string dropped, const char* why) {
    tags.conflicts.push_back({std::move(kept), std::move(dropped), why});
  };
  std::erase_if(tags.affordance, [&](const AffordanceTag& t) {
    const auto against = std::find_if(tags.fragility.begin(), tags.fragility.end(), [&](const FragilityTag& f) {
      return f.object == t.object && f.failure == "locked" && t.affordance == "pullable";
    });
    if (against == tags.fragility.end() || facts.success) return false;
    drop("FragilityTag " + t.object + "/locked", "AffordanceTag " + t.object + "/" + t.affordance,
         "it was locked in the end");
    return true;
  });
  std::erase_if(tags.efficiency, [&](const EfficiencyTag& t) {
    if (t.wasteful || facts.success) return false;
    drop("failure", "EfficiencyTag frugal", "what was broken off early is not frugal");
    return true;
  });
  const bool alien =
      std::any_of(tags.ood.begin(), tags.ood.end(), [](const OodTag& t) { return t.source == OodSource::visual; });
  std::erase_if(tags.novelty, [&](const NoveltyTag& t) {
    if (!alien || !t.what.starts_with("object:")) return false;
    drop("OODTag visual", "NoveltyTag " + t.what, "what cannot be recognised is not yet a new object");
    return true;
  });
  std::erase_if(tags.ood, [&](const OodTag& t) {
    const bool stopped = std::any_of(tags.intervention.begin(), tags.intervention.end(),
                                     [&](const InterventionTag& i) { return i.segment == t.segment; });
    if (!stopped || t.source != OodSource::temporal) return false;
    drop("InterventionTag", "OODTag temporal", "the stop explains the duration");
    return true;
  });
}

double coherence_of(const TagSet& t) {
  const size_t kept = t.fragility.size() + t.risk.size() + t.affordance.size() + t.efficiency.size() +
                      t.novelty.size() + t.intervention.size() + t.ood.size() + t.recovery.size();
  const size_t all = kept + t.conflicts.size();
  return all == 0 ? 1.0 : static_cast<double>(kept) / static_cast<double>(all);
}

SupervisionHints hints_of(const EpisodeFacts& facts, const TagSet& tags, const TaggingConfig& config,
                          const TaggingContext& context) {
  SupervisionHints out;
  bool failed = false;
  std::set<std::string> needs;
  for (const ActionFact& a : facts.actions) {
    const std::string_view object = context.vocabulary.name(a.object);
    if (a.outcome == Outcome::failure) {
      failed = true;
      if (failure_level(a.reason, is_risky(object, context)) == Level::critical) out.safety_critical = true;
    }
    const TermId shown =
        context.vocabulary.affordance_of(context.vocabulary.find(TermKind::action, label_name(a.label)));
    if (!failed && shown && a.object && needs.size() < tags_max)
      needs.insert(fmt::format("{}:{}", context.vocabulary.name(shown), object));
  }
  if (tags.high_risk() || tags.ood_severity() > config.ood_critical) out.safety_critical = true;
  const bool odd = !tags.ood.empty() || !tags.novelty.empty();
  const bool wasteful = !tags.efficiency.empty() && tags.efficiency.front().wasteful;
  out.stage = odd                             ? CurriculumStage::frontier
              : failed || out.safety_critical ? CurriculumStage::skill_building
              : wasteful                      ? CurriculumStage::fine_tuning
                                              : CurriculumStage::warmup;
  if (failed) out.prerequisites.assign(needs.begin(), needs.end());
  return out;
}

}  // namespace

std::string_view recovery_term(const EpisodeFacts& facts, size_t failed, size_t succeeded) {
  const Reason reason = facts.actions[failed].reason;
  bool manoeuvre = false, regrasp = false;
  for (size_t i = failed + 1; i <= succeeded && i < facts.actions.size(); ++i) {
    manoeuvre = manoeuvre || facts.actions[i].label == Label::recovery_maneuver;
    regrasp = regrasp || facts.actions[i].label == Label::grasp;
  }
  if (reason == Reason::protective_stop) return "restart";
  if (reason == Reason::drop) return "pick_from_drop";
  if (regrasp) return "re_grasp";
  if (reason == Reason::locked && manoeuvre) return "wiggle_pull";
  return manoeuvre ? "reposition" : "retry";
}

namespace {

// Both sides were seen clearly and were about something: noise has recoveries of nothing.
bool clear_recovery(const ActionFact& bad, const ActionFact& good, const TaggingConfig& config) {
  return bad.outcome == Outcome::failure && (bad.object || good.object) &&
         bad.confidence >= config.recovery_confidence && good.confidence >= config.recovery_confidence;
}

}  // namespace

std::vector<RecoveryTag> find_recoveries(const EpisodeFacts& facts, const TaggingConfig& config,
                                         const TaggingContext& context) {
  // The last that worked because of the correction ends the recovery: one tag per failure.
  std::map<size_t, size_t> saved;
  for (size_t i = 0; i < facts.actions.size(); ++i) {
    const ActionFact& good = facts.actions[i];
    if (good.outcome != Outcome::recovered || !good.retry_of || *good.retry_of >= i) continue;
    if (clear_recovery(facts.actions[*good.retry_of], good, config)) saved[*good.retry_of] = i;
  }
  std::vector<RecoveryTag> out;
  for (const auto& [failed, i] : saved) {
    if (out.size() >= tags_max) break;
    const ActionFact& good = facts.actions[i];
    const ActionFact& bad = facts.actions[failed];
    RecoveryTag tag;
    tag.object = context.vocabulary.name(bad.object);
    tag.failure = reason_name(bad.reason);
    tag.recovery = recovery_term(facts, failed, i);
    tag.correction_type = context.vocabulary.correction_of(context.vocabulary.find(TermKind::recovery, tag.recovery));
    tag.failure_level = failure_level(bad.reason, is_risky(tag.object, context));
    tag.failed_segment = static_cast<uint32_t>(failed);
    tag.success_segment = static_cast<uint32_t>(i);
    tag.steps = tag.success_segment - tag.failed_segment;
    const bool quick = tag.steps < config.recovery_steps;
    tag.value_add = tag.failure_level == Level::critical && quick ? Level::high
                    : tag.failure_level >= Level::high            ? Level::medium
                                                                  : Level::low;
    // From the end of what failed to the end of what worked: what the correction took.
    for (size_t k = failed + 1; k <= i; ++k) tag.cost_Wh += static_cast<double>(facts.actions[k].metrics.energy_Wh);
    if (!facts.has_power) {
      tag.cost_estimated = true;
      tag.cost_Wh = config.recovery_power_W * std::max(0.0, good.end_s - bad.end_s) / 3600;
    }
    out.push_back(std::move(tag));
  }
  return out;
}

Enriched enrich(const EpisodeFacts& facts, std::vector<OodTag> ood, const TaggingConfig& config,
                const TaggingContext& context) {
  Enriched out;
  TagSet& tags = out.tags;
  tags.ood = std::move(ood);
  tags.recovery = find_recoveries(facts, config, context);
  tag_failures(facts, context, tags);
  tag_risk(facts, config, context, tags);
  tag_affordances(facts, config, context, tags);
  tag_efficiency(facts, config, context.expected_Wh, tags);
  tag_novelty(facts, context, tags);
  if (tags.high_risk() && facts.success && tags.recovery.empty()) tags.mark("lucky");
  if (!tags.high_risk() && !facts.success && !facts.actions.empty()) tags.mark("black_swan");
  settle_conflicts(facts, tags);
  out.coherence = coherence_of(tags);
  out.hints = hints_of(facts, tags, config, context);
  out.semantic_quality = semantic_quality(facts, out.coherence);
  return out;
}

Enrichment enrichment_record(const EpisodeFacts& facts, const Enriched& e, const EnrichmentStamp& stamp) {
  JsonText out;
  out.begin_object().field("format", "drover.enrichment.v1").field("episode", facts.episode_id);
  out.field("ontology_version", stamp.ontology_version).field("vocabulary", stamp.vocabulary_hash);
  out.field("family", family_name(facts.family)).field("success", facts.success);
  out.key("words").begin_array();
  for (const std::string& word : e.tags.words()) out.value(word);
  out.end_array().key("tags");
  e.tags.write(out);
  out.key("conflicts").begin_array();
  for (const TagConflict& c : e.tags.conflicts)
    out.begin_object().field("kept", c.kept).field("dropped", c.dropped).field("why", c.why).end_object();
  out.end_array().field("coherence", e.coherence).field("semantic_quality", e.semantic_quality).key("hints");
  write(out, e.hints);
  if (!facts.refused_words.empty()) {
    out.key("refused_words").begin_array();
    for (const std::string& word : facts.refused_words) out.value(word);
    out.end_array();
  }
  out.end_object();
  return {facts.pack_id, stamp.source, std::move(out).text(), stamp.time_unix_ns};
}

std::vector<std::string> retroactive_words(const Datapack& pack, const std::vector<std::string>& known,
                                           const Vocabulary& vocabulary, const Ontology& ontology) {
  std::set<std::string> had(known.begin(), known.end());
  had.insert(pack.semantic_tags.begin(), pack.semantic_tags.end());
  std::set<std::string> found;
  // The things a pack is about: whatever its tags and its task's name say in terms of the vocabulary.
  std::set<std::string_view> objects;
  const auto look = [&](std::string_view text) {
    while (!text.empty()) {
      const size_t end = text.find_first_of("_:/- ");
      if (const TermId id = vocabulary.find(TermKind::object, text.substr(0, end))) objects.insert(vocabulary.name(id));
      if (end == std::string_view::npos) return;
      text.remove_prefix(end + 1);
    }
  };
  look(pack.task_name);
  for (const std::string& tag : pack.semantic_tags) look(tag);
  for (const std::string& tag : known) look(tag);
  for (const std::string_view object : objects) {
    const OntologyNode* node = ontology.find(object_id(object));
    if (node == nullptr) continue;
    for (const std::string& tag : node->tags) found.insert(fmt::format("{}:{}", tag, object));
  }
  for (const std::string& tag : pack.semantic_tags)  // what is said in other words is said again in the fleet's own
    if (const TermId id = vocabulary.find(TermKind::tag, tag); id && vocabulary.name(id) != tag)
      found.emplace(vocabulary.name(id));
  std::vector<std::string> out;
  std::set_difference(found.begin(), found.end(), had.begin(), had.end(), std::back_inserter(out));
  return out;
}

Enrichment retroactive_record(std::string_view pack_id, const std::vector<std::string>& words,
                              const EnrichmentStamp& stamp) {
  JsonText out;
  out.begin_object().field("format", "drover.enrichment.v1").field("retroactive", true).field("because", stamp.because);
  out.field("ontology_version", stamp.ontology_version).field("vocabulary", stamp.vocabulary_hash);
  out.key("words").begin_array();
  for (const std::string& word : words) out.value(word);
  out.end_array().end_object();
  return {std::string(pack_id), stamp.source, std::move(out).text(), stamp.time_unix_ns};
}

}  // namespace drover::semantics

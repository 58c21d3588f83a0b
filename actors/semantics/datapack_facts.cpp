#include "actors/semantics/datapack_facts.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "actors/semantics/json_text.hpp"

namespace drover::semantics {
namespace {

using nlohmann::json;

constexpr size_t refused_max = 8;
constexpr double trace_confidence = 0.7;  // a named skill, not a measured movement

std::string skill_name(const SkillStep& step) {
  const json extra = json::parse(step.extra_json, nullptr, false);
  if (extra.is_object() && extra.contains("name") && extra["name"].is_string()) return extra["name"].get<std::string>();
  return {};
}

// An action by the whole name, or by its first word that is one ("grasp_handle", "MOVE").
std::optional<Label> label_of(const std::string& name, const Vocabulary& vocabulary) {
  if (const TermId id = vocabulary.find(TermKind::action, name)) return label_from(vocabulary.name(id));
  const std::string word = normal_word(name);
  for (size_t from = 0; from < word.size();) {
    const size_t end = std::min(word.find('_', from), word.size());
    if (const TermId id = vocabulary.find(TermKind::action, std::string_view(word).substr(from, end - from)))
      return label_from(vocabulary.name(id));
    from = end + 1;
  }
  return std::nullopt;
}

TermId object_in(const std::string& name, const Vocabulary& vocabulary) {
  const std::string word = normal_word(name);
  for (size_t from = 0; from < word.size();) {
    const size_t end = std::min(word.find('_', from), word.size());
    if (const TermId id = vocabulary.find(TermKind::object, std::string_view(word).substr(from, end - from))) return id;
    from = end + 1;
  }
  return {};
}

// What the pack's tags say of why something failed; `abandoned` where they say nothing.
Reason reason_of(const Datapack& pack, const Vocabulary& vocabulary) {
  for (const std::string& tag : pack.semantic_tags) {
    const size_t colon = tag.find(':');
    const std::string_view word = std::string_view(tag).substr(colon == std::string::npos ? 0 : colon + 1);
    if (const TermId id = vocabulary.find(TermKind::failure, word))
      if (const auto reason = reason_from(vocabulary.name(id))) return *reason;
  }
  return Reason::abandoned;
}

void add_action(const Datapack& pack, const SkillStep& step, const Vocabulary& vocabulary, TermId task_object,
                EpisodeFacts& facts) {
  const std::string name = skill_name(step);
  const auto label = label_of(name, vocabulary);
  if (!label) {
    if (facts.refused_words.size() < refused_max) facts.refused_words.push_back(clean_text(name, 64));
    return;
  }
  ActionFact a;
  a.key = segment_key(facts.episode_id, static_cast<uint32_t>(facts.actions.size()));
  // Standing still is no failure; what was under way when it stopped is.
  a.label = *label == Label::idle && step.outcome == "failure" ? Label::transport : *label;
  a.object = object_in(name, vocabulary);
  if (!a.object && a.label != Label::idle) a.object = task_object;
  a.start_s = step.start_s;
  a.end_s = step.end_s;
  a.confidence = trace_confidence;
  a.metrics.duration_s = static_cast<float>(step.end_s - step.start_s);
  if (const auto used = pack.energy.per_skill.find(name); used != pack.energy.per_skill.end())
    if (const auto Wh = used->second.find("Wh"); Wh != used->second.end())
      a.metrics.energy_Wh = static_cast<float>(Wh->second);
  if (step.outcome == "failure") {
    a.outcome = Outcome::failure;
    a.reason = reason_of(pack, vocabulary);
  } else if (step.outcome == "recovered") {
    a.outcome = Outcome::recovered;
    for (size_t i = facts.actions.size(); i-- > 0;) {
      if (facts.actions[i].outcome != Outcome::failure) continue;
      a.retry_of = static_cast<uint32_t>(i);
      break;
    }
  }
  facts.energy_Wh += static_cast<double>(a.metrics.energy_Wh);
  facts.actions.push_back(std::move(a));
}

// A robot that its controller stopped and that moves on afterwards was put right: a restart is the correction.
void mark_restarts(EpisodeFacts& facts) {
  std::optional<uint32_t> stopped;
  for (size_t i = 0; i < facts.actions.size(); ++i) {
    ActionFact& a = facts.actions[i];
    if (a.outcome == Outcome::failure) {
      const bool by_robot = a.reason == Reason::protective_stop || a.reason == Reason::grip_lost;
      stopped = by_robot ? std::optional(static_cast<uint32_t>(i)) : std::nullopt;
    } else if (stopped && a.label != Label::idle && a.outcome == Outcome::success) {
      a.outcome = Outcome::recovered;
      a.retry_of = *stopped;
      stopped.reset();
    }
  }
}

double metric(const json& metrics, const char* name) {
  return metrics.is_object() && metrics.contains(name) && metrics[name].is_number() ? metrics[name].get<double>() : 0.0;
}

}  // namespace

Family task_family(std::string_view task, const Vocabulary& vocabulary) {
  const std::string word = normal_word(task);
  for (size_t from = 0; from < word.size();) {
    if (const TermId id = vocabulary.find(TermKind::task, std::string_view(word).substr(from)))
      return family_from(vocabulary.name(id)).value_or(Family::other);
    const size_t next = word.find('_', from);
    if (next == std::string::npos) break;
    from = next + 1;
  }
  return Family::other;
}

TermId task_object(const Datapack& pack, const Vocabulary& vocabulary) {
  const TermId named = object_in(pack.task_name, vocabulary);
  return named ? named : vocabulary.find(TermKind::object, "unknown_object");
}

void assume_task_object(const Datapack& pack, const Vocabulary& vocabulary, EpisodeFacts& facts) {
  if (!facts.scene.empty()) return;
  const TermId object = task_object(pack, vocabulary);
  for (ActionFact& a : facts.actions)
    if (a.label != Label::idle) a.object = object;
  facts.scene = facts.objects = {object};
}

Analysis analysis_of_datapack(const Datapack& pack, const Vocabulary& vocabulary) {
  Analysis out;
  EpisodeFacts& f = out.facts;
  f.pack_id = clean_text(pack.pack_id, 128);
  f.episode_id = pack.provenance.episode_id.empty() ? f.pack_id : clean_text(pack.provenance.episode_id, 128);
  f.robot = clean_text(pack.provenance.robot, 128);
  f.source = pack.attribution.source_type == SourceType::real ? Source::real_log : Source::sima2;
  f.has_power = pack.energy.total_Wh > 0;
  f.family = task_family(pack.task_name, vocabulary);
  // What nobody names is still something: counted as the unknown object until somebody does.
  const TermId about = task_object(pack, vocabulary);
  const size_t steps = std::min(pack.skill_trace.size(), actions_max);
  for (size_t i = 0; i < steps; ++i) add_action(pack, pack.skill_trace[i], vocabulary, about, f);
  mark_restarts(f);
  for (const ActionFact& a : f.actions)
    if (a.object) f.scene.push_back(a.object);
  std::sort(f.scene.begin(), f.scene.end());
  f.scene.erase(std::unique(f.scene.begin(), f.scene.end()), f.scene.end());
  f.objects = f.scene;
  if (!pack.skill_trace.empty()) f.duration_s = pack.skill_trace.back().end_s - pack.skill_trace.front().start_s;
  const json metrics = json::parse(pack.episode_metrics_json, nullptr, false);
  const double units = metric(metrics, "units"), errors = metric(metrics, "errors");
  f.success = units > 0 ? errors == 0 || ended_well(f.actions) : ended_well(f.actions);
  const bool broke =
      std::find(pack.semantic_tags.begin(), pack.semantic_tags.end(), "safety_violated") != pack.semantic_tags.end();
  out.outcome = OutcomeFacts{f.success, broke ? 1.0 : 0.0, metric(metrics, "mpl_units_per_h")};
  return out;
}

}  // namespace drover::semantics

#include "actors/semantics/tags.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "actors/semantics/json_text.hpp"
#include "actors/semantics/names.hpp"

namespace drover::semantics {
namespace {

constexpr std::array<std::string_view, tag_kind_count> kind_names = {"FragilityTag",  "RiskTag",    "AffordanceTag",
                                                                     "EfficiencyTag", "NoveltyTag", "InterventionTag",
                                                                     "OODTag",        "RecoveryTag"};
constexpr std::array<std::string_view, 4> level_names = {"low", "medium", "high", "critical"};
constexpr std::array<std::string_view, 3> ood_names = {"visual", "kinematic", "temporal"};
constexpr std::array<std::string_view, 4> stage_names = {"warmup", "skill_building", "frontier", "fine_tuning"};

template <class Tags, class Write>
void write_list(JsonText& out, TagKind kind, const Tags& tags, Write write_one) {
  if (tags.empty()) return;
  out.key(tag_kind_name(kind)).begin_array();
  for (const auto& tag : tags) {
    out.begin_object();
    write_one(tag);
    out.end_object();
  }
  out.end_array();
}

}  // namespace

std::string_view tag_kind_name(TagKind kind) noexcept {
  return enum_name(kind_names, kind);
}
std::optional<TagKind> tag_kind_from(std::string_view name) noexcept {
  return enum_from<TagKind>(kind_names, name);
}
std::string_view level_name(Level level) noexcept {
  return enum_name(level_names, level);
}
std::string_view ood_source_name(OodSource source) noexcept {
  return enum_name(ood_names, source);
}
std::string_view curriculum_stage_name(CurriculumStage stage) noexcept {
  return enum_name(stage_names, stage);
}

Level failure_level(Reason reason, bool risky) noexcept {
  switch (reason) {
    case Reason::protective_stop:
      return Level::critical;
    case Reason::collision:
    case Reason::drop:
      return risky ? Level::critical : Level::high;
    case Reason::grip_lost:
    case Reason::grasp_slip:
    case Reason::misplaced:
    case Reason::locked:
      return risky ? Level::high : Level::medium;
    case Reason::grasp_missed:
    case Reason::insufficient_force:
    case Reason::abandoned:
      return risky ? Level::medium : Level::low;
    case Reason::none:
      break;
  }
  return Level::low;
}

bool TagSet::has(TagKind kind) const {
  switch (kind) {
    case TagKind::fragility:
      return !fragility.empty();
    case TagKind::risk:
      return !risk.empty();
    case TagKind::affordance:
      return !affordance.empty();
    case TagKind::efficiency:
      return !efficiency.empty();
    case TagKind::novelty:
      return !novelty.empty();
    case TagKind::intervention:
      return !intervention.empty();
    case TagKind::ood:
      return !ood.empty();
    case TagKind::recovery:
      return !recovery.empty();
  }
  return false;
}

bool TagSet::high_risk() const {
  return std::any_of(risk.begin(), risk.end(), [](const RiskTag& t) { return t.level >= Level::high; });
}

double TagSet::ood_severity() const {
  double worst = 0;
  for (const OodTag& t : ood) worst = std::max(worst, t.severity);
  return worst;
}

bool TagSet::marked(std::string_view mark) const {
  return std::binary_search(marks.begin(), marks.end(), mark);
}

void TagSet::mark(std::string_view term) {
  const auto at = std::lower_bound(marks.begin(), marks.end(), term);
  if (at == marks.end() || *at != term) marks.emplace(at, term);
}

std::vector<std::string> TagSet::words() const {
  std::vector<std::string> out = marks;
  const auto say = [&](std::string_view head, std::string_view tail) {
    out.push_back(fmt::format("{}:{}", head, tail));
  };
  for (const auto& t : fragility) say("fragile", t.object);
  for (const auto& t : risk) say("risk", level_name(t.level));
  for (const auto& t : affordance) say(t.affordance, t.object);
  for (const auto& t : efficiency) say("energy", t.wasteful ? "high" : "low");
  for (const auto& t : novelty) say("novel", t.what);
  for (const auto& t : intervention) say("intervention", t.kind);
  for (const auto& t : ood) say("ood", ood_source_name(t.source));
  for (const auto& t : recovery) say("recovery", level_name(t.value_add));
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

void TagSet::write(JsonText& out) const {
  out.begin_object();
  write_list(out, TagKind::fragility, fragility, [&](const FragilityTag& t) {
    out.field("object", t.object).field("failure", t.failure).field("severity", t.severity);
  });
  write_list(out, TagKind::risk, risk, [&](const RiskTag& t) {
    out.field("level", level_name(t.level)).field("score", t.score).field("object", t.object).field("why", t.why);
    out.field("segment", t.segment);
  });
  write_list(out, TagKind::affordance, affordance, [&](const AffordanceTag& t) {
    out.field("object", t.object).field("affordance", t.affordance).field("confidence", t.confidence);
  });
  write_list(out, TagKind::efficiency, efficiency, [&](const EfficiencyTag& t) {
    out.field("energy_Wh", t.energy_Wh).field("expected_Wh", t.expected_Wh);
    out.field("class", t.wasteful ? "wasteful" : "frugal");
  });
  write_list(out, TagKind::novelty, novelty,
             [&](const NoveltyTag& t) { out.field("score", t.score).field("what", t.what); });
  write_list(out, TagKind::intervention, intervention, [&](const InterventionTag& t) {
    out.field("kind", t.kind).field("at_s", t.at_s).field("segment", t.segment);
  });
  write_list(out, TagKind::ood, ood, [&](const OodTag& t) {
    out.field("severity", t.severity).field("source", ood_source_name(t.source)).field("details", t.details);
    out.field("segment", t.segment);
  });
  write_list(out, TagKind::recovery, recovery, [&](const RecoveryTag& t) {
    out.field("value_add", level_name(t.value_add)).field("correction_type", t.correction_type);
    out.field("cost_Wh", t.cost_Wh).field("cost_estimated", t.cost_estimated).field("failure", t.failure);
    out.field("object", t.object).field("recovery", t.recovery).field("failed_segment", t.failed_segment);
    out.field("success_segment", t.success_segment).field("steps", t.steps);
  });
  out.key("marks").begin_array();
  for (const std::string& m : marks) out.value(m);
  out.end_array().end_object();
}

void write(JsonText& out, const SupervisionHints& hints) {
  out.begin_object().field("safety_critical", hints.safety_critical);
  out.field("curriculum_stage", curriculum_stage_name(hints.stage)).key("prerequisites").begin_array();
  for (const std::string& p : hints.prerequisites) out.value(p);
  out.end_array().end_object();
}

}  // namespace drover::semantics

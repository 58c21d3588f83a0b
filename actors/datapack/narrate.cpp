#include "actors/datapack/narrate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "actors/datapack/skills.hpp"

namespace drover::datapack {
namespace {

constexpr size_t words_max_bytes = 200;

// "open_with_clearance" and "OPEN_WITH_CLEARANCE" both read "open with clearance".
std::string words_of(std::string_view name) {
  std::string out(name);
  if (out.size() > words_max_bytes) {  // between two characters of UTF-8
    size_t end = words_max_bytes;
    while (end > 0 && (static_cast<unsigned char>(out[end]) & 0xc0) == 0x80) --end;
    out.resize(end);
  }
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    if (c == '_') return ' ';
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

std::string skill_words(int64_t skill_id) {
  switch (static_cast<Skill>(skill_id)) {
    case Skill::locate_drawer:
      return "locate the drawer";
    case Skill::locate_vase:
      return "locate the vase";
    case Skill::plan_safe_approach:
      return "plan a safe approach";
    case Skill::grasp_handle:
      return "grasp the handle";
    case Skill::open_with_clearance:
      return "open the drawer, clear of the vase";
    case Skill::retract_safe:
      return "retract safely";
    default:
      break;
  }
  const std::string_view name = skill_name(skill_id);
  return name.empty() ? fmt::format("skill {}", skill_id) : words_of(name);
}

// What a source wrote beside the step: its reason of a failure, and the name of a skill that has no id of ours.
std::string extra_text(const SkillStep& step, const char* field) {
  if (step.extra_json.empty()) return {};
  const auto extra = nlohmann::json::parse(step.extra_json, nullptr, false);
  if (!extra.is_object()) return {};
  const auto at = extra.find(field);
  return at != extra.end() && at->is_string() ? words_of(at->get_ref<const std::string&>()) : std::string();
}

std::string narration(const SkillStep& step) {
  // A name that is not the one of the id is a task's own skill.
  const std::string name = extra_text(step, "name");
  const bool own = !name.empty() && name != words_of(skill_name(step.skill_id));
  const std::string what = own ? name : skill_words(step.skill_id);
  std::string out = fmt::format("{:.1f} s: {}", step.start_s, what);
  if (step.outcome == "failure") out += ", failed";
  if (step.outcome == "recovered") out += ", recovered";
  const std::string reason = extra_text(step, "reason");
  if (!reason.empty()) out += fmt::format(" ({})", reason);
  return out;
}

std::string instruction_of(const std::string& task) {
  if (task == "drawer_vase") return "open the drawer without hitting the vase";
  if (task == "dish_place") return "put the dish into its place in the rack";
  if (task == "wipe_surface") return "wipe the surface";
  return "carry out " + words_of(task);
}

}  // namespace

SimaAnnotation narrate(const Datapack& pack) {
  SimaAnnotation out;
  out.instruction = instruction_of(pack.task_name);
  out.sima_agent_id = narrator_id;
  out.source_world = pack.condition.world_id;
  for (size_t i = 0; i < pack.skill_trace.size(); ++i) {
    if (i + 1 == narrations_max && pack.skill_trace.size() > narrations_max) {
      out.step_narrations.push_back(fmt::format("and {} more steps", pack.skill_trace.size() - i));
      break;
    }
    out.step_narrations.push_back(narration(pack.skill_trace[i]));
  }
  for (const SkillStep& step : pack.skill_trace)
    if (out.derived_skill_plan.empty() || out.derived_skill_plan.back() != step.skill_id)
      out.derived_skill_plan.push_back(step.skill_id);
  return out;
}

}  // namespace drover::datapack

#include "actors/datapack/counterfactual.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "actors/datapack/skills.hpp"

namespace drover::datapack {
namespace {

using nlohmann::json;

constexpr size_t steps_max = 64;

struct Cause {
  const char* name;
  const char* kind;  // the plan's kind when this cause is the costliest
  double cost;       // how much of J it took away, > 0
};

std::vector<Cause> causes_of(const econ::Deltas& d, const econ::Objective& w) {
  const std::array<Cause, 4> all{{{"safety", "keep_clearance", -w.safety * d.safety_bonus},
                                  {"error", "avoid_errors", w.error * d.delta_error},
                                  {"mpl", "work_at_baseline_pace", -w.mpl * d.delta_mpl},
                                  {"ep", "use_baseline_energy", -w.ep * d.delta_ep}}};
  std::vector<Cause> causes;
  std::copy_if(all.begin(), all.end(), std::back_inserter(causes), [](const Cause& c) { return c.cost > 0; });
  std::stable_sort(causes.begin(), causes.end(), [](const Cause& a, const Cause& b) { return a.cost > b.cost; });
  return causes;
}

std::string name_of(const SkillFact& skill) {
  return skill.name.empty() ? std::string(skill_name(skill.skill_id)) : skill.name;
}

json step(const char* action, std::string reason, const SkillFact* skill) {
  json out = {{"action", action}, {"reason", std::move(reason)}};
  if (skill != nullptr) {
    out["skill_id"] = skill->skill_id;
    if (const std::string name = name_of(*skill); !name.empty()) out["skill"] = name;
  }
  return out;
}

// The step that was running at `at_s`, or null.
const SkillFact* skill_at(const EpisodeFacts& facts, double at_s) {
  for (const SkillFact& skill : facts.skills)
    if (at_s >= skill.start_s && at_s <= skill.end_s) return &skill;
  return nullptr;
}

const char* action_for(std::string_view event_kind) {
  if (event_kind == "protective_stop") return "reduce_speed_before_stop";
  if (event_kind == "grip_lost") return "regrip_with_more_force";
  if (event_kind == "collision") return "replan_with_clearance";
  return "avoid_condition";
}

void add_event_steps(const EpisodeFacts& facts, json& steps, size_t& not_listed) {
  for (const EpisodeEvent& event : facts.events) {
    if (event.severity == "info") continue;
    if (steps.size() >= steps_max) {
      ++not_listed;
      continue;
    }
    const double at_s = static_cast<double>(event.time_unix_ns - facts.start_unix_ns) / 1e9;
    json entry = step(action_for(event.kind), event.kind, skill_at(facts, at_s));
    entry["at_s"] = at_s;
    steps.push_back(std::move(entry));
  }
}

void add_failed_skill_steps(const EpisodeFacts& facts, json& steps) {
  for (const SkillFact& skill : facts.skills)
    if (skill.outcome == "failure" && steps.size() < steps_max)
      steps.push_back(step("retry_with_checked_precondition", "skill failed", &skill));
}

// Slow work: the idle or stopped step that took the longest is the first to shorten, else the longest of all.
void add_pace_step(const EpisodeFacts& facts, json& steps) {
  const SkillFact* longest = nullptr;
  const auto idle = [](const SkillFact& s) {
    return s.skill_id == static_cast<int64_t>(Skill::dwell) || s.skill_id == static_cast<int64_t>(Skill::stopped);
  };
  for (const SkillFact& skill : facts.skills) {
    const bool better =
        longest == nullptr || (idle(skill) && !idle(*longest)) ||
        (idle(skill) == idle(*longest) && skill.end_s - skill.start_s > longest->end_s - longest->start_s);
    if (better) longest = &skill;
  }
  if (longest == nullptr || steps.size() >= steps_max) return;
  json entry = step(idle(*longest) ? "shorten_idle_time" : "shorten_step", "longest step", longest);
  entry["at_s"] = longest->start_s;
  entry["duration_s"] = longest->end_s - longest->start_s;
  steps.push_back(std::move(entry));
}

void add_energy_step(const Energy& energy, json& steps) {
  const std::string* driver = nullptr;
  double share = 0;
  for (const auto& [name, metrics] : energy.per_joint) {
    if (name == "unattributed" || metrics.at("share") <= share) continue;
    driver = &name;
    share = metrics.at("share");
  }
  if (steps.size() >= steps_max) return;
  json entry = step("lower_torque_or_speed", "energy per unit above the baseline", nullptr);
  if (driver != nullptr) {
    entry["part"] = *driver;
    entry["share_of_energy"] = share;
  }
  steps.push_back(std::move(entry));
}

}  // namespace

std::string counterfactual_plan(const EpisodeFacts& facts, const Energy& energy, const econ::Deltas& deltas,
                                const econ::Objective& weights) {
  const std::vector<Cause> causes = causes_of(deltas, weights);
  json steps = json::array();
  json names = json::array();
  json by_cause = json::object();
  size_t not_listed = 0;
  double gain = 0;
  for (const Cause& cause : causes) {
    const std::string_view name = cause.name;
    names.push_back(name);
    by_cause[cause.name] = cause.cost;
    gain += cause.cost;
    if (name == "safety") steps.push_back(step("replan_with_clearance", "safety was violated", nullptr));
    if (name == "error") {
      add_event_steps(facts, steps, not_listed);
      add_failed_skill_steps(facts, steps);
    }
    if (name == "mpl") add_pace_step(facts, steps);
    if (name == "ep") add_energy_step(energy, steps);
  }
  if (steps.empty()) steps.push_back(step("repeat_as_baseline", "no single cause in the record", nullptr));
  json plan = {{"kind", causes.empty() ? "repeat_as_baseline" : causes.front().kind},
               {"causes", names},
               {"steps", steps},
               {"expected_effect", {{"delta_J", gain}, {"by_cause", by_cause}}}};
  if (not_listed > 0) plan["events_not_listed"] = not_listed;
  return plan.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace drover::datapack

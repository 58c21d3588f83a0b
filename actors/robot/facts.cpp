#include "actors/robot/facts.hpp"

#include <cmath>
#include <cstdio>

#include "actors/datapack/skills.hpp"

namespace drover::robot {
namespace {

std::map<std::string, double> work(const std::map<std::string, Joules>& parts) {
  std::map<std::string, double> out;
  for (const auto& [name, joules] : parts) out[name] = joules.mechanical;
  return out;
}

// Skills are named as the episode names them; an id it never ran has the name that is known everywhere, if any.
std::string name_of(int64_t skill_id, const std::vector<SkillSpan>& skills) {
  for (const SkillSpan& span : skills)
    if (span.skill_id == skill_id) return span.skill;
  const std::string_view name = datapack::skill_name(skill_id);
  return name.empty() ? "unattributed" : std::string(name);
}

datapack::EnergyFacts energy_of(const EnergyMeter& meter, const std::vector<SkillSpan>& skills) {
  datapack::EnergyFacts out;
  out.method = "torque_velocity";
  out.total_J = meter.total().mechanical;
  out.joint_J = work(meter.per_joint());
  out.limb_J = work(meter.per_limb());
  out.effector_J = work(meter.per_effector());
  for (const auto& [id, joules] : meter.per_skill()) out.skill_J[name_of(id, skills)] += joules.mechanical;
  out.coordination = {
      {"copper_loss_J", meter.total().copper}, {"peak_W", meter.peak_W()}, {"integrated_s", meter.seconds()}};
  out.note = "abs(torque*velocity) at every physics step; copper loss apart, in coordination.copper_loss_J";
  return out;
}

std::string seed_text(uint64_t seed) {
  char text[24];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(seed));
  return text;
}

}  // namespace

datapack::EpisodeFacts facts_of(const EpisodeResult& episode, const FactsOptions& options) {
  const Condition& c = episode.condition;
  const auto unix_ns = [&](double time_s) { return options.start_unix_ns + std::llround(time_s * 1e9); };
  datapack::EpisodeFacts f;
  f.episode_id = options.robot + "/" + c.world + "/" + c.set + "/" + seed_text(c.seed) + "/" + seed_text(episode.hash);
  f.robot = options.robot;
  f.task_name = f.env_type = f.world_id = c.world;
  f.engine_type = episode.engine;
  f.source_kind = "world_" + c.world;
  f.source = f.source_kind + "/" + c.set + "/" + seed_text(c.seed);
  f.source_type = SourceType::synthetic;
  f.start_unix_ns = options.start_unix_ns;
  f.end_unix_ns = unix_ns(episode.duration_s);
  f.active_s = episode.duration_s;
  f.units = episode.outcome.success ? 1 : 0;
  f.errors = episode.outcome.errors;
  f.safety_violated = episode.outcome.broken;
  f.energy = energy_of(episode.energy, episode.skills);
  for (const SkillSpan& s : episode.skills) f.skills.push_back({s.skill_id, s.skill, s.start_s, s.end_s, s.outcome});
  for (const WorldEvent& e : episode.events) f.events.push_back({unix_ns(e.time_s), e.kind, e.severity, e.detail, 0});
  f.vase_offset_m = {c.number("vase_dx_m"), c.number("vase_dy_m"), 0};
  f.drawer_friction = c.number("drawer_friction_N");
  f.lighting_profile = std::string(c.choice("lighting", "normal"));
  f.occlusion_level = c.number("occlusion_level");
  f.condition_tags = {{"condition_set", c.set}, {"template", std::string(template_name(episode.kind))}};
  for (const auto& [name, text] : c.choices) f.condition_tags[name] = text;
  return f;
}

}  // namespace drover::robot

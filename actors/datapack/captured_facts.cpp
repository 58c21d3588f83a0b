#include "actors/datapack/captured_facts.hpp"

#include <cstdio>

namespace drover::datapack {
namespace {

EnergyFacts energy_of(const capture::CapturedEpisode& episode) {
  const capture::EnergyResult& energy = episode.energy;
  EnergyFacts out;
  out.method = energy.method;
  out.total_J = energy.total_J;
  out.joint_J = energy.per_joint_J;
  out.skill_J = energy.per_skill_J;
  out.limb_J = energy.per_limb_J;
  out.effector_J = energy.per_effector_J;
  out.supply_J = energy.supply_J;
  out.note = energy.note;
  if (energy.method == energy_not_measured) return out;
  out.coordination["peak_W"] = energy.peak_W;
  out.coordination["integrated_s"] = energy.integrated_s;
  // A whole recording has none, by the way it is made.
  if (!episode.origin || energy.not_integrated_s > 0) out.coordination["not_integrated_s"] = energy.not_integrated_s;
  if (energy.joint_work_J) out.coordination["joint_work_J"] = *energy.joint_work_J;
  if (energy.copper_loss_J) out.coordination["copper_loss_J"] = *energy.copper_loss_J;
  return out;
}

// What the episode drew before it began, and what kind of episode it became.
void add_origin(const capture::CapturedEpisode& episode, EpisodeFacts& f) {
  const capture::RecordedOrigin& origin = *episode.origin;
  f.world_id = origin.world;
  f.safety_violated = episode.safety_violated;
  const auto& [set, seed_value, numbers, choices] = origin.condition;
  char seed[24];
  std::snprintf(seed, sizeof seed, "%016llx", static_cast<unsigned long long>(seed_value));
  f.source = episode.header.source_kind + "/" + set + "/" + seed;
  const auto number = [&](const char* name) { return numbers.contains(name) ? numbers.at(name) : 0.0; };
  f.vase_offset_m = {number("vase_dx_m"), number("vase_dy_m"), 0};
  f.drawer_friction = number("drawer_friction_N");
  f.occlusion_level = number("occlusion_level");
  if (const auto lighting = choices.find("lighting"); lighting != choices.end()) f.lighting_profile = lighting->second;
  f.condition_tags = {{"condition_set", set}};
  if (!origin.template_name.empty()) f.condition_tags["template"] = origin.template_name;
  for (const auto& [name, text] : choices) f.condition_tags[name] = text;
  if (!episode.header.complete) f.condition_tags["complete"] = "false";
}

}  // namespace

EpisodeFacts facts_of(const capture::CapturedEpisode& episode, const CapturedFactsOptions& options) {
  const Episode& header = episode.header;
  EpisodeFacts f;
  f.episode_id = header.episode_id;
  f.robot = header.robot;
  f.task_name = header.task_name;
  f.env_type = episode.env_type;
  f.engine_type = header.engine_type;
  f.source_kind = header.source_kind;
  f.source = header.source_kind + "/" + header.source_name;
  f.source_type = episode.source_type;
  f.start_unix_ns = header.start_unix_ns;
  f.end_unix_ns = header.end_unix_ns;
  f.active_s = episode.duration_s;
  f.units = episode.units;
  f.attempts = episode.attempts;
  f.errors = episode.errors;
  f.energy = energy_of(episode);
  for (const capture::MotionStep& s : episode.steps)
    f.skills.push_back({s.skill_id, s.name, s.start_s, s.end_s, s.outcome});
  f.events = header.events;
  for (const EpisodeEvent& event : header.events)
    if (options.safety_events.contains(event.kind)) f.safety_violated = true;
  f.condition_tags = {{"source_kind", header.source_kind},
                      {"cut", std::string(capture::cut_reason_name(episode.cut))},
                      {"complete", header.complete ? "true" : "false"}};
  f.agent_profile_json = options.agent_profile_json;
  f.notes = header.notes;
  if (episode.origin) add_origin(episode, f);
  return f;
}

}  // namespace drover::datapack

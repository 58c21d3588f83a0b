#include "actors/datapack/captured_facts.hpp"

namespace drover::datapack {
namespace {

EnergyFacts energy_of(const capture::EnergyResult& energy) {
  EnergyFacts out;
  out.method = energy.method;
  out.total_J = energy.total_J;
  out.joint_J = energy.per_joint_J;
  out.skill_J = energy.per_skill_J;
  out.supply_J = energy.supply_J;
  out.note = energy.note;
  if (energy.method == energy_not_measured) return out;
  out.coordination["peak_W"] = energy.peak_W;
  out.coordination["integrated_s"] = energy.integrated_s;
  out.coordination["not_integrated_s"] = energy.not_integrated_s;
  if (energy.joint_work_J) out.coordination["joint_work_J"] = *energy.joint_work_J;
  return out;
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
  f.energy = energy_of(episode.energy);
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
  return f;
}

}  // namespace drover::datapack

#include "actors/capture/value.hpp"

#include <algorithm>

namespace drover::capture {
namespace {

datapack::EnergyFacts energy_facts(const EnergyResult& energy) {
  datapack::EnergyFacts facts;
  facts.method = energy.method;
  facts.total_J = energy.total_J;
  facts.joint_J = energy.per_joint_J;
  facts.skill_J = energy.per_skill_J;
  facts.supply_J = energy.supply_J;
  facts.note = energy.note;
  if (energy.method == datapack::energy_not_measured) return facts;
  facts.coordination["peak_W"] = energy.peak_W;
  facts.coordination["integrated_s"] = energy.integrated_s;
  facts.coordination["not_integrated_s"] = energy.not_integrated_s;
  if (energy.joint_work_J) facts.coordination["joint_work_J"] = *energy.joint_work_J;
  return facts;
}

}  // namespace

datapack::EpisodeFacts facts_of(const CapturedEpisode& captured, const std::string& robot) {
  const Episode& header = captured.header;
  datapack::EpisodeFacts facts;
  facts.episode_id = header.episode_id;
  facts.robot = robot;
  facts.task_name = header.task_name;
  facts.env_type = captured.env_type;
  facts.engine_type = header.engine_type;
  facts.world_id = header.source_kind;
  facts.source_kind = header.source_kind;
  facts.source = header.source_kind + ":" + header.source_name;
  facts.source_type = captured.source_type;
  facts.start_unix_ns = header.start_unix_ns;
  facts.end_unix_ns = header.end_unix_ns;
  facts.active_s = captured.duration_s;
  facts.units = captured.units;
  facts.attempts = captured.attempts;
  facts.errors = captured.errors;
  facts.energy = energy_facts(captured.energy);
  for (const MotionStep& step : captured.steps)
    facts.skills.push_back({step.skill_id, step.name, step.start_s, step.end_s, step.outcome});
  facts.events = header.events;
  facts.condition_tags["cut"] = std::string(cut_reason_name(captured.cut));
  facts.notes = header.notes;
  return facts;
}

std::string outcome_of(const CapturedEpisode& captured) {
  if (!captured.header.complete) return "unknown";
  if (captured.errors <= 0) return "success";
  return captured.units > 0 ? "recovered" : "failure";
}

Result<ValuedEpisode> value_episode(const CapturedEpisode& captured, const std::string& robot,
                                    std::vector<BlobRef> blobs, const datapack::Baseline& baseline,
                                    const econ::EconPreset& preset) {
  ValuedEpisode valued;
  DROVER_ASSIGN(auto built, datapack::build_datapack(facts_of(captured, robot), baseline, preset));
  valued.pack = std::move(built.pack);
  valued.next_baseline = built.next_state;
  valued.episode = captured.header;
  valued.episode.robot = robot;
  valued.episode.blobs = std::move(blobs);
  if (valued.episode.outcome.empty() || valued.episode.outcome == "unknown")
    valued.episode.outcome = outcome_of(captured);
  uint64_t blob_bytes = 0;
  for (const BlobRef& blob : valued.episode.blobs) blob_bytes += blob.size_bytes;
  valued.episode.value_per_byte = datapack::value_per_byte(valued.pack, blob_bytes);
  DROVER_TRY(validate(valued.episode));
  return valued;
}

}  // namespace drover::capture

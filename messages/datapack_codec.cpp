// Datapack <-> flat Cap'n Proto bytes (schema/datapack.capnp).
#include "messages/capnp_util.hpp"
#include "messages/datapack.hpp"
#include "messages/packet.hpp"
#include "messages/schema/datapack.capnp.h"

namespace drover {
namespace {

using codec::count;
using codec::text;

template <class ListBuilder>
void write_metrics(ListBuilder list, const Metrics& metrics) {
  uint32_t i = 0;
  for (const auto& [name, value] : metrics) {
    list[i].setName(text(name));
    list[i++].setValue(value);
  }
}

Metrics read_metrics(capnp::List<schema::Metric>::Reader list) {
  Metrics metrics;
  for (auto metric : list) metrics.emplace(text(metric.getName()), metric.getValue());
  return metrics;
}

template <class ListBuilder>
void write_breakdown(ListBuilder list, const Breakdown& breakdown) {
  uint32_t i = 0;
  for (const auto& [name, metrics] : breakdown) {
    list[i].setName(text(name));
    write_metrics(list[i++].initMetrics(count(metrics)), metrics);
  }
}

Breakdown read_breakdown(capnp::List<schema::NamedMetrics>::Reader list) {
  Breakdown breakdown;
  for (auto entry : list) breakdown.emplace(text(entry.getName()), read_metrics(entry.getMetrics()));
  return breakdown;
}

void write(schema::Provenance::Builder b, const Provenance& v) {
  b.setRobot(text(v.robot));
  b.setEpisodeId(text(v.episode_id));
  b.setStartUnixNs(v.start_unix_ns);
  b.setEndUnixNs(v.end_unix_ns);
  b.setSource(text(v.source));
}

Provenance read(schema::Provenance::Reader r) {
  return {text(r.getRobot()), text(r.getEpisodeId()), r.getStartUnixNs(), r.getEndUnixNs(), text(r.getSource())};
}

void write(schema::Condition::Builder b, const Condition& v) {
  b.setTaskName(text(v.task_name));
  b.setEngineType(text(v.engine_type));
  b.setWorldId(text(v.world_id));
  codec::write_numbers(b.initVaseOffsetM(count(v.vase_offset_m)), v.vase_offset_m);
  b.setDrawerFriction(v.drawer_friction);
  b.setLightingProfile(text(v.lighting_profile));
  b.setOcclusionLevel(v.occlusion_level);
  b.setEconPreset(text(v.econ_preset));
  b.setPricePerUnit(v.price_per_unit);
  b.setVaseBreakCost(v.vase_break_cost);
  b.setEnergyPriceKWh(v.energy_price_kWh);
  codec::write_numbers(b.initObjectiveVector(count(v.objective_vector)), v.objective_vector);
  b.setTagsJson(text(v.tags_json));
  b.setExtraJson(text(v.extra_json));
}

Condition read(schema::Condition::Reader r) {
  Condition v;
  v.task_name = text(r.getTaskName());
  v.engine_type = text(r.getEngineType());
  v.world_id = text(r.getWorldId());
  v.vase_offset_m = codec::read_numbers<double>(r.getVaseOffsetM());
  v.drawer_friction = r.getDrawerFriction();
  v.lighting_profile = text(r.getLightingProfile());
  v.occlusion_level = r.getOcclusionLevel();
  v.econ_preset = text(r.getEconPreset());
  v.price_per_unit = r.getPricePerUnit();
  v.vase_break_cost = r.getVaseBreakCost();
  v.energy_price_kWh = r.getEnergyPriceKWh();
  v.objective_vector = codec::read_numbers<double>(r.getObjectiveVector());
  v.tags_json = text(r.getTagsJson());
  v.extra_json = text(r.getExtraJson());
  return v;
}

void write_optionals(schema::Attribution::Builder b, const Attribution& v) {
  if (v.wm_horizon_used) {
    b.setHasWmHorizonUsed(true);
    b.setWmHorizonUsed(*v.wm_horizon_used);
  }
  if (v.wm_branch_depth) {
    b.setHasWmBranchDepth(true);
    b.setWmBranchDepth(*v.wm_branch_depth);
  }
  if (v.wm_trust_over_horizon) {
    b.setHasWmTrustOverHorizon(true);
    codec::write_numbers(b.initWmTrustOverHorizon(count(*v.wm_trust_over_horizon)), *v.wm_trust_over_horizon);
  }
  if (v.mvd_score) {
    b.setHasMvdScore(true);
    b.setMvdScore(*v.mvd_score);
  }
  if (v.econ_weight_final) {
    b.setHasEconWeightFinal(true);
    b.setEconWeightFinal(*v.econ_weight_final);
  }
}

void write(schema::Attribution::Builder b, const Attribution& v) {
  b.setDeltaMpl(v.delta_mpl);
  b.setDeltaError(v.delta_error);
  b.setDeltaEp(v.delta_ep);
  b.setDeltaJ(v.delta_J);
  b.setTrustScore(v.trust_score);
  b.setWEcon(v.w_econ);
  b.setLambdaBudget(v.lambda_budget);
  b.setSourceType(static_cast<schema::SourceType>(v.source_type));
  b.setWmModelId(text(v.wm_model_id));
  write_optionals(b, v);
  codec::write_texts(b.initUsedInTrainingRuns(count(v.used_in_training_runs)), v.used_in_training_runs);
  b.setWmRole(text(v.wm_role));
  auto contribs = b.initSkillContribs(count(v.skill_contribs));
  uint32_t i = 0;
  for (const auto& [skill, metrics] : v.skill_contribs) {
    contribs[i].setSkillId(skill);
    write_metrics(contribs[i++].initMetrics(count(metrics)), metrics);
  }
  b.setExtraJson(text(v.extra_json));
}

Result<Attribution> read(schema::Attribution::Reader r) {
  Attribution v;
  v.delta_mpl = r.getDeltaMpl();
  v.delta_error = r.getDeltaError();
  v.delta_ep = r.getDeltaEp();
  v.delta_J = r.getDeltaJ();
  v.trust_score = r.getTrustScore();
  v.w_econ = r.getWEcon();
  v.lambda_budget = r.getLambdaBudget();
  if (static_cast<uint16_t>(r.getSourceType()) > 2)
    return fail(Errc::corrupt, "attribution.source_type", "unknown value");
  v.source_type = static_cast<SourceType>(r.getSourceType());
  v.wm_model_id = text(r.getWmModelId());
  if (r.getHasWmHorizonUsed()) v.wm_horizon_used = r.getWmHorizonUsed();
  if (r.getHasWmBranchDepth()) v.wm_branch_depth = r.getWmBranchDepth();
  if (r.getHasWmTrustOverHorizon()) v.wm_trust_over_horizon = codec::read_numbers<double>(r.getWmTrustOverHorizon());
  if (r.getHasMvdScore()) v.mvd_score = r.getMvdScore();
  if (r.getHasEconWeightFinal()) v.econ_weight_final = r.getEconWeightFinal();
  v.used_in_training_runs = codec::read_texts(r.getUsedInTrainingRuns());
  v.wm_role = text(r.getWmRole());
  for (auto c : r.getSkillContribs()) v.skill_contribs.emplace(c.getSkillId(), read_metrics(c.getMetrics()));
  v.extra_json = text(r.getExtraJson());
  return v;
}

void write(schema::Energy::Builder b, const Energy& v) {
  b.setTotalWh(v.total_Wh);
  b.setWhPerUnit(v.Wh_per_unit);
  b.setWhPerHour(v.Wh_per_hour);
  write_breakdown(b.initPerLimb(count(v.per_limb)), v.per_limb);
  write_breakdown(b.initPerSkill(count(v.per_skill)), v.per_skill);
  write_breakdown(b.initPerJoint(count(v.per_joint)), v.per_joint);
  write_breakdown(b.initPerEffector(count(v.per_effector)), v.per_effector);
  write_metrics(b.initCoordination(count(v.coordination_metrics)), v.coordination_metrics);
  write_metrics(b.initLimbEnergyWh(count(v.limb_energy_Wh)), v.limb_energy_Wh);
  write_metrics(b.initSkillEnergyWh(count(v.skill_energy_Wh)), v.skill_energy_Wh);
  b.setExtraJson(text(v.extra_json));
}

Energy read(schema::Energy::Reader r) {
  Energy v;
  v.total_Wh = r.getTotalWh();
  v.Wh_per_unit = r.getWhPerUnit();
  v.Wh_per_hour = r.getWhPerHour();
  v.per_limb = read_breakdown(r.getPerLimb());
  v.per_skill = read_breakdown(r.getPerSkill());
  v.per_joint = read_breakdown(r.getPerJoint());
  v.per_effector = read_breakdown(r.getPerEffector());
  v.coordination_metrics = read_metrics(r.getCoordination());
  v.limb_energy_Wh = read_metrics(r.getLimbEnergyWh());
  v.skill_energy_Wh = read_metrics(r.getSkillEnergyWh());
  v.extra_json = text(r.getExtraJson());
  return v;
}

void write(schema::SkillStep::Builder b, const SkillStep& v) {
  b.setSkillId(v.skill_id);
  b.setStartS(v.start_s);
  b.setEndS(v.end_s);
  b.setOutcome(text(v.outcome));
  b.setExtraJson(text(v.extra_json));
}

SkillStep read(schema::SkillStep::Reader r) {
  return {r.getSkillId(), r.getStartS(), r.getEndS(), text(r.getOutcome()), text(r.getExtraJson())};
}

void write(schema::SimaAnnotation::Builder b, const SimaAnnotation& v) {
  b.setInstruction(text(v.instruction));
  codec::write_texts(b.initStepNarrations(count(v.step_narrations)), v.step_narrations);
  b.setSimaAgentId(text(v.sima_agent_id));
  b.setSourceWorld(text(v.source_world));
  codec::write_numbers(b.initDerivedSkillPlan(count(v.derived_skill_plan)), v.derived_skill_plan);
  b.setExtraJson(text(v.extra_json));
}

SimaAnnotation read(schema::SimaAnnotation::Reader r) {
  return {text(r.getInstruction()),
          codec::read_texts(r.getStepNarrations()),
          text(r.getSimaAgentId()),
          text(r.getSourceWorld()),
          codec::read_numbers<int64_t>(r.getDerivedSkillPlan()),
          text(r.getExtraJson())};
}

void write_texts_of(schema::Datapack::Builder b, const Datapack& v) {
  b.setSchemaVersion(text(v.schema_version));
  b.setPackId(text(v.pack_id));
  b.setTaskName(text(v.task_name));
  b.setEnvType(text(v.env_type));
  b.setBrickId(text(v.brick_id));
  b.setAgentProfileJson(text(v.agent_profile_json));
  b.setEpisodeMetricsJson(text(v.episode_metrics_json));
  b.setVlaPlanJson(text(v.vla_plan_json));
  b.setCounterfactualPlanJson(text(v.counterfactual_plan_json));
  b.setCounterfactualSource(text(v.counterfactual_source));
  b.setSceneTracksJson(text(v.scene_tracks_json));
  b.setRgbFeaturesJson(text(v.rgb_features_json));
  b.setSliceLabelsJson(text(v.slice_labels_json));
  b.setRawDataPath(text(v.raw_data_path));
  b.setExtraJson(text(v.extra_json));
}

void read_texts_of(schema::Datapack::Reader r, Datapack& v) {
  v.schema_version = text(r.getSchemaVersion());
  v.pack_id = text(r.getPackId());
  v.task_name = text(r.getTaskName());
  v.env_type = text(r.getEnvType());
  v.brick_id = text(r.getBrickId());
  v.agent_profile_json = text(r.getAgentProfileJson());
  v.episode_metrics_json = text(r.getEpisodeMetricsJson());
  v.vla_plan_json = text(r.getVlaPlanJson());
  v.counterfactual_plan_json = text(r.getCounterfactualPlanJson());
  v.counterfactual_source = text(r.getCounterfactualSource());
  v.scene_tracks_json = text(r.getSceneTracksJson());
  v.rgb_features_json = text(r.getRgbFeaturesJson());
  v.slice_labels_json = text(r.getSliceLabelsJson());
  v.raw_data_path = text(r.getRawDataPath());
  v.extra_json = text(r.getExtraJson());
}

}  // namespace

Bytes encode(const Datapack& v) {
  capnp::MallocMessageBuilder message;
  auto b = message.initRoot<schema::Datapack>();
  write_texts_of(b, v);
  b.setBucket(v.bucket == Bucket::positive ? schema::Bucket::POSITIVE : schema::Bucket::NEGATIVE);
  codec::write_texts(b.initSemanticTags(count(v.semantic_tags)), v.semantic_tags);
  codec::write_texts(b.initEnergyDriverTags(count(v.energy_driver_tags)), v.energy_driver_tags);
  write(b.initProvenance(), v.provenance);
  write(b.initCondition(), v.condition);
  write(b.initAttribution(), v.attribution);
  write(b.initEnergy(), v.energy);
  auto trace = b.initSkillTrace(count(v.skill_trace));
  for (uint32_t i = 0; i < v.skill_trace.size(); ++i) write(trace[i], v.skill_trace[i]);
  if (v.sima_annotation) write(b.initSimaAnnotation(), *v.sima_annotation);
  return flat_bytes(message);
}

Result<Datapack> decode_datapack(ByteView flat) {
  return read_flat<schema::Datapack>(flat, "datapack", [](schema::Datapack::Reader r) -> Result<Datapack> {
    Datapack v;
    read_texts_of(r, v);
    if (static_cast<uint16_t>(r.getBucket()) > 1) return fail(Errc::corrupt, "bucket", "unknown value");
    v.bucket = r.getBucket() == schema::Bucket::POSITIVE ? Bucket::positive : Bucket::negative;
    v.semantic_tags = codec::read_texts(r.getSemanticTags());
    v.energy_driver_tags = codec::read_texts(r.getEnergyDriverTags());
    v.provenance = read(r.getProvenance());
    v.condition = read(r.getCondition());
    DROVER_ASSIGN(v.attribution, read(r.getAttribution()));
    v.energy = read(r.getEnergy());
    for (auto step : r.getSkillTrace()) v.skill_trace.push_back(read(step));
    if (r.hasSimaAnnotation()) v.sima_annotation = read(r.getSimaAnnotation());
    return v;
  });
}

}  // namespace drover

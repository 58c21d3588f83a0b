// Invariants of a datapack (domain.md 2) and the names of its enumerations.
#include "messages/datapack.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace drover {
namespace {

constexpr size_t id_max_bytes = 256;
constexpr size_t list_max_items = 100'000;
constexpr double breakdown_tolerance = 1e-6;  // relative to total_Wh

Status bad(std::string field, std::string what) {
  return fail(Errc::invalid_argument, std::move(field), std::move(what));
}

Status check_id(const std::string& value, const char* field) {
  if (value.empty()) return bad(field, "must not be empty");
  if (value.size() > id_max_bytes) return bad(field, "longer than " + std::to_string(id_max_bytes) + " bytes");
  if (std::any_of(value.begin(), value.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }))
    return bad(field, "contains a control character");
  return {};
}

Status check_finite(double value, const char* field) {
  return std::isfinite(value) ? Status{} : bad(field, "is not a finite number");
}

Status check_metrics(const Metrics& metrics, const std::string& field) {
  if (metrics.size() > list_max_items) return bad(field, "too many entries");
  for (const auto& [name, value] : metrics)
    if (!std::isfinite(value)) return bad(field + "." + name, "is not a finite number");
  return {};
}

Status check_breakdown(const Breakdown& breakdown, double total_Wh, const std::string& field) {
  if (breakdown.size() > list_max_items) return bad(field, "too many entries");
  if (breakdown.empty()) return {};
  double sum = 0;
  for (const auto& [name, metrics] : breakdown) {
    DROVER_TRY(check_metrics(metrics, field + "." + name));
    const auto energy = metrics.find("Wh");
    if (energy == metrics.end()) return bad(field + "." + name, "has no Wh");
    sum += energy->second;
  }
  if (std::abs(sum - total_Wh) > breakdown_tolerance * std::max(std::abs(total_Wh), 1e-9))
    return bad(field, "sums to " + std::to_string(sum) + " Wh, energy.total_Wh is " + std::to_string(total_Wh));
  return {};
}

Status check_condition(const Condition& c) {
  constexpr std::array<std::string_view, 5> engines{"pybullet", "isaac", "ue5", "mujoco", "real"};
  if (std::find(engines.begin(), engines.end(), c.engine_type) == engines.end())
    return bad("condition.engine_type", "'" + c.engine_type + "' is not one of pybullet, isaac, ue5, mujoco, real");
  if (c.vase_offset_m.size() != 3) return bad("condition.vase_offset", "needs 3 values");
  if (c.objective_vector.size() != 4) return bad("condition.objective_vector", "needs 4 values");
  for (double v : c.vase_offset_m) DROVER_TRY(check_finite(v, "condition.vase_offset"));
  for (double v : c.objective_vector) DROVER_TRY(check_finite(v, "condition.objective_vector"));
  DROVER_TRY(check_finite(c.drawer_friction, "condition.drawer_friction"));
  DROVER_TRY(check_finite(c.occlusion_level, "condition.occlusion_level"));
  DROVER_TRY(check_finite(c.price_per_unit, "condition.price_per_unit"));
  DROVER_TRY(check_finite(c.vase_break_cost, "condition.vase_break_cost"));
  return check_finite(c.energy_price_kWh, "condition.energy_price_kWh");
}

Status check_attribution(const Attribution& a) {
  DROVER_TRY(check_finite(a.delta_mpl, "attribution.delta_mpl"));
  DROVER_TRY(check_finite(a.delta_error, "attribution.delta_error"));
  DROVER_TRY(check_finite(a.delta_ep, "attribution.delta_ep"));
  DROVER_TRY(check_finite(a.delta_J, "attribution.delta_J"));
  DROVER_TRY(check_finite(a.w_econ, "attribution.w_econ"));
  DROVER_TRY(check_finite(a.lambda_budget, "attribution.lambda_budget"));
  if (!(a.trust_score >= 0 && a.trust_score <= 1)) return bad("attribution.trust_score", "must be in [0, 1]");
  if (a.mvd_score) DROVER_TRY(check_finite(*a.mvd_score, "attribution.mvd_score"));
  if (a.econ_weight_final) DROVER_TRY(check_finite(*a.econ_weight_final, "attribution.econ_weight_final"));
  if (a.wm_trust_over_horizon)
    for (double v : *a.wm_trust_over_horizon) DROVER_TRY(check_finite(v, "attribution.wm_trust_over_horizon"));
  constexpr std::array<std::string_view, 5> roles{"", "wm_train", "wm_eval", "wm_synth_source", "wm_synth_target"};
  if (std::find(roles.begin(), roles.end(), a.wm_role) == roles.end())
    return bad("attribution.wm_role", "'" + a.wm_role + "' is not a known role");
  for (const auto& [skill, metrics] : a.skill_contribs)
    DROVER_TRY(check_metrics(metrics, "attribution.skill_contribs." + std::to_string(skill)));
  return {};
}

Status check_energy(const Energy& e) {
  DROVER_TRY(check_finite(e.total_Wh, "energy.total_Wh"));
  DROVER_TRY(check_finite(e.Wh_per_unit, "energy.Wh_per_unit"));
  DROVER_TRY(check_finite(e.Wh_per_hour, "energy.Wh_per_hour"));
  if (e.total_Wh < 0) return bad("energy.total_Wh", "is negative");
  DROVER_TRY(check_breakdown(e.per_limb, e.total_Wh, "energy.energy_per_limb"));
  DROVER_TRY(check_breakdown(e.per_skill, e.total_Wh, "energy.energy_per_skill"));
  DROVER_TRY(check_breakdown(e.per_joint, e.total_Wh, "energy.energy_per_joint"));
  DROVER_TRY(check_breakdown(e.per_effector, e.total_Wh, "energy.energy_per_effector"));
  DROVER_TRY(check_metrics(e.coordination_metrics, "energy.coordination_metrics"));
  DROVER_TRY(check_metrics(e.limb_energy_Wh, "energy.limb_energy_Wh"));
  return check_metrics(e.skill_energy_Wh, "energy.skill_energy_Wh");
}

Status check_skill_trace(const std::vector<SkillStep>& trace) {
  if (trace.empty()) return bad("skill_trace", "must not be empty");
  if (trace.size() > list_max_items) return bad("skill_trace", "too many steps");
  double previous_start_s = -INFINITY;
  for (size_t i = 0; i < trace.size(); ++i) {
    const std::string field = "skill_trace[" + std::to_string(i) + "]";
    const SkillStep& step = trace[i];
    if (!std::isfinite(step.start_s) || !std::isfinite(step.end_s)) return bad(field, "time is not a finite number");
    if (step.end_s < step.start_s) return bad(field, "ends before it starts");
    if (step.start_s < previous_start_s) return bad(field, "starts before the step ahead of it");
    previous_start_s = step.start_s;
  }
  return {};
}

}  // namespace

std::string_view bucket_name(Bucket bucket) noexcept {
  return bucket == Bucket::positive ? "positive" : "negative";
}

std::string_view source_type_name(SourceType type) noexcept {
  switch (type) {
    case SourceType::real:
      return "real";
    case SourceType::synthetic:
      return "synthetic";
    case SourceType::hybrid:
      return "hybrid";
  }
  return "unknown";
}

std::optional<Bucket> bucket_from_name(std::string_view name) noexcept {
  if (name == "positive") return Bucket::positive;
  if (name == "negative") return Bucket::negative;
  return std::nullopt;
}

std::optional<SourceType> source_type_from_name(std::string_view name) noexcept {
  for (auto type : {SourceType::real, SourceType::synthetic, SourceType::hybrid})
    if (name == source_type_name(type)) return type;
  return std::nullopt;
}

Status validate(const Datapack& p) {
  if (p.schema_version != schema_version_energy && p.schema_version != schema_version_portable)
    return fail(Errc::unsupported_version, "schema_version",
                "'" + p.schema_version + "' is not known; this build reads 2.0-energy and 2.1-portable");
  DROVER_TRY(check_id(p.pack_id, "pack_id"));
  DROVER_TRY(check_id(p.task_name, "task_name"));
  if (p.semantic_tags.size() > list_max_items) return bad("semantic_tags", "too many tags");
  if (p.energy_driver_tags.size() > list_max_items) return bad("energy_driver_tags", "too many tags");
  if (p.provenance.end_unix_ns < p.provenance.start_unix_ns) return bad("provenance.end_unix_ns", "before the start");
  DROVER_TRY(check_condition(p.condition));
  DROVER_TRY(check_attribution(p.attribution));
  DROVER_TRY(check_energy(p.energy));
  DROVER_TRY(check_skill_trace(p.skill_trace));
  const Bucket expected = p.attribution.delta_J >= 0 ? Bucket::positive : Bucket::negative;
  if (p.bucket != expected)
    return bad("bucket", std::string(bucket_name(p.bucket)) + " does not agree with delta_J " +
                             std::to_string(p.attribution.delta_J));
  if (p.bucket == Bucket::negative && p.counterfactual_plan_json.empty())
    return bad("counterfactual_plan", "a negative datapack needs one");
  return {};
}

}  // namespace drover

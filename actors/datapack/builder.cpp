#include "actors/datapack/builder.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "actors/datapack/counterfactual.hpp"
#include "actors/datapack/energy.hpp"
#include "actors/datapack/skills.hpp"
#include "actors/econ/econ.hpp"
#include "actors/econ/objective.hpp"
#include "messages/hash.hpp"

namespace drover::datapack {
namespace {

using nlohmann::json;

constexpr double s_per_h = 3600.0;

// What is known once the arithmetic is done; the parts of the pack are filled from it.
struct Valuation {
  econ::Performance performance;
  ResolvedBaseline baseline;
  econ::Deltas deltas;
  Energy energy;
  double hours = 0;
  double trust_score = 0;
  double w_econ = 0;
};

std::string text_of(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);  // text from logs may not be UTF-8
}

Status check_count(double value, const char* field) {
  if (!std::isfinite(value)) return fail(Errc::invalid_argument, field, "is not a finite number");
  if (value < 0) return fail(Errc::invalid_argument, field, "is negative");
  return {};
}

Status check_facts(const EpisodeFacts& f) {
  if (f.episode_id.empty()) return fail(Errc::invalid_argument, "episode_id", "must not be empty");
  if (f.robot.empty()) return fail(Errc::invalid_argument, "robot", "must not be empty");
  if (f.end_unix_ns < f.start_unix_ns) return fail(Errc::invalid_argument, "end_unix_ns", "before the start");
  DROVER_TRY(check_count(f.units, "units"));
  DROVER_TRY(check_count(f.attempts, "attempts"));
  DROVER_TRY(check_count(f.errors, "errors"));
  if (f.active_s) DROVER_TRY(check_count(*f.active_s, "active_s"));
  if (!f.agent_profile_json.empty() && !json::parse(f.agent_profile_json, nullptr, false).is_object())
    return fail(Errc::invalid_argument, "agent_profile", "is not a JSON object");
  return {};
}

Result<Valuation> valuate(const EpisodeFacts& facts, const Baseline& baseline, const econ::EconPreset& preset,
                          const BuildOptions& options) {
  Valuation v;
  v.hours = robot_hours(facts);
  v.performance = performance_of(facts);
  v.baseline = resolve(baseline, v.performance);
  econ::Reference reference = v.baseline.reference;
  econ::Performance compared = v.performance;
  // A running baseline that is not established yet compares the component with itself: its delta is 0 by definition,
  // also where the value is zero and cannot divide.
  if (v.baseline.self_mpl) compared.mpl_units_per_h = 1, reference.mpl_units_per_h = 1;
  if (v.baseline.self_ep) compared.ep_units_per_Wh.reset();
  DROVER_ASSIGN(v.deltas, econ::objective(compared, reference, preset.objective, preset.safety_penalty));
  DROVER_ASSIGN(v.energy, energy_profile(facts.energy, {facts.units, v.hours}));
  const bool real_deployment = facts.source_type == SourceType::real && facts.engine_type == "real";
  v.trust_score = options.trust_score.value_or(real_deployment ? 1.0 : 0.0);
  v.w_econ = options.w_econ.value_or(preset.w_econ);
  return v;
}

Condition condition_of(const EpisodeFacts& facts, const econ::EconPreset& preset) {
  Condition c;
  c.task_name = facts.task_name;
  c.engine_type = facts.engine_type;
  c.world_id = facts.world_id;
  c.vase_offset_m = facts.vase_offset_m;
  c.drawer_friction = facts.drawer_friction;
  c.lighting_profile = facts.lighting_profile;
  c.occlusion_level = facts.occlusion_level;
  c.econ_preset = preset.name;
  c.price_per_unit = preset.price_per_unit_usd;
  c.vase_break_cost = preset.damage_cost_usd;
  c.energy_price_kWh = preset.energy_price_usd_per_kWh;
  c.objective_vector = preset.objective.as_vector();
  if (!facts.condition_tags.empty()) c.tags_json = text_of(json(facts.condition_tags));
  return c;
}

std::string name_of(const SkillFact& skill) {
  return skill.name.empty() ? std::string(skill_name(skill.skill_id)) : skill.name;
}

// Per skill: how often, how long, how often it failed, and its energy where the source measured it by skill.
std::map<int64_t, Metrics> skill_contributions(const EpisodeFacts& facts, const Energy& energy) {
  std::map<int64_t, Metrics> out;
  for (const SkillFact& skill : facts.skills) {
    Metrics& m = out[skill.skill_id];
    m["uses"] += 1;
    m["duration_s"] += skill.end_s - skill.start_s;
    m["failures"] += skill.outcome == "failure" ? 1 : 0;
    const auto used = energy.per_skill.find(name_of(skill));
    if (used != energy.per_skill.end()) m["Wh"] = used->second.at("Wh");
  }
  return out;
}

Attribution attribution_of(const EpisodeFacts& facts, const Valuation& v) {
  Attribution a;
  a.delta_mpl = v.deltas.delta_mpl;
  a.delta_error = v.deltas.delta_error;
  a.delta_ep = v.deltas.delta_ep;
  a.delta_J = v.deltas.delta_J;
  a.trust_score = v.trust_score;
  a.w_econ = v.w_econ;
  a.source_type = facts.source_type;
  a.econ_weight_final = v.trust_score * v.w_econ;
  a.mvd_score = v.trust_score * v.w_econ * expected_delta_J(v.deltas.delta_J);
  a.skill_contribs = skill_contributions(facts, v.energy);
  return a;
}

std::vector<SkillStep> skill_trace_of(const EpisodeFacts& facts) {
  std::vector<SkillStep> trace;
  trace.reserve(facts.skills.size());
  for (const SkillFact& skill : facts.skills) {
    SkillStep step{skill.skill_id, skill.start_s, skill.end_s, skill.outcome, {}};
    if (const std::string name = name_of(skill); !name.empty()) step.extra_json = text_of({{"name", name}});
    trace.push_back(std::move(step));
  }
  return trace;
}

std::vector<std::string> semantic_tags_of(const EpisodeFacts& facts) {
  std::set<std::string> tags;
  for (const EpisodeEvent& event : facts.events) {
    tags.insert("event:" + event.kind);
    if (event.severity == "error") tags.insert("error_event");
  }
  if (facts.safety_violated) tags.insert("safety_violated");
  if (!energy_measured(facts.energy)) tags.insert("energy:not_measured");
  if (facts.energy.method == energy_estimated) tags.insert("energy:estimated");
  return {tags.begin(), tags.end()};
}

json energy_json(const EpisodeFacts& facts) {
  json out = {{"method", energy_measured(facts.energy) ? facts.energy.method : std::string(energy_not_measured)}};
  if (!energy_measured(facts.energy)) {
    out["delta_ep_note"] = "energy was not measured: delta_ep is 0";
    return out;
  }
  out["total_J"] = facts.energy.total_J;
  if (facts.energy.total_J <= 0) out["delta_ep_note"] = "no energy was used: EP is not defined and delta_ep is 0";
  if (facts.energy.supply_J) out["supply_J"] = *facts.energy.supply_J;
  if (!facts.energy.note.empty()) out["note"] = facts.energy.note;
  return out;
}

json baseline_json(const Baseline& baseline, const Valuation& v) {
  const ResolvedBaseline& r = v.baseline;
  json out = {{"method", baseline_method_name(baseline.rule.method)}, {"episodes_before", baseline.state.episodes}};
  if (r.reference.mpl_units_per_h) out["mpl_units_per_h"] = *r.reference.mpl_units_per_h;
  if (r.reference.error_rate) out["error_rate"] = *r.reference.error_rate;
  if (r.reference.ep_units_per_Wh) out["ep_units_per_Wh"] = *r.reference.ep_units_per_Wh;
  json self = json::array();
  if (r.self_mpl) self.push_back("mpl");
  if (r.self_error) self.push_back("error");
  if (r.self_ep) self.push_back("ep");
  if (!self.empty()) out["self"] = self;  // no earlier episode established these: their delta is 0
  return out;
}

json episode_counts(const EpisodeFacts& facts, const Valuation& v) {
  json out = {{"units", facts.units},
              {"attempts", facts.attempts},
              {"errors", facts.errors},
              {"hours", v.hours},
              {"mpl_units_per_h", v.performance.mpl_units_per_h},
              {"error_rate", v.performance.error_rate},
              {"safety_violated", facts.safety_violated},
              {"safety_bonus", v.deltas.safety_bonus}};
  if (v.performance.ep_units_per_Wh) out["ep_units_per_Wh"] = *v.performance.ep_units_per_Wh;
  if (!facts.notes.empty()) out["notes"] = facts.notes;
  return out;
}

Result<std::string> episode_metrics(const EpisodeFacts& facts, const Baseline& baseline, const econ::EconPreset& preset,
                                    const BuildOptions& options, const Valuation& v) {
  const econ::WageInputs wage{preset.price_per_unit_usd, preset.damage_cost_usd, v.performance.error_rate,
                              v.performance.mpl_units_per_h};
  const double robot_wage = econ::implied_wage_usd_per_h(wage);
  const double energy_cost = econ::energy_cost_usd_per_h({v.energy.total_Wh, v.hours, preset.energy_price_usd_per_kWh});
  DROVER_ASSIGN(const double parity, econ::wage_parity(robot_wage, preset.human_wage_usd_per_h));
  json out = episode_counts(facts, v);
  out["wage_usd_per_h"] = robot_wage;
  out["human_wage_usd_per_h"] = preset.human_wage_usd_per_h;
  out["wage_parity"] = parity;
  out["energy_cost_usd_per_h"] = energy_cost;
  out["profit_usd_per_h"] = econ::profit_usd_per_h(wage, energy_cost);
  out["energy"] = energy_json(facts);
  out["baseline"] = baseline_json(baseline, v);
  out["w_econ_source"] = options.w_econ ? "lattice" : "preset";
  out["trust_source"] = options.trust_score ? "gate" : "rule:v1";
  out["expected_dJ_source"] = "abs_delta_J:v1";
  return text_of(out);
}

}  // namespace

double robot_hours(const EpisodeFacts& facts) noexcept {
  if (facts.active_s) return *facts.active_s / s_per_h;
  return (static_cast<double>(facts.end_unix_ns) - static_cast<double>(facts.start_unix_ns)) / 1e9 / s_per_h;
}

econ::Performance performance_of(const EpisodeFacts& facts) noexcept {
  econ::Performance p;
  p.mpl_units_per_h = econ::mpl_units_per_h(facts.units, robot_hours(facts));
  p.error_rate = econ::error_rate(facts.errors, facts.attempts);
  if (energy_measured(facts.energy) && facts.energy.total_J > 0)
    p.ep_units_per_Wh = econ::ep_units_per_Wh(facts.units, facts.energy.total_J / joules_per_Wh);
  p.safety_violated = facts.safety_violated;
  return p;
}

std::string pack_id(std::string_view robot, std::string_view episode_id) {
  std::string identity(robot);
  identity.append(1, '\0').append(episode_id);
  return "dp-" + to_hex(sha256(as_bytes(identity))).substr(0, 32);
}

double expected_delta_J(double delta_J) noexcept {
  return std::abs(delta_J);
}

double value_per_byte(const Datapack& pack, uint64_t blob_bytes) noexcept {
  const double value = pack.attribution.mvd_score.value_or(0);
  if (!std::isfinite(value) || value <= 0) return 0;
  return value / static_cast<double>(std::max<uint64_t>(blob_bytes, 1));
}

Result<BuiltDatapack> build_datapack(const EpisodeFacts& facts, const Baseline& baseline,
                                     const econ::EconPreset& preset, const BuildOptions& options) {
  DROVER_TRY(check_facts(facts));
  DROVER_ASSIGN(const Valuation v, valuate(facts, baseline, preset, options));
  BuiltDatapack built;
  Datapack& p = built.pack;
  p.pack_id = pack_id(facts.robot, facts.episode_id);
  p.task_name = facts.task_name;
  p.env_type = facts.env_type;
  p.bucket = v.deltas.delta_J >= 0 ? Bucket::positive : Bucket::negative;
  p.semantic_tags = semantic_tags_of(facts);
  p.energy_driver_tags = energy_driver_tags(facts.energy, v.energy, preset);
  p.provenance = {facts.robot, facts.episode_id, facts.start_unix_ns, facts.end_unix_ns, facts.source};
  p.condition = condition_of(facts, preset);
  p.attribution = attribution_of(facts, v);
  p.energy = v.energy;
  p.agent_profile_json = facts.agent_profile_json;
  DROVER_ASSIGN(p.episode_metrics_json, episode_metrics(facts, baseline, preset, options, v));
  p.skill_trace = skill_trace_of(facts);
  if (p.bucket == Bucket::negative) {
    p.counterfactual_plan_json = counterfactual_plan(facts, v.energy, v.deltas, preset.objective);
    p.counterfactual_source = counterfactual_rule_source;
  }
  DROVER_TRY(validate(p));
  built.next_state = advance(baseline, v.performance);
  return built;
}

}  // namespace drover::datapack

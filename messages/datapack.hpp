// Datapack: the valued record of one episode, as a plain value (domain.md 2).
//
// The struct is what logic works on; `encode`/`decode_datapack` translate to the Cap'n Proto form
// (schema/datapack.capnp) and `validate` enforces the invariants. Units are in the field names.
// Text fields ending in _json hold one JSON object kept verbatim; empty means absent.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "messages/bytes.hpp"
#include "messages/result.hpp"

namespace drover {

using Metrics = std::map<std::string, double>;
using Breakdown = std::map<std::string, Metrics>;  // name -> metrics; the energy is under the key "Wh"

enum class Bucket : uint8_t { positive, negative };
enum class SourceType : uint8_t { real, synthetic, hybrid };

std::string_view bucket_name(Bucket bucket) noexcept;         // "positive" | "negative"
std::string_view source_type_name(SourceType type) noexcept;  // "real" | "synthetic" | "hybrid"
std::optional<Bucket> bucket_from_name(std::string_view name) noexcept;
std::optional<SourceType> source_type_from_name(std::string_view name) noexcept;

inline constexpr std::string_view schema_version_energy = "2.0-energy";
inline constexpr std::string_view schema_version_portable = "2.1-portable";

struct Provenance {
  std::string robot;
  std::string episode_id;
  int64_t start_unix_ns = 0;
  int64_t end_unix_ns = 0;
  std::string source;
  bool operator==(const Provenance&) const = default;
};

struct Condition {
  std::string task_name = "drawer_vase";
  std::string engine_type = "real";  // pybullet | isaac | ue5 | mujoco | real
  std::string world_id;
  std::vector<double> vase_offset_m = {0, 0, 0};  // JSON: vase_offset
  double drawer_friction = 0;
  std::string lighting_profile = "normal";
  double occlusion_level = 0;
  std::string econ_preset;
  double price_per_unit = 0;    // [$]
  double vase_break_cost = 0;   // [$]
  double energy_price_kWh = 0;  // [$ per kWh]
  std::vector<double> objective_vector = {1.0, 1.0, 1.0, 0.5};
  std::string tags_json;
  std::string extra_json;
  bool operator==(const Condition&) const = default;
};

struct Attribution {
  double delta_mpl = 0;
  double delta_error = 0;
  double delta_ep = 0;
  double delta_J = 0;
  double trust_score = 0;
  double w_econ = 0;
  double lambda_budget = 0;
  SourceType source_type = SourceType::real;
  std::string wm_model_id;
  std::optional<int64_t> wm_horizon_used;
  std::optional<int64_t> wm_branch_depth;
  std::optional<std::vector<double>> wm_trust_over_horizon;
  std::optional<double> mvd_score;
  std::optional<double> econ_weight_final;
  std::vector<std::string> used_in_training_runs;
  std::string wm_role;
  std::map<int64_t, Metrics> skill_contribs;
  std::string extra_json;
  bool operator==(const Attribution&) const = default;
};

struct Energy {
  double total_Wh = 0;
  double Wh_per_unit = 0;
  double Wh_per_hour = 0;
  Breakdown per_limb;  // JSON: energy_per_limb and so on
  Breakdown per_skill;
  Breakdown per_joint;
  Breakdown per_effector;
  Metrics coordination_metrics;
  Metrics limb_energy_Wh;
  Metrics skill_energy_Wh;
  std::string extra_json;
  bool operator==(const Energy&) const = default;
};

struct SkillStep {
  int64_t skill_id = 0;
  double start_s = 0;
  double end_s = 0;
  std::string outcome;
  std::string extra_json;
  bool operator==(const SkillStep&) const = default;
};

struct SimaAnnotation {
  std::string instruction;
  std::vector<std::string> step_narrations;
  std::string sima_agent_id;
  std::string source_world;
  std::vector<int64_t> derived_skill_plan;
  std::string extra_json;
  bool operator==(const SimaAnnotation&) const = default;
};

struct Datapack {
  std::string schema_version{schema_version_energy};
  std::string pack_id;
  std::string task_name;
  std::string env_type;
  std::string brick_id;
  Bucket bucket = Bucket::positive;
  std::vector<std::string> semantic_tags;
  std::vector<std::string> energy_driver_tags;
  Provenance provenance;
  Condition condition;
  Attribution attribution;
  Energy energy;
  std::string agent_profile_json;
  std::string episode_metrics_json;
  std::vector<SkillStep> skill_trace;
  std::optional<SimaAnnotation> sima_annotation;
  std::string vla_plan_json;
  std::string counterfactual_plan_json;
  std::string counterfactual_source;
  std::string scene_tracks_json;
  std::string rgb_features_json;
  std::string slice_labels_json;
  std::string raw_data_path;
  std::string extra_json;
  bool operator==(const Datapack&) const = default;
};

// The invariants of domain.md 2. The error names the first field that breaks one:
// bucket agrees with the sign of delta_J; negative => counterfactual plan; skill_trace non-empty and
// time-ordered; numbers finite; trust in [0,1]; each non-empty breakdown sums to total_Wh within 1e-6
// relative; schema_version known; ids non-empty, sizes bounded.
Status validate(const Datapack& pack);

// Flat Cap'n Proto bytes of schema::Datapack. Equal packs give equal bytes.
Bytes encode(const Datapack& pack);
// Errors: truncated, corrupt, too_large. Does not validate the invariants.
Result<Datapack> decode_datapack(ByteView flat);

}  // namespace drover

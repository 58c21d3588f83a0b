// EpisodeFacts: everything the builder needs to know about one finished episode, as a plain value.
//
// A source (log reader, simulated world) fills it; build_datapack (builder.hpp) turns it into a Datapack.
// Units are in the names. Times inside the episode are seconds since its start. Nothing here is estimated
// by the builder: what a source did not measure stays empty and the pack says so.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "messages/datapack.hpp"
#include "messages/episode.hpp"

namespace drover::datapack {

// How the energy figure was obtained. `none`: not measured, every number below is ignored.
// measured_power | torque_velocity | current_nominal_voltage (labelled as an estimate) | none
inline constexpr std::string_view energy_not_measured = "none";
inline constexpr std::string_view energy_estimated = "current_nominal_voltage";

struct EnergyFacts {
  std::string method{energy_not_measured};
  double total_J = 0;
  // Name -> energy [J]. A map that is not empty must sum to total_J within 1e-6 relative; what cannot be attributed
  // is an explicit entry (`unattributed`), never spread over the others.
  std::map<std::string, double> joint_J;
  std::map<std::string, double> skill_J;
  std::map<std::string, double> limb_J;
  std::map<std::string, double> effector_J;
  std::optional<double> supply_J;              // measured at the supply, when known beside the total
  std::map<std::string, double> coordination;  // for example mean_active_joints, reach_share_max (0..1)
  std::string note;                            // in words, for example which columns were integrated
};

struct SkillFact {
  int64_t skill_id = 0;  // skills.hpp
  std::string name;      // as in the mapping; empty: the name of the id where it is known
  double start_s = 0;
  double end_s = 0;
  std::string outcome = "success";  // success | failure | recovered | unknown
};

struct EpisodeFacts {
  std::string episode_id;
  std::string robot;
  std::string task_name;
  std::string env_type;
  std::string engine_type = "real";  // pybullet | isaac | ue5 | mujoco | real
  std::string world_id;
  std::string source_kind;  // mapping or world; baselines are kept per (task_name, source_kind)
  std::string source;       // mapping name and file name, for provenance
  SourceType source_type = SourceType::real;
  int64_t start_unix_ns = 0;
  int64_t end_unix_ns = 0;
  std::optional<double> active_s;  // robot time where it differs from end - start (a gap inside the log)

  double units = 0;     // good units made
  double attempts = 1;  // tries, good or bad
  double errors = 0;
  bool safety_violated = false;  // something that must not break broke (vase_broken)

  EnergyFacts energy;
  std::vector<SkillFact> skills;     // time-ordered, not empty
  std::vector<EpisodeEvent> events;  // time-ordered

  std::vector<double> vase_offset_m = {0, 0, 0};
  double drawer_friction = 0;
  std::string lighting_profile = "normal";
  double occlusion_level = 0;
  std::map<std::string, std::string> condition_tags;
  std::string agent_profile_json;  // one JSON object, kept verbatim; empty: absent
  std::vector<std::string> notes;  // what was odd about the source, in words; kept in episode_metrics
};

}  // namespace drover::datapack

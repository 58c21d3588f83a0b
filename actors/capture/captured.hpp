// CapturedEpisode: what capture hands on for each episode of a log; plain values.
//
// Invariants: `header` passes messages' validate(Episode) once `robot` is set; steps are time-ordered, do not overlap
// and there is at least one; per_joint_J and per_skill_J each sum to total_J within 1e-6 relative (both empty with
// method "none"). The same source bytes, mapping and options give the same value, byte for byte.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "actors/capture/recording.hpp"
#include "actors/datapack/portable_artifacts.hpp"
#include "messages/bytes.hpp"
#include "messages/datapack.hpp"
#include "messages/episode.hpp"

namespace drover::capture {

struct EnergyResult {
  std::string method = "none";  // none | measured_power | torque_velocity | current_nominal_voltage
  bool estimated = false;       // true: not measured; see note
  double total_J = 0;
  std::map<std::string, double> per_joint_J;  // measured_power: what no joint accounts for is under "unattributed"
  std::map<std::string, double> per_skill_J;  // skill name -> J
  std::map<std::string, double> per_limb_J;   // recordings only, as are the two below
  std::map<std::string, double> per_effector_J;
  std::optional<double> copper_loss_J;  // beside the total, never in it
  std::optional<double> supply_J;       // measured at the supply, where the log has it
  std::optional<double> joint_work_J;   // sum of abs(torque*velocity) integrals, where the log has them
  double peak_W = 0;                    // of the power that total_J integrates
  double integrated_s = 0;
  double not_integrated_s = 0;  // gaps inside the episode
  std::string note;
};

struct MotionStep {
  int64_t skill_id = 0;
  std::string name;
  double start_s = 0;  // from the episode's start
  double end_s = 0;
  std::string outcome;  // success | failure | recovered | unknown
  double energy_J = 0;
};

// Why the episode ended.
enum class CutReason : uint8_t {
  end_of_log,
  cycle,
  gap,
  start_event,
  max_duration,
  backward_clock,
  size_bound,
  damage
};
std::string_view cut_reason_name(CutReason reason) noexcept;

// What only a recording knows of its episode.
struct RecordedOrigin {
  struct Manoeuvre {
    std::string name;
    std::string kind;    // skill | retry | recovery
    std::string reason;  // of a failure
  };
  std::string world;
  std::string policy;
  RecordedCondition condition;
  std::string template_name;  // success | failure | recovered | mixed; empty in a prefix
  std::string failure_reason;
  uint64_t state_hash = 0;
  std::vector<Manoeuvre> manoeuvres;  // of the steps, in their order; a last step without one was still open
};

struct CapturedEpisode {
  Episode header;  // blobs empty: the store makes them from `slice`
  uint64_t ordinal = 0;
  CutReason cut = CutReason::end_of_log;
  SourceType source_type = SourceType::real;  // synthetic: the log says that it was generated
  std::string env_type;
  double duration_s = 0;
  double units = 0;
  double attempts = 0;                           // at least 1; every error ends one attempt
  double errors = 0;                             // onsets of events that count as errors
  std::map<std::string, uint64_t> event_onsets;  // kind -> how many began in this episode
  std::map<std::string, uint64_t> event_rows;    // kind -> samples during which the condition held
  EnergyResult energy;
  std::vector<MotionStep> steps;
  bool safety_violated = false;          // something that must not break broke; recordings only, logs have events
  std::optional<RecordedOrigin> origin;  // recordings only
  datapack::PortableArtifacts portable;  // empty where there is no material
  Bytes slice;                           // the raw bytes of this episode in the format of the source
  std::string slice_name;                // "<episode id>.csv" or ".mcap"
  std::string slice_media_type;
};

}  // namespace drover::capture

#include "actors/semantics/segment.hpp"

#include <array>

#include "actors/semantics/names.hpp"

namespace drover::semantics {
namespace {

constexpr std::array<std::string_view, label_count> labels = {"approach",  "grasp", "pull",      "push",
                                                              "lift",      "place", "transport", "release",
                                                              "collision", "slip",  "idle",      "recovery_maneuver"};
constexpr std::array<std::string_view, 4> outcomes = {"success", "failure", "retry", "recovered"};
constexpr std::array<std::string_view, reason_count> reasons = {
    "none",      "grasp_slip",         "grasp_missed",    "drop",      "locked",   "collision",
    "misplaced", "insufficient_force", "protective_stop", "grip_lost", "abandoned"};

}  // namespace

std::string_view label_name(Label value) noexcept {
  return enum_name(labels, value);
}
std::optional<Label> label_from(std::string_view name) noexcept {
  return enum_from<Label>(labels, name);
}
std::string_view outcome_name(Outcome value) noexcept {
  return enum_name(outcomes, value);
}
std::optional<Outcome> outcome_from(std::string_view name) noexcept {
  return enum_from<Outcome>(outcomes, name);
}
std::string_view reason_name(Reason value) noexcept {
  return enum_name(reasons, value);
}
std::optional<Reason> reason_from(std::string_view name) noexcept {
  return enum_from<Reason>(reasons, name);
}

std::string segment_key(std::string_view rollout_id, uint32_t segment_id) {
  std::string key(rollout_id);
  key += '/';
  key += std::to_string(segment_id);
  return key;
}

}  // namespace drover::semantics

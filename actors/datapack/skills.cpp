#include "actors/datapack/skills.hpp"

namespace drover::datapack {

std::string_view skill_name(int64_t skill_id) noexcept {
  switch (static_cast<Skill>(skill_id)) {
    case Skill::locate_drawer:
      return "LOCATE_DRAWER";
    case Skill::locate_vase:
      return "LOCATE_VASE";
    case Skill::plan_safe_approach:
      return "PLAN_SAFE_APPROACH";
    case Skill::grasp_handle:
      return "GRASP_HANDLE";
    case Skill::open_with_clearance:
      return "OPEN_WITH_CLEARANCE";
    case Skill::retract_safe:
      return "RETRACT_SAFE";
    case Skill::move:
      return "MOVE";
    case Skill::dwell:
      return "DWELL";
    case Skill::stopped:
      return "STOPPED";
    case Skill::recording:
      return "RECORDING";
  }
  return {};
}

}  // namespace drover::datapack

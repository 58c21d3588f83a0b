#include "actors/semantics/rollout.hpp"

#include <array>

#include "actors/semantics/names.hpp"

namespace drover::semantics {
namespace {

constexpr std::array<std::string_view, family_count + 1> families = {
    "drawer_open",         "dish_place",    "wipe_surface", "pick_and_place", "sort_objects",
    "reset_after_failure", "inspect_scene", "tool_change",  "other"};
constexpr std::array<std::string_view, 3> sources = {"sima2", "physics", "real_log"};
constexpr std::array<std::string_view, 4> templates = {"success", "failure", "recovery", "mixed"};

}  // namespace

std::string_view family_name(Family value) noexcept {
  return enum_name(families, value);
}
std::optional<Family> family_from(std::string_view name) noexcept {
  return enum_from<Family>(families, name);
}
std::string_view rollout_source_name(RolloutSource value) noexcept {
  return enum_name(sources, value);
}
std::string_view template_name(Template value) noexcept {
  return enum_name(templates, value);
}

}  // namespace drover::semantics

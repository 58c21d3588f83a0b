#include "actors/robot/world_config.hpp"

#include <cmath>
#include <filesystem>

#include "actors/econ/strict_toml.hpp"

namespace drover::robot {
namespace {

using econ::StrictTable;
using econ::TomlProblems;

void read_joints(StrictTable& top, TomlProblems& problems, WorldConfig& out) {
  const toml::array* list = top.array("joint");
  if (list == nullptr || list->size() != arm_joint_count + 1) {
    top.problem("joint", "needs seven tables: six joints of the arm, then the gripper");
    return;
  }
  for (const toml::node& node : *list) {
    if (!node.is_table()) {
      top.problem("joint", "must be tables");
      return;
    }
    StrictTable table(*node.as_table(), "joint.", problems);
    ActuatedJoint joint;
    table.text("name", joint.energy.name, true);
    table.text("actuator", joint.actuator, true);
    table.text("limb", joint.energy.limb, true);
    table.text("effector", joint.energy.effector, true);
    table.number("copper_W_per_Nm2", joint.energy.copper_W_per_Nm2, {0, 1e3}, true);
    table.finish();
    out.joints.push_back(std::move(joint));
  }
}

// [low, high] | {chance = p} | ["a", "b"]
bool read_draw(const toml::node& node, Draw& out) {
  if (const toml::table* table = node.as_table()) {
    const auto chance = (*table)["chance"].value<double>();
    if (!chance || table->size() != 1 || !(*chance >= 0 && *chance <= 1)) return false;
    out = ChanceDraw{*chance};
    return true;
  }
  const toml::array* array = node.as_array();
  if (array == nullptr || array->empty()) return false;
  if (array->is_homogeneous(toml::node_type::string)) {
    ChoiceDraw choice;
    for (const toml::node& text : *array) choice.texts.push_back(*text.value<std::string>());
    out = std::move(choice);
    return true;
  }
  if (array->size() != 2) return false;
  const auto low = (*array)[0].value<double>(), high = (*array)[1].value<double>();
  if (!low || !high || !std::isfinite(*low) || !std::isfinite(*high) || *low > *high) return false;
  out = UniformDraw{*low, *high};
  return true;
}

void read_conditions(StrictTable& top, TomlProblems& problems, WorldConfig& out) {
  const toml::table* sets = top.table("condition");
  if (sets == nullptr || sets->empty()) {
    top.problem("condition", "needs at least one set");
    return;
  }
  for (const auto& [set_name, node] : *sets) {
    const std::string prefix = "condition." + std::string(set_name.str());
    if (!node.is_table()) {
      problems.add(&node, prefix, "must be a table");
      continue;
    }
    ConditionSet& set = out.conditions[std::string(set_name.str())];
    for (const auto& [key, value] : *node.as_table()) {
      Draw draw;
      if (read_draw(value, draw))
        set[std::string(key.str())] = std::move(draw);
      else
        problems.add(&value, prefix + "." + std::string(key.str()), "must be [low, high], {chance = p} or texts");
    }
  }
}

void read_home(StrictTable& top, WorldConfig& out) {
  const toml::array* home = top.array("home_rad");
  if (home == nullptr || home->size() != arm_joint_count) {
    top.problem("home_rad", "needs six angles");
    return;
  }
  for (size_t i = 0; i < arm_joint_count; ++i) {
    const auto angle = (*home)[i].value<double>();
    if (!angle || !std::isfinite(*angle)) return top.problem("home_rad", "must be numbers");
    out.home_rad[i] = *angle;
  }
}

void read_rules(StrictTable& top, TomlProblems& problems, WorldConfig& out) {
  const toml::table* rules = top.table("rules");
  if (rules == nullptr) return;
  for (const auto& [key, node] : *rules) {
    const auto value = node.value<double>();
    if (value && std::isfinite(*value))
      out.rules[std::string(key.str())] = *value;
    else
      problems.add(&node, "rules." + std::string(key.str()), "must be a number");
  }
}

}  // namespace

double WorldConfig::rule(std::string_view name, double otherwise) const {
  const auto it = rules.find(std::string(name));
  return it == rules.end() ? otherwise : it->second;
}

Result<WorldConfig> parse_world_config(std::string_view toml_text, const std::string& file) {
  DROVER_ASSIGN(const toml::table root, econ::parse_toml(toml_text, file));
  TomlProblems problems(file);
  StrictTable top(root, "", problems);
  WorldConfig out;
  std::string model;
  top.text("name", out.name, true);
  top.text("task", out.task, true);
  top.text("model", model, true);
  top.number("timestep_s", out.timestep_s, {1e-5, 0.01}, true);
  top.number("control_period_s", out.control_period_s, {1e-3, 1}, true);
  top.number("episode_s_max", out.episode_s_max, {1, 3600}, true);
  top.number("gripper_open", out.gripper_open, {0, 1}, true);
  const double ratio = out.control_period_s / out.timestep_s;
  if (std::abs(ratio - std::round(ratio)) > 1e-6 || ratio < 1)
    top.problem("control_period_s", "must be a whole number of time steps");
  read_home(top, out);
  read_joints(top, problems, out);
  read_rules(top, problems, out);
  read_conditions(top, problems, out);
  top.finish();
  DROVER_TRY(problems.status());
  out.model_path = (std::filesystem::path(file).parent_path() / model).string();
  return out;
}

Result<WorldConfig> load_world_config(const std::string& path) {
  DROVER_ASSIGN(const std::string text, econ::read_small_file(path));
  return parse_world_config(text, path);
}

}  // namespace drover::robot

#include "actors/robot/playbook.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "actors/econ/strict_toml.hpp"

namespace drover::robot {
namespace {

using econ::StrictTable;
using econ::TomlProblems;

constexpr econ::NumberRange length_range = {0, 2};
constexpr std::pair<std::string_view, When> when_names[] = {
    {"unseen", When::unseen},   {"behind", When::behind}, {"empty", When::empty},
    {"slipped", When::slipped}, {"apart", When::apart},   {"tilted", When::tilted},
};

bool read_vector(StrictTable& table, std::string_view key, Vec3& out) {
  const toml::array* list = table.array(key);
  if (list == nullptr) return false;
  bool good = list->size() == 3;
  for (size_t i = 0; good && i < 3; ++i) {
    const auto value = (*list)[i].value<double>();
    good = value && std::isfinite(*value) && std::abs(*value) <= 2;
    if (good) out[i] = *value;
  }
  if (!good) table.problem(key, "must be three numbers, -2 to 2");
  return good;
}

void read_texts(StrictTable& table, std::string_view key, std::vector<std::string>& out) {
  const toml::array* list = table.array(key);
  if (list == nullptr) return;
  for (const toml::node& node : *list) {
    const auto text = node.value<std::string>();
    if (!text) return table.problem(key, "must be texts");
    out.push_back(*text);
  }
}

void read_leg(StrictTable& table, PlayLeg& leg) {
  table.text("at", leg.at, true);
  table.number("seconds", leg.seconds, {0, 20, true}, true);
  table.text("gripper", leg.gripper);
  if (leg.gripper.empty()) leg.gripper = "keep";
  if (leg.gripper != "keep" && leg.gripper != "open" && leg.gripper != "shut" && leg.gripper != "squeeze")
    table.problem("gripper", "must be keep, open, shut or squeeze");
  table.number("squeeze_m", leg.squeeze_m, {0, 0.1}, leg.gripper == "squeeze");
  read_vector(table, "offset_m", leg.offset_m);
  table.text("from", leg.from);
  table.text("to", leg.to);
  if (leg.from.empty() != leg.to.empty()) table.problem("from", "and to go together");
  table.number("reaches", leg.reaches, {-4, 4});
  std::string plus;
  if (table.text("plus", plus) && plus != "grip") table.problem("plus", "must be grip");
  leg.grip = plus == "grip";
  table.text("carry", leg.carry);
  std::string way = "tool";
  if (table.text("way", way) && way != "tool" && way != "joints") table.problem("way", "must be tool or joints");
  leg.in_joints = way == "joints";
  table.number("until_N", leg.until_N, {0, 500});
  read_texts(table, "learn", leg.learn);
  table.finish();
}

void read_check(StrictTable& table, PlayCheck& check) {
  std::string when;
  if (table.text("when", when, true)) {
    const auto* found =
        std::find_if(std::begin(when_names), std::end(when_names), [&](const auto& w) { return w.first == when; });
    if (found == std::end(when_names))
      table.problem("when", "must be unseen, behind, empty, slipped, apart or tilted");
    else
      check.when = found->second;
  }
  const bool of_thing = check.when != When::behind && check.when != When::empty;
  table.text("of", check.of, of_thing);
  table.text("from", check.from, check.when == When::apart);
  table.number("limit", check.limit, {0, 100}, true);
  table.text("says", check.says, true);
  table.finish();
}

// Every table of the array `key` through `read`.
template <class Item, class Read>
void read_list(StrictTable& table, std::string_view key, TomlProblems& problems, std::vector<Item>& out, Read read) {
  const toml::array* list = table.array(key);
  if (list == nullptr) return;
  for (const toml::node& node : *list) {
    if (!node.is_table()) return table.problem(key, "must be tables");
    StrictTable entry(*node.as_table(), std::string(key) + ".", problems);
    Item item;
    read(entry, item);
    out.push_back(std::move(item));
  }
}

void read_hand(StrictTable& top, TomlProblems& problems, Playbook& out) {
  const toml::table* node = top.table("hand");
  if (node == nullptr) return;
  StrictTable hand(*node, "hand.", problems);
  read_vector(hand, "looks", out.looks);
  read_vector(hand, "fingers", out.fingers);
  hand.number("looks_min", out.looks_min, {1, 100});
  const bool good = std::abs(norm(out.looks) - 1) < 1e-6 && std::abs(norm(out.fingers) - 1) < 1e-6 &&
                    std::abs(dot(out.looks, out.fingers)) < 1e-6;
  if (!good) hand.problem("looks", "and fingers must be unit vectors across each other");
  hand.finish();
}

void read_kinds(StrictTable& top, TomlProblems& problems, Playbook& out) {
  const toml::table* kinds = top.table("kind");
  if (kinds == nullptr) return;
  for (const auto& [name, node] : *kinds) {
    const std::string prefix = "kind." + std::string(name.str()) + ".";
    if (!node.is_table()) {
      problems.add(&node, prefix, "must be a table");
      continue;
    }
    StrictTable table(*node.as_table(), prefix, problems);
    PlayKind kind;
    kind.name = name.str();
    read_vector(table, "grip_m", kind.grip_m);
    table.number("half_width_m", kind.half_width_m, length_range, true);
    table.number("reach_m", kind.reach_m, length_range, true);
    table.finish();
    out.kinds.push_back(std::move(kind));
  }
}

}  // namespace

const PlayKind* Playbook::kind(std::string_view name) const {
  for (const PlayKind& kind : kinds)
    if (kind.name == name) return &kind;
  return nullptr;
}

const PlayManoeuvre* Playbook::manoeuvre(std::string_view name) const {
  for (const PlayManoeuvre& manoeuvre : manoeuvres)
    if (manoeuvre.name == name) return &manoeuvre;
  return nullptr;
}

void read_playbook(StrictTable& top, TomlProblems& problems, Playbook& out) {
  read_hand(top, problems, out);
  read_kinds(top, problems, out);
  read_list(top, "manoeuvre", problems, out.manoeuvres, [&](StrictTable& table, PlayManoeuvre& manoeuvre) {
    if (table.text("name", manoeuvre.name, true) && out.manoeuvre(manoeuvre.name) != nullptr)
      table.problem("name", "is there twice: " + manoeuvre.name);
    read_list(table, "legs", problems, manoeuvre.legs, read_leg);
    if (manoeuvre.legs.empty()) table.problem("legs", "needs at least one leg");
    read_list(table, "stop_if", problems, manoeuvre.stop_if, read_check);
    read_list(table, "fail_if", problems, manoeuvre.fail_if, read_check);
    table.finish();
  });
}

}  // namespace drover::robot

#include "actors/robot/skill_graph.hpp"

#include <set>

#include "actors/datapack/skills.hpp"
#include "actors/econ/strict_toml.hpp"

namespace drover::robot {
namespace {

constexpr int64_t drawer_skills_end = 6, skill_ids_end = 1'000'000;

using Names = std::map<std::string, size_t>;
using SkillIds = std::map<std::string, int64_t>;

// The skills of the drawer, and those that the file declares: NAME = id. An id stands for one name, everywhere.
SkillIds read_skills(econ::StrictTable& top, econ::TomlProblems& problems) {
  SkillIds out;
  for (int64_t id = 0; id < drawer_skills_end; ++id) out.emplace(datapack::skill_name(id), id);
  const toml::table* own = top.table("skills");
  if (own == nullptr) return out;
  std::set<int64_t> ids;
  for (const auto& [name, node] : *own) {
    const std::string key = "skills." + std::string(name.str());
    const auto id = node.value<int64_t>();
    if (!id || *id < 0 || *id >= skill_ids_end)
      problems.add(&node, key, "must be a whole number, 0 to 999999");
    else if (const std::string_view known = datapack::skill_name(*id); !known.empty() && known != name.str())
      problems.add(&node, key, "has the id of " + std::string(known));
    else if (!ids.insert(*id).second)
      problems.add(&node, key, "has an id that is taken");
    else
      out[std::string(name.str())] = *id;
  }
  return out;
}

void read_node(econ::StrictTable& table, const SkillIds& skills, SkillNode& node) {
  table.text("name", node.name, true);
  if (table.text("skill", node.skill, true)) {
    const auto found = skills.find(node.skill);
    if (found == skills.end())
      table.problem("skill", "is no skill of this robot");
    else
      node.skill_id = found->second;
  }
  table.text("manoeuvre", node.manoeuvre, true);
  table.integer("visits_max", node.visits_max, 1, 100);
  std::string kind = "skill";
  if (table.text("kind", kind)) {
    if (kind == "retry")
      node.kind = NodeKind::retry;
    else if (kind == "recovery")
      node.kind = NodeKind::recovery;
    else if (kind != "skill")
      table.problem("kind", "must be skill, retry or recovery");
  }
}

void read_edges(econ::StrictTable& table, const Names& names, SkillNode& node) {
  const toml::table* edges = table.table("next");
  if (edges == nullptr) return table.problem("next", "is needed: outcome = node");
  for (const auto& [outcome, target] : *edges) {
    const std::string to = target.value_or(std::string());
    const auto found = names.find(to);
    if (found == names.end())
      table.problem("next", "leads to '" + to + "', which is no node");
    else
      node.next[std::string(outcome.str())] = found->second;
  }
}

}  // namespace

std::string_view node_kind_name(NodeKind kind) noexcept {
  switch (kind) {
    case NodeKind::retry:
      return "retry";
    case NodeKind::recovery:
      return "recovery";
    case NodeKind::skill:
      break;
  }
  return "skill";
}

Result<SkillGraph> SkillGraph::parse(std::string_view toml_text, const std::string& file) {
  DROVER_ASSIGN(const toml::table root, econ::parse_toml(toml_text, file));
  econ::TomlProblems problems(file);
  econ::StrictTable top(root, "", problems);
  std::string start;
  top.text("start", start, true);
  const toml::array* list = top.array("node");
  if (list == nullptr || list->empty() || !list->is_homogeneous(toml::node_type::table)) {
    top.problem("node", "needs at least one [[node]]");
    return tl::unexpected(problems.status().error());
  }
  Names names = {{"done", done}, {"abort", abort}};
  for (const toml::node& entry : *list) {
    const std::string name = (*entry.as_table())["name"].value_or(std::string());
    if (!names.emplace(name, names.size() - 2).second) problems.add(&entry, "node.name", "is there twice: " + name);
  }
  SkillGraph graph;
  const SkillIds skills = read_skills(top, problems);
  read_playbook(top, problems, graph.playbook_);
  for (const toml::node& entry : *list) {
    econ::StrictTable table(*entry.as_table(), "node.", problems);
    SkillNode node;
    read_node(table, skills, node);
    if (!graph.playbook_.manoeuvres.empty() && graph.playbook_.manoeuvre(node.manoeuvre) == nullptr)
      table.problem("manoeuvre", "is not in the file");
    read_edges(table, names, node);
    table.finish();
    graph.nodes_.push_back(std::move(node));
  }
  const auto first = names.find(start);
  if (first == names.end() || first->second >= graph.nodes_.size())
    top.problem("start", "names no node");
  else
    graph.start_ = first->second;
  top.finish();
  DROVER_TRY(problems.status());
  return graph;
}

Result<SkillGraph> SkillGraph::load(const std::string& path) {
  DROVER_ASSIGN(const std::string text, econ::read_small_file(path));
  return parse(text, path);
}

size_t SkillGraph::after(size_t index, std::string_view outcome) const {
  const auto it = nodes_[index].next.find(std::string(outcome));
  return it == nodes_[index].next.end() ? abort : it->second;
}

std::string_view SkillGraph::skill_name(int64_t skill_id) const {
  for (const SkillNode& node : nodes_)
    if (node.skill_id == skill_id) return node.skill;
  return {};
}

}  // namespace drover::robot

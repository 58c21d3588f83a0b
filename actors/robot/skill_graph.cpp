#include "actors/robot/skill_graph.hpp"

#include "actors/datapack/skills.hpp"
#include "actors/econ/strict_toml.hpp"

namespace drover::robot {
namespace {

constexpr int64_t own_skills_end = 6;

int64_t skill_id_of(std::string_view name) {
  for (int64_t id = 0; id < own_skills_end; ++id)
    if (datapack::skill_name(id) == name) return id;
  return -1;
}

using Names = std::map<std::string, size_t>;

void read_node(econ::StrictTable& table, SkillNode& node) {
  table.text("name", node.name, true);
  if (table.text("skill", node.skill, true) && (node.skill_id = skill_id_of(node.skill)) < 0)
    table.problem("skill", "is no skill of this robot");
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
  for (const toml::node& entry : *list) {
    econ::StrictTable table(*entry.as_table(), "node.", problems);
    SkillNode node;
    read_node(table, node);
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

}  // namespace drover::robot

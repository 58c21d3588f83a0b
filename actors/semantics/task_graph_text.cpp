// The text forms of the task graph: its TOML seed and its published JSON document.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "actors/semantics/json_read.hpp"
#include "actors/semantics/json_text.hpp"
#include "actors/semantics/strict_toml.hpp"
#include "actors/semantics/task_graph.hpp"

namespace drover::semantics {
namespace {

constexpr std::string_view format_name = "drover.task_graph.v1";

template <class Enum>
std::optional<Enum> by_name(std::string_view name, std::string_view (*spell)(Enum) noexcept, int count) {
  for (int i = 0; i < count; ++i)
    if (spell(static_cast<Enum>(i)) == name) return static_cast<Enum>(i);
  return std::nullopt;
}

class SeedReader {
 public:
  SeedReader(const toml::table& root, const std::string& file, const Vocabulary& vocabulary)
      : problems_(file), top_(root, "", problems_), vocabulary_(vocabulary) {}

  Result<TaskGraph> read() {
    if (const toml::array* nodes = top_.array("node")) {
      for (const toml::node& item : *nodes) {
        if (item.is_table())
          read_node(*item.as_table());
        else
          problems_.add(&item, "node", "must be a list of tables");
      }
    }
    top_.finish();
    DROVER_TRY(problems_.status());
    graph_.seal();
    return std::move(graph_);
  }

 private:
  void word(TomlTable& fields, const char* key, TermKind kind, std::string& out) {
    fields.text(key, out);
    if (!out.empty() && vocabulary_.name(vocabulary_.find(kind, out)) != out)
      fields.problem(key, fmt::format("\"{}\" is not a term of kind {}", out, term_kind_name(kind)));
  }

  void read_node(const toml::table& table) {
    TomlTable fields(table, "node.", problems_);
    TaskNode node;
    std::string kind;
    std::vector<std::string> after, habit;
    fields.text("id", node.id, true);
    fields.text("kind", kind, true);
    fields.text("parent", node.parent);
    fields.text("role", node.role);
    word(fields, "action", TermKind::action, node.action);
    word(fields, "object", TermKind::object, node.object);
    fields.texts("after", after);
    fields.texts("usually_after", habit);
    fields.texts("preconditions", node.preconditions);
    fields.number("energy_Wh", node.energy_Wh, 0, 1e6);
    fields.finish();
    std::sort(node.preconditions.begin(), node.preconditions.end());
    const auto known = by_name<TaskKind>(kind, task_kind_name, 3);
    if (!known) return fields.problem("kind", "must be skill, checkpoint or composite");
    node.kind = *known;
    if (node.kind == TaskKind::skill && node.action.empty()) fields.problem("action", "a skill needs one");
    const std::string id = node.id;
    if (const Status added = graph_.add_node(std::move(node)); !added)
      return fields.problem("id", added.error().message());
    for (const std::string& before : after) connect(fields, "after", before, id, EdgeKind::hard);
    for (const std::string& before : habit) connect(fields, "usually_after", before, id, EdgeKind::soft);
  }

  void connect(TomlTable& fields, const char* key, const std::string& from, const std::string& to, EdgeKind kind) {
    if (const Status added = graph_.add_edge(from, to, kind); !added) fields.problem(key, added.error().message());
  }

  TomlProblems problems_;
  TomlTable top_;
  const Vocabulary& vocabulary_;
  TaskGraph graph_;
};

void write_node(JsonText& out, const TaskNode& n) {
  out.begin_object().field("id", n.id).field("kind", task_kind_name(n.kind)).field("role", n.role);
  out.field("action", n.action).field("object", n.object).field("parent", n.parent);
  out.field("priority", priority_name(n.priority)).key("preconditions").begin_array();
  for (const std::string& condition : n.preconditions) out.value(condition);
  out.end_array().field("parallel_group", n.parallel_group).field("merged_into", n.merged_into);
  out.field("energy_Wh", n.energy_Wh).field("because", n.because).field("since_version", n.since_version).end_object();
}

Result<TaskNode> read_node(const nlohmann::json& from) {
  TaskNode n;
  DROVER_ASSIGN(n.id, get_text(from, "id"));
  DROVER_ASSIGN(const std::string kind, get_text(from, "kind"));
  DROVER_ASSIGN(const std::string priority, get_text(from, "priority"));
  const auto known = by_name<TaskKind>(kind, task_kind_name, 3);
  const auto rank = by_name<Priority>(priority, priority_name, 4);
  if (!known || !rank) return bad_state(n.id, "unknown kind or priority");
  n.kind = *known;
  n.priority = *rank;
  DROVER_ASSIGN(n.role, get_text(from, "role"));
  DROVER_ASSIGN(n.action, get_text(from, "action"));
  DROVER_ASSIGN(n.object, get_text(from, "object"));
  DROVER_ASSIGN(n.parent, get_text(from, "parent"));
  DROVER_ASSIGN(n.preconditions, get_texts(from, "preconditions"));
  DROVER_ASSIGN(n.parallel_group, get_text(from, "parallel_group"));
  DROVER_ASSIGN(n.merged_into, get_text(from, "merged_into"));
  DROVER_ASSIGN(n.energy_Wh, get_number(from, "energy_Wh"));
  DROVER_ASSIGN(n.because, get_text(from, "because"));
  DROVER_ASSIGN(n.since_version, get_count(from, "since_version"));
  return n;
}

}  // namespace

Result<TaskGraph> TaskGraph::from_seed(std::string_view toml_text, const std::string& file,
                                       const Vocabulary& vocabulary) {
  DROVER_ASSIGN(const toml::table root, parse_toml(toml_text, file));
  DROVER_ASSIGN(TaskGraph graph, SeedReader(root, file, vocabulary).read());
  graph.version_ = 1;
  return graph;
}

Result<TaskGraph> TaskGraph::load_seed(const std::string& path, const Vocabulary& vocabulary) {
  DROVER_ASSIGN(const std::string text, read_config_file(path));
  return from_seed(text, path, vocabulary);
}

std::string TaskGraph::json() const {
  JsonText out;
  out.begin_object().field("format", format_name).field("version", version_).key("nodes").begin_array();
  for (const auto& [id, node] : nodes_) {
    out.line();
    write_node(out, node);
  }
  out.line().end_array().key("edges").begin_array();
  for (const auto& [from, edges] : out_)
    for (const auto& [to, kind] : edges)
      out.line().begin_array().value(from).value(to).value(edge_kind_name(kind)).end_array();
  out.line().end_array().end_object();
  return std::move(out).text() + "\n";
}

Result<TaskGraph> TaskGraph::restore(std::string_view json) {
  DROVER_ASSIGN(const nlohmann::json root, parse_state(json, format_name));
  TaskGraph out;
  DROVER_ASSIGN(out.version_, get_count(root, "version"));
  DROVER_ASSIGN(const nlohmann::json* nodes, get_list(root, "nodes"));
  if (nodes->size() > nodes_max) return bad_state("nodes", "are too many");
  for (const nlohmann::json& item : *nodes) {
    DROVER_ASSIGN(TaskNode node, read_node(item));
    std::string id = node.id;
    if (!node.parent.empty()) out.children_[node.parent].insert(id);
    if (!out.nodes_.emplace(id, std::move(node)).second) return bad_state(id, "is there twice");
  }
  DROVER_ASSIGN(const nlohmann::json* edges, get_list(root, "edges"));
  for (const nlohmann::json& edge : *edges) {
    if (!edge.is_array() || edge.size() != 3 || !edge[0].is_string() || !edge[1].is_string() || !edge[2].is_string())
      return bad_state("edges", "must hold [from, to, kind]");
    const auto kind = by_name<EdgeKind>(edge[2].get<std::string>(), edge_kind_name, 3);
    const std::string from = edge[0].get<std::string>(), to = edge[1].get<std::string>();
    if (!kind || !out.nodes_.contains(from) || !out.nodes_.contains(to)) return bad_state(from, "has a bad edge");
    out.put_edge(from, to, *kind);
  }
  for (const auto& [id, node] : out.nodes_)
    if (!node.merged_into.empty() && !out.nodes_.contains(node.merged_into))
      return bad_state(id, "was merged into a node that is not there");
  if (out.has_cycle() || !out.orphans().empty()) return bad_state("edges", "form a cycle or leave an orphan");
  return out;
}

}  // namespace drover::semantics

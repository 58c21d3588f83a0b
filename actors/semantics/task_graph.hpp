// TaskGraph: how tasks are done, as a graph of skills, checkpoints and composites that learning refines.
//
// Invariants, kept by every operation: edges and parents never form a cycle; a node is never deleted (a merged one is
// retired and says into what); ids are stable; node count is bounded. An operation that would break one is refused by
// name and changes nothing. Nothing recurses, so depth is bounded only by the node count. Pure; one writer.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "actors/semantics/proposal.hpp"
#include "actors/semantics/vocabulary.hpp"
#include "messages/result.hpp"

namespace drover::semantics {

enum class TaskKind : uint8_t { skill, checkpoint, composite };
std::string_view task_kind_name(TaskKind kind) noexcept;

// What comes before what. Hard edges are physics; soft ones are habit; on_failure leads to a recovery or an abort.
enum class EdgeKind : uint8_t { hard, soft, on_failure };
std::string_view edge_kind_name(EdgeKind kind) noexcept;

struct TaskNode {
  std::string id;  // "drawer_open.pull", "drawer_open.pull/verify_fragile"
  TaskKind kind = TaskKind::skill;
  std::string role;    // of checkpoints and inserted skills: verify, inspect, safety_stop, abort, recovery; else empty
  std::string action;  // term; skills only
  std::string object;  // term; may be empty
  std::string parent;  // composite; empty: top level
  Priority priority = Priority::medium;
  std::vector<std::string> preconditions;  // sorted
  std::string parallel_group;              // nodes of one group may run at the same time
  std::string merged_into;                 // retired
  double energy_Wh = 0;                    // expected; 0: unknown
  std::string because;                     // id of the refinement that made or last changed it; empty: seed
  uint64_t since_version = 1;
  bool operator==(const TaskNode&) const = default;
};

class TaskGraph {
 public:
  static constexpr size_t nodes_max = 20000;

  // Parses configs/semantics/task_graph.toml. Errors: invalid_argument with every problem.
  static Result<TaskGraph> from_seed(std::string_view toml_text, const std::string& file, const Vocabulary& vocabulary);
  static Result<TaskGraph> load_seed(const std::string& path, const Vocabulary& vocabulary);

  // The operations of refinement. Errors of all: not_found (a node), refused (cycle, kind, retired), overloaded
  // (nodes_max), already_exists (nothing would change). `because` is recorded in each node they touch.

  // The skill becomes a composite with two children that are done one after the other; its edges stay its own.
  Status split(std::string_view node, std::string_view first_action, std::string_view second_action,
               std::string_view because);
  // A checkpoint with this role directly before or after `node`: takes over its incoming (or outgoing) edges.
  Status insert_checkpoint(std::string_view node, std::string_view role, bool before, std::string_view because);
  // Siblings without hard edges between them are put into the order of their energy, least first, by soft edges.
  Status reorder(std::string_view composite, const std::map<std::string, double>& energy_Wh, std::string_view because);
  // `gone` does what `kept` does: its edges, children and preconditions move to `kept` and it is retired.
  Status merge(std::string_view kept, std::string_view gone, std::string_view because);
  Status add_precondition(std::string_view node, std::string_view condition, std::string_view because);
  // Drops soft edges between the two and puts them into one group. Refused when a hard path joins them.
  Status parallelize(std::string_view a, std::string_view b, std::string_view because);
  // A skill with role recovery (or a checkpoint with role abort when `recovery` is "abort") after `node` has failed.
  Status insert_recovery(std::string_view node, std::string_view failure, std::string_view recovery,
                         std::string_view because);
  Status adjust_priority(std::string_view node, Priority priority, std::string_view because);

  // Building blocks, for seeds and tests.
  Status add_node(TaskNode node);
  Status add_edge(std::string_view from, std::string_view to, EdgeKind kind);

  const TaskNode* find(std::string_view id) const;
  const std::map<std::string, TaskNode, std::less<>>& nodes() const { return nodes_; }
  // (to, kind) for each edge that leaves the node.
  const std::map<std::string, EdgeKind>& edges_from(std::string_view id) const;
  size_t edge_count() const;
  // Follows merged_into. Empty: no such node.
  std::string resolve(std::string_view id) const;
  // Skills in force with this action and object (empty: any) below a composite, by id.
  std::vector<std::string> skills(std::string_view composite, std::string_view action, std::string_view object) const;

  // All in force, each after everything that comes before it; ties by id.
  std::vector<std::string> order() const;
  // Longest way along edges and into children, in nodes.
  size_t depth() const;
  // True when edges or parents form a cycle. Never; checked because it is promised.
  bool has_cycle() const;
  // Nodes whose parent is not there, and checkpoints or inserted skills that no edge reaches.
  std::vector<std::string> orphans() const;

  // Counts up with each batch that changed anything: call once after a batch.
  uint64_t seal();
  uint64_t version() const { return version_; }

  // The published document: deterministic JSON, one node per line. restore(json()) is equal.
  std::string json() const;
  static Result<TaskGraph> restore(std::string_view json);

 private:
  using Edges = std::map<std::string, std::map<std::string, EdgeKind>, std::less<>>;

  Result<TaskNode*> in_force(std::string_view id);
  bool reaches(const std::string& from, const std::string& to) const;
  std::vector<std::string> children(std::string_view parent) const;
  void erase_edge(const std::string& from, const std::string& to);
  void put_edge(const std::string& from, const std::string& to, EdgeKind kind);
  void touch(TaskNode& node, std::string_view because);

  std::map<std::string, TaskNode, std::less<>> nodes_;
  Edges out_;
  Edges in_;  // mirror of out_
  std::map<std::string, std::set<std::string>, std::less<>> children_;
  uint64_t version_ = 1;
  bool unsealed_ = false;
};

}  // namespace drover::semantics

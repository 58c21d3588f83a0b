#include "actors/semantics/task_graph.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "actors/semantics/names.hpp"
#include "messages/check.hpp"

namespace drover::semantics {
namespace {

constexpr std::array<std::string_view, 3> kind_names = {"skill", "checkpoint", "composite"};
constexpr std::array<std::string_view, 3> edge_names = {"hard", "soft", "on_failure"};
const std::map<std::string, EdgeKind> no_edges;

tl::unexpected<Error> refused(std::string_view node, std::string what) {
  return fail(Errc::refused, std::string(node), std::move(what));
}

}  // namespace

std::string_view task_kind_name(TaskKind kind) noexcept {
  return enum_name(kind_names, kind);
}
std::string_view edge_kind_name(EdgeKind kind) noexcept {
  return enum_name(edge_names, kind);
}

const TaskNode* TaskGraph::find(std::string_view id) const {
  const auto at = nodes_.find(id);
  return at == nodes_.end() ? nullptr : &at->second;
}

const std::map<std::string, EdgeKind>& TaskGraph::edges_from(std::string_view id) const {
  const auto at = out_.find(id);
  return at == out_.end() ? no_edges : at->second;
}

size_t TaskGraph::edge_count() const {
  size_t n = 0;
  for (const auto& [from, to] : out_) n += to.size();
  return n;
}

std::string TaskGraph::resolve(std::string_view id) const {
  const TaskNode* node = find(id);
  for (size_t hops = 0; node != nullptr && !node->merged_into.empty() && hops <= nodes_.size(); ++hops)
    node = find(node->merged_into);
  return node == nullptr ? std::string() : node->id;
}

std::vector<std::string> TaskGraph::children(std::string_view parent) const {
  std::vector<std::string> out;
  const auto at = children_.find(parent);
  if (at == children_.end()) return out;
  for (const std::string& id : at->second)
    if (find(id)->merged_into.empty()) out.push_back(id);
  return out;
}

std::vector<std::string> TaskGraph::skills(std::string_view composite, std::string_view action,
                                           std::string_view object) const {
  std::vector<std::string> out;
  std::vector<std::string> todo = {std::string(composite)};
  while (!todo.empty()) {
    const std::string parent = std::move(todo.back());
    todo.pop_back();
    for (std::string& id : children(parent)) {
      const TaskNode& node = *find(id);
      const bool fits = node.kind == TaskKind::skill && node.role.empty() && node.action == action;
      if (fits && (object.empty() || node.object.empty() || node.object == object)) out.push_back(id);
      if (node.kind == TaskKind::composite) todo.push_back(std::move(id));
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

void TaskGraph::put_edge(const std::string& from, const std::string& to, EdgeKind kind) {
  // Of two kinds between the same nodes the stronger stays: hard before soft before on_failure.
  const auto [at, fresh] = out_[from].emplace(to, kind);
  if (!fresh) at->second = std::min(at->second, kind);
  in_[to][from] = at->second;
}

void TaskGraph::erase_edge(const std::string& from, const std::string& to) {
  if (const auto at = out_.find(from); at != out_.end() && at->second.erase(to) > 0 && at->second.empty())
    out_.erase(at);
  if (const auto at = in_.find(to); at != in_.end() && at->second.erase(from) > 0 && at->second.empty()) in_.erase(at);
}

bool TaskGraph::reaches(const std::string& from, const std::string& to) const {
  std::set<std::string_view> seen;
  std::vector<std::string_view> todo = {from};
  while (!todo.empty()) {
    const std::string_view at = todo.back();
    todo.pop_back();
    if (at == to) return true;
    if (!seen.insert(at).second) continue;
    for (const auto& [next, kind] : edges_from(at)) todo.push_back(next);
    if (const auto below = children_.find(at); below != children_.end())
      for (const std::string& child : below->second) todo.push_back(child);
  }
  return false;
}

Result<TaskNode*> TaskGraph::in_force(std::string_view id) {
  const auto at = nodes_.find(id);
  if (at == nodes_.end()) return fail(Errc::not_found, std::string(id), "is not in the task graph");
  if (!at->second.merged_into.empty()) return refused(id, "was merged into " + at->second.merged_into);
  return &at->second;
}

void TaskGraph::touch(TaskNode& node, std::string_view because) {
  node.because = because;
  unsealed_ = true;
}

Status TaskGraph::add_node(TaskNode node) {
  if (node.id.empty()) return fail(Errc::invalid_argument, "id", "is empty");
  if (nodes_.size() >= nodes_max) return fail(Errc::overloaded, "task graph", "holds as many nodes as it may");
  if (nodes_.contains(node.id)) return fail(Errc::already_exists, node.id, "is in the task graph already");
  if (!node.parent.empty()) {
    DROVER_ASSIGN(const TaskNode* parent, in_force(node.parent));
    if (parent->kind != TaskKind::composite) return refused(node.parent, "is no composite and has no children");
    children_[node.parent].insert(node.id);
  }
  node.since_version = node.because.empty() ? 1 : version_ + 1;
  std::string id = node.id;
  nodes_.emplace(std::move(id), std::move(node));
  unsealed_ = true;
  return {};
}

Status TaskGraph::add_edge(std::string_view from, std::string_view to, EdgeKind kind) {
  DROVER_ASSIGN(const TaskNode* a, in_force(from));
  DROVER_ASSIGN(const TaskNode* b, in_force(to));
  const auto& known = edges_from(from);
  if (const auto at = known.find(b->id); at != known.end() && at->second <= kind)
    return fail(Errc::already_exists, a->id, "leads to " + b->id + " already");
  if (reaches(b->id, a->id)) return refused(a->id, fmt::format("an edge to {} would close a cycle", b->id));
  put_edge(a->id, b->id, kind);
  unsealed_ = true;
  return {};
}

Status TaskGraph::split(std::string_view id, std::string_view first_action, std::string_view second_action,
                        std::string_view because) {
  DROVER_ASSIGN(TaskNode * node, in_force(id));
  if (node->kind != TaskKind::skill) return refused(id, "only a skill can be split");
  if (nodes_.size() + 2 > nodes_max) return fail(Errc::overloaded, "task graph", "holds as many nodes as it may");
  TaskNode first;
  first.kind = TaskKind::skill;
  first.parent = node->id;
  first.object = node->object;
  first.priority = node->priority;
  first.because = because;
  TaskNode second = first;
  first.id = fmt::format("{}/1_{}", id, first_action);
  first.action = first_action;
  second.id = fmt::format("{}/2_{}", id, second_action);
  second.action = second_action;
  if (nodes_.contains(first.id) || nodes_.contains(second.id))
    return fail(Errc::already_exists, first.id, "is in the task graph already");
  node->kind = TaskKind::composite;
  touch(*node, because);
  const std::string from = first.id, to = second.id;
  DROVER_TRY(add_node(std::move(first)));
  DROVER_TRY(add_node(std::move(second)));
  put_edge(from, to, EdgeKind::hard);
  return {};
}

Status TaskGraph::insert_checkpoint(std::string_view id, std::string_view role, bool before, std::string_view because) {
  DROVER_ASSIGN(const TaskNode* node, in_force(id));
  TaskNode point;
  point.id = fmt::format("{}/{}_{}", id, role, before ? "before" : "after");
  point.kind = TaskKind::checkpoint;
  point.role = role;
  point.object = node->object;
  point.parent = node->parent;
  point.priority = node->priority;
  point.because = because;
  const std::string here = node->id, fresh = point.id;
  DROVER_TRY(add_node(std::move(point)));
  const auto& side = before ? in_ : out_;
  const auto at = side.find(here);
  const std::map<std::string, EdgeKind> moved = at == side.end() ? no_edges : at->second;
  for (const auto& [other, kind] : moved) {
    if (!before && kind == EdgeKind::on_failure) continue;  // what happens after a failure stays with the node
    before ? erase_edge(other, here) : erase_edge(here, other);
    before ? put_edge(other, fresh, kind) : put_edge(fresh, other, kind);
  }
  before ? put_edge(fresh, here, EdgeKind::hard) : put_edge(here, fresh, EdgeKind::hard);
  return {};
}

Status TaskGraph::reorder(std::string_view composite, const std::map<std::string, double>& energy_Wh,
                          std::string_view because) {
  DROVER_ASSIGN(TaskNode * parent, in_force(composite));
  if (parent->kind != TaskKind::composite) return refused(composite, "only the children of a composite have an order");
  std::vector<std::string> siblings = children(parent->id);
  std::erase_if(siblings,
                [&](const std::string& s) { return find(s)->role == "recovery" || find(s)->role == "abort"; });
  const TaskGraph saved = *this;
  std::vector<std::pair<std::string, std::string>> dropped;
  for (const std::string& a : siblings)
    for (const std::string& b : siblings)
      if (const auto at = edges_from(a).find(b); at != edges_from(a).end() && at->second == EdgeKind::soft)
        dropped.emplace_back(a, b);
  for (const auto& [a, b] : dropped) erase_edge(a, b);
  // What must come first still does: a sibling is free when nothing that is left reaches it.
  std::vector<std::string> order, left = siblings;
  while (!left.empty()) {
    const auto free = [&](const std::string& id) {
      return std::none_of(left.begin(), left.end(), [&](const std::string& o) { return o != id && reaches(o, id); });
    };
    const auto cost = [&](const std::string& id) {
      const auto at = energy_Wh.find(id);
      return at != energy_Wh.end() ? at->second : find(id)->energy_Wh;
    };
    auto best = left.end();
    for (auto at = left.begin(); at != left.end(); ++at)
      if (free(*at) && (best == left.end() || cost(*at) < cost(*best))) best = at;
    DROVER_CHECK(best != left.end(), "siblings without hard cycles have a free one");
    order.push_back(*best);
    left.erase(best);
  }
  for (size_t i = 1; i < order.size(); ++i)
    if (!reaches(order[i - 1], order[i])) put_edge(order[i - 1], order[i], EdgeKind::soft);
  for (const auto& [id, Wh] : energy_Wh)
    if (const auto at = nodes_.find(id); at != nodes_.end()) at->second.energy_Wh = Wh;
  if (out_ == saved.out_ || has_cycle()) {
    const bool same = out_ == saved.out_;
    *this = saved;
    if (same) return fail(Errc::already_exists, std::string(composite), "is in this order already");
    return refused(composite, "the order by energy would close a cycle through nodes outside");
  }
  touch(*in_force(composite).value(), because);
  return {};
}

Status TaskGraph::merge(std::string_view kept_id, std::string_view gone_id, std::string_view because) {
  DROVER_ASSIGN(TaskNode * kept, in_force(kept_id));
  DROVER_ASSIGN(TaskNode * gone, in_force(gone_id));
  if (kept == gone) return fail(Errc::already_exists, kept->id, "is the same node");
  const bool alike = kept->kind == gone->kind && kept->action == gone->action && kept->role == gone->role;
  if (!alike) return refused(gone_id, fmt::format("does not do what {} does", kept_id));
  const TaskGraph saved = *this;
  const std::map<std::string, EdgeKind> outgoing = edges_from(gone->id);
  const auto at = in_.find(gone->id);
  const std::map<std::string, EdgeKind> incoming = at == in_.end() ? no_edges : at->second;
  for (const auto& [to, kind] : outgoing) {
    erase_edge(gone->id, to);
    if (to != kept->id) put_edge(kept->id, to, kind);
  }
  for (const auto& [from, kind] : incoming) {
    erase_edge(from, gone->id);
    if (from != kept->id) put_edge(from, kept->id, kind);
  }
  for (const std::string& child : children(gone->id)) {
    nodes_.find(child)->second.parent = kept->id;
    children_[kept->id].insert(child);
    children_[gone->id].erase(child);
  }
  kept->preconditions.insert(kept->preconditions.end(), gone->preconditions.begin(), gone->preconditions.end());
  std::sort(kept->preconditions.begin(), kept->preconditions.end());
  kept->preconditions.erase(std::unique(kept->preconditions.begin(), kept->preconditions.end()),
                            kept->preconditions.end());
  gone->merged_into = kept->id;
  touch(*kept, because);
  touch(*gone, because);
  if (!has_cycle()) return {};
  *this = saved;
  return refused(gone_id, fmt::format("merging it into {} would close a cycle", kept_id));
}

Status TaskGraph::add_precondition(std::string_view id, std::string_view condition, std::string_view because) {
  DROVER_ASSIGN(TaskNode * node, in_force(id));
  const auto at = std::lower_bound(node->preconditions.begin(), node->preconditions.end(), condition);
  if (at != node->preconditions.end() && *at == condition)
    return fail(Errc::already_exists, node->id, "has this precondition already");
  node->preconditions.insert(at, std::string(condition));
  touch(*node, because);
  return {};
}

Status TaskGraph::parallelize(std::string_view a_id, std::string_view b_id, std::string_view because) {
  DROVER_ASSIGN(TaskNode * a, in_force(a_id));
  DROVER_ASSIGN(TaskNode * b, in_force(b_id));
  if (a == b) return refused(a_id, "a node cannot run beside itself");
  if (a->parent != b->parent) return refused(b_id, fmt::format("is not a sibling of {}", a_id));
  if (!a->parallel_group.empty() && a->parallel_group == b->parallel_group)
    return fail(Errc::already_exists, a->id, "runs in parallel with " + b->id + " already");
  const std::string from = reaches(a->id, b->id) ? a->id : b->id;
  const std::string to = from == a->id ? b->id : a->id;
  const auto edge = edges_from(from).find(to);
  const bool soft = edge != edges_from(from).end() && edge->second == EdgeKind::soft;
  if (soft) erase_edge(from, to);
  if (reaches(from, to)) {
    if (soft) put_edge(from, to, EdgeKind::soft);
    return refused(to, fmt::format("must come after {}", from));
  }
  // Who came before the first and after the second keeps its place.
  if (soft) {
    const auto before = in_.find(from);
    const std::map<std::string, EdgeKind> incoming = before == in_.end() ? no_edges : before->second;
    const std::map<std::string, EdgeKind> outgoing = edges_from(to);
    for (const auto& [p, kind] : incoming)
      if (kind != EdgeKind::on_failure && !reaches(to, p)) put_edge(p, to, kind);
    for (const auto& [s, kind] : outgoing)
      if (kind != EdgeKind::on_failure && !reaches(s, from)) put_edge(from, s, kind);
  }
  const std::string group = !a->parallel_group.empty()   ? a->parallel_group
                            : !b->parallel_group.empty() ? b->parallel_group
                                                         : "group:" + std::min(a->id, b->id);
  a->parallel_group = b->parallel_group = group;
  touch(*a, because);
  touch(*b, because);
  return {};
}

Status TaskGraph::insert_recovery(std::string_view id, std::string_view failure, std::string_view recovery,
                                  std::string_view because) {
  DROVER_ASSIGN(const TaskNode* node, in_force(id));
  const bool abort = recovery == "abort";
  TaskNode fresh;
  fresh.id = fmt::format("{}/on_{}/{}", id, failure, recovery);
  fresh.kind = abort ? TaskKind::checkpoint : TaskKind::skill;
  fresh.role = abort ? "abort" : "recovery";
  fresh.action = abort ? std::string() : std::string(recovery);
  fresh.object = node->object;
  fresh.parent = node->parent;
  fresh.priority = Priority::high;
  fresh.preconditions = {fmt::format("failed:{}", failure)};
  fresh.because = because;
  const std::string from = node->id, to = fresh.id;
  DROVER_TRY(add_node(std::move(fresh)));
  const std::map<std::string, EdgeKind> onward = edges_from(from);
  put_edge(from, to, EdgeKind::on_failure);
  if (abort) return {};
  for (const auto& [next, kind] : onward)  // once it is put right, the task goes on
    if (kind != EdgeKind::on_failure) put_edge(to, next, EdgeKind::soft);
  return {};
}

Status TaskGraph::adjust_priority(std::string_view id, Priority priority, std::string_view because) {
  DROVER_ASSIGN(TaskNode * node, in_force(id));
  if (node->priority == priority) return fail(Errc::already_exists, node->id, "has this priority already");
  node->priority = priority;
  touch(*node, because);
  return {};
}

std::vector<std::string> TaskGraph::order() const {
  std::map<std::string_view, size_t> waits;
  for (const auto& [id, node] : nodes_)
    if (node.merged_into.empty()) waits[id] = node.parent.empty() ? 0 : 1;
  for (const auto& [from, edges] : out_)
    for (const auto& [to, kind] : edges) ++waits[to];
  std::set<std::string_view> ready;
  for (const auto& [id, count] : waits)
    if (count == 0) ready.insert(id);
  std::vector<std::string> out;
  const auto release = [&](std::string_view id) {
    if (const auto at = waits.find(id); at != waits.end() && --at->second == 0) ready.insert(at->first);
  };
  while (!ready.empty()) {
    const std::string_view id = *ready.begin();
    ready.erase(ready.begin());
    out.emplace_back(id);
    for (const auto& [to, kind] : edges_from(id)) release(to);
    if (const auto below = children_.find(id); below != children_.end())
      for (const std::string& child : below->second) release(child);
  }
  return out;
}

bool TaskGraph::has_cycle() const {
  const auto alive =
      std::count_if(nodes_.begin(), nodes_.end(), [](const auto& n) { return n.second.merged_into.empty(); });
  return order().size() != static_cast<size_t>(alive);
}

size_t TaskGraph::depth() const {
  std::map<std::string_view, size_t> length;
  size_t deepest = 0;
  const std::vector<std::string> sorted = order();
  for (const std::string& id : sorted) {
    const size_t here = std::max<size_t>(length[id], 1);
    deepest = std::max(deepest, here);
    const auto reach = [&](const std::string& next) { length[next] = std::max(length[next], here + 1); };
    for (const auto& [to, kind] : edges_from(id)) reach(to);
    if (const auto below = children_.find(id); below != children_.end())
      for (const std::string& child : below->second) reach(child);
  }
  return deepest;
}

std::vector<std::string> TaskGraph::orphans() const {
  std::vector<std::string> out;
  for (const auto& [id, node] : nodes_) {
    const bool lost = !node.parent.empty() && find(node.parent) == nullptr;
    const bool adrift = !node.role.empty() && node.merged_into.empty() && !out_.contains(id) && !in_.contains(id);
    if (lost || adrift) out.push_back(id);
  }
  return out;
}

uint64_t TaskGraph::seal() {
  if (unsealed_) ++version_;
  unsealed_ = false;
  return version_;
}

}  // namespace drover::semantics

// Worst cases: a thousand failures in a row, every primitive with every tag, a task graph of depth fifty.
#include <fmt/format.h>

#include <algorithm>

#include "stress/semantics/chain.hpp"

namespace drover::semantics::stress {
namespace {

struct Act {
  Label label = Label::approach;
  const char* object = "plate";
  Outcome outcome = Outcome::success;
  Reason reason = Reason::none;
  int retry_of = -1;
  double seconds = 1;
  float speed = 1;  // factor on speed and force
};

Analysis episode(const std::string& id, Family family, std::span<const Act> acts, const Vocabulary& vocabulary) {
  Analysis out;
  EpisodeFacts& f = out.facts;
  f.episode_id = f.pack_id = id;
  f.robot = "stress";
  f.family = family;
  f.has_power = f.has_joints = f.has_force = true;
  double t = 0;
  for (const Act& act : acts) {
    ActionFact a;
    a.key = segment_key(id, static_cast<uint32_t>(f.actions.size()));
    a.label = act.label;
    a.outcome = act.outcome;
    a.reason = act.reason;
    a.object = vocabulary.find(TermKind::object, act.object);
    if (act.retry_of >= 0) a.retry_of = static_cast<uint32_t>(act.retry_of);
    a.start_s = t;
    a.end_s = t += act.seconds;
    a.confidence = 0.9;
    a.metrics.duration_s = static_cast<float>(act.seconds);
    a.metrics.force_N_max = 5 * act.speed;
    a.metrics.speed_m_per_s_max = 0.2F * act.speed;
    a.metrics.joint_rad_per_s_max = 0.5F * act.speed;
    a.metrics.energy_Wh = 0.01F * act.speed;
    f.energy_Wh += static_cast<double>(a.metrics.energy_Wh);
    if (a.object) f.objects.push_back(a.object);
    f.actions.push_back(std::move(a));
  }
  std::sort(f.objects.begin(), f.objects.end());
  f.objects.erase(std::unique(f.objects.begin(), f.objects.end()), f.objects.end());
  f.duration_s = t;
  f.success = ended_well(f.actions);
  return out;
}

constexpr Act opened[] = {
    {Label::approach, "handle"}, {Label::grasp, "handle"}, {Label::pull, "drawer"}, {Label::release, "handle"}};
constexpr Act locked[] = {
    {Label::approach, "handle"}, {Label::grasp, "handle"}, {Label::pull, "drawer", Outcome::failure, Reason::locked}};

Status learn_normal(Chain& chain, int count) {
  for (int i = 0; i < count; ++i) {
    Analysis a = episode(fmt::format("normal-{}", i), Family::drawer_open, opened, chain.vocabulary());
    a.embedding = {4, 1, {1, 0, 0, 0}};
    a.outcome = OutcomeFacts{true, 0, 600};
    DROVER_TRY(chain.take(std::move(a)));
  }
  return {};
}

Result<bool> failures_in_a_row(const Options& options) {
  DROVER_ASSIGN(const auto chain, Chain::make(options));
  DROVER_TRY(learn_normal(*chain, 50));
  const size_t before = chain->pipeline().metrics().ontology_nodes;
  for (int i = 0; i < 1000; ++i) {
    Analysis a = episode(fmt::format("locked-{}", i), Family::drawer_open, locked, chain->vocabulary());
    a.outcome = OutcomeFacts{false, 0, 0};
    DROVER_TRY(chain->take(std::move(a)));
  }
  DROVER_TRY(chain->finish());
  Stage2Pipeline& p = chain->pipeline();
  const OntologyNode* node = p.orchestrator().ontology().current().find("fragility:drawer/locked");
  uint64_t doom = 0, aborts = 0;
  for (const SemanticAlert& alert : p.orchestrator().alerts()) doom += alert.kind == "doom_loop" ? 1 : 0;
  for (const auto& [id, task] : p.orchestrator().graph().nodes()) aborts += task.role == "abort" ? 1 : 0;
  Table table("worst case: 1000 failures in a row of one primitive");
  chain->common_rows(table);
  table.row("fragility node: times it was seen", node == nullptr ? 0 : static_cast<double>(node->evidence.count()),
            exactly(1000), nothing());
  table.row("nodes that a thousand failures made", static_cast<double>(p.metrics().ontology_nodes - before), below(8),
            below(6));
  table.row("doom loop alerts", static_cast<double>(doom), exactly(1), nothing());
  table.row("abort nodes in the task graph", static_cast<double>(aborts), exactly(1), nothing());
  return table.holds();
}

// Eight acts, each of which gives every tag that an act can give; objects nobody has heard of among them.
std::vector<Act> everything() {
  std::vector<Act> acts;
  for (int k = 0; k < 4; ++k) {
    const char* object = k % 2 == 0 ? "plate" : "bottle";
    const int failed = static_cast<int>(acts.size());
    acts.push_back(
        {Label::transport, object, Outcome::failure, k % 2 == 0 ? Reason::drop : Reason::protective_stop, -1, 12, 40});
    acts.push_back({Label::grasp, object, Outcome::recovered, Reason::none, failed, 1, 40});
    acts.push_back({Label::transport, object, Outcome::recovered, Reason::none, failed, 1, 40});
  }
  acts.push_back({Label::transport, "plate", Outcome::failure, Reason::drop, -1, 12, 40});
  return acts;
}

Result<bool> every_tag(const Options& options) {
  DROVER_ASSIGN(const auto chain, Chain::make(options));
  DROVER_TRY(learn_normal(*chain, 300));
  std::array<uint64_t, tag_kind_count> with{};
  const std::vector<Act> acts = everything();
  constexpr int count = 2000;
  size_t tags_most = 0, record_most = 0;
  for (int i = 0; i < count; ++i) {
    Analysis a = episode(fmt::format("all-{}", i), Family::drawer_open, acts, chain->vocabulary());
    a.embedding = {4, 1, {0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 0}};
    a.outcome = OutcomeFacts{false, 1, 0};
    DROVER_ASSIGN(const CommitResult r, chain->take(std::move(a)));
    const TagSet& t = r.enriched.tags;
    for (size_t kind = 0; kind < tag_kind_count; ++kind) with[kind] += t.has(static_cast<TagKind>(kind)) ? 1 : 0;
    tags_most = std::max(tags_most, t.fragility.size() + t.risk.size() + t.affordance.size() + t.efficiency.size() +
                                        t.novelty.size() + t.intervention.size() + t.ood.size() + t.recovery.size());
    record_most = std::max(record_most, r.record.tags_json.size());
  }
  DROVER_TRY(chain->finish());
  uint64_t kinds = 0;
  for (const uint64_t n : with) kinds += n > 0 ? 1 : 0;
  Table table("worst case: primitives that emit every tag");
  chain->common_rows(table);
  table.row("kinds of tags that were emitted", static_cast<double>(kinds), exactly(static_cast<double>(tag_kind_count)),
            nothing());
  table.row("most tags of one episode", static_cast<double>(tags_most), below(8 * 16 + 1), nothing());
  table.row("longest record [bytes]", static_cast<double>(record_most), below(65536), below(16384));
  for (size_t kind = 0; kind < tag_kind_count; ++kind)
    std::printf("    %-16s in %5.1f %% of episodes\n", std::string(tag_kind_name(static_cast<TagKind>(kind))).c_str(),
                100.0 * static_cast<double>(with[kind]) / count);
  return table.holds();
}

Result<bool> deep_graph(const Options& options) {
  DROVER_ASSIGN(Vocabulary vocabulary, Vocabulary::load(options.configs + "/vocabulary.toml"));
  DROVER_ASSIGN(TaskGraph graph, TaskGraph::load_seed(options.configs + "/task_graph.toml", vocabulary));
  std::string before;
  for (int i = 0; i < 50; ++i) {
    TaskNode node;
    node.id = fmt::format("dish_place.deep_{:02}", i);
    node.action = i % 2 == 0 ? "transport" : "grasp";
    node.object = "plate";
    node.parent = "dish_place";
    const std::string id = node.id;
    DROVER_TRY(graph.add_node(std::move(node)));
    if (!before.empty()) DROVER_TRY(graph.add_edge(before, id, EdgeKind::hard));
    before = id;
  }
  graph.seal();
  const size_t nodes_before = graph.nodes().size();
  DROVER_ASSIGN(const auto chain, Chain::make(options, std::move(graph)));
  const Act drops[] = {{Label::approach, "plate"},
                       {Label::grasp, "plate"},
                       {Label::transport, "plate", Outcome::failure, Reason::drop},
                       {Label::grasp, "plate", Outcome::recovered, Reason::none, 2},
                       {Label::transport, "plate", Outcome::recovered, Reason::none, 2},
                       {Label::release, "plate"}};
  double slowest_ms = 0;
  for (int i = 0; i < 1000; ++i) {
    Analysis a = episode(fmt::format("deep-{}", i), Family::dish_place, drops, chain->vocabulary());
    a.outcome = OutcomeFacts{true, 0, 300};
    DROVER_TRY(chain->take(std::move(a)));
    slowest_ms = std::max(slowest_ms, chain->costs().per_primitive_ms.back() * std::size(drops));
  }
  DROVER_TRY(chain->finish());
  const TaskGraph& after = chain->pipeline().orchestrator().graph();
  const auto restored = TaskGraph::restore(after.json());
  Table table("worst case: a task graph of depth 50, refined 1000 episodes long");
  chain->common_rows(table);
  table.row("depth", static_cast<double>(after.depth()), above(49), nothing());
  table.row("nodes that refinement added", static_cast<double>(after.nodes().size() - nodes_before), above(49),
            nothing());
  table.row("slowest episode [ms]", slowest_ms, below(1000), below(50));
  table.check("no cycle", !after.has_cycle());
  table.check("no node was deleted", after.nodes().size() >= nodes_before);
  table.check("the document reads back to the same bytes", restored && restored->json() == after.json());
  return table.holds();
}

}  // namespace

Result<bool> run_worst(const Options& options) {
  bool holds = true;
  for (const auto run : {failures_in_a_row, every_tag, deep_graph}) {
    DROVER_ASSIGN(const bool held, run(options));
    holds = holds && held;
  }
  return holds;
}

}  // namespace drover::semantics::stress

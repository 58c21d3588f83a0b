#include "actors/semantics/task_graph.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "actors/runtime/rng.hpp"
#include "actors/semantics/rollout.hpp"
#include "tests/semantics/support.hpp"

using namespace drover;
using namespace drover::semantics;

namespace {

size_t place_of(const std::vector<std::string>& order, std::string_view id) {
  return static_cast<size_t>(std::find(order.begin(), order.end(), id) - order.begin());
}

TaskNode node(const char* id, TaskKind kind, const char* parent = "") {
  TaskNode out;
  out.id = id;
  out.kind = kind;
  out.parent = parent;
  if (kind == TaskKind::skill) out.action = "push";
  return out;
}

void holds(const TaskGraph& graph) {
  CHECK_FALSE(graph.has_cycle());
  CHECK(graph.orphans().empty());
}

}  // namespace

TEST_CASE("semantics/task_graph: the seed is a graph of all families") {
  const TaskGraph graph = test::seed_graph();
  holds(graph);
  for (size_t i = 0; i < family_count; ++i) CHECK(graph.find(family_name(static_cast<Family>(i))) != nullptr);
  const auto order = graph.order();
  CHECK(place_of(order, "drawer_open.grasp") < place_of(order, "drawer_open.pull"));
  CHECK(graph.skills("drawer_open", "pull", "drawer") == std::vector<std::string>{"drawer_open.pull"});
  CHECK(graph.skills("drawer_open", "pull", "cup").empty());
}

TEST_CASE("semantics/task_graph: all eight refinements do what they say") {
  TaskGraph graph = test::seed_graph();
  const size_t before = graph.nodes().size();
  REQUIRE(graph.insert_checkpoint("drawer_open.pull", "verify", true, "r-1"));
  auto order = graph.order();
  CHECK(place_of(order, "drawer_open.grasp") < place_of(order, "drawer_open.pull/verify_before"));
  CHECK(place_of(order, "drawer_open.pull/verify_before") < place_of(order, "drawer_open.pull"));
  CHECK(graph.edges_from("drawer_open.grasp").count("drawer_open.pull") == 0);
  REQUIRE(graph.insert_checkpoint("drawer_open.pull", "inspect", false, "r-2"));
  CHECK(graph.edges_from("drawer_open.pull").count("drawer_open.release") == 0);

  REQUIRE(graph.split("drawer_open.pull", "grasp", "pull", "r-3"));
  CHECK(graph.find("drawer_open.pull")->kind == TaskKind::composite);
  CHECK(graph.skills("drawer_open", "pull", "drawer") == std::vector<std::string>{"drawer_open.pull/2_pull"});

  REQUIRE(graph.insert_recovery("drawer_open.grasp", "grasp_slip", "re_grasp", "r-4"));
  const auto& edges = graph.edges_from("drawer_open.grasp");
  CHECK(edges.at("drawer_open.grasp/on_grasp_slip/re_grasp") == EdgeKind::on_failure);
  REQUIRE(graph.insert_recovery("drawer_open.pull", "locked", "abort", "r-5"));
  CHECK(graph.find("drawer_open.pull/on_locked/abort")->role == "abort");

  REQUIRE(graph.add_precondition("drawer_open.grasp", "clearance_m>=0.05", "r-6"));
  CHECK(graph.add_precondition("drawer_open.grasp", "clearance_m>=0.05", "r-6").error().code == Errc::already_exists);
  REQUIRE(graph.adjust_priority("drawer_open", Priority::critical, "r-7"));
  holds(graph);

  TaskNode twin = *graph.find("drawer_open.grasp");
  twin.id = "drawer_open.grasp2";
  REQUIRE(graph.add_node(twin));
  REQUIRE(graph.merge("drawer_open.grasp", "drawer_open.grasp2", "r-8"));
  CHECK(graph.resolve("drawer_open.grasp2") == "drawer_open.grasp");
  CHECK(graph.find("drawer_open.grasp2") != nullptr);  // never deleted
  CHECK(graph.merge("drawer_open.grasp", "drawer_open.grasp2", "r-8").error().code == Errc::refused);
  CHECK(graph.merge("drawer_open.grasp", "drawer_open.approach", "r-8").error().code == Errc::refused);
  CHECK(graph.nodes().size() > before);
  holds(graph);
}

TEST_CASE("semantics/task_graph: reordering follows energy but never physics; parallel work drops habits only") {
  TaskGraph graph;
  REQUIRE(graph.add_node(node("clean", TaskKind::composite)));
  for (const char* id : {"a", "b", "c", "d"}) REQUIRE(graph.add_node(node(id, TaskKind::skill, "clean")));
  REQUIRE(graph.add_edge("d", "a", EdgeKind::hard));  // d before a, always
  REQUIRE(graph.add_edge("a", "b", EdgeKind::soft));
  REQUIRE(graph.add_edge("b", "c", EdgeKind::soft));
  REQUIRE(graph.reorder("clean", {{"a", 1.0}, {"b", 5.0}, {"c", 2.0}, {"d", 9.0}}, "r-1"));
  const auto order = graph.order();
  CHECK(place_of(order, "c") < place_of(order, "b"));
  CHECK(place_of(order, "b") < place_of(order, "d"));  // the dearest comes last but for what physics puts behind it
  CHECK(place_of(order, "d") < place_of(order, "a"));
  CHECK(graph.reorder("clean", {}, "r-2").error().code == Errc::already_exists);
  CHECK(graph.parallelize("d", "a", "r-3").error().code == Errc::refused);
  REQUIRE(graph.parallelize("c", "b", "r-4"));
  CHECK(graph.find("b")->parallel_group == graph.find("c")->parallel_group);
  CHECK(graph.edges_from("c").count("b") == 0);
  const auto after = graph.order();
  CHECK(place_of(after, "c") < place_of(after, "d"));  // who came later still does
  holds(graph);
}

TEST_CASE("semantics/task_graph: an edge that would close a cycle is refused and changes nothing") {
  TaskGraph graph = test::seed_graph();
  const std::string before = graph.json();
  CHECK(graph.add_edge("drawer_open.release", "drawer_open.approach", EdgeKind::soft).error().code == Errc::refused);
  CHECK(graph.add_edge("drawer_open.pull", "drawer_open", EdgeKind::soft).error().code == Errc::refused);
  CHECK(graph.add_edge("drawer_open.pull", "drawer_open.pull", EdgeKind::soft).error().code == Errc::refused);
  CHECK(graph.add_edge("drawer_open.pull", "nowhere", EdgeKind::soft).error().code == Errc::not_found);
  CHECK(graph.json() == before);
}

TEST_CASE("semantics/task_graph: any series of refinements keeps it acyclic, loses no node and reads back") {
  constexpr uint64_t seed = 20240607;
  runtime::Rng rng(seed);
  MESSAGE("seed ", seed);
  TaskGraph graph = test::seed_graph();
  std::set<std::string> ever;
  size_t done = 0;
  for (int step = 0; step < 3000; ++step) {
    std::vector<std::string> ids;
    for (const auto& [id, node] : graph.nodes()) ids.push_back(id);
    const auto any = [&]() -> const std::string& { return ids[rng.below(ids.size())]; };
    const std::string why = fmt::format("r-{}", step);
    const std::string before = step % 50 == 0 ? graph.json() : std::string();
    Status status;
    switch (rng.below(9)) {
      case 0:
        status = graph.split(any(), "approach", "grasp", why);
        break;
      case 1:
        status = graph.insert_checkpoint(any(), rng.chance(0.5) ? "verify" : "inspect", rng.chance(0.5), why);
        break;
      case 2:
        status = graph.reorder(any(), {{any(), rng.uniform()}, {any(), rng.uniform()}}, why);
        break;
      case 3:
        status = graph.merge(any(), any(), why);
        break;
      case 4:
        status = graph.add_precondition(any(), "ready", why);
        break;
      case 5:
        status = graph.parallelize(any(), any(), why);
        break;
      case 6:
        status = graph.insert_recovery(any(), "drop", rng.chance(0.3) ? "abort" : "retry", why);
        break;
      case 7:
        status = graph.adjust_priority(any(), static_cast<Priority>(rng.below(4)), why);
        break;
      case 8:
        status = graph.add_edge(any(), any(), static_cast<EdgeKind>(rng.below(3)));
        break;
    }
    done += status ? 1 : 0;
    if (!status && !before.empty()) CHECK(graph.json() == before);  // refused: nothing changed
    REQUIRE_FALSE(graph.has_cycle());
    if (graph.nodes().size() > 400) break;
  }
  CHECK(done > 100);
  holds(graph);
  const TaskGraph seed_of_it = test::seed_graph();
  for (const auto& [id, node] : seed_of_it.nodes()) CHECK(graph.find(id) != nullptr);
  const auto again = TaskGraph::restore(graph.json());
  REQUIRE_MESSAGE(again, again.error().message());
  CHECK(again->json() == graph.json());
}

TEST_CASE("semantics/task_graph: a depth of 50 and more is nothing special") {
  TaskGraph graph = test::seed_graph();
  std::string at = "drawer_open.pull";
  for (int i = 0; i < 60; ++i) {
    REQUIRE(graph.split(at, "grasp", "pull", "deep"));
    at += "/2_pull";
  }
  REQUIRE(graph.insert_checkpoint(at, "verify", true, "deep"));
  CHECK(graph.depth() >= 60);
  holds(graph);
  const auto again = TaskGraph::restore(graph.json());
  REQUIRE(again);
  CHECK(again->depth() == graph.depth());
}

TEST_CASE("semantics/task_graph: damaged documents are refused") {
  const std::string text = test::seed_graph().json();
  CHECK_FALSE(TaskGraph::restore(text.substr(0, text.size() - 20)));
  std::string cyclic = text;
  const std::string edge = "[\"drawer_open.approach\",\"drawer_open.grasp\",\"hard\"]";
  const size_t at = cyclic.find(edge);
  REQUIRE(at != std::string::npos);
  cyclic.replace(at, edge.size(), edge + ",[\"drawer_open.grasp\",\"drawer_open.approach\",\"hard\"]");
  CHECK(TaskGraph::restore(cyclic).error().code == Errc::corrupt);
}

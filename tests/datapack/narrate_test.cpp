// Words for a skill trace.
#include "actors/datapack/narrate.hpp"

#include <doctest/doctest.h>

using namespace drover;
using namespace drover::datapack;

TEST_CASE("datapack/narrate: a rule puts a trace into words, and says so") {
  Datapack pack;
  pack.task_name = "drawer_vase";
  pack.condition.world_id = "world_1";
  pack.skill_trace = {{0, 0, 0.5, "success", R"({"name":"LOCATE_DRAWER"})"},
                      {3, 0.5, 2, "failure", R"({"reason":"grasp_slip"})"},
                      {3, 2, 3.25, "recovered", ""},
                      {9001, 3.25, 4, "success", R"({"name":"shake_BIN"})"},
                      {9002, 4, 5, "unknown", "{}"},
                      {1, 5, 6, "success", R"({"name":"SET_DOWN"})"}};
  const SimaAnnotation said = narrate(pack);
  CHECK(said.instruction == "open the drawer without hitting the vase");
  CHECK(said.sima_agent_id == "template_narrator_v1");
  CHECK(said.source_world == "world_1");
  CHECK(said.derived_skill_plan == std::vector<int64_t>{0, 3, 9001, 9002, 1});
  CHECK(said.step_narrations == std::vector<std::string>{"0.0 s: locate the drawer",
                                                         "0.5 s: grasp the handle, failed (grasp slip)",
                                                         "2.0 s: grasp the handle, recovered", "3.2 s: shake bin",
                                                         "4.0 s: skill 9002", "5.0 s: set down"});
  pack.task_name = "ur3_cycle";
  pack.skill_trace.assign(1000, {100, 0, 1, "success", ""});
  CHECK(narrate(pack).instruction == "carry out ur3 cycle");
  CHECK(narrate(pack).step_narrations.size() == narrations_max);
  CHECK(narrate(pack).step_narrations.back() == "and 801 more steps");
}

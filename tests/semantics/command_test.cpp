// drover ontology as an operator meets it: the program over a store.
#include <sys/wait.h>

#include <cstdio>
#include <fstream>

#include "tests/semantics/centre.hpp"

using nlohmann::json;

namespace {

struct Ran {
  int code = -1;
  std::string text;  // stdout and stderr
};

Ran drover_run(const std::string& words) {
  std::FILE* pipe = popen(("'" DROVER_PROGRAM "' " + words + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  Ran out;
  char buffer[4096];
  for (size_t size = 0; (size = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.text.append(buffer, size);
  const int status = pclose(pipe);
  out.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return out;
}
bool has(const Ran& ran, const std::string& text) {
  return ran.text.find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("nodes/ontology: learn, look, ask why and write the report, from a store") {
  drover::test::Centre centre;
  centre.send("robot-a", 0, 120);
  centre.store.reset();
  const std::string where = " --store " + (centre.folder / "central") + " --configs " + drover::test::config_path("");
  CHECK(drover_run("ontology show" + where).code == 1);  // nothing was learnt yet, and it says so
  const auto learnt = drover_run("ontology learn" + where);
  CHECK(learnt.code == 0);
  CHECK(has(learnt, "learnt from 120 datapacks"));
  CHECK(has(drover_run("ontology learn" + where), "learnt from 0 datapacks"));
  const auto shown = drover_run("ontology show --kind fragility" + where);
  CHECK(shown.code == 0);
  CHECK(has(shown, "fragility:drawer/locked"));
  CHECK_FALSE(has(shown, "affordance:"));
  CHECK(has(drover_run("ontology explain fragility:drawer/locked" + where), "episode episode-robot-a-0"));
  CHECK(drover_run("ontology explain nothing" + where).code == 1);
  CHECK(has(drover_run("ontology tasks" + where), "drawer_open.pull"));
  CHECK(has(drover_run("ontology trust" + where), "RecoveryTag"));
  CHECK(has(drover_run("ontology focus" + where), "phase"));
  const json decisions = json::parse(drover_run("ontology decisions --verdict applied --json" + where).text);
  REQUIRE(!decisions["decisions"].empty());
  CHECK(decisions["decisions"][0]["evidence"].contains("count"));
  CHECK(drover_run("ontology decisions --verdict maybe" + where).code != 0);
  CHECK(json::parse(drover_run("ontology facts --json" + where).text)["metrics"]["episodes"] == 120);

  const std::string out = centre.folder / "report";
  CHECK(drover_run("ontology report --out " + out + where).code == 0);
  std::ifstream page(out + "/index.html"), data(out + "/ontology.json");
  const std::string html((std::istreambuf_iterator<char>(page)), {});
  for (const char* part : {"Task graph", "drawer_open.pull", "How much tags are believed", "What was decided",
                           "Segmentation against the truth", "episode-robot-a-0"})
    CHECK_MESSAGE(html.find(part) != std::string::npos, part);
  CHECK(html.find("http://") == std::string::npos);  // works offline
  CHECK(html.find("https://") == std::string::npos);
  const json all = json::parse(data);
  CHECK(all["segmentation"]["boundary_f1_100ms"] > 0.95);
  CHECK(all["trust"]["tags"].size() == 8);
}

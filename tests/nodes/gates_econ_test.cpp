// drover gates, drover econ quote and market as an operator meets them, and nodes that do not start with other gates.
#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "actors/econ/gates.hpp"
#include "tests/nodes/program.hpp"
#include "tests/nodes/temp.hpp"

using namespace drover;
using drover::test::drover_run;
using drover::test::has;
using drover::test::make_store;
using drover::test::must;
using drover::test::Ran;
using drover::test::read_text;
using drover::test::TempDir;
using nlohmann::json;

namespace {

const std::string source = DROVER_SOURCE;
const std::string shipped = source + "/configs/gates";

std::string copy_gates(const TempDir& dir) {
  std::filesystem::create_directory(dir.file("gates"));
  for (const char* name : {"econ_lattice.toml", "lambda_budget.toml", "manifest.toml", "trust_net.toml"})
    std::filesystem::copy_file(shipped + "/" + name, dir.file("gates") + "/" + name);
  return dir.file("gates");
}

// Raises the synthetic share: what somebody might like to do.
void change_gates(const TempDir& dir) {
  std::string text = read_text(dir.file("gates/lambda_budget.toml"));
  text.replace(text.find("0.20"), 4, "0.35");
  dir.write("gates/lambda_budget.toml", text);
}

std::string robot_config(const TempDir& dir) {
  std::filesystem::create_directory(dir.file("spool"));
  return dir.write("robot.toml",
                   "[node]\nid = \"r1\"\n[store]\ndir = \"store\"\n[capture]\nsegment = false\nmappings_dir = \"" +
                       source + "/configs/mappings\"\necon_file = \"" + source +
                       "/configs/econ/default.toml\"\nbaseline_file = \"" + source +
                       "/configs/baselines/default.toml\"\nspool = [{path = \"spool\"}]\n");
}

// Packs of real deployments, weighed by the shipped gates.
std::vector<Datapack> weighed_packs(size_t count) {
  test::Rng rng(5);
  const auto gates = must(gates::Gates::load(shipped));
  std::vector<Datapack> packs;
  while (packs.size() < count) {
    Datapack pack = test::random_datapack(rng);
    if (pack.schema_version != schema_version_energy) continue;
    pack.condition.engine_type = "real";
    pack.attribution.source_type = SourceType::real;
    pack.task_name = pack.condition.task_name = "pick";
    pack.condition.price_per_unit = 0.5;
    pack.condition.vase_break_cost = 2;
    pack.episode_metrics_json = R"({"human_wage_usd_per_h":18.0,"units":40,"hours":1.0,"errors":2,"attempts":40})";
    REQUIRE(gates->apply(pack, std::abs(pack.attribution.delta_J)));
    packs.push_back(std::move(pack));
  }
  return packs;
}

}  // namespace

TEST_CASE("nodes/gates: a robot whose gates are missing or changed does not start") {
  const TempDir dir;
  const std::string config = robot_config(dir);
  Ran ran = drover_run("robot --config " + config);
  CHECK(ran.code != 0);
  CHECK(has(ran, "gates/manifest.toml"));
  copy_gates(dir);
  change_gates(dir);
  ran = drover_run("robot --config " + config);
  CHECK(ran.code != 0);
  CHECK(has(ran, "lambda_budget.toml"));
  CHECK(has(ran, "is not the gate that was frozen"));
  CHECK_FALSE(std::filesystem::exists(dir.file("store/data.mdb")));  // stopped before anything was made
}

TEST_CASE("nodes/gates: a coordinator whose gates are changed does not start") {
  const TempDir dir;
  REQUIRE(drover_run("enroll init --dir " + dir.file("pki")).code == 0);
  REQUIRE(
      drover_run("enroll node --dir " + dir.file("pki") + " --role coordinator --id centre --host localhost").code ==
      0);
  copy_gates(dir);
  change_gates(dir);
  const std::string tls = "pki/nodes/coordinator-centre/";
  const std::string config =
      dir.write("coordinator.toml",
                "[node]\nid = \"centre\"\n[store]\ndir = \"store\"\n[listen]\naddress = "
                "\"127.0.0.1:0\"\n[tls]\nca_file = \"" +
                    tls + "ca.pem\"\ncert_file = \"" + tls + "node.pem\"\nkey_file = \"" + tls + "node.key\"\n");
  const Ran ran = drover_run("coordinator --config " + config);
  CHECK(ran.code != 0);
  CHECK(has(ran, "is not the gate that was frozen"));
}

TEST_CASE("nodes/gates: show, verify and explain") {
  const TempDir dir;
  const auto shown = json::parse(drover_run("gates show --json --dir " + shipped).text);
  CHECK(shown["lambda"]["target_share"] == 0.2);
  CHECK(shown["lambda"]["cap_share"] == 0.4);
  const std::string pin = shown["manifest_sha256"];
  CHECK(drover_run("gates verify --dir " + shipped + " --manifest-sha256 " + pin).code == 0);
  CHECK(drover_run("gates verify --dir " + shipped + " --manifest-sha256 " + std::string(64, 'a')).code == 1);
  const std::string copy = copy_gates(dir);
  CHECK(drover_run("gates verify --dir " + copy).code == 0);
  change_gates(dir);
  CHECK(drover_run("gates verify --dir " + copy).code == 1);

  std::vector<Datapack> packs = weighed_packs(20);
  make_store(dir.file("good"), packs);
  const auto good =
      json::parse(drover_run("gates verify --json --dir " + shipped + " --store " + dir.file("good")).text);
  CHECK(good["packs"]["agree"] == 20);
  CHECK(good["packs"]["differ"] == 0);
  packs[7].attribution.w_econ += 0.125;  // somebody made a record heavier
  make_store(dir.file("bad"), packs);
  const Ran bad = drover_run("gates verify --dir " + shipped + " --store " + dir.file("bad"));
  CHECK(bad.code == 1);
  CHECK(has(bad, packs[7].pack_id + ": w_econ"));
  const Ran why = drover_run("gates explain " + packs[3].pack_id + " --dir " + shipped + " --store " + dir.file("bad"));
  CHECK(why.code == 0);
  CHECK(has(why, "recorded   the same"));
  CHECK(drover_run("gates explain nobody --dir " + shipped + " --store " + dir.file("bad")).code == 1);
}

TEST_CASE("nodes/econ: a quote prints the arithmetic and the same in integers") {
  const std::string words =
      "econ quote --customer plant-b --share 0.4 --hours 500 --price 0.5 --robot-wage 16 --human-wage 18 --expected 2 "
      "--kappa 0.7 --discount 0.3 --premium 0.8";
  const Ran text = drover_run(words);
  CHECK(text.code == 0);
  CHECK(has(text, "8000.000000 $ - 63.000000 $ + 112.000000 $"));
  CHECK(has(text, "8049.000000 $"));
  const auto quote = json::parse(drover_run(words + " --json").text);
  CHECK(quote["final_micro"] == 8'049'000'000);
  CHECK(quote["cap_micro"] == 9'000'000'000);
  CHECK(quote["sharing_tier"] == "partial_share");
  const Ran missing = drover_run("econ quote --customer a --hours 1 --price 1 --robot-wage 1 --human-wage 1 --kappa 1");
  CHECK(missing.code == 1);
  CHECK(has(missing, "--expected"));
  CHECK(drover_run(words + " --tier full").code == 1);  // does not agree with S = 0.4
  CHECK(drover_run(words + " --record").code == 1);     // nothing to write it into
}

TEST_CASE("nodes/econ: a quote from a store takes the datapack's wages, and contracts theirs") {
  const TempDir dir;
  const auto packs = weighed_packs(3);
  make_store(dir.file("store"), packs);
  const std::string words = "econ quote --json --customer plant-c --contracts " + source +
                            "/configs/econ/contracts.toml --store " + dir.file("store") + " --pack " + packs[0].pack_id;
  const auto quote = json::parse(drover_run(words + " --expected 1 --kappa 0.5").text);
  CHECK(quote["inputs"]["robot_wage_per_h_micro"] == 16'000'000);  // 0.5 $ * 40 - 2 $ * 0.05 * 40
  CHECK(quote["base_micro"] == int64_t{16'000'000} * 2000);
  CHECK(quote["premium_micro"] == 500'000'000);  // 0.5 $ * 0.5 * 1 * 2000 h, all of it withheld
  const Ran none = drover_run(words);
  CHECK(none.code == 1);
  CHECK(has(none, "no model has valued this datapack yet"));
}

TEST_CASE("nodes/econ: the market gives the same bytes again, and says when it found no fixed point") {
  const std::string words =
      "econ market --config " + source + "/configs/econ/market.toml --customers 40 --rates 0.2,0.8";
  const Ran first = drover_run(words + " --json --seed 3");
  CHECK(first.code == 0);
  CHECK(first.text == drover_run(words + " --json --seed 3").text);
  CHECK(first.text != drover_run(words + " --json --seed 4").text);
  CHECK(json::parse(first.text)["rows"][0]["converged"] == true);
  CHECK(has(drover_run(words + " --iterations 2"), "NOT FOUND"));
  const Ran checked = drover_run("econ market --check-surplus 20000 --json");
  CHECK(checked.code == 0);
  CHECK(json::parse(checked.text)["violations"] == 0);
  CHECK(drover_run("econ market --rates 2").code == 1);
}

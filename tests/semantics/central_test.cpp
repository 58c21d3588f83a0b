// The pipeline behind a coordinator's store: each datapack is learnt from once, whatever crashes.
#include <algorithm>
#include <caf/event_based_actor.hpp>
#include <filesystem>
#include <fstream>

#include "actors/runtime/simulation.hpp"
#include "actors/semantics/central_publish.hpp"
#include "actors/semantics/knowledge_queries.hpp"
#include "actors/semantics/semantics_actor.hpp"
#include "actors/sync/store_messages.hpp"
#include "tests/semantics/centre.hpp"

namespace drover::semantics {
namespace {

using nlohmann::json;
using test::Centre;
using test::must;

}  // namespace

TEST_CASE("semantics/central: datapacks of all robots are learnt from once, and their enrichments are stored") {
  Centre centre;
  auto semantics = centre.open();
  CHECK(centre.run(*semantics).datapacks == 0);
  centre.send("robot-a", 0, 40);
  centre.send("robot-b", 0, 40);
  CHECK(centre.run(*semantics).datapacks == 80);
  CHECK(centre.run(*semantics).datapacks == 0);
  const Ontology& ontology = semantics->pipeline().orchestrator().ontology().current();
  CHECK(ontology.find("affordance:drawer/pullable") != nullptr);
  CHECK(ontology.find("affordance:handle/graspable") != nullptr);
  REQUIRE(ontology.find("fragility:drawer/locked") != nullptr);
  CHECK(ontology.find("fragility:drawer/locked")->source == Source::real_log);
  CHECK(semantics->pipeline().orchestrator().explain_text("fragility:drawer/locked")->find("episode-robot-a-0") !=
        std::string::npos);
  CHECK(centre.records().size() >= 80);
  // The centre takes them as it takes those of a robot.
  const auto applied = must(centre.store->apply({"@semantics", 1}, 64u << 20));
  CHECK(applied.records == centre.records().size());
  CHECK(applied.rejected == 0);
}

namespace {

// As the files of a process that died: `kept` is what was on the disk.
using Files = std::map<std::string, std::string>;
Files files_of(const std::string& folder) {
  Files out;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream in(entry.path(), std::ios::binary);
    out[entry.path().filename()].assign(std::istreambuf_iterator<char>(in), {});
  }
  return out;
}
void put_back(const std::string& folder, const Files& kept) {
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  for (const auto& [name, text] : kept) std::ofstream(folder + "/" + name, std::ios::binary) << text;
}

}  // namespace

TEST_CASE("semantics/central: a crash at any moment changes nothing in the end") {
  // Small checkpoints too: after every step, now and then, and never.
  for (const uint64_t checkpoint_bytes : {uint64_t{1}, uint64_t{20'000}, uint64_t{16} << 20}) {
    Centre calm, crashing;
    calm.checkpoint_bytes = crashing.checkpoint_bytes = checkpoint_bytes;
    const std::string folder = crashing.folder / "semantics";
    auto undisturbed = calm.open();
    for (uint64_t i = 0; i < 6; ++i) {
      calm.send("robot-a", 20 * i, 20);
      crashing.send("robot-a", 20 * i, 20);
      calm.run(*undisturbed);
      if (i == 3) must(undisturbed->documents());  // evidence that is counted is part of the state
      const Files before = i == 0 ? Files() : files_of(folder);
      {
        auto semantics = crashing.open();
        crashing.run(*semantics);
        if (i == 3) must(semantics->documents());
      }
      // Once more from the files before the step, when its records are in the inbox already; and from those after it.
      if (i % 2 == 1 && i != 3) {
        put_back(folder, before);
        CHECK(crashing.run(*crashing.open()).datapacks == 20);
      }
      CHECK(crashing.run(*crashing.open()).datapacks == 0);
    }
    CHECK(crashing.records() == calm.records());
    auto again = crashing.open();
    must(again->catch_up(*crashing.store));
    CHECK(again->pipeline().save() == undisturbed->pipeline().save());
    CHECK(must(again->documents()) == must(undisturbed->documents()));
  }
}

TEST_CASE("semantics/central: a process that died before its records were appended appends them when it is back") {
  Centre calm, dying;
  calm.send("robot-a", 0, 20);
  dying.send("robot-a", 0, 20);
  calm.run(*calm.open());
  dying.run(*dying.open());
  const Files after = files_of(dying.folder / "semantics");
  // The same files, and a store where nothing was appended.
  Centre other;
  other.send("robot-a", 0, 20);
  put_back(other.folder / "semantics", after);
  CHECK(other.run(*other.open()).datapacks == 0);
  CHECK(other.records() == calm.records());
  CHECK(other.records().size() >= 20);
}

TEST_CASE("semantics/central: a step costs a line; what cannot be read of the log's end was never acted on") {
  Centre centre;
  auto semantics = centre.open();
  centre.send("robot-a", 0, 400);
  centre.run(*semantics);
  const CentralCosts before = semantics->costs();
  CHECK(before.checkpoints == 1);  // of the empty beginning
  centre.send("robot-a", 400, 1);
  centre.run(*semantics);
  CHECK(semantics->costs().log_bytes - before.log_bytes < 150);
  CHECK(semantics->costs().checkpoint_bytes == before.checkpoint_bytes);
  CHECK(before.write_amplification() < 1.5);
  const std::string whole = semantics->pipeline().save();
  semantics.reset();

  const std::string log = centre.folder / "semantics/steps-1.log";
  const auto size = std::filesystem::file_size(log);
  for (const uintmax_t cut : {size - 1, size - 20, size - 60}) {
    std::filesystem::resize_file(log, cut);
    auto torn = centre.open();
    CHECK(centre.run(*torn).datapacks == 1);  // the last step again
    CHECK(torn->pipeline().save() == whole);
    CHECK(std::filesystem::file_size(log) == size);
  }
  // Damage in the middle is not a torn end.
  std::fstream file(log, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(3);
  file.put('#');
  file.close();
  CHECK(centre.try_open().error().code == Errc::corrupt);
}

TEST_CASE("semantics/central: an inbox that lost what was learnt from is told, not guessed") {
  Centre centre;
  centre.send("robot-a", 0, 40);
  centre.run(*centre.open());
  Centre other;  // the state of one store beside another
  other.send("robot-a", 0, 10);
  put_back(other.folder / "semantics", files_of(centre.folder / "semantics"));
  auto semantics = other.open();
  CHECK(semantics->catch_up(*other.store).error().code == Errc::corrupt);
  CHECK_FALSE(semantics->usable());
  CHECK(semantics->step(*other.store).error().code == Errc::refused);
}

TEST_CASE("semantics/central: others look at it beside the process that learns, and change nothing") {
  Centre centre;
  CHECK(centre.try_open(true).error().code == Errc::not_found);
  CHECK_FALSE(std::filesystem::exists(centre.folder / "semantics"));
  auto semantics = centre.open();
  centre.send("robot-a", 0, 80);
  centre.run(*semantics);
  const Files before = files_of(centre.folder / "semantics");
  const auto looking = must(centre.try_open(true));
  must(looking->catch_up(*centre.store));
  CHECK(looking->pipeline().save() == semantics->pipeline().save());
  CHECK(looking->step(*centre.store).error().code == Errc::refused);
  CHECK(looking->documents().error().code == Errc::refused);
  CHECK(files_of(centre.folder / "semantics") == before);

  const auto view = semantics->view();
  const auto ask = [&](const json& request) {
    return json::parse(must(answer_knowledge(*view, request.dump(), {size_t{1} << 20})));
  };
  CHECK(ask({{"call", "ontology.facts"}})["metrics"]["episodes"] == 80);
  const json nodes = ask({{"call", "ontology.show"}, {"kind", "fragility"}})["nodes"];
  REQUIRE(nodes.size() == 1);
  CHECK(nodes[0]["id"] == "fragility:drawer/locked");
  CHECK(ask({{"call", "ontology.tasks"}})["tasks"].size() > 10);
  CHECK(ask({{"call", "ontology.trust"}})["tags"].size() == tag_kind_count);
  const json decisions = ask({{"call", "ontology.decisions"}, {"verdict", "applied"}})["decisions"];
  REQUIRE(!decisions.empty());
  for (const json& d : decisions) {  // all of them, down to episodes
    const json chain = ask({{"call", "ontology.explain"}, {"id", d["id"]}})["chain"];
    CHECK(chain.dump().find("episode-robot-a-") != std::string::npos);
  }
  CHECK(answer_knowledge(*view, R"({"call":"ontology.explain","id":"d-9999"})", {1u << 20}).error().code ==
        Errc::not_found);
  CHECK(answer_knowledge(*view, R"({"call":"ontology.show","knd":"x"})", {1u << 20}).error().where == "knd");
  CHECK(answer_knowledge(*view, R"({"call":"ontology.nothing"})", {1u << 20}).error().where == "call");
  const json cut = json::parse(must(answer_knowledge(*view, R"({"call":"ontology.tasks"})", {2000})));
  CHECK(cut["truncated"] == true);
}

TEST_CASE("semantics/central: without its state it learns the same again in a new life of its stream") {
  Centre centre;
  centre.send("robot-a", 0, 30);
  std::string first;
  {
    auto semantics = centre.open();
    centre.run(*semantics);
    first = semantics->pipeline().save();
  }
  std::filesystem::remove(CentralSemantics::state_path(centre.folder / "semantics"));
  auto semantics = centre.open();
  CHECK(centre.run(*semantics).datapacks == 30);
  CHECK(semantics->pipeline().save() == first);
  const auto streams = must(centre.store->streams());
  CHECK(std::count_if(streams.begin(), streams.end(), [](const auto& s) { return s.robot == "@semantics"; }) == 2);
}

TEST_CASE("semantics/central: a damaged state says so and is not overwritten") {
  Centre centre;
  centre.send("robot-a", 0, 20);
  {
    auto semantics = centre.open();
    centre.run(*semantics);
  }
  const std::string state = CentralSemantics::state_path(centre.folder / "semantics");
  std::filesystem::resize_file(state, std::filesystem::file_size(state) / 2);
  CentralSemanticsOptions options;
  options.folder = centre.folder / "semantics";
  options.configs = test::config_path("");
  CHECK(CentralSemantics::open(options).error().code == Errc::corrupt);
}

TEST_CASE("semantics/actor: a coordinator learns while robots send, and publishes what changed to them") {
  Centre centre;
  runtime::Simulation sim(11);
  SemanticsActorConfig config;
  config.central.folder = centre.folder / "semantics";
  config.central.configs = test::config_path("");
  config.key = must(generate_ed25519());
  config.board = std::make_shared<KnowledgeBoard>();
  CHECK(answer_knowledge(*config.board, R"({"call":"ontology.facts"})").error().code == Errc::not_found);
  runtime::Environment& env = sim.environment();
  struct Told {
    std::vector<sync::StreamId> streams;
  } told;
  const caf::actor listener = env.spawn(
      [&told](caf::event_based_actor*, int) -> caf::behavior {
        return {[&told](const sync::InboxGrew& grew) { told.streams = grew.streams; }};
      },
      0);
  env.directory().bind("centre", listener);
  const caf::actor actor = spawn_semantics(env, config, centre.store, env.ref("centre"));
  sim.run_for(5000);
  CHECK(must(centre.store->knowledge()).version == 0);  // nothing was learnt yet
  centre.send("robot-a", 0, 60);
  sim.run_for(15'000);
  const auto first = must(centre.store->knowledge());
  CHECK(first.version >= 1);
  const auto sealed = must(decode_signed_knowledge(first.bytes));
  CHECK(verify_knowledge(sealed, config.key->public_key));
  const auto held = must(read_knowledge(must(decode_knowledge(sealed.body)).documents));
  CHECK(held.ontology.find("fragility:drawer/locked") != nullptr);
  // Operators see the version that the robots take.
  CHECK(is_knowledge_query(R"({"call":"ontology.facts"})"));
  CHECK_FALSE(is_knowledge_query(R"({"call":"packs.list"})"));
  const json facts = json::parse(must(answer_knowledge(*config.board, R"({"call":"ontology.facts"})")));
  CHECK(facts["sha256"] == held.hash);
  CHECK(facts["ontology_version"] == held.ontology_version);
  CHECK(facts["metrics"]["episodes"] == 60);
  sim.run_for(60'000);
  CHECK(must(centre.store->knowledge()).version == first.version);  // nothing new, nothing published
  CHECK(sim.log_count("semantics.failed") == 0);
  CHECK(sim.log_count("semantics.learnt") >= 1);
  CHECK(told.streams == std::vector<sync::StreamId>{{"@semantics", 1}});
  caf::anon_send_exit(listener, caf::exit_reason::kill);
  caf::anon_send_exit(actor, caf::exit_reason::kill);
  sim.drain();
}

TEST_CASE("semantics/actor: without its configuration it says so once and goes on trying") {
  Centre centre;
  runtime::Simulation sim(12);
  SemanticsActorConfig config;
  config.central.folder = centre.folder / "semantics";
  config.central.configs = centre.folder / "nowhere";
  const caf::actor actor = spawn_semantics(sim.environment(), config, centre.store);
  sim.run_for(20'000);
  CHECK(sim.log_count("warn semantics.failed") == 1);
  caf::anon_send_exit(actor, caf::exit_reason::kill);
  sim.drain();
}

}  // namespace drover::semantics

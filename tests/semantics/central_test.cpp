// The pipeline behind a coordinator's store: each datapack is learnt from once, whatever crashes.
#include <algorithm>
#include <caf/event_based_actor.hpp>
#include <filesystem>
#include <fstream>

#include "actors/runtime/simulation.hpp"
#include "actors/semantics/central_publish.hpp"
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
  const auto applied = must(centre.store->apply({"semantics", 1}, 64u << 20));
  CHECK(applied.records == centre.records().size());
  CHECK(applied.rejected == 0);
}

TEST_CASE("semantics/central: a crash after any file was written changes nothing in the end") {
  Centre calm;
  {
    auto semantics = calm.open();
    for (uint64_t i = 0; i < 5; ++i) {
      calm.send("robot-a", 20 * i, 20);
      calm.run(*semantics);
    }
  }
  Centre crashing;
  const std::string state = CentralSemantics::state_path(crashing.folder / "semantics");
  std::string written;
  for (uint64_t i = 0; i < 5; ++i) {
    crashing.send("robot-a", 20 * i, 20);
    {
      auto semantics = crashing.open();
      must(semantics->step(*crashing.store));
    }
    // The state with its pending records, as it was when the process died before they were appended; and again after.
    std::ifstream in(state, std::ios::binary);
    written.assign(std::istreambuf_iterator<char>(in), {});
    CHECK(json::parse(written)["pending"].size() >= 20);
    for (int again = 0; again < 2; ++again) {
      auto semantics = crashing.open();
      CHECK(crashing.run(*semantics).datapacks == 0);
    }
  }
  CHECK(crashing.records() == calm.records());
  auto a = calm.open(), b = crashing.open();
  CHECK(a->pipeline().save() == b->pipeline().save());
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
  CHECK(std::count_if(streams.begin(), streams.end(), [](const auto& s) { return s.robot == "semantics"; }) == 2);
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
  sim.run_for(60'000);
  CHECK(must(centre.store->knowledge()).version == first.version);  // nothing new, nothing published
  CHECK(sim.log_count("semantics.failed") == 0);
  CHECK(sim.log_count("semantics.learnt") >= 1);
  CHECK(told.streams == std::vector<sync::StreamId>{{"semantics", 1}});
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

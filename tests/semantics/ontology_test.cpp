#include "actors/semantics/ontology.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "actors/runtime/rng.hpp"
#include "actors/semantics/concepts.hpp"
#include "tests/semantics/support.hpp"

using namespace drover;
using namespace drover::semantics;
using test::proposal;

TEST_CASE("semantics/ontology: all nine kinds of proposals make or change what they say") {
  OntologyStore store = test::seed_ontology();
  const auto apply = [&](const Proposal& p) {
    CHECK_MESSAGE(validate(p, test::vocabulary()), p.fact_key());
    const auto done = store.apply(p);
    REQUIRE_MESSAGE(done, done.error().message());
    return *done;
  };
  using T = ProposalType;
  CHECK(apply(proposal(T::add_affordance, "drawer", "pullable")) == ApplyOutcome::created);
  CHECK(apply(proposal(T::adjust_risk, "drawer", "", 0.5)) == ApplyOutcome::changed);
  CHECK(apply(proposal(T::infer_fragility, "handle", "grasp_slip", 0.6)) == ApplyOutcome::created);
  CHECK(apply(proposal(T::add_object_category, "", "bottle", 0.4)) == ApplyOutcome::created);
  CHECK(apply(proposal(T::add_semantic_tag, "bottle", "fragile")) == ApplyOutcome::changed);
  CHECK(apply(proposal(T::add_skill_gate, "bottle", "lift", 0.8)) == ApplyOutcome::created);
  CHECK(apply(proposal(T::add_safety_constraint, "bottle", "max_force_N", 25.0)) == ApplyOutcome::created);
  CHECK(apply(proposal(T::add_energy_heuristic, "drawer", "pull", 0.02)) == ApplyOutcome::created);
  CHECK(apply(proposal(T::update_object_relationship, "bottle", "on", {}, "rack")) == ApplyOutcome::created);
  CHECK(store.current().unpaired_fragilities().size() == 1);
  CHECK(apply(proposal(T::update_object_relationship, "handle/grasp_slip", "recovered_by", {}, "re_grasp")) ==
        ApplyOutcome::created);
  CHECK(store.current().unpaired_fragilities().empty());
  CHECK(store.current().risk_of("drawer") == 0.5);
  CHECK(store.current().has_tag("bottle", "fragile"));
  CHECK(store.current().find("recovery:handle/grasp_slip/re_grasp") != nullptr);
  CHECK(store.current().orphans().empty());
  CHECK(store.write_amplification() == 1.0);
  const uint64_t sealed = store.seal();
  CHECK(sealed == 2);
  CHECK(store.seal() == 2);
  CHECK(store.changes_since(1)->size() == 10);
  CHECK(store.changes_since(2)->empty());
}

TEST_CASE("semantics/ontology: a thousand equal discoveries are one node with a count") {
  OntologyStore store = test::seed_ontology();
  const size_t before = store.current().nodes.size();
  for (int i = 0; i < 1000; ++i) {
    Proposal p = proposal(ProposalType::infer_fragility, "drawer", "locked", 0.6);
    p.evidence = {};
    p.evidence.add("episode-" + std::to_string(i), "", 0, 0);
    REQUIRE(store.apply(p));
    REQUIRE(store.apply(p));  // the same act, told again
  }
  CHECK(store.current().nodes.size() == before + 1);
  const OntologyNode* node = store.current().find("fragility:drawer/locked");
  CHECK(node->evidence.count() == 1000);
  CHECK(node->evidence.first().size() == EvidenceTrail::first_max);
  CHECK(store.writes() == 1);
}

TEST_CASE("semantics/ontology: nothing hangs on what is not there") {
  OntologyStore store = test::seed_ontology();
  const auto refused = store.apply(proposal(ProposalType::add_affordance, "bottle", "graspable"));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().where == "object:bottle");
  CHECK_FALSE(store.apply(proposal(ProposalType::update_object_relationship, "vase", "on", {}, "bottle")));
  CHECK_FALSE(
      store.apply(proposal(ProposalType::update_object_relationship, "vase/drop", "recovered_by", {}, "retry")));
  CHECK(store.writes() == 0);
}

TEST_CASE("semantics/ontology: a source of lower rank does not overrule a higher one, whatever its confidence") {
  OntologyStore store = test::seed_ontology();
  Proposal real = proposal(ProposalType::adjust_risk, "drawer", "", 0.6);
  real.source = Source::real_log;
  real.confidence = 0.5;
  Proposal sim = proposal(ProposalType::adjust_risk, "drawer", "", 0.1);
  sim.confidence = 0.99;
  REQUIRE(store.apply(real));
  const auto refused = store.apply(sim);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::refused);
  CHECK(refused.error().what.find("real_log") != std::string::npos);
  CHECK(store.current().risk_of("drawer") == 0.6);
  sim.source = Source::real_log;
  CHECK(*store.apply(sim) == ApplyOutcome::changed);
}

TEST_CASE("semantics/ontology: a snapshot stays as it was") {
  OntologyStore store = test::seed_ontology();
  const auto held = store.snapshot();
  REQUIRE(store.apply(proposal(ProposalType::adjust_risk, "vase", "", 0.9)));
  CHECK(held->risk_of("vase") == 0.7);
  CHECK(store.current().risk_of("vase") == 0.9);
}

TEST_CASE("semantics/ontology: its document reads back to the same bytes, and damage is refused") {
  OntologyStore store = test::seed_ontology();
  REQUIRE(store.apply(proposal(ProposalType::infer_fragility, "drawer", "locked", 0.6)));
  REQUIRE(store.apply(
      proposal(ProposalType::update_object_relationship, "drawer/locked", "recovered_by", {}, "wiggle_pull")));
  store.seal();
  const std::string text = store.json();
  const auto again = OntologyStore::restore(text);
  REQUIRE_MESSAGE(again, again.error().message());
  CHECK(again->json() == text);
  CHECK(again->current().nodes == store.current().nodes);
  CHECK(again->write_amplification() == store.write_amplification());
  CHECK_FALSE(OntologyStore::restore(text.substr(0, text.size() / 2)));
  auto json = nlohmann::json::parse(text);
  auto& nodes = json["nodes"];
  nodes.erase(std::find_if(nodes.begin(), nodes.end(), [](const auto& n) { return n["id"] == "object:drawer"; }));
  const auto orphaned = OntologyStore::restore(json.dump());
  REQUIRE_FALSE(orphaned);
  CHECK(orphaned.error().what.find("hangs on") != std::string::npos);
  json["format"] = "drover.ontology.v9";
  CHECK(OntologyStore::restore(json.dump()).error().code == Errc::unsupported_version);
}

TEST_CASE("semantics/concepts: a primitive maps to what it shows, else to its object, else to nothing") {
  OntologyStore store = test::seed_ontology();
  Primitive p;
  p.label = Label::pull;
  p.object_category = "cabinet_drawer";
  const auto mapped = [&] {
    const auto match = OntologyConcepts(test::vocabulary(), store.snapshot()).closest(p);
    return match ? match->concept_id : std::string("none");
  };
  CHECK(mapped() == "object:drawer");
  REQUIRE(store.apply(proposal(ProposalType::add_affordance, "drawer", "pullable")));
  CHECK(mapped() == "affordance:drawer/pullable");
  p.outcome = semantics::Outcome::failure;
  p.reason = Reason::locked;
  CHECK(mapped() == "object:drawer");
  REQUIRE(store.apply(proposal(ProposalType::infer_fragility, "drawer", "locked", 0.6)));
  CHECK(mapped() == "fragility:drawer/locked");
  p.object_category = "flux capacitor";
  CHECK(mapped() == "none");
}

TEST_CASE("semantics/ontology: a bad seed names every problem") {
  const auto read = OntologyStore::from_seed(
      "[object]\ndrawer = { risk = 2 }\nunicorn = { }\n[[affordance]]\nobject = \"cup\"\nname = \"graspable\"\n",
      "s.toml", test::vocabulary());
  REQUIRE_FALSE(read);
  for (const char* part : {"s.toml:2", "object.unicorn", "does not list"})
    CHECK_MESSAGE(read.error().what.find(part) != std::string::npos, part, " in ", read.error().what);
}

TEST_CASE("semantics/proposal: conflicts are settled by source, then confidence, then id, in any order of arrival") {
  std::vector<Proposal> all;
  const Source sources[] = {Source::diffusion, Source::vla, Source::sima2, Source::econ_signals, Source::real_log};
  for (const Source source : sources) {
    for (const double risk : {0.1, 0.2, 0.3}) {
      Proposal p = proposal(ProposalType::adjust_risk, "vase", "", risk);
      p.source = source;
      p.confidence = risk < 0.25 ? 0.9 : 0.7;
      all.push_back(p);
      p.target = "drawer";
      all.push_back(p);
    }
  }
  all.push_back(proposal(ProposalType::add_affordance, "drawer", "pullable"));
  all.push_back(proposal(ProposalType::add_affordance, "drawer", "pullable"));
  all.back().evidence = {};
  all.back().evidence.add("another", "", 0, 0);
  const Reconciled first = reconcile(all);
  CHECK(first.standing.size() == 3);
  CHECK(first.outranked.size() == 20);  // of 28; 8 say what the one that stands says and are its evidence
  runtime::Rng rng(7);
  for (int round = 0; round < 50; ++round) {
    for (size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[rng.below(i)]);
    const Reconciled again = reconcile(all);
    REQUIRE(again.standing.size() == 3);
    for (size_t i = 0; i < 3; ++i) CHECK(again.standing[i].id() == first.standing[i].id());
  }
  for (const Proposal& p : first.standing) {
    if (p.type == ProposalType::add_affordance) {
      CHECK(p.evidence.count() == 2);
      continue;
    }
    CHECK(p.source == Source::real_log);
    CHECK(p.confidence == 0.9);
  }
}

TEST_CASE("semantics/proposal: what is not well formed is refused by field and word") {
  const auto bad = [](Proposal p, const char* field) {
    const Status status = validate(p, test::vocabulary());
    REQUIRE_FALSE(status);
    CHECK(status.error().where == field);
  };
  using T = ProposalType;
  bad(proposal(T::add_affordance, "spaceship", "pullable"), "target");
  bad(proposal(T::add_affordance, "drawer", "openable"), "name");  // a synonym is no term: map first
  bad(proposal(T::adjust_risk, "drawer", "", 1.5), "value");
  bad(proposal(T::adjust_risk, "drawer", "", 0.0 / 0.0), "value");
  bad(proposal(T::adjust_risk, "drawer", "", std::string("high")), "value");
  bad(proposal(T::update_object_relationship, "drawer", "on", {}, "drawer"), "other");
  bad(proposal(T::update_object_relationship, "drawer", "recovered_by", {}, "retry"), "target");
  Proposal p = proposal(T::add_affordance, "drawer", "pullable");
  p.confidence = 0.0 / 0.0;
  bad(p, "confidence");
  p.confidence = 1;
  p.source = Source::seed;
  bad(p, "source");
}

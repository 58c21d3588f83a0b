// Value and money end to end: real logs to datapacks, expectations to true-ups, and the whole loop.
#include <caf/send.hpp>
#include <cstdlib>

#include "actors/capture/source.hpp"
#include "actors/datapack/captured_facts.hpp"
#include "actors/datapack/novelty_keeper.hpp"
#include "actors/econ/econ_actor.hpp"
#include "actors/econ/study.hpp"
#include "actors/runtime/simulation.hpp"
#include "tests/econ/books.hpp"

namespace drover::econ {
namespace {

using namespace test;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// The cycles of the first UR3 log; empty, with a message, without shared data.
std::vector<Datapack> ur3_packs() {
  const std::string folder = environment("DROVER_SHARED_DATA") + "/ur3_cobotops";
  const std::string source = environment("DROVER_SOURCE_DIR");
  std::vector<Datapack> packs;
  if (environment("DROVER_SHARED_DATA").empty() || source.empty() || !std::filesystem::exists(folder)) {
    MESSAGE("skipped: no shared data, or DROVER_SOURCE_DIR is not set");
    return packs;
  }
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".csv") paths.push_back(entry.path().string());
  std::sort(paths.begin(), paths.end());
  REQUIRE(!paths.empty());
  const auto mappings = must(capture::load_mappings(source + "/configs/mappings"));
  const auto preset = must(load_econ_preset(source + "/configs/econ/default.toml"));
  const auto file = must(mcap::file_source(paths.front()));
  capture::CaptureOptions options;
  options.robot = "ur3";
  const auto log =
      must(capture::open_log(std::filesystem::path(paths.front()).filename().string(), file, mappings, options));
  datapack::BaselineState state;
  for (;;) {
    const auto episode = must(log->next());
    if (!episode) return packs;
    auto built =
        must(datapack::build_datapack(datapack::facts_of(*episode), {datapack::BaselineRule{}, state}, preset));
    state = built.next_state;
    packs.push_back(std::move(built.pack));
  }
}

std::string difference(const CentralEcon& econ) {
  return must(econ.env().read([&](const storage::ReadTxn& txn) { return econ.ledger().verify(txn); })).difference;
}

std::vector<Reconciliation> results(const CentralEcon& econ) {
  std::vector<Reconciliation> all;
  must(econ.for_each_result([&](const Reconciliation& r) -> Result<bool> {
    all.push_back(r);
    return true;
  }));
  return all;
}

void send(Centre& centre, const std::vector<Datapack>& packs, size_t from, size_t to) {
  std::vector<Fact> facts;
  for (size_t i = from; i < std::min(to, packs.size()); ++i) facts.push_back(fact_of(packs[i]));
  centre.append(facts);
}

}  // namespace

TEST_CASE("econ/real_log_to_datapack: cycles of a real arm are real, trusted, valued, and kept by the centre") {
  const auto packs = ur3_packs();
  if (packs.empty()) return;
  Centre centre;
  send(centre, packs, 0, packs.size());
  centre.apply();
  const auto s = must(centre.store().central_env().read(
      [&](const storage::ReadTxn& txn) { return centre.store().packs().statistics(txn, packs[0].task_name); }));
  CHECK(s.total == packs.size());
  CHECK(s.trust_mean == 1.0);
  CHECK(s.source_types.at("real") == packs.size());
  for (const Datapack& pack : packs) {
    CHECK(pack.attribution.trust_score == 1.0);
    const auto outcome = outcome_of(pack);
    REQUIRE(outcome.has_value());
    CHECK(outcome->metrics.mpl_units_per_h.has_value());
  }
}

TEST_CASE("econ/ex_post_reconciliation: quoted before, trued up after, less wrong with every month") {
  Centre centre;
  ReconcileConfig config;
  config.customers.push_back({"*", "plant-a", 1.0, 8});
  auto econ = centre.econ(config);
  const auto packs = deployments("r1", 300, 17);
  for (size_t at = 0; at < packs.size(); at += 30) {
    send(centre, packs, at, at + 30);
    must(econ->run(centre.store()));
  }
  const auto all = results(*econ);
  REQUIRE(all.size() == 300);
  uint64_t refunds = 0, charges = 0;
  for (const Reconciliation& r : all) {
    refunds += r.true_up > 0 ? 1 : 0;
    charges += r.true_up < 0 ? 1 : 0;
    CHECK(r.true_up == r.quoted - r.earned);
  }
  CHECK(refunds > 20);
  CHECK(charges > 20);
  const auto curve = error_curve(all, 60);
  REQUIRE(curve.size() == 5);
  CHECK(curve.back().model < 0.5 * curve.back().start);
  CHECK(curve.back().model < 0.6 * curve.front().model);
  CHECK(difference(*econ) == "");
  // Each dollar that was ever quoted or trued up stands in the accounts.
  MicroUsd net = 0;
  for (const Reconciliation& r : all) net += r.earned;
  const auto balance = must(econ->env().read(
      [&](const storage::ReadTxn& txn) { return econ->ledger().balance(txn, "customer/plant-a", "USD"); }));
  REQUIRE(balance.has_value());
  CHECK(balance->micro == -net);
}

TEST_CASE("econ/stage5_pipeline: real logs to datapacks to reconciliation to the next prediction") {
  auto packs = ur3_packs();
  if (packs.empty()) packs = deployments("ur3", 200, 3);
  Centre centre;
  ReconcileConfig config;
  config.customers.push_back({"ur3", "plant-a", 0.5, 40});
  auto econ = centre.econ(config);
  // A deployment is quoted before it runs.
  const size_t quoted = packs.size() / 2;
  send(centre, packs, 0, quoted);
  centre.apply();
  must(econ->run(centre.store()));
  AskedPrediction asked;
  asked.pack_id = packs[quoted].pack_id;
  asked.customer_id = "plant-a";
  asked.task_name = packs[quoted].task_name;
  asked.basis = basis_deployment;
  asked.made_unix_ns = packs[quoted].provenance.start_unix_ns;
  asked.condition = packs[quoted].condition;
  asked.base_mpl_units_per_h = base_mpl_of(packs[quoted]);
  const Prediction quote = econ->estimator().predict(asked);
  must(econ->record(centre.store(), quote));
  send(centre, packs, quoted, packs.size());
  centre.apply();
  must(econ->run(centre.store()));
  const auto counts = must(econ->counts());
  CHECK(counts.predictions == packs.size());
  CHECK(counts.reconciliations == packs.size());
  CHECK(must(econ->predictions(packs[quoted].pack_id)).at(0) == quote);
  // A late measurement corrects one of them.
  must(append_outcome(centre.store(), {packs[quoted].pack_id, "plant-a", R"({"mpl_units_per_h":1})",
                                       packs.back().provenance.end_unix_ns}));
  must(econ->run(centre.store()));
  CHECK(must(econ->counts()).reconciliations == packs.size());
  // Value: novelty, then tiers and expectations from what surprised.
  datapack::NoveltyKeeper keeper(centre.store().central_env_to_write(), std::nullopt);
  while (must(keeper.step(64)).more) {
  }
  const auto tiers = must(econ->adjust_tiers(centre.store()));
  CHECK(!tiers.why.empty());
  must(centre.store().central_env().read([&](const storage::ReadTxn& txn) -> Status {
    const auto row = must(centre.store().packs().row(txn, packs.back().pack_id));
    REQUIRE(row.has_value());
    const auto value = must(centre.store().valuations().get(txn, row->id()));
    REQUIRE(value.has_value());
    CHECK(value->expected.has_value());
    CHECK(must(centre.store().valuations().thresholds(txn)).novelty_min == tiers.novelty_min);
    return {};
  }));
  CHECK(difference(*econ) == "");
  const auto all = results(*econ);
  const auto curve = error_curve(all, all.size() / 2);
  MESSAGE(all.size() << " reconciliations, mean |error| " << curve.back().model << " against " << curve.back().start
                     << " without learning; " << tiers.why);
  CHECK(curve.back().model <= 1.05 * curve.back().start);
}

TEST_CASE("econ/actor: keeps the books while robots send; the same records without it give the same books") {
  Centre centre;
  runtime::Simulation sim(5);
  EconActorConfig config;
  config.central.folder = centre.path() + "/econ";
  config.central.config.customers.push_back({"*", "*", 0.5, 10});
  config.central.sync = storage::Sync::nosync;
  const caf::actor actor = spawn_econ(sim.environment(), config, centre.shared());
  const auto a = deployments("r1", 40, 1), b = deployments("r2", 40, 2);
  for (size_t at = 0; at < 40; at += 8) {
    send(centre, a, at, at + 8);
    sim.run_for(3000);
    send(centre, b, at, at + 8);
    sim.run_for(at % 16 == 0 ? 5000 : 100);
  }
  sim.run_for(20'000);
  caf::anon_send_exit(actor, caf::exit_reason::kill);
  sim.drain();
  CHECK(sim.log_count("econ.failed") == 0);
  CHECK(sim.log_count("econ.reconciled") >= 5);
  CHECK(sim.log_count("econ.tiers") >= 1);
  auto live = centre.econ(config.central.config);
  auto offline = centre.econ(config.central.config, "offline");
  must(offline->run(centre.store()));
  CHECK(must(live->counts()).reconciliations == 80);
  CHECK(must(live->counts()).ledger.postings > 50);
  CHECK(tables(*offline) == tables(*live));
}

}  // namespace drover::econ

// The books: the same for the same history, whatever its order, repetition and restarts; and what they must not
// believe.
#include "tests/econ/books.hpp"

#include <algorithm>

namespace drover::econ {
namespace {

using namespace test;

const std::vector<std::string> money = storage::LedgerStore::databases();
const std::vector<std::string> facts_tables = {"ledger_journal", "ledger_balances", "ledger_totals", "econ_predictions",
                                               "econ_outcomes",  "econ_results",    "econ_packs"};

ReconcileConfig withholding() {
  ReconcileConfig config;
  config.customers.push_back({"*", "*", 0.5, 10});
  return config;
}

std::string zero_sums(const CentralEcon& econ) {
  const auto verdict = must(econ.env().read([&](const storage::ReadTxn& txn) { return econ.ledger().verify(txn); }));
  return verdict.difference;
}

// A month of a small fleet: deployments, measured outcomes that correct them, quotes for some.
struct History {
  std::map<std::string, std::vector<Fact>> streams;
  std::vector<Datapack> packs;
};
History history(uint64_t seed) {
  History h;
  Draw draw(seed);
  for (const char* robot : {"r1", "r2", "r3"}) {
    for (Datapack& pack : deployments(robot, 40, seed + static_cast<uint64_t>(robot[1]))) {
      h.streams[robot].push_back(fact_of(pack));
      for (double more = draw.unit(); more < 0.4; more = draw.unit()) {
        const Outcome outcome{pack.pack_id, robot, fmt::format(R"({{"mpl_units_per_h":{}}})", draw.between(100, 500)),
                              pack.provenance.end_unix_ns + draw.whole(1, 1'000'000'000'000)};
        const bool from_robot = draw.unit() < 0.5;
        h.streams[from_robot ? robot : std::string(operator_stream)].push_back(
            fact_of(from_robot ? robot : std::string(operator_stream), outcome));
      }
      h.packs.push_back(std::move(pack));
    }
  }
  return h;
}

// Streams interleaved at random; each stream keeps its order.
std::vector<Fact> interleaved(const History& h, uint64_t seed) {
  Draw draw(seed);
  std::map<std::string, size_t> at;
  std::vector<Fact> out;
  for (;;) {
    std::vector<std::string> open;
    for (const auto& [name, facts] : h.streams)
      if (at[name] < facts.size()) open.push_back(name);
    if (open.empty()) return out;
    const std::string& name = open[static_cast<size_t>(draw.whole(0, static_cast<int64_t>(open.size()) - 1))];
    out.push_back(h.streams.at(name)[at[name]++]);
  }
}

}  // namespace

TEST_CASE("econ/books: ten orders of the same history, with restarts between, give the same bytes") {
  // The first run makes the predictions; they are facts of the history from then on.
  History h = history(21);
  {
    Centre centre;
    centre.append(interleaved(h, 1));
    auto econ = centre.econ(withholding());
    must(econ->run(centre.store()));
    CHECK(must(econ->counts()).predictions == 120);
    for (const Datapack& pack : h.packs)
      for (const Prediction& p : must(econ->predictions(pack.pack_id)))
        h.streams[std::string(econ_stream)].push_back(fact_of(p));
  }
  std::string books, model;
  for (uint64_t round = 0; round < 10; ++round) {
    CAPTURE(round);
    Draw draw(round + 50);
    Centre centre;
    ReconcileConfig config = withholding();
    config.predict_on_arrival = false;  // the history holds them
    auto econ = centre.econ(config);
    std::vector<Fact> facts = interleaved(h, round + 2);
    for (size_t at = 0; at < facts.size();) {
      const auto size = std::min<size_t>(static_cast<size_t>(draw.whole(1, 40)), facts.size() - at);
      centre.append(std::span(facts).subspan(at, size));
      at += size;
      if (draw.unit() < 0.7) must(econ->step(centre.store()));
      if (draw.unit() < 0.3) {  // restart
        econ.reset();
        centre.open();
        econ = centre.econ(config);
      }
      CHECK(zero_sums(*econ) == "");
    }
    must(econ->run(centre.store()));
    CHECK(must(econ->counts()).reconciliations >= 115);  // a first episode has no base to measure a change from
    if (round == 0) {
      books = tables(*econ, facts_tables);
      model = econ->estimator().save("deployment:shelf");
      CHECK(must(econ->counts()).ledger.postings > 150);
      CHECK(!model.empty());
    }
    CHECK(tables(*econ, facts_tables) == books);
    CHECK(econ->estimator().save("deployment:shelf") == model);
  }
}

TEST_CASE("econ/books: deleted books are made again from the inbox, byte for byte") {
  const History h = history(4);
  Centre centre;
  auto econ = centre.econ(withholding());
  const auto facts = interleaved(h, 3);
  for (size_t at = 0; at < facts.size(); at += 15) {  // as it came, in pieces
    centre.append(std::span(facts).subspan(at, std::min<size_t>(15, facts.size() - at)));
    must(econ->step(centre.store()));
  }
  must(econ->run(centre.store()));
  const std::string all = tables(*econ);
  CHECK(all.find("ledger_journal") != std::string::npos);
  auto again = centre.econ(withholding(), "again");
  must(again->run(centre.store()));
  CHECK(tables(*again) == all);
  must(again->run(centre.store()));  // nothing more to do
  CHECK(tables(*again) == all);
}

TEST_CASE("econ/books: a prediction is written down before the result is looked at") {
  Centre centre;
  const auto packs = deployments("r1", 60, 7);
  auto econ = centre.econ(withholding());
  double sum_start = 0, sum_model = 0;
  for (size_t i = 0; i < packs.size(); ++i) {
    const Estimator before = econ->estimator();
    centre.append(std::vector{fact_of(packs[i])});
    must(econ->run(centre.store()));
    const auto made = must(econ->predictions(packs[i].pack_id));
    REQUIRE(made.size() == 1);
    // What it says is what the model of before says, and no more is in it than the conditions.
    AskedPrediction asked;
    asked.pack_id = packs[i].pack_id;
    asked.customer_id = "r1";
    asked.task_name = "shelf";
    asked.basis = basis_deployment;
    asked.made_unix_ns = packs[i].provenance.end_unix_ns;
    asked.condition = packs[i].condition;
    asked.base_mpl_units_per_h = base_mpl_of(packs[i]);
    asked.novelty = before.condition_novelty("shelf", packs[i].condition);
    asked.tier = made[0].tier;
    Prediction want = before.predict(asked);
    want.terms = made[0].terms;
    CHECK(made[0] == want);
    if (i >= 30) {
      sum_start += std::abs(packs[i].attribution.delta_mpl);
      sum_model += std::abs(packs[i].attribution.delta_mpl - made[0].delta_mpl.mean);
    }
  }
  CHECK(sum_model < 0.5 * sum_start);
}

TEST_CASE("econ/books: robots are believed about their own datapacks only; later measurements count") {
  Centre centre;
  const auto packs = deployments("r1", 3, 7);
  auto econ = centre.econ(withholding());
  for (const Datapack& pack : packs) centre.append(std::vector{fact_of(pack)});
  must(econ->run(centre.store()));
  const std::string before = tables(*econ, money);
  const auto outcome = [&](double mpl, int64_t time) {
    return Outcome{packs[2].pack_id, "r1", fmt::format(R"({{"mpl_units_per_h":{}}})", mpl), time};
  };
  centre.append(std::vector{fact_of("thief", outcome(1, 5))});
  must(econ->run(centre.store()));
  CHECK(tables(*econ, money) == before);
  const auto aside = must(econ->set_aside(10));
  REQUIRE(aside.size() == 1);
  CHECK(aside[0].first == "outcome thief/1/1");
  CHECK(aside[0].second.find("is not one of thief") != std::string::npos);
  const auto realised = [&] {
    double value = 0;
    must(econ->for_each_result([&](const Reconciliation& r) -> Result<bool> {
      if (r.pack_id == packs[2].pack_id) value = r.realised_delta_mpl;
      return true;
    }));
    return value;
  };
  const double base = base_mpl_of(packs[2]);
  REQUIRE(base > 0);
  CHECK(realised() == packs[2].attribution.delta_mpl);
  must(append_outcome(centre.store(), outcome(2 * base, 10)));
  must(econ->run(centre.store()));
  CHECK(realised() == doctest::Approx(1));
  must(append_outcome(centre.store(), outcome(3 * base, 9)));  // measured earlier
  must(econ->run(centre.store()));
  CHECK(realised() == doctest::Approx(1));
  CHECK(must(econ->counts()).reconciliations == 3);
  CHECK(econ->estimator().outcomes("deployment:shelf") == 3);
  CHECK(zero_sums(*econ) == "");
}

TEST_CASE("econ/books: hostile names and numbers neither stop the books nor get into them") {
  Centre centre;
  auto econ = centre.econ(withholding());
  auto packs = deployments("r1", 4, 7);
  packs[0].pack_id = std::string(300, 'x');
  packs[1].pack_id = "bad/../name \xc3\xa9";
  packs[2].episode_metrics_json = R"({"mpl_units_per_h":1e300,"baseline":{"mpl_units_per_h":1e-300}})";
  for (const Datapack& pack : packs) centre.append(std::vector{fact_of(pack)});
  centre.append(std::vector{fact_of("r1", {packs[3].pack_id, std::string(200, 'c'), "{}", 1}),
                            fact_of("r1", {packs[3].pack_id, "r1", "[1", 1}),
                            fact_of("r1", {packs[3].pack_id, "r1", R"({"mpl_units_per_h":-5})", 1}),
                            fact_of("r1", {"", "r1", "{}", 1}),
                            Fact{"r1", RecordKind::datapack, 1, Bytes::copy_of(as_bytes("garbage!"))}});
  for (int i = 0; i < 100; ++i)
    centre.append(
        std::vector{fact_of("r1", {packs[3].pack_id, "r1", fmt::format(R"({{"mpl_units_per_h":{}}})", i), i})});
  must(econ->run(centre.store()));
  CHECK(zero_sums(*econ) == "");
  const auto counts = must(econ->counts());
  CHECK(counts.predictions == 3);
  CHECK(counts.set_aside >= 5);
  CHECK(customer_account("Größe/1").find('/', 9) == std::string::npos);
  CHECK(customer_account(std::string(128, '\xff')).size() <= storage::account_max_bytes);
}

TEST_CASE("econ/books: a quote is charged when it is recorded and trued up when the outcome comes") {
  Centre centre;
  auto econ = centre.econ({});
  Prediction p;
  p.pack_id = "plan:7";
  p.customer_id = "plant-a";
  p.task_name = "shelf";
  p.made_unix_ns = 100;
  p.features = features_of({}, 0.8);
  p.base_mpl_units_per_h = 40;
  p.delta_mpl = {0.1, 0.05, 0.15};
  p.delta_mpl_std = 0.1;
  p.kappa = 0.5;
  p.terms = QuoteTerms{500'000, 3'600'000'000'000 * 100, share_parts, 100'000'000, {}, "no_share"};
  must(econ->record(centre.store(), p));
  must(econ->record(centre.store(), p));  // again: nothing
  Prediction other = p;
  other.kappa = 0.6;
  CHECK(econ->record(centre.store(), other).error().code == Errc::conflict);
  const auto balance = [&](const char* account) {
    const auto b = must(
        econ->env().read([&](const storage::ReadTxn& txn) { return econ->ledger().balance(txn, account, "USD"); }));
    return b ? static_cast<int64_t>(b->micro) : 0;
  };
  CHECK(balance("customer/plant-a") == -100'000'000);
  CHECK(balance("data_pool") == 100'000'000);
  must(append_outcome(centre.store(), {"plan:7", "plant-a", R"({"delta_mpl":0.02})", 200}));
  must(econ->run(centre.store()));
  // 0.5 $ * 0.8 units/h * 100 h = 40 $ were earned
  CHECK(balance("customer/plant-a") == -40'000'000);
  must(append_outcome(centre.store(), {"plan:7", "plant-a", R"({"delta_mpl":0.03})", 300}));
  must(econ->run(centre.store()));
  CHECK(balance("customer/plant-a") == -60'000'000);
  CHECK(must(econ->counts()).ledger.postings == 4);
  CHECK(zero_sums(*econ) == "");
}

TEST_CASE("econ/books: what a datapack measured says what a deployment yielded, not what its data was worth") {
  Centre centre;
  auto econ = centre.econ({});
  const auto packs = deployments("r1", 3, 7);
  for (const Datapack& pack : packs) centre.append(std::vector{fact_of(pack)});
  must(econ->run(centre.store()));
  CHECK(must(econ->counts()).reconciliations == 3);
  AskedPrediction asked;
  asked.pack_id = packs[2].pack_id;
  asked.customer_id = "r1";
  asked.task_name = "shelf";
  asked.condition = packs[2].condition;
  asked.base_mpl_units_per_h = base_mpl_of(packs[2]);
  Prediction data = econ->estimator().predict(asked);
  data.terms = QuoteTerms{500'000, 3'600'000'000'000, share_parts, 7'000'000, {}, "no_share"};
  must(econ->record(centre.store(), data));  // beside the prediction of the deployment
  CHECK(must(econ->predictions(packs[2].pack_id)).size() == 2);
  CHECK(must(econ->counts()).reconciliations == 3);
  CHECK(must(econ->counts()).ledger.postings == 1);
  CHECK(econ->estimator().outcomes("data:shelf") == 0);
  must(append_outcome(centre.store(), {packs[2].pack_id, "r1", R"({"delta_mpl":0.0})", 5}));
  must(econ->run(centre.store()));
  CHECK(must(econ->counts()).reconciliations == 4);  // a measurement speaks of both
  CHECK(must(econ->counts()).ledger.postings == 2);
  CHECK(econ->estimator().outcomes("data:shelf") == 1);
  CHECK(econ->estimator().outcomes("deployment:shelf") == 3);
  CHECK(zero_sums(*econ) == "");
}

}  // namespace drover::econ

// From a coordinator's tables to batches: every strategy, and a curriculum from its first to its last phase.
#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "actors/datapack/sampling/curriculum.hpp"
#include "actors/datapack/sampling/sample_log.hpp"
#include "actors/datapack/sampling/store_facts.hpp"
#include "tests/storage/datapack_model.hpp"

namespace drover::sampling {
namespace {

using nlohmann::json;

storage::EnvOptions all_tables(const std::filesystem::path& path) {
  storage::EnvOptions options = test::pack_options(path);
  for (const auto& more : {storage::EpisodeStore::databases(), storage::ValuationStore::databases()})
    options.databases.insert(options.databases.end(), more.begin(), more.end());
  return options;
}

// The tables of a coordinator that sampling reads.
struct Centre {
  test::TempDir dir;
  storage::Env env = std::move(storage::Env::open(all_tables(dir.path() / "store")).value());
  storage::DatapackStore packs{env};
  storage::EpisodeStore episodes{env};
  storage::ValuationStore valuations{env};
  uint64_t records = 0;

  void put(const std::vector<Datapack>& more) {
    const Status stored = env.write([&](storage::WriteTxn& txn) -> Status {
      storage::DatapackBatch batch(packs, txn);
      for (const Datapack& p : more) DROVER_TRY(batch.put(p));
      return batch.finish();
    });
    REQUIRE_MESSAGE(stored, stored.error().message());
  }
  void enrich(const std::string& pack_id, const json& record) {
    const Enrichment value{pack_id, "semantics", record.dump(), 1};
    REQUIRE(env.write([&](storage::WriteTxn& txn) {
      return episodes.put_enrichment(txn, {"semantics", 1, ++records}, value, encode(value));
    }));
  }
  void value(const Datapack& pack, double novelty, double causal_gain, std::optional<double> dmpl) {
    REQUIRE(env.write([&](storage::WriteTxn& txn) -> Status {
      const storage::RowId id = storage::summarize(pack).id();
      storage::Valuation v;
      v.novelty = novelty;
      v.causal_gain = causal_gain;
      DROVER_TRY(valuations.put_in(txn, id, v));
      storage::Expectation expected;
      expected.dmpl = dmpl.value_or(0);
      return dmpl ? valuations.put_expected_in(txn, id, expected) : Status{};
    }));
  }
  Pool load(const SamplingConfig& config, const TagTrust& trust, PoolOptions options = {}) {
    auto pool = env.read([&](const storage::ReadTxn& txn) {
      return load_pool({txn, packs, &episodes, &valuations}, options, config, trust);
    });
    REQUIRE_MESSAGE(pool, pool.error().message());
    return std::move(*pool);
  }
  std::vector<std::string> ids(const Batch& batch) {
    std::vector<std::string> out;
    REQUIRE(env.read([&](const storage::ReadTxn& txn) -> Status {
      for (const Draw& d : batch.draws) {
        DROVER_ASSIGN(out.emplace_back(), pack_id_of({txn, packs, &episodes, &valuations}, d.pack.key));
      }
      return {};
    }));
    return out;
  }
};

struct Made {
  uint64_t number = 0;
  double delta_J = 0.2;
  double errors = 0;
  bool skill_fails = false;
  double mpl = 100;
};

Datapack make_pack(const Made& made) {
  Datapack p;
  p.pack_id = test::labelled("dp-", made.number);
  p.task_name = "drawer_vase";
  p.env_type = "drawer";
  p.provenance = {"robot-1", test::labelled("episode-", made.number), static_cast<int64_t>(made.number) * 1'000'000'000,
                  static_cast<int64_t>(made.number) * 1'000'000'000 + 1, "test"};
  p.attribution.delta_J = made.delta_J;
  p.bucket = made.delta_J >= 0 ? Bucket::positive : Bucket::negative;
  if (p.bucket == Bucket::negative) p.counterfactual_plan_json = R"({"kind":"slow_down"})";
  p.attribution.trust_score = 1;
  p.attribution.w_econ = 1;
  for (int64_t i = 0; i < 5; ++i)
    p.skill_trace.push_back({i,
                             static_cast<double>(i),
                             static_cast<double>(i + 1),
                             made.skill_fails && i == 3 ? "failure" : "success",
                             {}});
  p.episode_metrics_json =
      json{{"errors", made.errors}, {"attempts", 1}, {"mpl_units_per_h", made.mpl}, {"units", 1}}.dump();
  return p;
}

json enrichment(std::vector<std::string> words, json tags, bool critical = false, std::vector<std::string> needs = {}) {
  return {{"format", "drover.enrichment.v1"},
          {"success", true},
          {"words", std::move(words)},
          {"tags", std::move(tags)},
          {"hints", {{"safety_critical", critical}, {"prerequisites", std::move(needs)}}}};
}

constexpr const char* matrix = R"({"tags":{"RiskTag":{"trust":0.95},"RecoveryTag":{"trust":0.9},
 "FragilityTag":{"trust":0.6},"NoveltyTag":{"trust":0.2}}})";

}  // namespace

TEST_CASE("sampling/scenario: stage1_to_rl_sampling") {
  Centre centre;
  const SamplingConfig config;
  const TagTrust trust = *read_tag_trust(matrix, config.trust);
  std::vector<Datapack> packs;
  for (uint64_t i = 0; i < 600; ++i) {
    packs.push_back(make_pack({.number = i, .delta_J = i % 5 == 0 ? -0.4 : 0.3, .skill_fails = i % 5 == 0}));
    if (i % 20 == 3)
      packs.back().attribution.source_type = SourceType::synthetic, packs.back().attribution.trust_score = 0.3;
  }
  centre.put(packs);
  for (uint64_t i = 0; i < 600; ++i) {
    if (i < 550)
      centre.value(packs[i], static_cast<double>(i % 100) / 100, i % 10 == 0 ? 0.9 : 0.0,
                   i % 3 == 0 ? std::optional(12.0) : std::nullopt);
    if (i % 6 == 0)
      centre.enrich(packs[i].pack_id, enrichment({"fragile:vase", "risk:high"},
                                                 {{"RiskTag", json::array({json::object()})},
                                                  {"FragilityTag", json::array({{{"severity", 0.5}}})}},
                                                 i % 12 == 0));
    if (i % 7 == 0)
      centre.enrich(packs[i].pack_id, enrichment({"recovery:high"}, {{"RecoveryTag", json::array({json::object()})}}));
    if (i % 11 == 0)
      centre.enrich(packs[i].pack_id,
                    enrichment({"novel:object:cup"}, {{"NoveltyTag", json::array({json::object()})}}));
  }
  const Pool pool = centre.load(config, trust);
  CHECK(pool.facts.size() == 600);
  CHECK(pool.valued == 550);
  CHECK(pool.skill_failure[3] == doctest::Approx(0.2));
  for (const Strategy strategy :
       {Strategy::balanced, Strategy::frontier_focused, Strategy::urgency_driven, Strategy::tag_aware}) {
    CAPTURE(strategy_name(strategy));
    SamplerSetup setup;
    setup.strategy = strategy;
    setup.trust = trust;
    setup.signals = {0.9, 0, 0.2};
    Sampler sampler(config, setup);
    for (const PackFacts& p : pool.facts) sampler.put(p);
    const DrawRequest request{64, 11, 0};
    const auto batch = sampler.draw(request);
    REQUIRE_MESSAGE(batch, batch.error().message());
    const auto ids = centre.ids(*batch);
    CHECK(std::set<std::string>(ids.begin(), ids.end()).size() == 64);
    CHECK(batch->synthetic == 0);  // none is trusted
    if (strategy == Strategy::balanced) CHECK(batch->tiers == std::array<uint32_t, 3>{13, 32, 19});
    if (strategy == Strategy::tag_aware) {
      CHECK(batch->sets[0].drawn == 13);  // safety critical
      CHECK(batch->sets[1].drawn >= 10);  // fragile
      CHECK(batch->sets[3].drawn == 0);   // novel: nobody believes NoveltyTag
    }
    for (const Draw& d : batch->draws) CHECK(d.pack.trust == 1);
    // A second process, other order of arrival: the same line in the log.
    Sampler other(config, setup);
    for (auto at = pool.facts.rbegin(); at != pool.facts.rend(); ++at) other.put(*at);
    const auto again = other.draw(request);
    REQUIRE(again);
    const auto line = sample_record(sampler, sampler.population(), *batch, {"drawer_vase", "", request, ids});
    CHECK(line == sample_record(other, other.population(), *again, {"drawer_vase", "", request, centre.ids(*again)}));
  }
}

TEST_CASE("sampling/scenario: the same facts whatever order packs and enrichments arrived in") {
  const SamplingConfig config;
  const TagTrust trust = *read_tag_trust(matrix, config.trust);
  std::vector<Batch> batches;
  for (const bool backwards : {false, true}) {
    Centre centre;
    std::vector<uint64_t> order(200);
    for (uint64_t i = 0; i < order.size(); ++i) order[i] = backwards ? order.size() - 1 - i : i;
    for (const uint64_t i : order) {
      const Datapack p = make_pack({.number = i, .delta_J = i % 3 == 0 ? -0.6 : 0.1});
      if (!backwards) centre.put({p});
      if (i % 4 == 0) centre.enrich(p.pack_id, enrichment({"risk:critical"}, {{"RiskTag", json::array({1})}}));
      if (backwards) centre.put({p});
    }
    Sampler sampler(config, {.strategy = Strategy::tag_aware, .trust = trust});
    for (const PackFacts& p : centre.load(config, trust).facts) sampler.put(p);
    batches.push_back(*sampler.draw({50, 3, 0}));
  }
  REQUIRE(batches[0].draws.size() == 50);
  for (size_t i = 0; i < 50; ++i) {
    CHECK(batches[0].draws[i].pack.key == batches[1].draws[i].pack.key);
    CHECK(batches[0].draws[i].weight.weight == batches[1].draws[i].weight.weight);
  }
}

TEST_CASE("sampling/scenario: datapack_curriculum") {
  Centre centre;
  SamplingConfig config;
  config.curriculum.window_episodes = 50;
  config.curriculum.growth_episodes = 60;
  const TagTrust trust;
  Curriculum curriculum(config.curriculum);
  uint64_t number = 0;
  // A robot that learns: fewer errors first, then skills, then output until it grows no more.
  const auto work = [&](uint64_t episodes, double errors, bool skill_fails, double growth) {
    std::vector<Datapack> packs;
    for (uint64_t i = 0; i < episodes; ++i, ++number)
      packs.push_back(make_pack({.number = number,
                                 .delta_J = number % 4 == 0 ? -0.7 : 0.2,
                                 .errors = errors,
                                 .skill_fails = skill_fails || number % 9 == 0,
                                 .mpl = 100 + growth * static_cast<double>(i)}));
    centre.put(packs);
    for (const Datapack& p : packs) {
      const uint64_t n = p.provenance.start_unix_ns / 1'000'000'000;
      centre.value(p, static_cast<double>(n % 10) / 10, n % 4 == 0 ? 0.8 : 0, 4.0);
      if (n % 8 == 0)
        centre.enrich(
            p.pack_id,
            enrichment({"fragile:vase"}, {{"FragilityTag", json::array({{{"severity", n % 16 == 0 ? 0.9 : 0.4}}})}}));
      if (n % 5 == 0) centre.enrich(p.pack_id, enrichment({}, json::object(), false, {"graspable:handle"}));
    }
    // What is new since the last time, from the store.
    PoolOptions options;
    const auto known = curriculum.cursor();
    options.on_episode = [&](const std::string&, const EpisodeResult& e) {
      if (!known || earlier(*known, e.key)) curriculum.observe(e);
    };
    return centre.load(config, trust, options);
  };
  const auto batch_of = [&](const Pool& pool) {
    SamplerSetup setup = phase_setup(curriculum.phase());
    setup.trust = trust;
    setup.signals = pool.signals;
    setup.prerequisites_met = pool.prerequisites_met;
    setup.skill_failure = pool.skill_failure;
    Sampler sampler(config, setup);
    for (const PackFacts& p : pool.facts) sampler.put(p);
    auto batch = sampler.draw({24, 5, 0});
    REQUIRE_MESSAGE(batch, batch.error().message());
    return std::move(*batch);
  };

  Pool pool = work(60, 0.5, true, 0);
  CHECK(curriculum.phase() == Phase::warmup);
  CHECK(pool.signals.error == 1);
  Batch batch = batch_of(pool);
  CHECK(batch.tiers[2] == 0);
  for (const Draw& d : batch.draws) CHECK(d.pack.fragility < 0.8F);

  pool = work(60, 0, true, 0);
  REQUIRE(curriculum.phase() == Phase::skill_building);
  CHECK(curriculum.history()[0].because.find("error rate") == 0);
  batch = batch_of(pool);
  CHECK(batch.sets[1].name == "fragile");
  CHECK(batch.sets[1].drawn > 0);

  pool = work(60, 0, false, 0);
  REQUIRE(curriculum.phase() == Phase::frontier);
  batch = batch_of(pool);
  CHECK(batch.tiers[0] == 0);
  CHECK(batch.sets[0].name == "urgent");

  pool = work(60, 0, false, 2);
  CHECK(curriculum.phase() == Phase::frontier);
  CHECK(curriculum.missing().front().find("MPL grows") == 0);
  pool = work(130, 0, false, 0);
  REQUIRE(curriculum.phase() == Phase::fine_tuning);
  CHECK(curriculum.history().size() == 3);
  batch = batch_of(pool);
  CHECK(batch.sets[0].name == "all");
  for (const Draw& d : batch.draws) CHECK(d.weight.base > config.urgency.unmatched);  // weak spots have weight

  // The state goes through its file, and a run over the whole store gives the same one.
  const auto back = Curriculum::restored(config.curriculum, curriculum.json());
  REQUIRE(back);
  CHECK(back->json() == curriculum.json());
  Curriculum anew(config.curriculum);
  PoolOptions options;
  options.on_episode = [&](const std::string&, const EpisodeResult& e) { anew.observe(e); };
  centre.load(config, trust, options);
  CHECK(anew.json() == curriculum.json());
}

}  // namespace drover::sampling

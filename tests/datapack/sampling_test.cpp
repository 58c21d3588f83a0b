// Sampler: weights to the letter, draws by exact shares, the same batch in any order.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "actors/datapack/sampling/sample_log.hpp"
#include "actors/datapack/sampling/sampler.hpp"
#include "actors/runtime/rng.hpp"

namespace drover::sampling {
namespace {

using nlohmann::json;

PackFacts pack(uint64_t n, uint8_t tier = 1, float trust = 1) {
  PackFacts p;
  p.key = {runtime::Rng(n).next(), static_cast<int64_t>(n)};
  p.tier = tier;
  p.trust = trust;
  p.valued = true;
  return p;
}

// Packs of every kind.
std::vector<PackFacts> crowd(size_t count, uint64_t seed) {
  runtime::Rng rng(seed);
  std::vector<PackFacts> out;
  for (size_t i = 0; i < count; ++i) {
    PackFacts p = pack(seed * 1'000'003 + i, static_cast<uint8_t>(rng.below(3)));
    p.trust = static_cast<float>(rng.below(5)) / 4;
    p.novelty = static_cast<float>(rng.uniform());
    p.expected_dmpl = static_cast<float>(20 * rng.uniform());
    p.origin = static_cast<Origin>(rng.below(4) == 0 ? rng.below(3) : 0);
    p.safety_critical = rng.chance(0.1);
    p.groups = static_cast<uint16_t>(rng.next() & rng.next() & 0xff);
    p.kinds = static_cast<uint8_t>(rng.next() & rng.next());
    p.skills = rng.next() & rng.next() & 0x3f;
    out.push_back(p);
  }
  return out;
}

SamplerSetup setup_of(Strategy strategy) {
  SamplerSetup setup;
  setup.strategy = strategy;
  setup.signals = {0.8, 0.3, 0.5};
  setup.trust.kinds[1] = {0.9, TagTier::trusted, 5};
  setup.trust.kinds[7] = {0.9, TagTier::trusted, 3};
  setup.trust.kinds[0] = {0.6, TagTier::provisional, 1.5};
  return setup;
}

std::vector<PackKey> keys(const Batch& batch) {
  std::vector<PackKey> out;
  for (const Draw& d : batch.draws) out.push_back(d.pack.key);
  return out;
}

// 99.99 % quantile of chi-square, Wilson and Hilferty.
double chi_square_limit(double freedom) {
  const double z = 3.719;
  const double a = 2 / (9 * freedom);
  return freedom * std::pow(1 - a + z * std::sqrt(a), 3);
}

constexpr Strategy all_strategies[] = {Strategy::balanced, Strategy::frontier_focused, Strategy::urgency_driven,
                                       Strategy::tag_aware};

}  // namespace

TEST_CASE("sampling/weighted set: a point finds the item of the naive scan through every change") {
  for (const uint64_t seed : {1, 2, 3}) {
    runtime::Rng rng(seed);
    WeightedSet set;
    std::map<PackKey, uint32_t> naive;
    const auto total = [&] {
      uint64_t sum = 0;
      for (const auto& [key, weight] : naive) sum += weight;
      return sum;
    };
    for (int step = 0; step < 3000; ++step) {
      // Few leading bits: crowded buckets too.
      const PackKey key{rng.below(700) << (rng.chance(0.5) ? 54 : 20), static_cast<int64_t>(rng.below(2))};
      const auto weight = static_cast<uint32_t>(rng.chance(0.1) ? 0 : rng.below(UINT32_MAX));
      if (rng.chance(0.25)) {
        CHECK(set.erase(key) == (naive.erase(key) > 0));
      } else if (naive.contains(key) && rng.chance(0.5)) {
        CHECK(set.set_weight(key, weight) == naive[key]);
        naive[key] = weight;
      } else {
        set.put({key, weight, static_cast<uint32_t>(step)});
        naive[key] = weight;
      }
      REQUIRE(set.size() == naive.size());
      REQUIRE(set.total() == total());
      if (step % 50 != 0 || set.total() == 0) continue;
      for (int i = 0; i < 20; ++i) {
        uint64_t point = rng.below(set.total());
        const PackKey found = set.at(point).key;
        auto at = naive.begin();
        while (point >= at->second) point -= (at++)->second;
        REQUIRE(found == at->first);
      }
    }
  }
}

TEST_CASE("sampling/weights: urgency, trust tiers, gate and presets to the letter") {
  const SamplingConfig config;
  SUBCASE("frontier: tier weight, novelty, E[dMPL] up to 10, safety, clip") {
    const Sampler sampler(config, {.strategy = Strategy::frontier_focused});
    PackFacts p = pack(1, 2);
    p.novelty = 0.5F;
    p.expected_dmpl = 5;
    CHECK(sampler.weigh(p).base == doctest::Approx(1.0 * (0.5 + 0.3 * 0.5 + 0.2 * 0.5)));
    p.expected_dmpl = 50;  // counts as 10
    CHECK(sampler.weigh(p).base == doctest::Approx(0.85));
    p.safety_critical = true;  // 1.275 is clipped
    CHECK(sampler.weigh(p).base == 1.0);
    p.tier = 1;
    CHECK(sampler.weigh(p).base == doctest::Approx(0.5 * 0.85 * 1.5));
    p.tier = 0;
    p.safety_critical = false;
    CHECK(sampler.weigh(p).base == doctest::Approx(0.2 * 0.85));
  }
  SUBCASE("trust tiers: the most trusted kind counts, once") {
    const Sampler sampler(config, setup_of(Strategy::balanced));
    PackFacts p = pack(1, 1, 0.5F);
    CHECK(sampler.weigh(p).multiplier == 1);
    p.kinds = 1;  // fragility, provisional
    CHECK(sampler.weigh(p).multiplier == 1.5);
    p.kinds = 1 | 128;
    CHECK(sampler.weigh(p).multiplier == 3);
    p.kinds = 1 | 2 | 128;
    CHECK(sampler.weigh(p).multiplier == 5);
    CHECK(sampler.weigh(p).weight == doctest::Approx(2.5));
    p.kinds = 4;  // nothing is known of it
    CHECK(sampler.weigh(p).multiplier == 1);
  }
  SUBCASE("what is synthetic and below 0.9 weighs nothing, whatever the strategy") {
    for (const Strategy strategy : all_strategies) {
      const Sampler sampler(config, setup_of(strategy));
      PackFacts p = pack(1, 2, 0.89F);
      CHECK(sampler.weigh(p).weight > 0);
      p.origin = Origin::synthetic;
      CHECK(sampler.weigh(p).weight == 0);
      p.origin = Origin::hybrid;
      CHECK(sampler.weigh(p).weight == 0);
      p.trust = 0.9F;
      CHECK(sampler.weigh(p).weight > 0);
    }
  }
  SUBCASE("urgency of the sides that the pack's tags belong to") {
    const Sampler sampler(config, setup_of(Strategy::urgency_driven));
    PackFacts p = pack(1);
    CHECK(sampler.weigh(p).weight == doctest::Approx(0.1));
    p.groups = static_cast<uint16_t>(1u << group_index(config.groups, "error"));
    CHECK(sampler.weigh(p).weight == doctest::Approx(0.9));
    p.groups |= static_cast<uint16_t>(1u << group_index(config.groups, "mpl"));
    CHECK(sampler.weigh(p).weight == doctest::Approx(1.4));
  }
  SUBCASE("fine tuning adds the weakest skill") {
    SamplerSetup setup = phase_setup(Phase::fine_tuning);
    CHECK(setup.strategy == Strategy::urgency_driven);
    setup.skill_failure[3] = 0.4;
    setup.skill_failure[4] = 0.2;
    const Sampler sampler(config, setup);
    PackFacts p = pack(1);
    p.skills = 0b11000;
    CHECK(sampler.weigh(p).weight == doctest::Approx(0.5));
  }
  SUBCASE("warmup: preset safety, no tier 2, no critical fragility") {
    const Sampler sampler(config, phase_setup(Phase::warmup));
    PackFacts p = pack(1);
    p.groups = static_cast<uint16_t>(1u << group_index(config.groups, "safety_critical"));
    CHECK(sampler.weigh(p).emphasis == 2);
    p.fragility = 0.8F;
    CHECK(sampler.weigh(p).excluded == Exclusion::critical_fragility);
    p.tier = 2;
    CHECK(sampler.weigh(p).excluded == Exclusion::tier);
  }
  SUBCASE("a phase leaves out packs whose prerequisites are not met") {
    SamplerSetup setup = phase_setup(Phase::skill_building);
    setup.prerequisites_met = 0b01;
    PackFacts p = pack(1);
    p.prerequisites = 0b11;
    CHECK(Sampler(config, setup).weigh(p).excluded == Exclusion::prerequisite);
    p.prerequisites = 0b01;
    CHECK(Sampler(config, setup).weigh(p).excluded == Exclusion::none);
    p.prerequisites = 0b11;
    setup.phase.reset();
    CHECK(Sampler(config, setup).weigh(p).excluded == Exclusion::none);
  }
}

TEST_CASE("sampling/draw: quotas of each strategy") {
  const SamplingConfig config;
  const auto draw = [&](Strategy strategy) {
    Sampler sampler(config, setup_of(strategy));
    for (const PackFacts& p : crowd(5000, 7)) sampler.put(p);
    auto batch = sampler.draw({256, 1, 0});
    REQUIRE(batch);
    CHECK(batch->draws.size() == 256);
    return *batch;
  };
  SUBCASE("balanced: 20/50/30") {
    const Batch batch = draw(Strategy::balanced);
    CHECK(batch.tiers == std::array<uint32_t, 3>{51, 128, 77});
    CHECK(batch.notes.empty());
  }
  SUBCASE("frontier: 80 % urgent") {
    const Batch batch = draw(Strategy::frontier_focused);
    const auto urgent =
        std::count_if(batch.draws.begin(), batch.draws.end(), [](const Draw& d) { return d.weight.base >= 0.7; });
    CHECK(urgent == 205);
  }
  SUBCASE("tag aware: at least the quota of each tag") {
    const Batch batch = draw(Strategy::tag_aware);
    REQUIRE(batch.sets.size() == 6);
    CHECK(batch.sets[0].drawn == 51);
    CHECK(batch.sets[5].name == "free");
    CHECK(batch.sets[5].drawn == 77);
    for (size_t i = 0; i < 5; ++i) {
      const auto in = std::count_if(batch.draws.begin(), batch.draws.end(), [&](const Draw& d) {
        return d.set == i && (d.pack.groups >> group_index(config.groups, batch.sets[i].name) & 1) == 0;
      });
      CHECK(in == 0);
    }
  }
  SUBCASE("no pack twice, no synthetic pack beyond 40 %") {
    for (const Strategy strategy : all_strategies) {
      const Batch batch = draw(strategy);
      const auto all = keys(batch);
      CHECK(std::set<PackKey>(all.begin(), all.end()).size() == all.size());
      CHECK(batch.synthetic <= 102);
    }
  }
}

TEST_CASE("sampling/draw: the first draw falls by the exact shares") {
  const SamplingConfig config;
  const std::vector<PackFacts> packs = crowd(40, 11);
  constexpr int batches = 20'000;
  for (const Strategy strategy : all_strategies) {
    CAPTURE(strategy_name(strategy));
    Sampler sampler(config, setup_of(strategy));
    for (const PackFacts& p : packs) sampler.put(p);
    // Batches of 20 hold whole slots of every share; slots come in random order, so the first is of set s with share s.
    std::map<PackKey, double> expected;
    std::map<PackKey, int> seen;
    const auto first = sampler.draw({20, 5, 0});
    REQUIRE(first);
    for (const DrawSet& set : first->sets) REQUIRE(set.wanted == doctest::Approx(20 * set.share));
    for (size_t s = 0; s < first->sets.size(); ++s) {
      double total = 0;
      std::map<PackKey, double> inside;
      for (const PackFacts& p : packs) {
        const PackWeight w = sampler.weigh(p);
        const std::string& name = first->sets[s].name;
        const size_t group = group_index(config.groups, name);
        const bool in = name == "all" || name == "free" || name == "tier " + std::to_string(p.tier) ||
                        (name == "urgent" && w.base >= 0.7) || (name == "below" && w.base < 0.7) ||
                        (group < config.groups.size() && (p.groups >> group & 1) != 0);
        if (in) inside[p.key] = w.weight, total += w.weight;
      }
      REQUIRE(total > 0);
      CHECK(first->sets[s].weight_total == doctest::Approx(total));
      for (const auto& [key, weight] : inside) expected[key] += first->sets[s].share * weight / total;
    }
    for (int i = 0; i < batches; ++i) {
      const auto batch = sampler.draw({20, 5, static_cast<uint64_t>(i)});
      REQUIRE(batch);
      ++seen[batch->draws.front().pack.key];
    }
    double chi = 0, freedom = -1;
    for (const auto& [key, share] : expected) {
      const double wanted = share * batches;
      if (wanted == 0) {
        CHECK(seen[key] == 0);
        continue;
      }
      REQUIRE(wanted > 5);
      chi += (seen[key] - wanted) * (seen[key] - wanted) / wanted;
      freedom += 1;
    }
    CHECK(chi < chi_square_limit(freedom));
    CHECK(chi > 0);
  }
}

TEST_CASE("sampling/draw: the same batch whatever order packs came in and what was drawn or changed before") {
  const SamplingConfig config;
  std::vector<PackFacts> packs = crowd(3000, 3);
  runtime::Rng rng(9);
  for (const Strategy strategy : all_strategies) {
    Sampler sampler(config, setup_of(strategy));
    for (const PackFacts& p : packs) sampler.put(p);
    const auto wanted = sampler.draw({256, 42, 3});
    REQUIRE(wanted);
    for (size_t i = packs.size(); i > 1; --i) std::swap(packs[i - 1], packs[rng.below(i)]);
    Sampler other(config, setup_of(strategy));
    for (const PackFacts& p : packs) {
      PackFacts before = p;  // known as something else first
      before.tier = static_cast<uint8_t>(rng.below(3));
      before.trust = 0.25F;
      before.groups = 3;
      other.put(before);
      if (rng.chance(0.1)) CHECK(other.erase(p.key));
    }
    for (const PackFacts& p : packs) other.put(p);
    PackFacts gone = pack(77'777, 2);
    other.put(gone);
    CHECK(other.erase(gone.key));
    CHECK_FALSE(other.erase(gone.key));
    CHECK(other.size() == sampler.size());
    REQUIRE(other.draw({100, 1, 1}));
    const auto got = other.draw({256, 42, 3});
    REQUIRE(got);
    CHECK(keys(*got) == keys(*wanted));
    const auto next = other.draw({256, 42, 4});
    REQUIRE(next);
    CHECK(keys(*next) != keys(*wanted));
  }
}

TEST_CASE("sampling/draw: the batch of seed 1 is this one, in every process") {
  const SamplingConfig config;
  Sampler sampler(config, setup_of(Strategy::tag_aware));
  for (const PackFacts& p : crowd(100, 1)) sampler.put(p);
  const auto batch = sampler.draw({8, 1, 0});
  REQUIRE(batch);
  std::vector<int64_t> drawn;
  for (const Draw& d : batch->draws) drawn.push_back(d.pack.key.start_unix_ns - 1'000'003);
  CHECK(drawn == std::vector<int64_t>{52, 80, 4, 76, 84, 47, 61, 98});
}

TEST_CASE("sampling/draw: what does not go by the rule is said") {
  const SamplingConfig config;
  Sampler sampler(config, {.strategy = Strategy::balanced});
  CHECK(sampler.draw({8, 1, 0}).error().code == Errc::not_found);
  CHECK(sampler.draw({0, 1, 0}).error().code == Errc::invalid_argument);
  CHECK(sampler.draw({batch_max + 1, 1, 0}).error().code == Errc::invalid_argument);
  SUBCASE("all weights zero: uniform") {
    for (uint64_t i = 0; i < 30; ++i) sampler.put(pack(i, 1, 0));
    std::map<PackKey, int> seen;
    for (uint64_t n = 0; n < 3000; ++n) {
      const auto batch = sampler.draw({3, 1, n});
      REQUIRE(batch);
      CHECK(batch->uniform);
      REQUIRE(batch->notes.size() == 1);
      const auto all = keys(*batch);
      CHECK(std::set<PackKey>(all.begin(), all.end()).size() == 3);
      for (const PackKey& key : all) ++seen[key];
    }
    double chi = 0;
    for (const auto& [key, n] : seen) chi += (n - 300.0) * (n - 300.0) / 300.0;
    CHECK(seen.size() == 30);
    CHECK(chi < chi_square_limit(29));
    sampler.put(pack(99, 1, 1));  // one that has weight: it alone counts
    const auto batch = sampler.draw({3, 1, 0});
    CHECK_FALSE(batch->uniform);
    CHECK(batch->repeats);
    for (const PackKey& key : keys(*batch)) CHECK(key == pack(99).key);
  }
  SUBCASE("a batch larger than the set repeats, evenly") {
    for (uint64_t i = 0; i < 10; ++i) sampler.put(pack(i, static_cast<uint8_t>(i % 3)));
    const auto batch = sampler.draw({40, 1, 0});
    REQUIRE(batch);
    CHECK(batch->repeats);
    CHECK(batch->draws.size() == 40);
    std::map<PackKey, int> seen;
    for (const PackKey& key : keys(*batch)) ++seen[key];
    CHECK(seen.size() == 10);
    for (const auto& [key, n] : seen) CHECK(n == 4);
    const auto again = sampler.draw({10, 1, 0});
    CHECK_FALSE(again->repeats);
  }
  SUBCASE("a tier that is missing goes to the others by their shares") {
    for (uint64_t i = 0; i < 1000; ++i) sampler.put(pack(i, i % 2 == 0 ? 0 : 1));
    const auto batch = sampler.draw({70, 1, 0});
    REQUIRE(batch);
    CHECK(batch->tiers == std::array<uint32_t, 3>{20, 50, 0});
    REQUIRE(batch->notes.size() == 1);
    CHECK(batch->notes[0].find("tier 2: 21 of 21") == 0);
  }
  SUBCASE("synthetic packs end at their share; without real ones that is said") {
    for (uint64_t i = 0; i < 1000; ++i) {
      PackFacts p = pack(i, 1);
      if (i >= 20) p.origin = Origin::synthetic;
      sampler.put(p);
    }
    const auto batch = sampler.draw({100, 1, 0});
    REQUIRE(batch);
    CHECK(batch->synthetic == 40);
    CHECK(batch->repeats);  // twenty real packs for sixty slots
    for (uint64_t i = 0; i < 20; ++i) CHECK(sampler.erase(pack(i).key));
    const auto without = sampler.draw({100, 1, 0});
    REQUIRE(without);
    CHECK(without->synthetic == 100);
    CHECK(std::any_of(without->notes.begin(), without->notes.end(),
                      [](const std::string& n) { return n.find("whole batch is synthetic") != std::string::npos; }));
  }
  SUBCASE("a phase that lets nobody through says why") {
    Sampler warm(config, phase_setup(Phase::warmup));
    for (uint64_t i = 0; i < 5; ++i) warm.put(pack(i, 2));
    const auto batch = warm.draw({4, 1, 0});
    REQUIRE_FALSE(batch);
    CHECK(batch.error().what.find("5 of another tier") != std::string::npos);
  }
}

TEST_CASE("sampling/draw: after any sequence of changes a batch is that of a sampler made anew") {
  const char* given = std::getenv("DROVER_TEST_SEED");
  const uint64_t seed = given == nullptr ? 20261121 : std::strtoull(given, nullptr, 10);
  CAPTURE(seed);
  const SamplingConfig config;
  runtime::Rng rng(seed);
  for (int round = 0; round < 40; ++round) {
    const auto strategy = all_strategies[rng.below(4)];
    SamplerSetup setup = rng.chance(0.5) ? setup_of(strategy) : phase_setup(static_cast<Phase>(rng.below(4)));
    Sampler lived(config, setup);
    std::map<PackKey, PackFacts> world;
    const size_t size = 1 + rng.below(300);
    for (int step = 0; step < 600; ++step) {
      PackFacts p = crowd(1, 1 + rng.below(1000))[0];
      p.key = pack(rng.below(size)).key;
      if (rng.chance(0.3)) {
        CHECK(lived.erase(p.key) == (world.erase(p.key) > 0));
      } else {
        lived.put(p);
        world[p.key] = p;
      }
      if (step % 100 == 99) (void)lived.draw({static_cast<uint32_t>(1 + rng.below(64)), rng.next(), 0});
    }
    Sampler fresh(config, setup);
    for (const auto& [key, p] : world) fresh.put(p);
    CHECK(lived.size() == world.size());
    const DrawRequest request{static_cast<uint32_t>(1 + rng.below(400)), rng.next(), rng.next()};
    const auto a = lived.draw(request), b = fresh.draw(request);
    REQUIRE(a.has_value() == b.has_value());
    if (!a) continue;
    CHECK(keys(*a) == keys(*b));
    CHECK(a->notes == b->notes);
    CHECK(a->draws.size() == request.batch);
    for (const Draw& d : a->draws) CHECK(d.weight.excluded == Exclusion::none);
  }
}

TEST_CASE("sampling/log: a record holds what was drawn and why") {
  const SamplingConfig config;
  Sampler sampler(config, setup_of(Strategy::frontier_focused));
  for (const PackFacts& p : crowd(500, 5)) sampler.put(p);
  const DrawRequest request{32, 7, 2};
  const auto batch = sampler.draw(request);
  REQUIRE(batch);
  BatchContext context{"drawer_vase", "ab", request, {}};
  for (size_t i = 0; i < 32; ++i) context.pack_ids.push_back("dp-" + std::to_string(i));
  const std::string line = sample_record(sampler, sampler.population(), *batch, context);
  CHECK(line.back() == '\n');
  CHECK(std::count(line.begin(), line.end(), '\n') == 1);
  const json record = json::parse(line);
  CHECK(record["format"] == "drover.sample.v1");
  CHECK(record["seed"] == 7);
  CHECK(record["draws"].size() == 32);
  CHECK(record["draws"][5]["pack_id"] == "dp-5");
  CHECK(record["tiers"][0].get<int>() + record["tiers"][1].get<int>() + record["tiers"][2].get<int>() == 32);
  CHECK(record["population"]["packs"] == 500);
  CHECK(record["trust_matrix"]["tags"]["RiskTag"]["multiplier"] == 5);
  for (const json& d : record["draws"])
    CHECK(d["weight"].get<double>() ==
          doctest::Approx(d["base"].get<double>() * d["multiplier"].get<double>() * d["emphasis"].get<double>()));
}

}  // namespace drover::sampling

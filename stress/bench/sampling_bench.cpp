// Batches from a million datapacks: what putting one in, changing one and drawing a batch of 256 cost, and the memory.
#include "actors/datapack/sampling/sampler.hpp"
#include "actors/runtime/rng.hpp"
#include "bench.hpp"

namespace drover::bench {
namespace {

using namespace drover::sampling;

constexpr uint32_t batch = 256;

// As a fleet's: one in five enriched in some way, one in fifty synthetic, half of those trusted.
PackFacts make_facts(runtime::Rng& rng, uint64_t number) {
  PackFacts p;
  p.key = {rng.next(), static_cast<int64_t>(number) * 2'000'000'000};
  p.novelty = static_cast<float>(rng.uniform());
  p.expected_dmpl = static_cast<float>(20 * rng.uniform());
  p.trust = 1;
  p.tier = static_cast<uint8_t>(rng.below(3));
  p.valued = true;
  if (rng.below(50) == 0) {
    p.origin = Origin::synthetic;
    p.trust = rng.chance(0.5) ? 0.95F : 0.5F;
  }
  if (rng.below(5) == 0) p.groups = static_cast<uint16_t>(rng.next() & rng.next() & 0xff);
  if (rng.below(5) == 0) p.kinds = static_cast<uint8_t>(rng.next() & rng.next());
  p.safety_critical = (p.groups & 1) != 0;
  p.skills = 0x3f;
  return p;
}

// What a batch costs without trees: one pass over the weights finds every point, if the points are sorted.
double pass_ms(const std::vector<PackFacts>& packs) {
  std::vector<double> ms;
  double sum = 0;
  for (int i = 0; i < 5; ++i) {
    const auto began = Clock::now();
    for (const PackFacts& p : packs) sum += static_cast<double>(p.trust);
    ms.push_back(seconds_since(began) * 1e3);
  }
  DROVER_CHECK(sum > 0, "weights");
  return percentile(ms, 0.5);
}

void bench_strategy(Report& report, Strategy strategy, const std::vector<PackFacts>& packs, uint64_t seed,
                    const std::string& size) {
  SamplerSetup setup;
  setup.strategy = strategy;
  setup.signals = {0.8, 0.2, 0.5};
  setup.trust.kinds[1] = {0.9, TagTier::trusted, 5};
  const SamplingConfig config;
  Sampler sampler(config, setup);
  const std::string name(strategy_name(strategy));
  auto began = Clock::now();
  for (const PackFacts& p : packs) sampler.put(p);
  const double seconds = seconds_since(began);
  std::vector<double> ms;
  for (uint64_t i = 0; i < 200; ++i) {
    began = Clock::now();
    const Batch drawn = must(sampler.draw({batch, seed, i}));
    ms.push_back(seconds_since(began) * 1e3);
    DROVER_CHECK(drawn.draws.size() == batch, "a whole batch");
  }
  const double p50 = percentile(ms, 0.5), p99 = percentile(ms, 0.99);
  report.add(std::string("batch of 256 from ").append(size).append(": ").append(name), no_disk, p50, "ms",
             std::string("p99 ").append(std::to_string(p99)).append(" ms"), Target{1.0, false});
  if (strategy != Strategy::tag_aware) return;
  runtime::Rng rng(seed);
  constexpr size_t changes = 100'000;
  std::vector<PackFacts> changed;
  for (size_t i = 0; i < changes; ++i) {
    changed.push_back(packs[rng.below(packs.size())]);
    changed.back().tier = static_cast<uint8_t>(rng.below(3));
    changed.back().groups ^= 2;
  }
  began = Clock::now();
  for (const PackFacts& p : changed) sampler.put(p);
  report.add("changing what is known of one", no_disk, seconds_since(began) / changes * 1e6, "us");
  report.add("putting all of them in", no_disk, seconds, "s");
  report.add("memory a pack", no_disk,
             static_cast<double>(sampler.memory_bytes()) / static_cast<double>(sampler.size()), "B",
             std::to_string(sampler.memory_bytes() >> 20).append(" MiB in all"));
}

}  // namespace

void bench_sampling(Report& report, const Settings& settings) {
  const size_t count = settings.quick ? 100'000 : 1'000'000;
  const std::string size = settings.quick ? "100 k" : "1 M";
  report.group("sampling: batches of 256 without replacement, in memory");
  runtime::Rng rng(settings.seed);
  std::vector<PackFacts> packs;
  packs.reserve(count);
  for (uint64_t i = 0; i < count; ++i) packs.push_back(make_facts(rng, i));
  for (const Strategy strategy :
       {Strategy::balanced, Strategy::frontier_focused, Strategy::urgency_driven, Strategy::tag_aware})
    bench_strategy(report, strategy, packs, settings.seed, size);
  if (!settings.own_only)
    report.add("raw limit: one pass over all weights, in order", no_disk, pass_ms(packs), "ms",
               "what a batch costs at least without trees");
}

}  // namespace drover::bench

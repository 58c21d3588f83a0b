// dataset_stress_mix_v1: 40 % drawer_open, 40 % dish_place, 20 % noise; failures .3, recoveries .1, out of distribution
// .05; and how the tags compare with the truth beside the rollouts.
#include <algorithm>
#include <array>
#include <fstream>
#include <map>

#include "stress/semantics/chain.hpp"

namespace drover::semantics::stress {
namespace {

double share(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

struct Tally {
  uint64_t all = 0, found = 0, tagged = 0;
};

class Truth {
 public:
  void add(const LabelledRollout& rollout, const CommitResult& result, bool ready) {
    const GroundTruth& truth = rollout.truth;
    const TagSet& tags = result.enriched.tags;
    const bool recovered = tags.has(TagKind::recovery);
    const bool really = truth.recovered || truth.kind == Template::mixed;
    recovery_tags += recovered ? 1 : 0;
    recovery_right += recovered && really ? 1 : 0;
    recoveries += truth.recovered ? 1 : 0;
    recoveries_found += truth.recovered && recovered ? 1 : 0;
    (tags.high_risk() ? risky : calm) += 1;
    (tags.high_risk() ? risky_damage : calm_damage) += truth.damage ? 1 : 0;
    if (!ready) {
      learning += truth.out_of_distribution ? 1 : 0;
      return;
    }
    Tally& tally = odd[truth.oddity];
    ++tally.all;
    tally.found += result.ood_found.empty() ? 0 : 1;
    tally.tagged += tags.ood.empty() ? 0 : 1;
    const bool severe = std::any_of(result.ood_found.begin(), result.ood_found.end(),
                                    [](const OodTag& t) { return t.severity >= 0.8; });
    severe_found += severe ? 1 : 0;
    severe_right += severe && truth.out_of_distribution ? 1 : 0;
  }

  Tally odd_ones() const {
    Tally out;
    for (const auto& [kind, t] : odd)
      if (!kind.empty()) out.all += t.all, out.found += t.found, out.tagged += t.tagged;
    return out;
  }

  uint64_t recovery_tags = 0, recovery_right = 0, recoveries = 0, recoveries_found = 0;
  uint64_t risky_damage = 0, risky = 0, calm_damage = 0, calm = 0, learning = 0, severe_found = 0, severe_right = 0;
  std::map<std::string, Tally> odd;  // by how; empty: normal
};

void print_ood(const Truth& truth, bool harmless) {
  const Tally odd = truth.odd_ones();
  const auto normal = truth.odd.find("");
  const uint64_t wrong = normal == truth.odd.end() ? 0 : normal->second.found;
  const uint64_t wrong_tags = normal == truth.odd.end() ? 0 : normal->second.tagged;
  std::printf(
      "%s: detector precision %.3f (of severe findings %.3f), recall %.3f; tags given: precision %.3f, recall %.3f\n",
      harmless ? "out of distribution that does no harm" : "out of distribution that mostly fails",
      share(odd.found, odd.found + wrong), share(truth.severe_right, truth.severe_found), share(odd.found, odd.all),
      share(odd.tagged, odd.tagged + wrong_tags), share(odd.tagged, odd.all));
  for (const auto& [kind, t] : truth.odd)
    std::printf("    %-10s %6llu rollouts, %5.1f %% found, %5.1f %% tagged\n", kind.empty() ? "normal" : kind.c_str(),
                static_cast<unsigned long long>(t.all), 100 * share(t.found, t.all), 100 * share(t.tagged, t.all));
}

Result<Truth> play(const Options& o, Chain& chain, bool harmless) {
  StressMix mix(o.seed, o.rate_hz, harmless);
  Truth truth;
  LabelledRollout rollout;
  for (uint64_t i = 0; i < o.rollouts; ++i) {
    mix.make(i, rollout);
    const bool good = rollout.rollout.outcome == "success";
    const OutcomeFacts outcome{good, rollout.truth.damage ? 1.0 : 0.0,
                               good ? 3600 / rollout.rollout.frames.back().time_s : 0};
    const bool ready = chain.pipeline().reference().ready();
    DROVER_ASSIGN(const CommitResult result, chain.take(rollout.rollout, outcome));
    truth.add(rollout, result, ready);
  }
  DROVER_TRY(chain.finish());
  return truth;
}

void print_costs(const Options& o, const Chain& chain) {
  const Costs& c = chain.costs();
  const double n = static_cast<double>(c.episodes);
  std::printf("dataset_stress_mix_v1: %llu rollouts of %.0f frames and %.1f segments, seed %llu; %s\n",
              static_cast<unsigned long long>(c.episodes), static_cast<double>(c.frames) / n,
              static_cast<double>(c.primitives) / n, static_cast<unsigned long long>(o.seed),
              o.in_memory ? "records stay in memory"
              : o.sync    ? "records go into a store, synced before they count"
                          : "records go into a store that is not synced");
  std::printf("segments and primitives %.1f us, knowledge and store %.1f us per rollout; records %.0f bytes each\n",
              1e6 * c.segment_s / n, 1e6 * c.learn_s / n,
              static_cast<double>(c.record_bytes) / static_cast<double>(c.records));
  std::printf("in processor time %.1f us, that is %.0f rollouts per second and core; %llu records applied in %.2f s\n",
              1e6 * c.cpu_s / n, n / c.cpu_s, static_cast<unsigned long long>(c.applied), c.apply_s);
}

}  // namespace

Result<bool> run_mix(const Options& options) {
  DROVER_ASSIGN(const auto chain, Chain::make(options));
  DROVER_ASSIGN(const Truth truth, play(options, *chain, false));
  print_costs(options, *chain);
  const Stage2Metrics m = chain->pipeline().metrics();
  Table table("stress mix, the whole chain");
  chain->common_rows(table);
  table.row("RiskTag share of episodes", m.share(TagKind::risk), below(0.30), below(0.30));
  table.row("RecoveryTag precision", share(truth.recovery_right, truth.recovery_tags), above(0.90), above(0.98));
  table.row("OOD rate, of primitives", share(m.ood_primitives, m.primitives), below(0.05), below(0.05));
  table.row("RecoveryTag recall", share(truth.recoveries_found, truth.recoveries), nothing(), above(0.9));
  const Tally odd = truth.odd_ones();
  table.row("OOD recall, of rollouts", share(odd.tagged, odd.all), nothing(), above(0.8));
  std::printf("\n");
  print_ood(truth, false);
  std::printf("damage: %.4f of %llu risky, %.4f of %llu calm episodes\n", share(truth.risky_damage, truth.risky),
              static_cast<unsigned long long>(truth.risky), share(truth.calm_damage, truth.calm),
              static_cast<unsigned long long>(truth.calm));
  std::printf(
      "ontology %llu nodes, version %llu; task graph %llu nodes, depth %llu; %zu alerts; resilience %.3f; "
      "refused words %llu; retroactive %llu\n",
      static_cast<unsigned long long>(m.ontology_nodes),
      static_cast<unsigned long long>(chain->pipeline().orchestrator().ontology().version()),
      static_cast<unsigned long long>(m.task_nodes), static_cast<unsigned long long>(m.task_depth),
      chain->pipeline().orchestrator().alerts().size(), m.resilience, static_cast<unsigned long long>(m.refused_words),
      static_cast<unsigned long long>(m.retroactive_records));
  for (const auto& [name, document] : chain->pipeline().documents())
    if (!options.documents.empty()) std::ofstream(options.documents + "/" + name + ".json") << document.text();

  // The other world: where being out of distribution means nothing, nobody should be told of it.
  Options other = options;
  other.in_memory = true;
  other.rollouts = std::min<uint64_t>(options.rollouts, 4000);
  DROVER_ASSIGN(const auto harmless, Chain::make(other));
  DROVER_ASSIGN(const Truth without, play(other, *harmless, true));
  print_ood(without, true);
  if (options.rollouts >= 2000)
    table.check("OODTag is believed where it foretells failure",
                chain->pipeline().orchestrator().trust().rights(TagKind::ood).used);
  return table.holds();
}

}  // namespace drover::semantics::stress

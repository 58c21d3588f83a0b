// drover stress semantics: made-up rollouts through the whole chain, and the table of what it costs and how good it is.
//
// Chain: frames -> segments -> primitives -> tags, ontology, task graph, trust -> enrichment records, in memory or into
// a coordinator's store (inbox in blocks of 256 records, each acknowledged when it is durable; then applied). Exit code
// 1 when a required column of the table does not hold. Making the rollouts is not timed.
#include <sys/resource.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "actors/semantics/pipeline.hpp"
#include "actors/semantics/segmenter.hpp"
#include "actors/semantics/sima_template.hpp"
#include "actors/sync/central_store.hpp"

namespace {

using namespace drover;
using namespace drover::semantics;
using Clock = std::chrono::steady_clock;

double seconds(Clock::duration d) {
  return std::chrono::duration<double>(d).count();
}

// How the tags compare with the truth beside the rollouts.
struct Truth {
  uint64_t frames = 0;
  uint64_t recovery_tags = 0, recovery_right = 0, recoveries = 0, recoveries_found = 0;
  uint64_t ood_tags = 0, ood_right = 0, ood = 0;
  uint64_t risky_damage = 0, risky = 0, calm_damage = 0, calm = 0;

  void add(const GroundTruth& truth, const TagSet& tags) {
    const bool recovered = tags.has(TagKind::recovery), odd = tags.has(TagKind::ood);
    const bool really = truth.recovered || truth.kind == Template::mixed;
    recovery_tags += recovered ? 1 : 0;
    recovery_right += recovered && really ? 1 : 0;
    recoveries += truth.recovered ? 1 : 0;
    recoveries_found += truth.recovered && recovered ? 1 : 0;
    ood_tags += odd ? 1 : 0;
    ood_right += odd && truth.out_of_distribution ? 1 : 0;
    ood += truth.out_of_distribution ? 1 : 0;
    (tags.high_risk() ? risky : calm) += 1;
    (tags.high_risk() ? risky_damage : calm_damage) += truth.damage ? 1 : 0;
  }
};

double ratio(uint64_t a, uint64_t b) {
  return b == 0 ? 0 : static_cast<double>(a) / static_cast<double>(b);
}

int failures = 0;
void row(const char* name, double value, const char* required, bool holds) {
  std::printf("%-44s %12.4f   %-10s %s\n", name, value, required, holds ? "ok" : "FAILED");
  failures += holds ? 0 : 1;
}

long peak_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

struct Options {
  uint64_t rollouts = 10000, seed = 7;
  double rate_hz = 20;
  std::string configs = DROVER_CONFIGS_DIR "/semantics", documents, store;
  bool sync = true;
};

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Costs {
  double segment_s = 0, learn_s = 0, cpu_s = 0, apply_s = 0;
  uint64_t applied = 0;
  std::vector<double> per_primitive_ms;
};

// Where records go: nowhere, or a coordinator's store.
class Sink {
 public:
  Status open(const Options& o) {
    if (o.store.empty()) return {};
    sync::CentralStoreOptions options;
    options.path = o.store;
    options.sync = o.sync ? storage::Sync::synced : storage::Sync::nosync;
    DROVER_ASSIGN(store_, sync::CentralStore::open(options));
    DROVER_ASSIGN(const auto facts, store_->open_stream(stream_, 1));
    block_ = BlockBuilder(facts.durable_seq + 1);
    return {};
  }
  Status add(const Enrichment& record) {
    if (!store_) return {};
    DROVER_ASSIGN(const uint64_t seq,
                  block_.add(RecordKind::enrichment, record_schema_current, record.time_unix_ns, encode(record)));
    (void)seq;
    return block_.count() >= 256 ? flush() : Status{};
  }
  Status flush() {
    if (!store_ || block_.empty()) return {};
    DROVER_ASSIGN(Block block, Block::parse(block_.finish()));
    const storage::Incoming incoming[] = {{stream_.robot, stream_.incarnation, std::move(block), 1}};
    DROVER_ASSIGN(const auto outcomes, store_->append(incoming));
    if (outcomes.front().status != storage::AppendStatus::ok)
      return fail(Errc::conflict, "store", outcomes.front().message);
    return {};
  }
  // The rest of the way: what the centre does with them.
  Result<uint64_t> apply() {
    uint64_t applied = 0;
    for (bool more = store_ != nullptr; more;) {
      DROVER_ASSIGN(const auto done, store_->apply(stream_, 1u << 20));
      applied += done.records;
      more = done.more;
    }
    return applied;
  }

 private:
  std::unique_ptr<sync::CentralStore> store_;
  sync::StreamId stream_{"semantics", 1};
  BlockBuilder block_{1};
};

Status run(const Options& o, Stage2Pipeline& pipeline, Truth& truth, Costs& costs, uint64_t& record_bytes) {
  Sink sink;
  DROVER_TRY(sink.open(o));
  StressMix mix(o.seed, o.rate_hz);
  Segmenter segmenter{SegmenterConfig{}};
  std::vector<Segment> segments;
  LabelledRollout rollout;
  for (uint64_t i = 0; i < o.rollouts; ++i) {
    mix.make(i, rollout);
    truth.frames += rollout.rollout.frames.size();
    const double cpu_start = cpu_seconds();
    const auto start = Clock::now();
    segment_rollout(segmenter, rollout.rollout, segments);
    const auto primitives = extract_primitives(rollout.rollout, segments, {});
    const auto middle = Clock::now();
    Analysis analysis = pipeline.analyse(rollout.rollout, segments, primitives);
    const GroundTruth& t = rollout.truth;
    analysis.outcome =
        OutcomeFacts{rollout.rollout.outcome == "success", t.damage ? 1.0 : 0.0,
                     rollout.rollout.outcome == "success" ? 3600 / rollout.rollout.frames.back().time_s : 0};
    const CommitResult result = pipeline.commit(std::move(analysis), 0);
    DROVER_TRY(sink.add(result.record));
    for (const Enrichment& e : result.retroactive) DROVER_TRY(sink.add(e));
    const auto end = Clock::now();
    costs.cpu_s += cpu_seconds() - cpu_start;
    costs.segment_s += seconds(middle - start);
    costs.learn_s += seconds(end - middle);
    costs.per_primitive_ms.push_back(1e3 * seconds(end - start) / std::max<double>(1, double(segments.size())));
    record_bytes += result.record.tags_json.size();
    for (const Enrichment& e : result.retroactive) record_bytes += e.tags_json.size();
    truth.add(t, result.enriched.tags);
  }
  const auto start = Clock::now();
  for (const Enrichment& e : pipeline.settle(0).retroactive) DROVER_TRY(sink.add(e));
  DROVER_TRY(sink.flush());
  DROVER_ASSIGN(costs.applied, sink.apply());
  costs.apply_s = seconds(Clock::now() - start);
  return {};
}

void print(const Options& o, const Stage2Pipeline& pipeline, const Truth& t, Costs& costs, uint64_t record_bytes) {
  const Stage2Metrics m = pipeline.metrics();
  std::sort(costs.per_primitive_ms.begin(), costs.per_primitive_ms.end());
  const double n = static_cast<double>(o.rollouts);
  const double p99 = costs.per_primitive_ms[static_cast<size_t>(0.99 * (n - 1))];
  std::printf("%llu rollouts of %.0f frames and %.1f segments, seed %llu; %s\n",
              static_cast<unsigned long long>(o.rollouts), double(t.frames) / n, double(m.primitives) / n,
              static_cast<unsigned long long>(o.seed),
              o.store.empty() ? "records stay in memory"
              : o.sync        ? "records go into a store, synced before they count"
                              : "records go into a store that is not synced");
  std::printf(
      "segments and primitives %.1f us, knowledge %.1f us per rollout; records %.0f bytes each\n"
      "the same in processor time: %.1f us, that is %.0f rollouts per second and core\n\n",
      1e6 * costs.segment_s / n, 1e6 * costs.learn_s / n, double(record_bytes) / n, 1e6 * costs.cpu_s / n,
      n / costs.cpu_s);
  if (costs.applied > 0)
    std::printf("%llu records applied at the centre, with the last block, in %.2f s (in the rate below)\n\n",
                static_cast<unsigned long long>(costs.applied), costs.apply_s);
  const double rate = n / (costs.segment_s + costs.learn_s + costs.apply_s);
  row("rollouts per second, one thread", rate, "> 100", rate > 100);
  row("p99 per primitive [ms]", p99, "< 50", p99 < 50);
  row("peak memory [MB]", double(peak_mb()), "< 2048", peak_mb() < 2048);
  row("ontology write amplification", m.write_amplification, "< 1.5", m.write_amplification < 1.5);
  row("orphan nodes", double(m.orphans), "0", m.orphans == 0);
  row("valid proposals accepted", m.acceptance, "> 0.8", m.acceptance > 0.8);
  row("RiskTag share of episodes", m.share(TagKind::risk), "< 0.30", m.share(TagKind::risk) < 0.30);
  const double precision = ratio(t.recovery_right, t.recovery_tags);
  row("RecoveryTag precision", precision, "> 0.90", precision > 0.90);
  const double ood_primitives = ratio(m.ood_primitives, m.primitives);
  row("OOD rate, of primitives", ood_primitives, "< 0.05", ood_primitives < 0.05);
  std::printf("\nOOD rate of episodes %.4f (truth %.4f), precision %.3f, recall %.3f; recovery recall %.3f\n",
              m.share(TagKind::ood), ratio(t.ood, o.rollouts), ratio(t.ood_right, t.ood_tags),
              ratio(t.ood_right, t.ood), ratio(t.recoveries_found, t.recoveries));
  std::printf("damage: %.4f of %llu risky, %.4f of %llu calm episodes\n", ratio(t.risky_damage, t.risky),
              static_cast<unsigned long long>(t.risky), ratio(t.calm_damage, t.calm),
              static_cast<unsigned long long>(t.calm));
  std::printf(
      "ontology %llu nodes, version %llu; task graph %llu nodes, depth %llu; %zu alerts; resilience %.3f; "
      "refused words %llu; retroactive %llu\n\n",
      static_cast<unsigned long long>(m.ontology_nodes),
      static_cast<unsigned long long>(pipeline.orchestrator().ontology().version()),
      static_cast<unsigned long long>(m.task_nodes), static_cast<unsigned long long>(m.task_depth),
      pipeline.orchestrator().alerts().size(), m.resilience, static_cast<unsigned long long>(m.refused_words),
      static_cast<unsigned long long>(m.retroactive_records));
  std::fputs(pipeline.orchestrator().trust().json().c_str(), stdout);
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app(
      "The stress mix of made-up rollouts (40 % drawer_open, 40 % dish_place, 20 % noise) through the whole semantic\n"
      "chain: frames, segments, primitives, tags, ontology, task graph, trust, enrichment records. Prints the table "
      "of\n"
      "costs and quality; exit code 1 when a required bound does not hold. Making the rollouts is not timed.",
      "drover stress semantics");
  app.add_option("--rollouts", o.rollouts, "how many")->check(CLI::Range(1, 10'000'000))->capture_default_str();
  app.add_option("--rate", o.rate_hz, "frames per second of a rollout")
      ->check(CLI::Range(10.0, 1000.0))
      ->capture_default_str();
  app.add_option("--seed", o.seed, "decides every rollout")->capture_default_str();
  app.add_option("--store", o.store, "into this coordinator's store, made when absent; else records stay in memory");
  app.add_option("--sync", o.sync, "with --store: acknowledge after fdatasync")->capture_default_str();
  app.add_option("--documents", o.documents, "write the knowledge documents to this folder")
      ->check(CLI::ExistingDirectory);
  app.add_option("--configs", o.configs, "folder of the semantics configuration")->check(CLI::ExistingDirectory);
  CLI11_PARSE(app, argc, argv);
  const auto fail_with = [](const Error& e) {
    std::fprintf(stderr, "drover stress semantics: %s\n", e.message().c_str());
    return 1;
  };
  const auto vocabulary = Vocabulary::load(o.configs + "/vocabulary.toml");
  if (!vocabulary) return fail_with(vocabulary.error());
  auto ontology = OntologyStore::load_seed(o.configs + "/seed_ontology.toml", *vocabulary);
  if (!ontology) return fail_with(ontology.error());
  auto graph = TaskGraph::load_seed(o.configs + "/task_graph.toml", *vocabulary);
  if (!graph) return fail_with(graph.error());
  const auto config = load_stage2_config(o.configs);
  if (!config) return fail_with(config.error());
  Stage2Pipeline pipeline(*config, *vocabulary, std::move(*ontology), std::move(*graph));
  Truth truth;
  Costs costs;
  uint64_t record_bytes = 0;
  if (const Status ran = run(o, pipeline, truth, costs, record_bytes); !ran) return fail_with(ran.error());
  print(o, pipeline, truth, costs, record_bytes);
  for (const auto& [name, document] : pipeline.documents())
    if (!o.documents.empty()) std::ofstream(o.documents + "/" + name + ".json") << document.text();
  return failures == 0 ? 0 : 1;
}

#include "stress/semantics/chain.hpp"

#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

namespace drover::semantics::stress {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

constexpr size_t records_per_block = 256;

}  // namespace

Scratch::Scratch() {
  std::string name = (std::filesystem::temp_directory_path() / "drover-stress-semantics-XXXXXX").string();
  if (::mkdtemp(name.data()) != nullptr) path_ = std::move(name);
}

Scratch::~Scratch() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

Status Sink::open(const std::string& folder, bool sync) {
  sync::CentralStoreOptions options;
  options.path = folder;
  options.sync = sync ? storage::Sync::synced : storage::Sync::nosync;
  DROVER_ASSIGN(store_, sync::CentralStore::open(options));
  DROVER_ASSIGN(const auto facts, store_->open_stream(stream_, 1));
  block_ = BlockBuilder(facts.durable_seq + 1);
  return {};
}

Status Sink::add(const Enrichment& record) {
  if (!store_) return {};
  DROVER_ASSIGN(const uint64_t seq,
                block_.add(RecordKind::enrichment, record_schema_current, record.time_unix_ns, encode(record)));
  (void)seq;
  return block_.count() >= records_per_block ? flush() : Status{};
}

Status Sink::flush() {
  if (!store_ || block_.empty()) return {};
  DROVER_ASSIGN(Block block, Block::parse(block_.finish()));
  const storage::Incoming incoming[] = {{stream_.robot, stream_.incarnation, std::move(block), 1}};
  DROVER_ASSIGN(const auto outcomes, store_->append(incoming));
  if (outcomes.front().status != storage::AppendStatus::ok)
    return fail(Errc::conflict, "store", outcomes.front().message);
  return {};
}

Result<uint64_t> Sink::apply() {
  uint64_t applied = 0;
  for (bool more = store_ != nullptr; more;) {
    DROVER_ASSIGN(const auto done, store_->apply(stream_, 1u << 20));
    applied += done.records;
    more = done.more;
  }
  return applied;
}

double Costs::p99_ms() const {
  if (per_primitive_ms.empty()) return 0;
  std::vector<double> sorted = per_primitive_ms;
  std::sort(sorted.begin(), sorted.end());
  return sorted[static_cast<size_t>(0.99 * static_cast<double>(sorted.size() - 1))];
}

Result<std::unique_ptr<Chain>> Chain::make(const Options& options, std::optional<TaskGraph> graph) {
  std::unique_ptr<Chain> out(new Chain());
  DROVER_ASSIGN(Vocabulary vocabulary, Vocabulary::load(options.configs + "/vocabulary.toml"));
  out->vocabulary_ = std::make_unique<Vocabulary>(std::move(vocabulary));
  DROVER_ASSIGN(OntologyStore ontology,
                OntologyStore::load_seed(options.configs + "/seed_ontology.toml", *out->vocabulary_));
  if (!graph) {
    DROVER_ASSIGN(graph, TaskGraph::load_seed(options.configs + "/task_graph.toml", *out->vocabulary_));
  }
  DROVER_ASSIGN(const Stage2Config config, load_stage2_config(options.configs));
  out->pipeline_ = std::make_unique<Stage2Pipeline>(config, *out->vocabulary_, std::move(ontology), std::move(*graph));
  if (!options.in_memory) {
    const std::string folder = options.store.empty() ? out->scratch_.path() + "/store" : options.store;
    DROVER_TRY(out->sink_.open(folder, options.sync));
  }
  return out;
}

Status Chain::keep(const CommitResult& result) {
  const auto one = [&](const Enrichment& record) -> Status {
    if (record.pack_id.empty() && record.tags_json.empty()) return {};
    ++costs_.records;
    costs_.record_bytes += record.tags_json.size();
    if (check_json_) records_are_json_ = records_are_json_ && nlohmann::json::accept(record.tags_json);
    return sink_.add(record);
  };
  DROVER_TRY(one(result.record));
  for (const Enrichment& record : result.retroactive) DROVER_TRY(one(record));
  return {};
}

Result<CommitResult> Chain::take(const Rollout& rollout, const std::optional<OutcomeFacts>& outcome) {
  costs_.frames += rollout.frames.size();
  const double cpu = cpu_seconds();
  const auto start = Clock::now();
  segment_rollout(segmenter_, rollout, segments_);
  const auto primitives = extract_primitives(rollout, segments_, {});
  const double segmented_s = seconds_since(start);
  Analysis analysis = pipeline_->analyse(rollout, segments_, primitives);
  analysis.outcome = outcome;
  CommitResult result = pipeline_->commit(std::move(analysis), 0);
  DROVER_TRY(keep(result));
  const double all_s = seconds_since(start);
  costs_.cpu_s += cpu_seconds() - cpu;
  costs_.segment_s += segmented_s;
  costs_.learn_s += all_s - segmented_s;
  costs_.primitives += segments_.size();
  ++costs_.episodes;
  costs_.per_primitive_ms.push_back(1e3 * all_s / std::max<double>(1, static_cast<double>(segments_.size())));
  return result;
}

Result<CommitResult> Chain::take(Analysis analysis, int64_t time_unix_ns) {
  const size_t primitives = analysis.facts.actions.size();
  const double cpu = cpu_seconds();
  const auto start = Clock::now();
  CommitResult result = pipeline_->commit(std::move(analysis), time_unix_ns);
  DROVER_TRY(keep(result));
  const double all_s = seconds_since(start);
  costs_.cpu_s += cpu_seconds() - cpu;
  costs_.learn_s += all_s;
  costs_.primitives += primitives;
  ++costs_.episodes;
  costs_.per_primitive_ms.push_back(1e3 * all_s / std::max<double>(1, static_cast<double>(primitives)));
  return result;
}

Status Chain::finish() {
  const auto start = Clock::now();
  DROVER_TRY(keep(pipeline_->settle(0)));
  DROVER_TRY(sink_.flush());
  DROVER_ASSIGN(costs_.applied, sink_.apply());
  costs_.apply_s = seconds_since(start);
  return {};
}

void Chain::common_rows(Table& table) const {
  const Stage2Metrics m = pipeline_->metrics();
  table.row("rollouts per second, one thread", static_cast<double>(costs_.episodes) / costs_.total_s(), above(100),
            above(5000));
  table.row("p99 per primitive [ms]", costs_.p99_ms(), below(50), below(0.2));
  table.row("peak memory [MB]", peak_memory_MB(), below(2000), below(200));
  table.row("ontology write amplification (changes per fact)", m.write_amplification, below(1.5), below(1.05));
  table.row("orphan nodes", static_cast<double>(m.orphans), exactly(0), exactly(0));
  table.row("valid proposals accepted", m.acceptance, above(0.8), above(0.95));
}

}  // namespace drover::semantics::stress

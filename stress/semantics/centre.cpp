// What a coordinator pays for learning: datapacks of robots in its inbox, learnt from in large steps and in small ones,
// and every byte that was written for it.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "actors/semantics/central_semantics.hpp"
#include "stress/semantics/chain.hpp"

namespace drover::semantics::stress {
namespace {

Datapack pack_of(const LabelledRollout& from, std::span<const Segment> segments, uint64_t index) {
  const Rollout& r = from.rollout;
  const bool good = r.outcome == "success";
  Datapack pack;
  pack.pack_id = fmt::format("pack-{:08}", index);
  pack.task_name = r.task_name;
  pack.env_type = "stress";
  pack.provenance = {"stress-robot", r.id, 1'000'000'000, 5'000'000'000, "stress"};
  pack.attribution.trust_score = 1;
  for (const Segment& s : segments) {
    const bool failed = s.outcome == Outcome::failure;
    std::string name(label_name(s.label));
    if (s.object != no_object) name.append("_").append(r.objects[s.object].category);
    pack.skill_trace.push_back(
        {0, s.start_s, s.end_s, failed ? "failure" : "success", nlohmann::json{{"name", name}}.dump()});
    if (failed) pack.semantic_tags.push_back(fmt::format("event:{}", reason_name(s.reason)));
    pack.energy.total_Wh += static_cast<double>(s.metrics.energy_Wh);
  }
  pack.episode_metrics_json = nlohmann::json{{"units", good ? 1 : 0},
                                             {"errors", good ? 0 : 1},
                                             {"mpl_units_per_h", good ? 3600 / r.frames.back().time_s : 0}}
                                  .dump();
  return pack;
}

// Sends packs [from, to) as one robot does.
class Robot {
 public:
  Robot(const Options& options, sync::CentralStore& store)
      : mix_(options.seed, options.rate_hz), segmenter_(SegmenterConfig{}), store_(store) {}
  Status send(uint64_t from, uint64_t to) {
    DROVER_TRY(store_.open_stream({"stress-robot", 1}, 1));
    for (uint64_t i = from; i < to;) {
      BlockBuilder block(i + 1);
      for (const uint64_t end = std::min(to, i + 64); i < end; ++i) {
        mix_.make(i, rollout_);
        segment_rollout(segmenter_, rollout_.rollout, segments_);
        const Bytes payload = encode(pack_of(rollout_, segments_, i));
        DROVER_TRY(block.add(RecordKind::datapack, record_schema_current, 7'000'000, payload));
      }
      DROVER_ASSIGN(Block parsed, Block::parse(block.finish()));
      const storage::Incoming incoming[] = {{"stress-robot", 1, std::move(parsed), 1}};
      DROVER_TRY(store_.append(incoming));
    }
    return {};
  }

 private:
  StressMix mix_;
  Segmenter segmenter_;
  sync::CentralStore& store_;
  LabelledRollout rollout_;
  std::vector<Segment> segments_;
};

Result<uint64_t> learn_all(CentralSemantics& learner, sync::CentralStore& store) {
  uint64_t learnt = 0;
  for (bool more = true; more;) {
    DROVER_ASSIGN(const auto step, learner.step(store));
    learnt += step.datapacks;
    more = step.more;
  }
  return learnt;
}

double seconds_of(const std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

Result<bool> run_centre(const Options& options) {
  const Scratch scratch;
  sync::CentralStoreOptions central;
  central.path = scratch.path() + "/store";
  central.sync = options.sync ? storage::Sync::synced : storage::Sync::nosync;
  DROVER_ASSIGN(const auto store, sync::CentralStore::open(central));
  CentralSemanticsOptions wanted;
  wanted.folder = scratch.path() + "/semantics";
  wanted.configs = options.configs;
  DROVER_ASSIGN(auto learner, CentralSemantics::open(wanted));
  Robot robot(options, *store);

  DROVER_TRY(robot.send(0, options.rollouts));
  auto start = std::chrono::steady_clock::now();
  DROVER_ASSIGN(const uint64_t learnt, learn_all(*learner, *store));
  const double batch_s = seconds_of(start);
  const CentralCosts batch = learner->costs();

  // One datapack at a time, as from a fleet that has nothing to catch up with.
  constexpr uint64_t trickle = 200;
  start = std::chrono::steady_clock::now();
  for (uint64_t i = 0; i < trickle; ++i) {
    DROVER_TRY(robot.send(options.rollouts + i, options.rollouts + i + 1));
    DROVER_TRY(learn_all(*learner, *store));
  }
  const double trickle_s = seconds_of(start);
  const CentralCosts all = learner->costs();
  const auto step_bytes =
      static_cast<double>(all.log_bytes - batch.log_bytes + all.checkpoint_bytes - batch.checkpoint_bytes) / trickle;
  const std::string state = learner->pipeline().save();

  // Another life: the checkpoint, and what was read since.
  learner.reset();
  start = std::chrono::steady_clock::now();
  DROVER_ASSIGN(learner, CentralSemantics::open(wanted));
  DROVER_TRY(learner->catch_up(*store));
  const double restart_s = seconds_of(start);

  std::printf(
      "\nlearning behind a store: %llu datapacks, %.1f MB read, %.1f MB of records, %.2f MB of checkpoints (%llu), "
      "%.1f kB of log; the state as one file would be %.2f MB\n",
      static_cast<unsigned long long>(learnt), 1e-6 * static_cast<double>(batch.input_bytes),
      1e-6 * static_cast<double>(batch.record_bytes), 1e-6 * static_cast<double>(batch.checkpoint_bytes),
      static_cast<unsigned long long>(batch.checkpoints), 1e-3 * static_cast<double>(batch.log_bytes),
      1e-6 * static_cast<double>(state.size()));
  Table table("the coordinator, learning from datapacks");
  table.row("datapacks per second, synced", static_cast<double>(learnt) / batch_s, above(100), above(5000));
  table.row("bytes written per byte of new records", batch.write_amplification(), below(1.5), below(1.05));
  table.row("bytes written for a step of one datapack", step_bytes, below(4096), below(256));
  table.row("the same, one state file rewritten each step", static_cast<double>(state.size()), nothing(), nothing());
  table.row("one datapack, sent, learnt and synced [ms]", 1e3 * trickle_s / trickle, below(1000), below(50));
  table.row("restart: until all is known again [s]", restart_s, below(60), below(5));
  table.check("after the restart the knowledge has the same bytes", learner->pipeline().save() == state);
  return table.holds();
}

}  // namespace drover::semantics::stress

// dataset_edge_cases_v1: rollouts without anything, one of a million steps, bytes that are no text, clocks that are
// wrong and numbers that are none. They are taken among normal ones; what was known before must stand.
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "stress/semantics/chain.hpp"

namespace drover::semantics::stress {
namespace {

const std::string no_text = std::string("\xff\xfe plate \xc3\x28 \xed\xa0\x80\0 end\n\x1b[31m", 30);

// One edge case from a good rollout.
struct Case {
  const char* name;
  void (*spoil)(LabelledRollout& rollout);
};

constexpr Case cases[] = {
    {"no frames, no objects, no embedding",
     [](LabelledRollout& r) { r.rollout.frames.clear(), r.rollout.objects.clear(), r.rollout.embedding = {}; }},
    {"no frames", [](LabelledRollout& r) { r.rollout.frames.clear(); }},
    {"one frame", [](LabelledRollout& r) { r.rollout.frames.resize(1); }},
    {"no signals at all", [](LabelledRollout& r) { r.rollout.signals = 0; }},
    {"names that are no text",
     [](LabelledRollout& r) {
       r.rollout.id += no_text;
       r.rollout.robot = r.rollout.task_name = r.rollout.world = r.rollout.outcome = no_text;
       for (ObjectInfo& o : r.rollout.objects) o.name = o.category = o.geometry = no_text;
     }},
    {"names of a megabyte",
     [](LabelledRollout& r) {
       r.rollout.robot = r.rollout.task_name = std::string(1 << 20, 'x');
       for (ObjectInfo& o : r.rollout.objects) o.category = std::string(1 << 20, '\xf0');
     }},
    {"times in the far future",
     [](LabelledRollout& r) {
       for (RolloutFrame& f : r.rollout.frames) f.time_s += 1e15;
     }},
    {"times that jump ahead by years",
     [](LabelledRollout& r) {
       for (size_t i = r.rollout.frames.size() / 2; i < r.rollout.frames.size(); ++i) r.rollout.frames[i].time_s += 1e9;
     }},
    {"times that go back",
     [](LabelledRollout& r) {
       for (size_t i = 0; i < r.rollout.frames.size(); i += 3) r.rollout.frames[i].time_s = -1;
     }},
    {"times that are no numbers",
     [](LabelledRollout& r) {
       for (size_t i = 0; i < r.rollout.frames.size(); i += 5)
         r.rollout.frames[i].time_s = std::numeric_limits<double>::quiet_NaN();
     }},
    {"values that are no numbers",
     [](LabelledRollout& r) {
       for (size_t i = 0; i < r.rollout.frames.size(); i += 4) {
         r.rollout.frames[i].tool_m[0] = std::numeric_limits<float>::quiet_NaN();
         r.rollout.frames[i].power_W = std::numeric_limits<float>::infinity();
       }
       for (float& x : r.rollout.embedding.values) x = std::numeric_limits<float>::quiet_NaN();
     }},
    {"an embedding of another dimension",
     [](LabelledRollout& r) {
       r.rollout.embedding = {3, 0.5, {1, 0, 0, 0, 1, 0}};
     }},
};

std::set<std::string> node_ids(const Stage2Pipeline& pipeline) {
  std::set<std::string> out;
  for (const auto& [id, node] : pipeline.orchestrator().ontology().current().nodes) out.insert(id);
  return out;
}

OutcomeFacts outcome_of(const LabelledRollout& r) {
  return {r.rollout.outcome == "success", r.truth.damage ? 1.0 : 0.0, r.rollout.outcome == "success" ? 500.0 : 0.0};
}

Result<bool> spoilt(const Options& options) {
  DROVER_ASSIGN(const auto chain, Chain::make(options));
  chain->check_every_record();
  Stage2Pipeline& p = chain->pipeline();
  StressMix mix(options.seed, options.rate_hz);
  LabelledRollout rollout;
  uint64_t index = 0;
  for (; index < 1500; ++index) {
    mix.make(index, rollout);
    DROVER_TRY(chain->take(rollout.rollout, outcome_of(rollout)));
  }
  const auto known = node_ids(p);
  for (const Case& edge : cases) {
    uint64_t segments = 0;
    for (int i = 0; i < 20; ++i) {
      mix.make(index++, rollout);
      const OutcomeFacts outcome = outcome_of(rollout);
      edge.spoil(rollout);
      DROVER_TRY(chain->take(rollout.rollout, outcome));
      segments += chain->segments().size();
    }
    std::printf("    20 rollouts, %-40s %5llu segments\n", edge.name, static_cast<unsigned long long>(segments));
  }
  // The record's own clock: the end of time, and before its beginning.
  for (const int64_t time_unix_ns : {std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()}) {
    mix.make(index++, rollout);
    Segmenter segmenter{SegmenterConfig{}};
    std::vector<Segment> segments;
    segment_rollout(segmenter, rollout.rollout, segments);
    Analysis a = p.analyse(rollout.rollout, segments, extract_primitives(rollout.rollout, segments, {}));
    DROVER_TRY(chain->take(std::move(a), time_unix_ns));
  }
  DROVER_TRY(chain->finish());
  std::set<std::string> lost, gained;
  const auto now = node_ids(p);
  for (const std::string& id : known)
    if (!now.contains(id)) lost.insert(id);
  for (const std::string& id : now)
    if (!known.contains(id) && id.find("unknown_object") == std::string::npos) gained.insert(id);
  bool documents_read = true;
  for (const auto& [name, document] : p.documents())
    documents_read = documents_read && nlohmann::json::accept(document.text());
  Table table("edge cases: spoilt rollouts among normal ones");
  chain->common_rows(table);
  table.check("every record is JSON and UTF-8", chain->records_are_json());
  table.check("every document is JSON and UTF-8", documents_read);
  table.row("nodes that were lost", static_cast<double>(lost.size()), exactly(0), nothing());
  table.row("new nodes about things that are known", static_cast<double>(gained.size()), nothing(), below(8));
  for (const std::string& id : gained) std::printf("    %s\n", id.c_str());
  const std::string saved = p.save();
  DROVER_ASSIGN(const auto other, Chain::make([&] {
                  Options memory = options;
                  memory.in_memory = true;
                  return memory;
                }()));
  const Status restored = other->pipeline().restore(saved);
  table.check("the state reads back to the same bytes", restored && other->pipeline().save() == saved);
  return table.holds();
}

// One rollout of a million steps, as a stream: no frame is kept.
Result<bool> million(const Options& options) {
  DROVER_ASSIGN(const auto chain, Chain::make(options));
  TemplateConfig config;
  config.seed = options.seed;
  config.rate_hz = options.rate_hz;
  config.out_of_distribution_share = 0;
  TemplateLibrary library(config);
  LabelledRollout part;
  library.make(Family::drawer_open, 0, part);
  Rollout whole = part.rollout;
  whole.id = "million";
  whole.frames.clear();
  whole.embedding = {};
  Segmenter segmenter{SegmenterConfig{}};
  segmenter.begin(shape_of(part.rollout));
  std::vector<Segment> fresh, kept;
  uint64_t steps = 0, segments = 0;
  double offset_s = 0;
  const double before_MB = memory_MB(), cpu = cpu_seconds();
  double most_MB = before_MB;
  for (uint64_t i = 0; steps < options.long_steps; ++i) {
    library.make(Family::drawer_open, i, part);
    for (RolloutFrame frame : part.rollout.frames) {
      frame.time_s += offset_s;
      segmenter.push(frame, fresh);
      ++steps;
    }
    offset_s += part.rollout.frames.back().time_s + 1;
    segments += fresh.size();
    for (const Segment& s : fresh)
      if (kept.size() < actions_max) kept.push_back(s);
    fresh.clear();
    if (i % 512 == 0) most_MB = std::max(most_MB, memory_MB());
  }
  segmenter.finish(fresh);
  segments += fresh.size();
  const double stream_s = cpu_seconds() - cpu;
  Analysis analysis = chain->pipeline().analyse(whole, kept, extract_primitives(whole, kept, {}));
  DROVER_ASSIGN(const CommitResult result, chain->take(std::move(analysis)));
  DROVER_TRY(chain->finish());
  std::printf(
      "\na rollout of %llu steps: %llu segments, knowledge from the first %zu; %.0f steps per second, making them "
      "included\n",
      static_cast<unsigned long long>(steps), static_cast<unsigned long long>(segments), kept.size(),
      static_cast<double>(steps) / stream_s);
  Table table("edge case: a rollout of a million steps");
  table.row("memory that the stream took [MB]", std::max(most_MB, memory_MB()) - before_MB, below(200), below(20));
  table.row("peak memory [MB]", peak_memory_MB(), below(2000), below(200));
  table.row("its record [bytes]", static_cast<double>(result.record.tags_json.size()), below(65536), below(16384));
  table.row("orphan nodes", static_cast<double>(chain->pipeline().metrics().orphans), exactly(0), exactly(0));
  return table.holds();
}

}  // namespace

Result<bool> run_edge(const Options& options) {
  DROVER_ASSIGN(const bool first, spoilt(options));
  DROVER_ASSIGN(const bool second, million(options));
  return first && second;
}

}  // namespace drover::semantics::stress

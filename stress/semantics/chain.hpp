// The whole chain from frames to stored records, with what it costs: what every stress set drives.
//
// Records go into the inbox of a coordinator's store in blocks of 256, each acknowledged when it is durable, and are
// applied at the end; or stay in memory. Making the rollouts is not timed.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "actors/semantics/pipeline.hpp"
#include "actors/semantics/segmenter.hpp"
#include "actors/semantics/sima_template.hpp"
#include "actors/sync/central_store.hpp"
#include "stress/semantics/table.hpp"

namespace drover::semantics::stress {

struct Options {
  uint64_t rollouts = 10000;
  uint64_t seed = 7;
  double rate_hz = 20;
  std::string configs;
  std::string store;       // folder; empty: a temporary one
  bool in_memory = false;  // records stay in memory
  bool sync = true;
  std::string documents;  // where the knowledge documents go; empty: nowhere
  uint64_t long_steps = 1'000'000;
};

// A folder that is gone in the end.
class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Where records go.
class Sink {
 public:
  Status open(const std::string& folder, bool sync);
  Status add(const Enrichment& record);
  Status flush();
  // What the centre does with them. Returns how many were applied.
  Result<uint64_t> apply();

 private:
  std::unique_ptr<sync::CentralStore> store_;
  sync::StreamId stream_{"@semantics", 1};
  BlockBuilder block_{1};
};

struct Costs {
  double segment_s = 0, learn_s = 0, cpu_s = 0, apply_s = 0;
  uint64_t episodes = 0, frames = 0, primitives = 0, records = 0, applied = 0, record_bytes = 0;
  std::vector<double> per_primitive_ms;  // of each episode, its time over its primitives
  double total_s() const { return segment_s + learn_s + apply_s; }
  double p99_ms() const;
};

class Chain {
 public:
  // `graph`: instead of the seed's. Errors: those of the configuration and the store.
  static Result<std::unique_ptr<Chain>> make(const Options& options, std::optional<TaskGraph> graph = {});

  // Frames all the way. Outcome: what came of it, as the world says.
  Result<CommitResult> take(const Rollout& rollout, const std::optional<OutcomeFacts>& outcome);
  // From facts on.
  Result<CommitResult> take(Analysis analysis, int64_t time_unix_ns = 0);
  // Decides what waits, and has the centre apply the records.
  Status finish();

  const std::vector<Segment>& segments() const { return segments_; }
  const Vocabulary& vocabulary() const { return *vocabulary_; }
  Stage2Pipeline& pipeline() { return *pipeline_; }
  const Costs& costs() const { return costs_; }
  // Rows that every set has.
  void common_rows(Table& table) const;
  // Every record that was made is JSON and UTF-8.
  bool records_are_json() const { return records_are_json_; }

 private:
  Chain() = default;
  Status keep(const CommitResult& result);

  std::unique_ptr<Vocabulary> vocabulary_;
  std::unique_ptr<Stage2Pipeline> pipeline_;
  Segmenter segmenter_{SegmenterConfig{}};
  std::vector<Segment> segments_;
  Scratch scratch_;
  Sink sink_;
  Costs costs_;
  bool check_json_ = false;
  bool records_are_json_ = true;

 public:
  void check_every_record() { check_json_ = true; }
};

// The sets. Each prints its table; false: a required bound does not hold.
Result<bool> run_mix(const Options& options);
Result<bool> run_worst(const Options& options);
Result<bool> run_edge(const Options& options);
Result<bool> run_centre(const Options& options);

}  // namespace drover::semantics::stress

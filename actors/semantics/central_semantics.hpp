// CentralSemantics: the pipeline fed from a coordinator's store. Reads datapacks and measured outcomes of every robot's
// stream by cursor, and appends enrichment records through a stream of its own.
//
// State: a checkpoint (state.json) now and then, and after it a log of what was read (step_log.hpp), a line per step.
// Exactly once: the line is durable before the records of the step are appended. After a crash the checkpoint is
// restored and what the log names is read again, which gives the same knowledge and the same records; those that the
// inbox holds are not appended again. Streams are taken in the order of robot and incarnation, one block of each in
// turn. Threads: one at a time. Blocking: belongs into an actor with a thread of its own.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "actors/semantics/datapack_facts.hpp"
#include "actors/semantics/episode_segments.hpp"
#include "actors/semantics/knowledge_view.hpp"
#include "actors/semantics/pipeline.hpp"
#include "actors/semantics/step_log.hpp"
#include "actors/sync/central_store.hpp"

namespace drover::semantics {

struct CentralSemanticsOptions {
  std::string folder;                 // of the state; made if it is not there
  std::string configs;                // vocabulary.toml, seed_ontology.toml, task_graph.toml, tagging.toml, trust.toml
  std::string stream = "@semantics";  // its own in the inbox; no node can have this name
  uint64_t read_bytes = 1u << 20;     // of one stream at a time
  // A checkpoint is written when so many bytes were read since the last one, or checkpoint_ratio times its size if that
  // is more (but never later than after checkpoint_bytes_max or checkpoint_steps_max: what a start reads again).
  uint64_t checkpoint_bytes_min = 16u << 20;
  uint64_t checkpoint_bytes_max = 256u << 20;
  double checkpoint_ratio = 32;
  uint64_t checkpoint_steps_max = 16384;
  bool read_only = false;  // looks at the state of another process; step() and documents() are refused
};

// What keeping the knowledge has cost since it was opened.
struct CentralCosts {
  uint64_t input_bytes = 0;   // payloads of the records that were read
  uint64_t record_bytes = 0;  // payloads of the records that were appended
  uint64_t log_bytes = 0;
  uint64_t checkpoint_bytes = 0;
  uint64_t checkpoints = 0;
  // Bytes written per byte of new records: (records + log + checkpoints) / records; 1 when there were none.
  double write_amplification() const;
};

struct CentralProgress {
  uint64_t datapacks = 0;  // learnt from in this call
  uint64_t segmented = 0;  // of them: from the segments that their robot found, not from the names of skills
  uint64_t outcomes = 0;
  uint64_t records = 0;  // appended
  bool more = false;     // streams hold further records
  bool changed = false;  // knowledge has a new version
};

class CentralSemantics {
 public:
  // Reads the checkpoint. Errors: those of the config files, corrupt (state file or log; delete the folder to learn
  // anew from the inbox), conflict (it was made with another vocabulary), not_found (read_only, and nothing was learnt
  // yet).
  static Result<std::unique_ptr<CentralSemantics>> open(const CentralSemanticsOptions& options);

  // Learns again what the log names, once; step() does it by itself. Errors: those of the store, corrupt (the inbox
  // ends before what was read from it).
  Status catch_up(const sync::CentralStore& store);
  // False after catching up or a checkpoint has failed half way: open it anew.
  bool usable() const { return usable_; }
  // One bounded piece of every stream. Nothing is lost or taken twice when it fails. Errors: those of store and file.
  Result<CentralProgress> step(sync::CentralStore& store);
  // Where its records go.
  sync::StreamId own_stream() const { return {options_.stream, own_incarnation_}; }
  // The documents as they stand. Evidence that was counted since goes into them, which the log notes.
  Result<std::map<std::string, Bytes>> documents();
  // Writes a checkpoint now. For tools that end.
  Status checkpoint();
  // The knowledge as it stands, for others to look at while this goes on.
  std::shared_ptr<const KnowledgeView> view() const;
  const CentralCosts& costs() const { return costs_; }
  const Stage2Pipeline& pipeline() const { return *pipeline_; }

  static std::string state_path(const std::string& folder) { return folder + "/state.json"; }

 private:
  explicit CentralSemantics(CentralSemanticsOptions options) : options_(std::move(options)) {}
  Status read_state();
  Status restore_state(std::string_view text);
  std::string state_text(uint64_t generation) const;
  Status begin_life(const std::vector<sync::StreamId>& streams);
  Status log_moves();
  Status replay(const sync::CentralStore& store, const StepMove& move);
  bool checkpoint_due() const;
  std::string log_path(uint64_t generation) const;
  Status append_pending(sync::CentralStore& store);
  Status take_stream(const sync::CentralStore& store, const sync::StreamId& stream, CentralProgress& progress);
  Status take_record(const sync::CentralStore& store, const sync::StreamId& stream, const Block& block, size_t at,
                     CentralProgress& progress);
  Result<std::optional<EpisodeSegments>> segments_before(const sync::CentralStore& store, const sync::StreamId& stream,
                                                         const Block& block, size_t at, std::string_view pack_id) const;
  void keep(CommitResult result);

  CentralSemanticsOptions options_;
  std::shared_ptr<const Vocabulary> vocabulary_;
  std::unique_ptr<Stage2Pipeline> pipeline_;
  std::map<sync::StreamId, uint64_t> cursors_;
  uint64_t own_incarnation_ = 0;     // 0: not begun
  uint64_t own_seq_ = 0;             // appended for certain
  std::vector<Enrichment> pending_;  // to be appended at own_seq_ + 1
  std::vector<StepMove> moves_;      // made, and not in the log yet
  std::vector<StepNote> to_replay_;  // of the log, until catch_up()
  uint64_t generation_ = 0;          // of the checkpoint; 0: there is none
  std::unique_ptr<StepLog> log_;     // since that checkpoint
  uint64_t bytes_since_ = 0;         // read since that checkpoint
  uint64_t checkpoint_size_ = 0;
  bool evidence_counted_ = true;  // nothing was learnt since documents()
  bool usable_ = true;
  CentralCosts costs_;
};

}  // namespace drover::semantics

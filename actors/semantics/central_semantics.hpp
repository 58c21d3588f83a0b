// CentralSemantics: the pipeline fed from a coordinator's store. Reads datapacks and measured outcomes of every robot's
// stream by cursor, appends enrichment records through a stream of its own, and keeps its state in one file.
//
// Exactly once: the state file holds cursors, pipeline and the records that are still to be appended, and is replaced
// atomically before they are. After a crash the pending records are appended again (the inbox knows repeated ones), and
// reading goes on at the cursors. Streams are taken in the order of robot and incarnation, one block of each in turn.
// Threads: one at a time. Blocking: belongs into an actor with a thread of its own.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "actors/semantics/datapack_facts.hpp"
#include "actors/semantics/pipeline.hpp"
#include "actors/sync/central_store.hpp"

namespace drover::semantics {

struct CentralSemanticsOptions {
  std::string folder;                // of the state; made if it is not there
  std::string configs;               // vocabulary.toml, seed_ontology.toml, task_graph.toml, tagging.toml, trust.toml
  std::string stream = "semantics";  // name of its own stream in the inbox
  uint64_t read_bytes = 1u << 20;    // of one stream at a time
};

struct CentralProgress {
  uint64_t datapacks = 0;  // learnt from in this call
  uint64_t outcomes = 0;
  uint64_t records = 0;  // appended
  bool more = false;     // streams hold further records
  bool changed = false;  // knowledge has a new version
};

class CentralSemantics {
 public:
  // Errors: those of the config files, corrupt (the state file; delete it to learn anew from the inbox), conflict (it
  // was made with another vocabulary).
  static Result<std::unique_ptr<CentralSemantics>> open(const CentralSemanticsOptions& options);

  // One bounded piece of every stream. Nothing is lost or taken twice when it fails. Errors: those of store and file.
  Result<CentralProgress> step(sync::CentralStore& store);
  // Where its records go.
  sync::StreamId own_stream() const { return {options_.stream, own_incarnation_}; }
  // The documents as they stand. Evidence counts go into them, and the state is saved with that.
  Result<std::map<std::string, Bytes>> documents();
  const Stage2Pipeline& pipeline() const { return *pipeline_; }

  static std::string state_path(const std::string& folder) { return folder + "/state.json"; }

 private:
  explicit CentralSemantics(CentralSemanticsOptions options) : options_(std::move(options)) {}
  Status read_state();
  Status write_state() const;
  Status append_pending(sync::CentralStore& store);
  Status take_stream(const sync::CentralStore& store, const sync::StreamId& stream, CentralProgress& progress);
  Status take_record(const RecordView& record, CentralProgress& progress);
  void keep(CommitResult result);

  CentralSemanticsOptions options_;
  std::unique_ptr<Vocabulary> vocabulary_;
  std::unique_ptr<Stage2Pipeline> pipeline_;
  std::map<sync::StreamId, uint64_t> cursors_;
  uint64_t own_incarnation_ = 0;     // 0: not begun
  uint64_t own_seq_ = 0;             // appended for certain
  std::vector<Enrichment> pending_;  // to be appended at own_seq_ + 1
  bool unsaved_ = false;             // memory is ahead of the state file
};

}  // namespace drover::semantics

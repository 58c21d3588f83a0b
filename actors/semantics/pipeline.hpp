// Stage2Pipeline: from the segments and primitives of an episode to everything that is learnt from it: tags, ontology,
// task graph, trust, decisions and the records to be stored. Pure; no clock, no disk, no threads of its own.
//
// analyse() is const and may run on any number of threads; commit() takes analyses one after the other, in a fixed
// order. Equal episodes in equal order, with equal config, give byte-equal documents, whoever analysed them and whether
// or not the state was saved and restored in between.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "actors/semantics/auditor.hpp"
#include "actors/semantics/correlator.hpp"
#include "actors/semantics/econ_watch.hpp"
#include "actors/semantics/enrichment.hpp"
#include "actors/semantics/facts.hpp"
#include "actors/semantics/invariants.hpp"
#include "actors/semantics/knowledge_text.hpp"
#include "actors/semantics/orchestrator.hpp"
#include "actors/semantics/reference.hpp"
#include "actors/semantics/refiner.hpp"
#include "actors/semantics/trust.hpp"
#include "actors/semantics/update_engine.hpp"
#include "messages/episode.hpp"

namespace drover::semantics {

struct Stage2Config {
  TaggingConfig tagging;
  OodConfig ood;
  UpdateConfig update;
  InvariantConfig invariants;
  RefinerConfig refiner;
  OrchestratorConfig orchestrator;
  TrustConfig trust;
  EconWatchConfig econ;
  uint64_t decide_every = 8;  // episodes; findings that cannot wait are decided at once
  uint64_t refine_every = 128;
  uint64_t trust_every = 128;
  size_t pending_outcomes_max = 100000;  // episodes that wait for their outcome; the oldest is forgotten
  size_t retro_packs_max = 100000;       // episodes that can still be tagged later; the oldest is forgotten
  size_t retro_per_commit_max = 8;       // records of retroactive tags per episode
};

// Parses configs/semantics/tagging.toml into everything but `trust`. Errors: invalid_argument with every problem.
Result<Stage2Config> parse_stage2_config(std::string_view toml_text, const std::string& file);
// Reads tagging.toml and trust.toml of a folder.
Result<Stage2Config> load_stage2_config(const std::string& folder);

// What one episode says, before it meets what is known.
struct Analysis {
  EpisodeFacts facts;
  EmbeddingTrack embedding;
  std::optional<OutcomeFacts> outcome;  // where it is known already
};

struct CommitResult {
  Enrichment record;                    // of this episode
  std::vector<Enrichment> retroactive;  // of earlier ones
  std::vector<Decision> decisions;      // without confirmations
  Audit audit;
  Enriched enriched;
  std::vector<OodTag> ood_found;  // also when the detector is not believed enough to tag
};

// What semantics.md 6 asks to be counted. Times are measured by whoever runs it.
struct Stage2Metrics {
  uint64_t episodes = 0;
  uint64_t primitives = 0;
  std::array<uint64_t, tag_kind_count> episodes_with{};  // carrying at least one tag of the kind
  uint64_t ood_primitives = 0;                           // segments with an OOD tag
  uint64_t refused_words = 0;
  uint64_t retroactive_records = 0;
  uint64_t forgotten_outcomes = 0;
  double write_amplification = 1;
  uint64_t orphans = 0;
  double acceptance = 1;
  uint64_t ontology_nodes = 0;
  uint64_t task_nodes = 0;
  uint64_t task_depth = 0;
  double resilience = 0;
  double share(TagKind kind) const;  // of episodes
  void write(JsonText& out) const;
};

class Stage2Pipeline {
 public:
  // The vocabulary must outlive the pipeline.
  Stage2Pipeline(const Stage2Config& config, const Vocabulary& vocabulary, OntologyStore ontology, TaskGraph graph);

  Analysis analyse(const Rollout& rollout, std::span<const Segment> segments,
                   std::span<const Primitive> primitives) const;
  CommitResult commit(Analysis analysis, int64_t time_unix_ns);

  // What an episode came to, measured later. Where the episode had brought an outcome of its own, that one was counted
  // and this one is not counted again. `real`: measured on a real robot: ground truth that outranks every other source;
  // damage makes the thing at risk in any case. Taken once per episode. Error: not_found (never seen, told already, or
  // forgotten).
  Result<std::vector<Decision>> on_outcome(std::string_view pack_id, const OutcomeFacts& outcome, bool real);
  // Urgencies from outside; those of the episodes' own outcomes come by themselves (EconWatch).
  void on_econ(const EconSignals& signals) { orchestrator_.on_econ(signals); }
  // A proposal of the VLA, of diffusion or of the economy.
  Status submit(Proposal proposal) { return update_.submit(std::move(proposal)); }
  // Decides everything that waits and hands out all retroactive records. Call at the end of a batch.
  CommitResult settle(int64_t time_unix_ns);

  const Vocabulary& vocabulary() const { return *vocabulary_; }
  const Orchestrator& orchestrator() const { return orchestrator_; }
  const UpdateEngine& update() const { return update_; }
  const TrainingReference& reference() const { return reference_; }
  Correlator& correlator() { return correlator_; }
  const Resilience& resilience() const { return resilience_; }
  Stage2Metrics metrics() const;
  TrainingFocus focus() const;
  // The documents as they stand (evidence counts included).
  std::map<std::string, Bytes> documents();

  // The whole state as one document; restore() goes on as if nothing had happened.
  std::string save() const;
  Status restore(std::string_view saved);

 private:
  struct Known {
    std::string pack_id;
    std::vector<std::pair<TermId, Reason>> failures;  // at least one
  };
  struct Waiting {
    uint32_t bits = 0;
    bool counted = false;  // the episode brought an outcome itself
    TermId object;         // what was most at risk; none: nothing was there
    double energy_Wh = 0;
    std::string episode_id;
  };

  void map_concepts(EpisodeFacts& facts) const;
  std::vector<std::string> novel_pairs(const EpisodeFacts& facts);
  double expected_Wh(const EpisodeFacts& facts) const;
  void count(const EpisodeFacts& facts, const Enriched& enriched);
  void count_outcome(const OutcomeFacts& outcome, double energy_Wh);
  TermId most_at_risk(const EpisodeFacts& facts, const TagSet& tags) const;
  void remember(const EpisodeFacts& facts, uint32_t bits, const Enriched& enriched, bool outcome_known);
  void decide(InvariantFindings findings, bool now, std::vector<Decision>& out);
  void queue_retroactive(const std::vector<Decision>& decisions);
  void take_retroactive(size_t at_most, int64_t time_unix_ns, std::vector<Enrichment>& out);
  EnrichmentStamp stamp(int64_t time_unix_ns) const;
  void write_state(JsonText& out) const;
  Status read_state(const nlohmann::json& root);
  Status read_episodes(const nlohmann::json& root);

  Stage2Config config_;
  const Vocabulary* vocabulary_;
  Orchestrator orchestrator_;
  UpdateEngine update_;
  Invariants invariants_;
  Refiner refiner_;
  TrainingReference reference_;
  Correlator correlator_;
  Resilience resilience_;
  Stage2Metrics metrics_;
  std::map<std::pair<Label, TermId>, uint64_t> pairs_;       // how often an action met an object
  std::map<Family, std::pair<double, uint64_t>> family_Wh_;  // of measured successes
  std::deque<uint8_t> last_failed_;                          // of the last 100 episodes
  std::map<std::string, uint64_t> mark_counts_;
  struct Output {  // of episodes with a known outcome, by blocks of a thousand
    double sum = 0;
    uint64_t count = 0;
    double last_mean = 0;    // of the last full block
    double before_mean = 0;  // of the one before
    uint64_t blocks = 0;
  };
  Output output_;
  EconWatch econ_watch_;
  std::map<std::string, Waiting, std::less<>> waiting_;  // for their outcome, by pack id
  std::deque<std::string> waiting_order_;
  std::deque<Known> known_;                                // episodes in which something failed
  uint64_t known_base_ = 0;                                // index of known_.front() among all such ever
  std::map<uint64_t, std::set<std::string>> retroactive_;  // index -> words to come
  std::string retro_because_;                              // last decision that queued any
};

}  // namespace drover::semantics

// Invariants: what must hold between what was seen and what is known, watched episode by episode. Pure; one writer.
//
// - Recovery imperative: high risk, success, no recovery: the episode was `lucky`, and a verification is suggested.
// - OOD containment: a severity above critical without a recovery right after it: a safety stop is proposed.
// - Alien object: severe visual OOD: an inspection is suggested.
// - Fragility-recovery duality: a fragility node without a recovery node for more than 100 episodes: missing_skill
// alert.
// - Doom loop: N failures of one primitive for one reason in a row: fragility `locked` and an abort node.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "actors/semantics/enrichment.hpp"
#include "actors/semantics/facts.hpp"
#include "actors/semantics/ontology.hpp"
#include "actors/semantics/refiner.hpp"
#include "actors/semantics/task_graph.hpp"

namespace drover::semantics {

struct InvariantConfig {
  uint32_t doom_loop_failures = 5;   // in a row, of one primitive of one robot, for one reason
  uint64_t unpaired_episodes = 100;  // longer than this without a recovery: a skill is missing
  double ood_critical = 0.8;         // severity above it must be contained
  double inspect_from = 0.8;         // visual severity from which an inspection is suggested
  size_t streaks_max = 4096;         // primitives watched at a time; the least recently failed is forgotten
};

struct SemanticAlert {
  std::string kind;     // missing_skill | doom_loop | calibration
  std::string subject;  // node or tag
  std::string message;
  uint64_t episode = 0;  // count of episodes when it was raised
  bool operator==(const SemanticAlert&) const = default;
};

struct InvariantFindings {
  std::vector<Proposal> proposals;
  std::vector<Refinement> refinements;
  std::vector<SemanticAlert> alerts;
};

class Invariants {
 public:
  Invariants(const InvariantConfig& config, const Vocabulary& vocabulary) : config_(config), vocabulary_(&vocabulary) {}

  // One episode; `enriched` gets the mark doom_loop when it belongs to one.
  InvariantFindings watch(const EpisodeFacts& facts, Enriched& enriched, const Ontology& ontology,
                          const TaskGraph& graph);
  uint64_t episodes() const { return episodes_; }

  std::string json() const;
  Status restore(std::string_view json);

 private:
  struct Streak {
    Reason reason = Reason::none;
    uint32_t failures = 0;
    uint64_t last_episode = 0;
    bool operator==(const Streak&) const = default;
  };

  void lucky(const EpisodeFacts& facts, const Enriched& enriched, const TaskGraph& graph, InvariantFindings& out) const;
  void contain(const EpisodeFacts& facts, const Enriched& enriched, const Ontology& ontology, const TaskGraph& graph,
               InvariantFindings& out) const;
  void doom(const EpisodeFacts& facts, Enriched& enriched, const TaskGraph& graph, InvariantFindings& out);
  void pair_up(const Ontology& ontology, InvariantFindings& out);

  InvariantConfig config_;
  const Vocabulary* vocabulary_;
  uint64_t episodes_ = 0;
  std::map<std::string, Streak> streaks_;           // "robot|label|object"
  std::map<std::string, uint64_t> unpaired_since_;  // fragility node -> episode
  std::set<std::string> alerted_;                   // fragility nodes that have their alert
};

}  // namespace drover::semantics

// Orchestrator: the one place that applies suggestions. A pure state machine: suggestions and signals in, decisions and
// new versions of the knowledge out. Advisory: it decides what the fleet is told, never what anything is worth.
//
// Every decision is kept with its reason and the whole suggestion, so that explain() can follow any node, suggestion or
// decision down to the episodes and segments it rests on. Deterministic: decisions depend on the inputs and their
// order.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "actors/semantics/invariants.hpp"
#include "actors/semantics/ontology.hpp"
#include "actors/semantics/refiner.hpp"
#include "actors/semantics/task_graph.hpp"
#include "actors/semantics/trust.hpp"
#include "messages/bytes.hpp"

namespace drover::semantics {

struct OrchestratorConfig {
  double urgent = 0.6;        // an econ signal above it lifts what addresses it by one priority
  size_t refused_max = 2048;  // refusals that are kept; older ones are only counted
  size_t applied_max = 65536;
  size_t deferred_max = 512;  // suggestions that wait for trust
  size_t alerts_max = 1024;
};

enum class Verdict : uint8_t {
  applied,    // changed the ontology or the graph
  confirmed,  // was known; evidence was added
  deferred,   // leans on a tag that is not believed enough yet; tried again when trust changes
  refused,
};
std::string_view verdict_name(Verdict verdict) noexcept;

struct Decision {
  uint64_t number = 0;
  Verdict verdict = Verdict::refused;
  std::string suggestion;  // id: p-... or r-...
  std::string node;        // what it is about
  std::string reason;      // why refused or deferred
  std::string content;     // the suggestion as JSON
  uint64_t episode = 0;    // count of episodes when it was decided
  uint64_t ontology_version = 0;
  uint64_t graph_version = 0;
  std::string id() const;  // "d-12"
};

// What training should look at next.
struct FocusTag {
  std::string tag;
  double weight = 0;  // 0..1
  std::string why;
};
struct TrainingFocus {
  std::array<double, 3> tier_shares{0.2, 0.5, 0.3};  // redundant, context-novel, causal-novel
  std::vector<FocusTag> tags;                        // worst gap first
  CurriculumStage phase = CurriculumStage::warmup;
  std::vector<std::string> why;
  void write(JsonText& out) const;
};
// What the fleet has, for gap analysis.
struct FleetState {
  uint64_t episodes = 0;
  double error_rate = 0;                       // over the last 100 episodes
  double affordance_success = 0;               // share of attempts that worked, all skills
  double mpl_growth = 0;                       // relative, over the last 1000 episodes
  std::map<std::string, uint64_t> tag_counts;  // episodes by tag kind or mark
};
struct FocusTargets {
  double success = 0.95;  // of each skill
  std::map<std::string, double> tag_shares = {
      {"RiskTag", 0.2}, {"FragilityTag", 0.15}, {"EfficiencyTag", 0.1}, {"NoveltyTag", 0.15}, {"InterventionTag", 0.1}};
};

struct DecisionCounts {
  uint64_t proposals = 0;  // well-formed ones
  uint64_t invalid = 0;
  uint64_t applied = 0, confirmed = 0, deferred = 0, refused = 0, outranked = 0;
  // Accepted share of the well-formed: (applied + confirmed) / (all but outranked). 1 when there was none.
  double acceptance() const;
};

class Orchestrator {
 public:
  Orchestrator(const OrchestratorConfig& config, const Vocabulary& vocabulary, OntologyStore ontology, TaskGraph graph,
               const TrustConfig& trust);

  // Decides a batch: reconciles the proposals, applies what stands, then the refinements; seals new versions.
  // Returns the decisions in order, confirmations left out.
  std::vector<Decision> decide(std::vector<Proposal> proposals, std::vector<Refinement> refinements, uint64_t episode);
  // A new trust matrix: what waited for it is decided again. Alerts are raised for tags that fell.
  std::vector<Decision> on_trust(const TrustMatrix& matrix, uint64_t episode);
  void on_econ(const EconSignals& signals) { econ_ = signals; }
  void raise(SemanticAlert alert);

  // Gap analysis over skills and tags; advice only.
  TrainingFocus propose_training_focus(const SkillTable& skills, const FleetState& fleet,
                                       const FocusTargets& targets) const;

  // The chain of a decision (d-..), suggestion (p-.., r-..), ontology node or task node, as JSON: what it is, who said
  // so, why, and the evidence down to episodes and segments. Error: not_found.
  Result<std::string> explain(std::string_view id) const;
  // The same for people.
  Result<std::string> explain_text(std::string_view id) const;

  const OntologyStore& ontology() const { return ontology_; }
  OntologyStore& ontology_for_evidence() { return ontology_; }
  const TaskGraph& graph() const { return graph_; }
  const TrustMatrix& trust() const { return trust_; }
  const EconSignals& econ() const { return econ_; }
  const DecisionCounts& counts() const { return counts_; }
  const std::deque<Decision>& decisions() const { return decisions_; }  // applied, oldest first
  const std::deque<Decision>& refusals() const { return refusals_; }    // refused and deferred
  const std::deque<SemanticAlert>& alerts() const { return alerts_; }

  std::string json() const;  // but for the trust matrix, which has a document of its own
  Status restore(std::string_view json, const TrustMatrix& trust);

 private:
  Decision decide_proposal(const Proposal& proposal, uint64_t episode);
  Decision decide_refinement(const Refinement& refinement, uint64_t episode);
  void keep(const Decision& decision);
  void lift(Proposal& proposal) const;
  std::string chain_json(std::string_view id, size_t depth) const;
  const Decision* decision_of(std::string_view suggestion) const;
  Status restore_waiting(const nlohmann::json& root);

  OrchestratorConfig config_;
  const Vocabulary* vocabulary_;
  OntologyStore ontology_;
  TaskGraph graph_;
  TrustConfig trust_config_;
  TrustMatrix trust_;
  EconSignals econ_;
  DecisionCounts counts_;
  uint64_t next_number_ = 1;
  std::deque<Decision> decisions_;
  std::deque<Decision> refusals_;
  std::deque<SemanticAlert> alerts_;
  std::map<std::string, Proposal> waiting_proposals_;  // deferred, by id
  std::map<std::string, Refinement> waiting_refinements_;
};

}  // namespace drover::semantics

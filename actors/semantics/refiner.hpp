// Refiner: from what was learnt to suggestions for the task graph; and how a suggestion is applied. Pure.
//
// Each suggestion names one operation of TaskGraph with its reason and evidence. The same suggestion is made once: ids
// depend on the content alone, and what was made is remembered. Suggestions are bounded by the graph times the
// vocabulary, never by the number of episodes.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "actors/semantics/ontology.hpp"
#include "actors/semantics/task_graph.hpp"
#include "actors/semantics/update_engine.hpp"

namespace drover::semantics {

enum class RefinementType : uint8_t {
  split,              // target skill -> name, second (actions)
  insert_checkpoint,  // target, name role, before
  reorder,            // target composite, energy_Wh
  merge,              // target kept, other gone
  add_precondition,   // target, name condition
  parallelize,        // target, other
  insert_recovery,    // target, name failure, second recovery or "abort"
  adjust_priority,    // target, new_priority
};
inline constexpr size_t refinement_type_count = 8;
std::string_view refinement_type_name(RefinementType type) noexcept;

struct Refinement {
  RefinementType type = RefinementType::insert_checkpoint;
  std::string target;
  std::string other;
  std::string name;
  std::string second;
  bool before = true;
  std::map<std::string, double> energy_Wh;
  Priority new_priority = Priority::medium;
  Priority priority = Priority::medium;  // of the suggestion itself
  Source source = Source::sima2;
  double confidence = 0.7;
  std::string source_tag;  // tag kind it leans on; trust in it gates the suggestion
  std::string rationale;
  std::vector<std::string> because;  // ids of ontology nodes or proposals that led to it
  EvidenceTrail evidence;

  // "r-" and 16 hex digits of what it does.
  std::string id() const;
};

// Applies to the graph. Errors: those of the operation; what changes nothing is already_exists.
Status apply(TaskGraph& graph, const Refinement& refinement);
void write(JsonText& out, const Refinement& refinement);

// How much is at stake, 0..1 each: what the economy says is urgent. Handed in; nothing here can ask for it.
struct EconSignals {
  double error_urgency = 0;
  double energy_urgency = 0;
  double mpl_urgency = 0;
  bool operator==(const EconSignals&) const = default;
};

struct RefinerConfig {
  uint64_t split_failures = 20;  // of one kind before a skill is split by it
  double split_share = 0.3;      // of its attempts
  uint64_t priority_attempts = 50;
  double priority_failure_share = 0.3;
  double urgent = 0.6;           // an econ signal above it counts as urgent
  double risky = 0.6;            // risk of an object from which its handling is verified
  size_t suggestions_max = 256;  // per call
};

class Refiner {
 public:
  explicit Refiner(const RefinerConfig& config) : config_(config) {}

  // All that is to be suggested now, most urgent first, then by id.
  std::vector<Refinement> suggest(const TaskGraph& graph, const Ontology& ontology, const Vocabulary& vocabulary,
                                  const SkillTable& skills, const EconSignals& econ);
  // A checkpoint "verify" before each skill that moves something fragile or risky.
  std::vector<Refinement> safety_checkpoints(const TaskGraph& graph, const Ontology& ontology) const;

  const std::set<std::string>& made() const { return made_; }
  void restore_made(std::set<std::string> made) { made_ = std::move(made); }

 private:
  struct Looked;
  void recoveries(const Looked& at, std::vector<Refinement>& out) const;
  void preconditions(const Looked& at, std::vector<Refinement>& out) const;
  void splits(const Looked& at, std::vector<Refinement>& out) const;
  void priorities(const Looked& at, std::vector<Refinement>& out) const;
  void orders(const Looked& at, std::vector<Refinement>& out) const;
  void merges(const Looked& at, std::vector<Refinement>& out) const;
  void parallels(const Looked& at, std::vector<Refinement>& out) const;

  RefinerConfig config_;
  std::set<std::string> made_;  // ids
};

}  // namespace drover::semantics

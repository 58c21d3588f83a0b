// Proposal: a typed suggestion to change the ontology, with its reason and the evidence behind it. Pure values.
//
// Anybody may propose; only the orchestrator applies. Two proposals about the same fact (equal fact_key) with different
// values are in conflict, and which one stands depends on the proposals alone, never on the order of their arrival.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "actors/semantics/vocabulary.hpp"
#include "messages/result.hpp"

namespace drover::semantics {

class JsonText;

enum class ProposalType : uint8_t {
  add_affordance,              // target object, name affordance
  adjust_risk,                 // target object, value risk 0..1
  infer_fragility,             // target object, name failure, value severity 0..1
  add_object_category,         // name object, value category text or risk
  add_semantic_tag,            // target object, name tag
  add_skill_gate,              // target object, name action, value minimum trust 0..1 of who may do it
  add_safety_constraint,       // target object, name constraint, value limit
  add_energy_heuristic,        // target object, name action, value expected Wh
  update_object_relationship,  // target object, name relation, other object | or recovered_by: name of both, below
};
inline constexpr size_t proposal_type_count = 9;
std::string_view proposal_type_name(ProposalType type) noexcept;

enum class Priority : uint8_t { critical, high, medium, low };
std::string_view priority_name(Priority priority) noexcept;

// In order of rank: what a source before another says stands against it.
enum class Source : uint8_t { real_log, econ_signals, sima2, vla, diffusion, seed };
std::string_view source_name(Source source) noexcept;
std::optional<Source> source_from_name(std::string_view name) noexcept;

// Where a fact was seen.
struct EvidenceRef {
  std::string episode;  // episode or rollout id
  std::string segment;  // "<rollout>/<ordinal>"; empty: the whole episode
  double start_s = 0;
  double end_s = 0;
  bool operator==(const EvidenceRef&) const = default;
};

// All that was seen of one fact: how often, the first times and the last times. Bounded.
class EvidenceTrail {
 public:
  static constexpr size_t first_max = 4;
  static constexpr size_t last_max = 4;

  void add(const EvidenceRef& ref) { add(ref.episode, ref.segment, ref.start_s, ref.end_s); }
  void add(std::string_view episode, std::string_view segment, double start_s, double end_s);
  // Adds another trail that was seen later.
  void merge(const EvidenceTrail& later);
  uint64_t count() const { return count_; }
  const std::vector<EvidenceRef>& first() const { return first_; }
  std::vector<EvidenceRef> last() const;  // oldest first
  bool operator==(const EvidenceTrail& other) const;

  void write(JsonText& out) const;
  static Result<EvidenceTrail> read(const nlohmann::json& from);

 private:
  uint64_t count_ = 0;
  std::vector<EvidenceRef> first_;
  std::vector<EvidenceRef> last_;  // ring: entry i % last_max
  uint64_t ring_ = 0;              // how many were put into the ring
};

using Value = std::variant<std::monostate, double, std::string>;
void append_value(JsonText& out, const Value& value);

struct Proposal {
  ProposalType type = ProposalType::add_affordance;
  std::string target;  // object term; for recovered_by "object/failure"; empty for add_object_category
  std::string name;    // a term, see ProposalType
  std::string other;   // object term, or the recovery term of recovered_by
  Value value;
  Priority priority = Priority::medium;
  Source source = Source::sima2;
  double confidence = 0;   // 0..1
  std::string source_tag;  // the tag kind it leans on ("RiskTag"); empty: none. Trust in that tag gates it.
  std::string rationale;
  EvidenceTrail evidence;

  // What it is about: type, target, name and other. Equal keys with different values are a conflict.
  std::string fact_key() const;
  // "p-" and 16 hex digits of everything but evidence, priority and words: equal suggestions have equal ids.
  std::string id() const;
};

// Well formed: known terms, values in range, confidence in [0, 1]. The error names the field and the word.
Status validate(const Proposal& proposal, const Vocabulary& vocabulary);

// One proposal per fact, best first inside a fact: rank of source, then confidence, then id; evidence of equal
// suggestions is added up. The result is ordered by priority, then source, then id. The same for any
// order of arrival.
struct Reconciled {
  std::vector<Proposal> standing;
  std::vector<std::pair<Proposal, std::string>> outranked;  // with the id of the one that stands
};
Reconciled reconcile(std::vector<Proposal> proposals);
// True when `a` stands against `b`.
bool outranks(const Proposal& a, const Proposal& b);

void write(JsonText& out, const Proposal& proposal);

}  // namespace drover::semantics

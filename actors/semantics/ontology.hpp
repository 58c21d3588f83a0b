// Ontology: what the fleet knows about things: objects, affordances, constraints, relations, fragility and recovery
// nodes.
//
// Invariants: a node is never deleted; each node hangs on an object (or on a fragility node) that is there, so there
// are no orphans; ids say what the node is ("affordance:drawer/pullable"), so a fact has exactly one node; every node
// keeps who said it first and last, how sure, and the evidence. Pure; one writer.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actors/semantics/proposal.hpp"
#include "actors/semantics/vocabulary.hpp"
#include "messages/result.hpp"

namespace drover::semantics {

enum class NodeKind : uint8_t { object, affordance, constraint, relation, fragility, recovery };
std::string_view node_kind_name(NodeKind kind) noexcept;

struct OntologyNode {
  std::string id;  // "object:drawer", "fragility:vase/collision", "recovery:handle/grasp_slip/re_grasp"
  NodeKind kind = NodeKind::object;
  std::string name;     // the term: affordance, constraint, relation, failure, recovery
  std::string subject;  // id of the node it hangs on; empty for objects
  std::string other;    // id of the other end of a relation
  Value value;          // risk of an object, limit of a constraint, severity of a fragility, expected Wh ...
  std::string detail;   // what the value is about where the name does not say: the action of a gate or a heuristic
  std::vector<std::string> tags;  // sorted
  double confidence = 0;
  Source source = Source::seed;
  uint64_t since_version = 0;    // made in
  uint64_t changed_version = 0;  // last changed in
  std::string because;           // id of the proposal that made or last changed it; empty: seed
  EvidenceTrail evidence;
  bool operator==(const OntologyNode&) const = default;
};

struct Ontology {
  std::map<std::string, OntologyNode, std::less<>> nodes;

  const OntologyNode* find(std::string_view id) const;
  // Risk of an object term, 0.3 when nothing is known.
  double risk_of(std::string_view object) const;
  bool has_tag(std::string_view object, std::string_view tag) const;
  // Nodes that hang on what is not there. Always empty; counted because it is promised.
  std::vector<std::string> orphans() const;
  // Fragility nodes without a recovery node.
  std::vector<const OntologyNode*> unpaired_fragilities() const;
};

std::string object_id(std::string_view object);
std::string affordance_id(std::string_view object, std::string_view affordance);
std::string fragility_id(std::string_view object, std::string_view failure);
// The node that a proposal is about.
std::string node_id_of(const Proposal& proposal);

// One change, as it stands in the log: what was written to which field of which node, and why.
struct OntologyChange {
  uint64_t version = 0;
  std::string node;
  std::string field;   // "node" for a new node
  std::string before;  // JSON
  std::string after;   // JSON
  std::string proposal;
};

// What applying did.
enum class ApplyOutcome : uint8_t {
  created,    // a node that was not there
  changed,    // a value of a node
  confirmed,  // known already: evidence and confidence only, nothing written
};

// Holds the ontology that is in force, its version and the log of changes. Readers get immutable snapshots.
class OntologyStore {
 public:
  static constexpr size_t log_max = 8192;      // older changes are part of the base
  static constexpr size_t nodes_max = 100000;  // more are refused

  // Parses configs/semantics/seed_ontology.toml. Errors: invalid_argument with every problem.
  static Result<OntologyStore> from_seed(std::string_view toml_text, const std::string& file,
                                         const Vocabulary& vocabulary);
  static Result<OntologyStore> load_seed(const std::string& path, const Vocabulary& vocabulary);

  // Applies a valid proposal. Each new or changed fact is one entry in the log; what is known already is confirmed
  // without one. Errors: not_found (the object it hangs on), refused (another source of higher rank, or the same with
  // more confidence, says otherwise: names it), overloaded (nodes_max).
  Result<ApplyOutcome> apply(const Proposal& proposal);
  // Evidence that was seen since for a node that is there; no entry in the log. False: no such node.
  bool support(std::string_view node, const EvidenceTrail& later);

  // Counts up with each batch that changed anything: call once after applying a batch. Returns the version in force.
  uint64_t seal();
  uint64_t version() const { return version_; }
  const Ontology& current() const { return *current_; }
  // Stays as it is while the store goes on.
  std::shared_ptr<const Ontology> snapshot() const { return current_; }

  // Changes newer than `version`; nothing when the log does not reach back that far (take the document then).
  std::optional<std::vector<OntologyChange>> changes_since(uint64_t version) const;
  const std::vector<OntologyChange>& log() const { return log_; }

  // Entries ever written, and how many different facts (node and field) they wrote.
  uint64_t writes() const { return writes_; }
  uint64_t facts_written() const { return facts_; }
  // writes / facts: 1 when no fact was ever written twice. 1 when nothing was written.
  double write_amplification() const;

  // The published document: deterministic JSON, one node per line. restore(json()) gives an equal store but for the
  // log.
  std::string json() const;
  static Result<OntologyStore> restore(std::string_view json);

 private:
  Ontology& writable();
  Result<ApplyOutcome> create(const Proposal& proposal, std::string id);
  Result<ApplyOutcome> change(const Proposal& proposal, const std::string& id);
  Result<ApplyOutcome> add_tag(const Proposal& proposal);
  Status needs_ends(const Proposal& proposal) const;
  void note(const std::string& node, std::string field, std::string before, std::string after,
            const std::string& proposal);

  std::shared_ptr<Ontology> current_ = std::make_shared<Ontology>();
  uint64_t version_ = 1;
  bool unsealed_ = false;
  std::vector<OntologyChange> log_;
  uint64_t log_base_version_ = 1;  // the log holds every change made in versions after this one
  uint64_t writes_ = 0;
  uint64_t facts_ = 0;
  std::map<std::string, uint32_t, std::less<>> written_;  // "node|field" -> times
};

}  // namespace drover::semantics

// UpdateEngine: from what episodes show to proposals for the ontology; and the door for proposals of others. Pure.
//
// Counts per fact, in terms of the vocabulary, so memory is bounded by the vocabulary and not by the episodes. A fact
// is proposed once when enough was seen, again only when a better source shows it or its value has moved; all later
// evidence is added to the node's trail without a proposal. A thousand failures make one node with a count of a
// thousand.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "actors/semantics/enrichment.hpp"
#include "actors/semantics/facts.hpp"
#include "actors/semantics/ontology.hpp"
#include "actors/semantics/proposal.hpp"

namespace drover::semantics {

struct UpdateConfig {
  uint64_t affordance_successes = 1;  // a success that clearly is one shows that it can be done
  double affordance_confidence = 0.6;
  uint64_t fragility_failures = 3;  // of one kind on one object
  uint64_t recoveries = 2;          // of one kind before it is a recovery node
  uint64_t collisions = 3;          // before a force limit is proposed
  double force_margin = 0.8;        // the limit, as a share of the least force that was a collision
  uint64_t gate_attempts = 30;      // of a skill on an object before it may be gated
  double gate_failure_share = 0.5;
  double gate_trust = 0.8;          // who may still do it
  uint64_t heuristic_samples = 20;  // measured successes before an expected energy is proposed
  double heuristic_step = 0.25;     // relative change before it is proposed again
  uint64_t tag_failures = 10;       // failures of a kind before the object is called so
  uint64_t risk_attempts = 50;      // attempts on an object before its risk is judged; then at each doubling
  double risk_step = 0.15;
  double risk_prior_weight = 20;
  size_t pending_max = 1024;  // proposals of others that wait; more are refused
  size_t drain_max = 64;      // proposals per drain; the rest waits
};

// How one skill of one family fares, for the refiner.
struct SkillKey {
  Family family = Family::other;
  Label label = Label::idle;
  TermId object;
  auto operator<=>(const SkillKey&) const = default;
};
struct SkillStats {
  uint64_t attempts = 0;
  uint64_t failures = 0;
  std::array<uint64_t, reason_count> by_reason{};
  double energy_sum_Wh = 0;  // of measured successes
  uint64_t energy_count = 0;
  EvidenceTrail failed;
};
using SkillTable = std::map<SkillKey, SkillStats>;

class UpdateEngine {
 public:
  UpdateEngine(const UpdateConfig& config, const Vocabulary& vocabulary) : config_(config), vocabulary_(&vocabulary) {}

  void observe(const EpisodeFacts& facts, const Enriched& enriched);
  // A proposal of somebody else. Equal ones are added up while they wait. Errors: those of validate(), overloaded.
  Status submit(Proposal proposal);
  // What is due now, unreconciled. What hangs on an object that the ontology lacks waits until it is there.
  std::vector<Proposal> drain(const Ontology& ontology);
  // Adds what was seen since the proposals to the trails of their nodes.
  void flush_evidence(OntologyStore& store);

  const SkillTable& skills() const { return skills_; }
  // Failures of this kind on this object so far.
  uint64_t failures(std::string_view object, std::string_view failure) const;
  size_t waiting() const { return due_.size() + pending_.size(); }

  std::string json() const;
  Status restore(std::string_view json);

 private:
  enum class Kind : uint8_t { object, affordance, fragility, recovered, max_force, gate, heuristic, tag, risk };
  struct Key {
    Kind kind = Kind::object;
    TermId object;
    uint8_t detail = 0;  // label or reason
    TermId term;         // affordance, recovery or tag
    auto operator<=>(const Key&) const = default;
  };
  struct Track {
    uint64_t count = 0;     // times that the fact was shown
    uint64_t attempts = 0;  // times that it could have been
    double sum = 0;
    double least = 0;
    EvidenceTrail fresh;         // since the proposal or the last flush
    Source best = Source::seed;  // of those who showed it
    Source sent = Source::seed;  // best when it was last proposed
    double sent_value = 0;
    bool sent_once = false;
  };

  Track& show(const Key& key, const EpisodeFacts& facts, const ActionFact& action);
  void observe_failure(const EpisodeFacts& facts, const ActionFact& action);
  void observe_success(const EpisodeFacts& facts, const ActionFact& action);
  void observe_skill(const EpisodeFacts& facts, const ActionFact& action);
  void observe_recoveries(const EpisodeFacts& facts, const Enriched& enriched);
  void consider(const Key& key, Track& track);
  bool enough(const Key& key, const Track& track) const;
  double value_now(const Key& key, const Track& track, const Ontology& ontology) const;
  void describe_seen(const Key& key, const Track& track, Proposal& out) const;
  void describe_measured(const Key& key, const Track& track, double value, Proposal& out) const;
  Proposal proposal_of(const Key& key, const Track& track, const Ontology& ontology) const;
  Result<Key> read_key(const nlohmann::json& item) const;
  Status read_tracks(const nlohmann::json& root);
  Status read_skills(const nlohmann::json& root);
  void write_tracks(JsonText& out) const;
  void write_skills(JsonText& out) const;

  UpdateConfig config_;
  const Vocabulary* vocabulary_;
  std::map<Key, Track> tracks_;
  std::set<Key> due_;
  std::map<std::string, Proposal> pending_;  // of others, by id
  SkillTable skills_;
};

}  // namespace drover::semantics

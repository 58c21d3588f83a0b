// Primitive: what one segment teaches, in words; what the ontology and the task graph learn from. Pure.
//
// Exactly one primitive per segment, in the order of the segments; its id is the segment's key.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "actors/semantics/rollout.hpp"
#include "actors/semantics/segment.hpp"
#include "messages/result.hpp"

namespace drover::semantics {

enum class PrimitiveType : uint8_t {
  action,      // something that can be done
  object,      // something that is there
  relation,    // how two things hang together: held, lying on
  constraint,  // something that does not go: locked, in the way
};
std::string_view primitive_type_name(PrimitiveType value) noexcept;

// Where it was seen.
struct Evidence {
  std::string rollout_id;
  uint32_t segment_id = 0;
  double start_s = 0;
  double end_s = 0;
  bool operator==(const Evidence&) const = default;
};

struct Primitive {
  std::string id;  // segment_key
  PrimitiveType type = PrimitiveType::action;
  std::string name;         // "pull_drawer", "locked_drawer", "slip_cup": verb or state, then the object's category
  std::string description;  // one sentence with figures
  double confidence = 0;    // 0..1
  bool ambiguous = false;   // confidence below the threshold
  std::vector<Evidence> evidence;
  std::optional<std::string> concept_id;  // of the ontology; nothing close enough: none

  // What it was made from, so that nobody has to take the name apart.
  RolloutSource source = RolloutSource::sima2;
  Family family = Family::other;
  Label label = Label::idle;
  Outcome outcome = Outcome::success;
  Reason reason = Reason::none;
  std::string object_name;  // empty: about nothing in particular
  std::string object_category;
  SegmentMetrics metrics;
};

// The door to the ontology: implemented by whoever has one. Must be deterministic.
class ConceptLookup {
 public:
  struct Match {
    std::string concept_id;
    double closeness = 0;  // 0..1
  };
  virtual ~ConceptLookup() = default;
  // The closest concept, or none at all.
  virtual std::optional<Match> closest(const Primitive& primitive) const = 0;
};

struct PrimitiveConfig {
  double ambiguous_below = 0.6;  // confidence, 0..1
  double closeness_min = 0.5;    // a match below it is no mapping
};

// `segments` are those of `rollout`. `concepts` may be null: nothing is mapped. Never fails.
std::vector<Primitive> extract_primitives(const Rollout& rollout, std::span<const Segment> segments,
                                          const PrimitiveConfig& config, const ConceptLookup* concepts = nullptr);

}  // namespace drover::semantics

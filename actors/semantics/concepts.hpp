// Concepts: what an act or a primitive maps to in the ontology. Pure.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "actors/semantics/ontology.hpp"
#include "actors/semantics/primitive.hpp"
#include "actors/semantics/vocabulary.hpp"

namespace drover::semantics {

// A failure maps to its fragility node, a success to the affordance that it shows (closeness 1), either to the object
// itself where that is all that is known (0.7), else to nothing.
std::optional<ConceptLookup::Match> closest_concept(const Ontology& ontology, std::string_view object,
                                                    std::string_view affordance, std::string_view failure);

// The ontology as the primitive extractor looks at it: a snapshot, safe to use from any thread.
class OntologyConcepts final : public ConceptLookup {
 public:
  OntologyConcepts(const Vocabulary& vocabulary, std::shared_ptr<const Ontology> ontology)
      : vocabulary_(&vocabulary), ontology_(std::move(ontology)) {}
  std::optional<Match> closest(const Primitive& primitive) const override;

 private:
  const Vocabulary* vocabulary_;
  std::shared_ptr<const Ontology> ontology_;
};

}  // namespace drover::semantics

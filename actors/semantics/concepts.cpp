#include "actors/semantics/concepts.hpp"

namespace drover::semantics {
namespace {

constexpr double close_object = 0.7;

}  // namespace

std::optional<ConceptLookup::Match> closest_concept(const Ontology& ontology, std::string_view object,
                                                    std::string_view affordance, std::string_view failure) {
  if (object.empty()) return std::nullopt;
  if (!failure.empty()) {
    std::string id = fragility_id(object, failure);
    if (ontology.find(id) != nullptr) return ConceptLookup::Match{std::move(id), 1.0};
  } else if (!affordance.empty()) {
    std::string id = affordance_id(object, affordance);
    if (ontology.find(id) != nullptr) return ConceptLookup::Match{std::move(id), 1.0};
  }
  std::string id = object_id(object);
  if (ontology.find(id) == nullptr) return std::nullopt;
  return ConceptLookup::Match{std::move(id), close_object};
}

std::optional<ConceptLookup::Match> OntologyConcepts::closest(const Primitive& p) const {
  const Vocabulary& v = *vocabulary_;
  const std::string_view object = v.name(v.find(TermKind::object, p.object_category));
  const std::string_view shown = v.name(v.affordance_of(v.find(TermKind::action, label_name(p.label))));
  return closest_concept(*ontology_, object, shown, p.outcome == Outcome::failure ? reason_name(p.reason) : "");
}

}  // namespace drover::semantics

#include "actors/semantics/quality.hpp"

#include <algorithm>

namespace drover::semantics {

double semantic_quality(const EpisodeFacts& facts, double coherence) {
  if (facts.actions.empty()) return 0;
  double mapped = 0, confidence = 0;
  for (const ActionFact& a : facts.actions) {
    // A segment about nothing in particular (idle, retreat) needs no concept.
    mapped += a.mapped || !a.object ? 1 : 0;
    confidence += a.confidence;
  }
  const double n = static_cast<double>(facts.actions.size());
  const double refused = static_cast<double>(facts.refused_words.size());
  const double said = static_cast<double>(facts.objects.size()) + refused;
  const double terms = said > 0 ? 1 - refused / said : 1;
  return std::clamp(0.4 * mapped / n + 0.3 * confidence / n + 0.2 * coherence + 0.1 * terms, 0.0, 1.0);
}

double semantic_quality(const Datapack& pack, const Vocabulary& vocabulary, const Ontology& ontology) {
  if (pack.semantic_tags.empty()) return 0;
  double terms = 0, things = 0, known = 0;
  for (const std::string& tag : pack.semantic_tags) {
    const size_t colon = tag.find(':');
    const std::string_view head = std::string_view(tag).substr(0, colon);
    const std::string_view tail = colon == std::string::npos ? head : std::string_view(tag).substr(colon + 1);
    bool is_term = false;
    for (size_t kind = 0; kind < term_kind_count; ++kind)
      is_term = is_term || vocabulary.find(static_cast<TermKind>(kind), head) ||
                vocabulary.find(static_cast<TermKind>(kind), tail);
    terms += is_term ? 1 : 0;
    if (const TermId object = vocabulary.find(TermKind::object, tail)) {
      ++things;
      known += ontology.find(object_id(vocabulary.name(object))) != nullptr ? 1 : 0;
    }
  }
  const double n = static_cast<double>(pack.semantic_tags.size());
  return 0.5 * terms / n + 0.5 * (things > 0 ? known / things : 0);
}

}  // namespace drover::semantics

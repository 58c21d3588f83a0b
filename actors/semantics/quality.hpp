// semantic_quality: how well an episode or a datapack lines up with what the fleet knows. 0..1, advice for sampling
// only.
#pragma once

#include "actors/semantics/facts.hpp"
#include "actors/semantics/ontology.hpp"
#include "actors/semantics/vocabulary.hpp"
#include "messages/datapack.hpp"

namespace drover::semantics {

// 0.4 * share of segments that map to a concept + 0.3 * mean confidence + 0.2 * coherence + 0.1 * share of the scene's
// words that are terms. An episode without segments has 0.
double semantic_quality(const EpisodeFacts& facts, double coherence);

// Of a stored datapack: share of its semantic tags that are terms or knowledge of the vocabulary (half), and share of
// the things they name that the ontology knows (half). A pack without tags has 0.
double semantic_quality(const Datapack& pack, const Vocabulary& vocabulary, const Ontology& ontology);

}  // namespace drover::semantics

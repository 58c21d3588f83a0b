// Enrichment: from the facts of an episode to its tags, their conflicts, coherence and hints for supervision; and the
// record that carries them. Pure and deterministic; nothing here changes a datapack: enrichments are appended beside
// it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "actors/semantics/facts.hpp"
#include "actors/semantics/ontology.hpp"
#include "actors/semantics/tags.hpp"
#include "actors/semantics/vocabulary.hpp"
#include "messages/datapack.hpp"
#include "messages/episode.hpp"

namespace drover::semantics {

// Every threshold of tagging; configs/semantics/tagging.toml documents each.
struct TaggingConfig {
  double risk_high = 0.6;  // score from which there is a risk tag
  double risk_critical = 0.85;
  double near_m = 0.06;       // closer to something else than this is a hazard
  double fast_m_per_s = 0.6;  // in contact or holding and faster than this is a hazard
  double force_N = 30;        // more than this at the hand is a hazard
  double affordance_confidence = 0.6;
  double wasteful_ratio = 1.5;  // energy over the mean of its family
  double frugal_ratio = 0.67;
  uint32_t recovery_steps = 10;      // a critical failure put right in fewer segments is of high value
  double recovery_confidence = 0.5;  // of what failed and of what put it right
  double recovery_power_W = 60;      // heuristic where no power was measured
  double ood_critical = 0.8;         // severity above it is critical
};

// What enrichment needs beside the facts: knowledge as it stands.
struct TaggingContext {
  const Vocabulary& vocabulary;
  const Ontology& ontology;
  double expected_Wh = 0;                // mean of successful episodes of the family; 0: unknown
  std::vector<std::string> novel_pairs;  // "pull/vase": seen at most twice before
};

struct Enriched {
  TagSet tags;
  SupervisionHints hints;
  double coherence = 1;         // kept tags / (kept + dropped in conflicts)
  double semantic_quality = 0;  // quality.hpp
};

// All kinds of tags but OOD, which are handed in as they were detected; conflicts are settled, hints drawn.
Enriched enrich(const EpisodeFacts& facts, std::vector<OodTag> ood, const TaggingConfig& config,
                const TaggingContext& context);

// Recovery tags alone: failure -> correction -> success, and nothing else.
std::vector<RecoveryTag> find_recoveries(const EpisodeFacts& facts, const TaggingConfig& config,
                                         const TaggingContext& context);

// The recovery term that what happened between a failure and the success after it amounts to.
std::string_view recovery_term(const EpisodeFacts& facts, size_t failed, size_t succeeded);

// The record: tags_json is {"format": "drover.enrichment.v1", ...}, versions of what it was made with included.
struct EnrichmentStamp {
  uint64_t ontology_version = 0;
  std::string vocabulary_hash;
  std::string source = "semantics";
  std::string because;  // decision that led to a retroactive one; empty: made with the episode
  int64_t time_unix_ns = 0;
};
Enrichment enrichment_record(const EpisodeFacts& facts, const Enriched& enriched, const EnrichmentStamp& stamp);

// Tags for a datapack that is stored already, from its own words and skill trace and what is known today. Only words
// that the pack and its earlier enrichments (`known`) do not have; empty: nothing new.
std::vector<std::string> retroactive_words(const Datapack& pack, const std::vector<std::string>& known,
                                           const Vocabulary& vocabulary, const Ontology& ontology);
Enrichment retroactive_record(std::string_view pack_id, const std::vector<std::string>& words,
                              const EnrichmentStamp& stamp);

}  // namespace drover::semantics

// What tags say to the sampler, read as data: enrichment records and the trust matrix. No semantics code is linked:
// the formats "drover.enrichment.v1" and the trust matrix's JSON are the contract (actors/semantics/KNOWLEDGE.md).
//
// Pure. Reading is bounded: at most 256 words and 64 prerequisites of a record are taken.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actors/datapack/sampling/config.hpp"
#include "messages/result.hpp"

namespace drover::sampling {

// The kinds of tags that trust is known about, in the order of bits.
inline constexpr std::array<std::string_view, 8> tag_kinds{"FragilityTag",  "RiskTag",    "AffordanceTag",
                                                           "EfficiencyTag", "NoveltyTag", "InterventionTag",
                                                           "OODTag",        "RecoveryTag"};
// Index of the kind that a short word ("risk:high", "pullable:drawer") stands for; absent for words of no kind
// (events, energy drivers, marks).
std::optional<size_t> kind_of_word(std::string_view word);

enum class TagTier : uint8_t { unknown, untrusted, provisional, trusted };
std::string_view tag_tier_name(TagTier tier) noexcept;

// How much each kind of tag is believed, and what that does to the weight of a pack that carries it.
struct TagTrust {
  struct Entry {
    double trust = 0;
    TagTier tier = TagTier::unknown;  // unknown: no matrix
    double multiplier = 1;
  };
  std::array<Entry, tag_kinds.size()> kinds;
  std::string origin = "none";  // where the matrix came from, for people and logs

  // Untrusted kinds are ignored everywhere.
  bool ignored(size_t kind) const { return kinds[kind].tier == TagTier::untrusted; }
  // Of several kinds (bits) the largest counts: provisional tags together never outweigh a trusted one.
  double multiplier(uint8_t kind_bits) const noexcept;
  // The kind that gave it; empty: none did.
  std::string_view multiplier_reason(uint8_t kind_bits) const noexcept;
};
// The trust matrix as semantics publishes it. Kinds that it does not name stay unknown. Errors: corrupt.
Result<TagTrust> read_tag_trust(std::string_view json, const TrustRules& rules);

// What the enrichment records of one pack say, together.
struct PackTags {
  std::vector<std::string> words;          // sorted, unique
  uint8_t kinds = 0;                       // bits of tag_kinds
  double fragility = 0;                    // worst severity
  bool safety_critical = false;            // hint
  std::vector<std::string> prerequisites;  // sorted, unique
  std::optional<bool> success;             // of the episode
  bool enriched = false;                   // at least one record was read

  // The order of calls does not matter. False: the record is of another format and says nothing here.
  // Errors: corrupt.
  Result<bool> add_enrichment(std::string_view tags_json);
  // The pack's own tags.
  void add_words(const std::vector<std::string>& more);
};

}  // namespace drover::sampling

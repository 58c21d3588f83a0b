// Auditor: what a datapack's quality is worth when the tags it leans on are not believed; and how resilient the fleet
// is. Pure.
#pragma once

#include <cstdint>

#include "actors/semantics/tags.hpp"
#include "actors/semantics/trust.hpp"

namespace drover::semantics {

struct Audit {
  double quality = 0;              // semantic_quality, lowered
  double untrusted_share = 0;      // of the kinds of tags that the pack carries
  bool review = false;             // leans on a provisional tag that matters: risk, OOD or recovery
  double sampling_multiplier = 1;  // largest of its believed tags; 1 where none asks for more
};

// quality = semantic_quality * (1 - 0.5 * share of its kinds of tags that are untrusted).
Audit audit(const TagSet& tags, double semantic_quality, const TrustMatrix& trust);

// Failures, and how many of them were put right, weighted by what the recovery was worth (low 1, medium 2, high 3).
class Resilience {
 public:
  void observe(const TagSet& tags, uint64_t failures);
  // 0..1: recovered share of failures, (recovered + 1) / (failures + 2), so that few episodes claim nothing.
  double score() const;
  uint64_t failures() const { return failures_; }
  uint64_t recovered() const { return recovered_; }
  double mean_value() const {
    return recovered_ == 0 ? 0 : static_cast<double>(value_) / static_cast<double>(recovered_);
  }
  void restore(uint64_t failures, uint64_t recovered, uint64_t value);
  uint64_t value() const { return value_; }

 private:
  uint64_t failures_ = 0, recovered_ = 0, value_ = 0;
};

}  // namespace drover::semantics

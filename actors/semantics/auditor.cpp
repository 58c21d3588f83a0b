#include "actors/semantics/auditor.hpp"

#include <algorithm>

namespace drover::semantics {
namespace {

constexpr double untrusted_weight = 0.5;

bool matters(TagKind kind) {
  return kind == TagKind::risk || kind == TagKind::ood || kind == TagKind::recovery;
}

}  // namespace

Audit audit(const TagSet& tags, double semantic_quality, const TrustMatrix& trust) {
  Audit out;
  double carried = 0, untrusted = 0;
  for (size_t i = 0; i < tag_kind_count; ++i) {
    const auto kind = static_cast<TagKind>(i);
    if (!tags.has(kind)) continue;
    const TierRights rights = trust.rights(kind);
    ++carried;
    untrusted += rights.used ? 0 : 1;
    out.review = out.review || (rights.review && matters(kind));
    if (rights.used) out.sampling_multiplier = std::max(out.sampling_multiplier, rights.sampling_multiplier);
  }
  out.untrusted_share = carried > 0 ? untrusted / carried : 0;
  out.quality = semantic_quality * (1 - untrusted_weight * out.untrusted_share);
  return out;
}

void Resilience::observe(const TagSet& tags, uint64_t failures) {
  const uint64_t recovered = std::min<uint64_t>(failures, tags.recovery.size());
  failures_ += failures;
  recovered_ += recovered;
  for (size_t i = 0; i < recovered; ++i) value_ += 1 + static_cast<uint64_t>(tags.recovery[i].value_add);
}

double Resilience::score() const {
  return (static_cast<double>(recovered_) + 1) / (static_cast<double>(failures_) + 2);
}

void Resilience::restore(uint64_t failures, uint64_t recovered, uint64_t value) {
  failures_ = failures;
  recovered_ = recovered;
  value_ = value;
}

}  // namespace drover::semantics

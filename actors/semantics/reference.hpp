// TrainingReference: what normal looks like, learnt from the first episodes and then frozen, and how far from it a new
// episode is. Pure; one writer.
//
// Speeds and forces are compared with those of like acts: each act's peak over the mean peak of its label in its
// family, and an episode's greatest such ratio with the percentile of those of the training. So one normal episode in a
// hundred lies above it, not one frame in a hundred. Training may hold what is no norm: as long as that is little,
// ratios beyond the outer fence of the rest (upper quartile and 1.5 times the quartiles' distance, of logarithms) do
// not count. Percentiles come from a histogram with 1 % wide bins: bounded, and the same for any order of the episodes.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "actors/semantics/facts.hpp"
#include "actors/semantics/rollout.hpp"
#include "actors/semantics/tags.hpp"

namespace drover::semantics {

struct OodConfig {
  uint64_t learn_episodes = 200;  // after so many the reference is frozen; before, nothing is out of distribution
  double percentile = 0.99;
  double prototype_radius = 0.35;  // an embedding farther from all prototypes becomes one while learning
  uint32_t prototypes_max = 64;
  double prototype_share_min = 0.03;  // of the family's embeddings seen while learning; rarer ones are no norm
  double outlier_share_max = 0.03;    // of the training; more beyond the fence is a norm of its own
  bool debug = false;                 // no tags while somebody experiments
  double detector_trust_min = 0.5;    // tags only above it
  double inspect_from = 0.8;          // visual severity from which an inspection is proposed
};

// Positive numbers in bins of 1 % from 1e-6 to 1e6; what is outside goes into the first or last.
class LogHistogram {
 public:
  void add(double value);
  uint64_t count() const { return count_; }
  // Upper edge of the bin that holds the quantile; 0 when empty.
  double quantile(double q) const;
  // The same of what is left when the outliers are gone (see above), if they are at most so large a share.
  double trimmed_quantile(double q, double outlier_share_max) const;
  const std::vector<uint32_t>& bins() const { return bins_; }
  void restore(std::vector<uint32_t> bins);

 private:
  std::vector<uint32_t> bins_;
  uint64_t count_ = 0;
};

class TrainingReference {
 public:
  explicit TrainingReference(const OodConfig& config) : config_(config) {}

  // Learns from the episode until enough were seen; then does nothing.
  void learn(const EpisodeFacts& facts, const EmbeddingTrack& embedding);
  bool ready() const { return episodes_ >= config_.learn_episodes; }

  // What lies outside, worst first per segment, at most 16. Empty until ready, in debug mode, or when the detector's
  // trust is not above the minimum; never about recovery segments.
  //   visual: distance to the nearest prototype (1 - cosine) > 0.7: .5, > 0.85: .8, >= 0.95: 1
  //   kinematic: joint speed or force, as ratios to those of like acts, above the percentile: .6, by 25 %: .8, by 50 %:
  //   1 temporal: longer than 3x the mean duration of its label (in its family): .5, 4x: .7, 6x: 1
  std::vector<OodTag> detect(const EpisodeFacts& facts, const EmbeddingTrack& embedding, double detector_trust) const;

  // Closest prototype of the family, or of all where it has none, and the distance to it.
  std::pair<size_t, double> closest(Family family, std::span<const float> embedding) const;
  // Distance of one embedding (unit vector) from what was learnt of the family: 0 .. 2.
  double distance(Family family, std::span<const float> embedding) const;
  // Ratios from which an episode is out of distribution; 0: none was learnt.
  double joint_limit() const { return joint_limit_; }
  double force_limit() const { return force_limit_; }
  // Mean of the label in this family, or over all families where the family has few; 0 where nothing is known.
  double mean_duration_s(Family family, Label label) const;
  size_t prototypes() const { return dimension_ == 0 ? 0 : prototypes_.size() / dimension_; }

  std::string json() const;
  Status restore(std::string_view json);

 private:
  void drop_rare();
  void freeze();
  void detect_visual(const EpisodeFacts& facts, const EmbeddingTrack& embedding, std::vector<OodTag>& out) const;

  OodConfig config_;
  uint64_t episodes_ = 0;
  LogHistogram joints_;
  LogHistogram forces_;
  struct Usual {
    double sum_s = 0;
    uint64_t count = 0;
    double joints_sum = 0;  // of peaks
    double forces_sum = 0;
  };
  struct Peak {
    double value = 0;  // as it was measured
    double ratio = 0;  // to the mean of like acts
    uint32_t segment = 0;
  };
  Peak worst_peak(const EpisodeFacts& facts, double Usual::*sum, float SegmentMetrics::*metric, double floor) const;
  const Usual* usual(Family family, Label label) const;
  // By family and label; the last row is over all families.
  std::array<std::array<Usual, label_count>, family_count + 2> usual_{};
  size_t dimension_ = 0;
  std::vector<float> prototypes_;  // row after row, unit vectors
  std::vector<uint64_t> support_;  // embeddings that were close to each
  std::vector<Family> of_family_;  // whose each is
  double joint_limit_ = 0;
  double force_limit_ = 0;
};

}  // namespace drover::semantics

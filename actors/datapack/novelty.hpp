// Novelty: how unlike everything earlier an episode was, and how far its outcome is from what those make one expect.
//
// A pack is a vector in one or two feature spaces, each of one task and one encoder:
//   pack_facts::v1   every pack: condition, skills and their durations and outcomes, energy, tags. Never delta_J
//   the encoder of rgb_features_v1, where the pack carries it: the mean over the rows of the main camera
// Vectors are quantised to signed bytes; distances between them are whole numbers, the same on every machine.
//
//   novelty(space) = mean over k of (1 - exp(-d_i / scale)), d_i the distance to the i-th nearest earlier pack,
//                    1 where there is none
//   novelty        = the largest over the spaces that hold an earlier pack; 1 if none does
//   w_i            = exp(-d_i / scale)
//   causal gain    = |delta_J - sum(w_i * delta_J_i) / max(1, sum(w_i))|, over the neighbours of all spaces, each once
//                    (its largest weight)
//
// So the same episode for the sixth time has novelty 0, and an outcome that differs from that of near-identical
// episodes has a causal gain however familiar the scene looks. Pure; equal packs give equal bytes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "messages/datapack.hpp"
#include "storage/valuation_store.hpp"

namespace drover::datapack {

inline constexpr std::string_view facts_encoder = "pack_facts::v1";
inline constexpr size_t facts_dim = 64;
inline constexpr size_t novelty_dim_max = 512;  // longer feature rows are left out

struct NoveltyConfig {
  uint32_t neighbours = 5;     // k, 1..16
  double facts_scale = 0.35;   // distance at which 63 % of similarity is lost; a whole feature swing is 2
  double visual_scale = 0.04;  // the same for encoder features: root mean square per number
};

// A pack's vector in one space.
struct FeatureVector {
  std::string encoder;
  double unit = 1;  // the scale of the space in steps of the quantised vector
  std::vector<int8_t> values;
  bool operator==(const FeatureVector&) const = default;
};

// One or two vectors, facts first. Features that cannot be read are left out: novelty asks no more of a pack than that
// it is valid.
std::vector<FeatureVector> feature_vectors(const Datapack& pack, const NoveltyConfig& config);

// The space's name in the store.
uint64_t space_id(const std::string& task_name, const FeatureVector& vector);

struct NoveltyScore {
  double novelty = 1;      // 0..1
  double causal_gain = 0;  // >= 0 [J]
};
NoveltyScore score_novelty(const std::vector<storage::SpacePlace>& places, double delta_j, uint32_t neighbours);

// Whatever of the config and of the features decides the rows: a change means that they are made anew.
std::string novelty_fingerprint(const NoveltyConfig& config);
// The other way. Nothing: the rows were made by another version of the features.
std::optional<NoveltyConfig> novelty_config_of(std::string_view fingerprint);
// Errors: invalid_argument.
Status check(const NoveltyConfig& config);

}  // namespace drover::datapack

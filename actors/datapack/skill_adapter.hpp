// Skill adapter: what a set of datapacks says about skills (domain.md 3). Pure; answers depend on the set alone, never
// on its order.
//
// A SkillSample is the part of a datapack that matters here; make one per pack with skill_sample(). All functions take
// the samples of one task. Rates of nothing are 0. Ties are broken by pack_id.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "messages/datapack.hpp"

namespace drover::datapack {

struct SkillUse {
  int64_t skill_id = 0;
  double start_s = 0;
  double end_s = 0;
  std::string outcome;
};

struct SkillSample {
  std::string pack_id;
  std::string robot;
  int64_t start_unix_ns = 0;
  Bucket bucket = Bucket::positive;
  double delta_j = 0;
  double trust = 0;
  double w_econ = 0;
  std::vector<SkillUse> uses;           // in order of time
  std::vector<std::string> conditions;  // condition tags, ascending (see condition_tags)
  std::vector<int8_t> place;            // condition_vector
  std::vector<std::string> events;      // event and safety tags, ascending
  std::string counterfactual_json;      // empty: none
};
SkillSample skill_sample(const Datapack& pack);

// "engine:mujoco", "lighting:normal", "friction:low" (< 2 N, < 6 N medium, else high), "occlusion:low" (< 1/3, < 2/3),
// "offset:near" (vase within 3 cm of its place, else far), "world:<id>", and world_tags. Ascending.
std::vector<std::string> condition_tags(const Datapack& pack);
// The condition tags of the pack alone, "<key>:<value>", ascending; without those that tell how the episode ended
// (`template`, `complete`), which are no condition.
std::vector<std::string> world_tags(const Datapack& pack);
// The condition as a vector in which near means alike: for near-equal conditions.
std::vector<int8_t> condition_vector(const Datapack& pack);
bool succeeded(const std::string& outcome);  // success or recovered
bool failed(const std::string& outcome);     // failure

struct SkillStatistics {
  uint64_t packs = 0;  // that use it
  uint64_t uses = 0;
  uint64_t successes = 0;  // success and recovered
  uint64_t recovered = 0;
  uint64_t failures = 0;
  double success_rate = 0;  // of uses
  double failure_rate = 0;
  double delta_j_mean = 0;  // of packs
  double delta_j_std = 0;   // of the population
  double trust_mean = 0;
  double w_econ_mean = 0;
  double duration_s_mean = 0;  // of uses
};
// All skills at once, by id.
std::map<int64_t, SkillStatistics> skill_statistics(std::span<const SkillSample> samples);

// One way in which packs with the skill go wrong: negative packs of the same failed steps and the same events.
struct FailureMode {
  std::vector<int64_t> failed_skills;  // in order of time; empty: every step went well, the value was still negative
  std::vector<std::string> events;
  uint64_t packs = 0;
  double delta_j_mean = 0;
  double delta_j_worst = 0;
  double loss = 0;                  // sum of -delta_J
  std::string worst_pack;           // the pack of delta_j_worst
  std::string counterfactual_json;  // its plan
};
// Worst first: by mean delta_J.
std::vector<FailureMode> failure_modes(std::span<const SkillSample> samples, int64_t skill_id, size_t limit);

struct SequencePattern {
  std::vector<int64_t> skills;  // one after the other
  uint64_t packs = 0;           // that hold it
  uint64_t positive = 0;
  double positive_rate = 0;
  double delta_j_mean = 0;
};
// Runs of `length_min` to `length_max` skills (2 .. 8), most frequent first. Counted once a pack.
std::vector<SequencePattern> sequence_patterns(std::span<const SkillSample> samples, size_t length_min,
                                               size_t length_max, size_t limit);

struct ContrastivePair {
  std::string positive;
  std::string negative;
  double distance = 0;  // of the conditions, 0: the same; 1 is one whole feature
  double gap = 0;       // delta_J of the positive less that of the negative
};
// For each negative pack the nearest positive one that lies within distance_max; each positive is used once. Nearest
// first, then the widest gap.
std::vector<ContrastivePair> contrastive_pairs(std::span<const SkillSample> samples, double distance_max, size_t limit);

struct CurriculumLevel {
  size_t level = 0;  // 0 is the easiest
  double difficulty_low = 0;
  double difficulty_high = 0;
  double delta_j_mean = 0;
  double positive_rate = 0;
  std::vector<std::string> packs;  // easiest first
};
// Cuts the packs into `levels` parts of equal size by difficulty: the share of negative packs among the 15 that lie
// nearest by condition (itself and ties included), then by how bad its own outcome was. Of more than 4000 packs, those
// with the smallest pack_id.
std::vector<CurriculumLevel> curriculum_levels(std::span<const SkillSample> samples, size_t levels);

struct ValueCell {
  int64_t skill_id = 0;
  std::string condition;
  uint64_t packs = 0;
  double success_rate = 0;  // of its uses there
  double delta_j_mean = 0;
  double value_mean = 0;  // trust * w_econ * delta_J
};
// Skill x condition tag, by skill, then condition. Tags that every pack has say nothing and are left out.
std::vector<ValueCell> value_matrix(std::span<const SkillSample> samples);

struct Recommendation {
  int64_t skill_id = 0;
  double score = 0;  // mean of trust * w_econ * delta_J over matching packs, drawn to that of all with weight 5
  double success_rate = 0;
  uint64_t packs = 0;  // that match every tag and use it
};
// For a set of condition tags, best first. Skills without a matching pack are judged by all packs.
std::vector<Recommendation> recommend_skills(std::span<const SkillSample> samples, const std::vector<std::string>& tags,
                                             size_t limit);

// A use of a skill as an example to learn from.
struct TrainingUse {
  std::string pack_id;
  double start_s = 0;
  double end_s = 0;
  std::string outcome;
  double delta_j = 0;
  double weight = 0;  // trust * w_econ
};
// Heaviest first, then by delta_J.
std::vector<TrainingUse> training_data(std::span<const SkillSample> samples, int64_t skill_id, size_t limit);

}  // namespace drover::datapack

// TemplateClient: rollouts made up from templates, with continuous noisy signals and the truth beside them. Pure.
//
// Deterministic: (seed, family, index) gives the same rollout, whatever else was made before. Every block of 20 of a
// family keeps the shares of the four templates, the geometries, frictions and masses in turn, at least one lucky and
// one black-swan rollout where failures are asked for, and the asked share of rollouts out of distribution.
// Signals never carry the truth: no label is in a Rollout.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "actors/semantics/rollout.hpp"
#include "actors/semantics/sima.hpp"
#include "messages/result.hpp"

namespace drover::semantics {

struct TemplateConfig {
  uint64_t seed = 1;
  double rate_hz = 20;                                      // 10..1000
  double noise = 1;                                         // factor on every sensor's noise, 0..10
  std::array<double, 4> shares = {0.60, 0.20, 0.15, 0.05};  // success, failure, recovery, mixed; sum 1
  double out_of_distribution_share = 0.05;                  // 0..1
  // Of the rollouts out of distribution this share is among those that fail; negative: as it comes.
  double odd_failure_share = -1;
  bool embedding = true;
};

// Standard deviations at noise 1.
struct SensorNoise {
  double joint_rad = 0.0002;
  double joint_rad_per_s = 0.004;
  double joint_Nm = 0.15;
  double tool_m = 0.0005;
  double gripper_m = 0.0003;
  double force_N = 0.4;
  double object_m = 0.0015;
  double object_rad = 0.01;
  double contact_flicker = 0.002;  // chance per frame that a contact bit is wrong
  double occlusion = 0.02;         // chance per frame that a thing is not seen
};

// Errors: invalid_argument (a value is out of its range; shares that do not sum to 1).
Status validate(const TemplateConfig& config);

class TemplateLibrary {
 public:
  // The config must be valid.
  explicit TemplateLibrary(const TemplateConfig& config) : config_(config) {}

  // Writes rollout `index` of the family over `out`, whose memory is used again.
  void make(Family family, uint64_t index, LabelledRollout& out);
  const TemplateConfig& config() const { return config_; }

 private:
  struct Slot {
    Template kind = Template::success;
    uint32_t ordinal = 0;  // among those of its kind in the block
    bool odd = false;      // out of distribution
  };
  static constexpr uint64_t block_size = 20;
  void fill_block(Family family, uint64_t block);

  TemplateConfig config_;
  std::array<Slot, block_size> slots_;
  Family block_family_ = Family::other;
  uint64_t block_ = 0;
};

// `count` rollouts of each family in turn.
class TemplateClient final : public Sima2Client {
 public:
  TemplateClient(const TemplateConfig& config, std::vector<Family> families, uint64_t count);
  Result<std::optional<LabelledRollout>> next() override;

 private:
  TemplateLibrary library_;
  std::vector<Family> families_;
  uint64_t count_ = 0;
  uint64_t at_ = 0;
};

// "dataset_stress_mix_v1": 40 % drawer_open, 40 % dish_place, 20 % noise (a hand that wanders with bad sensors and does
// nothing); 30 % failures and 10 % recoveries among the tasks, 5 % out of distribution. What is out of distribution
// mostly fails (7 of 10), as E[success | OOD] is meant to be low; `harmless`: it fails no more than anything else.
class StressMix {
 public:
  explicit StressMix(uint64_t seed, double rate_hz = 20, bool harmless = false);
  void make(uint64_t index, LabelledRollout& out);

 private:
  void wander(uint64_t index, LabelledRollout& out) const;
  TemplateLibrary library_;
};

}  // namespace drover::semantics

// EnergyMeter: integrates power by the trapezoid rule, per joint, per skill step and at the supply.
//
// P_supply = V*I or a power channel; P_joint = abs(torque*velocity), or V_nominal*abs(I) as a labelled estimate.
// E = sum of (P_k + P_k+1)/2 * (t_k+1 - t_k) over neighbours at most gap_s apart; longer gaps are not bridged.
// Invariants: joints and steps are filled from the same increments as the total, so they sum to it.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "actors/capture/captured.hpp"
#include "actors/capture/mapping.hpp"

namespace drover::capture {

class EnergyMeter {
 public:
  explicit EnergyMeter(const EnergyRule& rule);

  // Tells of a channel that exists from now on; `index` is its place in the values given to integrate().
  void add_channel(std::string_view name, uint32_t index);

  // One sample: values by channel index, NaN where the sample has none. Returns the energy [J] that the total gained
  // since the previous sample.
  double integrate(int64_t time_ns, std::span<const double> values);

  // The result of the episode so far, without the skills; then starts anew.
  EnergyResult finish();

 private:
  static constexpr uint32_t no_channel = UINT32_MAX;
  struct Integral {
    double joules = 0, last_W = 0, peak_W = 0, integrated_s = 0, skipped_s = 0;
    int64_t last_ns = 0;
    bool started = false;
    double add(int64_t time_ns, double power_W, double gap_s);
    void restart() { *this = Integral{}; }
  };
  struct Joint {
    std::string name;
    uint32_t torque = no_channel, velocity = no_channel, current = no_channel;
    Integral work;      // abs(torque*velocity)
    Integral estimate;  // V_nominal*abs(current)
  };
  Joint& joint(const std::string& capture);
  static double read(std::span<const double> values, uint32_t channel);
  void finish_measured(EnergyResult& result);
  void finish_joints(EnergyResult& result, bool estimate);

  const EnergyRule& rule_;
  NamePattern joint_name_;
  uint32_t power_ = no_channel, current_ = no_channel, voltage_ = no_channel;
  Integral supply_;
  std::map<std::string, Joint> joints_;  // by what the placeholder stood for
  double peak_W_ = 0;                    // of the joints' sum in one sample
};

}  // namespace drover::capture

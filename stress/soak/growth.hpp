// Growth: whether a measure that should stay level rises, told apart from noise. Pure.
#pragma once

#include <string>
#include <vector>

namespace drover::soak {

struct Series {
  std::string name;  // "memory of robot-1"
  std::string unit;  // MB, ms, ...
  std::vector<double> at_s;
  std::vector<double> values;
};

// What counts as growth: the line through the samples after the warm-up rises by more than both over their time.
struct GrowthRule {
  double warm_up_share = 0.25;  // of the samples, left out
  double rise_min = 0;          // in the unit of the series
  double rise_share = 0.1;      // of the median
};

struct Growth {
  double median = 0;
  double most = 0;
  double rise = 0;  // of the line, from its first to its last sample
  bool grows = false;
};

// The median of the slopes between all pairs of samples (Theil and Sen), so that outliers do not move it. Series with
// fewer than 8 samples after the warm-up do not grow.
Growth growth_of(const Series& series, const GrowthRule& rule);

// The median of values in each window of `window_s`, or another share of them than a half.
Series windows_of(const Series& series, double window_s, double share);

}  // namespace drover::soak

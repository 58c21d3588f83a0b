#include "stress/soak/growth.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace drover::soak {
namespace {

constexpr size_t samples_max = 400;  // pairs are compared: more are thinned out

double share_of(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  const auto at = static_cast<size_t>(share * static_cast<double>(values.size() - 1) + 0.5);
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return values[at];
}

}  // namespace

Growth growth_of(const Series& series, const GrowthRule& rule) {
  Growth growth;
  const size_t size = series.values.size();
  const auto from = static_cast<size_t>(rule.warm_up_share * static_cast<double>(size));
  const size_t step = std::max<size_t>(1, (size - from) / samples_max);
  std::vector<double> at_s, values;
  for (size_t i = from; i < size; i += step) {
    at_s.push_back(series.at_s[i]);
    values.push_back(series.values[i]);
  }
  if (size > 0) growth.most = *std::max_element(series.values.begin(), series.values.end());
  growth.median = share_of(values, 0.5);
  if (values.size() < 8) return growth;
  std::vector<double> slopes;
  for (size_t i = 0; i < values.size(); ++i)
    for (size_t k = i + 1; k < values.size(); ++k)
      if (at_s[k] > at_s[i]) slopes.push_back((values[k] - values[i]) / (at_s[k] - at_s[i]));
  growth.rise = share_of(std::move(slopes), 0.5) * (at_s.back() - at_s.front());
  growth.grows = growth.rise > rule.rise_min && growth.rise > rule.rise_share * std::abs(growth.median);
  return growth;
}

Series windows_of(const Series& series, double window_s, double share) {
  Series out{series.name, series.unit, {}, {}};
  std::vector<double> inside;
  double begin_s = 0;
  const auto close = [&] {
    if (inside.empty()) return;
    out.at_s.push_back(begin_s + window_s / 2);
    out.values.push_back(share_of(std::move(inside), share));
    inside.clear();
  };
  for (size_t i = 0; i < series.values.size(); ++i) {
    while (series.at_s[i] >= begin_s + window_s) {
      close();
      begin_s += window_s;
    }
    inside.push_back(series.values[i]);
  }
  close();
  return out;
}

}  // namespace drover::soak

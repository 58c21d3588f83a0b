// The lambda budget: how much of all the weight that is used may be synthetic. A budget over the whole, not a gate for
// single records.
#pragma once

#include <string>
#include <string_view>

#include "messages/result.hpp"

namespace drover::gates {

inline constexpr double synthetic_share_cap = 0.40;  // no file can raise it

struct LambdaBudget {
  double target_share = 0.20;              // synthetic / (real + synthetic), aimed at
  double cap_share = synthetic_share_cap;  // never exceeded; target <= cap <= 0.40

  // Most synthetic weight that may stand beside so much real weight: lambda / (1 - lambda) * real, with lambda the
  // smaller of the asked share and the cap. Without real weight nothing synthetic may stand. Weights that are negative
  // or not finite count as none.
  double synthetic_weight_max(double real_weight, double share) const noexcept;
  double synthetic_weight_max(double real_weight) const noexcept {
    return synthetic_weight_max(real_weight, target_share);
  }

  // What synthetic weights are multiplied with so that their share is at most the target: in [0, 1], 1 when they fit.
  double scale(double real_weight, double synthetic_weight) const noexcept;

  bool operator==(const LambdaBudget&) const = default;
};

// Errors: invalid_argument ("file:line: key: what"), also for a cap above 0.40; unsupported_version.
Result<LambdaBudget> parse_lambda_budget(std::string_view toml_text, const std::string& file);

}  // namespace drover::gates

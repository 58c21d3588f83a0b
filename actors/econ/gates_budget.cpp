#include "actors/econ/gates_budget.hpp"

#include <algorithm>
#include <cmath>

#include "actors/econ/gates_toml.hpp"

namespace drover::gates {
namespace {

double weight_of(double value) noexcept {
  return std::isfinite(value) && value > 0 ? value : 0;
}

}  // namespace

double LambdaBudget::synthetic_weight_max(double real_weight, double share) const noexcept {
  const double limit = std::min(cap_share, synthetic_share_cap);
  const double lambda = std::isfinite(share) ? std::clamp(share, 0.0, limit) : 0.0;
  return lambda / (1 - lambda) * weight_of(real_weight);
}

double LambdaBudget::scale(double real_weight, double synthetic_weight) const noexcept {
  const double synthetic = weight_of(synthetic_weight);
  if (synthetic <= 0) return 1;
  return std::min(1.0, synthetic_weight_max(real_weight) / synthetic);
}

Result<LambdaBudget> parse_lambda_budget(std::string_view toml_text, const std::string& file) {
  DROVER_ASSIGN(const toml::table root, econ::parse_toml(toml_text, file));
  econ::TomlProblems problems(file);
  econ::StrictTable top(root, "", problems);
  DROVER_TRY(check_format(top, file));
  LambdaBudget budget;
  top.number("target_share", budget.target_share, {0, synthetic_share_cap}, true);
  top.number("cap_share", budget.cap_share, {0, synthetic_share_cap}, true);
  if (budget.target_share > budget.cap_share) top.problem("target_share", "must not be above cap_share");
  top.finish();
  DROVER_TRY(problems.status());
  return budget;
}

}  // namespace drover::gates

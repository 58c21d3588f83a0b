// Recursive least squares whose state does not depend on the order of what it learnt.
//
// The state is the information form of the recursion: the sums of x x^T, x y and y^2, as 128-bit integers of values in
// steps of 2^-20. Adding an outcome is one step of the recursion with a forgetting factor of 1; sums of integers are
// exact, so equal sets of outcomes give equal bytes, and an outcome can be taken back. Coefficients come from a
// Cholesky solution when they are asked for.
//
//   w    = (X^T X + ridge I)^-1 X^T (y - r)           r: what is believed without any outcome
//   mean = r + w^T x
//   h    = x^T (X^T X + ridge I)^-1 x                 how far x is from what was seen; 0 familiar
//   s^2  = (sum of squared residuals + prior_weight * prior_std^2) / (n - p' + prior_weight), p' = min(p, n / 2)
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "messages/result.hpp"

namespace drover::econ {

__extension__ typedef __int128 Int128;

inline constexpr double regression_limit = 1 << 20;  // features and targets are clamped to +- this

struct RegressionPrior {
  double ridge = 1;         // > 0
  double reference = 0;     // r
  double std = 1;           // of single outcomes, before any were seen; > 0
  double prior_weight = 4;  // as many outcomes' worth
};

struct RegressionAnswer {
  double mean = 0;
  double std = 0;       // s
  double leverage = 0;  // h
};

// `targets` regressions on the same features. The first feature should be 1. Not thread safe; a copyable value.
class Regression {
 public:
  Regression() = default;
  Regression(size_t features, size_t targets);

  // One outcome. `present` says which targets were measured; others are left alone.
  // A target's n, sums and x x^T are its own, because not every outcome measures everything.
  struct Outcome {
    const std::vector<double>& x;
    const std::vector<double>& y;
    const std::vector<bool>& present;
  };
  void add(const Outcome& outcome) { accumulate(outcome, 1); }
  void take_back(const Outcome& outcome) { accumulate(outcome, -1); }

  RegressionAnswer ask(size_t target, const std::vector<double>& x, const RegressionPrior& prior) const;
  // Coefficients around the prior's reference.
  std::vector<double> coefficients(size_t target, const RegressionPrior& prior) const;
  uint64_t outcomes(size_t target) const { return static_cast<uint64_t>(sums_[target].n); }
  double mean(size_t target) const;  // of the outcomes; 0 for none
  size_t features() const { return features_; }
  size_t targets() const { return sums_.size(); }

  // Bytes that hold the whole state. Error of the other way: corrupt.
  std::string save() const;
  static Result<Regression> restore(std::string_view bytes);
  bool operator==(const Regression&) const = default;

 private:
  struct Sums {
    int64_t n = 0;
    std::vector<Int128> xx;  // upper triangle, row by row
    std::vector<Int128> xy;
    Int128 yy = 0;
    bool operator==(const Sums&) const = default;
  };
  struct Solved;
  Solved solve(const Sums& sums, const RegressionPrior& prior) const;
  void accumulate(const Outcome& outcome, int sign);

  size_t features_ = 0;
  std::vector<Sums> sums_;
};

}  // namespace drover::econ

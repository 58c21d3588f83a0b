#include "actors/econ/regression.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "messages/check.hpp"

namespace drover::econ {
namespace {

constexpr double step = 1.0 / (1 << 20);
constexpr size_t features_max = 64;
constexpr size_t targets_max = 16;

Int128 fixed(double value) {
  return std::isfinite(value) ? std::llround(std::clamp(value, -regression_limit, regression_limit) / step) : 0;
}

double value_of(Int128 product) {
  return static_cast<double>(product) * step * step;
}

// Row-major lower triangle of the Cholesky factor of a symmetric positive definite matrix.
std::vector<double> cholesky(std::vector<double> a, size_t n) {
  for (size_t j = 0; j < n; ++j) {
    for (size_t k = 0; k < j; ++k) a[j * n + j] -= a[j * n + k] * a[j * n + k];
    a[j * n + j] = std::sqrt(std::max(a[j * n + j], 1e-12));  // the ridge keeps it above, rounding may not
    for (size_t i = j + 1; i < n; ++i) {
      for (size_t k = 0; k < j; ++k) a[i * n + j] -= a[i * n + k] * a[j * n + k];
      a[i * n + j] /= a[j * n + j];
    }
  }
  return a;
}

// L v = b
std::vector<double> forward(const std::vector<double>& l, std::vector<double> b) {
  const size_t n = b.size();
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < i; ++k) b[i] -= l[i * n + k] * b[k];
    b[i] /= l[i * n + i];
  }
  return b;
}

// L^T v = b
std::vector<double> backward(const std::vector<double>& l, std::vector<double> b) {
  const size_t n = b.size();
  for (size_t i = n; i-- > 0;) {
    for (size_t k = i + 1; k < n; ++k) b[i] -= l[k * n + i] * b[k];
    b[i] /= l[i * n + i];
  }
  return b;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

std::vector<double> rounded(const std::vector<double>& x) {
  std::vector<double> out;
  out.reserve(x.size());
  for (const double v : x) out.push_back(static_cast<double>(fixed(v)) * step);
  return out;
}

template <class T>
void put(std::string& out, T value) {
  char raw[sizeof value];
  std::memcpy(raw, &value, sizeof value);
  out.append(raw, sizeof value);
}

template <class T>
bool get(std::string_view& in, T& value) {
  if (in.size() < sizeof value) return false;
  std::memcpy(&value, in.data(), sizeof value);
  in.remove_prefix(sizeof value);
  return true;
}

}  // namespace

Regression::Regression(size_t features, size_t targets) : features_(features), sums_(targets) {
  DROVER_CHECK(features > 0 && features <= features_max && targets > 0 && targets <= targets_max, "sizes");
  for (Sums& s : sums_) {
    s.xx.assign(features * (features + 1) / 2, 0);
    s.xy.assign(features, 0);
  }
}

void Regression::accumulate(const Outcome& o, int sign) {
  DROVER_CHECK(o.x.size() == features_ && o.y.size() == sums_.size() && o.present.size() == sums_.size(), "sizes");
  std::vector<Int128> x;
  for (const double v : o.x) x.push_back(fixed(v));
  for (size_t t = 0; t < sums_.size(); ++t) {
    if (!o.present[t]) continue;
    Sums& s = sums_[t];
    const Int128 y = fixed(o.y[t]);
    s.n += sign;
    s.yy += sign * y * y;
    size_t at = 0;
    for (size_t i = 0; i < features_; ++i) {
      s.xy[i] += sign * x[i] * y;
      for (size_t j = i; j < features_; ++j) s.xx[at++] += sign * x[i] * x[j];
    }
  }
}

struct Regression::Solved {
  std::vector<double> factor;  // Cholesky of X^T X + ridge I
  std::vector<double> w;
  double variance = 0;
};

Regression::Solved Regression::solve(const Sums& s, const RegressionPrior& prior) const {
  const size_t n = features_;
  std::vector<double> xx(n * n), rhs(n);
  size_t at = 0;
  for (size_t i = 0; i < n; ++i)
    for (size_t j = i; j < n; ++j) xx[i * n + j] = xx[j * n + i] = value_of(s.xx[at++]);
  // The first feature is 1: its row of X^T X is the sum of x, and its product with y the sum of y.
  for (size_t i = 0; i < n; ++i) rhs[i] = value_of(s.xy[i]) - prior.reference * xx[i];
  Solved out;
  std::vector<double> ridged = xx;
  for (size_t i = 0; i < n; ++i) ridged[i * n + i] += prior.ridge;
  out.factor = cholesky(std::move(ridged), n);
  out.w = backward(out.factor, forward(out.factor, rhs));
  const auto count = static_cast<double>(s.n);
  const double centred =
      value_of(s.yy) - 2 * prior.reference * value_of(s.xy[0]) + count * prior.reference * prior.reference;
  double quadratic = 0;
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) quadratic += out.w[i] * xx[i * n + j] * out.w[j];
  const double residual = std::max(0.0, centred - 2 * dot(out.w, rhs) + quadratic);
  const double used = std::min(static_cast<double>(n), count / 2);
  out.variance =
      (residual + prior.prior_weight * prior.std * prior.std) / std::max(1.0, count - used + prior.prior_weight);
  return out;
}

RegressionAnswer Regression::ask(size_t target, const std::vector<double>& x, const RegressionPrior& prior) const {
  DROVER_CHECK(target < sums_.size() && x.size() == features_ && prior.ridge > 0, "sizes");
  const Solved solved = solve(sums_[target], prior);
  const std::vector<double> at = rounded(x);
  const std::vector<double> half = forward(solved.factor, at);
  return {prior.reference + dot(solved.w, at), std::sqrt(solved.variance), dot(half, half)};
}

std::vector<double> Regression::coefficients(size_t target, const RegressionPrior& prior) const {
  return solve(sums_[target], prior).w;
}

double Regression::mean(size_t target) const {
  const Sums& s = sums_[target];
  return s.n > 0 ? value_of(s.xy[0]) / static_cast<double>(s.n) : 0;
}

std::string Regression::save() const {
  std::string out = "RLS1";
  put(out, static_cast<uint32_t>(features_));
  put(out, static_cast<uint32_t>(sums_.size()));
  for (const Sums& s : sums_) {
    put(out, s.n);
    put(out, s.yy);
    for (const Int128 v : s.xy) put(out, v);
    for (const Int128 v : s.xx) put(out, v);
  }
  return out;
}

Result<Regression> Regression::restore(std::string_view in) {
  const auto odd = [] { return fail(Errc::corrupt, "regression", "the saved state is damaged"); };
  uint32_t features = 0, targets = 0;
  if (!in.starts_with("RLS1")) return odd();
  in.remove_prefix(4);
  if (!get(in, features) || !get(in, targets) || features == 0 || features > features_max || targets == 0 ||
      targets > targets_max)
    return odd();
  Regression out(features, targets);
  for (Sums& s : out.sums_) {
    bool good = get(in, s.n) && get(in, s.yy) && s.n >= 0;
    for (Int128& v : s.xy) good = good && get(in, v);
    for (Int128& v : s.xx) good = good && get(in, v);
    if (!good) return odd();
  }
  if (!in.empty()) return odd();
  return out;
}

}  // namespace drover::econ

// How well the fleet predicts: errors over reconciliations, and errors on deployments it has not seen. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "actors/econ/reconcile.hpp"

namespace drover::econ {

// Mean absolute errors of dMPL over one run of reconciliations in a row.
struct ErrorPoint {
  uint64_t reconciliations = 0;  // up to and with the last of the run
  double model = 0;              // of what was predicted
  double start = 0;              // of the starting model: no change
};
// Runs of `run` (the last may be shorter, at least half of it). In the order given, which should be that of time.
std::vector<ErrorPoint> error_curve(const std::vector<Reconciliation>& all, size_t run);

// Predicted beside realised, on held-out deployments.
struct HeldOut {
  std::string group;  // for the breakdown, for example the condition set
  double predicted = 0;
  double realised = 0;
  bool inside = false;  // the interval for single outcomes
};
// What the estimator says of packs that taught it nothing.
std::vector<HeldOut> predict_held_out(const Estimator& estimator, const std::vector<Datapack>& packs, double z);
double mean_absolute_error(const std::vector<HeldOut>& all);

struct Reduction {
  double mae_start = 0;     // always "no change"
  double mae_constant = 0;  // always the median of what was learnt from
  double mae_model = 0;
  double reduction = 0;  // 1 - model / start
  double low = 0;        // 95 % bootstrap interval over held-out deployments
  double high = 0;
  double inside = 0;  // share of outcomes inside the intervals
};
// `learnt` are the realised values that the model saw. Deterministic in the seed.
Reduction reduction_of(const std::vector<HeldOut>& held_out, std::vector<double> learnt, uint64_t seed,
                       size_t resamples = 2000);

}  // namespace drover::econ

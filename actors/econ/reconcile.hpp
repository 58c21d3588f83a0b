// What the fleet expects of a deployment, how wrong that was, and what it learns from it. Pure.
//
// Two models per task, on the same features (condition and novelty; nothing that is known only afterwards):
//   deployment:TASK  what an episode under these conditions yields: MPL, error rate, energy. dMPL = (E[MPL] - base) /
//   base data:TASK        by how much a datapack of this novelty, once used, raises MPL: dMPL itself
// The starting model of both is "no change from the baseline": with no outcome, E[MPL] is the base and E[dMPL] is 0.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "actors/econ/prediction.hpp"
#include "actors/econ/regression.hpp"
#include "messages/datapack.hpp"
#include "messages/result.hpp"

namespace drover::econ {

// Whose deployments a robot's are, and what was agreed.
struct CustomerTerms {
  std::string robot;        // "*": every robot that no other entry names
  std::string customer_id;  // "*": the robot's own name
  double withheld = 0;      // S, [0, 1]
  double horizon_h = 1;     // > 0
};

// configs/econ/reconciliation.toml explains every key.
struct ReconcileConfig {
  std::string currency = "USD";
  bool predict_on_arrival = true;  // packs nobody asked a quote for are predicted from their conditions
  double ridge = 1;                // (0, 1e6]
  double prior_std = 0.5;          // of dMPL, before any outcome; (0, 100]
  double prior_weight = 4;         // outcomes' worth of that; (0, 1e6]
  double confidence_z = 1.645;     // of the intervals: 90 %; (0, 10]
  double kappa_min = 0;            // kappa is clamped to [kappa_min, kappa_max], both in [0, 1]
  double kappa_max = 1;
  int64_t calibration_outcomes = 10;  // outcomes' worth of trust in the interval as it is; 1 .. 1e6
  double surprise_ratio = 1.25;       // packs are novel from where errors are this much above the mean; [1, 100]
  int64_t threshold_outcomes = 20;    // on both sides of a tier's threshold, before it moves; 1 .. 1e6
  double novelty_default = 0.35;      // thresholds until then
  double causal_gain_default = 0.25;
  std::vector<CustomerTerms> customers;
};

// Errors: invalid_argument, every problem at once ("file:line: key: what").
Result<ReconcileConfig> parse_reconcile(std::string_view toml_text, const std::string& file);
// Errors: not_found, io, too_large, invalid_argument.
Result<ReconcileConfig> load_reconcile(const std::string& path);
CustomerTerms terms_for(const ReconcileConfig& config, const std::string& robot);

inline constexpr size_t condition_features = 24;
inline constexpr std::string_view feature_version = "c24";
// What was known before: condition and novelty. Bounded to +-10. Tags that say how the episode ended are left out.
std::vector<double> features_of(const Condition& condition, double novelty);
// For people: the name of each.
std::vector<std::string> feature_names();

struct AskedPrediction {
  std::string pack_id, customer_id, task_name;
  std::string basis{basis_data};  // which of the two models is asked
  int64_t made_unix_ns = 0;
  double novelty = 0;
  uint8_t tier = 0;
  double base_mpl_units_per_h = 0;
  Condition condition;
};

// Models, calibration and what was learnt so far. Equal sets of taught pairs give equal states. A copyable value.
class Estimator {
 public:
  explicit Estimator(ReconcileConfig config) : config_(std::move(config)) {}

  // Without terms: the caller adds what was agreed.
  Prediction predict(const AskedPrediction& asked) const;
  // How unlike the conditions learnt from these are: h / (1 + h). 1 for the first.
  double condition_novelty(const std::string& task, const Condition& condition) const;

  void teach(const Prediction& prediction, const RealisedOutcome& outcome) { learn(prediction, outcome, true); }
  void take_back(const Prediction& prediction, const RealisedOutcome& outcome) { learn(prediction, outcome, false); }

  // By how much intervals are widened: root mean square of errors in units of the std that was predicted.
  double calibration(const std::string& model) const;
  std::vector<std::string> models() const;
  uint64_t outcomes(const std::string& model) const;

  // One model's bytes, and the other way. Errors: corrupt.
  std::string save(const std::string& model) const;
  Status restore(const std::string& model, std::string_view bytes);

 private:
  struct Model {
    Regression regression;
    int64_t errors = 0;        // pairs with a predicted std
    Int128 squared_error = 0;  // of them, in steps of 2^-20
  };
  void learn(const Prediction& prediction, const RealisedOutcome& outcome, bool add);
  const Model* find(const std::string& model) const;

  ReconcileConfig config_;
  std::map<std::string, Model> models_;
};

// "deployment:drawer_vase" or "data:drawer_vase".
std::string model_name(const Prediction& prediction);

// Realised dMPL: as measured, else from MPL and the prediction's base. Nothing: cannot be told.
std::optional<double> realised_delta_mpl(const Prediction& prediction, const RealisedOutcome& outcome);

// Errors: invalid_argument (other pack or customer; dMPL cannot be told), too_large.
Result<Reconciliation> reconcile(const Prediction& prediction, const RealisedOutcome& outcome, double z);

// Which prediction and which outcome count when there are several: the earliest made, the latest measured; ids decide
// between equals. True: `a` counts and not `b`.
bool counts_before(const Prediction& a, const Prediction& b);
bool counts_before(const RealisedOutcome& a, const RealisedOutcome& b);

// Thresholds of tiers from what surprised: the lowest value from which on errors are surprise_ratio above their mean.
struct Surprise {
  double novelty = 0;
  double causal_gain = 0;
  double abs_error = 0;  // of dMPL
};
struct AdjustedThresholds {
  double novelty_min = 0;
  double causal_gain_min = 0;
  std::string why;  // in words
};
AdjustedThresholds adjust_thresholds(const ReconcileConfig& config, std::vector<Surprise> observations);

// What a datapack says of itself as an outcome, for each customer. Nothing: it does not hold its MPL.
std::optional<RealisedOutcome> outcome_of(const Datapack& pack);
// Baseline MPL that the pack was compared with; 0: none was established.
double base_mpl_of(const Datapack& pack);
// An outcome record. Errors: invalid_argument (metrics_json is no object, or a number is out of range).
Result<RealisedOutcome> outcome_of(std::string_view pack_id, std::string_view customer_id,
                                   std::string_view metrics_json, int64_t time_unix_ns);

}  // namespace drover::econ

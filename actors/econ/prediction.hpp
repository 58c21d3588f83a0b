// What was expected of a deployment before it ran, what came of it, and what that means in money. Plain values.
//
// A Prediction is a fact about a moment: what the model of that moment said, with the features it said it from. It is
// written down before the outcome is looked at and never changed. Money follows what was written down, not what the
// model says today; so everything that is owed can be derived again from the predictions and outcomes alone.
// Identity: prediction_id and outcome_id are hashes of the content. Equal content is one fact, however often it comes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actors/econ/econ.hpp"
#include "messages/hash.hpp"
#include "messages/result.hpp"

namespace drover::econ {

inline constexpr size_t id_max_bytes = 128;  // of pack, customer and task
inline constexpr double measure_max = 1e9;   // of anything measured

// A mean with its confidence interval; low <= mean <= high.
struct Estimate {
  double mean = 0;
  double low = 0;
  double high = 0;
  bool operator==(const Estimate&) const = default;
};

inline constexpr std::string_view basis_deployment = "deployment";
inline constexpr std::string_view basis_data = "data";

// Money that was agreed on with the prediction. Absent in a prediction: nobody pays, only the error counts.
struct QuoteTerms {
  MicroUsd price_per_unit = 0;  // p, >= 0
  int64_t horizon_ns = 0;       // how long the effect is paid for, >= 0
  int64_t withheld_parts = 0;   // S in parts of 1e9: 0 shares all, 1e9 shares nothing
  MicroUsd quoted = 0;          // charged ex ante: quote_amount(), >= 0
  std::optional<MicroUsd> cap;  // the most the customer pays in all (w_h * horizon): no true-up goes above it
  std::string contract;         // what it was agreed under, for people: tier, discount, premium
  bool operator==(const QuoteTerms&) const = default;
};

struct Prediction {
  std::string pack_id;      // the datapack the deployment becomes, or whose effect is predicted; 1..128 bytes
  std::string customer_id;  // empty: the fleet itself
  std::string task_name;
  int64_t made_unix_ns = 0;  // time of the fact it was made at; no wall clock
  // What is expected of what. deployment: what the episode itself yields, from its conditions; the datapack says what
  // came of it. data: by how much the datapack, once used, raises MPL; only an outcome record can say that.
  std::string basis{basis_data};
  std::string model;                // features and state the model had: "rls1:drawer_vase:317:9f3ac2d1"
  uint64_t model_outcomes = 0;      // how many outcomes it had learnt from
  double novelty = 0;               // [0, 1]
  uint8_t tier = 0;                 // 0 redundant, 1 context-novel, 2 causal-novel
  std::vector<double> features;     // as the model saw them; an outcome teaches with these
  double base_mpl_units_per_h = 0;  // what delta_mpl is relative to; 0: not known
  Estimate delta_mpl;               // relative: (mpl - base) / base
  double delta_mpl_std = 0;         // of single outcomes around the mean
  Estimate mpl_units_per_h;
  Estimate error_rate;
  Estimate energy_Wh;
  double kappa = 0;  // confidence discount: lower end of the interval / mean, [0, 1]
  std::optional<QuoteTerms> terms;
  bool operator==(const Prediction&) const = default;
};

// What was measured. Absent: not measured.
struct OutcomeMetrics {
  std::optional<double> mpl_units_per_h;
  std::optional<double> delta_mpl;  // relative; absent: from mpl and the prediction's base
  std::optional<double> error_rate;
  std::optional<double> energy_Wh;
  bool operator==(const OutcomeMetrics&) const = default;
};

struct RealisedOutcome {
  std::string pack_id;
  std::string customer_id;  // empty and measured = false: of every customer of the pack
  int64_t time_unix_ns = 0;
  bool measured = true;  // an outcome record; false: read off the datapack itself. A record outranks the datapack
  OutcomeMetrics metrics;
  bool operator==(const RealisedOutcome&) const = default;
};

// Predicted beside realised, for one pack and customer. Errors are realised - predicted.
struct Reconciliation {
  std::string pack_id;
  std::string customer_id;
  std::string basis{basis_data};  // of the prediction
  std::string task_name;
  int64_t made_unix_ns = 0;
  int64_t time_unix_ns = 0;  // of the outcome
  Hash prediction{};
  Hash outcome{};
  double predicted_delta_mpl = 0;
  double realised_delta_mpl = 0;
  double error_delta_mpl = 0;
  std::optional<double> error_mpl_units_per_h;
  std::optional<double> error_error_rate;
  std::optional<double> error_energy_Wh;
  bool inside_interval = false;  // realised delta_mpl inside mean +- z * delta_mpl_std
  MicroUsd quoted = 0;
  MicroUsd earned = 0;   // what the effect was worth: quote_amount() with the realised value and kappa 1
  MicroUsd true_up = 0;  // quoted - earned, capped: + refund to the customer, - charge
  bool operator==(const Reconciliation&) const = default;
};

// p * kappa * E[dMPL] * horizon * S, E[dMPL] in units per h: what withholding is quoted at. Rounded once to the nearest
// micro-dollar, never below zero. Errors: invalid_argument (a factor out of its range), too_large.
struct QuoteFactors {
  MicroUsd price_per_unit = 0;
  double kappa = 0;                  // [0, 1]
  double delta_mpl_units_per_h = 0;  // negative: nothing is charged
  int64_t horizon_ns = 0;
  int64_t withheld_parts = 0;  // [0, 1e9]
};
Result<MicroUsd> quote_amount(const QuoteFactors& factors);

// Invariants: ids within their bounds, numbers finite, intervals ordered, kappa and novelty in [0, 1], money >= 0.
// Errors: invalid_argument (the field is named).
Status validate(const Prediction& value);
Status validate(const RealisedOutcome& value);

// One JSON object on one line, keys in fixed order, numbers with all their bits: equal values give equal bytes.
std::string to_json(const Prediction& value);
std::string to_json(const RealisedOutcome& value);
std::string to_json(const Reconciliation& value);
// Errors: invalid_argument (not JSON, a missing or unknown key, an invariant).
Result<Prediction> prediction_from_json(std::string_view text);
Result<RealisedOutcome> outcome_from_json(std::string_view text);
Result<Reconciliation> reconciliation_from_json(std::string_view text);

// SHA-256 of the JSON.
Hash prediction_id(const Prediction& value);
Hash outcome_id(const RealisedOutcome& value);

}  // namespace drover::econ

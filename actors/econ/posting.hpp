// What a prediction and its outcomes mean in the ledger. Pure.
//
//   quote      customer -> data_pool     what was quoted, when the prediction was made
//   true_up    data_pool -> customer     a refund, or the other way a charge, when the outcome is known
//   reversal   of either                 when another prediction or outcome counts in its place
//
// The postings are a function of the set of predictions and outcomes of one pack, customer and basis: each pair is
// posted, and each that does not count is reversed as well. So the set only grows, and does not depend on what came
// first.
#pragma once

#include <string>
#include <vector>

#include "actors/econ/prediction.hpp"
#include "storage/ledger_store.hpp"

namespace drover::econ {

inline constexpr std::string_view pool_account = "data_pool";

// "customer/plant-a"; bytes that an account must not hold are written ":hh", and what is too long ends in its hash.
std::string customer_account(std::string_view customer_id);

struct Deal {  // all that is known of one pack, customer and basis
  std::vector<Prediction> predictions;
  std::vector<RealisedOutcome> outcomes;
};
// What counts of it; null where there is none.
const Prediction* counting_prediction(const Deal& deal);
const RealisedOutcome* counting_outcome(const Deal& deal);
// The pair that counts, reconciled; nothing while one is missing or dMPL cannot be told.
std::optional<Reconciliation> counting(const Deal& deal, double z);

std::vector<storage::Posting> postings_of(const Deal& deal, const std::string& currency);

// Of one split: value of robot labour above the human wage, to customer and platform. Balanced, exactly.
storage::Posting split_posting(const SpreadSplit& split, std::string_view robot, std::string_view customer_id,
                               const std::string& reference, int64_t time_unix_ns, const std::string& currency);

}  // namespace drover::econ

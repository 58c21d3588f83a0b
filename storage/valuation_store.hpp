// ValuationStore: what each datapack is worth learning from, beside the packs themselves. valuation_store.md shows the
// rows.
//
//   novelty      0..1, how unlike everything earlier of its task the episode was (actors/datapack/novelty.hpp makes it)
//   causal gain  >= 0 [units of J], how far its delta_J is from what similar earlier episodes make one expect
//   tier         0 redundant, 1 context-novel, 2 causal-novel: from the two by the thresholds held here
//   expectation  E[dMPL] with its interval, written by who predicts; absent until then
//
// Invariants
// - "Earlier" means start time, then hash of the pack_id (RowId), never arrival: the rows are a function of the packs,
//   whatever order they came in. A pack that arrives late changes the rows of later packs that it is near to.
// - A tier is never stored: it follows from the thresholds at the moment of reading.
// - Packs that are not valued yet lie in the todo table of DatapackStore; then `get` gives nothing.
// Threads: a value over table handles; every call happens inside the caller's transaction.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "storage/datapack_index.hpp"
#include "storage/env.hpp"

namespace drover::storage {

// An earlier pack that is near.
struct Neighbour {
  uint32_t distance2 = 0;  // squared, between quantised vectors of their space
  RowId id;
  double delta_j = 0;  // of that pack
  bool operator==(const Neighbour&) const = default;
};

// Where a pack lies in one feature space, and who of the earlier ones is nearest.
struct SpacePlace {
  uint64_t space = 0;                 // name_hash of task and encoder
  double unit = 1;                    // distance (root of distance2) at which 63 % of similarity is lost
  std::vector<Neighbour> neighbours;  // nearest first; equal distances by id
  bool operator==(const SpacePlace&) const = default;
};

struct Expectation {
  double dmpl = 0;  // expected change of MPL by training on it, in units per hour as the predictor defines it
  double low = 0;   // confidence interval
  double high = 0;
  double kappa = 1;          // confidence discount, 0..1
  uint64_t model = 0;        // version of the model that said so
  int64_t made_unix_ns = 0;  // when
  bool operator==(const Expectation&) const = default;
};

struct TierThresholds {
  double novelty_min = 0.35;      // from here on a pack is context-novel
  double causal_gain_min = 0.25;  // [J] from here on causal-novel
  uint64_t version = 0;           // raised by whoever adjusts them
  bool operator==(const TierThresholds&) const = default;
};

// 2 when causal_gain >= causal_gain_min, else 1 when novelty >= novelty_min, else 0.
uint8_t tier_of(double novelty, double causal_gain, const TierThresholds& thresholds) noexcept;

struct Valuation {
  double delta_j = 0;      // of the pack
  double novelty = 1;      // 0..1
  double causal_gain = 0;  // >= 0 [J]
  uint8_t tier = 0;        // by the thresholds in the store; ignored by put_in
  std::vector<SpacePlace> places;
  std::optional<Expectation> expected;  // ignored by put_in
  bool operator==(const Valuation&) const = default;
};

class ValuationStore {
 public:
  // Names for EnvOptions::databases.
  static std::vector<std::string> databases();
  explicit ValuationStore(const Env& env);

  // Nothing: not valued yet. RowIds of packs: DatapackStore::row, or PackRow::id() of query hits. Errors: corrupt.
  Result<std::optional<Valuation>> get(const ReadTxn& txn, const RowId& id) const;
  // Every valued pack in order of time, until `visit` returns false or an error. With `brief`, places stay empty
  // (much faster; for whoever needs numbers only).
  Status for_each(const ReadTxn& txn, bool brief,
                  const std::function<Result<bool>(const RowId& id, const Valuation& value)>& visit) const;
  Result<uint64_t> count(const ReadTxn& txn) const;  // packs that are valued

  // Thresholds for tiers: those that were set, else the defaults above.
  Result<TierThresholds> thresholds(const ReadTxn& txn) const;
  // Errors: invalid_argument (novelty outside 0..1, gain negative, not finite).
  Status set_thresholds_in(WriteTxn& txn, const TierThresholds& thresholds) const;

  // Replaces the expectation of a pack, valued or not. Errors: invalid_argument (a number is not finite).
  Status put_expected_in(WriteTxn& txn, const RowId& id, const Expectation& expected) const;

  // ---- for the one who values (actors/datapack/novelty_keeper)
  Status put_in(WriteTxn& txn, const RowId& id, const Valuation& value) const;
  // The quantised vector of a pack in a space.
  Status put_vector_in(WriteTxn& txn, uint64_t space, const RowId& id, ByteView vector) const;
  struct Vector {
    uint64_t space = 0;
    RowId id;
    ByteView bytes;  // valid as long as the transaction
  };
  // By space, then time.
  Status for_each_vector(const ReadTxn& txn, const std::function<Result<bool>(const Vector&)>& visit) const;
  // What the rows were made with; another fingerprint means that they have to be made anew. Empty: none made yet.
  Result<std::string> fingerprint(const ReadTxn& txn) const;
  // Forgets rows and vectors (not thresholds, not expectations) and remembers the new fingerprint.
  Status restart_in(WriteTxn& txn, const std::string& fingerprint) const;

 private:
  Db rows_;      // row id -> novelty, gain, places
  Db vectors_;   // space, row id -> vector
  Db expected_;  // row id -> expectation
  Db model_;     // name -> thresholds, fingerprint
};

}  // namespace drover::storage

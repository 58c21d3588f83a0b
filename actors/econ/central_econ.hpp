// CentralEcon: the books of a coordinator. Reads datapacks and outcomes of every stream in the inbox by cursor, writes
// down what was expected of each, reconciles, posts to the ledger and learns. BOOKS.md documents the tables.
//
// Exactly once: everything that follows from a piece of the inbox, cursors included, is one transaction of the
// environment STORE/econ. Predictions are facts: each is also appended to a stream of its own in the inbox (@econ: no
// robot can have that name), so that the books can be deleted and made again from the inbox, byte for byte.
// Order: what is owed does not depend on how streams interleaved (posting.hpp). What a new prediction says depends on
// what had been learnt when it was made; from then on it is a fact.
// Outcomes are believed from the stream of the robot whose datapack it is, and from streams of this coordinator (@...).
// Threads: one at a time. Blocking: belongs into an actor with a thread of its own. No clock: times are those of facts.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/econ/posting.hpp"
#include "actors/econ/reconcile.hpp"
#include "actors/sync/central_store.hpp"
#include "messages/episode.hpp"
#include "storage/ledger_store.hpp"
#include "storage/marks.hpp"

namespace drover::econ {

inline constexpr std::string_view econ_stream = "@econ";
inline constexpr std::string_view operator_stream = "@operator";
inline constexpr std::string_view prediction_source = "econ.prediction:v1";  // Enrichment::source
inline constexpr size_t deal_predictions_max = 16;                           // of one pack and customer; further ones
inline constexpr size_t deal_outcomes_max = 64;                              // are set aside with the reason

struct CentralEconOptions {
  std::string folder;  // STORE/econ
  ReconcileConfig config;
  uint64_t read_bytes = 1u << 20;  // of one stream at a time
  storage::Sync sync = storage::Sync::synced;
  storage::Access access = storage::Access::read_write;
};

struct EconProgress {
  uint64_t datapacks = 0;    // looked at in this call
  uint64_t outcomes = 0;     // records
  uint64_t predictions = 0;  // made on arrival
  uint64_t reconciled = 0;   // pairs that count now and did not before
  uint64_t posted = 0;       // postings
  uint64_t set_aside = 0;
  bool more = false;  // streams hold further records
};

struct EconCounts {
  uint64_t predictions = 0;
  uint64_t outcomes = 0;
  uint64_t reconciliations = 0;
  uint64_t set_aside = 0;
  storage::LedgerTotals ledger;
};

class CentralEcon {
 public:
  // Names for EnvOptions::databases.
  static std::vector<std::string> databases();
  // Errors: those of Env::open, corrupt or unsupported_version (a model; delete the folder to make the books again).
  static Result<std::unique_ptr<CentralEcon>> open(const CentralEconOptions& options);

  // One bounded piece of every stream. Nothing is lost or taken twice when it fails. Errors: those of the stores.
  Result<EconProgress> step(sync::CentralStore& store);
  // Until nothing is left.
  Result<EconProgress> run(sync::CentralStore& store);

  // Writes down a prediction that was asked for, with its terms, and posts what was quoted. The streams must have been
  // read to their ends (run()). Errors: invalid_argument, refused (they were not),
  // conflict (one for this pack, customer and basis is there).
  Status record(sync::CentralStore& store, const Prediction& prediction);

  // Tier thresholds follow the outcomes, and the expectation of each pack stands beside its value, in the store's
  // valuations. A pass over everything; call it when the streams are at their ends and enough is new.
  Result<AdjustedThresholds> adjust_tiers(sync::CentralStore& store);

  const Estimator& estimator() const { return estimator_; }
  const ReconcileConfig& config() const { return options_.config; }
  const storage::Env& env() const { return env_; }
  storage::LedgerStore ledger() const { return storage::LedgerStore(env_); }
  Result<EconCounts> counts() const;
  // Predictions of a pack, all customers.
  Result<std::vector<Prediction>> predictions(const std::string& pack_id) const;
  // In order of the outcome's time, until `visit` returns false or an error.
  Status for_each_result(const std::function<Result<bool>(const Reconciliation&)>& visit) const;
  // What was set aside, and why.
  Result<std::vector<std::pair<std::string, std::string>>> set_aside(uint32_t limit) const;

 private:
  struct Work;
  struct Batch;
  struct DealId {
    std::string pack, customer, basis;
  };
  CentralEcon(CentralEconOptions options, storage::Env env);
  Status load();
  Status append_pending(sync::CentralStore& store);
  Result<std::vector<Batch>> read(const sync::CentralStore& store) const;
  Status cursors_first(const std::vector<Batch>& batches);
  Result<EconProgress> take(const std::vector<Batch>& batches);
  Status take_record(Work& work, const sync::StreamId& stream, const RecordView& record) const;
  Status take_datapack(Work& work, const sync::StreamId& stream, const RecordView& record) const;
  Status take_outcome(Work& work, const sync::StreamId& stream, const RecordView& record) const;
  Status take_own(Work& work, const RecordView& record) const;
  Prediction arrival(const Work& work, const Datapack& pack) const;
  Status add_prediction(Work& work, const Prediction& prediction, bool is_new) const;
  Status add_outcome(Work& work, const RealisedOutcome& outcome) const;
  Result<Deal> deal(const storage::ReadTxn& txn, const DealId& id) const;
  storage::Expectation expectation(const Datapack& pack, const storage::Valuation& value) const;
  Status settle(Work& work, const Deal& before, const Deal& after) const;
  Status put_aside(Work& work, const std::string& what, const std::string& why) const;
  Status finish(Work& work) const;

  CentralEconOptions options_;
  storage::Env env_;
  storage::LedgerStore ledger_;
  storage::Marks marks_;
  storage::Db predictions_;
  storage::Db outcomes_;
  storage::Db results_;
  storage::Db packs_;
  storage::Db aside_;
  storage::Db pending_;
  Estimator estimator_;
  std::map<sync::StreamId, uint64_t> cursors_;  // own stream: the last number given
};

// Appends a measured outcome to this coordinator's own stream, as an operator's word. Errors: invalid_argument, those
// of the store.
Status append_outcome(sync::CentralStore& store, const Outcome& outcome);

}  // namespace drover::econ

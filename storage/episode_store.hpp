// EpisodeStore: what the journal's records other than datapacks become at the centre: episode headers, node events,
// receipts, enrichments, outcomes, and records that were refused. episode_store.md documents the tables.
//
// Invariants: keys come from the content alone, so the tables are the same whatever order records arrived in; putting
// the same record again changes nothing; an episode id that comes back with other content is a conflict.
// Threads: a value type over table handles; all calls happen inside the caller's transaction.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "messages/episode.hpp"
#include "messages/record.hpp"
#include "storage/env.hpp"

namespace drover::storage {

// Where a record came from; makes keys of records that have no identity of their own.
struct RecordOrigin {
  std::string robot;
  uint64_t incarnation = 0;
  uint64_t seq = 0;
};

struct EpisodeFilter {
  std::string robot;      // empty: any
  std::string task_name;  // empty: any
  std::string outcome;    // empty: any
  std::string event;      // empty: any; else episodes that hold an event of this kind
  std::optional<int64_t> from_unix_ns;
  std::optional<int64_t> until_unix_ns;
  uint32_t limit = 100;  // 1 .. 1,000,000
  bool newest_first = true;
};

struct RejectedRecord {
  RecordOrigin origin;
  RecordKind kind{};
  std::string reason;
};

class EpisodeStore {
 public:
  // Names for EnvOptions::databases.
  static std::vector<std::string> databases();
  explicit EpisodeStore(const Env& env);

  // Errors: conflict (same robot and episode id, other content).
  Status put_episode(WriteTxn& txn, const Episode& episode, ByteView flat) const;
  Status put_event(WriteTxn& txn, const RecordOrigin& origin, ByteView flat) const;
  Status put_receipt(WriteTxn& txn, const RecordOrigin& origin, const Receipt& receipt, ByteView flat) const;
  Status put_enrichment(WriteTxn& txn, const RecordOrigin& origin, const Enrichment& value, ByteView flat) const;
  Status put_outcome(WriteTxn& txn, const RecordOrigin& origin, const Outcome& value, ByteView flat) const;
  // A record that was acknowledged but breaks an invariant: kept aside with the reason, never dropped.
  Status put_rejected(WriteTxn& txn, const RejectedRecord& record, ByteView payload) const;

  Result<std::optional<Episode>> episode(const ReadTxn& txn, const std::string& robot, const std::string& id) const;
  // In order of start time. Visits at most filter.limit episodes that fit.
  Result<std::vector<Episode>> episodes(const ReadTxn& txn, const EpisodeFilter& filter) const;
  Status for_each_episode(const ReadTxn& txn, const std::function<Result<bool>(const Episode&)>& visit) const;
  Status for_each_receipt(const ReadTxn& txn, const std::function<Result<bool>(const Receipt&)>& visit) const;
  // The enrichments of one pack in order of robot, incarnation and number. The view is valid as long as the transaction.
  Status for_each_enrichment(const ReadTxn& txn, std::string_view pack_id,
                             const std::function<Result<bool>(ByteView flat)>& visit) const;
  Result<std::vector<Event>> events(const ReadTxn& txn, const std::string& robot, uint32_t limit) const;
  Result<std::vector<RejectedRecord>> rejected(const ReadTxn& txn, uint32_t limit) const;

  struct Counts {
    uint64_t episodes = 0;
    uint64_t events = 0;
    uint64_t receipts = 0;
    uint64_t enrichments = 0;
    uint64_t outcomes = 0;
    uint64_t rejected = 0;
  };
  Result<Counts> counts(const ReadTxn& txn) const;

 private:
  Status put_once(WriteTxn& txn, Db db, ByteView key, ByteView flat, const std::string& what) const;

  Db episodes_;
  Db by_time_;
  Db events_;
  Db receipts_;
  Db enrichments_;
  Db outcomes_;
  Db rejected_;
};

}  // namespace drover::storage

// DatapackStore: datapacks with their indexes and statistics. DATAPACKS.md documents the tables.
//
// Invariants
// - A pack_id names one content for ever: the same pack again changes nothing, another content is a conflict.
// - Indexes, counts and statistics change in the same transaction as the packs they describe.
// - Every key and value is made from content alone: a store holds the same bytes in whatever order and in
//   whatever batches its packs arrived.
// - A query answers exactly what a look at every pack would answer; the plan only decides how long it takes.
// Threads: a value over table handles; every call happens inside the caller's transaction.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "messages/datapack.hpp"
#include "storage/datapack_index.hpp"
#include "storage/env.hpp"
#include "storage/exact_sum.hpp"

namespace drover::storage {

enum class SortBy : uint8_t { delta_j, trust, mvd, time, w_econ, pack_id };
std::string_view sort_by_name(SortBy sort) noexcept;  // "delta_j" ...
std::optional<SortBy> sort_by_from_name(std::string_view name) noexcept;

inline constexpr uint32_t query_limit_max = 1'000'000;
inline constexpr size_t query_tags_max = 64;

// All filters that are set must hold. Text: empty means any.
struct PackQuery {
  std::string task_name;  // empty: every task
  std::optional<Bucket> bucket;
  std::optional<int64_t> skill_id;  // occurs in the skill trace
  std::string engine_type;
  std::optional<double> min_trust;
  std::optional<double> min_delta_j;
  std::optional<double> min_mvd_score;  // packs without a score do not match
  std::optional<SourceType> source_type;
  std::string robot;
  std::optional<int64_t> from_unix_ns;   // start time >= from
  std::optional<int64_t> until_unix_ns;  // start time < until
  std::vector<std::string> tags;         // all of; semantic or energy driver tags
  uint32_t limit = 100;                  // 1 .. query_limit_max
  bool include_counterfactual = false;   // only packs with a counterfactual plan
  bool include_sima = false;             // only packs with a SIMA annotation
  SortBy sort_by = SortBy::delta_j;
  bool sort_descending = true;  // equal values: by start time and hash of the id, in the same direction
};

struct PackHit {
  std::string pack_id;
  PackRow row;
  Bytes flat;  // the pack: decode_datapack
};

struct QueryAnswer {
  std::vector<PackHit> hits;
  std::string plan;            // which index was walked and why
  uint64_t rows_examined = 0;  // index rows
  uint64_t packs_loaded = 0;
};

struct PackStatistics {
  uint64_t total = 0;
  uint64_t positive = 0;
  uint64_t negative = 0;
  double positive_ratio = 0;  // 0 when there are none
  double delta_j_mean = 0;
  double delta_j_std = 0;  // of the population
  double trust_mean = 0;
  std::vector<int64_t> unique_skills;            // ascending
  std::map<std::string, uint64_t> engine_types;  // those that occur
  std::map<std::string, uint64_t> source_types;  // those that occur
  uint64_t with_sima = 0;
  uint64_t with_counterfactual = 0;
};

struct TaskCount {
  std::string task_name;
  uint64_t packs = 0;
};

enum class PutOutcome : uint8_t { stored, known };

class DatapackStore {
 public:
  // Names for EnvOptions::databases.
  static std::vector<std::string> databases();
  explicit DatapackStore(const Env& env);

  // Stores one pack. For many in one transaction use DatapackBatch, which is much faster.
  // Errors: invalid_argument or unsupported_version (an invariant, the field is named), conflict (same pack_id, other
  // content), corrupt, and those of put. A refusal (the first three) changes nothing: the transaction may go on.
  Result<PutOutcome> put_in(WriteTxn& txn, const Datapack& pack) const;
  // The same for encoded bytes, which are stored as they are.
  Result<PutOutcome> put_encoded_in(WriteTxn& txn, ByteView flat) const;

  Result<std::optional<Datapack>> get(const ReadTxn& txn, std::string_view pack_id) const;
  // Encoded; the view is valid as long as the transaction.
  Result<std::optional<ByteView>> get_flat(const ReadTxn& txn, std::string_view pack_id) const;

  // Its summary; row->id() is its place in every table.
  Result<std::optional<PackRow>> row(const ReadTxn& txn, std::string_view pack_id) const;
  Result<std::optional<ByteView>> flat_at(const ReadTxn& txn, const RowId& id) const;

  // Packs that somebody has yet to value (storage/valuation_store.hpp): every put adds its pack, done_in takes it out.
  // At most `count_max`, earliest first.
  Result<std::vector<RowId>> todo(const ReadTxn& txn, size_t count_max) const;
  Result<uint64_t> todo_count(const ReadTxn& txn) const;
  Status done_in(WriteTxn& txn, const RowId& id) const;
  // Puts every pack on the list again.
  Status redo_all_in(WriteTxn& txn) const;

  // Errors: invalid_argument (a filter is out of its range: named), corrupt.
  Result<QueryAnswer> query(const ReadTxn& txn, const PackQuery& query) const;
  // What the planner would do, one candidate per line, the chosen one first.
  Result<std::string> explain(const ReadTxn& txn, const PackQuery& query) const;
  // The best and the worst packs of a skill by delta_J.
  Result<QueryAnswer> positive_for_skill(const ReadTxn& txn, const std::string& task, int64_t skill_id,
                                         uint32_t top_k) const;
  Result<QueryAnswer> negative_for_skill(const ReadTxn& txn, const std::string& task, int64_t skill_id,
                                         uint32_t top_k) const;

  // Kept with every put: the cost does not grow with the number of packs. An unknown task has zeros.
  Result<PackStatistics> statistics(const ReadTxn& txn, const std::string& task) const;
  Result<std::vector<TaskCount>> tasks(const ReadTxn& txn) const;  // in order of name
  Result<uint64_t> count(const ReadTxn& txn) const;                // of all tasks

  // Every pack of a task (empty: of every task) in order of start time, until `visit` returns false or an error.
  Status for_each(const ReadTxn& txn, const std::string& task,
                  const std::function<Result<bool>(ByteView flat)>& visit) const;

  // Compares every index row, count and statistic with the packs. Errors: corrupt (what differs).
  // Costs a look at everything.
  Status verify(const ReadTxn& txn) const;

 private:
  friend class DatapackBatch;
  friend class QueryRun;
  Db data_;    // row id -> encoded pack
  Db ids_;     // pack_id -> task, summary
  Db lists_;   // blocks of summaries
  Db counts_;  // list -> rows, name; histograms
  Db tasks_;   // task -> name, totals, exact sums
  Db todo_;    // row ids of packs to be valued
};

// Statistics of one task as they lie in tasks_. Public for tests and verify only.
struct TaskTotals {
  std::string name;
  std::vector<uint64_t> classes = std::vector<uint64_t>(class_count);  // packs by class_code
  ExactSum delta_j;
  ExactSum delta_j_squares;
  ExactSum trust;
  bool operator==(const TaskTotals&) const = default;
};

// A pack with all that can be worked out without a store, so that many can be made on other threads.
struct PreparedPack {
  std::string pack_id;
  std::string task_name;
  Bytes flat;
  PackRow row;
  uint64_t task = 0;  // name_hash(task_name)
  int64_t day = 0;    // it starts on
  struct Entry {
    ListId list;
    std::string name;  // of the attribute, for listings
  };
  std::vector<Entry> lists;  // that it will be in
};

// Makes them, and remembers the hashes of names. One thread per object.
class PackPreparer {
 public:
  // Errors: invalid_argument or unsupported_version (an invariant, the field is named).
  Result<PreparedPack> prepare(const Datapack& pack);
  // For a pack that was decoded from `flat`, which is stored as it is.
  Result<PreparedPack> prepare(const Datapack& pack, Bytes flat);

 private:
  uint64_t hash_of(const std::string& name);
  std::map<std::string, uint64_t> hashes_;
};

// Many puts in one transaction. Index rows wait in memory and are written, sorted, by finish() (or earlier when
// many wait). An error of put() that is a refusal leaves the batch usable; after any other the transaction must fail.
// Without finish() the transaction must not be committed.
class DatapackBatch {
 public:
  DatapackBatch(const DatapackStore& store, WriteTxn& txn) : store_(store), txn_(txn) {}

  Result<PutOutcome> put(const Datapack& pack);
  Result<PutOutcome> put_encoded(ByteView flat);
  Result<PutOutcome> put(const PreparedPack& pack);
  Status finish();

 private:
  struct Waiting {
    std::vector<uint32_t> rows;  // into rows_
    std::string name;            // of the attribute, for listings
  };
  Result<bool> known(const PreparedPack& pack);
  void index(const PreparedPack& pack);
  void add(const ListId& list, const std::string& name, uint32_t row);
  Status write_list(const ListId& list, Waiting& waiting);
  Status write_histograms(uint64_t task);

  const DatapackStore& store_;
  WriteTxn& txn_;
  PackPreparer preparer_;
  std::vector<PackRow> rows_;
  std::map<ListId, Waiting> lists_;
  std::map<uint64_t, TaskTotals> totals_;
  std::map<std::pair<uint64_t, int64_t>, uint64_t> days_;
};

// The summary of a pack (its place in the indexes).
PackRow summarize(const Datapack& pack);

namespace detail {
// Kinds of rows in the counts table beside the list kinds.
inline constexpr uint8_t count_kind_day = 32;              // attribute: day number; rows that start on it
inline constexpr uint8_t count_kind_histogram_first = 64;  // + ListKind of a sorted list: histogram of its field
inline constexpr double day_ns = 86'400e9;
Key count_key(uint64_t task, uint8_t kind, uint64_t attribute);
int64_t day_of(int64_t unix_ns);
Result<uint64_t> read_count(const ReadTxn& txn, Db counts, const Key& key);
Result<Histogram> read_histogram(const ReadTxn& txn, Db counts, uint64_t task, ListKind kind);
Result<std::optional<TaskTotals>> read_totals(const ReadTxn& txn, Db tasks, uint64_t task);
Key data_key(const RowId& id);
}  // namespace detail

}  // namespace drover::storage

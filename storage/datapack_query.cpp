// Queries over datapacks: filters, estimates, the choice of a plan and its execution.
//
// A plan walks one list (or a few) and tests the summary rows. An ordered plan walks in the order that was asked for
// and stops at the limit: fast when matches are frequent. A collecting plan walks a short list to its end and keeps the
// best: fast when matches are rare. The estimate assumes that filters are independent; when an ordered walk has cost
// more than the best collecting plan would, it is given up for that, so a wrong estimate at most doubles the cost.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "messages/check.hpp"
#include "messages/packet.hpp"
#include "messages/schema/datapack.capnp.h"
#include "storage/datapack_store.hpp"

namespace drover::storage {
namespace {

constexpr double load_cost_rows = 30;          // loading a pack costs about as much as examining this many rows
constexpr double id_walk_cost_rows = 12;       // a step through packs.ids, against one through a list
constexpr size_t copied_bytes_max = 4u << 20;  // of packs that lie in one buffer
constexpr uint64_t days_max = 4096;            // day counts read for one estimate

constexpr std::array<std::string_view, 6> sort_names{"delta_j", "trust", "mvd", "time", "w_econ", "pack_id"};

tl::unexpected<Error> bad(const char* field, std::string what) {
  return fail(Errc::invalid_argument, field, std::move(what));
}

Status check(const PackQuery& q) {
  if (q.limit == 0 || q.limit > query_limit_max) return bad("limit", "must be 1 to " + std::to_string(query_limit_max));
  if (q.tags.size() > query_tags_max) return bad("tags", "more than " + std::to_string(query_tags_max));
  const auto finite = [](const std::optional<double>& v) { return !v || std::isfinite(*v); };
  if (!finite(q.min_trust)) return bad("min_trust", "is not a finite number");
  if (!finite(q.min_delta_j)) return bad("min_delta_j", "is not a finite number");
  if (!finite(q.min_mvd_score)) return bad("min_mvd_score", "is not a finite number");
  if (!q.engine_type.empty() && !engine_index(q.engine_type))
    return bad("engine_type", "'" + q.engine_type + "' is not one of pybullet, isaac, ue5, mujoco, real");
  if (static_cast<size_t>(q.sort_by) >= sort_names.size()) return bad("sort_by", "is not known");
  return {};
}

ListKind list_of(SortBy sort) {
  switch (sort) {
    case SortBy::delta_j:
      return ListKind::by_delta_j;
    case SortBy::trust:
      return ListKind::by_trust;
    case SortBy::mvd:
      return ListKind::by_mvd;
    case SortBy::w_econ:
      return ListKind::by_w_econ;
    default:
      return ListKind::by_time;
  }
}

// The query as tests on a summary row. Rows that pass may still be wrong where hashes stand for names: then `exact`
// is false and the pack itself is asked.
struct Filter {
  std::array<bool, class_count> classes{};
  double trust = -std::numeric_limits<double>::infinity();
  double delta_j = -std::numeric_limits<double>::infinity();
  std::optional<double> mvd;
  uint64_t skills = 0;
  uint64_t tags = 0;
  std::optional<uint32_t> robot;
  uint64_t from = 0;
  std::optional<uint64_t> until;
  bool exact = true;

  bool passes(const PackRow& row) const {
    return row.code < class_count && classes[row.code] && row.trust >= trust && row.delta_j >= delta_j &&
           (!mvd || row.mvd >= *mvd) && (row.skills & skills) == skills && (row.tags & tags) == tags &&
           (!robot || row.robot == *robot) && row.time >= from && (!until || row.time < *until);
  }
};

bool class_passes(const PackQuery& q, const PackClass& c) {
  return (q.engine_type.empty() || engine_names[c.engine] == q.engine_type) &&
         (!q.source_type || c.source == *q.source_type) && (!q.bucket || c.bucket == *q.bucket) &&
         (!q.include_sima || c.sima) && (!q.include_counterfactual || c.counterfactual);
}

Filter filter_of(const PackQuery& q) {
  Filter f;
  for (size_t code = 0; code < class_count; ++code)
    f.classes[code] = class_passes(q, class_of(static_cast<uint8_t>(code)));
  if (q.min_trust) f.trust = *q.min_trust;
  if (q.min_delta_j) f.delta_j = *q.min_delta_j;
  f.mvd = q.min_mvd_score;
  if (q.skill_id) f.skills = skill_bit(*q.skill_id);
  for (const std::string& tag : q.tags) f.tags |= tag_bits(name_hash(tag));
  if (!q.robot.empty()) f.robot = static_cast<uint32_t>(name_hash(q.robot));
  if (q.from_unix_ns) f.from = ordered_time(*q.from_unix_ns);
  if (q.until_unix_ns) f.until = ordered_time(*q.until_unix_ns);
  f.exact = q.tags.empty() && q.robot.empty() && (!q.skill_id || skill_bit(*q.skill_id) != skill_bit(-1));
  return f;
}

bool has_text(capnp::List<capnp::Text>::Reader list, const std::string& text) {
  for (const auto item : list)
    if (item.size() == text.size() && std::memcmp(item.begin(), text.data(), text.size()) == 0) return true;
  return false;
}

// The part of the query that summary rows cannot decide, asked of the pack.
bool pack_passes(const PackQuery& q, schema::Datapack::Reader pack) {
  for (const std::string& tag : q.tags)
    if (!has_text(pack.getSemanticTags(), tag) && !has_text(pack.getEnergyDriverTags(), tag)) return false;
  if (!q.robot.empty() && std::string_view(pack.getProvenance().getRobot().cStr()) != q.robot) return false;
  if (!q.skill_id) return true;
  for (const auto step : pack.getSkillTrace())
    if (step.getSkillId() == *q.skill_id) return true;
  return false;
}

struct Plan {
  std::string text;
  std::vector<ListId> lists;
  ListScan::Range range;
  bool ordered = false;  // rows come in the order that was asked for
  bool by_id = false;    // walks packs.ids instead of lists
  double rows = 0;       // that its lists hold in the range
  double share = 1;      // of the task's packs, that is
  double cost = 0;       // rows it is expected to examine
};

}  // namespace

// One task's share of a query.
class QueryRun {
 public:
  QueryRun(const DatapackStore& store, const ReadTxn& txn, const PackQuery& query, const std::string& task)
      : store_(store), txn_(txn), query_(query), filter_(filter_of(query)), task_(name_hash(task)) {}

  Status plan();
  Status run(QueryAnswer& answer);
  const std::vector<Plan>& plans() const { return plans_; }

 private:
  enum class Walk : uint8_t { done, given_up };

  Status read_facts();
  Result<double> list_rows(ListKind kind, uint64_t attribute) const;
  Result<double> range_rows(ListKind kind) const;
  Result<double> time_rows() const;
  ListScan::Range range_of(ListKind kind) const;
  void price(Plan& plan) const;
  Status add_attribute_plans();
  Status add_class_plan();
  Status add_sorted_plans();

  Place order(const PackRow& row) const { return place_of(list_of(query_.sort_by), row); }
  Result<bool> take(const PackRow& row, QueryAnswer& answer);
  void settle(QueryAnswer& answer);
  void forget(QueryAnswer& answer);
  Status walk(QueryAnswer& answer);
  Result<Walk> walk_ordered(const Plan& plan, double budget, QueryAnswer& answer);
  Result<Walk> walk_ids(double budget, QueryAnswer& answer);
  Status collect(const Plan& plan, QueryAnswer& answer);
  Status collect_best(const Plan& plan, size_t keep, std::vector<PackRow>& best, QueryAnswer& answer);

  const DatapackStore& store_;
  const ReadTxn& txn_;
  const PackQuery& query_;
  Filter filter_;
  uint64_t task_;
  std::optional<TaskTotals> totals_;
  double total_ = 0;
  double share_ = 1;  // of the task's packs that match, if filters were independent
  std::vector<Plan> plans_;
  std::vector<std::byte> copied_;  // packs of the hits that wait for their bytes
  struct Part {
    size_t start = 0;
    size_t size = 0;
  };
  std::vector<Part> waiting_;
};

Result<double> QueryRun::list_rows(ListKind kind, uint64_t attribute) const {
  const Key key = detail::count_key(task_, static_cast<uint8_t>(kind), attribute);
  DROVER_ASSIGN(const uint64_t count, detail::read_count(txn_, store_.counts_, key));
  return static_cast<double>(count);
}

// The part of a list that can hold matches.
ListScan::Range QueryRun::range_of(ListKind kind) const {
  ListScan::Range range;
  range.descending = query_.sort_descending;
  switch (kind) {
    case ListKind::by_delta_j: {
      if (query_.min_delta_j) range.low.value = ordered_bits(*query_.min_delta_j);
      if (query_.bucket == Bucket::positive) range.low.value = std::max(range.low.value, ordered_bits(0));
      if (query_.bucket == Bucket::negative) range.high = {ordered_bits(0), {}};
      break;
    }
    case ListKind::by_trust:
      if (query_.min_trust) range.low.value = ordered_bits(*query_.min_trust);
      break;
    case ListKind::by_mvd:
      if (query_.min_mvd_score) range.low.value = ordered_bits(*query_.min_mvd_score);
      break;
    case ListKind::by_w_econ:
      break;
    default:
      range.low.id.time = filter_.from;
      if (filter_.until) range.high = {0, {*filter_.until, 0}};
  }
  return range;
}

Result<double> QueryRun::range_rows(ListKind kind) const {
  const ListScan::Range range = range_of(kind);
  if (range.low == Place{} && range.high == place_end) return total_;
  DROVER_ASSIGN(const Histogram histogram, detail::read_histogram(txn_, store_.counts_, task_, kind));
  double rows = range.low == Place{} ? total_ : estimate_at_least(histogram, from_ordered_bits(range.low.value));
  if (range.high != place_end) rows -= estimate_at_least(histogram, from_ordered_bits(range.high.value));
  return std::clamp(rows, 0.0, total_);
}

Result<double> QueryRun::time_rows() const {
  if (!query_.from_unix_ns && !query_.until_unix_ns) return total_;
  const auto day = [](int64_t unix_ns) { return ordered_time(detail::day_of(unix_ns)); };
  const Key low = detail::count_key(task_, detail::count_kind_day, query_.from_unix_ns ? day(*query_.from_unix_ns) : 0);
  const uint64_t last = query_.until_unix_ns ? day(*query_.until_unix_ns) : UINT64_MAX;
  // The part of a day that lies in the range, as if its packs were spread evenly.
  const auto covered = [&](int64_t number) {
    const double start = static_cast<double>(number) * detail::day_ns;
    double low_ns = start, high_ns = start + detail::day_ns;
    if (query_.from_unix_ns) low_ns = std::max(low_ns, static_cast<double>(*query_.from_unix_ns));
    if (query_.until_unix_ns) high_ns = std::min(high_ns, static_cast<double>(*query_.until_unix_ns));
    return std::clamp((high_ns - low_ns) / detail::day_ns, 0.0, 1.0);
  };
  Cursor cursor = txn_.cursor(store_.counts_);
  double rows = 0;
  uint64_t days = 0;
  DROVER_ASSIGN(bool found, cursor.at_least(low));
  while (found) {
    KeyReader key(cursor.key());
    if (key.u64() != task_ || key.u8() != detail::count_kind_day) break;
    const int64_t number = key.i64();
    if (ordered_time(number) > last) break;
    if (++days > days_max) return total_;
    DROVER_ASSIGN(const ByteView value, cursor.value());
    if (value.size() < sizeof(uint64_t)) return fail(Errc::corrupt, "packs.counts", "a row has the wrong size");
    uint64_t count = 0;
    std::memcpy(&count, value.data(), sizeof count);
    rows += static_cast<double>(count) * covered(number);
    DROVER_ASSIGN(found, cursor.next());
  }
  return rows;
}

// What a plan costs, once the share of all filters is known.
void QueryRun::price(Plan& plan) const {
  const double others = plan.share > 0 ? std::min(1.0, share_ / plan.share) : 1;
  const double wanted = 1.5 * query_.limit / std::max(others, 1e-9) + 32;
  plan.cost = plan.ordered ? std::min(plan.rows, wanted) : plan.rows;
  if (plan.by_id) {
    plan.cost = std::min(total_, wanted) * id_walk_cost_rows;
  } else if (query_.sort_by == SortBy::pack_id) {
    plan.cost *= load_cost_rows;
  }
}

Status QueryRun::add_attribute_plans() {
  struct Attribute {
    ListKind kind;
    uint64_t value;
    std::string text;
  };
  std::vector<Attribute> attributes;
  if (query_.skill_id)
    attributes.push_back(
        {ListKind::skill, ordered_time(*query_.skill_id), "skill " + std::to_string(*query_.skill_id)});
  if (!query_.robot.empty()) attributes.push_back({ListKind::robot, name_hash(query_.robot), "robot " + query_.robot});
  for (const std::string& tag : query_.tags) attributes.push_back({ListKind::tag, name_hash(tag), "tag " + tag});
  std::vector<double> rows;
  for (const Attribute& a : attributes) {
    DROVER_ASSIGN(rows.emplace_back(), list_rows(a.kind, a.value));
    share_ *= rows.back() / total_;
  }
  DROVER_ASSIGN(const double in_time, time_rows());
  share_ *= in_time / total_;
  for (size_t i = 0; i < attributes.size(); ++i) {
    Plan plan{attributes[i].text, {{task_, attributes[i].kind, attributes[i].value}}, range_of(attributes[i].kind)};
    plan.rows = rows[i] * in_time / total_;
    plan.ordered = query_.sort_by == SortBy::time;
    plan.share = rows[i] / total_ * in_time / total_;
    plans_.push_back(std::move(plan));
  }
  return {};
}

Status QueryRun::add_class_plan() {
  Plan plan{"classes", {}, range_of(ListKind::pack_class)};
  for (size_t code = 0; code < class_count; ++code) {
    if (!filter_.classes[code] || totals_->classes[code] == 0) continue;
    plan.lists.push_back({task_, ListKind::pack_class, code});
    plan.rows += static_cast<double>(totals_->classes[code]);
  }
  plan.share = plan.rows / total_;
  share_ *= plan.share;
  plan.ordered = query_.sort_by == SortBy::time && plan.lists.size() == 1;
  plan.text = std::to_string(plan.lists.size()) + " classes (engine, source, bucket, sima, counterfactual)";
  plans_.push_back(std::move(plan));
  return {};
}

Status QueryRun::add_sorted_plans() {
  constexpr std::array<std::pair<ListKind, const char*>, 5> kinds{{{ListKind::by_time, "time"},
                                                                   {ListKind::by_delta_j, "delta_j"},
                                                                   {ListKind::by_trust, "trust"},
                                                                   {ListKind::by_mvd, "mvd"},
                                                                   {ListKind::by_w_econ, "w_econ"}}};
  std::array<double, kinds.size()> rows{};
  for (size_t i = 0; i < kinds.size(); ++i) {
    DROVER_ASSIGN(rows[i], i == 0 ? time_rows() : range_rows(kinds[i].first));
    const bool counted = i == 0 || (i == 1 && query_.bucket && !query_.min_delta_j);  // by the class or time share
    if (!counted) share_ *= rows[i] / total_;
  }
  for (size_t i = 0; i < kinds.size(); ++i) {
    Plan plan{std::string("sorted by ") + kinds[i].second, {{task_, kinds[i].first, 0}}, range_of(kinds[i].first)};
    plan.rows = rows[i];
    plan.ordered = query_.sort_by != SortBy::pack_id && list_of(query_.sort_by) == kinds[i].first;
    plan.share = rows[i] / total_;
    plans_.push_back(std::move(plan));
  }
  return {};
}

Status QueryRun::read_facts() {
  DROVER_ASSIGN(totals_, detail::read_totals(txn_, store_.tasks_, task_));
  if (!totals_) return {};
  for (const uint64_t n : totals_->classes) total_ += static_cast<double>(n);
  return {};
}

Status QueryRun::plan() {
  DROVER_TRY(read_facts());
  if (total_ == 0) return {};
  DROVER_TRY(add_attribute_plans());
  DROVER_TRY(add_class_plan());
  DROVER_TRY(add_sorted_plans());
  if (query_.sort_by == SortBy::pack_id) {
    Plan walk{"all ids in order", {}, {}};
    walk.ordered = walk.by_id = true;
    walk.rows = total_;
    plans_.push_back(std::move(walk));
  }
  for (Plan& plan : plans_) price(plan);
  std::stable_sort(plans_.begin(), plans_.end(), [](const Plan& a, const Plan& b) { return a.cost < b.cost; });
  return {};
}

// Loads the pack of a row that passed and keeps it if it passes, too. Packs are copied into one buffer, whose parts
// become those of the hits in settle(): one allocation for thousands of hits.
Result<bool> QueryRun::take(const PackRow& row, QueryAnswer& answer) {
  DROVER_ASSIGN(const auto flat, txn_.get(store_.data_, detail::data_key(row.id())));
  if (!flat) return fail(Errc::corrupt, "packs.data", "a pack that the index lists is missing");
  ++answer.packs_loaded;
  if (copied_.size() + flat->size() > copied_.capacity()) {
    if (copied_.size() >= copied_bytes_max) settle(answer);
    copied_.reserve(std::max({copied_.capacity() * 2, copied_.size() + flat->size(), size_t{256} << 10}));
  }
  const size_t start = copied_.size();
  copied_.insert(copied_.end(), flat->begin(), flat->end());
  const ByteView copy = ByteView(copied_).subspan(start);
  const auto kept = read_flat<schema::Datapack>(copy, "datapack", [&](schema::Datapack::Reader pack) -> Result<bool> {
    if (!filter_.exact && !pack_passes(query_, pack)) return false;
    const auto id = pack.getPackId();
    answer.hits.push_back({std::string(id.cStr(), id.size()), row, {}});
    return true;
  });
  if (kept && *kept)
    waiting_.push_back({start, copy.size()});
  else
    copied_.resize(start);
  return kept;
}

// Drops every hit.
void QueryRun::forget(QueryAnswer& answer) {
  answer.hits.clear();
  waiting_.clear();
  copied_.clear();
}

// Gives the last hits their bytes.
void QueryRun::settle(QueryAnswer& answer) {
  if (waiting_.empty()) return;
  DROVER_CHECK(waiting_.size() <= answer.hits.size(), "more packs were copied than found");
  const Bytes all = Bytes::adopt(std::exchange(copied_, {}));
  const size_t first = answer.hits.size() - waiting_.size();
  for (size_t i = 0; i < waiting_.size(); ++i)
    answer.hits[first + i].flat = all.slice(waiting_[i].start, waiting_[i].size);
  waiting_.clear();
}

Result<QueryRun::Walk> QueryRun::walk_ordered(const Plan& plan, double budget, QueryAnswer& answer) {
  if (plan.by_id) return walk_ids(budget, answer);
  if (plan.lists.empty()) return Walk::done;
  ListScan scan(txn_, store_.lists_, plan.lists.front(), plan.range);
  for (uint64_t examined = 0; answer.hits.size() < query_.limit; ++examined) {
    if (static_cast<double>(examined) > budget) return Walk::given_up;
    DROVER_ASSIGN(const bool more, scan.next());
    if (!more) break;
    ++answer.rows_examined;
    if (filter_.passes(scan.row())) DROVER_TRY(take(scan.row(), answer));
  }
  return Walk::done;
}

Result<QueryRun::Walk> QueryRun::walk_ids(double budget, QueryAnswer& answer) {
  Cursor cursor = txn_.cursor(store_.ids_);
  DROVER_ASSIGN(bool found, query_.sort_descending ? cursor.last() : cursor.first());
  for (uint64_t examined = 0; found && answer.hits.size() < query_.limit; ++examined) {
    if (static_cast<double>(examined) * id_walk_cost_rows > budget) return Walk::given_up;
    DROVER_ASSIGN(const ByteView value, cursor.value());
    if (value.size() != sizeof(uint64_t) + row_bytes)
      return fail(Errc::corrupt, "packs.ids", "a row has the wrong size");
    uint64_t task = 0;
    PackRow row;
    std::memcpy(&task, value.data(), sizeof task);
    std::memcpy(&row, value.data() + sizeof task, row_bytes);
    ++answer.rows_examined;
    if (task == task_ && filter_.passes(row)) DROVER_TRY(take(row, answer));
    DROVER_ASSIGN(found, query_.sort_descending ? cursor.previous() : cursor.next());
  }
  return Walk::done;
}

// The first `keep` rows that pass, in the order asked for.
Status QueryRun::collect_best(const Plan& plan, size_t keep, std::vector<PackRow>& best, QueryAnswer& answer) {
  const auto ahead = [&](const PackRow& a, const PackRow& b) {
    return query_.sort_descending ? order(b) < order(a) : order(a) < order(b);
  };
  best.clear();
  for (const ListId& list : plan.lists) {
    ListScan scan(txn_, store_.lists_, list, plan.range);
    for (;;) {
      DROVER_ASSIGN(const bool more, scan.next());
      if (!more) break;
      ++answer.rows_examined;
      const PackRow& row = scan.row();
      if (!filter_.passes(row)) continue;
      if (best.size() == keep) {
        if (!ahead(row, best.front())) continue;
        std::pop_heap(best.begin(), best.end(), ahead);
        best.pop_back();
      }
      best.push_back(row);
      std::push_heap(best.begin(), best.end(), ahead);
    }
  }
  std::sort_heap(best.begin(), best.end(), ahead);
  return {};
}

Status QueryRun::collect(const Plan& plan, QueryAnswer& answer) {
  // Where hashes stand for names some rows pass wrongly: keep spares, and more of them as long as they are used up.
  const bool all = query_.sort_by == SortBy::pack_id;
  size_t keep = all ? SIZE_MAX : filter_.exact ? query_.limit : size_t{2} * query_.limit + 32;
  for (;;) {
    std::vector<PackRow> best;
    DROVER_TRY(collect_best(plan, keep, best, answer));
    forget(answer);
    for (const PackRow& row : best) {
      if (!all && answer.hits.size() == query_.limit) break;
      DROVER_TRY(take(row, answer));
    }
    if (best.size() < keep || answer.hits.size() == query_.limit) break;
    keep *= 8;
  }
  settle(answer);
  if (!all) return {};
  std::sort(answer.hits.begin(), answer.hits.end(), [&](const PackHit& a, const PackHit& b) {
    return query_.sort_descending ? b.pack_id < a.pack_id : a.pack_id < b.pack_id;
  });
  if (answer.hits.size() > query_.limit) answer.hits.resize(query_.limit);
  return {};
}

Status QueryRun::run(QueryAnswer& answer) {
  DROVER_TRY(walk(answer));
  settle(answer);
  return {};
}

Status QueryRun::walk(QueryAnswer& answer) {
  if (plans_.empty()) return {};
  answer.hits.reserve(std::min<size_t>(query_.limit, 1024));
  const Plan& chosen = plans_.front();
  answer.plan = chosen.text;
  if (!chosen.ordered) return collect(chosen, answer);
  const auto fallback = std::find_if(plans_.begin(), plans_.end(), [](const Plan& p) { return !p.ordered; });
  const double worst = chosen.by_id ? total_ * id_walk_cost_rows : chosen.rows;
  const bool can_give_up = fallback != plans_.end() && fallback->cost < worst;
  const double budget = can_give_up ? std::max(fallback->cost, 1024.0) : std::numeric_limits<double>::infinity();
  DROVER_ASSIGN(const Walk walk, walk_ordered(chosen, budget, answer));
  if (walk == Walk::done) return {};
  answer.plan += ", given up for " + fallback->text;
  return collect(*fallback, answer);
}

namespace {

std::string describe(const Plan& plan) {
  const auto whole = [](double v) { return std::to_string(static_cast<uint64_t>(v)); };
  return plan.text + (plan.ordered ? ": in order, stops at the limit" : ": to its end, keeps the best") +
         "; holds about " + whole(plan.rows) + " rows, costs about " + whole(plan.cost) + "\n";
}

std::vector<PackHit> merge_hits(std::vector<PackHit> hits, const PackQuery& q) {
  const ListKind kind = list_of(q.sort_by);
  std::stable_sort(hits.begin(), hits.end(), [&](const PackHit& a, const PackHit& b) {
    const PackHit& first = q.sort_descending ? b : a;
    const PackHit& second = q.sort_descending ? a : b;
    if (q.sort_by == SortBy::pack_id) return first.pack_id < second.pack_id;
    return place_of(kind, first.row) < place_of(kind, second.row);
  });
  if (hits.size() > q.limit) hits.resize(q.limit);
  return hits;
}

}  // namespace

std::string_view sort_by_name(SortBy sort) noexcept {
  const auto index = static_cast<size_t>(sort);
  return index < sort_names.size() ? sort_names[index] : "unknown";
}
std::optional<SortBy> sort_by_from_name(std::string_view name) noexcept {
  for (size_t i = 0; i < sort_names.size(); ++i)
    if (sort_names[i] == name) return static_cast<SortBy>(i);
  return std::nullopt;
}

// Adds what the filters imply: the bucket is the sign of delta_J (an invariant of every stored pack), and classes are
// counted by bucket, so that a question which no class can answer costs nothing.
static PackQuery with_implied(PackQuery query) {
  if (query.min_delta_j && *query.min_delta_j >= 0 && !query.bucket) query.bucket = Bucket::positive;
  return query;
}

Result<QueryAnswer> DatapackStore::query(const ReadTxn& txn, const PackQuery& asked) const {
  DROVER_TRY(check(asked));
  const PackQuery query = with_implied(asked);
  QueryAnswer answer;
  if (!query.task_name.empty()) {
    QueryRun run(*this, txn, query, query.task_name);
    DROVER_TRY(run.plan());
    DROVER_TRY(run.run(answer));
    return answer;
  }
  DROVER_ASSIGN(const auto all_tasks, tasks(txn));
  for (const TaskCount& task : all_tasks) {
    QueryAnswer part;
    QueryRun run(*this, txn, query, task.task_name);
    DROVER_TRY(run.plan());
    DROVER_TRY(run.run(part));
    answer.rows_examined += part.rows_examined;
    answer.packs_loaded += part.packs_loaded;
    answer.plan += task.task_name + ": " + part.plan + "\n";
    std::move(part.hits.begin(), part.hits.end(), std::back_inserter(answer.hits));
    answer.hits = merge_hits(std::move(answer.hits), query);
  }
  return answer;
}

Result<std::string> DatapackStore::explain(const ReadTxn& txn, const PackQuery& asked) const {
  DROVER_TRY(check(asked));
  const PackQuery query = with_implied(asked);
  std::vector<TaskCount> all_tasks{{query.task_name, 0}};
  if (query.task_name.empty()) {
    DROVER_ASSIGN(all_tasks, tasks(txn));
  }
  std::string text;
  for (const TaskCount& task : all_tasks) {
    QueryRun run(*this, txn, query, task.task_name);
    DROVER_TRY(run.plan());
    text += "task " + task.task_name + (run.plans().empty() ? ": no datapacks\n" : ":\n");
    for (const Plan& plan : run.plans()) text += "  " + describe(plan);
  }
  return text;
}

Result<QueryAnswer> DatapackStore::positive_for_skill(const ReadTxn& txn, const std::string& task, int64_t skill_id,
                                                      uint32_t top_k) const {
  PackQuery q;
  q.task_name = task;
  q.skill_id = skill_id;
  q.bucket = Bucket::positive;
  q.limit = top_k;
  return query(txn, q);
}
Result<QueryAnswer> DatapackStore::negative_for_skill(const ReadTxn& txn, const std::string& task, int64_t skill_id,
                                                      uint32_t top_k) const {
  PackQuery q;
  q.task_name = task;
  q.skill_id = skill_id;
  q.bucket = Bucket::negative;
  q.limit = top_k;
  q.sort_descending = false;  // worst first
  return query(txn, q);
}

}  // namespace drover::storage

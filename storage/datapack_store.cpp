// Datapacks, their indexes and statistics: writing and reading (see datapack_store.hpp).
#include "storage/datapack_store.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>

#include "messages/buggify.hpp"
#include "messages/check.hpp"
#include "storage/datapack_json_scan.hpp"
#include "storage/fields.hpp"

namespace drover::storage {
namespace {

constexpr size_t batch_rows_max = 100'000;  // packs whose index rows wait in memory at most
constexpr std::array sorted_kinds{ListKind::by_delta_j, ListKind::by_trust, ListKind::by_mvd, ListKind::by_w_econ};

struct JsonField {
  const std::string& text;
  const char* name;
};

// Fields that promise JSON must hold it, or an export could not pass them on.
Status check_json(const Datapack& p) {
  const std::array fields{JsonField{p.agent_profile_json, "agent_profile"},
                          JsonField{p.episode_metrics_json, "episode_metrics"},
                          JsonField{p.vla_plan_json, "vla_plan"},
                          JsonField{p.counterfactual_plan_json, "counterfactual_plan"},
                          JsonField{p.scene_tracks_json, "scene_tracks_v1"},
                          JsonField{p.rgb_features_json, "rgb_features_v1"},
                          JsonField{p.slice_labels_json, "slice_labels_v1"},
                          JsonField{p.extra_json, "unknown fields"},
                          JsonField{p.condition.tags_json, "condition.tags"},
                          JsonField{p.condition.extra_json, "condition: unknown fields"},
                          JsonField{p.attribution.extra_json, "attribution: unknown fields"},
                          JsonField{p.energy.extra_json, "energy: unknown fields"}};
  const auto check = [](const std::string& text, const char* name) -> Status {
    if (text.empty()) return {};
    const auto value = json::scan(text);
    if (!value) return fail(Errc::invalid_argument, name, value.error().where + ": " + value.error().what);
    if (!json::is_object(*value)) return fail(Errc::invalid_argument, name, "is not a JSON object");
    return {};
  };
  for (const JsonField& field : fields) DROVER_TRY(check(field.text, field.name));
  for (const SkillStep& step : p.skill_trace) DROVER_TRY(check(step.extra_json, "skill_trace: unknown fields"));
  if (p.sima_annotation) return check(p.sima_annotation->extra_json, "sima_annotation: unknown fields");
  return {};
}

void write_totals(RowWriter& row, const TaskTotals& totals) {
  row.text(totals.name);
  for (const uint64_t n : totals.classes) row.u64(n);
  row.raw(totals.delta_j.bytes()).raw(totals.delta_j_squares.bytes()).raw(totals.trust.bytes());
}
Result<TaskTotals> parse_totals(ByteView value) {
  RowReader row(value);
  TaskTotals totals;
  totals.name = row.text();
  for (uint64_t& n : totals.classes) n = row.u64();
  const bool sums = totals.delta_j.assign(row.raw(ExactSum::stored_bytes)) &&
                    totals.delta_j_squares.assign(row.raw(ExactSum::stored_bytes)) &&
                    totals.trust.assign(row.raw(ExactSum::stored_bytes));
  if (!sums || !row.done()) return fail(Errc::corrupt, "packs.tasks", "a row has the wrong size");
  return totals;
}
void add_row(TaskTotals& totals, const PackRow& row) {
  ++totals.classes[row.code];
  totals.delta_j.add(row.delta_j);
  totals.delta_j_squares.add_square(row.delta_j);
  totals.trust.add(row.trust);
}

// Adds to the count of a list and keeps its name.
Status bump(WriteTxn& txn, Db counts, const Key& key, uint64_t by, std::string_view name) {
  DROVER_ASSIGN(const auto value, txn.get(counts, key));
  uint64_t count = by;
  std::string kept(name);
  if (value) {
    RowReader row(*value);
    count += row.u64();
    const std::string stored = row.text();
    if (!row.done()) return fail(Errc::corrupt, "packs.counts", "a row has the wrong size");
    kept = std::min(kept, stored);  // names with one hash: the smaller stays, whichever came first
  }
  RowWriter row;
  row.u64(count).text(kept);
  return txn.put(counts, key, row);
}

// The lists a pack is in, with the name of what each is about.
template <class Visit>
void for_each_list(const Datapack& pack, const PackRow& row, uint64_t task, Visit&& visit,
                   const std::function<uint64_t(const std::string&)>& hash) {
  visit(ListId{task, ListKind::by_time, 0}, std::string_view());
  for (const ListKind kind : sorted_kinds) visit(ListId{task, kind, 0}, std::string_view());
  visit(ListId{task, ListKind::pack_class, row.code}, std::string_view());
  std::set<int64_t> skills;
  for (const SkillStep& step : pack.skill_trace) skills.insert(step.skill_id);
  for (const int64_t skill : skills) visit(ListId{task, ListKind::skill, ordered_time(skill)}, std::string_view());
  if (!pack.provenance.robot.empty())
    visit(ListId{task, ListKind::robot, hash(pack.provenance.robot)}, std::string_view(pack.provenance.robot));
  std::map<uint64_t, std::string_view> tags;  // by hash: a list holds a pack once
  for (const auto* list : {&pack.semantic_tags, &pack.energy_driver_tags})
    for (const std::string& tag : *list) {
      auto [at, fresh] = tags.emplace(hash(tag), tag);
      if (!fresh) at->second = std::min(at->second, std::string_view(tag));
    }
  for (const auto& [tag_hash, tag] : tags) visit(ListId{task, ListKind::tag, tag_hash}, tag);
}

}  // namespace

namespace detail {

Key count_key(uint64_t task, uint8_t kind, uint64_t attribute) {
  Key key;
  key.u64(task).u8(kind).u64(attribute);
  return key;
}
int64_t day_of(int64_t unix_ns) {
  constexpr auto length = static_cast<int64_t>(day_ns);
  const int64_t day = unix_ns / length;
  return unix_ns % length < 0 ? day - 1 : day;
}
Key data_key(const RowId& id) {
  Key key;
  key.u64(id.time).u64(id.hash);
  return key;
}
Result<uint64_t> read_count(const ReadTxn& txn, Db counts, const Key& key) {
  DROVER_ASSIGN(const auto value, txn.get(counts, key));
  if (!value) return uint64_t{0};
  RowReader row(*value);
  const uint64_t count = row.u64();
  (void)row.text();
  if (!row.done()) return fail(Errc::corrupt, "packs.counts", "a row has the wrong size");
  return count;
}
Result<Histogram> read_histogram(const ReadTxn& txn, Db counts, uint64_t task, ListKind kind) {
  const auto kind_code = static_cast<uint8_t>(count_kind_histogram_first + static_cast<uint8_t>(kind));
  DROVER_ASSIGN(const auto value, txn.get(counts, count_key(task, kind_code, 0)));
  Histogram histogram(histogram_bins);
  if (!value) return histogram;
  if (value->size() != histogram_bins * sizeof(uint64_t))
    return fail(Errc::corrupt, "packs.counts", "a histogram has the wrong size");
  std::memcpy(histogram.data(), value->data(), value->size());
  return histogram;
}
Result<std::optional<TaskTotals>> read_totals(const ReadTxn& txn, Db tasks, uint64_t task) {
  Key key;
  DROVER_ASSIGN(const auto value, txn.get(tasks, key.u64(task)));
  if (!value) return std::optional<TaskTotals>();
  DROVER_ASSIGN(auto totals, parse_totals(*value));
  return std::optional(std::move(totals));
}

}  // namespace detail

namespace {
template <class HashOf>
PackRow summarize_with(const Datapack& pack, HashOf&& hash) {
  PackRow row;
  row.time = ordered_time(pack.provenance.start_unix_ns);
  row.hash = name_hash(pack.pack_id);
  const Attribution& a = pack.attribution;
  row.delta_j = a.delta_J;
  row.trust = a.trust_score;
  row.mvd = a.mvd_score.value_or(-std::numeric_limits<double>::infinity());
  row.w_econ = a.w_econ;
  for (const SkillStep& step : pack.skill_trace) row.skills |= skill_bit(step.skill_id);
  for (const auto* list : {&pack.semantic_tags, &pack.energy_driver_tags})
    for (const std::string& tag : *list) row.tags |= tag_bits(hash(tag));
  row.robot = static_cast<uint32_t>(hash(pack.provenance.robot));
  row.code = class_code({engine_index(pack.condition.engine_type).value_or(0), a.source_type, pack.bucket,
                         pack.sima_annotation.has_value(), !pack.counterfactual_plan_json.empty()});
  return row;
}
}  // namespace

PackRow summarize(const Datapack& pack) {
  return summarize_with(pack, [](const std::string& name) { return name_hash(name); });
}

std::vector<std::string> DatapackStore::databases() {
  return {"packs.data", "packs.ids", "packs.lists", "packs.counts", "packs.tasks", "packs.todo"};
}
DatapackStore::DatapackStore(const Env& env)
    : data_(env.db("packs.data")),
      ids_(env.db("packs.ids")),
      lists_(env.db("packs.lists")),
      counts_(env.db("packs.counts")),
      tasks_(env.db("packs.tasks")),
      todo_(env.db("packs.todo")) {}

Result<PutOutcome> DatapackStore::put_in(WriteTxn& txn, const Datapack& pack) const {
  DatapackBatch batch(*this, txn);
  DROVER_ASSIGN(const PutOutcome outcome, batch.put(pack));
  DROVER_TRY(batch.finish());
  return outcome;
}
Result<PutOutcome> DatapackStore::put_encoded_in(WriteTxn& txn, ByteView flat) const {
  DatapackBatch batch(*this, txn);
  DROVER_ASSIGN(const PutOutcome outcome, batch.put_encoded(flat));
  DROVER_TRY(batch.finish());
  return outcome;
}

Result<std::optional<PackRow>> DatapackStore::row(const ReadTxn& txn, std::string_view pack_id) const {
  Key key;
  if (pack_id.empty() || pack_id.size() >= key_max_bytes) return std::optional<PackRow>();
  DROVER_ASSIGN(const auto found, txn.get(ids_, key.text(pack_id)));
  if (!found) return std::optional<PackRow>();
  PackRow row;
  if (found->size() != sizeof(uint64_t) + row_bytes)
    return fail(Errc::corrupt, "packs.ids", "a row has the wrong size");
  std::memcpy(&row, found->data() + sizeof(uint64_t), row_bytes);
  return std::optional(row);
}
Result<std::optional<ByteView>> DatapackStore::flat_at(const ReadTxn& txn, const RowId& id) const {
  return txn.get(data_, detail::data_key(id));
}
Result<std::optional<ByteView>> DatapackStore::get_flat(const ReadTxn& txn, std::string_view pack_id) const {
  DROVER_ASSIGN(const auto found, row(txn, pack_id));
  if (!found) return std::optional<ByteView>();
  DROVER_ASSIGN(const auto flat, flat_at(txn, found->id()));
  if (!flat) return fail(Errc::corrupt, "packs.data", "the pack '" + std::string(pack_id) + "' is missing");
  return flat;
}

Result<std::vector<RowId>> DatapackStore::todo(const ReadTxn& txn, size_t count_max) const {
  std::vector<RowId> ids;
  if (count_max == 0) return ids;
  DROVER_TRY(txn.for_each(todo_, {}, [&](ByteView key, ByteView) -> Result<bool> {
    KeyReader reader(key);
    ids.push_back({reader.u64(), reader.u64()});
    if (!reader.done()) return fail(Errc::corrupt, "packs.todo", "a key has the wrong size");
    return ids.size() < count_max;
  }));
  return ids;
}
Result<uint64_t> DatapackStore::todo_count(const ReadTxn& txn) const {
  return txn.count(todo_);
}
Status DatapackStore::done_in(WriteTxn& txn, const RowId& id) const {
  DROVER_ASSIGN(const bool was, txn.erase(todo_, detail::data_key(id)));
  (void)was;
  return {};
}
Status DatapackStore::redo_all_in(WriteTxn& txn) const {
  Cursor cursor = txn.cursor(data_);
  DROVER_ASSIGN(bool found, cursor.first());
  std::vector<RowId> ids;
  while (found) {
    KeyReader reader(cursor.key());
    ids.push_back({reader.u64(), reader.u64()});
    DROVER_ASSIGN(found, cursor.next());
  }
  for (const RowId& id : ids) DROVER_TRY(txn.put(todo_, detail::data_key(id), {}));
  return {};
}

Result<std::optional<Datapack>> DatapackStore::get(const ReadTxn& txn, std::string_view pack_id) const {
  DROVER_ASSIGN(const auto flat, get_flat(txn, pack_id));
  if (!flat) return std::optional<Datapack>();
  DROVER_ASSIGN(auto pack, decode_datapack(*flat));
  return std::optional(std::move(pack));
}

Result<PackStatistics> DatapackStore::statistics(const ReadTxn& txn, const std::string& task) const {
  PackStatistics s;
  const uint64_t task_hash = name_hash(task);
  DROVER_ASSIGN(const auto totals, detail::read_totals(txn, tasks_, task_hash));
  if (!totals) return s;
  for (size_t code = 0; code < class_count; ++code) {
    const uint64_t n = totals->classes[code];
    if (n == 0) continue;
    const PackClass c = class_of(static_cast<uint8_t>(code));
    s.total += n;
    (c.bucket == Bucket::positive ? s.positive : s.negative) += n;
    s.engine_types[std::string(engine_names[c.engine])] += n;
    s.source_types[std::string(source_type_name(c.source))] += n;
    if (c.sima) s.with_sima += n;
    if (c.counterfactual) s.with_counterfactual += n;
  }
  if (s.total == 0) return s;
  s.positive_ratio = static_cast<double>(s.positive) / static_cast<double>(s.total);
  const Moments m = moments(totals->delta_j, totals->delta_j_squares, s.total);
  s.delta_j_mean = m.mean;
  s.delta_j_std = m.std;
  s.trust_mean = totals->trust.value() / static_cast<double>(s.total);
  Key prefix;
  prefix.u64(task_hash).u8(static_cast<uint8_t>(ListKind::skill));
  DROVER_TRY(txn.for_each(counts_, prefix, [&](ByteView key, ByteView) -> Result<bool> {
    KeyReader reader(key.subspan(prefix.view().size()));
    s.unique_skills.push_back(reader.i64());
    return true;
  }));
  return s;
}

Result<std::vector<TaskCount>> DatapackStore::tasks(const ReadTxn& txn) const {
  std::vector<TaskCount> out;
  DROVER_TRY(txn.for_each(tasks_, {}, [&](ByteView, ByteView value) -> Result<bool> {
    DROVER_ASSIGN(const auto totals, parse_totals(value));
    TaskCount task{totals.name, 0};
    for (const uint64_t n : totals.classes) task.packs += n;
    out.push_back(std::move(task));
    return true;
  }));
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.task_name < b.task_name; });
  return out;
}

Result<uint64_t> DatapackStore::count(const ReadTxn& txn) const {
  return txn.count(data_);
}

Status DatapackStore::for_each(const ReadTxn& txn, const std::string& task,
                               const std::function<Result<bool>(ByteView)>& visit) const {
  if (task.empty()) return txn.for_each(data_, {}, [&](ByteView, ByteView flat) { return visit(flat); });
  ListScan scan(txn, lists_, {name_hash(task), ListKind::by_time, 0}, {});
  for (;;) {
    DROVER_ASSIGN(const bool more, scan.next());
    if (!more) return {};
    DROVER_ASSIGN(const auto flat, txn.get(data_, detail::data_key(scan.row().id())));
    if (!flat) return fail(Errc::corrupt, "packs.data", "a pack that the index lists is missing");
    DROVER_ASSIGN(const bool go_on, visit(*flat));
    if (!go_on) return {};
  }
}

uint64_t PackPreparer::hash_of(const std::string& name) {
  if (hashes_.size() > batch_rows_max) hashes_.clear();
  const auto [at, fresh] = hashes_.try_emplace(name, 0);
  if (fresh) at->second = name_hash(name);
  return at->second;
}

Result<PreparedPack> PackPreparer::prepare(const Datapack& pack) {
  DROVER_TRY(validate(pack));
  return prepare(pack, encode(pack));
}

Result<PreparedPack> PackPreparer::prepare(const Datapack& pack, Bytes flat) {
  DROVER_TRY(validate(pack));
  DROVER_TRY(check_json(pack));
  PreparedPack out;
  out.pack_id = pack.pack_id;
  out.task_name = pack.task_name;
  out.flat = std::move(flat);
  out.row = summarize_with(pack, [this](const std::string& name) { return hash_of(name); });
  out.task = hash_of(pack.task_name);
  out.day = detail::day_of(pack.provenance.start_unix_ns);
  for_each_list(
      pack, out.row, out.task,
      [&](const ListId& list, std::string_view name) {
        out.lists.push_back({list, std::string(name)});
      },
      [this](const std::string& name) { return hash_of(name); });
  return out;
}

Result<PutOutcome> DatapackBatch::put(const Datapack& pack) {
  DROVER_ASSIGN(const PreparedPack prepared, preparer_.prepare(pack));
  return put(prepared);
}
Result<PutOutcome> DatapackBatch::put_encoded(ByteView flat) {
  auto pack = decode_datapack(flat);
  if (!pack) return fail(Errc::invalid_argument, pack.error().where, pack.error().what);
  DROVER_ASSIGN(const PreparedPack prepared, preparer_.prepare(*pack, Bytes::copy_of(flat)));
  return put(prepared);
}

// True when this very pack is stored. Errors: conflict.
Result<bool> DatapackBatch::known(const PreparedPack& pack) {
  DROVER_ASSIGN(const auto stored, store_.get_flat(txn_, pack.pack_id));
  if (stored) {
    const ByteView flat = pack.flat;
    if (stored->size() == flat.size() && std::memcmp(stored->data(), flat.data(), flat.size()) == 0) return true;
    DROVER_ASSIGN(const Datapack old, decode_datapack(*stored));
    DROVER_ASSIGN(const Datapack fresh, decode_datapack(flat));
    if (old == fresh) return true;
    return fail(Errc::conflict, "pack_id", "'" + pack.pack_id + "' is stored with other content");
  }
  DROVER_ASSIGN(const auto taken, txn_.get(store_.data_, detail::data_key(pack.row.id())));
  if (taken) return fail(Errc::conflict, "pack_id", "'" + pack.pack_id + "' has the time and hash of another pack");
  return false;
}

Result<PutOutcome> DatapackBatch::put(const PreparedPack& pack) {
  DROVER_ASSIGN(const bool stored, known(pack));
  if (stored && !buggify::bug(buggify::Bug::statistics_doubled)) return PutOutcome::known;
  if (!totals_.contains(pack.task)) {
    DROVER_ASSIGN(auto totals, detail::read_totals(txn_, store_.tasks_, pack.task));
    if (!totals) totals.emplace().name = pack.task_name;
    totals_.emplace(pack.task, std::move(*totals));
  }
  if (totals_.at(pack.task).name != pack.task_name)
    return fail(Errc::conflict, "task_name", "'" + pack.task_name + "' has the hash of another task");
  const Key data_key = detail::data_key(pack.row.id());
  DROVER_TRY(txn_.put_ascending(store_.data_, data_key, pack.flat));
  DROVER_TRY(txn_.put_ascending(store_.todo_, data_key, {}));
  Key id_key;
  const std::array<ByteView, 2> views{std::as_bytes(std::span(&pack.task, 1)), std::as_bytes(std::span(&pack.row, 1))};
  DROVER_TRY(txn_.put_parts(store_.ids_, id_key.text(pack.pack_id), views));
  if (pack.row.delta_j >= 0 || !buggify::bug(buggify::Bug::statistics_forgotten)) index(pack);
  if (rows_.size() >= batch_rows_max) DROVER_TRY(finish());
  return PutOutcome::stored;
}

void DatapackBatch::add(const ListId& list, const std::string& name, uint32_t row) {
  Waiting& waiting = lists_[list];
  if (waiting.rows.empty() || name < waiting.name) waiting.name = name;
  waiting.rows.push_back(row);
}

void DatapackBatch::index(const PreparedPack& pack) {
  const auto number = static_cast<uint32_t>(rows_.size());
  rows_.push_back(pack.row);
  add_row(totals_.at(pack.task), pack.row);
  ++days_[{pack.task, pack.day}];
  for (const PreparedPack::Entry& entry : pack.lists) add(entry.list, entry.name, number);
}

Status DatapackBatch::write_list(const ListId& list, Waiting& waiting) {
  std::vector<PackRow> rows;
  rows.reserve(waiting.rows.size());
  for (const uint32_t row : waiting.rows) rows.push_back(rows_[row]);
  std::sort(rows.begin(), rows.end(),
            [&](const PackRow& a, const PackRow& b) { return place_of(list.kind, a) < place_of(list.kind, b); });
  DROVER_TRY(insert_rows(txn_, store_.lists_, list, rows));
  return bump(txn_, store_.counts_, detail::count_key(list.task, static_cast<uint8_t>(list.kind), list.attribute),
              rows.size(), waiting.name);
}

Status DatapackBatch::write_histograms(uint64_t task) {
  for (const ListKind kind : sorted_kinds) {
    const auto waiting = lists_.find({task, kind, 0});
    if (waiting == lists_.end()) continue;
    DROVER_ASSIGN(Histogram histogram, detail::read_histogram(txn_, store_.counts_, task, kind));
    for (const uint32_t row : waiting->second.rows)
      ++histogram[histogram_bin(from_ordered_bits(place_of(kind, rows_[row]).value))];
    const auto kind_code = static_cast<uint8_t>(detail::count_kind_histogram_first + static_cast<uint8_t>(kind));
    DROVER_TRY(txn_.put(store_.counts_, detail::count_key(task, kind_code, 0), std::as_bytes(std::span(histogram))));
  }
  return {};
}

Status DatapackBatch::finish() {
  for (const auto& [task, totals] : totals_) {
    DROVER_TRY(write_histograms(task));
    if (!lists_.contains({task, ListKind::by_time, 0})) continue;  // nothing of it was stored
    RowWriter row;
    write_totals(row, totals);
    Key key;
    DROVER_TRY(txn_.put(store_.tasks_, key.u64(task), row));
  }
  for (auto& [list, waiting] : lists_) DROVER_TRY(write_list(list, waiting));
  for (const auto& [day, count] : days_)
    DROVER_TRY(bump(txn_, store_.counts_,
                    detail::count_key(day.first, detail::count_kind_day, ordered_time(day.second)), count, {}));
  rows_.clear();
  lists_.clear();
  totals_.clear();
  days_.clear();
  return {};
}

namespace {

// What the tables should hold, worked out from the packs alone.
struct Expected {
  std::map<uint64_t, TaskTotals> totals;
  std::map<ListId, uint64_t> counts;
  std::map<std::pair<uint64_t, int64_t>, uint64_t> days;
  std::map<std::pair<uint64_t, ListKind>, Histogram> histograms;
  uint64_t packs = 0;
};

tl::unexpected<Error> differs(std::string table, std::string what) {
  return fail(Errc::corrupt, std::move(table), std::move(what));
}

Status check_list(const ReadTxn& txn, Db lists, const ListId& list, uint64_t expected) {
  ListScan scan(txn, lists, list, {});
  const std::string where = "packs.lists/kind " + std::to_string(static_cast<int>(list.kind));
  std::optional<Place> before;
  uint64_t rows = 0;
  for (;; ++rows) {
    DROVER_ASSIGN(const bool more, scan.next());
    if (!more) break;
    const Place place = place_of(list.kind, scan.row());
    if (before && place <= *before) return differs(where, "rows are out of order");
    before = place;
  }
  if (rows != expected)
    return differs(where, std::to_string(rows) + " rows, the packs say " + std::to_string(expected));
  return {};
}

// Every list, count and histogram is what the packs say, and there are no others.
Status check_counts(const ReadTxn& txn, const Expected& expected, Db lists, Db counts) {
  uint64_t rows_left = 0;  // counted twice: in the table, and list by list
  DROVER_TRY(txn.for_each(lists, {}, [&](ByteView, ByteView block) -> Result<bool> {
    rows_left += block.size() / row_bytes;
    return true;
  }));
  for (const auto& [list, count] : expected.counts) {
    rows_left -= count;
    DROVER_TRY(check_list(txn, lists, list, count));
    DROVER_ASSIGN(
        const uint64_t stored,
        detail::read_count(txn, counts, detail::count_key(list.task, static_cast<uint8_t>(list.kind), list.attribute)));
    if (stored != count) return differs("packs.counts", "a count is wrong");
  }
  for (const auto& [day, count] : expected.days) {
    const Key key = detail::count_key(day.first, detail::count_kind_day, ordered_time(day.second));
    DROVER_ASSIGN(const uint64_t stored, detail::read_count(txn, counts, key));
    if (stored != count) return differs("packs.counts", "the count of a day is wrong");
  }
  for (const auto& [place, histogram] : expected.histograms) {
    DROVER_ASSIGN(const Histogram stored, detail::read_histogram(txn, counts, place.first, place.second));
    if (stored != histogram) return differs("packs.counts", "a histogram is wrong");
  }
  DROVER_ASSIGN(const uint64_t kept, txn.count(counts));
  if (kept != expected.counts.size() + expected.days.size() + expected.histograms.size())
    return differs("packs.counts", "holds counts of lists that are not there");
  if (rows_left != 0) return differs("packs.lists", "holds rows of packs that are not there");
  return {};
}

}  // namespace

Status DatapackStore::verify(const ReadTxn& txn) const {
  Expected expected;
  DROVER_TRY(for_each(txn, "", [&](ByteView flat) -> Result<bool> {
    DROVER_ASSIGN(const Datapack pack, decode_datapack(flat));
    const PackRow row = summarize(pack);
    const uint64_t task = name_hash(pack.task_name);
    auto& totals = expected.totals[task];
    totals.name = pack.task_name;
    add_row(totals, row);
    ++expected.packs;
    ++expected.days[{task, detail::day_of(pack.provenance.start_unix_ns)}];
    for (const ListKind kind : sorted_kinds) {
      Histogram& histogram = expected.histograms.try_emplace({task, kind}, histogram_bins).first->second;
      ++histogram[histogram_bin(from_ordered_bits(place_of(kind, row).value))];
    }
    Key key;
    DROVER_ASSIGN(const auto id, txn.get(ids_, key.text(pack.pack_id)));
    if (!id || id->size() != sizeof task + row_bytes || std::memcmp(id->data(), &task, sizeof task) != 0 ||
        std::memcmp(id->data() + sizeof task, &row, row_bytes) != 0)
      return differs("packs.ids", "the row of '" + pack.pack_id + "' is missing or wrong");
    Status status;
    const auto visit = [&](const ListId& list, std::string_view) {
      if (!status) return;
      ++expected.counts[list];
      const Place place = place_of(list.kind, row);
      ListScan scan(txn, lists_, list, {place, place_end, false});
      const auto found = scan.next();
      if (!found) {
        status = tl::unexpected(found.error());
      } else if (!*found || !(scan.row() == row)) {
        status = differs("packs.lists", "the row of '" + pack.pack_id + "' is missing or wrong");
      }
    };
    for_each_list(pack, row, task, visit, [](const std::string& name) { return name_hash(name); });
    DROVER_TRY(std::move(status));
    return true;
  }));
  DROVER_ASSIGN(const uint64_t ids, txn.count(ids_));
  if (ids != expected.packs) return differs("packs.ids", "holds packs that are not there");
  DROVER_ASSIGN(const uint64_t tasks, txn.count(tasks_));
  if (tasks != expected.totals.size()) return differs("packs.tasks", "lists tasks that have no packs");
  for (const auto& [task, totals] : expected.totals) {
    DROVER_ASSIGN(const auto stored, detail::read_totals(txn, tasks_, task));
    if (!stored || !(*stored == totals)) return differs("packs.tasks", "totals of '" + totals.name + "' are wrong");
  }
  return check_counts(txn, expected, lists_, counts_);
}

}  // namespace drover::storage

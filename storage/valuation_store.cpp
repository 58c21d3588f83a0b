// Rows of valuations (see valuation_store.hpp).
#include "storage/valuation_store.hpp"

#include <cmath>
#include <cstring>

#include "storage/fields.hpp"

namespace drover::storage {
namespace {

constexpr uint8_t row_format = 1;
constexpr size_t places_max = 16;
constexpr size_t neighbours_max = 64;

Key row_key(const RowId& id) {
  Key key;
  key.u64(id.time).u64(id.hash);
  return key;
}
Key model_key(const char* name) {
  Key key;
  key.text(name);
  return key;
}

Result<RowId> id_of(ByteView key, const char* table) {
  KeyReader reader(key);
  const RowId id{reader.u64(), reader.u64()};
  if (!reader.done()) return fail(Errc::corrupt, table, "a key has the wrong size");
  return id;
}

void write_place(RowWriter& row, const SpacePlace& place) {
  row.u64(place.space).f64(place.unit).u8(static_cast<uint8_t>(place.neighbours.size()));
  for (const Neighbour& n : place.neighbours) row.u32(n.distance2).u64(n.id.time).u64(n.id.hash).f64(n.delta_j);
}

Result<SpacePlace> read_place(RowReader& row) {
  SpacePlace place;
  place.space = row.u64();
  place.unit = row.f64();
  const size_t count = row.u8();
  if (count > neighbours_max) return fail(Errc::corrupt, "value.rows", "a row has too many neighbours");
  for (size_t i = 0; i < count; ++i) {
    Neighbour n;
    n.distance2 = row.u32();
    n.id.time = row.u64();
    n.id.hash = row.u64();
    n.delta_j = row.f64();
    place.neighbours.push_back(n);
  }
  return place;
}

Result<Valuation> read_row(ByteView value, bool brief) {
  RowReader row(value);
  Valuation out;
  if (row.u8() != row_format) return fail(Errc::unsupported_version, "value.rows", "a row of another format");
  out.delta_j = row.f64();
  out.novelty = row.f64();
  out.causal_gain = row.f64();
  if (brief) return row.ok() ? Result<Valuation>(std::move(out)) : fail(Errc::corrupt, "value.rows", "a short row");
  const size_t places = row.u8();
  if (places > places_max) return fail(Errc::corrupt, "value.rows", "a row has too many places");
  for (size_t i = 0; i < places; ++i) {
    DROVER_ASSIGN(auto place, read_place(row));
    out.places.push_back(std::move(place));
  }
  if (!row.done()) return fail(Errc::corrupt, "value.rows", "a row has the wrong size");
  return out;
}

Result<Expectation> read_expectation(ByteView value) {
  RowReader row(value);
  Expectation e;
  e.dmpl = row.f64();
  e.low = row.f64();
  e.high = row.f64();
  e.kappa = row.f64();
  e.model = row.u64();
  e.made_unix_ns = row.i64();
  if (!row.done()) return fail(Errc::corrupt, "value.expected", "a row has the wrong size");
  return e;
}

}  // namespace

uint8_t tier_of(double novelty, double causal_gain, const TierThresholds& thresholds) noexcept {
  if (causal_gain >= thresholds.causal_gain_min) return 2;
  return novelty >= thresholds.novelty_min ? 1 : 0;
}

std::vector<std::string> ValuationStore::databases() {
  return {"value.rows", "value.vectors", "value.expected", "value.model"};
}
ValuationStore::ValuationStore(const Env& env)
    : rows_(env.db("value.rows")),
      vectors_(env.db("value.vectors")),
      expected_(env.db("value.expected")),
      model_(env.db("value.model")) {}

Result<std::optional<Valuation>> ValuationStore::get(const ReadTxn& txn, const RowId& id) const {
  DROVER_ASSIGN(const auto row, txn.get(rows_, row_key(id)));
  if (!row) return std::optional<Valuation>();
  DROVER_ASSIGN(Valuation value, read_row(*row, false));
  DROVER_ASSIGN(const TierThresholds limits, thresholds(txn));
  value.tier = tier_of(value.novelty, value.causal_gain, limits);
  DROVER_ASSIGN(const auto expected, txn.get(expected_, row_key(id)));
  if (expected) {
    DROVER_ASSIGN(value.expected, read_expectation(*expected));
  }
  return std::optional(std::move(value));
}

Status ValuationStore::for_each(const ReadTxn& txn, bool brief,
                                const std::function<Result<bool>(const RowId&, const Valuation&)>& visit) const {
  DROVER_ASSIGN(const TierThresholds limits, thresholds(txn));
  Cursor expected = txn.cursor(expected_);  // both tables lie in one order: walked side by side
  DROVER_ASSIGN(bool has_expected, expected.first());
  return txn.for_each(rows_, {}, [&](ByteView key, ByteView row) -> Result<bool> {
    DROVER_ASSIGN(const RowId id, id_of(key, "value.rows"));
    DROVER_ASSIGN(Valuation value, read_row(row, brief));
    value.tier = tier_of(value.novelty, value.causal_gain, limits);
    while (has_expected) {
      DROVER_ASSIGN(const RowId at, id_of(expected.key(), "value.expected"));
      if (at > id) break;
      if (at == id) {
        DROVER_ASSIGN(const ByteView bytes, expected.value());
        DROVER_ASSIGN(value.expected, read_expectation(bytes));
      }
      DROVER_ASSIGN(has_expected, expected.next());
    }
    return visit(id, value);
  });
}

Result<uint64_t> ValuationStore::count(const ReadTxn& txn) const {
  return txn.count(rows_);
}

Result<TierThresholds> ValuationStore::thresholds(const ReadTxn& txn) const {
  TierThresholds limits;
  DROVER_ASSIGN(const auto value, txn.get(model_, model_key("thresholds")));
  if (!value) return limits;
  RowReader row(*value);
  limits.novelty_min = row.f64();
  limits.causal_gain_min = row.f64();
  limits.version = row.u64();
  if (!row.done()) return fail(Errc::corrupt, "value.model", "the thresholds have the wrong size");
  return limits;
}

Status ValuationStore::set_thresholds_in(WriteTxn& txn, const TierThresholds& limits) const {
  if (!(limits.novelty_min >= 0 && limits.novelty_min <= 1))
    return fail(Errc::invalid_argument, "novelty_min", "must lie in 0..1");
  if (!(limits.causal_gain_min >= 0 && std::isfinite(limits.causal_gain_min)))
    return fail(Errc::invalid_argument, "causal_gain_min", "must be a finite number, 0 or more");
  RowWriter row;
  row.f64(limits.novelty_min).f64(limits.causal_gain_min).u64(limits.version);
  return txn.put(model_, model_key("thresholds"), row);
}

Status ValuationStore::put_expected_in(WriteTxn& txn, const RowId& id, const Expectation& e) const {
  for (const double number : {e.dmpl, e.low, e.high, e.kappa})
    if (!std::isfinite(number)) return fail(Errc::invalid_argument, "expectation", "a number is not finite");
  RowWriter row;
  row.f64(e.dmpl).f64(e.low).f64(e.high).f64(e.kappa).u64(e.model).i64(e.made_unix_ns);
  return txn.put(expected_, row_key(id), row);
}

Status ValuationStore::put_in(WriteTxn& txn, const RowId& id, const Valuation& value) const {
  if (value.places.size() > places_max) return fail(Errc::too_large, "valuation", "too many places");
  RowWriter row;
  row.u8(row_format).f64(value.delta_j).f64(value.novelty).f64(value.causal_gain);
  row.u8(static_cast<uint8_t>(value.places.size()));
  for (const SpacePlace& place : value.places) {
    if (place.neighbours.size() > neighbours_max) return fail(Errc::too_large, "valuation", "too many neighbours");
    write_place(row, place);
  }
  return txn.put(rows_, row_key(id), row);
}

Status ValuationStore::put_vector_in(WriteTxn& txn, uint64_t space, const RowId& id, ByteView vector) const {
  Key key;
  key.u64(space).u64(id.time).u64(id.hash);
  return txn.put(vectors_, key, vector);
}

Status ValuationStore::for_each_vector(const ReadTxn& txn,
                                       const std::function<Result<bool>(const Vector&)>& visit) const {
  return txn.for_each(vectors_, {}, [&](ByteView key, ByteView value) -> Result<bool> {
    KeyReader reader(key);
    Vector vector;
    vector.space = reader.u64();
    vector.id.time = reader.u64();
    vector.id.hash = reader.u64();
    vector.bytes = value;
    if (!reader.done()) return fail(Errc::corrupt, "value.vectors", "a key has the wrong size");
    return visit(vector);
  });
}

Result<std::string> ValuationStore::fingerprint(const ReadTxn& txn) const {
  DROVER_ASSIGN(const auto value, txn.get(model_, model_key("fingerprint")));
  return value ? std::string(as_text(*value)) : std::string();
}

Status ValuationStore::restart_in(WriteTxn& txn, const std::string& fingerprint) const {
  for (const Db table : {rows_, vectors_}) {
    DROVER_ASSIGN(const uint64_t erased, txn.erase_prefix(table, {}));
    (void)erased;
  }
  return txn.put(model_, model_key("fingerprint"), as_bytes(fingerprint));
}

}  // namespace drover::storage

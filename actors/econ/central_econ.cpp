#include "actors/econ/central_econ.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "messages/buggify.hpp"
#include "messages/check.hpp"
#include "storage/keys.hpp"

namespace drover::econ {

using storage::Key;
using storage::KeyReader;
using storage::ReadTxn;
using storage::WriteTxn;

namespace {

constexpr std::string_view cursor_prefix = "cursor/";
constexpr std::string_view model_prefix = "model/";
constexpr uint64_t own_incarnation = 1;

sync::StreamId own_stream() {
  return {std::string(econ_stream), own_incarnation};
}

Key deal_key(const std::string& pack, const std::string& customer) {
  Key key;
  key.text(pack).text(customer);
  return key;
}

Key fact_key(const std::string& pack, const std::string& customer, const Hash& id) {
  return deal_key(pack, customer).raw(id);
}

Key result_key(const Reconciliation& r) {
  Key key;
  key.i64(r.time_unix_ns).text(r.pack_id).text(r.customer_id).text(r.basis);
  return key;
}

Key seq_key(uint64_t seq) {
  Key key;
  key.u64(seq);
  return key;
}

std::string cursor_mark(const sync::StreamId& stream) {
  return std::string(cursor_prefix) + std::to_string(stream.incarnation) + "/" + stream.robot;
}

// Facts under a prefix of a table of JSON values.
template <class T, class Parse>
Result<std::vector<T>> facts(const ReadTxn& txn, storage::Db db, const Key& prefix, Parse parse) {
  std::vector<T> all;
  DROVER_TRY(txn.for_each(db, prefix, [&](ByteView, ByteView value) -> Result<bool> {
    DROVER_ASSIGN(T fact, parse(as_text(value)));
    all.push_back(std::move(fact));
    return true;
  }));
  return all;
}

Enrichment record_of(const Prediction& p) {
  return {p.pack_id, std::string(prediction_source), to_json(p), p.made_unix_ns};
}

Status append_block(sync::CentralStore& store, const sync::StreamId& stream, BlockBuilder& builder, int64_t time) {
  if (builder.empty()) return {};
  DROVER_ASSIGN(Block block, Block::parse(builder.finish()));
  const storage::Incoming incoming[] = {{stream.robot, stream.incarnation, std::move(block), time}};
  DROVER_ASSIGN(const auto outcomes, store.append(incoming));
  if (outcomes.front().status != storage::AppendStatus::ok)
    return fail(Errc::conflict, stream.robot, outcomes.front().message);
  return {};
}

}  // namespace

// One transaction's worth: what changes in memory if it commits.
struct CentralEcon::Work {
  WriteTxn& txn;
  Estimator estimator;
  std::map<sync::StreamId, uint64_t> cursors;
  std::set<std::string> models;  // taught
  EconProgress progress;
};

struct CentralEcon::Batch {
  sync::StreamId stream;
  std::vector<Block> blocks;
};

std::vector<std::string> CentralEcon::databases() {
  std::vector<std::string> names = storage::LedgerStore::databases();
  for (const auto& more :
       {storage::Marks::databases(), std::vector<std::string>{"econ_predictions", "econ_outcomes", "econ_results",
                                                              "econ_packs", "econ_aside", "econ_pending"}})
    names.insert(names.end(), more.begin(), more.end());
  return names;
}

CentralEcon::CentralEcon(CentralEconOptions options, storage::Env env)
    : options_(std::move(options)),
      env_(std::move(env)),
      ledger_(env_),
      marks_(storage::Marks::open(env_)),
      predictions_(env_.db("econ_predictions")),
      outcomes_(env_.db("econ_outcomes")),
      results_(env_.db("econ_results")),
      packs_(env_.db("econ_packs")),
      aside_(env_.db("econ_aside")),
      pending_(env_.db("econ_pending")),
      estimator_(options_.config) {}

Result<std::unique_ptr<CentralEcon>> CentralEcon::open(const CentralEconOptions& options) {
  storage::EnvOptions env;
  env.path = options.folder;
  env.databases = databases();
  env.sync = options.sync;
  env.access = options.access;
  DROVER_ASSIGN(auto opened, storage::Env::open(env));
  std::unique_ptr<CentralEcon> out(new CentralEcon(options, std::move(opened)));
  DROVER_TRY(out->load());
  return out;
}

Status CentralEcon::load() {
  return env_.read([&](const ReadTxn& txn) -> Status {
    DROVER_ASSIGN(const auto cursors, marks_.list_in(txn, cursor_prefix));
    for (const auto& [key, value] : cursors) {
      const std::string rest = key.substr(cursor_prefix.size());
      const size_t slash = rest.find('/');
      if (slash == std::string::npos || value.empty()) return fail(Errc::corrupt, key, "odd cursor");
      cursors_[{rest.substr(slash + 1), std::strtoull(rest.c_str(), nullptr, 10)}] =
          std::strtoull(value.c_str(), nullptr, 10);
    }
    DROVER_ASSIGN(const auto models, marks_.list_in(txn, model_prefix));
    for (const auto& [key, value] : models) DROVER_TRY(estimator_.restore(key.substr(model_prefix.size()), value));
    return {};
  });
}

// ---- the inbox

Status CentralEcon::append_pending(sync::CentralStore& store) {
  struct Waiting {
    uint64_t seq = 0;
    Bytes payload;
  };
  DROVER_ASSIGN(const auto waiting, env_.read([&](const ReadTxn& txn) -> Result<std::vector<Waiting>> {
    std::vector<Waiting> all;
    DROVER_TRY(txn.for_each(pending_, {}, [&](ByteView key, ByteView value) -> Result<bool> {
      all.push_back({KeyReader(key).u64(), Bytes::copy_of(value)});
      return true;
    }));
    return all;
  }));
  if (waiting.empty()) return {};
  const auto settled = [&] {
    return env_.write([&](WriteTxn& txn) -> Status {
      for (const Waiting& w : waiting) DROVER_TRY(txn.erase(pending_, seq_key(w.seq)));
      return {};
    });
  };
  if (buggify::bug(buggify::Bug::prediction_not_kept)) DROVER_TRY(settled());
  BlockBuilder builder(waiting.front().seq);
  int64_t time = 0;
  for (const Waiting& w : waiting) {
    DROVER_ASSIGN(const Enrichment e, decode_enrichment(w.payload));
    if (time == 0) {
      time = e.time_unix_ns;
      DROVER_ASSIGN(const auto facts, store.open_stream(own_stream(), time));
      (void)facts;
    }
    auto added = builder.add(RecordKind::enrichment, record_schema_current, e.time_unix_ns, w.payload);
    if (!added && added.error().code == Errc::too_large) {
      DROVER_TRY(append_block(store, own_stream(), builder, time));
      added = builder.add(RecordKind::enrichment, record_schema_current, e.time_unix_ns, w.payload);
    }
    if (!added) return tl::unexpected(added.error());
    DROVER_CHECK(*added == w.seq, "pending predictions are numbered without holes");
  }
  DROVER_TRY(append_block(store, own_stream(), builder, time));
  return settled();
}

// The own stream goes first and alone: predictions are there before what they are compared with.
Result<std::vector<CentralEcon::Batch>> CentralEcon::read(const sync::CentralStore& store) const {
  DROVER_ASSIGN(auto streams, store.streams());
  std::sort(streams.begin(), streams.end());
  std::vector<Batch> batches;
  for (const bool own : {true, false}) {
    for (const sync::StreamId& stream : streams) {
      if ((stream.robot == econ_stream) != own) continue;
      const auto found = cursors_.find(stream);
      const uint64_t cursor = found == cursors_.end() ? 0 : found->second;
      DROVER_ASSIGN(auto blocks, store.inbox_env().read([&](const ReadTxn& txn) {
        return store.inbox().read_in(txn, stream.robot, stream.incarnation, cursor + 1, options_.read_bytes);
      }));
      if (!blocks.empty()) batches.push_back({stream, std::move(blocks)});
    }
    if (!batches.empty()) break;
  }
  return batches;
}

Result<EconProgress> CentralEcon::step(sync::CentralStore& store) {
  DROVER_TRY(append_pending(store));  // of a call or a life before this one
  DROVER_ASSIGN(const auto batches, read(store));
  if (batches.empty()) return EconProgress{};
  DROVER_ASSIGN(const EconProgress done, take(batches));
  DROVER_TRY(append_pending(store));
  return done;
}

Result<EconProgress> CentralEcon::run(sync::CentralStore& store) {
  EconProgress all;
  for (bool more = true; more;) {
    DROVER_ASSIGN(const EconProgress one, step(store));
    all.datapacks += one.datapacks;
    all.outcomes += one.outcomes;
    all.predictions += one.predictions;
    all.reconciled += one.reconciled;
    all.posted += one.posted;
    all.set_aside += one.set_aside;
    more = one.more;
  }
  return all;
}

// A seeded bug: how far was read, in a transaction of its own.
Status CentralEcon::cursors_first(const std::vector<Batch>& batches) {
  return env_.write([&](WriteTxn& txn) -> Status {
    for (const Batch& batch : batches)
      DROVER_TRY(marks_.set_in(txn, cursor_mark(batch.stream), std::to_string(batch.blocks.back().last_seq())));
    return {};
  });
}

// ---- one transaction

Result<EconProgress> CentralEcon::take(const std::vector<Batch>& batches) {
  if (buggify::bug(buggify::Bug::books_cursor_first)) DROVER_TRY(cursors_first(batches));
  std::optional<Estimator> learnt;
  std::map<sync::StreamId, uint64_t> cursors;
  DROVER_ASSIGN(const EconProgress done, env_.write([&](WriteTxn& txn) -> Result<EconProgress> {
    Work work{txn, estimator_, cursors_, {}, {}};
    for (const Batch& batch : batches) {
      for (const Block& block : batch.blocks) {
        for (size_t i = 0; i < block.count(); ++i) {
          const RecordView record = block.record(i);
          if (record.seq <= work.cursors[batch.stream]) continue;
          DROVER_TRY(take_record(work, batch.stream, record));
          work.cursors[batch.stream] = record.seq;
          work.progress.more = true;
        }
      }
    }
    DROVER_TRY(finish(work));
    learnt = std::move(work.estimator);
    cursors = std::move(work.cursors);
    return work.progress;
  }));
  estimator_ = std::move(*learnt);
  cursors_ = std::move(cursors);
  return done;
}

Status CentralEcon::finish(Work& work) const {
  for (const auto& [stream, seq] : work.cursors) {
    const auto before = cursors_.find(stream);
    if (before != cursors_.end() && before->second == seq) continue;
    DROVER_TRY(marks_.set_in(work.txn, cursor_mark(stream), std::to_string(seq)));
  }
  for (const std::string& model : work.models)
    DROVER_TRY(marks_.set_in(work.txn, std::string(model_prefix) + model, work.estimator.save(model)));
  return {};
}

Status CentralEcon::put_aside(Work& work, const std::string& what, const std::string& why) const {
  ++work.progress.set_aside;
  return work.txn.put(aside_, Key().text(what), as_bytes(why));
}

Status CentralEcon::take_record(Work& work, const sync::StreamId& stream, const RecordView& record) const {
  if (stream.robot == econ_stream) return take_own(work, record);
  if (record.kind == RecordKind::datapack) return take_datapack(work, stream, record);
  if (record.kind == RecordKind::outcome) return take_outcome(work, stream, record);
  return {};
}

Status CentralEcon::take_own(Work& work, const RecordView& record) const {
  if (record.kind != RecordKind::enrichment) return {};
  const auto enrichment = decode_enrichment(record.payload);
  if (!enrichment || enrichment->source != prediction_source) return {};
  const auto prediction = prediction_from_json(enrichment->tags_json);
  if (!prediction) return put_aside(work, "@econ/" + std::to_string(record.seq), prediction.error().message());
  return add_prediction(work, *prediction, false);
}

Prediction CentralEcon::arrival(const Work& work, const Datapack& pack) const {
  const CustomerTerms customer = terms_for(options_.config, pack.provenance.robot);
  AskedPrediction asked;
  asked.pack_id = pack.pack_id;
  asked.customer_id = customer.customer_id;
  asked.task_name = pack.task_name;
  asked.basis = basis_deployment;
  asked.made_unix_ns = pack.provenance.end_unix_ns;
  asked.condition = pack.condition;
  asked.base_mpl_units_per_h = base_mpl_of(pack);
  asked.novelty = work.estimator.condition_novelty(pack.task_name, pack.condition);
  asked.tier = asked.novelty >= options_.config.novelty_default ? 1 : 0;
  Prediction p = work.estimator.predict(asked);
  const auto price = to_micro_usd(pack.condition.price_per_unit);
  if (customer.withheld <= 0 || !price || *price < 0) return p;
  QuoteTerms terms;
  terms.price_per_unit = *price;
  terms.horizon_ns = std::llround(customer.horizon_h * 3.6e12);
  terms.withheld_parts = std::llround(customer.withheld * static_cast<double>(share_parts));
  terms.contract = "standing terms";
  const auto quoted = quote_amount({terms.price_per_unit, p.kappa, p.delta_mpl.mean * p.base_mpl_units_per_h,
                                    terms.horizon_ns, terms.withheld_parts});
  if (!quoted) return p;
  terms.quoted = *quoted;
  p.terms = std::move(terms);
  return p;
}

Status CentralEcon::take_datapack(Work& work, const sync::StreamId& stream, const RecordView& record) const {
  const auto pack = decode_datapack(record.payload);
  // The centre sets these aside with the reason.
  if (!pack || !validate(*pack) || pack->provenance.robot != stream.robot) return {};
  ++work.progress.datapacks;
  if (pack->pack_id.size() > id_max_bytes || pack->pack_id.find('\0') != std::string::npos)
    return put_aside(work, "datapack " + to_hex(sha256(as_bytes(pack->pack_id))), "its name is too long for the books");
  const Key owner = Key().text(pack->pack_id);
  DROVER_ASSIGN(const auto held, work.txn.get(packs_, owner));
  if (!held) DROVER_TRY(work.txn.put(packs_, owner, as_bytes(stream.robot)));
  if (options_.config.predict_on_arrival) {
    DROVER_ASSIGN(const auto known,
                  facts<Prediction>(work.txn, predictions_, Key().text(pack->pack_id), prediction_from_json));
    if (std::none_of(known.begin(), known.end(), [](const auto& p) { return p.basis == basis_deployment; })) {
      const Prediction made = arrival(work, *pack);
      if (const Status good = validate(made); !good)
        DROVER_TRY(put_aside(work, "prediction of " + pack->pack_id, good.error().message()));
      else
        DROVER_TRY(add_prediction(work, made, true));
    }
  }
  const auto outcome = outcome_of(*pack);
  return outcome ? add_outcome(work, *outcome) : Status{};
}

Status CentralEcon::take_outcome(Work& work, const sync::StreamId& stream, const RecordView& record) const {
  const auto outcome = decode_outcome(record.payload);
  if (!outcome) return {};
  ++work.progress.outcomes;
  const std::string what =
      "outcome " + stream.robot + "/" + std::to_string(stream.incarnation) + "/" + std::to_string(record.seq);
  const auto realised =
      outcome_of(outcome->pack_id, outcome->customer_id, outcome->metrics_json, outcome->time_unix_ns);
  if (!realised) return put_aside(work, what, realised.error().message());
  if (!stream.robot.starts_with('@')) {
    DROVER_ASSIGN(const auto owner, work.txn.get(packs_, Key().text(outcome->pack_id)));
    if (!owner || as_text(*owner) != stream.robot)
      return put_aside(work, what, "datapack " + outcome->pack_id + " is not one of " + stream.robot);
  }
  return add_outcome(work, *realised);
}

Result<Deal> CentralEcon::deal(const ReadTxn& txn, const DealId& id) const {
  Deal out;
  DROVER_ASSIGN(auto predictions,
                facts<Prediction>(txn, predictions_, deal_key(id.pack, id.customer), prediction_from_json));
  for (Prediction& p : predictions)
    if (p.basis == id.basis) out.predictions.push_back(std::move(p));
  DROVER_ASSIGN(auto outcomes,
                facts<RealisedOutcome>(txn, outcomes_, deal_key(id.pack, id.customer), outcome_from_json));
  if (!id.customer.empty()) {  // what the datapack says of itself is there for every customer
    DROVER_ASSIGN(auto own, facts<RealisedOutcome>(txn, outcomes_, deal_key(id.pack, ""), outcome_from_json));
    for (RealisedOutcome& o : own)
      if (!o.measured) outcomes.push_back(std::move(o));
  }
  for (RealisedOutcome& o : outcomes)
    if (o.measured || id.basis == basis_deployment) out.outcomes.push_back(std::move(o));
  return out;
}

Status CentralEcon::add_prediction(Work& work, const Prediction& p, bool is_new) const {
  const Key key = fact_key(p.pack_id, p.customer_id, prediction_id(p));
  DROVER_ASSIGN(const auto held, work.txn.get(predictions_, key));
  if (held) return {};
  DROVER_ASSIGN(const Deal before, deal(work.txn, {p.pack_id, p.customer_id, p.basis}));
  if (before.predictions.size() >= deal_predictions_max)
    return put_aside(work, "prediction " + to_hex(prediction_id(p)), "too many for this datapack and customer");
  DROVER_TRY(work.txn.put(predictions_, key, as_bytes(to_json(p))));
  if (is_new) {
    const uint64_t seq = ++work.cursors[own_stream()];
    DROVER_TRY(work.txn.put(pending_, seq_key(seq), encode(record_of(p))));
    ++work.progress.predictions;
  }
  Deal after = before;
  after.predictions.push_back(p);
  return settle(work, before, after);
}

Status CentralEcon::add_outcome(Work& work, const RealisedOutcome& o) const {
  const Key key = fact_key(o.pack_id, o.customer_id, outcome_id(o));
  DROVER_ASSIGN(const auto held, work.txn.get(outcomes_, key));
  if (held) return {};
  std::set<std::string> customers = {o.customer_id};
  if (!o.measured) {
    DROVER_ASSIGN(const auto all,
                  facts<Prediction>(work.txn, predictions_, Key().text(o.pack_id), prediction_from_json));
    for (const Prediction& p : all) customers.insert(p.customer_id);
  }
  std::vector<Deal> deals;
  for (const std::string& customer : customers) {
    for (const std::string_view basis : {basis_deployment, basis_data}) {
      if (!o.measured && basis == basis_data) continue;
      DROVER_ASSIGN(deals.emplace_back(), deal(work.txn, {o.pack_id, customer, std::string(basis)}));
      if (deals.back().outcomes.size() >= deal_outcomes_max)
        return put_aside(work, "outcome " + to_hex(outcome_id(o)), "too many for this datapack and customer");
    }
  }
  DROVER_TRY(work.txn.put(outcomes_, key, as_bytes(to_json(o))));
  for (const Deal& before : deals) {
    Deal after = before;
    after.outcomes.push_back(o);
    DROVER_TRY(settle(work, before, after));
  }
  return {};
}

// Ledger, results and model follow what counts now.
Status CentralEcon::settle(Work& work, const Deal& before, const Deal& after) const {
  std::vector<storage::Posting> postings;
  for (storage::Posting& posting : postings_of(after, options_.config.currency)) {
    if (const Status good = storage::validate(posting); good)
      postings.push_back(std::move(posting));
    else
      DROVER_TRY(put_aside(work, "posting " + posting.reference, good.error().message()));
  }
  DROVER_ASSIGN(const auto posted, ledger_.post_in(work.txn, postings));
  work.progress.posted += posted.posted;
  const auto was = counting(before, options_.config.confidence_z);
  const auto is = counting(after, options_.config.confidence_z);
  if (was == is) return {};
  if (was) {
    DROVER_TRY(work.txn.erase(results_, result_key(*was)));
    work.estimator.take_back(*counting_prediction(before), *counting_outcome(before));
    work.models.insert(model_name(*counting_prediction(before)));
  }
  if (!is) return {};
  DROVER_TRY(work.txn.put(results_, result_key(*is), as_bytes(to_json(*is))));
  work.estimator.teach(*counting_prediction(after), *counting_outcome(after));
  work.models.insert(model_name(*counting_prediction(after)));
  ++work.progress.reconciled;
  return {};
}

// ---- asked for

Status CentralEcon::record(sync::CentralStore& store, const Prediction& prediction) {
  DROVER_TRY(validate(prediction));
  DROVER_TRY(append_pending(store));
  DROVER_ASSIGN(const auto unread, read(store));
  if (!unread.empty()) return fail(Errc::refused, "books", "are behind the inbox: bring them up to date first");
  DROVER_ASSIGN(const Deal held, env_.read([&](const ReadTxn& txn) {
    return deal(txn, {prediction.pack_id, prediction.customer_id, prediction.basis});
  }));
  for (const Prediction& p : held.predictions) {
    if (p == prediction) return {};
    return fail(Errc::conflict, "prediction",
                "customer '" + p.customer_id + "' has one for " + p.pack_id + " already, made by " + p.model);
  }
  std::optional<Estimator> learnt;
  std::map<sync::StreamId, uint64_t> cursors;
  DROVER_TRY(env_.write([&](WriteTxn& txn) -> Status {
    Work work{txn, estimator_, cursors_, {}, {}};
    DROVER_TRY(add_prediction(work, prediction, true));
    DROVER_TRY(finish(work));
    learnt = std::move(work.estimator);
    cursors = std::move(work.cursors);
    return {};
  }));
  estimator_ = std::move(*learnt);
  cursors_ = std::move(cursors);
  return append_pending(store);
}

storage::Expectation CentralEcon::expectation(const Datapack& pack, const storage::Valuation& value) const {
  AskedPrediction asked;
  asked.pack_id = pack.pack_id;
  asked.task_name = pack.task_name;
  asked.made_unix_ns = pack.provenance.end_unix_ns;
  asked.condition = pack.condition;
  asked.novelty = value.novelty;
  asked.tier = value.tier;
  asked.base_mpl_units_per_h = base_mpl_of(pack);
  const Prediction p = estimator_.predict(asked);
  const double base = p.base_mpl_units_per_h;
  return {p.delta_mpl.mean * base, p.delta_mpl.low * base, p.delta_mpl.high * base, p.kappa,
          p.model_outcomes,        p.made_unix_ns};
}

Result<AdjustedThresholds> CentralEcon::adjust_tiers(sync::CentralStore& store) {
  struct Expected {
    storage::RowId id;
    storage::Expectation value;
  };
  std::vector<Surprise> surprises;
  std::vector<Expected> expected;
  std::vector<Reconciliation> results;
  DROVER_TRY(for_each_result([&](const Reconciliation& r) -> Result<bool> {
    results.push_back(r);
    return true;
  }));
  DROVER_TRY(store.central_env().read([&](const ReadTxn& txn) -> Status {
    for (const Reconciliation& r : results) {
      DROVER_ASSIGN(const auto row, store.packs().row(txn, r.pack_id));
      if (!row) continue;
      DROVER_ASSIGN(const auto value, store.valuations().get(txn, row->id()));
      if (!value) continue;
      surprises.push_back({value->novelty, value->causal_gain, std::abs(r.error_delta_mpl)});
      DROVER_ASSIGN(const auto pack, store.packs().get(txn, r.pack_id));
      if (pack) expected.push_back({row->id(), expectation(*pack, *value)});
    }
    return {};
  }));
  const uint64_t seen = surprises.size();
  AdjustedThresholds out = adjust_thresholds(options_.config, std::move(surprises));
  DROVER_TRY(store.central_env_to_write().write([&](WriteTxn& txn) -> Status {
    DROVER_TRY(store.valuations().set_thresholds_in(txn, {out.novelty_min, out.causal_gain_min, seen}));
    for (const Expected& e : expected) DROVER_TRY(store.valuations().put_expected_in(txn, e.id, e.value));
    return {};
  }));
  return out;
}

// ---- looking

Result<EconCounts> CentralEcon::counts() const {
  return env_.read([&](const ReadTxn& txn) -> Result<EconCounts> {
    EconCounts c;
    DROVER_ASSIGN(c.predictions, txn.count(predictions_));
    DROVER_ASSIGN(c.outcomes, txn.count(outcomes_));
    DROVER_ASSIGN(c.reconciliations, txn.count(results_));
    DROVER_ASSIGN(c.set_aside, txn.count(aside_));
    DROVER_ASSIGN(c.ledger, ledger_.totals(txn));
    return c;
  });
}

Result<std::vector<Prediction>> CentralEcon::predictions(const std::string& pack_id) const {
  return env_.read([&](const ReadTxn& txn) {
    return facts<Prediction>(txn, predictions_, Key().text(pack_id), prediction_from_json);
  });
}

Status CentralEcon::for_each_result(const std::function<Result<bool>(const Reconciliation&)>& visit) const {
  return env_.read([&](const ReadTxn& txn) {
    return txn.for_each(results_, {}, [&](ByteView, ByteView value) -> Result<bool> {
      DROVER_ASSIGN(const Reconciliation r, reconciliation_from_json(as_text(value)));
      return visit(r);
    });
  });
}

Result<std::vector<std::pair<std::string, std::string>>> CentralEcon::set_aside(uint32_t limit) const {
  return env_.read([&](const ReadTxn& txn) -> Result<std::vector<std::pair<std::string, std::string>>> {
    std::vector<std::pair<std::string, std::string>> all;
    DROVER_TRY(txn.for_each(aside_, {}, [&](ByteView key, ByteView value) -> Result<bool> {
      if (all.size() >= limit) return false;
      all.emplace_back(KeyReader(key).text(), as_text(value));
      return true;
    }));
    return all;
  });
}

Status append_outcome(sync::CentralStore& store, const Outcome& outcome) {
  const sync::StreamId stream{std::string(operator_stream), 1};
  DROVER_ASSIGN(const auto checked,
                outcome_of(outcome.pack_id, outcome.customer_id, outcome.metrics_json, outcome.time_unix_ns));
  (void)checked;
  DROVER_ASSIGN(const auto facts, store.open_stream(stream, outcome.time_unix_ns));
  BlockBuilder builder(facts.durable_seq + 1);
  DROVER_ASSIGN(const uint64_t seq,
                builder.add(RecordKind::outcome, record_schema_current, outcome.time_unix_ns, encode(outcome)));
  (void)seq;
  return append_block(store, stream, builder, outcome.time_unix_ns);
}

}  // namespace drover::econ

// drover econ quote: what a customer pays for robot time, with the arithmetic line by line.
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "actors/econ/central_econ.hpp"
#include "actors/econ/preset.hpp"
#include "actors/econ/quote.hpp"
#include "nodes/commands/econ.hpp"
#include "nodes/commands/store_access.hpp"
#include "nodes/commands/table.hpp"

namespace drover::nodes {
namespace {

constexpr const char* name = "drover econ quote";

struct Options {
  std::string store, pack, task;
  std::string preset, contracts, customer, at, reconciliation;
  std::string tier;
  std::optional<double> withheld, discount, premium, hours;
  std::optional<double> expected, kappa, price, robot_wage, human_wage, cause;
  std::vector<double> market_wages;
  double smoothing = 0.1;
  bool record = false;
  bool json = false;
  CLI::App* app = nullptr;
};

// Where each figure came from, for whoever checks the quote.
struct Basis {
  std::string pack_id, task;
  std::optional<double> expected, kappa, price, robot_wage, human_wage;
  std::string expected_from = "given", wage_from = "given", price_from = "given";
  std::vector<double> indexed;  // human wage after each market observation
  std::optional<econ::Prediction> prediction;
};

// What is open while a quote is made. With --record the store is written, else everything is read beside its daemon.
struct Ground {
  std::unique_ptr<sync::CentralStore> written;
  std::unique_ptr<Source> source;
  std::unique_ptr<econ::CentralEcon> books;  // null: this store has none
  const sync::CentralStore* centre = nullptr;
};

Result<Ground> open_ground(const Options& o) {
  Ground ground;
  econ::CentralEconOptions books;
  books.folder = econ_folder(o.store);
  if (!o.reconciliation.empty()) {
    DROVER_ASSIGN(books.config, econ::load_reconcile(o.reconciliation));
  }
  if (o.record) {
    DROVER_ASSIGN(ground.written, open_central(o.store, storage::Access::read_write));
    ground.centre = ground.written.get();
    DROVER_ASSIGN(ground.books, econ::CentralEcon::open(books));
    DROVER_TRY(ground.books->run(*ground.written));
    return ground;
  }
  AccessOptions access;
  access.store = o.store;
  DROVER_ASSIGN(ground.source, open_source(access));
  ground.centre = ground.source->store();
  if (ground.centre == nullptr) return fail(Errc::invalid_argument, o.store, "cannot be read here");
  std::error_code failed;
  if (!std::filesystem::exists(books.folder, failed)) return ground;
  books.access = storage::Access::read_only;
  DROVER_ASSIGN(ground.books, econ::CentralEcon::open(books));
  return ground;
}

// The newest pack of the task that has an expectation; without one the newest of all.
Result<std::optional<Datapack>> newest(const sync::CentralStore& centre, const storage::ReadTxn& txn,
                                       const std::string& task) {
  storage::PackQuery query;
  query.task_name = task;
  query.sort_by = storage::SortBy::time;
  query.sort_descending = true;
  query.limit = 1000;
  DROVER_ASSIGN(const auto answer, centre.packs().query(txn, query));
  std::optional<storage::RowId> chosen;
  for (const auto& hit : answer.hits) {
    DROVER_ASSIGN(const auto value, centre.valuations().get(txn, hit.row.id()));
    if (!chosen || (value && value->expected)) chosen = hit.row.id();
    if (value && value->expected) break;
  }
  if (!chosen) return std::optional<Datapack>();
  DROVER_ASSIGN(const auto flat, centre.packs().flat_at(txn, *chosen));
  DROVER_ASSIGN(auto pack, decode_datapack(*flat));
  return std::optional(std::move(pack));
}

// Sums over episodes of a task: a quote rests on how the robots work, not on one lucky or broken episode.
struct Worked {
  uint64_t episodes = 0;
  double units = 0, hours = 0, errors = 0, attempts = 0;
};

double number_of(const Json& object, const char* key) {
  return object.contains(key) && object[key].is_number() ? object[key].get<double>() : 0;
}

Result<Worked> worked(const sync::CentralStore& centre, const storage::ReadTxn& txn, const std::string& task) {
  storage::PackQuery query;
  query.task_name = task;
  query.sort_by = storage::SortBy::time;
  query.sort_descending = true;
  query.limit = 1000;
  DROVER_ASSIGN(const auto answer, centre.packs().query(txn, query));
  Worked sum;
  for (const auto& hit : answer.hits) {
    DROVER_ASSIGN(const Datapack pack, decode_datapack(hit.flat));
    const Json metrics = Json::parse(pack.episode_metrics_json, nullptr, false);
    if (!metrics.is_object() || number_of(metrics, "hours") <= 0) continue;
    ++sum.episodes;
    sum.units += number_of(metrics, "units");
    sum.hours += number_of(metrics, "hours");
    sum.errors += number_of(metrics, "errors");
    sum.attempts += number_of(metrics, "attempts");
  }
  return sum;
}

void read_wages(const Datapack& pack, const Worked& sum, Basis& basis) {
  const Json metrics = Json::parse(pack.episode_metrics_json, nullptr, false);
  if (metrics.is_object() && metrics.contains("human_wage_usd_per_h"))
    basis.human_wage = number_of(metrics, "human_wage_usd_per_h");
  basis.price = pack.condition.price_per_unit;
  basis.price_from = "datapack";
  if (sum.episodes == 0) return;
  const double mpl = econ::mpl_units_per_h(sum.units, sum.hours);
  const double errors = econ::error_rate(sum.errors, sum.attempts);
  basis.robot_wage =
      econ::implied_wage_usd_per_h({pack.condition.price_per_unit, pack.condition.vase_break_cost, errors, mpl});
  basis.wage_from =
      fmt::format("p * MPL - c_d * e * MPL: {:.6g} * {:.6g} - {:.6g} * {:.6g} * {:.6g}, of {} episodes",
                  pack.condition.price_per_unit, mpl, pack.condition.vase_break_cost, errors, mpl, sum.episodes);
}

// What the books' model expects of the data of a pack, from what is known before its effect is.
econ::Prediction ask_model(const Options& o, const econ::CentralEcon& books, const Datapack& pack,
                           const std::optional<storage::Valuation>& value) {
  econ::AskedPrediction asked;
  asked.pack_id = pack.pack_id;
  asked.customer_id = o.customer;
  asked.task_name = pack.task_name;
  asked.made_unix_ns = pack.provenance.end_unix_ns;
  asked.novelty = value ? value->novelty : books.estimator().condition_novelty(pack.task_name, pack.condition);
  asked.tier = value ? value->tier : 0;
  asked.base_mpl_units_per_h = econ::base_mpl_of(pack);
  asked.condition = pack.condition;
  return books.estimator().predict(asked);
}

void read_expectation(const Options& o, const Ground& ground, const Datapack& pack,
                      const std::optional<storage::Valuation>& value, Basis& basis) {
  if (ground.books != nullptr) {
    econ::Prediction prediction = ask_model(o, *ground.books, pack, value);
    if (prediction.base_mpl_units_per_h > 0) {
      basis.expected = prediction.delta_mpl.mean * prediction.base_mpl_units_per_h;
      basis.kappa = prediction.kappa;
      basis.expected_from =
          fmt::format("model {}: dMPL {:.6g} of a base of {:.6g} units/h, from {} outcomes", prediction.model,
                      prediction.delta_mpl.mean, prediction.base_mpl_units_per_h, prediction.model_outcomes);
      if (prediction.model_outcomes == 0) basis.expected_from += ": nothing is charged before any is known";
      basis.prediction = std::move(prediction);
      return;
    }
  }
  if (!value || !value->expected) return;
  basis.expected = value->expected->dmpl;
  basis.kappa = value->expected->kappa;
  basis.expected_from = fmt::format("valuation by model {}", value->expected->model);
}

Status read_store(const Options& o, const Ground& ground, Basis& basis) {
  const sync::CentralStore& centre = *ground.centre;
  return centre.central_env().read([&](const storage::ReadTxn& txn) -> Status {
    std::optional<Datapack> pack;
    if (!o.pack.empty()) {
      DROVER_ASSIGN(pack, centre.packs().get(txn, o.pack));
    } else {
      DROVER_ASSIGN(pack, newest(centre, txn, o.task));
    }
    if (!pack) return fail(Errc::not_found, o.pack.empty() ? o.task : o.pack, "no such datapack in " + o.store);
    basis.pack_id = pack->pack_id;
    basis.task = pack->task_name;
    DROVER_ASSIGN(const Worked sum, worked(centre, txn, pack->task_name));
    read_wages(*pack, sum, basis);
    DROVER_ASSIGN(const auto row, centre.packs().row(txn, pack->pack_id));
    std::optional<storage::Valuation> value;
    if (row) {
      DROVER_ASSIGN(value, centre.valuations().get(txn, row->id()));
    }
    read_expectation(o, ground, *pack, value, basis);
    return {};
  });
}

Result<Basis> basis_of(const Options& o, const Ground& ground) {
  Basis basis;
  if (!o.store.empty()) DROVER_TRY(read_store(o, ground, basis));
  if (!o.preset.empty()) {
    DROVER_ASSIGN(const econ::EconPreset preset, econ::load_econ_preset(o.preset));
    basis.price = preset.price_per_unit_usd;
    basis.human_wage = preset.human_wage_usd_per_h;
    basis.price_from = "preset " + preset.name;
  }
  const auto lay = [](const std::optional<double>& over, std::optional<double>& value, std::string& from) {
    if (!over) return;
    value = over;
    from = "given";
  };
  lay(o.expected, basis.expected, basis.expected_from);
  lay(o.kappa, basis.kappa, basis.expected_from);
  lay(o.price, basis.price, basis.price_from);
  lay(o.robot_wage, basis.robot_wage, basis.wage_from);
  if (o.human_wage) basis.human_wage = o.human_wage;
  for (const auto& [value, flag, hint] :
       {std::tuple{basis.expected, "--expected", "E[dMPL] in units per h; no model has valued this datapack yet"},
        std::tuple{basis.kappa, "--kappa", "the confidence discount, 0..1"},
        std::tuple{basis.price, "--price", "p in $ per good unit"},
        std::tuple{basis.robot_wage, "--robot-wage", "w_r in $ per h"},
        std::tuple{basis.human_wage, "--human-wage", "w_h in $ per h"}})
    if (!value) return fail(Errc::invalid_argument, flag, std::string("is needed: ") + hint);
  if (!o.market_wages.empty()) {
    DROVER_ASSIGN(basis.indexed, econ::indexed_wages(*basis.human_wage, o.market_wages, o.smoothing));
    basis.human_wage = basis.indexed.back();
  }
  return basis;
}

Result<econ::Contract> agreed(const Options& o) {
  DROVER_ASSIGN(const auto contracts, econ::load_contracts(o.contracts));
  for (const econ::Contract& c : contracts) {
    if (c.customer_id != o.customer) continue;
    if (!o.at.empty()) {
      DROVER_ASSIGN(const int64_t at, parse_utc(o.at));
      if (!econ::covers(c, at)) return fail(Errc::refused, o.customer, "its contract does not hold on " + o.at);
    }
    return c;
  }
  return fail(Errc::not_found, o.customer, "has no contract in " + o.contracts);
}

Result<econ::Contract> contract_of(const Options& o) {
  econ::Contract c;
  c.customer_id = o.customer;
  c.horizon_ns = 0;
  if (!o.contracts.empty()) {
    DROVER_ASSIGN(c, agreed(o));
  }
  if (!o.tier.empty()) {
    DROVER_ASSIGN(c.tier, econ::sharing_tier_from_name(o.tier));
    c.withheld_parts = c.tier == econ::SharingTier::full_share ? 0
                       : c.tier == econ::SharingTier::no_share ? econ::share_parts
                                                               : econ::share_parts / 2;
  }
  if (o.withheld) {
    DROVER_ASSIGN(c.withheld_parts, econ::parts_of(*o.withheld, "--share"));
    if (!o.tier.empty() && econ::tier_of_withheld(c.withheld_parts) != c.tier)
      return fail(Errc::invalid_argument, "--share", "does not agree with --tier " + o.tier);
    c.tier = econ::tier_of_withheld(c.withheld_parts);
  }
  if (o.discount) {
    DROVER_ASSIGN(c.discount_parts, econ::parts_of(*o.discount, "--discount"));
  }
  if (o.premium) {
    DROVER_ASSIGN(c.premium_parts, econ::parts_of(*o.premium, "--premium"));
  }
  if (o.hours) {
    DROVER_ASSIGN(c.horizon_ns, econ::ns_of_hours(*o.hours, "--hours"));
  }
  if (c.horizon_ns == 0) return fail(Errc::invalid_argument, "--hours", "is needed: robot time to be priced");
  return c;
}

Result<econ::QuoteInputs> inputs_of(const Options& o, const Basis& basis) {
  econ::QuoteInputs in;
  DROVER_ASSIGN(in.contract, contract_of(o));
  DROVER_ASSIGN(in.price_per_unit, econ::to_micro_usd(*basis.price));
  DROVER_ASSIGN(in.robot_wage_per_h, econ::to_micro_usd(*basis.robot_wage));
  DROVER_ASSIGN(in.human_wage_per_h, econ::to_micro_usd(*basis.human_wage));
  DROVER_ASSIGN(const int64_t cause, econ::parts_of(o.cause.value_or(0), "--cause"));
  DROVER_ASSIGN(const auto split,
                econ::split_spread({in.robot_wage_per_h, in.human_wage_per_h, 3'600'000'000'000, cause}));
  in.rebate_per_h = split.rebate;  // of one hour
  in.kappa = *basis.kappa;
  in.delta_mpl_units_per_h = *basis.expected;
  return in;
}

void show(const Basis& basis, const econ::QuoteInputs& in, const econ::Quote& q) {
  const econ::Contract& c = in.contract;
  std::printf("customer  %s, %s\n", plain_text(c.customer_id).c_str(),
              std::string(econ::sharing_tier_name(c.tier)).c_str());
  if (!basis.pack_id.empty()) std::printf("datapack  %s (%s)\n", basis.pack_id.c_str(), basis.task.c_str());
  std::printf("p         %s per unit (%s)\n", econ::usd_text(in.price_per_unit).c_str(), basis.price_from.c_str());
  std::printf("w_r       %s per h (%s)\n", econ::usd_text(in.robot_wage_per_h).c_str(), basis.wage_from.c_str());
  std::printf("w_h       %s per h%s\n", econ::usd_text(in.human_wage_per_h).c_str(),
              basis.indexed.empty() ? "" : fmt::format(", indexed by {} market wages", basis.indexed.size()).c_str());
  std::printf("E[dMPL]   %s units per h, kappa %s (%s)\n\n", short_number(in.delta_mpl_units_per_h).c_str(),
              short_number(in.kappa).c_str(), basis.expected_from.c_str());
  Table table({"!WHAT", "!HOW", ">RESULT"});
  for (const econ::QuoteLine& line : econ::explain(in, q)) table.row({line.what, line.how, line.result});
  print_text(table.text());
}

Json quote_json(const Basis& basis, const econ::QuoteInputs& in, const econ::Quote& q) {
  const econ::Contract& c = in.contract;
  Json lines = Json::array();
  for (const econ::QuoteLine& line : econ::explain(in, q))
    lines.push_back({{"what", line.what}, {"how", line.how}, {"result", line.result}});
  return {{"customer_id", c.customer_id},
          {"sharing_tier", std::string(econ::sharing_tier_name(c.tier))},
          {"pack_id", basis.pack_id},
          {"expected_from", basis.expected_from},
          {"inputs",
           {{"price_per_unit_micro", in.price_per_unit},
            {"robot_wage_per_h_micro", in.robot_wage_per_h},
            {"human_wage_per_h_micro", in.human_wage_per_h},
            {"rebate_per_h_micro", in.rebate_per_h},
            {"kappa", in.kappa},
            {"delta_mpl_units_per_h", in.delta_mpl_units_per_h},
            {"horizon_ns", c.horizon_ns},
            {"withheld_parts", c.withheld_parts},
            {"discount_parts", c.discount_parts},
            {"premium_parts", c.premium_parts}}},
          {"base_micro", q.base},
          {"value_micro", q.value},
          {"withheld_micro", q.withheld},
          {"discount_micro", q.discount},
          {"premium_micro", q.premium},
          {"cap_micro", q.cap},
          {"final_micro", q.final_price},
          {"capped", q.capped},
          {"lines", lines}};
}

Status check(const Options& o) {
  if (!o.store.empty() && o.pack.empty() == o.task.empty())
    return fail(Errc::invalid_argument, "--store", "needs --pack or --task");
  if (o.record && (o.store.empty() || o.pack.empty()))
    return fail(Errc::invalid_argument, "--record", "needs --store and --pack");
  if (o.record && (o.expected || o.kappa))
    return fail(Errc::invalid_argument, "--record",
                "writes down what the model says: it goes without --expected and "
                "--kappa");
  return {};
}

// Writes the prediction down with its terms and posts the premium.
Status record(const Ground& ground, const Basis& basis, const econ::QuoteInputs& in, const econ::Quote& quote) {
  if (!basis.prediction)
    return fail(Errc::invalid_argument, basis.pack_id, "has no established baseline: nothing can be predicted of it");
  econ::Prediction prediction = *basis.prediction;
  prediction.terms = econ::terms_of(in, quote);
  return ground.books->record(*ground.written, prediction);
}

Status run(const Options& o) {
  DROVER_TRY(check(o));
  Ground ground;
  if (!o.store.empty()) {
    DROVER_ASSIGN(ground, open_ground(o));
  }
  DROVER_ASSIGN(const Basis basis, basis_of(o, ground));
  DROVER_ASSIGN(const econ::QuoteInputs in, inputs_of(o, basis));
  DROVER_ASSIGN(const econ::Quote quote, econ::quote(in));
  if (o.record) DROVER_TRY(record(ground, basis, in, quote));
  if (o.json) {
    Json out = quote_json(basis, in, quote);
    out["recorded"] = o.record;
    print_text(out.dump() + "\n");
    return {};
  }
  show(basis, in, quote);
  if (o.record)
    std::printf("\nrecorded: the prediction is written down and %s posted; an outcome will be held against it\n",
                econ::usd_text(econ::terms_of(in, quote).quoted).c_str());
  return {};
}

void add_options(CLI::App& app, Options& o) {
  app.add_option("--customer", o.customer, "who is quoted")->required();
  app.add_option("--store", o.store, "store to take wages, price and expectation from");
  app.add_option("--pack", o.pack, "of this datapack");
  app.add_option("--task", o.task, "of the newest valued datapack of this task");
  app.add_option("--preset", o.preset, "economic preset for price and w_h, as configs/econ/default.toml");
  app.add_option("--contracts", o.contracts, "contracts, as configs/econ/contracts.toml; the customer's holds");
  app.add_option("--at", o.at, "the contract must hold on this day: 2026-01-31");
  app.add_option("--tier", o.tier, "full, partial (S = 0.5 unless --share says else) or none");
  app.add_option("--share", o.withheld, "S: 0 shares all data, 1 shares nothing");
  app.add_option("--hours", o.hours, "robot time that is priced");
  app.add_option("--discount", o.discount, "rate, 0..1");
  app.add_option("--premium", o.premium, "rate, 0..1");
  app.add_option("--expected", o.expected, "E[dMPL], units per h");
  app.add_option("--kappa", o.kappa, "confidence discount, 0..1");
  app.add_option("--price", o.price, "p, $ per unit");
  app.add_option("--robot-wage", o.robot_wage, "w_r, $ per h");
  app.add_option("--human-wage", o.human_wage, "w_h, $ per h");
  app.add_option("--market-wage", o.market_wages, "market wages that w_h is indexed by, in their order")
      ->delimiter(',');
  app.add_option("--smoothing", o.smoothing, "a in w <- a*market + (1-a)*w")->capture_default_str();
  app.add_option("--cause", o.cause, "s_cust: share of the improvement that the customer caused; its rebate");
  app.add_option("--reconciliation", o.reconciliation, "model settings, as configs/econ/reconciliation.toml");
  app.add_flag("--record", o.record,
               "write the prediction down and post what is quoted; the coordinator must be stopped");
  app.add_flag("--json", o.json, "print JSON");
}

}  // namespace

EconPart add_econ_quote(CLI::App& app) {
  const auto o = std::make_shared<Options>();
  o->app = app.add_subcommand("quote", "price robot time for a customer, line by line");
  add_options(*o->app, *o);
  o->app->footer(
      "Whatever is withheld, the final price is never above w_h * hours.\n\n"
      "Examples:\n"
      "  drover econ quote --customer plant-a --contracts configs/econ/contracts.toml --store central --task "
      "ur3_cycle\n"
      "  drover econ quote --customer plant-a --store central --pack dp-80fd.. --tier none --hours 100 --record\n"
      "  drover econ quote --customer plant-b --tier partial --share 0.4 --hours 500 --price 0.5 --robot-wage 16 \\\n"
      "    --human-wage 18 --market-wage 18.4,18.9 --expected 1.5 --kappa 0.7 --discount 0.3 --premium 0.8\n");
  return [o]() -> std::optional<int> {
    if (!o->app->parsed()) return std::nullopt;
    const Status done = run(*o);
    return done ? exit_ok : report_failure(name, done.error());
  };
}

}  // namespace drover::nodes

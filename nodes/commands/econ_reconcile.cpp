// drover econ reconcile and outcome: bring the books up to date with what robots sent, and tell them what was measured.
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "actors/econ/central_econ.hpp"
#include "actors/econ/study.hpp"
#include "actors/runtime/clock.hpp"
#include "nodes/commands/econ.hpp"
#include "nodes/commands/store_access.hpp"
#include "nodes/commands/table.hpp"

namespace drover::nodes {
namespace {

constexpr const char* name = "drover econ reconcile";

struct Options {
  std::string store, config, pack, customer;
  std::optional<double> mpl, delta_mpl, error, energy;
  uint32_t rows = 10;
  bool json = false;
};

Json result_json(const econ::Reconciliation& r) {
  return Json::parse(econ::to_json(r));
}

struct Reconciled {
  econ::EconProgress progress;
  econ::EconCounts counts;
  std::vector<econ::Reconciliation> results;
  std::optional<econ::AdjustedThresholds> tiers;
  std::vector<std::pair<std::string, std::string>> aside;
};

Result<Reconciled> reconcile_store(const Options& o) {
  DROVER_ASSIGN(const auto store, open_central(o.store, storage::Access::read_write));
  DROVER_ASSIGN(const auto books, open_central_econ(o.store, o.config));
  Reconciled out;
  DROVER_ASSIGN(out.progress, books->run(*store));
  DROVER_ASSIGN(out.counts, books->counts());
  DROVER_TRY(books->for_each_result([&](const econ::Reconciliation& r) -> Result<bool> {
    out.results.push_back(r);
    return true;
  }));
  if (!out.results.empty()) {
    DROVER_ASSIGN(out.tiers, books->adjust_tiers(*store));
  }
  DROVER_ASSIGN(out.aside, books->set_aside(20));
  return out;
}

void show_results(const Options& o, const std::vector<econ::Reconciliation>& all) {
  Table table({"!TIME", "DATAPACK", "CUSTOMER", ">EXPECTED", ">REALISED", ">ERROR", ">QUOTED $", ">TRUE-UP $"});
  const size_t first = all.size() > o.rows ? all.size() - o.rows : 0;
  for (size_t i = first; i < all.size(); ++i) {
    const econ::Reconciliation& r = all[i];
    table.row({human_time(r.time_unix_ns), r.pack_id, plain_text(r.customer_id), human_number(r.predicted_delta_mpl, 3),
               human_number(r.realised_delta_mpl, 3), human_number(r.error_delta_mpl, 3), storage::micro_text(r.quoted),
               storage::micro_text(r.true_up)});
  }
  if (!table.empty()) print_text("\n" + table.text());
}

void show_curve(const std::vector<econ::Reconciliation>& all) {
  const auto curve = econ::error_curve(all, std::max<size_t>(10, all.size() / 10));
  if (curve.size() < 2) return;
  Table table({">RECONCILIATIONS", ">MEAN |ERROR| OF dMPL", ">WITHOUT LEARNING", ">LESS BY"});
  for (const auto& point : curve)
    table.row({human_count(point.reconciliations), human_number(point.model, 4), human_number(point.start, 4),
               point.start > 0 ? human_number(100 * (1 - point.model / point.start), 1) + " %" : "-"});
  print_text("\n" + table.text());
}

int reconcile(const Options& o) {
  const auto done = reconcile_store(o);
  if (!done) return report_failure(name, done.error());
  const Reconciled& r = *done;
  if (o.json) {
    Json rows = Json::array(), aside = Json::array();
    for (const auto& one : r.results) rows.push_back(result_json(one));
    for (const auto& [what, why] : r.aside) aside.push_back({{"what", what}, {"why", why}});
    Json out = {{"datapacks", r.progress.datapacks},
                {"predictions", r.counts.predictions},
                {"outcomes", r.counts.outcomes},
                {"reconciliations", std::move(rows)},
                {"posted", r.progress.posted},
                {"postings", r.counts.ledger.postings},
                {"digest", to_hex(r.counts.ledger.digest)},
                {"set_aside", std::move(aside)}};
    if (r.tiers)
      out["tiers"] = {
          {"novelty_min", r.tiers->novelty_min}, {"causal_gain_min", r.tiers->causal_gain_min}, {"why", r.tiers->why}};
    print_text(out.dump() + "\n");
    return exit_ok;
  }
  std::printf("%s datapacks and %s outcome records read; %s predictions made, %s pairs reconciled, %s postings\n",
              human_count(r.progress.datapacks).c_str(), human_count(r.progress.outcomes).c_str(),
              human_count(r.progress.predictions).c_str(), human_count(r.progress.reconciled).c_str(),
              human_count(r.progress.posted).c_str());
  std::printf("the books hold %s predictions, %s outcomes, %s reconciliations, %s postings, digest %s\n",
              human_count(r.counts.predictions).c_str(), human_count(r.counts.outcomes).c_str(),
              human_count(r.counts.reconciliations).c_str(), human_count(r.counts.ledger.postings).c_str(),
              to_hex(r.counts.ledger.digest).substr(0, 16).c_str());
  show_results(o, r.results);
  show_curve(r.results);
  if (r.tiers)
    std::printf("\ntiers: context-novel from %s, causal-novel from %s (%s)\n",
                human_number(r.tiers->novelty_min, 3).c_str(), human_number(r.tiers->causal_gain_min, 3).c_str(),
                r.tiers->why.c_str());
  for (const auto& [what, why] : r.aside)
    std::printf("set aside: %s: %s\n", plain_text(what).c_str(), plain_text(why).c_str());
  return exit_ok;
}

Status send_outcome(const Options& o) {
  Json metrics = Json::object();
  if (o.mpl) metrics["mpl_units_per_h"] = *o.mpl;
  if (o.delta_mpl) metrics["delta_mpl"] = *o.delta_mpl;
  if (o.error) metrics["error_rate"] = *o.error;
  if (o.energy) metrics["energy_Wh"] = *o.energy;
  if (metrics.empty()) return fail(Errc::invalid_argument, "--mpl", "nothing was measured: give at least one value");
  DROVER_ASSIGN(const auto store, open_central(o.store, storage::Access::read_write));
  return econ::append_outcome(*store, {o.pack, o.customer, metrics.dump(), runtime::SystemClock().unix_ns()});
}

}  // namespace

Result<std::unique_ptr<econ::CentralEcon>> open_central_econ(const std::string& store, const std::string& config) {
  if (store_kind(store) != StoreKind::coordinator) return fail(Errc::not_found, store, "is no coordinator's store");
  econ::CentralEconOptions options;
  options.folder = econ_folder(store);
  const std::string shipped = "configs/econ/reconciliation.toml";
  if (!config.empty() || std::filesystem::exists(shipped)) {
    DROVER_ASSIGN(options.config, econ::load_reconcile(config.empty() ? shipped : config));
  }
  return econ::CentralEcon::open(options);
}

EconPart add_econ_reconcile(CLI::App& app) {
  const auto o = std::make_shared<Options>();
  CLI::App* reconcile_app = app.add_subcommand(
      "reconcile", "compare what was expected with what came of it, post true-ups, learn (coordinator stopped)");
  CLI::App* outcome_app = app.add_subcommand("outcome", "tell what was measured of a datapack (coordinator stopped)");
  for (CLI::App* sub : {reconcile_app, outcome_app})
    sub->add_option("--store", o->store, "folder of a coordinator's store")->required();
  reconcile_app->add_option("--config", o->config, "reconciliation.toml; default configs/econ/reconciliation.toml");
  reconcile_app->add_option("--rows", o->rows, "newest reconciliations to print")->capture_default_str();
  reconcile_app->add_flag("--json", o->json, "print JSON, every reconciliation");
  outcome_app->add_option("--pack", o->pack, "datapack, or what a quote was asked for")->required();
  outcome_app->add_option("--customer", o->customer, "whose deployment it was")->required();
  outcome_app->add_option("--mpl", o->mpl, "good units per hour");
  outcome_app->add_option("--delta-mpl", o->delta_mpl, "relative change of MPL, if known better than from --mpl");
  outcome_app->add_option("--error-rate", o->error, "errors per attempt");
  outcome_app->add_option("--energy", o->energy, "Wh");
  return [o, reconcile_app, outcome_app]() -> std::optional<int> {
    if (reconcile_app->parsed()) return reconcile(*o);
    if (!outcome_app->parsed()) return std::nullopt;
    const Status sent = send_outcome(*o);
    return sent ? int{exit_ok} : report_failure("drover econ outcome", sent.error());
  };
}

}  // namespace drover::nodes

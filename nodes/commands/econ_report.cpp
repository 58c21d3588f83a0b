// drover econ report: one page (HTML with SVG inside, no other files needed) and its numbers as JSON: what a datapack
// is worth and why, the ledger, the error curve, the market for data.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>

#include "actors/econ/central_econ.hpp"
#include "actors/econ/market.hpp"
#include "actors/econ/study.hpp"
#include "nodes/commands/econ.hpp"
#include "nodes/commands/store_access.hpp"
#include "nodes/commands/table.hpp"

namespace drover::nodes {
namespace {

constexpr const char* name = "drover econ report";
constexpr double width = 640, height = 260, left = 76, right = 16, top = 16, bottom = 40;
constexpr uint32_t postings_shown = 40;

struct Options {
  std::string store, out, pack, market, config;
  uint64_t seed = 1;
};

struct Facts {
  std::vector<econ::Reconciliation> results;  // in order of time
  econ::EconCounts counts;
  std::vector<storage::Balance> balances;
  std::vector<std::pair<Hash, storage::Posting>> postings;  // the newest
  std::string difference;
  std::optional<Datapack> pack;
  std::optional<econ::Reconciliation> of_pack;
  econ::MarketSweep market;
  Json study;  // of drover econ study, when the store is one's
};

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

std::string money(storage::Wide micro) {
  const std::string text = storage::micro_text(micro);
  return text.substr(0, text.size() - 4);  // cents
}

// ---- drawing

struct Axes {
  double x0 = 0, x1 = 1, y0 = 0, y1 = 1, step = 0.25;
  double px(double x) const { return left + (x - x0) / (x1 - x0) * (width - left - right); }
  double py(double y) const { return height - bottom - (y - y0) / (y1 - y0) * (height - top - bottom); }
};

// A round distance between about five ticks.
double step_for(double range) {
  const double raw = range / 5, power = std::pow(10, std::floor(std::log10(raw))), unit = raw / power;
  return power * (unit <= 1 ? 1 : unit <= 2 ? 2 : unit <= 5 ? 5 : 10);
}

Axes axes_for(double x0, double x1, double y0, double y1) {
  if (!(x1 > x0)) x1 = x0 + 1;
  if (!(y1 > y0)) y1 = y0 + 1;
  const double step = step_for(y1 - y0);
  return {x0, x1, std::floor(y0 / step) * step, std::ceil(y1 / step) * step, step};
}

std::string tick_text(double value, double step) {
  return fmt::format("{:.6g}", std::abs(value) < step * 1e-6 ? 0 : value);
}

std::string frame(const Axes& a, std::string_view x_label, std::string_view y_label) {
  std::string out =
      fmt::format("<svg viewBox=\"0 0 {} {}\" role=img aria-label=\"{}\">", width, height, escape(y_label));
  for (int i = 0; i <= 20; ++i) {
    const double v = a.y0 + a.step * i;
    if (v > a.y1 + a.step / 2) break;
    out += fmt::format(
        "<line class=grid x1={:.1f} x2={:.1f} y1={:.1f} y2={:.1f} />"
        "<text class=tick x={:.1f} y={:.1f} text-anchor=end>{}</text>",
        left, width - right, a.py(v), a.py(v), left - 6, a.py(v) + 4, tick_text(v, a.step));
  }
  return out +
         fmt::format("<text class=label x={:.1f} y={:.1f} text-anchor=middle>{}</text>", (left + width - right) / 2,
                     height - 6, escape(x_label)) +
         fmt::format("<text class=label transform=\"translate(12 {:.1f}) rotate(-90)\" text-anchor=middle>{}</text>",
                     (top + height - bottom) / 2, escape(y_label));
}

struct Line {
  std::string title, colour;
  std::vector<std::pair<double, double>> points;
};

std::string lines(const std::vector<Line>& all, std::string_view x_label, std::string_view y_label) {
  double x0 = INFINITY, x1 = -INFINITY, y1 = 0;
  for (const Line& line : all)
    for (const auto& [x, y] : line.points) x0 = std::min(x0, x), x1 = std::max(x1, x), y1 = std::max(y1, y);
  if (!(x1 >= x0)) return "<p class=none>Nothing to show yet.</p>";
  const Axes a = axes_for(x0, x1, 0, y1);
  std::string out = frame(a, x_label, y_label), legend = "<p class=legend>";
  const double step = step_for(x1 > x0 ? x1 - x0 : 1);
  for (double x = std::ceil(x0 / step) * step; x <= x1 + step * 1e-6; x += step)
    out += fmt::format("<text class=tick x={:.1f} y={:.1f} text-anchor=middle>{}</text>", a.px(x), height - bottom + 16,
                       tick_text(x, step));
  for (const Line& line : all) {
    std::string path;
    for (const auto& [x, y] : line.points) path += fmt::format("{:.1f},{:.1f} ", a.px(x), a.py(y));
    out += fmt::format("<polyline fill=none stroke=\"{}\" stroke-width=2 points=\"{}\" />", line.colour, path);
    legend += fmt::format("<span><i style=\"background:{}\"></i>{}</span>", line.colour, escape(line.title));
  }
  return out + "</svg>" + legend + "</p>";
}

struct Step {
  std::string title;
  double value = 0;
  bool total = false;  // stands on the ground
};

std::string waterfall(const std::vector<Step>& steps, std::string_view y_label) {
  double low = 0, high = 0, level = 0;
  for (const Step& s : steps) {
    level = s.total ? s.value : level + s.value;
    low = std::min(low, level), high = std::max(high, level);
  }
  const Axes a = axes_for(0, static_cast<double>(steps.size()), low, high);
  std::string out = frame(a, "", y_label);
  level = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    const Step& s = steps[i];
    const double from = s.total ? 0 : level;
    level = s.total ? s.value : level + s.value;
    const double y = std::min(a.py(from), a.py(level)), h = std::abs(a.py(from) - a.py(level));
    const double x = a.px(static_cast<double>(i) + 0.15), w = a.px(static_cast<double>(i) + 0.85) - x;
    const char* colour = s.total ? "#2f6fde" : s.value < 0 ? "#e08a00" : "#0a9b76";
    out += fmt::format(
        "<rect x={:.1f} y={:.1f} width={:.1f} height={:.1f} fill=\"{}\"><title>{}: {:.4f}</title></rect>"
        "<text class=value x={:.1f} y={:.1f} text-anchor=middle>{:.2f}</text>"
        "<text class=tick x={:.1f} y={:.1f} text-anchor=middle>{}</text>",
        x, y, w, std::max(h, 0.8), colour, escape(s.title), s.value, x + w / 2, y - 4, s.value, x + w / 2,
        height - bottom + 16, escape(s.title));
  }
  return out + "</svg>";
}

std::string table(const std::vector<std::string>& titles, const std::vector<std::vector<std::string>>& rows) {
  std::string out = "<div class=wide><table><tr>";
  for (const std::string& title : titles) out += "<th>" + escape(title) + "</th>";
  out += "</tr>";
  for (const auto& row : rows) {
    out += "<tr>";
    for (const std::string& cell : row) out += "<td>" + escape(cell) + "</td>";
    out += "</tr>";
  }
  return out + "</table></div>";
}

// ---- sections

std::vector<Step> steps_of(const Datapack& pack) {
  const Json m = Json::parse(pack.episode_metrics_json, nullptr, false);
  const auto value = [&](const char* key) {
    return m.is_object() && m.contains(key) && m[key].is_number() ? m[key].get<double>() : 0;
  };
  const double gross = pack.condition.price_per_unit * value("mpl_units_per_h");
  const double wage = value("wage_usd_per_h"), energy = value("energy_cost_usd_per_h");
  const double human = value("human_wage_usd_per_h");
  return {{"units made", gross, false},  {"errors", wage - gross, false}, {"robot wage", wage, true},
          {"energy", -energy, false},    {"profit", wage - energy, true}, {"human wage", human, true},
          {"spread", wage - human, true}};
}

// From what the episode changed to what its record is worth: MVD = trust * w_econ * |dJ|.
std::vector<Step> value_steps(const Datapack& pack) {
  const Attribution& a = pack.attribution;
  std::vector<double> weights = pack.condition.objective_vector;
  weights.resize(4, 0);
  const double mpl = weights[0] * a.delta_mpl, error = -weights[1] * a.delta_error, ep = weights[2] * a.delta_ep;
  const double worth = std::abs(a.delta_J);
  return {{"dMPL", mpl, false},
          {"dError", error, false},
          {"dEP", ep, false},
          {"safety", a.delta_J - mpl - error - ep, false},
          {"dJ", a.delta_J, true},
          {"|dJ|", worth, true},
          {"trust", worth * (a.trust_score - 1), false},
          {"w_econ", worth * a.trust_score * (a.w_econ - 1), false},
          {"MVD", worth * a.trust_score * a.w_econ, true}};
}

std::string pack_html(const Facts& f) {
  if (!f.pack) return "<p class=none>No datapack has been reconciled yet.</p>";
  const Attribution& a = f.pack->attribution;
  std::string out = fmt::format("<p>{} ({})</p>", escape(f.pack->pack_id), escape(f.pack->task_name)) +
                    waterfall(value_steps(*f.pack), "units of J");
  out +=
      table({"dMPL", "dError", "dEP", "dJ", "trust", "w_econ", "MVD"},
            {{fmt::format("{:.4f}", a.delta_mpl), fmt::format("{:.4f}", a.delta_error),
              fmt::format("{:.4f}", a.delta_ep), fmt::format("{:.4f}", a.delta_J), fmt::format("{:.3f}", a.trust_score),
              fmt::format("{:.3f}", a.w_econ), fmt::format("{:.4f}", a.mvd_score.value_or(0))}});
  out += "<p>And an hour of such work, in money:</p>" + waterfall(steps_of(*f.pack), "$ per hour");
  if (!f.of_pack) return out;
  const econ::Reconciliation& r = *f.of_pack;
  return out + table({"customer", "expected dMPL", "realised dMPL", "quoted $", "earned $", "true-up $"},
                     {{r.customer_id, fmt::format("{:.4f}", r.predicted_delta_mpl),
                       fmt::format("{:.4f}", r.realised_delta_mpl), storage::micro_text(r.quoted),
                       storage::micro_text(r.earned), storage::micro_text(r.true_up)}});
}

std::string ledger_html(const Facts& f) {
  std::vector<std::vector<std::string>> rows;
  std::map<std::string, storage::Wide> sums;
  for (const auto& b : f.balances) {
    rows.push_back({b.account, b.currency, money(b.micro), money(b.micro + b.given_micro), money(b.given_micro),
                    human_count(b.postings)});
    sums[b.currency] += b.micro;
  }
  for (const auto& [currency, sum] : sums) rows.push_back({"sum", currency, money(sum), "", "", ""});
  std::string out = fmt::format("<p>{} postings, digest {}. {}</p>", human_count(f.counts.ledger.postings),
                                to_hex(f.counts.ledger.digest).substr(0, 16),
                                f.difference.empty() ? "Every balance was derived again from the journal and agrees."
                                                     : escape("The books are wrong: " + f.difference));
  out += table({"account", "currency", "balance", "received", "gave", "postings"}, rows);
  rows.clear();
  for (const auto& [id, p] : f.postings)
    for (const auto& e : p.entries)
      rows.push_back({human_time(p.time_unix_ns), p.kind, e.account, storage::micro_text(e.amount_micro), e.currency,
                      to_hex(id).substr(0, 12), p.memo});
  return out + "<details><summary>The newest postings</summary>" +
         table({"time", "kind", "account", "amount", "currency", "posting", "memo"}, rows) + "</details>";
}

// Means over windows of reconciliations that overlap.
std::vector<econ::ErrorPoint> curve_of(const Facts& f) {
  const size_t window = std::max<size_t>(20, f.results.size() / 8), hop = std::max<size_t>(1, window / 4);
  std::vector<econ::ErrorPoint> out;
  for (size_t at = 0; at + window <= f.results.size(); at += hop) {
    const auto first = f.results.begin() + static_cast<ptrdiff_t>(at);
    auto point = econ::error_curve({first, first + static_cast<ptrdiff_t>(window)}, window).front();
    point.reconciliations = at + window;
    out.push_back(point);
  }
  return out;
}

std::string errors_html(const Facts& f) {
  Line model{"as predicted", "#2f6fde", {}}, start{"expecting no change", "#8a8f98", {}};
  for (const auto& p : curve_of(f)) {
    model.points.emplace_back(static_cast<double>(p.reconciliations), p.model);
    start.points.emplace_back(static_cast<double>(p.reconciliations), p.start);
  }
  uint64_t inside = 0;
  for (const auto& r : f.results) inside += r.inside_interval ? 1 : 0;
  return lines({model, start}, "reconciliations", "mean |error| of dMPL") +
         (f.results.empty() ? ""
                            : fmt::format("<p>Every prediction was made before its outcome was looked at. {:.1f} % of "
                                          "outcomes were inside the 90 % interval.</p>",
                                          100.0 * static_cast<double>(inside) / static_cast<double>(f.results.size())));
}

double number_in(const Json& object, const char* key) {
  return object.is_object() && object.contains(key) && object[key].is_number() ? object[key].get<double>() : 0;
}

std::string study_html(const Facts& f) {
  if (!f.study.is_object() || !f.study.contains("curve") || !f.study["curve"].is_array()) return {};
  Line model{"model", "#2f6fde", {}}, start{"expecting no change", "#8a8f98", {}},
      median{"always the median", "#e08a00", {}};
  std::string said;
  for (const Json& p : f.study["curve"]) {
    const double at = number_in(p, "deployments");
    model.points.emplace_back(at, number_in(p, "mae_model"));
    start.points.emplace_back(at, number_in(p, "mae_start"));
    median.points.emplace_back(at, number_in(p, "mae_constant"));
    said = fmt::format(
        "<p>After {:.0f} deployments the error on {:.0f} deployments that taught nothing is less by {:.1f} % "
        "(95 % interval {:.1f} to {:.1f} %).</p>",
        at, number_in(f.study, "held_out"), 100 * number_in(p, "reduction"), 100 * number_in(p, "low"),
        100 * number_in(p, "high"));
  }
  return "<h2>What it has learnt, on deployments it has not seen</h2>" +
         lines({model, start, median}, "deployments reconciled", "mean |error| of dMPL") + said;
}

std::string market_html(const Facts& f) {
  Line shared{"data shared", "#0a9b76", {}}, withheld{"data withheld", "#e08a00", {}};
  Line price{"mean price", "#2f6fde", {}}, surplus{"customer surplus per customer and 100 h", "#cc4c8f", {}};
  std::vector<std::vector<std::string>> rows;
  for (const econ::MarketRow& r : f.market.rows) {
    const double all = std::max(1e-9, r.collected_h + r.withheld_h);
    shared.points.emplace_back(r.rate, 100 * r.collected_h / all);
    withheld.points.emplace_back(r.rate, 100 * r.withheld_h / all);
    price.points.emplace_back(r.rate, r.price_mean_usd_per_h);
    surplus.points.emplace_back(r.rate, 100 * r.customer_surplus_usd / all);
    rows.push_back({fmt::format("{:.2f}", r.rate), r.converged ? fmt::format("in {}", r.iterations) : "did not",
                    fmt::format("{:.0f}", r.collected_h), fmt::format("{:.0f}", r.withheld_h),
                    fmt::format("{:.3f}", r.price_mean_usd_per_h), fmt::format("{:.2f} %", 100 * r.mpl_improvement),
                    fmt::format("{:.0f}", r.customer_surplus_usd), fmt::format("{}", r.over_human_wage)});
  }
  surplus.title = "customer surplus per 100 h";
  return lines({shared, withheld}, "sharing rate asked", "% of data") +
         lines({price}, "sharing rate asked", "mean price, $ per h") +
         lines({surplus}, "sharing rate asked", "surplus, $ per 100 h") +
         table({"rate", "converged", "shared h", "withheld h", "price $/h", "MPL gain", "surplus $", "above w_h"},
               rows);
}

std::string page(const Facts& f) {
  std::string out =
      "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">"
      "<title>Value and money</title><style>"
      ":root{color-scheme:light dark;--fg:#1a1d21;--bg:#fff;--dim:#667;--line:#dde}"
      "@media(prefers-color-scheme:dark){:root{--fg:#e6e8eb;--bg:#15181c;--dim:#9aa;--line:#333a42}}"
      "body{font:15px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:900px;margin:2em auto;"
      "padding:0 1em}h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}svg{width:100%;height:auto}"
      ".grid{stroke:var(--line)}text{fill:var(--fg);font-size:11px}.tick{fill:var(--dim)}.label{fill:var(--dim)}"
      ".legend span{margin-right:1.2em}.legend i{display:inline-block;width:.8em;height:.8em;margin-right:.4em}"
      "table{border-collapse:collapse;font-size:13px;margin:.6em 0}td,th{padding:.15em .7em .15em 0;text-align:left;"
      "border-bottom:1px solid var(--line)}.wide{overflow-x:auto}.none{color:var(--dim)}</style>";
  out += fmt::format("<h1>Value and money</h1><p>{} predictions, {} outcomes, {} reconciliations, {} postings.</p>",
                     human_count(f.counts.predictions), human_count(f.counts.outcomes),
                     human_count(f.counts.reconciliations), human_count(f.counts.ledger.postings));
  out += "<h2>What a datapack is worth</h2>" + pack_html(f);
  out += "<h2>Ledger</h2>" + ledger_html(f);
  out += "<h2>How wrong the fleet is</h2>" + errors_html(f) + study_html(f);
  out += fmt::format("<h2>The market for data</h2><p>{} simulated customers, seed {}.</p>", f.market.config.customers,
                     f.market.seed) +
         market_html(f);
  return out + "</html>\n";
}

Json numbers(const Facts& f) {
  Json balances = Json::array(), curve = Json::array(), steps = Json::array(), value = Json::array();
  for (const auto& b : f.balances)
    balances.push_back({{"account", b.account}, {"currency", b.currency}, {"balance", storage::micro_text(b.micro)}});
  for (const auto& p : curve_of(f))
    curve.push_back({{"reconciliations", p.reconciliations}, {"model", p.model}, {"no_change", p.start}});
  if (f.pack) {
    for (const Step& s : steps_of(*f.pack)) steps.push_back({{"step", s.title}, {"usd_per_h", s.value}});
    for (const Step& s : value_steps(*f.pack)) value.push_back({{"step", s.title}, {"J", s.value}});
  }
  return {{"predictions", f.counts.predictions},
          {"outcomes", f.counts.outcomes},
          {"reconciliations", f.counts.reconciliations},
          {"postings", f.counts.ledger.postings},
          {"digest", to_hex(f.counts.ledger.digest)},
          {"difference", f.difference},
          {"balances", std::move(balances)},
          {"errors", std::move(curve)},
          {"datapack", f.pack ? Json(f.pack->pack_id) : Json()},
          {"waterfall", std::move(steps)},
          {"value_waterfall", std::move(value)},
          {"study", f.study.is_object() ? f.study : Json()},
          {"market", Json::parse(econ::to_json(f.market))}};
}

Status gather_books(const Options& o, Facts& f) {
  econ::CentralEconOptions options;
  options.folder = econ_folder(o.store);
  options.access = storage::Access::read_only;
  DROVER_ASSIGN(const auto books, econ::CentralEcon::open(options));
  DROVER_ASSIGN(f.counts, books->counts());
  DROVER_TRY(books->for_each_result([&](const econ::Reconciliation& r) -> Result<bool> {
    f.results.push_back(r);
    if (o.pack.empty() || r.pack_id == o.pack) f.of_pack = r;
    return true;
  }));
  return books->env().read([&](const storage::ReadTxn& txn) -> Status {
    DROVER_ASSIGN(f.balances, books->ledger().balances(txn));
    DROVER_ASSIGN(const auto verdict, books->ledger().verify(txn));
    f.difference = verdict.difference;
    return books->ledger().for_each(txn, {}, [&](const Hash& id, const storage::Posting& p) -> Result<bool> {
      if (f.postings.size() == postings_shown) f.postings.erase(f.postings.begin());
      f.postings.emplace_back(id, p);
      return true;
    });
  });
}

Result<Facts> gather(const Options& o) {
  Facts f;
  DROVER_TRY(open_books(o.store));  // says what is missing
  DROVER_TRY(gather_books(o, f));
  DROVER_ASSIGN(const auto store, open_central(o.store, storage::Access::read_only));
  const std::string pack = !o.pack.empty() ? o.pack : f.of_pack ? f.of_pack->pack_id : std::string();
  if (!pack.empty()) {
    DROVER_ASSIGN(
        f.pack, store->central_env().read([&](const storage::ReadTxn& txn) { return store->packs().get(txn, pack); }));
  }
  if (!o.pack.empty() && !f.pack) return fail(Errc::not_found, o.pack, "no such datapack in the store");
  std::ifstream study(o.store + "/study.json");
  if (study) f.study = Json::parse(study, nullptr, false);
  econ::MarketConfig market;
  if (!o.market.empty()) {
    DROVER_ASSIGN(market, econ::load_market(o.market));
  }
  std::vector<double> rates;
  for (int i = 0; i <= 10; ++i) rates.push_back(0.1 * i);
  DROVER_ASSIGN(f.market, econ::market_sweep(market, rates, o.seed));
  return f;
}

Status write_file(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  return out ? Status{} : fail(Errc::io, path, "cannot be written");
}

Status report(const Options& o) {
  DROVER_ASSIGN(const Facts facts, gather(o));
  std::error_code failed;
  std::filesystem::create_directories(o.out, failed);
  if (failed) return fail(Errc::io, o.out, failed.message());
  DROVER_TRY(write_file(o.out + "/econ.html", page(facts)));
  DROVER_TRY(write_file(o.out + "/econ.json", numbers(facts).dump(1) + "\n"));
  std::printf("%s/econ.html\n%s/econ.json\n", o.out.c_str(), o.out.c_str());
  return {};
}

}  // namespace

EconPart add_econ_report(CLI::App& app) {
  const auto o = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand("report", "one page: worth of a datapack, ledger, error curve, market for data");
  sub->add_option("--store", o->store, "folder of a coordinator's store")->required();
  sub->add_option("--out", o->out, "folder for econ.html and econ.json")->required();
  sub->add_option("--pack", o->pack, "datapack of the waterfall; default: the one reconciled last");
  sub->add_option("--market", o->market, "configuration of the market, configs/econ/market.toml; default: built in");
  sub->add_option("--seed", o->seed, "of the market")->capture_default_str();
  return [o, sub]() -> std::optional<int> {
    if (!sub->parsed()) return std::nullopt;
    const Status done = report(*o);
    return done ? int{exit_ok} : report_failure(name, done.error());
  };
}

}  // namespace drover::nodes

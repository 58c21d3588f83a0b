#include "actors/econ/market.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "actors/econ/draw.hpp"
#include "actors/econ/strict_toml.hpp"

namespace drover::econ {
namespace {

using nlohmann::ordered_json;

constexpr size_t rates_max = 1000;
constexpr double whole_share = 1 - 1e-9;  // from here on all sites share

struct Customer {
  double hours = 0;
  double novelty = 0;
  double valuation_usd_per_h = 0;
  double mpl_factor = 1;
  double error_rate = 0;
};

// What a customer chooses and pays, given D.
struct Choice {
  double share = 0;      // of the sites
  double price_usd = 0;  // all sites
  double sharing_cost_usd = 0;
  double cap_usd = 0;
};

std::vector<Customer> draw_customers(const MarketConfig& c, uint64_t seed) {
  Draw draw(seed);
  std::vector<Customer> out(static_cast<size_t>(c.customers));
  for (Customer& one : out) {
    one.hours = draw.between(c.hours_min, c.hours_max);
    one.novelty = draw.unit();
    one.valuation_usd_per_h = draw.skewed(c.valuation_usd_per_h);
    one.mpl_factor = draw.between(1 - c.mpl_spread, 1 + c.mpl_spread);
    one.error_rate = draw.between(0, c.error_rate_max);
  }
  return out;
}

class Market {
 public:
  Market(const MarketConfig& config, std::vector<Customer> customers, double rate)
      : config_(config), customers_(std::move(customers)), rate_(rate) {
    for (const Customer& one : customers_) {
      fleet_h_ += one.hours;
      novel_all_h_ += one.hours * one.novelty;
    }
  }

  // Everybody's choice when D novel hours are shared. Sets novel() to what they then share.
  Result<std::vector<Choice>> choices(double novel_h) {
    std::vector<Choice> out;
    out.reserve(customers_.size());
    answered_h_ = 0;
    for (const Customer& one : customers_) {
      DROVER_ASSIGN(const Choice choice, choose(one, novel_h));
      answered_h_ += choice.share * rate_ * one.novelty * one.hours;
      out.push_back(choice);
    }
    return out;
  }

  Result<MarketRow> solve();

 private:
  double gain(double novel_h) const { return config_.gain_max * novel_h / (novel_h + config_.half_data_h); }
  Result<Choice> choose(const Customer& one, double novel_h) const;
  Result<QuoteInputs> inputs(const Customer& one, double novel_h) const;
  MarketRow row_of(const std::vector<Choice>& choices, double novel_h) const;

  const MarketConfig& config_;
  std::vector<Customer> customers_;
  double rate_;
  double fleet_h_ = 0;
  double novel_all_h_ = 0;
  double answered_h_ = 0;
};

Result<QuoteInputs> Market::inputs(const Customer& one, double novel_h) const {
  const MarketConfig& c = config_;
  QuoteInputs in;
  const double mpl = c.base_mpl_units_per_h * one.mpl_factor * (1 + gain(novel_h));
  const double wage = implied_wage_usd_per_h({c.price_per_unit_usd, c.damage_cost_usd, one.error_rate, mpl});
  DROVER_ASSIGN(in.price_per_unit, to_micro_usd(c.price_per_unit_usd));
  DROVER_ASSIGN(in.robot_wage_per_h, to_micro_usd(wage));
  DROVER_ASSIGN(in.human_wage_per_h, to_micro_usd(c.human_wage_usd_per_h));
  in.kappa = c.kappa;
  const double tail = novel_h + c.half_data_h;
  const double marginal = c.base_mpl_units_per_h * c.gain_max * c.half_data_h / (tail * tail);  // per novel hour
  // The improvement works in the whole fleet: its value over the customer's own hours is scaled by fleet / own.
  in.delta_mpl_units_per_h = marginal * one.novelty * one.hours * (fleet_h_ / one.hours);
  in.contract.customer_id = "market";
  DROVER_ASSIGN(in.contract.horizon_ns, ns_of_hours(one.hours, "hours"));
  DROVER_ASSIGN(in.contract.discount_parts, parts_of(c.discount_rate, "discount_rate"));
  DROVER_ASSIGN(in.contract.premium_parts, parts_of(c.premium_rate, "premium_rate"));
  return in;
}

Result<Choice> Market::choose(const Customer& one, double novel_h) const {
  DROVER_ASSIGN(QuoteInputs in, inputs(one, novel_h));
  in.contract.withheld_parts = share_parts;
  in.contract.tier = SharingTier::no_share;
  DROVER_ASSIGN(const Quote withhold, quote(in));
  DROVER_ASSIGN(in.contract.withheld_parts, parts_of(1 - rate_, "rate"));
  in.contract.tier = tier_of_withheld(in.contract.withheld_parts);
  // A sharing site's part of the spread it caused comes back as a rebate.
  const MicroUsd spread = std::max<MicroUsd>(in.robot_wage_per_h - in.human_wage_per_h, 0);
  const int64_t cause = customer_share_parts(rate_ * one.novelty * one.hours, std::max(novel_h, novel_all_h_ * 1e-3));
  in.rebate_per_h = static_cast<MicroUsd>(static_cast<double>(spread) * static_cast<double>(cause) / 1e9);
  DROVER_ASSIGN(const Quote share, quote(in));
  const double usd = static_cast<double>(micro_usd_per_usd);
  const double saving = static_cast<double>(withhold.final_price - share.final_price) / usd;
  const double cost = (rate_ * one.valuation_usd_per_h + config_.overhead_usd_per_h) * one.hours;
  Choice choice;
  choice.share = std::clamp(0.5 + (saving - cost) / (config_.valuation_width_usd_per_h * one.hours), 0.0, 1.0);
  if (rate_ <= 0) choice.share = 0;  // nothing is asked, nothing is shared
  choice.price_usd = (choice.share * static_cast<double>(share.final_price) +
                      (1 - choice.share) * static_cast<double>(withhold.final_price)) /
                     usd;
  choice.sharing_cost_usd = choice.share * cost;
  choice.cap_usd = static_cast<double>(withhold.cap) / usd;
  return choice;
}

// Damped: the step is halved whenever the residual changes its sign, and grows again slowly while it does not.
Result<MarketRow> Market::solve() {
  double novel_h = 0;
  double step = 0.5;
  double before = 0;
  const double scale = std::max(novel_all_h_, 1.0);
  std::vector<Choice> chosen;
  MarketRow row;
  for (int64_t i = 1; i <= config_.iterations_max; ++i) {
    DROVER_ASSIGN(chosen, choices(novel_h));
    const double off = answered_h_ - novel_h;
    row.iterations = i;
    row.residual = std::abs(off) / scale;
    row.converged = row.residual <= config_.tolerance;
    if (row.converged || i == config_.iterations_max) break;
    step = before * off < 0 ? step / 2 : std::min(step * 1.1, 1.0);
    before = off;
    novel_h = std::max(novel_h + step * off, 0.0);
  }
  MarketRow full = row_of(chosen, novel_h);
  full.iterations = row.iterations;
  full.residual = row.residual;
  full.converged = row.converged;
  return full;
}

MarketRow Market::row_of(const std::vector<Choice>& choices, double novel_h) const {
  MarketRow row;
  row.rate = rate_;
  row.novel_h = novel_h;
  double cap_usd = 0;
  double sharing_cost_usd = 0;
  for (size_t i = 0; i < choices.size(); ++i) {
    const Choice& one = choices[i];
    const double hours = customers_[i].hours;
    TierRow& tier = one.share >= whole_share ? row.full : one.share <= 0 ? row.none : row.partial;
    ++tier.customers;
    tier.hours += hours;
    tier.price_mean_usd_per_h += one.price_usd;
    row.collected_h += one.share * rate_ * hours;
    row.revenue_usd += one.price_usd;
    cap_usd += one.cap_usd;
    sharing_cost_usd += one.sharing_cost_usd;
    if (one.price_usd > one.cap_usd * (1 + 1e-12)) ++row.over_human_wage;
  }
  for (TierRow* tier : {&row.full, &row.partial, &row.none})
    if (tier->hours > 0) tier->price_mean_usd_per_h /= tier->hours;
  row.withheld_h = fleet_h_ - row.collected_h;
  row.price_mean_usd_per_h = row.revenue_usd / fleet_h_;
  row.mpl_improvement = gain(novel_h);
  row.mpl_units_per_h = config_.base_mpl_units_per_h * (1 + row.mpl_improvement);
  row.customer_surplus_usd = cap_usd - row.revenue_usd;
  row.net_surplus_usd = row.customer_surplus_usd - sharing_cost_usd;
  return row;
}

ordered_json json_of(const TierRow& tier) {
  return {{"customers", tier.customers}, {"hours", tier.hours}, {"price_mean_usd_per_h", tier.price_mean_usd_per_h}};
}

ordered_json json_of(const MarketConfig& c) {
  return {{"customers", c.customers},
          {"price_per_unit_usd", c.price_per_unit_usd},
          {"damage_cost_usd", c.damage_cost_usd},
          {"human_wage_usd_per_h", c.human_wage_usd_per_h},
          {"base_mpl_units_per_h", c.base_mpl_units_per_h},
          {"mpl_spread", c.mpl_spread},
          {"error_rate_max", c.error_rate_max},
          {"hours_min", c.hours_min},
          {"hours_max", c.hours_max},
          {"valuation_usd_per_h", c.valuation_usd_per_h},
          {"valuation_width_usd_per_h", c.valuation_width_usd_per_h},
          {"overhead_usd_per_h", c.overhead_usd_per_h},
          {"gain_max", c.gain_max},
          {"half_data_h", c.half_data_h},
          {"kappa", c.kappa},
          {"discount_rate", c.discount_rate},
          {"premium_rate", c.premium_rate},
          {"iterations_max", c.iterations_max},
          {"tolerance", c.tolerance}};
}

}  // namespace

Result<MarketConfig> parse_market(std::string_view toml_text, const std::string& file) {
  DROVER_ASSIGN(const toml::table root, parse_toml(toml_text, file));
  TomlProblems problems(file);
  StrictTable t(root, "", problems);
  MarketConfig c;
  t.integer("customers", c.customers, 1, 100'000);
  t.number("price_per_unit_usd", c.price_per_unit_usd, {0, 1e6});
  t.number("damage_cost_usd", c.damage_cost_usd, {0, 1e6});
  t.number("human_wage_usd_per_h", c.human_wage_usd_per_h, {0, 1e6, true});
  t.number("base_mpl_units_per_h", c.base_mpl_units_per_h, {0, 1e6, true});
  t.number("mpl_spread", c.mpl_spread, {0, 0.999});
  t.number("error_rate_max", c.error_rate_max, {0, 1});
  t.number("hours_min", c.hours_min, {0, 1e5, true});
  t.number("hours_max", c.hours_max, {0, 1e5, true});
  t.number("valuation_usd_per_h", c.valuation_usd_per_h, {0, 1e6});
  t.number("valuation_width_usd_per_h", c.valuation_width_usd_per_h, {0, 1e6, true});
  t.number("overhead_usd_per_h", c.overhead_usd_per_h, {0, 1e6});
  t.number("gain_max", c.gain_max, {0, 100});
  t.number("half_data_h", c.half_data_h, {0, 1e12, true});
  t.number("kappa", c.kappa, {0, 1});
  t.number("discount_rate", c.discount_rate, {0, 1});
  t.number("premium_rate", c.premium_rate, {0, 1});
  t.integer("iterations_max", c.iterations_max, 1, 100'000);
  t.number("tolerance", c.tolerance, {0, 1, true});
  if (c.hours_max < c.hours_min) t.problem("hours_max", "must not be below hours_min");
  t.finish();
  DROVER_TRY(problems.status());
  return c;
}

Result<MarketConfig> load_market(const std::string& path) {
  DROVER_ASSIGN(const std::string text, read_small_file(path));
  return parse_market(text, path);
}

Result<MarketSweep> market_sweep(const MarketConfig& config, const std::vector<double>& rates, uint64_t seed) {
  if (rates.empty() || rates.size() > rates_max)
    return fail(Errc::invalid_argument, "rates", "needs 1 to 1000 sharing rates");
  if (config.customers < 1 || config.customers > 100'000)
    return fail(Errc::invalid_argument, "customers", "must be in [1, 100000]");
  MarketSweep sweep{seed, config, {}};
  for (const double rate : rates) {
    if (!(rate >= 0 && rate <= 1)) return fail(Errc::invalid_argument, "rates", "a sharing rate must be in [0, 1]");
    Market market(config, draw_customers(config, seed), rate);  // the same customers at every rate
    DROVER_ASSIGN(const MarketRow row, market.solve());
    sweep.rows.push_back(row);
  }
  return sweep;
}

std::string to_json(const MarketSweep& sweep) {
  ordered_json rows = ordered_json::array();
  for (const MarketRow& r : sweep.rows)
    rows.push_back({{"rate", r.rate},
                    {"converged", r.converged},
                    {"iterations", r.iterations},
                    {"residual", r.residual},
                    {"collected_h", r.collected_h},
                    {"withheld_h", r.withheld_h},
                    {"novel_h", r.novel_h},
                    {"full_share", json_of(r.full)},
                    {"partial_share", json_of(r.partial)},
                    {"no_share", json_of(r.none)},
                    {"price_mean_usd_per_h", r.price_mean_usd_per_h},
                    {"mpl_units_per_h", r.mpl_units_per_h},
                    {"mpl_improvement", r.mpl_improvement},
                    {"customer_surplus_usd", r.customer_surplus_usd},
                    {"net_surplus_usd", r.net_surplus_usd},
                    {"revenue_usd", r.revenue_usd},
                    {"over_human_wage", r.over_human_wage}});
  return ordered_json{{"seed", sweep.seed}, {"config", json_of(sweep.config)}, {"rows", rows}}.dump();
}

}  // namespace drover::econ

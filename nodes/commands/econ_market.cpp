// drover econ market: what sharing rates and prices lead to, and the guarantee of pricing tried on random cases.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "actors/econ/market.hpp"
#include "actors/econ/surplus.hpp"
#include "nodes/commands/econ.hpp"
#include "nodes/commands/store_access.hpp"
#include "nodes/commands/table.hpp"

namespace drover::nodes {
namespace {

constexpr const char* name = "drover econ market";

struct Options {
  std::string config;
  std::optional<int64_t> customers;
  std::optional<int64_t> iterations;
  std::vector<double> rates;
  uint64_t seed = 1;
  uint64_t check_cases = 0;
  bool json = false;
  CLI::App* app = nullptr;
};

Result<econ::MarketConfig> config_of(const Options& o) {
  econ::MarketConfig config;
  if (!o.config.empty()) {
    DROVER_ASSIGN(config, econ::load_market(o.config));
  }
  if (o.customers) config.customers = *o.customers;
  if (o.iterations) config.iterations_max = *o.iterations;
  return config;
}

std::string price(const econ::TierRow& tier) {
  return tier.customers == 0 ? "-" : human_number(tier.price_mean_usd_per_h, 3);
}

// Whole units; what rounding left below zero is zero.
std::string whole(double value) {
  return human_count(static_cast<uint64_t>(std::max(value, 0.0)));
}

void show(const econ::MarketSweep& sweep) {
  std::printf("seed %s, %s customers, w_h %s $/h\n\n", std::to_string(sweep.seed).c_str(),
              human_count(static_cast<uint64_t>(sweep.config.customers)).c_str(),
              human_number(sweep.config.human_wage_usd_per_h, 2).c_str());
  Table table({">RATE", ">SHARED h", ">WITHHELD h", ">ALL/PART/NONE", ">$/h ALL", ">PART", ">NONE", ">MEAN", ">MPL",
               ">SURPLUS $", ">NET $", "!FIXED POINT"});
  size_t open = 0;
  for (const econ::MarketRow& r : sweep.rows) {
    open += r.converged ? 0 : 1;
    table.row({human_number(r.rate, 2), whole(r.collected_h), whole(r.withheld_h),
               fmt::format("{}/{}/{}", r.full.customers, r.partial.customers, r.none.customers), price(r.full),
               price(r.partial), price(r.none), human_number(r.price_mean_usd_per_h, 3),
               fmt::format("{:+.1f} %", 100 * r.mpl_improvement), whole(r.customer_surplus_usd),
               fmt::format("{:.0f}", r.net_surplus_usd),
               r.converged ? fmt::format("{} steps", r.iterations)
                           : fmt::format("NOT FOUND ({} steps, {:.0e})", r.iterations, r.residual)});
  }
  print_text(table.text());
  if (open > 0)
    std::printf("\n%s of %s rates did not converge: raise iterations_max, or read those rows as a moment on the way\n",
                human_count(open).c_str(), human_count(sweep.rows.size()).c_str());
}

int check(const Options& o) {
  const econ::SurplusCheck c = econ::check_surplus(o.check_cases, o.seed);
  if (o.json) {
    print_text(Json{{"seed", c.seed},
                    {"cases", c.cases},
                    {"quotes", c.quotes},
                    {"violations", c.violations},
                    {"first_violation", c.first_violation},
                    {"at_the_cap", c.at_the_cap},
                    {"splits_with_spread", c.splits_with_spread}}
                   .dump() +
               "\n");
  } else {
    std::printf("seed %s: %s cases, %s whole quotes (%s ended at w_h * hours), %s spreads split\n",
                std::to_string(c.seed).c_str(), human_count(c.cases).c_str(), human_count(c.quotes).c_str(),
                human_count(c.at_the_cap).c_str(), human_count(c.splits_with_spread).c_str());
    std::printf("customer cost above w_h, or rebate + captured not equal to spread * hours: %s\n",
                human_count(c.violations).c_str());
    if (c.violations > 0) std::printf("first: %s\n", c.first_violation.c_str());
  }
  return c.violations == 0 ? exit_ok : exit_failed;
}

int sweep(const Options& o) {
  const auto config = config_of(o);
  if (!config) return report_failure(name, config.error(), exit_config);
  std::vector<double> rates = o.rates;
  if (rates.empty())
    for (int i = 0; i <= 10; ++i) rates.push_back(i / 10.0);
  const auto result = econ::market_sweep(*config, rates, o.seed);
  if (!result) return report_failure(name, result.error());
  if (o.json) {
    print_text(econ::to_json(*result) + "\n");
  } else {
    show(*result);
  }
  return exit_ok;
}

}  // namespace

EconPart add_econ_market(CLI::App& app) {
  const auto o = std::make_shared<Options>();
  o->app = app.add_subcommand("market", "simulate who shares data at which prices, and what comes of it");
  o->app->add_option("--config", o->config, "market to simulate, as configs/econ/market.toml");
  o->app->add_option("--customers", o->customers, "instead of the configuration's");
  o->app->add_option("--rates", o->rates, "sharing rates to ask for, 0..1 (default: 0, 0.1 .. 1)")->delimiter(',');
  o->app->add_option("--seed", o->seed, "of the customers drawn")->capture_default_str();
  o->app->add_option("--iterations", o->iterations, "most steps to the fixed point of a rate");
  o->app->add_option("--check-surplus", o->check_cases, "instead: try the pricing guarantee on so many random cases");
  o->app->add_flag("--json", o->json, "print JSON");
  o->app->footer(
      "A rate is the share of its data that a sharing site is asked for. ALL/PART/NONE: customers whose sites all\n"
      "share, partly, not at all; then what they pay. MPL against no shared data. SURPLUS: w_h * hours - price; NET:\n"
      "less what sharing costs its owners. Same seed, same result.\n\n"
      "Examples:\n"
      "  drover econ market --config configs/econ/market.toml --rates 0,0.25,0.5,1 --seed 7\n"
      "  drover econ market --check-surplus 1000000\n");
  return [o]() -> std::optional<int> {
    if (!o->app->parsed()) return std::nullopt;
    return o->check_cases > 0 ? check(*o) : sweep(*o);
  };
}

}  // namespace drover::nodes

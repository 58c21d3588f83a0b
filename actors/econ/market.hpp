// The market for data: N customers with drawn valuations decide whether to share at the prices that follow from what
// all of them share. The fixed point of that is looked for, for each sharing rate asked.
//
// A customer has sites (robot hours), of which a part shares. A sharing site gives the rate asked (r) of its data and
// withholds S = 1 - r; the others withhold all (S = 1). With D the novel hours of data that are shared:
//
//   gain g(D)   = gain_max * D / (D + half_data_h)           MPL = base * (1 + g): more data helps, less and less
//   E[dMPL_i]   = base * gain_max * half_data_h / (D + half_data_h)^2 * novelty_i * hours_i
//   prices      = quote() with the fleet's hours as what the improvement works for, per customer and choice
//   share_i     = clamp(1/2 + (price_withhold - price_share - r*v_i*hours_i - overhead*hours_i) / (width*hours_i), 0,
//   1) D'          = sum over i of share_i * r * novelty_i * hours_i
//
// What others share makes mine worth less, and what all share raises everybody's wage towards the cap; a D with D' = D
// is looked for from D = 0 by damped iteration. If the residual |D' - D| / D_all is not below the tolerance after the
// iterations allowed, the row says so. Same seed and configuration, same rows.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "actors/econ/quote.hpp"
#include "messages/result.hpp"

namespace drover::econ {

// configs/econ/market.toml explains every key.
struct MarketConfig {
  int64_t customers = 200;                   // 1 .. 100'000
  double price_per_unit_usd = 0.5;           // p
  double damage_cost_usd = 5;                // c_d
  double human_wage_usd_per_h = 18;          // w_h
  double base_mpl_units_per_h = 40;          // without any shared data, of an average site
  double mpl_spread = 0.2;                   // sites' own factor is drawn in 1 +- this, [0, 1)
  double error_rate_max = 0.05;              // drawn in [0, this]
  double hours_min = 100, hours_max = 2000;  // robot hours per customer in the horizon, drawn
  double valuation_usd_per_h = 0.4;          // median of what an hour of data is worth to its owner, skewed
  double valuation_width_usd_per_h = 0.2;    // how far a customer's sites differ in that, > 0
  double overhead_usd_per_h = 0.02;          // of a sharing site: staff, links
  double gain_max = 0.25;                    // largest relative gain of MPL by data
  double half_data_h = 40'000;               // novel hours of data that bring half of it, > 0
  double kappa = 0.7;                        // confidence discount of quotes, [0, 1]
  double discount_rate = 0.6;                // [0, 1]
  double premium_rate = 0.6;                 // [0, 1]
  int64_t iterations_max = 400;              // 1 .. 100'000
  double tolerance = 1e-7;                   // of the residual, > 0
  bool operator==(const MarketConfig&) const = default;
};

Result<MarketConfig> parse_market(std::string_view toml_text, const std::string& file);
Result<MarketConfig> load_market(const std::string& path);

struct TierRow {
  int64_t customers = 0;            // whose sites all share, partly, not at all
  double hours = 0;                 // of robot time
  double price_mean_usd_per_h = 0;  // what they pay, weighted by hours; 0 without customers
};

struct MarketRow {
  double rate = 0;  // asked
  bool converged = false;
  int64_t iterations = 0;
  double residual = 0;     // |F(D) - D| / D_all
  double collected_h = 0;  // hours of data that are shared
  double withheld_h = 0;
  double novel_h = 0;  // D
  TierRow full, partial, none;
  double price_mean_usd_per_h = 0;
  double mpl_units_per_h = 0;       // of an average site
  double mpl_improvement = 0;       // relative to no data
  double customer_surplus_usd = 0;  // w_h * hours - price, all customers
  double net_surplus_usd = 0;       // less what sharing costs its owners
  double revenue_usd = 0;           // what customers pay
  int64_t over_human_wage = 0;      // customers that pay more than w_h: always 0
};

struct MarketSweep {
  uint64_t seed = 0;
  MarketConfig config;
  std::vector<MarketRow> rows;  // in the order of the rates
};

// Errors: invalid_argument (a rate outside [0, 1], none, more than 1000), those of quote().
Result<MarketSweep> market_sweep(const MarketConfig& config, const std::vector<double>& rates, uint64_t seed);

// One JSON object; equal sweeps give equal bytes.
std::string to_json(const MarketSweep& sweep);

}  // namespace drover::econ

// Economic preset: the prices and weights under which episodes are valued, read from a TOML file.
//
// Every key, its unit, range and default stand at the fields below and in configs/econ/README.md.
// Unknown keys, wrong types and values outside their range are errors; all are reported at once,
// one line each: "file:line: key: what is wrong".
#pragma once

#include <string>
#include <string_view>

#include "actors/econ/objective.hpp"
#include "messages/result.hpp"

namespace drover::econ {

struct EconPreset {
  std::string name;                        // [A-Za-z0-9._-]{1,64}; recorded in every datapack as condition.econ_preset
  std::string description;                 // free text
  double price_per_unit_usd = 5.0;         // p [$ per good unit], >= 0
  double damage_cost_usd = 50.0;           // c_d [$ per error], >= 0
  double human_wage_usd_per_h = 18.0;      // w_h [$ per h], > 0
  double energy_price_usd_per_kWh = 0.12;  // [$ per kWh], >= 0
  double wage_smoothing = 0.1;             // a, weight of a new market wage, [0, 1]
  double safety_penalty = default_safety_penalty;  // safety bonus of a violated episode, <= 0
  double w_econ = 1.0;                             // economic weight of a record until the lattice weighs it, >= 0
  double energy_driver_share = 0.3;                // a part using at least this share of the energy is a driver, (0, 1]
  double long_reach_share = 0.85;  // reach over maximum reach from which a motion is a long reach, (0, 1]
  Objective objective;             // weights [mpl, error, ep, safety], each >= 0
  bool operator==(const EconPreset&) const = default;
};

// Parses TOML text; `file` is used in messages only. Error: invalid_argument, every problem in `what`.
Result<EconPreset> parse_econ_preset(std::string_view toml_text, const std::string& file);

// Reads a file (at most 1 MiB). Errors: not_found, io, too_large, invalid_argument.
Result<EconPreset> load_econ_preset(const std::string& path);

}  // namespace drover::econ

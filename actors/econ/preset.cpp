#include "actors/econ/preset.hpp"

#include <algorithm>
#include <cctype>

#include "actors/econ/strict_toml.hpp"

namespace drover::econ {
namespace {

constexpr double usd_max = 1e9;
constexpr double weight_max = 1e6;

bool good_name(const std::string& name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-';
  });
}

}  // namespace

Result<EconPreset> parse_econ_preset(std::string_view toml_text, const std::string& file) {
  DROVER_ASSIGN(const toml::table root, parse_toml(toml_text, file));
  TomlProblems problems(file);
  StrictTable top(root, "", problems);
  EconPreset p;
  if (top.text("name", p.name, true) && !good_name(p.name))
    top.problem("name", "needs 1 to 64 letters, digits, '.', '_' or '-'");
  top.text("description", p.description);
  top.number("price_per_unit_usd", p.price_per_unit_usd, {0, usd_max}, true);
  top.number("damage_cost_usd", p.damage_cost_usd, {0, usd_max}, true);
  top.number("human_wage_usd_per_h", p.human_wage_usd_per_h, {0, usd_max, true}, true);
  top.number("energy_price_usd_per_kWh", p.energy_price_usd_per_kWh, {0, usd_max}, true);
  top.number("wage_smoothing", p.wage_smoothing, {0, 1});
  top.number("safety_penalty", p.safety_penalty, {-weight_max, 0});
  top.number("w_econ", p.w_econ, {0, weight_max});
  top.number("energy_driver_share", p.energy_driver_share, {0, 1, true});
  top.number("long_reach_share", p.long_reach_share, {0, 1, true});
  if (const toml::table* weights = top.table("objective")) {
    StrictTable table(*weights, "objective.", problems);
    table.number("mpl", p.objective.mpl, {0, weight_max});
    table.number("error", p.objective.error, {0, weight_max});
    table.number("ep", p.objective.ep, {0, weight_max});
    table.number("safety", p.objective.safety, {0, weight_max});
    table.finish();
  }
  top.finish();
  DROVER_TRY(problems.status());
  return p;
}

Result<EconPreset> load_econ_preset(const std::string& path) {
  DROVER_ASSIGN(const std::string text, read_small_file(path));
  return parse_econ_preset(text, path);
}

}  // namespace drover::econ

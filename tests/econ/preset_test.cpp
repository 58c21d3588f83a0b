// Presets: the shipped files parse, and everything wrong in a file is reported at once with file, line and key.
#include "actors/econ/preset.hpp"

#include <doctest/doctest.h>

#include <cstdlib>

using namespace drover;
using namespace drover::econ;

namespace {

std::string source_dir() {
  const char* dir = std::getenv("DROVER_SOURCE_DIR");
  return dir != nullptr ? dir : "";
}

constexpr std::string_view good = R"(name = "line-3"
price_per_unit_usd = 2
damage_cost_usd = 20.5
human_wage_usd_per_h = 18.0
energy_price_usd_per_kWh = 0.12
[objective]
mpl = 2.0
)";

}  // namespace

TEST_CASE("econ/preset: required keys are read, the others keep their defaults") {
  const auto p = parse_econ_preset(good, "line.toml");
  REQUIRE(p);
  CHECK(p->name == "line-3");
  CHECK(p->price_per_unit_usd == 2);
  CHECK(p->damage_cost_usd == 20.5);
  CHECK(p->objective == Objective{2.0, 1.0, 1.0, 0.5});
  CHECK(p->wage_smoothing == 0.1);
  CHECK(p->safety_penalty == -10);
  CHECK(p->w_econ == 1);
}

TEST_CASE("econ/preset: every problem of a file is reported at once, by line") {
  const auto p = parse_econ_preset(R"(name = "bad name"
price_per_unit_usd = "5"
damage_cost_usd = -1
human_wage_usd_per_h = 0
price_per_unit = 3
wage_smoothing = nan
objective = { mpl = true, speed = 1.0 }
)",
                                   "bad.toml");
  REQUIRE(!p);
  CHECK(p.error().code == Errc::invalid_argument);
  CHECK(p.error().where == "bad.toml");
  CHECK(p.error().what ==
        "9 problem(s)\n"
        "bad.toml:1: name: needs 1 to 64 letters, digits, '.', '_' or '-'\n"
        "bad.toml:1: energy_price_usd_per_kWh: missing, and it has no default\n"
        "bad.toml:2: price_per_unit_usd: must be a number, is a string\n"
        "bad.toml:3: damage_cost_usd: is -1, allowed is from 0 to 1e+09\n"
        "bad.toml:4: human_wage_usd_per_h: is 0, allowed is above 0 to 1e+09\n"
        "bad.toml:5: price_per_unit: unknown key; known here: damage_cost_usd, description, energy_driver_share, "
        "energy_price_usd_per_kWh, human_wage_usd_per_h, long_reach_share, name, objective, price_per_unit_usd, "
        "safety_penalty, w_econ, wage_smoothing\n"
        "bad.toml:6: wage_smoothing: is nan, allowed is from 0 to 1\n"
        "bad.toml:7: objective.mpl: must be a number, is a boolean\n"
        "bad.toml:7: objective.speed: unknown key; known here: ep, error, mpl, safety");
}

TEST_CASE("econ/preset: a syntax error names line and column") {
  const auto p = parse_econ_preset("name = \"x\"\nprice = = 3\n", "broken.toml");
  REQUIRE(!p);
  CHECK(p.error().where.starts_with("broken.toml:2:"));
}

TEST_CASE("econ/preset: a file that is not there is not_found") {
  CHECK(load_econ_preset("/nonexistent/econ.toml").error().code == Errc::not_found);
  CHECK(load_econ_preset("/").error().code == Errc::io);
}

TEST_CASE("econ/preset: the shipped presets parse and carry their file's name") {
  if (source_dir().empty()) {
    MESSAGE("skipped: DROVER_SOURCE_DIR is not set");
    return;
  }
  for (const char* name : {"default", "drawer_vase"}) {
    const auto p = load_econ_preset(source_dir() + "/configs/econ/" + name + ".toml");
    REQUIRE_MESSAGE(p, (p ? "" : p.error().message()));
    CHECK(p->name == name);
  }
}

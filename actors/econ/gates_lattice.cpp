#include "actors/econ/gates_lattice.hpp"

#include <algorithm>
#include <cmath>

#include "actors/econ/gates_toml.hpp"

namespace drover::gates {
namespace {

constexpr size_t knots_max = 256;
constexpr double mass_max = 1e6;

void read_calibrator(const toml::table& node, std::string_view name, Calibrator& out, econ::TomlProblems& problems) {
  econ::StrictTable table(node, "calibrate." + std::string(name) + ".", problems);
  out.at = numbers(table, "at");
  out.steps = numbers(table, "steps");
  if (out.at.size() < 2 || out.at.size() > knots_max) {
    table.problem("at", "needs 2 to 256 knots");
  } else if (std::adjacent_find(out.at.begin(), out.at.end(), [](double a, double b) { return !(a < b); }) !=
             out.at.end()) {
    table.problem("at", "knots must rise");
  }
  if (out.steps.size() + 1 != out.at.size()) table.problem("steps", "needs one step between each two knots");
  if (std::any_of(out.steps.begin(), out.steps.end(), [](double s) { return s < 0 || s > mass_max; }))
    table.problem("steps", "must not be negative: the lattice is monotone");
  table.finish();
}

// The bit set of the inputs that a [[mass]] names.
size_t set_of(const std::vector<std::string>& names, econ::StrictTable& table) {
  size_t set = 0;
  for (const std::string& name : names) {
    const auto at = std::find(lattice_input_names.begin(), lattice_input_names.end(), name);
    if (at == lattice_input_names.end()) {
      table.problem("inputs", "there is no input \"" + name.substr(0, 80) + "\"");
      continue;
    }
    const size_t bit = size_t{1} << static_cast<size_t>(at - lattice_input_names.begin());
    if ((set & bit) != 0) table.problem("inputs", "\"" + name + "\" is there twice");
    set |= bit;
  }
  return set;
}

void read_masses(econ::StrictTable& top, std::array<double, size_t{1} << lattice_inputs>& masses,
                 econ::TomlProblems& problems) {
  const toml::array* tables = top.array("mass");
  if (tables == nullptr) return top.problem("mass", "needs [[mass]] tables");
  std::array<bool, size_t{1} << lattice_inputs> seen{};
  for (const toml::node& node : *tables) {
    const toml::table* one = node.as_table();
    if (one == nullptr) return top.problem("mass", "must be tables: [[mass]]");
    econ::StrictTable table(*one, "mass.", problems);
    const size_t set = set_of(texts(table, "inputs"), table);
    double weight = 0;
    table.number("weight", weight, {0, mass_max}, true);  // never negative: the lattice is monotone
    if (seen[set]) table.problem("inputs", "this set has a mass already");
    seen[set] = true;
    masses[set] = weight;
    table.finish();
  }
}

}  // namespace

double Calibrator::operator()(double x) const noexcept {
  double sum = 0;
  for (size_t k = 0; k < steps.size() && x > at[k]; ++k)
    sum += steps[k] * (x >= at[k + 1] ? 1.0 : (x - at[k]) / (at[k + 1] - at[k]));
  return sum;
}

std::array<double, lattice_inputs> EconLattice::calibrated(const EconInputs& in) const noexcept {
  const std::array<double, lattice_inputs> raw{in.delta_mpl, -in.delta_error, in.delta_ep,
                                               in.novelty.value_or(novelty_unknown_)};
  std::array<double, lattice_inputs> out{};
  for (size_t i = 0; i < lattice_inputs; ++i) out[i] = calibrators_[i](raw[i]);
  return out;
}

double EconLattice::weight(const EconInputs& in) const noexcept {
  const auto c = calibrated(in);
  double sum = 0;
  for (size_t set = 0; set < masses_.size(); ++set) {
    double product = masses_[set];
    for (size_t i = 0; i < lattice_inputs; ++i)
      if ((set >> i & 1) != 0) product *= c[i];
    sum += product;
  }
  return brick(in.brick_id) * sum;
}

std::vector<EconLattice::Part> EconLattice::parts(const EconInputs& in) const {
  const auto c = calibrated(in);
  std::vector<Part> out;
  for (size_t set = 0; set < masses_.size(); ++set) {
    if (masses_[set] <= 0) continue;
    Part part{set == 0 ? "1" : "", masses_[set], masses_[set]};
    for (size_t i = 0; i < lattice_inputs; ++i) {
      if ((set >> i & 1) == 0) continue;
      part.value *= c[i];
      part.inputs.append(part.inputs.empty() ? "" : "*").append(lattice_input_names[i]);
    }
    out.push_back(std::move(part));
  }
  return out;
}

double EconLattice::brick(std::string_view brick_id) const noexcept {
  const auto at = bricks_.find(brick_id);
  return at == bricks_.end() ? 1.0 : at->second;
}

Result<EconLattice> EconLattice::parse(std::string_view toml_text, const std::string& file) {
  DROVER_ASSIGN(const toml::table root, econ::parse_toml(toml_text, file));
  econ::TomlProblems problems(file);
  econ::StrictTable top(root, "", problems);
  DROVER_TRY(check_format(top, file));
  EconLattice lattice;
  top.number("novelty_unknown", lattice.novelty_unknown_, {0, 1}, true);
  if (const toml::table* all = top.table("calibrate")) {
    econ::StrictTable table(*all, "calibrate.", problems);
    for (size_t i = 0; i < lattice_inputs; ++i) {
      const toml::table* one = table.table(lattice_input_names[i]);
      if (one == nullptr) {
        table.problem(lattice_input_names[i], "is missing");
      } else {
        read_calibrator(*one, lattice_input_names[i], lattice.calibrators_[i], problems);
      }
    }
    table.finish();
  } else {
    top.problem("calibrate", "is missing");
  }
  read_masses(top, lattice.masses_, problems);
  if (const toml::table* bricks = top.table("brick"))
    for (const auto& [name, node] : *bricks) {
      const auto value = node.value<double>();
      if (!node.is_number() || !(*value >= 0) || *value > mass_max)
        problems.add(&node, "brick." + std::string(name.str()), "must be a number >= 0");
      lattice.bricks_[std::string(name.str())] = value.value_or(0);
    }
  top.finish();
  DROVER_TRY(problems.status());
  return lattice;
}

}  // namespace drover::gates

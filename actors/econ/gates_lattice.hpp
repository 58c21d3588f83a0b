// The econ lattice: what a record's economic result makes it weigh. Monotone by construction.
//
//   w_econ = brick * sum over sets T of inputs of mass(T) * product of c_i(x_i) for i in T,   mass(T) >= 0
//
// with the inputs x = (delta_mpl, -delta_error, delta_ep, novelty). Each c_i is a calibrator: it rises from 0 to 1
// along its knots by steps that are >= 0, linearly in between, and is flat outside of them. The sum is the multilinear
// interpolation of a 2^4 lattice whose corners are cumulative sums of the masses; a product of things that never fall
// and are never negative never falls, so no file that is accepted can hold a lattice that is not monotone.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "messages/result.hpp"

namespace drover::gates {

inline constexpr size_t lattice_inputs = 4;
inline constexpr std::array<std::string_view, lattice_inputs> lattice_input_names{"delta_mpl", "less_error", "delta_ep",
                                                                                  "novelty"};

struct EconInputs {
  double delta_mpl = 0;
  double delta_error = 0;
  double delta_ep = 0;
  std::optional<double> novelty;  // absent: not known, novelty_unknown of the file
  std::string_view brick_id;
};

struct Calibrator {
  std::vector<double> at;     // knots, rising
  std::vector<double> steps;  // rise from knot k to k + 1, each >= 0, one less than knots
  // Sum of the steps up to x. An x that is not a number gives 0.
  double operator()(double x) const noexcept;
};

class EconLattice {
 public:
  // >= 0.
  double weight(const EconInputs& in) const noexcept;

  // What weight() is made of, for people.
  struct Part {
    std::string inputs;  // "delta_mpl*novelty"; "1" for the empty set
    double mass = 0;
    double value = 0;  // mass * product
  };
  std::vector<Part> parts(const EconInputs& in) const;
  double brick(std::string_view brick_id) const noexcept;
  const std::array<Calibrator, lattice_inputs>& calibrators() const { return calibrators_; }
  const std::array<double, size_t{1} << lattice_inputs>& masses() const { return masses_; }
  double novelty_unknown() const { return novelty_unknown_; }

  // Errors: invalid_argument (every problem; a step, mass or brick that is negative is one), unsupported_version.
  static Result<EconLattice> parse(std::string_view toml_text, const std::string& file);

 private:
  std::array<double, lattice_inputs> calibrated(const EconInputs& in) const noexcept;

  std::array<Calibrator, lattice_inputs> calibrators_;
  std::array<double, size_t{1} << lattice_inputs> masses_{};  // by bit set of inputs
  std::map<std::string, double, std::less<>> bricks_;         // others: 1
  double novelty_unknown_ = 0;
};

}  // namespace drover::gates

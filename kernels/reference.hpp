// The models in float64, slowly and straight from the formulas of vit.hpp and mlp.hpp: what tests and checks on new
// hardware compare with. Weights are complete and of the shape given, or the program stops.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/mlp.hpp"
#include "kernels/vit.hpp"

namespace drover::kernels {

// One frame -> [dim].
std::vector<double> vit_reference(const Weights& weights, const VitShape& shape, std::span<const uint8_t> rgb);

double activation_reference(double x, Activation kind);

// Any number of observations -> their actions.
std::vector<double> mlp_reference(const Weights& weights, const MlpShape& shape, std::span<const float> observations);

// Largest difference over largest magnitude; infinite when a value is not finite.
double relative_error(std::span<const float> got, std::span<const double> want);

}  // namespace drover::kernels

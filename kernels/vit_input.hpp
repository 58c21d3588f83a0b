// The patch layer of the ViT encoder with the input's scaling folded in. Internal to kernels/.
//
//   W ((v / 255 - m) / s) + b  =  (W / (255 s)) (v - 128)  +  b + W ((128 / 255 - m) / s)
#pragma once

#include <vector>

#include "kernels/vit.hpp"

namespace drover::kernels {

struct FoldedPatch {
  std::vector<float> weight;  // [dim, patch values], for bytes that enter as v - 128
  std::vector<float> bias;    // [dim]
};

// Errors name the array that is missing or out of range.
Result<FoldedPatch> fold_input(const VitShape& shape, const Weights& weights);

}  // namespace drover::kernels

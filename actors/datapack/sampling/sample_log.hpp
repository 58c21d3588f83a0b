// The sampling log: one JSON line per batch, so that whoever trained on something can say why it was drawn.
// README.md beside this file shows a record. Pure; the same batch gives the same line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "actors/datapack/sampling/sampler.hpp"

namespace drover::sampling {

struct BatchContext {
  std::string task;           // empty: all tasks
  std::string config_sha256;  // of the configuration's text; empty: built-in
  DrawRequest request;
  std::vector<std::string> pack_ids;  // one for each draw
};

// One line with its end.
std::string sample_record(const Sampler& sampler, const Population& population, const Batch& batch,
                          const BatchContext& context);

// Why a pack weighs what it weighs, in a few words: "urgency 0.97 x 5 Risk x 1.5 safety".
std::string why(const Sampler& sampler, const Draw& draw);
// Names of the groups of a pack.
std::vector<std::string> group_names(const SamplingConfig& config, uint16_t groups);

}  // namespace drover::sampling

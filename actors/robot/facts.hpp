// From an episode in a simulated world to the facts that the datapack builder values. A translation: no figure changes.
#pragma once

#include <cstdint>
#include <string>

#include "actors/datapack/facts.hpp"
#include "actors/robot/episode.hpp"

namespace drover::robot {

struct FactsOptions {
  std::string robot;
  int64_t start_unix_ns = 0;  // when the episode began; its own times count from there
};

// The total is the mechanical work, the integral of |torque*velocity|; copper loss stands beside it in `coordination`.
// One unit when the goal was met, one attempt, one error when something broke. The source type is synthetic.
datapack::EpisodeFacts facts_of(const EpisodeResult& episode, const FactsOptions& options);

}  // namespace drover::robot

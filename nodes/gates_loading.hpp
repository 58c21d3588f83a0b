// The frozen gates of a node: loaded and verified at its start.
#pragma once

#include <memory>

#include "actors/econ/gates.hpp"
#include "actors/runtime/environment.hpp"
#include "nodes/config/common_config.hpp"

namespace drover::nodes {

// Errors: those of Gates::load; they stop the node. Logs gates.loaded.
Result<std::shared_ptr<const gates::Gates>> load_gates(const GatesConfig& config, const runtime::Environment& env);

// For a node that weighs nothing itself: files that are there must be the frozen ones; where there are none the node
// says gates.none and goes on with null.
Result<std::shared_ptr<const gates::Gates>> load_gates_if_there(const GatesConfig& config,
                                                                const runtime::Environment& env);

}  // namespace drover::nodes

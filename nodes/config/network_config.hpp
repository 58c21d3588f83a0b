// The [network] section of every daemon: actors/network's Limits, key for key.
#pragma once

#include "actors/network/limits.hpp"
#include "nodes/config/fields.hpp"

namespace drover::nodes {

using NetworkConfig = network::Limits;

void describe(Fields& fields, NetworkConfig& limits);
// The rules between limits. Adds problems.
void validate_network(const NetworkConfig& limits, Problems& problems);

}  // namespace drover::nodes

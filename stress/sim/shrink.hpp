// Shrinking: from the faults of a failing run to few that still make it fail (delta debugging, Zeller 2002). Pure.
#pragma once

#include <functional>
#include <vector>

#include "stress/sim/faults.hpp"

namespace drover::simulate {

// `fails` says whether a run with these faults still fails; it is asked at most tries_max times.
std::vector<Fault> shrink(std::vector<Fault> faults, const std::function<bool(const std::vector<Fault>&)>& fails,
                          int tries_max);

}  // namespace drover::simulate

#include "stress/sim/shrink.hpp"

#include <algorithm>
#include <cstddef>

namespace drover::simulate {

std::vector<Fault> shrink(std::vector<Fault> faults, const std::function<bool(const std::vector<Fault>&)>& fails,
                          int tries_max) {
  size_t parts = 2;
  while (faults.size() > 1 && tries_max > 0) {
    const size_t piece = (faults.size() + parts - 1) / parts;
    bool smaller = false;
    for (size_t from = 0; from < faults.size() && tries_max > 0; from += piece) {
      std::vector<Fault> rest(faults.begin(), faults.begin() + static_cast<ptrdiff_t>(from));
      const size_t to = std::min(from + piece, faults.size());
      rest.insert(rest.end(), faults.begin() + static_cast<ptrdiff_t>(to), faults.end());
      --tries_max;
      if (!fails(rest)) continue;
      faults = std::move(rest);
      parts = std::max<size_t>(parts - 1, 2);
      smaller = true;
      break;
    }
    if (smaller) continue;
    if (piece == 1) break;
    parts = std::min(faults.size(), parts * 2);
  }
  return faults;
}

}  // namespace drover::simulate

#include "nodes/config/nearest.hpp"

#include <algorithm>
#include <vector>

namespace drover::nodes {

size_t edit_distance(std::string_view a, std::string_view b) {
  constexpr size_t length_max = 256;  // longer names are not typing errors, and the work stays bounded
  if (a.size() > length_max || b.size() > length_max) return std::max(a.size(), b.size());
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0u : 1u)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

std::string nearest_name(std::string_view typed, std::span<const std::string> known) {
  const size_t limit = std::clamp<size_t>(typed.size() / 3, 1, 4);
  std::string best;
  size_t best_distance = limit + 1;
  for (const std::string& name : known) {
    const size_t distance = edit_distance(typed, name);
    if (distance < best_distance) {
      best_distance = distance;
      best = name;
    }
  }
  return best;
}

}  // namespace drover::nodes

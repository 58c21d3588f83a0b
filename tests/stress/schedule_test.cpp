// What is done to real processes, and when.
#include "stress/real/schedule.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>

using namespace drover::real;

namespace {

bool same(const std::vector<Planned>& a, const std::vector<Planned>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Planned& x, const Planned& y) {
    return x.at_ms == y.at_ms && x.duration_ms == y.duration_ms && x.fault == y.fault && x.target == y.target &&
           x.draw == y.draw;
  });
}

std::array<int, fault_count> count(const std::vector<Planned>& planned) {
  std::array<int, fault_count> counts{};
  for (const Planned& one : planned) ++counts[static_cast<size_t>(one.fault)];
  return counts;
}

}  // namespace

TEST_CASE("stress/schedule: the same seed gives the same faults, another seed others") {
  CHECK(same(plan({7, 60'000, 3, 0}), plan({7, 60'000, 3, 0})));
  CHECK_FALSE(same(plan({7, 60'000, 3, 0}), plan({8, 60'000, 3, 0})));
}

TEST_CASE("stress/schedule: every kind comes equally often, in order, and is over in time") {
  for (const uint32_t duration_ms : {8'000u, 20'000u, 60'000u, 540'000u})
    for (uint64_t seed = 1; seed <= 50; ++seed) {
      const auto planned = plan({seed, duration_ms, 3, 0});
      const auto counts = count(planned);
      const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
      CHECK(*least >= 1);
      CHECK(*most - *least <= 1);
      CHECK(std::is_sorted(planned.begin(), planned.end(),
                           [](const Planned& a, const Planned& b) { return a.at_ms < b.at_ms; }));
      for (const Planned& one : planned) {
        CHECK(one.at_ms + one.duration_ms <= duration_ms);
        CHECK(one.target <= 3);
      }
    }
  const auto ten_minutes = count(plan({1, 540'000, 3, 0}));
  CHECK(*std::min_element(ten_minutes.begin(), ten_minutes.end()) >= 5);
}

TEST_CASE("stress/schedule: links have robots as targets, and names tell the kinds apart") {
  bool coordinator_too = false;
  for (const Planned& one : plan({3, 540'000, 3, 400})) {
    const bool link = one.fault == Fault::reset || one.fault == Fault::partition || one.fault == Fault::bad_line;
    if (link) CHECK(one.target < 3);
    coordinator_too = coordinator_too || (one.fault == Fault::kill && one.target == 3);
  }
  CHECK(coordinator_too);
  std::set<std::string> names;
  for (size_t i = 0; i < fault_count; ++i) names.insert(std::string(fault_name(static_cast<Fault>(i))));
  CHECK(names.size() == fault_count);
}

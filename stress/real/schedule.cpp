#include "stress/real/schedule.hpp"

#include <algorithm>
#include <array>
#include <numeric>

#include "actors/runtime/rng.hpp"

namespace drover::real {
namespace {

// Shortest and longest, in ms, of the faults that last.
std::pair<uint32_t, uint32_t> lasts(Fault fault) {
  switch (fault) {
    case Fault::pause:
      return {200, 3000};
    case Fault::partition:
      return {500, 4000};
    case Fault::bad_line:
      return {1000, 4000};
    case Fault::full_disk:
      return {1000, 3000};
    case Fault::clock_jump:
      return {1000, 5000};
    default:
      return {0, 0};
  }
}

bool of_a_robot(Fault fault) {
  return fault == Fault::reset || fault == Fault::partition || fault == Fault::bad_line;
}

}  // namespace

std::string_view fault_name(Fault fault) noexcept {
  constexpr std::array<std::string_view, fault_count> names = {
      "kill -9",   "SIGSTOP",       "connection resets", "partition",  "delay and loss",
      "full disk", "hostile peers", "certificates",      "clock jump", "damaged store"};
  return names[static_cast<size_t>(fault)];
}

std::vector<Planned> plan(const ScheduleOptions& options) {
  auto rng = runtime::Rng::stream(options.seed, "faults");
  const uint32_t wanted = options.faults != 0 ? options.faults : options.duration_ms / 5000;
  const uint32_t count = std::max<uint32_t>(wanted, fault_count);
  std::array<Fault, fault_count> bag{};
  std::vector<Planned> out;
  for (uint32_t i = 0; i < count; ++i) {
    if (i % fault_count == 0) {
      for (size_t k = 0; k < fault_count; ++k) bag[k] = static_cast<Fault>(k);
      for (size_t k = fault_count - 1; k > 0; --k) std::swap(bag[k], bag[rng.below(k + 1)]);
    }
    Planned one;
    one.fault = bag[i % fault_count];
    const auto [shortest_ms, longest_ms] = lasts(one.fault);
    const uint32_t most_ms = std::max(1u, options.duration_ms / 4);
    one.duration_ms =
        longest_ms == 0 ? 0 : std::min(most_ms, static_cast<uint32_t>(rng.between(shortest_ms, longest_ms)));
    const uint32_t slot_ms = options.duration_ms / count;
    one.at_ms = i * slot_ms + static_cast<uint32_t>(rng.below(std::max(1u, slot_ms)));
    one.at_ms = std::min(one.at_ms, options.duration_ms - one.duration_ms);
    one.target = static_cast<uint32_t>(rng.below(of_a_robot(one.fault) ? options.robots : options.robots + 1));
    one.draw = rng.next();
    out.push_back(one);
  }
  std::stable_sort(out.begin(), out.end(), [](const Planned& a, const Planned& b) { return a.at_ms < b.at_ms; });
  return out;
}

}  // namespace drover::real

#include "actors/runtime/clock.hpp"

#include <chrono>

namespace drover::runtime {

namespace {
template <class C>
int64_t nanoseconds_of() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(C::now().time_since_epoch()).count();
}
}  // namespace

int64_t SystemClock::unix_ns() const {
  return nanoseconds_of<std::chrono::system_clock>();
}
int64_t SystemClock::steady_ns() const {
  return nanoseconds_of<std::chrono::steady_clock>();
}

}  // namespace drover::runtime

// A library to preload into a daemon under test: its wall clock is off by what a file says (8 bytes, nanoseconds, in
// the machine's order), which may change at any time. The steady clock is left alone, as by an operator or NTP.
// DROVER_CLOCK_OFFSET_FILE names the file; without it nothing changes.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

namespace {

using ClockGettime = int (*)(clockid_t, timespec*);
constexpr int64_t second_ns = 1'000'000'000;

const volatile int64_t* map_offset() {
  const char* path = getenv("DROVER_CLOCK_OFFSET_FILE");
  const int fd = path == nullptr ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return nullptr;
  void* mapped = mmap(nullptr, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  return mapped == MAP_FAILED ? nullptr : static_cast<const volatile int64_t*>(mapped);
}

int real_clock(clockid_t clock, timespec* out) {
  static const auto next = reinterpret_cast<ClockGettime>(dlsym(RTLD_NEXT, "clock_gettime"));
  return next(clock, out);
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* out) noexcept {
  const int rc = real_clock(clock, out);
  if (rc != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return rc;
  static const volatile int64_t* const offset_ns = map_offset();
  if (offset_ns == nullptr) return rc;
  const int64_t now_ns = out->tv_sec * second_ns + out->tv_nsec + *offset_ns;
  out->tv_sec = now_ns / second_ns;
  out->tv_nsec = now_ns % second_ns;
  return 0;
}

int gettimeofday(timeval* __restrict out, void* __restrict) noexcept {
  timespec now{};
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* out) noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != nullptr) *out = now.tv_sec;
  return now.tv_sec;
}

}  // extern "C"

#include "stress/semantics/table.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <fstream>

namespace drover::semantics::stress {

std::string Bound::text() const {
  switch (kind) {
    case Kind::above:
      return fmt::format("> {:g}", limit);
    case Kind::below:
      return fmt::format("< {:g}", limit);
    case Kind::equal:
      return fmt::format("{:g}", limit);
    case Kind::none:
      break;
  }
  return "-";
}

Table::Table(const char* title) {
  std::printf("\n%s\n%-52s %12s  %-10s %-10s\n", title, "metric", "value", "required", "goal");
}

void Table::row(const char* metric, double value, const Bound& required, const Bound& goal) {
  const bool good = required.holds(value);
  const char* verdict = !good ? "FAILED" : goal.holds(value) ? "ok" : "goal missed";
  std::printf("%-52s %12s  %-10s %-10s %s\n", metric, fmt::format("{:.5g}", value).c_str(), required.text().c_str(),
              goal.text().c_str(), verdict);
  failed_ += good ? 0 : 1;
}

void Table::check(const char* what, bool holds) {
  std::printf("%-52s %12s  %-10s %-10s %s\n", what, holds ? "yes" : "no", "yes", "", holds ? "ok" : "FAILED");
  failed_ += holds ? 0 : 1;
}

double peak_memory_MB() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024 / 1e6;
}

double memory_MB() {
  std::ifstream file("/proc/self/statm");
  double all = 0, resident = 0;
  file >> all >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1e6;
}

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace drover::semantics::stress

// Queries and statistics of datapacks: runs drover-bench-packs and takes its rows into the report.
#include <cstdlib>
#include <cstring>

#include "bench.hpp"

namespace drover::bench {

namespace {

std::string trimmed(std::string text) {
  text.erase(0, text.find_first_not_of(' '));
  text.erase(text.find_last_not_of(" \n") + 1);
  return text;
}

// "what | durability | figure"; latencies are taken at their p99 and kept as text beside it.
void take_line(Report& report, const std::string& line, const char* size) {
  const size_t first = line.find('|');
  const size_t second = line.find('|', first + 1);
  if (first == std::string::npos || second == std::string::npos) return;
  const std::string what = trimmed(line.substr(0, first));
  const std::string durability = trimmed(line.substr(first + 1, second - first - 1));
  const std::string text = trimmed(line.substr(second + 1));
  const char* durable = durability == "synced" ? synced : durability == "nosync" ? nosync : no_disk;
  const bool query = what.rfind("query 100", 0) == 0;
  const bool statistics = what.rfind("statistics", 0) == 0;
  const size_t p50 = text.find("p50");
  if (p50 != std::string::npos && (query || statistics)) {
    const double ms = std::strtod(text.c_str() + p50 + 3, nullptr) / 1e3;
    report.add(std::string(size) + " packs: " + what, durable, ms, "ms", text, Target{query ? 2.0 : 0.1, false});
  } else {
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    report.add(std::string(size) + " packs: " + what, durable, value, trimmed(end));
  }
}

}  // namespace

void bench_packs(Report& report, const Settings& settings) {
  report.group("datapacks: 100 of a query, statistics of a task (drover-bench-packs; p50)");
  const auto program = settings.programs / "drover-bench-packs";
  if (!std::filesystem::exists(program)) return report.skipped("datapacks", "drover-bench-packs is not built");
  for (const char* packs : {"10000", "1000000"}) {
    if (settings.quick && std::strlen(packs) > 5) continue;
    const std::string command = program.string() + " --packs " + packs + " --dir " + settings.dir.string();
    FILE* lines = ::popen(command.c_str(), "r");
    DROVER_CHECK(lines != nullptr, "popen");
    char line[1024];
    while (std::fgets(line, sizeof line, lines) != nullptr) take_line(report, line, packs);
    DROVER_CHECK(::pclose(lines) == 0, "drover-bench-packs failed");
  }
}

}  // namespace drover::bench

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
  const bool nearest = what.find("query of 5 nearest") != std::string::npos;
  if (p50 != std::string::npos && nearest) {
    report.add(what, durable, std::strtod(text.c_str() + p50 + 3, nullptr), "ms", text, Target{5.0, false});
  } else if (what.find("recall") != std::string::npos) {
    report.add(what, durable, std::strtod(text.c_str(), nullptr), "", "", Target{0.95, true});
  } else if (p50 != std::string::npos && (query || statistics)) {
    const double ms = std::strtod(text.c_str() + p50 + 3, nullptr) / 1e3;
    report.add(std::string(size) + " packs: " + what, durable, ms, "ms", text, Target{query ? 2.0 : 0.1, false});
  } else {
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    report.add(std::string(size) + " packs: " + what, durable, value, trimmed(end));
  }
}

}  // namespace

namespace {
// Runs a program and takes its rows.
void take_lines(Report& report, const std::string& command, const char* size) {
  FILE* lines = ::popen(command.c_str(), "r");
  DROVER_CHECK(lines != nullptr, "popen");
  char line[1024];
  while (std::fgets(line, sizeof line, lines) != nullptr) take_line(report, line, size);
  DROVER_CHECK(::pclose(lines) == 0, "a benchmark program failed");
}
}  // namespace

void bench_packs(Report& report, const Settings& settings) {
  report.group("datapacks: 100 of a query, statistics of a task, beside SQLite (drover-bench-packs; p50)");
  const auto program = settings.programs / "drover-bench-packs";
  if (!std::filesystem::exists(program)) return report.skipped("datapacks", "drover-bench-packs is not built");
  for (const char* packs : {"10000", "1000000"}) {
    if (settings.quick && std::strlen(packs) > 5) continue;
    take_lines(report, program.string() + " --sqlite --packs " + packs + " --dir " + settings.dir.string(), packs);
  }
}

void bench_novelty(Report& report, const Settings& settings) {
  report.group("novelty: the 5 nearest earlier vectors (drover-bench-novelty; p50)");
  const auto program = settings.programs / "drover-bench-novelty";
  if (!std::filesystem::exists(program)) return report.skipped("novelty", "drover-bench-novelty is not built");
  const char* vectors = settings.quick ? "100000" : "1000000";
  take_lines(report, program.string() + " --vectors " + vectors + " --dir " + settings.dir.string(), vectors);
}

}  // namespace drover::bench

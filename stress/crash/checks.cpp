#include "stress/crash/checks.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>

#include "actors/sync/central_dump.hpp"

namespace drover::crash {

using Clock = std::chrono::steady_clock;

Status all_running(Fleet& fleet) {
  for (size_t i = 0; i < fleet.process_count(); ++i)
    if (const auto how = fleet.process(i).ended())
      return fail(Errc::internal, fleet.process(i).name(),
                  "ended by itself (" + *how + "); see " + fleet.process(i).log_file());
  return {};
}

Status drain(Fleet& fleet, uint64_t limit_s) {
  const auto end = Clock::now() + std::chrono::seconds(limit_s);
  auto told = Clock::now();
  for (;;) {
    DROVER_TRY(all_running(fleet));
    DROVER_ASSIGN(const Backlog left, fleet.backlog());
    if (left.drained()) return {};
    const std::string text = std::to_string(left.files) + " files, " + std::to_string(left.records) + " records, " +
                             std::to_string(left.chunk_bytes) + " chunk bytes, " + std::to_string(left.unapplied) +
                             " unapplied, " + std::to_string(left.chunks_wanted) + " chunks wanted";
    if (Clock::now() > end) return fail(Errc::timeout, fleet.folder(), "did not drain: " + text);
    if (Clock::now() - told > std::chrono::seconds(2)) {
      std::printf("draining: %s\n", text.c_str());
      std::fflush(stdout);
      told = Clock::now();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

Status check_balance(Fleet& fleet, const char* when, bool print) {
  fleet.close_stores();
  sync::AuditOptions audit_options;
  audit_options.read_claim = read_claim;
  DROVER_ASSIGN(const auto audit, sync::audit_folders(fleet.folders(), audit_options));
  for (const auto& v : audit.violations)
    std::printf("VIOLATION %s: %s: %s: %s\n", when, v.check.c_str(), v.where.c_str(), v.what.c_str());
  for (const auto& notice : audit.notices) std::printf("notice %s: %s\n", when, notice.c_str());
  DROVER_ASSIGN(const auto ran, fleet.audit_program({}));
  if (print) std::printf("\n%s\n", ran.output.c_str());
  if (!audit.balanced()) return fail(Errc::conflict, when, std::to_string(audit.violations_in_all) + " violations");
  if (ran.code != 0) return fail(Errc::conflict, std::string(when) + ", drover audit", ran.output);
  return {};
}

Status stop_all(Fleet& fleet) {
  for (size_t i = 0; i < fleet.process_count(); ++i) {
    DROVER_ASSIGN(const int code, fleet.process(i).stop(15'000));
    if (code != 0)
      return fail(Errc::internal, fleet.process(i).name(), "stopped with exit code " + std::to_string(code));
  }
  return {};
}

Status no_error_events(Fleet& fleet) {
  for (size_t i = 0; i < fleet.process_count(); ++i) {
    std::ifstream log(fleet.process(i).log_file());
    for (std::string line; std::getline(log, line);) {
      const size_t space = line.find(' ');
      if (space != std::string::npos && line.compare(space + 1, 6, "error ") == 0)
        return fail(Errc::internal, fleet.process(i).log_file(), line);
    }
  }
  return {};
}

Result<std::string> dump_to(Fleet& fleet, const std::string& file, sync::CentralDump& facts) {
  fleet.close_stores();
  DROVER_ASSIGN(const auto stores, sync::open_for_audit({fleet.folders().centre, {}}));
  std::string all;
  DROVER_ASSIGN(facts, sync::dump_central(*stores.centre, [&](std::string_view line) -> Status {
                  all.append(line).push_back('\n');
                  return {};
                }));
  std::ofstream(file, std::ios::binary) << all;
  return all;
}

std::string first_difference(const std::string& a, const std::string& b) {
  const size_t at = static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
  const auto line = [at](const std::string& text) {
    const size_t begin = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;
    return text.substr(begin, text.find('\n', at) - begin);
  };
  return "with kills: " + line(a) + "\nin peace:   " + line(b);
}

}  // namespace drover::crash

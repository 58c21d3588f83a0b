#include "bench.hpp"

#include <sys/statfs.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

namespace drover::bench {

namespace {

std::string figure(double value) {
  char text[64];
  const double size = value < 0 ? -value : value;
  std::snprintf(text, sizeof text, size >= 1000 ? "%.0f" : size >= 10 ? "%.1f" : "%.3f", value);
  return text;
}

std::string target_text(const Row& row) {
  if (!row.target) return {};
  return std::string(row.target->met(row.value) ? "met: " : "MISSED: ") + (row.target->at_least ? ">= " : "<= ") +
         figure(row.target->bound) + " " + row.unit;
}

std::string first_value(const char* file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.rfind(key, 0) != 0) continue;
    const size_t colon = line.find(':');
    return line.substr(line.find_first_not_of(" \t", colon + 1));
  }
  return "unknown";
}

const char* file_system_name(long magic) {
  switch (magic) {
    case 0xEF53:
      return "ext4";
    case 0x58465342:
      return "xfs";
    case 0x01021994:
      return "tmpfs (nothing here survives a power cut)";
    case 0x794c7630:
      return "overlayfs";
    case 0x9123683E:
      return "btrfs";
    default:
      return "other file system";
  }
}

}  // namespace

void Report::group(std::string name) {
  group_ = std::move(name);
  std::printf("\n%s\n", group_.c_str());
}

void Report::add(Row row) {
  row.group = group_;
  std::printf("  %-66s | %-10s | %10s %-9s | %s%s%s\n", row.what.c_str(), row.durability.c_str(),
              figure(row.value).c_str(), row.unit.c_str(), target_text(row).c_str(),
              row.target && !row.note.empty() ? "; " : "", row.note.c_str());
  std::fflush(stdout);
  rows_.push_back(std::move(row));
}

void Report::add(std::string what, const char* durability, double value, std::string unit, std::string note,
                 std::optional<Target> target) {
  add(Row{{}, std::move(what), durability, value, std::move(unit), std::move(note), target});
}

void Report::skipped(const std::string& what, const std::string& why) {
  std::printf("  %-66s | not measured: %s\n", what.c_str(), why.c_str());
  std::fflush(stdout);
}

size_t Report::targets_missed() const {
  return static_cast<size_t>(
      std::count_if(rows_.begin(), rows_.end(), [](const Row& r) { return r.target && !r.target->met(r.value); }));
}

Status Report::write_json(const std::filesystem::path& file, const std::string& machine, uint64_t seed,
                          bool quick) const {
  nlohmann::json rows = nlohmann::json::array();
  for (const Row& r : rows_) {
    nlohmann::json row{{"group", r.group}, {"what", r.what}, {"durability", r.durability},
                       {"value", r.value}, {"unit", r.unit}, {"note", r.note}};
    if (r.target) row["target"] = {{"bound", r.target->bound}, {"met", r.target->met(r.value)}};
    rows.push_back(std::move(row));
  }
  std::ofstream out(file);
  out << nlohmann::json{{"machine", machine}, {"seed", seed}, {"quick", quick}, {"rows", rows}}.dump(2) << "\n";
  if (!out.flush()) return fail(Errc::io, file.string(), "cannot be written");
  return {};
}

std::filesystem::path fresh_folder(const Settings& settings, const std::string& name) {
  const auto folder = settings.dir / name;
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

Bytes random_bytes(uint64_t seed, size_t size) {
  std::mt19937_64 rng(seed);
  return Bytes::make(size, [&](std::span<std::byte> out) {
    for (std::byte& b : out) b = static_cast<std::byte>(rng() >> 56);
  });
}

double percentile(std::vector<double>& values, double p) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(p * static_cast<double>(values.size())))];
}

std::string machine_text(const std::filesystem::path& dir) {
  struct statfs facts {};
  ::statfs(dir.c_str(), &facts);
  char text[320];
  std::snprintf(text, sizeof text, "%u cores, %s, %.0f GiB memory, stores on %s", std::thread::hardware_concurrency(),
                first_value("/proc/cpuinfo", "model name").c_str(),
                static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * 4096 / (1 << 30),
                file_system_name(static_cast<long>(facts.f_type)));
  return text;
}

}  // namespace drover::bench

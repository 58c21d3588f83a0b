#include "tests/capture/support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace drover::capture::test {

std::optional<std::string> shared_data() {
  const char* path = std::getenv("DROVER_SHARED_DATA");
  const std::string folder = path != nullptr ? path : source_dir() + "/../shared/data";
  if (std::filesystem::exists(folder)) return folder;
  MESSAGE("skipped: no shared data at " << folder);
  return std::nullopt;
}

std::string source_dir() {
  const char* path = std::getenv("DROVER_SOURCE_DIR");
  return path != nullptr ? path : ".";
}

std::vector<std::shared_ptr<const Mapping>> shipped_mappings() {
  static const auto mappings = [] {
    auto loaded = load_mappings(source_dir() + "/configs/mappings");
    if (!loaded) FAIL(loaded.error().what);
    return *loaded;
  }();
  return mappings;
}

std::shared_ptr<const Mapping> mapping_of_kind(std::string_view kind) {
  for (const auto& mapping : shipped_mappings())
    if (mapping->kind == kind) return mapping;
  FAIL("no mapping of kind " << kind);
  return nullptr;
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  REQUIRE_MESSAGE(in.good(), path);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::vector<std::string> files_with(const std::string& folder, std::string_view extension) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.path().extension() == extension) files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

std::shared_ptr<const ByteSource> memory(std::string_view content) {
  return mcap::memory_source(Bytes::copy_of(content));
}

std::string file_name(const std::string& path) {
  return std::filesystem::path(path).filename().string();
}

Log read_log(const std::string& name, std::string_view content, const std::shared_ptr<const Mapping>& mapping,
             uint64_t first_ordinal) {
  const auto file = memory(content);
  const auto hash = hash_source(*file);
  REQUIRE(hash);
  CaptureOptions options;
  options.robot = "robot-01";
  options.first_ordinal = first_ordinal;
  auto source = open_log(name, file, *hash, mapping, options);
  if (!source) FAIL(source.error().message());
  Log log;
  for (;;) {
    auto episode = (*source)->next();
    if (!episode) FAIL(episode.error().message());
    if (!*episode) break;
    log.episodes.push_back(std::move(**episode));
  }
  log.report = (*source)->report();
  return log;
}

Log read_log(const std::string& name, std::string_view content) {
  const auto mapping = choose_mapping(name, memory(content), shipped_mappings());
  if (!mapping) FAIL(mapping.error().message());
  return read_log(name, content, *mapping);
}

void check_invariants(const CapturedEpisode& e) {
  CAPTURE(e.header.episode_id);
  const auto valid = validate(e.header);
  CHECK_MESSAGE(valid.has_value(), (valid ? "" : valid.error().message()));
  const auto round_trip = decode_episode(encode(e.header));
  REQUIRE(round_trip);
  CHECK(*round_trip == e.header);
  CHECK(e.attempts >= 1);
  CHECK(e.attempts >= e.errors);
  REQUIRE(!e.steps.empty());
  CHECK(e.steps.front().start_s == 0);
  CHECK(e.steps.back().end_s == doctest::Approx(e.duration_s));
  for (size_t i = 1; i < e.steps.size(); ++i) CHECK(e.steps[i].start_s == e.steps[i - 1].end_s);
  const double allowed_J = 1e-6 * std::abs(e.energy.total_J) + 1e-12;
  for (const auto* parts : {&e.energy.per_joint_J, &e.energy.per_skill_J}) {
    double sum_J = 0;
    for (const auto& [name, joules] : *parts) sum_J += joules;
    CHECK(std::abs(sum_J - e.energy.total_J) <= allowed_J);
    CHECK(parts->empty() == (e.energy.method == "none"));
  }
}

bool same_episode(const CapturedEpisode& a, const CapturedEpisode& b) {
  return a.header == b.header && a.ordinal == b.ordinal && a.slice == b.slice && a.energy.total_J == b.energy.total_J &&
         a.energy.per_joint_J == b.energy.per_joint_J && a.energy.per_skill_J == b.energy.per_skill_J &&
         a.steps.size() == b.steps.size() && a.units == b.units && a.errors == b.errors && a.attempts == b.attempts &&
         a.event_rows == b.event_rows && a.event_onsets == b.event_onsets && a.slice_name == b.slice_name;
}

uint64_t random_below(uint64_t& state, uint64_t bound) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return bound == 0 ? 0 : state % bound;
}

}  // namespace drover::capture::test

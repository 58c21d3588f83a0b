// Cut files and flipped bits: what is given out is a labelled prefix, and nothing crashes.
#include <doctest/doctest.h>

#include <cstring>

#include "actors/capture/generate.hpp"
#include "tests/capture/support.hpp"

namespace drover::capture::test {
namespace {

constexpr uint64_t seed = 20240611;

// Episodes of a cut file: all but the last equal the whole file's, the last is a prefix of its counterpart.
void check_prefix(const Log& whole, const Log& cut, bool at_row_end) {
  REQUIRE(cut.episodes.size() <= whole.episodes.size());
  CHECK(cut.report.rows <= whole.report.rows);
  for (size_t i = 0; i < cut.episodes.size(); ++i) {
    const CapturedEpisode& a = cut.episodes[i];
    const CapturedEpisode& b = whole.episodes[i];
    CHECK(a.header.start_unix_ns == b.header.start_unix_ns);
    CHECK(a.header.rows <= b.header.rows);
    if (i + 1 == cut.episodes.size()) {
      const bool labelled =
          !a.header.complete || !a.header.notes.empty() || a.header.rows == b.header.rows || at_row_end;
      CHECK(labelled);
      continue;
    }
    CHECK(a.header.rows == b.header.rows);
    CHECK(a.header.streams == b.header.streams);
    CHECK(a.header.events == b.header.events);
    CHECK(a.header.end_unix_ns == b.header.end_unix_ns);
    CHECK(a.energy.total_J == b.energy.total_J);
    CHECK(a.header.complete);
  }
}

std::vector<std::string> all_logs(const std::string& data) {
  auto files = files_with(data, ".csv");
  for (const auto& file : files_with(data + "/rosbag2", ".mcap")) files.push_back(file);
  return files;
}

// Reads without asserting success: the outcome may be an error, never a crash.
void read_anyhow(const std::string& name, std::string_view content) {
  auto source = open_log(name, memory(content), shipped_mappings(), {"robot-01", 0, uint64_t{1} << 30, 1u << 20});
  if (!source) {
    CHECK(!source.error().what.empty());
    return;
  }
  uint64_t rows = 0;
  for (size_t i = 0; i < 100'000; ++i) {
    auto episode = (*source)->next();
    REQUIRE(episode);
    if (!*episode) break;
    CHECK(validate((*episode)->header).has_value());
    rows += (*episode)->header.rows;
  }
  CHECK(rows == (*source)->report().rows);
}

void check_cuts(const std::string& name, const std::string& content, int cuts, uint64_t& state) {
  CAPTURE(name);
  const auto mapping = choose_mapping(name, memory(content), shipped_mappings());
  REQUIRE(mapping);
  const Log whole = read_log(name, content, *mapping);
  for (int i = 0; i < cuts; ++i) {
    const auto at = static_cast<size_t>(random_below(state, content.size()));
    CAPTURE(at);
    const std::string_view head = std::string_view(content).substr(0, at);
    auto opened = open_log(name, memory(head), Hash{}, *mapping, {"robot-01", 0, uint64_t{1} << 30, 64u << 20});
    if (!opened) continue;  // cut inside the header line
    const bool at_row_end = at > 0 && (content[at - 1] == '\n' || content[at - 1] == '\r');
    check_prefix(whole, read_log(name, head, *mapping), at_row_end);
  }
}

}  // namespace

TEST_CASE("capture/damage: each real log cut at 200 random bytes gives a labelled prefix") {
  const auto data = shared_data();
  if (!data) return;
  MESSAGE("seed " << seed);
  uint64_t state = seed;
  for (const std::string& file : all_logs(*data)) check_cuts(file_name(file), read_file(file), 200, state);
}

TEST_CASE("capture/damage: generated logs cut at random bytes give a labelled prefix") {
  uint64_t state = seed;
  const auto logs = generate_logs({});
  REQUIRE(logs);
  for (const GeneratedLog& log : *logs) check_cuts(log.name, log.content, 60, state);
}

TEST_CASE("capture/damage: every MCAP vector and its cuts are read without a crash") {
  const auto data = shared_data();
  if (!data) return;
  uint64_t state = seed;
  size_t count = 0;
  for (const std::string& file : files_with(*data + "/mcap_conformance", ".mcap")) {
    const std::string content = read_file(file);
    read_anyhow(file_name(file), content);
    for (int i = 0; i < 4; ++i)
      read_anyhow(file_name(file), std::string_view(content).substr(0, random_below(state, content.size())));
    ++count;
  }
  CHECK(count == 416);
}

TEST_CASE("capture/damage: flipped bits never crash") {
  uint64_t state = seed;
  std::vector<std::pair<std::string, std::string>> contents;
  if (const auto data = shared_data())
    for (const std::string& file : all_logs(*data)) contents.emplace_back(file_name(file), read_file(file));
  const auto logs = generate_logs({});
  REQUIRE(logs);
  for (const GeneratedLog& log : *logs) contents.emplace_back(log.name, log.content);
  for (auto& [name, content] : contents) {
    CAPTURE(name);
    const int rounds = content.size() > 500'000 ? 10 : 60;
    for (int i = 0; i < rounds; ++i) {
      std::string flipped = content;
      for (int k = 0; k < 3; ++k) {
        const auto at = static_cast<size_t>(random_below(state, flipped.size()));
        flipped[at] = static_cast<char>(flipped[at] ^ (1 << random_below(state, 8)));
      }
      read_anyhow(name, flipped);
    }
  }
}

TEST_CASE("capture/damage: damaged MCAP names the offset and gives what lies before it") {
  const auto log = generate_ros2({});
  REQUIRE(log);
  const std::string_view head = std::string_view(log->content).substr(0, log->content.size() * 2 / 3);
  const Log cut = read_log(log->name, head);
  REQUIRE(cut.report.damage);
  REQUIRE(!cut.episodes.empty());
  const CapturedEpisode& last = cut.episodes.back();
  CHECK(!last.header.complete);
  CHECK(last.cut == CutReason::damage);
  CHECK(last.header.outcome == "unknown");
  CHECK(last.units == 0);
  bool named = false;
  for (const auto& note : last.header.notes)
    named = named || note.find("byte " + std::to_string(cut.report.damage->offset)) != std::string::npos;
  CHECK(named);
  // The slice of the damaged episode is itself a whole MCAP file with the same messages.
  const Log again = read_log("slice.mcap", last.slice.text());
  CHECK(!again.report.damage);
  CHECK(again.report.rows == last.header.rows);
}

}  // namespace drover::capture::test

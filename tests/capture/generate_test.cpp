// Generated logs: deterministic, labelled, and read back as what the generator says they are.
#include "actors/capture/generate.hpp"

#include <doctest/doctest.h>

#include <map>

#include "storage/mcap/writer.hpp"
#include "tests/capture/support.hpp"

namespace drover::capture::test {
namespace {

uint64_t onsets(const Log& log, const std::string& kind) {
  uint64_t sum = 0;
  for (const auto& e : log.episodes)
    if (const auto it = e.event_onsets.find(kind); it != e.event_onsets.end()) sum += it->second;
  return sum;
}

}  // namespace

TEST_CASE("capture/generate: the same options give the same bytes, another seed gives others") {
  const auto a = generate_logs({}), b = generate_logs({});
  GenerateOptions other;
  other.seed = 2;
  const auto c = generate_logs(other);
  REQUIRE((a && b && c));
  REQUIRE(a->size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    CHECK((*a)[i].content == (*b)[i].content);
    CHECK((*a)[i].content != (*c)[i].content);
    CHECK((*a)[i].name.starts_with("generated_"));
  }
}

TEST_CASE("capture/generate: read back, the logs hold what the generator says, labelled synthetic") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    GenerateOptions options;
    options.seed = seed;
    options.episodes = 24;
    const auto logs = generate_logs(options);
    REQUIRE(logs);
    uint64_t faults = 0;
    for (const GeneratedLog& expected : *logs) {
      CAPTURE(expected.name);
      // Under another name too: the label is inside the file.
      const std::string name = seed % 2 == 0 ? expected.name : "log" + expected.name.substr(expected.name.rfind('.'));
      const Log log = read_log(name, expected.content);
      CHECK(!log.report.damage);
      CHECK(log.report.rows == expected.rows);
      CHECK(log.report.rows_skipped == 0);
      CHECK(log.episodes.size() == expected.episodes);
      CHECK(onsets(log, "protective_stop") == expected.protective_stops);
      CHECK(onsets(log, "grip_lost") == expected.grips_lost);
      faults += expected.protective_stops + expected.grips_lost;
      for (const auto& e : log.episodes) {
        check_invariants(e);
        CHECK(e.source_type == SourceType::synthetic);
        CHECK(e.energy.total_J > 0);
        CHECK(e.duration_s > 0);
      }
    }
    CHECK(faults > 0);
  }
}

TEST_CASE("capture/generate: options out of range are refused") {
  GenerateOptions options;
  options.episodes = 0;
  CHECK(!generate_logs(options));
  options = {};
  options.start_unix_ns = -1;
  CHECK(!generate_ur3(options));
}

TEST_CASE("capture/mcap: an episode_start topic cuts a bag, and the slices hold every message once") {
  GenerateOptions options;
  options.episodes = 5;
  const auto generated = generate_ros2(options);
  REQUIRE(generated);
  const Log log = read_log(generated->name, generated->content);
  REQUIRE(log.episodes.size() == 5);
  uint64_t messages = 0;
  for (const auto& e : log.episodes) {
    CHECK(e.energy.method == "torque_velocity");
    CHECK(e.energy.per_joint_J.size() == 6);
    CHECK(e.slice_media_type == "application/x-mcap");
    const Log slice = read_log(e.slice_name, e.slice.text());
    REQUIRE(slice.episodes.size() == 1);
    CHECK(slice.episodes[0].header.rows == e.header.rows);
    CHECK(slice.episodes[0].header.start_unix_ns == e.header.start_unix_ns);
    CHECK(slice.episodes[0].source_type == SourceType::synthetic);
    messages += slice.report.rows;
  }
  CHECK(messages == generated->rows);
}

TEST_CASE("capture/mcap: JSON messages give channels and text events; what is no object is counted") {
  mcap::MemorySink sink;
  auto writer = mcap::Writer::open(sink, {});
  REQUIRE(writer);
  const auto channel = writer->add_channel("/arm", "json", 0);
  REQUIRE(channel);
  const char* const messages[] = {R"({"q":[1,2],"tool":{"on":true},"state":"ok"})",
                                  R"({"q":[3,4],"tool":{"on":false},"state":"fault"})", "not json", "[[[[", "7"};
  for (uint64_t i = 0; i < 5; ++i)
    REQUIRE(
        writer->write(mcap::Message{*channel, 0, i * 1000, i * 1000, Bytes::copy_of(std::string_view(messages[i]))}));
  REQUIRE(writer->close());
  const auto mapping = parse_mapping(
      "kind = \"j\"\nformat = \"mcap\"\nauto_channels = true\n[match]\n[task]\nname = \"t\"\n"
      "[[event]]\nkind = \"fault\"\ncolumn = \"/arm:state\"\nwhen = \"== fault\"\ncounts_as_error = true\n",
      "j.toml");
  REQUIRE(mapping);
  const Log log = read_log("a.mcap", sink.content(), std::make_shared<const Mapping>(*mapping));
  REQUIRE(log.episodes.size() == 1);
  const CapturedEpisode& e = log.episodes[0];
  check_invariants(e);
  CHECK(log.report.cells_unreadable == 3);
  CHECK(e.header.rows == 5);
  CHECK(e.errors == 1);
  std::map<std::string, double> means;
  for (const auto& s : e.header.streams) means[s.name] = s.mean;
  CHECK(means.at("/arm:q[0]") == 2);
  CHECK(means.at("/arm:q[1]") == 3);
  CHECK(means.at("/arm:tool.on") == 0.5);
}

TEST_CASE("capture/source: resumed at any episode, the rest is exactly the uninterrupted one's") {
  GenerateOptions options;
  options.episodes = 8;
  const auto logs = generate_logs(options);
  REQUIRE(logs);
  for (const GeneratedLog& generated : *logs) {
    CAPTURE(generated.name);
    const auto mapping = choose_mapping(generated.name, memory(generated.content), shipped_mappings());
    REQUIRE(mapping);
    const Log whole = read_log(generated.name, generated.content, *mapping);
    for (uint64_t first = 0; first <= whole.episodes.size() + 1; ++first) {
      const Log rest = read_log(generated.name, generated.content, *mapping, first);
      const size_t expected = first < whole.episodes.size() ? whole.episodes.size() - first : 0;
      REQUIRE(rest.episodes.size() == expected);
      for (size_t i = 0; i < expected; ++i) CHECK(same_episode(rest.episodes[i], whole.episodes[first + i]));
    }
  }
}

}  // namespace drover::capture::test

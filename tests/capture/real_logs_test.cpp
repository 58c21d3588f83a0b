// The facts of the real logs, each checked against an independent reading (Python) before it was pinned here.
#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <numeric>

#include "tests/capture/support.hpp"

namespace drover::capture::test {
namespace {

uint64_t total(const Log& log, std::map<std::string, uint64_t> CapturedEpisode::*counts, const std::string& kind) {
  uint64_t sum = 0;
  for (const auto& e : log.episodes)
    if (const auto it = (e.*counts).find(kind); it != (e.*counts).end()) sum += it->second;
  return sum;
}

}  // namespace

TEST_CASE("capture/ur3: rows, stops and lost grips of the real log") {
  const auto data = shared_data();
  if (!data) return;
  const std::string content = read_file(*data + "/ur3_cobotops/dataset_02052023.csv");
  const Log log = read_log("dataset_02052023.csv", content);
  CHECK(log.report.kind == "ur3_cobotops");
  CHECK(log.report.rows == 7409);
  CHECK(log.report.rows_skipped == 0);
  CHECK(!log.report.damage);
  CHECK(log.episodes.size() == 250);  // 249 runs of the counter, one of them broken by the gap of 18,814 s
  CHECK(total(log, &CapturedEpisode::event_rows, "protective_stop") == 278);
  CHECK(total(log, &CapturedEpisode::event_onsets, "protective_stop") == 108);
  CHECK(total(log, &CapturedEpisode::event_rows, "grip_lost") == 243);
  CHECK(total(log, &CapturedEpisode::event_onsets, "grip_lost") == 77);
  uint64_t rows = 0, events = 0;
  std::map<std::string, uint64_t> missing;
  for (const auto& e : log.episodes) {
    check_invariants(e);
    rows += e.header.rows;
    events += e.header.events.size();
    for (const auto& s : e.header.streams) missing[s.name] += s.missing;
    CHECK(e.header.complete);
    CHECK(e.energy.method == "current_nominal_voltage");
    CHECK(e.energy.estimated);
  }
  CHECK(rows == 7409);
  CHECK(events == 108 + 77);
  CHECK(missing["joint_0.current"] == 46);
  CHECK(missing["joint_0.temperature"] == 54);
  CHECK(missing["joint_5.velocity"] == 54);
  CHECK(missing["tool.current"] == 54);
}

TEST_CASE("capture/ur3: the long gap cuts its cycle in two and is not counted as time or energy") {
  const auto data = shared_data();
  if (!data) return;
  const Log log = read_log("d.csv", read_file(*data + "/ur3_cobotops/dataset_02052023.csv"));
  size_t gaps = 0;
  double total_s = 0;
  for (size_t i = 0; i < log.episodes.size(); ++i) {
    total_s += log.episodes[i].duration_s;
    if (log.episodes[i].cut != CutReason::gap) continue;
    ++gaps;
    REQUIRE(i + 1 < log.episodes.size());
    CHECK(log.episodes[i].header.cycle == 105);
    CHECK(log.episodes[i + 1].header.cycle == 105);
    CHECK(log.episodes[i].units == 0);
    CHECK(log.episodes[i + 1].header.start_unix_ns - log.episodes[i].header.end_unix_ns == 18'814'125'000'000);
  }
  CHECK(gaps == 1);
  // First to last row, less the one gap that cut and the cycle changes that came after more than gap_s = 5 s.
  CHECK(total_s == doctest::Approx(7566.0).epsilon(0.02));
}

TEST_CASE("capture/ur3: the slices without their headers add up to the file") {
  const auto data = shared_data();
  if (!data) return;
  const std::string content = read_file(*data + "/ur3_cobotops/dataset_02052023.csv");
  const Log log = read_log("d.csv", content);
  const std::string header = content.substr(0, content.find('\n') + 1);
  std::string joined = header;
  for (const auto& e : log.episodes) {
    REQUIRE(e.slice.text().starts_with(header));
    joined += e.slice.text().substr(header.size());
  }
  CHECK(joined == content);
}

TEST_CASE("capture/ur3e: supply energy and joint work of each motion") {
  const auto data = shared_data();
  if (!data) return;
  struct Fact {
    const char* file;
    uint64_t rows;
    double supply_J, joint_J, peak_W;
  };
  // Trapezoid over the wall clock, actual_robot_voltage*actual_robot_current and abs(target_moment*actual_qd).
  const Fact facts[] = {{"L0L1.csv", 29, 48.997572, 1.8752516, 49.385766},
                        {"L1L2.csv", 65, 99.658270, 4.5747740, 44.334552},
                        {"L2L3.csv", 40, 70.510243, 6.3808952, 61.384581},
                        {"L3L4.csv", 49, 75.215471, 5.5745902, 49.815764},
                        {"L4L5.csv", 42, 73.682441, 18.5655672, 51.624239}};
  for (const Fact& fact : facts) {
    CAPTURE(fact.file);
    const Log log = read_log(fact.file, read_file(*data + "/ur3e_power/" + fact.file));
    CHECK(log.report.kind == "ur3e_rtde");
    REQUIRE(log.episodes.size() == 1);
    const CapturedEpisode& e = log.episodes[0];
    check_invariants(e);
    CHECK(e.header.rows == fact.rows);
    CHECK(e.header.complete);
    CHECK(e.header.outcome == "success");
    CHECK(e.energy.method == "measured_power");
    CHECK(!e.energy.estimated);
    CHECK(e.energy.total_J == doctest::Approx(fact.supply_J).epsilon(1e-6));
    CHECK(e.energy.supply_J.value_or(0) == e.energy.total_J);
    CHECK(e.energy.joint_work_J.value_or(0) == doctest::Approx(fact.joint_J).epsilon(1e-6));
    CHECK(e.energy.peak_W == doctest::Approx(fact.peak_W).epsilon(1e-6));
    CHECK(e.energy.per_joint_J.size() == 7);
    CHECK(e.energy.per_joint_J.at("unattributed") == doctest::Approx(fact.supply_J - fact.joint_J).epsilon(1e-6));
    CHECK(e.slice.text() == read_file(*data + "/ur3e_power/" + fact.file));
  }
}

TEST_CASE("capture/ur3e: the five motions in a row give 374.3 J, 37.4 J and 61.4 W") {
  const auto data = shared_data();
  if (!data) return;
  std::string joined;
  for (const char* name : {"L0L1", "L1L2", "L2L3", "L3L4", "L4L5"}) {
    std::string content = read_file(*data + "/ur3e_power/" + name + ".csv");
    if (!joined.empty()) content.erase(0, content.find_first_of("\r\n"));  // mixed line ends on purpose
    joined += content;
  }
  const Log log = read_log("joined.csv", joined);
  REQUIRE(log.episodes.size() == 1);
  CHECK(log.episodes[0].header.rows == 225);
  CHECK(log.episodes[0].energy.total_J == doctest::Approx(374.3).epsilon(2e-4));
  CHECK(log.episodes[0].energy.joint_work_J.value_or(0) == doctest::Approx(37.4).epsilon(2e-3));
  CHECK(log.episodes[0].energy.peak_W == doctest::Approx(61.4).epsilon(1e-3));
}

TEST_CASE("capture/ur3e: the plotted series become one episode each, without energy") {
  const auto data = shared_data();
  if (!data) return;
  const std::pair<const char*, uint64_t> files[] = {
      {"ITERATION-PLOTS.csv", 287}, {"VELOCITY-PLOT.csv", 2091}, {"WEIGHTS-PLOT.csv", 2091}};
  for (const auto& [name, rows] : files) {
    CAPTURE(name);
    const Log log = read_log(name, read_file(*data + "/ur3e_power/" + name));
    CHECK(log.report.kind == "ur3e_series");
    REQUIRE(log.episodes.size() == 1);
    check_invariants(log.episodes[0]);
    CHECK(log.episodes[0].header.rows == rows);
    CHECK(log.episodes[0].energy.method == "none");
    CHECK(log.episodes[0].header.outcome == "unknown");
  }
}

TEST_CASE("capture/mcap: topics and message counts of the rosbag2 fixtures") {
  const auto data = shared_data();
  if (!data) return;
  const std::map<std::string, std::map<std::string, uint64_t>> facts = {
      {"bag_with_topics_and_service_events.mcap",
       {{"/test_service1/_service_event", 4},
        {"/test_service2/_service_event", 4},
        {"/test_topic1", 1},
        {"/test_topic2", 1}}},
      {"cdr_test_0.mcap", {{"/array_topic", 4}, {"/test_topic", 3}}},
      {"talker.mcap", {{"/rosout", 10}, {"/topic", 10}}},
      {"test_bag_for_seek_0.mcap", {{"topic1", 5}}}};
  for (const auto& [name, topics] : facts) {
    CAPTURE(name);
    const std::string content = read_file(*data + "/rosbag2/" + name);
    const Log log = read_log(name, content);
    CHECK(log.report.kind == "ros2_mcap");
    CHECK(!log.report.damage);
    REQUIRE(log.episodes.size() == 1);
    const CapturedEpisode& e = log.episodes[0];
    check_invariants(e);
    std::map<std::string, uint64_t> counts;
    for (const auto& s : e.header.streams)
      if (s.unit == "messages") counts[s.name] = s.samples;
    CHECK(counts == topics);
    CHECK(e.header.complete);
    CHECK(e.slice.text() == content);
    CHECK(e.header.outcome == "unknown");  // no bag here has an emergency stop topic, so nothing is claimed
    CHECK(e.energy.method == "none");
    for (const auto& note : e.header.notes) CHECK(note.find("cannot be decoded") == std::string::npos);
  }
}

}  // namespace drover::capture::test

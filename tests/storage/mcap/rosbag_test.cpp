// Real rosbag2 files: counts, topics and times as another implementation (the Python mcap package) states them, and
// message contents as another decoder (mcap-ros2-support) gives them.
#include <doctest/doctest.h>

#include <map>

#include "storage/mcap/ros2.hpp"
#include "tests/storage/mcap/cases.hpp"
#include "tests/storage/mcap/json_form.hpp"

using namespace mcap_test;

namespace {

struct Fact {
  const char* file;
  const char* library;
  std::map<std::string, size_t> messages_by_topic;
  uint64_t first_ns, last_ns;
};

const std::vector<Fact> kFacts = {
    {"bag_with_topics_and_service_events.mcap",
     "libmcap 1.1.0",
     {{"/test_topic1", 1},
      {"/test_topic2", 1},
      {"/test_service1/_service_event", 4},
      {"/test_service2/_service_event", 4}},
     1699345836270074454,
     1699345836340728398},
    {"cdr_test_0.mcap",
     "libmcap 0.8.0",
     {{"/test_topic", 3}, {"/array_topic", 4}},
     1586406456763032325,
     1586406456914169506},
    {"talker.mcap", "mcap go #(devel)", {{"/rosout", 10}, {"/topic", 10}}, 1585866235112411371, 1585866239643508139},
    {"test_bag_for_seek_0.mcap", "libmcap 0.8.0", {{"topic1", 5}}, 1000000000, 1400000000},
};

std::map<std::string, size_t> count_topics(const std::vector<ReadMessage>& messages) {
  std::map<std::string, size_t> counts;
  for (const auto& m : messages) ++counts[m.channel->topic];
  return counts;
}

std::string rewrite(const std::string& content, Compression compression) {
  WriterOptions options;
  options.profile = "ros2";
  options.compression = compression;
  options.chunk_size_bytes = 2000;
  MemorySink sink;
  auto writer = Writer::open(sink, options);
  REQUIRE(writer);
  RecordReader reader(source_of(content));
  while (auto item = reader.next()) {
    if (const auto* schema = std::get_if<Schema>(&item->record)) REQUIRE(writer->add_schema(*schema));
    if (const auto* channel = std::get_if<Channel>(&item->record)) REQUIRE(writer->add_channel(*channel));
    if (const auto* message = std::get_if<Message>(&item->record)) REQUIRE(writer->write(*message));
    if (const auto* metadata = std::get_if<Metadata>(&item->record)) REQUIRE(writer->write(*metadata));
  }
  REQUIRE(!reader.damage());
  REQUIRE(writer->close());
  return sink.content();
}

double number_at(const Ros2Values& values, const std::string& path) {
  REQUIRE_MESSAGE(values.contains(path), path);
  REQUIRE(std::holds_alternative<double>(values.at(path)));
  return std::get<double>(values.at(path));
}
std::string text_at(const Ros2Values& values, const std::string& path) {
  REQUIRE_MESSAGE(values.contains(path), path);
  REQUIRE(std::holds_alternative<std::string>(values.at(path)));
  return std::get<std::string>(values.at(path));
}

std::vector<ReadMessage> messages_of(const char* file) {
  const auto folder = shared_data("rosbag2");
  return folder.empty() ? std::vector<ReadMessage>{} : read_all(read_whole(folder / file)).messages;
}

Ros2Values decode(const ReadMessage& m) {
  auto values = decode_ros2(m.schema->name, m.schema->data.text(), m.message.data);
  REQUIRE_MESSAGE(values, m.channel->topic, ": ", (values ? "" : values.error().message()));
  return *values;
}

}  // namespace

TEST_CASE("storage/mcap: rosbag2 files have the topics, counts and times another reader finds") {
  const auto folder = shared_data("rosbag2");
  if (folder.empty()) {
    MESSAGE("skipped: DROVER_SHARED_DATA has no rosbag2");
    return;
  }
  for (const auto& fact : kFacts) {
    CAPTURE(fact.file);
    const auto file = file_source((folder / fact.file).string());
    REQUIRE(file);
    RecordReader records(*file);
    const auto header = records.next();
    REQUIRE(header);
    CHECK(std::get<Header>(header->record).profile == "ros2");
    CHECK(std::get<Header>(header->record).library == fact.library);

    const std::string content = read_whole(folder / fact.file);
    const auto indexed = read_all(content);
    CHECK(indexed.report.used_index);
    CHECK(!indexed.report.damage);
    CHECK(count_topics(indexed.messages) == fact.messages_by_topic);
    CHECK(indexed.messages.front().message.log_time_ns == fact.first_ns);
    CHECK(indexed.messages.back().message.log_time_ns == fact.last_ns);
    const auto scanned = read_all(content, by_scan(Order::log_time));
    CHECK(!scanned.report.used_index);
    CHECK(scanned.messages.size() == indexed.messages.size());
    CHECK(is_prefix(scanned.messages, indexed.messages));
  }
}

TEST_CASE("storage/mcap: rosbag2 files survive rewriting with every compression") {
  const auto folder = shared_data("rosbag2");
  for (const auto& path : files_below(folder, ".mcap")) {
    const std::string content = read_whole(path);
    const auto original = read_all(content, by_scan());
    for (const auto compression : {Compression::none, Compression::lz4, Compression::zstd}) {
      const auto copy = read_all(rewrite(content, compression), by_scan());
      CAPTURE(path.filename().string());
      CHECK(!copy.report.damage);
      CHECK(copy.messages.size() == original.messages.size());
      CHECK(is_prefix(copy.messages, original.messages));
    }
  }
}

TEST_CASE("storage/mcap: ros2 messages of real files decode to what another decoder gives") {
  const auto talker = messages_of("talker.mcap");
  if (talker.empty()) {
    MESSAGE("skipped: DROVER_SHARED_DATA has no rosbag2");
    return;
  }
  REQUIRE(talker.size() == 20);
  CHECK(text_at(decode(talker[1]), "data") == "Hello, world! 0");
  CHECK(*read_std_string(talker[19].message.data) == "Hello, world! 9");
  const auto log = decode(talker[0]);
  CHECK(number_at(log, "stamp.sec") == 1585866235);
  CHECK(number_at(log, "stamp.nanosec") == 112130688);
  CHECK(number_at(log, "level") == 20);
  CHECK(number_at(log, "line") == 38);
  CHECK(text_at(log, "function") == "operator()");
  const auto typed = read_ros_log(talker[0].message.data);
  REQUIRE(typed);
  CHECK(typed->msg == "Publishing: 'Hello, world! 0'");
  CHECK(typed->stamp == RosTime{1585866235, 112130688});
  CHECK(typed->line == 38);

  const auto arrays = messages_of("cdr_test_0.mcap");
  REQUIRE(arrays.size() == 7);
  CHECK(number_at(decode(arrays[0]), "int32_value") == 123);
  const auto nested = decode(arrays[1]);
  CHECK(std::get<std::vector<double>>(nested.at("bool_values")) == std::vector<double>{1, 0, 1});
  CHECK(std::get<std::vector<std::string>>(nested.at("string_values")) ==
        std::vector<std::string>{"Complex Hello1", "Complex Hello2", "Complex Hello3"});
  CHECK(nested.contains("basic_types_values[2].uint64_value"));
  CHECK(nested.contains("alignment_check"));
}

TEST_CASE("storage/mcap: every message of the real files decodes, service events too") {
  const auto folder = shared_data("rosbag2");
  size_t events = 0;
  for (const auto& path : files_below(folder, ".mcap")) {
    for (const auto& m : read_all(read_whole(path)).messages) {
      const auto values = decode(m);
      CHECK(!values.empty());
      if (!m.schema->name.ends_with("_Event")) continue;
      ++events;
      CHECK(number_at(values, "info.event_type") < 4);  // request sent, received, response sent, received
      CHECK(number_at(values, "info.stamp.sec") == 1699345836);
    }
  }
  CHECK((folder.empty() || events == 8));
}

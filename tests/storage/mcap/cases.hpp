// Shared by the tests of damaged and of whole files: reading everything into memory, and building small files.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "storage/mcap/reader.hpp"
#include "storage/mcap/writer.hpp"

namespace mcap_test {

using namespace drover;
using namespace drover::mcap;

inline std::shared_ptr<const Source> source_of(std::string_view content) {
  return memory_source(Bytes::copy_of(content));
}

struct Everything {
  std::vector<ReadMessage> messages;
  ReadReport report;
};

inline Everything read_all(std::string_view content, const MessageQuery& query = {}, const ReadOptions& options = {}) {
  Everything all;
  all.report = read_messages(source_of(content), query, options, [&](const ReadMessage& m) {
    all.messages.push_back(m);
    return true;
  });
  return all;
}

inline MessageQuery by_scan(Order order = Order::file) {
  return {order, {}, {}, {}, false};
}

inline bool same(const ReadMessage& a, const ReadMessage& b) {
  const bool schema = (a.schema == nullptr) == (b.schema == nullptr) && (!a.schema || *a.schema == *b.schema);
  return schema && *a.channel == *b.channel && a.message == b.message;
}

inline bool is_prefix(const std::vector<ReadMessage>& part, const std::vector<ReadMessage>& whole) {
  if (part.size() > whole.size()) return false;
  for (size_t i = 0; i < part.size(); ++i)
    if (!same(part[i], whole[i])) return false;
  return true;
}

// `message_count` messages on two topics in several chunks; log times go forth and back by up to 3 steps of 10 ns.
inline std::string make_file(WriterOptions options, size_t message_count = 60) {
  options.chunk_size_bytes = 400;
  MemorySink sink;
  auto writer = Writer::open(sink, options);
  REQUIRE(writer);
  const auto schema = writer->add_schema("demo/msg/Sample", "ros2msg", Bytes::copy_of("float64 value\n"));
  REQUIRE(schema);
  const auto a = writer->add_channel("/a", "cdr", *schema, {{"key", "value"}});
  const auto b = writer->add_channel("/b", "cdr", 0);
  REQUIRE(a);
  REQUIRE(b);
  for (size_t i = 0; i < message_count; ++i) {
    const uint64_t time_ns = 1000 + 10 * (i / 4 * 4 + 3 - i % 4);
    REQUIRE(writer->write(Message{i % 3 == 0 ? *b : *a, static_cast<uint32_t>(i), time_ns, time_ns + 1,
                                  Bytes::copy_of("payload number " + std::to_string(i))}));
  }
  REQUIRE(writer->write(Attachment{5, 6, "notes.txt", "text/plain", Bytes::copy_of("all went well"), 0}));
  REQUIRE(writer->write(Metadata{"run", {{"robot", "r1"}, {"site", "lab"}}}));
  REQUIRE(writer->close());
  return sink.content();
}

}  // namespace mcap_test

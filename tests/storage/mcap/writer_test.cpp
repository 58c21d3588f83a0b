// The writer: refusals, determinism, crash behaviour; and read_messages over its files.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "storage/mcap/codec.hpp"
#include "tests/storage/mcap/cases.hpp"

using namespace mcap_test;

namespace {

// Takes `appends_max` appends, then fails as a full disk does.
class FullSink final : public Sink {
 public:
  explicit FullSink(size_t appends_max) : left_(appends_max) {}
  Status append(ByteView bytes) override {
    if (left_ == 0) return fail(Errc::disk_full, "test", "full");
    --left_;
    content.append(as_text(bytes));
    return {};
  }
  std::string content;

 private:
  size_t left_;
};

std::vector<uint64_t> times_of(const std::vector<ReadMessage>& messages) {
  std::vector<uint64_t> times;
  for (const auto& m : messages) times.push_back(m.message.log_time_ns);
  return times;
}

}  // namespace

TEST_CASE("storage/mcap: the same calls write the same bytes") {
  for (const auto compression : {Compression::none, Compression::lz4, Compression::zstd}) {
    WriterOptions options;
    options.compression = compression;
    CHECK(make_file(options) == make_file(options));
  }
}

TEST_CASE("storage/mcap: by index, by scan and unchunked give the same messages in log time order") {
  const auto expected = read_all(make_file({}));
  CHECK(expected.report.used_index);
  CHECK(expected.messages.size() == 60);
  const auto times = times_of(expected.messages);
  CHECK(std::is_sorted(times.begin(), times.end()));
  for (const bool chunked : {true, false}) {
    for (const auto compression : {Compression::none, Compression::lz4, Compression::zstd}) {
      WriterOptions options;
      options.chunked = chunked;
      options.compression = compression;
      const std::string content = make_file(options);
      const auto ordered = read_all(content);
      CHECK(ordered.report.used_index == chunked);
      CHECK(!ordered.report.damage);
      CHECK(times_of(ordered.messages) == times);
      CHECK(is_prefix(ordered.messages, expected.messages));
      CHECK(times_of(read_all(content, by_scan(Order::log_time)).messages) == times);
      CHECK(read_all(content, by_scan()).messages[0].message.sequence == 0);  // file order
    }
  }
}

TEST_CASE("storage/mcap: time range and topic filters agree with filtering by hand") {
  const std::string content = make_file({});
  const auto all = read_all(content).messages;
  for (const auto order : {Order::file, Order::log_time}) {
    for (const bool use_index : {true, false}) {
      const MessageQuery query{order, 1100, 1300, {"/a"}, use_index};
      const auto found = read_all(content, query);
      CHECK(found.report.used_index == use_index);
      const auto wanted = std::count_if(all.begin(), all.end(), [](const ReadMessage& m) {
        return m.message.log_time_ns >= 1100 && m.message.log_time_ns < 1300 && m.channel->topic == "/a";
      });
      CHECK(found.messages.size() == static_cast<size_t>(wanted));
      CHECK(wanted > 5);
      for (const auto& m : found.messages) CHECK(m.channel->topic == "/a");
    }
  }
  CHECK(read_all(content, {Order::log_time, {}, {}, {"/none"}, true}).messages.empty());
}

TEST_CASE("storage/mcap: an index that does not account for the whole file is not used") {
  WriterOptions options;
  options.repeat_channels = false;
  auto read = read_all(make_file(options));
  CHECK(!read.report.used_index);
  CHECK(read.messages.size() == 60);
  options = {};
  options.chunk_index = false;
  CHECK(!read_all(make_file(options)).report.used_index);

  // A message between the chunks, which no index knows: the summary alone would lose it.
  std::string content = make_file({});
  const auto summary = read_summary(*source_of(content));
  REQUIRE(summary);
  std::string loose;
  append_record(loose, Message{1, 99, 1, 1, {}});
  const size_t data_end = summary->footer.summary_start - 13;
  std::string patched = content.substr(0, data_end) + loose;
  append_record(patched, DataEnd{});
  std::string tail = content.substr(summary->footer.summary_start);
  Footer footer{patched.size(), 0, 0};
  tail.resize(tail.size() - kMagic.size() - kFrameBytes - kFooterBodyBytes);
  append_record(tail, footer);
  patched += tail + content.substr(0, kMagic.size());
  read = read_all(patched);
  CHECK(!read.report.used_index);
  CHECK(!read.report.damage);
  CHECK(read.messages.size() == 61);
}

TEST_CASE("storage/mcap: the summary leads to attachments and metadata") {
  const std::string content = make_file({});
  const auto source = source_of(content);
  const auto summary = read_summary(*source);
  REQUIRE(summary);
  CHECK(summary->statistics->message_count == 60);
  CHECK(summary->statistics->message_start_time_ns == 1000);
  CHECK(summary->statistics->message_end_time_ns == 1590);
  CHECK(summary->statistics->chunk_count == summary->chunks.size());
  CHECK(summary->chunks.size() > 5);
  REQUIRE(summary->attachments.size() == 1);
  REQUIRE(summary->metadata.size() == 1);
  const auto attachment = read_attachment(*source, summary->attachments[0]);
  REQUIRE(attachment);
  CHECK(attachment->data.text() == "all went well");
  const auto metadata = read_metadata(*source, summary->metadata[0]);
  REQUIRE(metadata);
  CHECK(metadata->metadata == StringMap{{"robot", "r1"}, {"site", "lab"}});
  CHECK(!read_attachment(*source, AttachmentIndex{8, 9, 0, 0, 0, "notes.txt", ""}));
  CHECK(!read_attachment(*source, AttachmentIndex{UINT64_MAX, 9, 0, 0, 0, "notes.txt", ""}));
}

TEST_CASE("storage/mcap: message indexes point at the messages") {
  const std::string content = make_file({});
  ReadOptions options;
  options.emit_chunks = true;
  RecordReader reader(source_of(content), options);
  Bytes records;
  size_t entries = 0;
  while (auto item = reader.next()) {
    if (const auto* chunk = std::get_if<Chunk>(&item->record)) records = *decompress_chunk(*chunk, 1 << 20, true);
    const auto* index = std::get_if<MessageIndex>(&item->record);
    if (index == nullptr) continue;
    for (const auto& entry : index->entries) {
      ++entries;
      REQUIRE(entry.offset + kFrameBytes + 22 <= records.size());
      const auto message = decode_record(5, records.slice(entry.offset + kFrameBytes, 22));
      REQUIRE(message);
      CHECK(std::get<Message>(*message).channel_id == index->channel_id);
      CHECK(std::get<Message>(*message).log_time_ns == entry.log_time_ns);
    }
  }
  CHECK(entries == 60);
}

TEST_CASE("storage/mcap: wrong use of the writer is refused by name") {
  MemorySink sink;
  CHECK(Writer::open(sink, {.chunk_size_bytes = 0}).error().code == Errc::invalid_argument);
  auto writer = Writer::open(sink, {});
  REQUIRE(writer);
  CHECK(writer->write(Message{1, 0, 0, 0, {}}).error().code == Errc::not_found);
  CHECK(writer->add_schema(Schema{}).error().code == Errc::invalid_argument);
  CHECK(writer->add_channel("/t", "cdr", 7).error().code == Errc::not_found);
  REQUIRE(writer->add_schema(Schema{3, "n", "e", {}}));
  CHECK(writer->add_schema(Schema{3, "n", "e", {}}));
  CHECK(writer->add_schema(Schema{3, "other", "e", {}}).error().code == Errc::conflict);
  CHECK(*writer->add_schema("next", "e", {}) == 4);
  REQUIRE(writer->close());
  CHECK(writer->close().error().code == Errc::refused);
  CHECK(writer->write(Metadata{}).error().code == Errc::refused);
}

TEST_CASE("storage/mcap: after a crash or a full disk the file reads up to the last complete chunk") {
  for (size_t appends = 1; appends < 6; ++appends) {
    FullSink sink(appends);  // the first append is magic and header, then one per chunk
    auto writer = Writer::open(sink, {.chunk_size_bytes = 1 << 20});
    REQUIRE(writer);
    REQUIRE(writer->add_channel("/t", "raw", 0));
    size_t durable = 0;
    Status status;
    for (uint32_t i = 0; i < 50 && status; ++i) {
      REQUIRE(writer->write(Message{1, i, i, i, Bytes::copy_of("x")}));
      if (i % 10 != 9) continue;
      status = writer->flush();
      if (status) durable = i + 1;
    }
    const auto read = read_all(sink.content);
    CHECK(read.messages.size() == durable);
    CHECK(durable == 10 * (appends - 1));
    CHECK(read.report.damage->code == Errc::truncated);
    if (appends == 5) continue;
    CHECK(status.error().code == Errc::disk_full);
    CHECK(writer->write(Message{1, 0, 0, 0, {}}).error().code == Errc::disk_full);
    CHECK(writer->close().error().code == Errc::disk_full);
  }
}

TEST_CASE("storage/mcap: files on disk are written once and read without loading them") {
  const auto folder =
      std::filesystem::temp_directory_path() / ("drover_mcap_" + std::to_string(std::random_device{}()));
  std::filesystem::create_directories(folder);
  const std::string path = (folder / "a.mcap").string();
  {
    auto sink = FileSink::create(path);
    REQUIRE(sink);
    auto writer = Writer::open(**sink, {});
    REQUIRE(writer);
    REQUIRE(writer->add_channel("/big", "raw", 0));
    const Bytes data = Bytes::copy_of(std::string(100000, 'd'));
    for (uint32_t i = 0; i < 50; ++i) REQUIRE(writer->write(Message{1, i, 100 - i, 0, data}));
    REQUIRE(writer->close());
    REQUIRE((*sink)->sync());
  }
  CHECK(FileSink::create(path).error().code == Errc::already_exists);
  CHECK(file_source((folder / "none").string()).error().code == Errc::not_found);
  CHECK(!file_source(folder.string()));
  const auto source = file_source(path);
  REQUIRE(source);
  uint64_t last = 0, count = 0;
  const auto report = read_messages(*source, {}, {}, [&](const ReadMessage& m) {
    CHECK(m.message.log_time_ns > last);
    last = m.message.log_time_ns;
    return ++count < 40;
  });
  CHECK(count == 40);
  CHECK(report.message_count == 40);
  CHECK(!report.damage);
  std::filesystem::resize_file(path, 60);
  RecordReader reader(*source);  // the file shrank after it was opened
  while (reader.next()) {
  }
  REQUIRE(reader.damage());
  CHECK(reader.damage()->code == Errc::truncated);
  std::filesystem::remove_all(folder);
}

TEST_CASE("storage/mcap: the worked example of FORMAT.md is what the writer writes") {
  const unsigned char expected[] = {
      0x89, 0x4d, 0x43, 0x41, 0x50, 0x30, 0x0d, 0x0a, 0x01, 0x09, 0,    0,    0,    0,    0,    0,    0,    0,    0,
      0,    0,    1,    0,    0,    0,    0x64, 0x06, 0x67, 0,    0,    0,    0,    0,    0,    0,    5,    0,    0,
      0,    0,    0,    0,    0,    5,    0,    0,    0,    0,    0,    0,    0,    0x3f, 0,    0,    0,    0,    0,
      0,    0,    0x9b, 0xe2, 0x14, 0x5f, 0,    0,    0,    0,    0x3f, 0,    0,    0,    0,    0,    0,    0,    0x04,
      0x15, 0,    0,    0,    0,    0,    0,    0,    1,    0,    0,    0,    2,    0,    0,    0,    0x2f, 0x74, 3,
      0,    0,    0,    0x72, 0x61, 0x77, 0,    0,    0,    0,    0x05, 0x18, 0,    0,    0,    0,    0,    0,    0,
      1,    0,    0,    0,    0,    0,    5,    0,    0,    0,    0,    0,    0,    0,    5,    0,    0,    0,    0,
      0,    0,    0,    0x68, 0x69, 0x0f, 4,    0,    0,    0,    0,    0,    0,    0,    0x26, 0x3d, 0x57, 0x5c, 0x02,
      0x14, 0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,
      0,    0,    0,    0,    0,    0xb0, 0xc9, 0xc4, 0x6f, 0x89, 0x4d, 0x43, 0x41, 0x50, 0x30, 0x0d, 0x0a};
  MemorySink sink;
  WriterOptions options;
  options.library = "d";
  options.compression = Compression::none;
  options.repeat_schemas = options.repeat_channels = options.statistics = options.message_index = false;
  options.chunk_index = options.attachment_index = options.metadata_index = options.summary_offsets = false;
  auto writer = Writer::open(sink, options);
  REQUIRE(writer);
  REQUIRE(writer->add_channel("/t", "raw", 0));
  REQUIRE(writer->write(Message{1, 0, 5, 5, Bytes::copy_of("hi")}));
  REQUIRE(writer->close());
  CHECK(sink.content() == std::string(reinterpret_cast<const char*>(expected), sizeof(expected)));
}

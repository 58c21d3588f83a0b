// Damaged and hostile files: never a crash, always a prefix, always a report.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "storage/mcap/codec.hpp"
#include "tests/storage/mcap/cases.hpp"
#include "tests/storage/mcap/json_form.hpp"

using namespace mcap_test;

namespace {

constexpr uint32_t kSeed = 20240607;
constexpr size_t kCutsPerFile = 200;
constexpr size_t kFlipsPerFile = 200;

std::vector<std::pair<std::string, std::string>> real_files() {
  std::vector<std::pair<std::string, std::string>> files;
  for (const char* folder : {"rosbag2", "mcap_conformance"})
    for (const auto& path : files_below(shared_data(folder), ".mcap"))
      files.emplace_back(path.filename().string(), read_whole(path));
  if (files.empty()) MESSAGE("DROVER_SHARED_DATA has no MCAP files: made files only");
  for (const auto compression : {Compression::none, Compression::lz4, Compression::zstd}) {
    WriterOptions options;
    options.compression = compression;
    files.emplace_back(std::string("made/") + std::string(compression_name(compression)), make_file(options));
  }
  return files;
}

std::string le64(uint64_t value) {
  std::string out;
  for (int i = 0; i < 8; ++i) out.push_back(static_cast<char>((value >> (8 * i)) & 0xff));
  return out;
}

std::string magic() {
  return std::string(reinterpret_cast<const char*>(kMagic.data()), kMagic.size());
}

std::string file_with(const std::vector<AnyRecord>& records) {
  std::string out = magic();
  append_record(out, Header{});
  for (const auto& record : records) append_record(out, record);
  return out;
}

std::optional<Damage> damage_of(const std::string& content, size_t* records = nullptr,
                                const ReadOptions& options = {}) {
  RecordReader reader(source_of(content), options);
  size_t count = 0;
  while (reader.next()) ++count;
  if (records != nullptr) *records = count;
  return reader.damage();
}

Chunk chunk_of(const std::string& records) {
  return {0, 0, records.size(), crc32_of(as_bytes(records)), "", Bytes::copy_of(records)};
}

}  // namespace

TEST_CASE("storage/mcap: a file cut anywhere gives a prefix and says that it is truncated") {
  std::mt19937 random(kSeed);
  MESSAGE("seed ", kSeed);
  for (const auto& [name, content] : real_files()) {
    CAPTURE(name);
    const auto in_file_order = read_all(content, by_scan()).messages;
    for (size_t i = 0; i < kCutsPerFile; ++i) {
      const size_t cut = random() % content.size();
      CAPTURE(cut);
      const std::string part = content.substr(0, cut);
      const auto read = read_all(part, by_scan());
      REQUIRE(is_prefix(read.messages, in_file_order));
      REQUIRE(read.report.damage);
      REQUIRE(read.report.damage->code == Errc::truncated);
      REQUIRE(read.report.damage->offset <= cut);
      const auto ordered = read_all(part);
      REQUIRE(ordered.report.damage);
      REQUIRE(ordered.messages.size() == read.messages.size());
    }
  }
}

TEST_CASE("storage/mcap: a flipped bit never crashes, and never changes what a chunk CRC covers") {
  std::mt19937 random(kSeed + 1);
  MESSAGE("seed ", kSeed + 1);
  size_t found = 0, flips = 0;
  for (const auto& [name, content] : real_files()) {
    CAPTURE(name);
    const bool made = name.starts_with("made/");
    const auto whole = read_all(content, by_scan()).messages;
    for (size_t i = 0; i < (made ? 20 * kFlipsPerFile : kFlipsPerFile / 4); ++i) {
      std::string broken = content;
      const size_t bit = random() % (content.size() * 8);
      CAPTURE(bit);
      broken[bit / 8] = static_cast<char>(broken[bit / 8] ^ (1 << (bit % 8)));
      auto read = read_all(broken, by_scan());
      const auto ordered = read_all(broken);
      if (!made) continue;
      for (const auto& m : ordered.messages) {
        const auto original = std::find_if(whole.begin(), whole.end(), [&](const auto& w) { return same(w, m); });
        REQUIRE((original != whole.end() || !m.crc_checked));
      }
      // An index record whose opcode flips to Message's is a message outside chunks: only DataEnd can tell.
      std::erase_if(read.messages, [](const ReadMessage& m) { return !m.crc_checked; });
      REQUIRE(is_prefix(read.messages, whole));
      ++flips;
      if (read.report.damage) ++found;
    }
  }
  CHECK(found == flips);  // every bit of a file of ours is under some CRC, length or magic
}

TEST_CASE("storage/mcap: lengths that lie end the reading and allocate nothing") {
  for (const uint64_t length : {uint64_t{1} << 63, UINT64_MAX, UINT64_MAX - 8, uint64_t{1} << 32, uint64_t{17}}) {
    std::string content = file_with({});
    const size_t at = content.size();
    content += '\x05' + le64(length) + std::string(16, 'x');
    size_t records = 0;
    const auto damage = damage_of(content, &records);
    REQUIRE(damage);
    CHECK(damage->code == Errc::truncated);
    CHECK(damage->offset == at);
    CHECK(records == 1);
  }
}

TEST_CASE("storage/mcap: a chunk that claims more than the limit or more than it holds is refused") {
  Chunk huge = chunk_of("");
  for (const char* compression : {"", "lz4", "zstd"}) {
    huge.compression = compression;
    huge.records = Bytes::copy_of("0123456789");
    huge.uncompressed_bytes = uint64_t{4} << 30;
    CHECK(damage_of(file_with({huge}))->code == Errc::too_large);
    huge.uncompressed_bytes = uint64_t{1} << 63;
    CHECK(damage_of(file_with({huge}))->code == Errc::too_large);
    huge.uncompressed_bytes = 1000;
    CHECK(damage_of(file_with({huge}))->code == Errc::corrupt);
  }
  const std::string zeros(100000, '\0');
  for (const auto compression : {Compression::lz4, Compression::zstd}) {
    const auto packed = compress(compression, as_bytes(zeros));
    REQUIRE(packed);
    for (const uint64_t claimed : {uint64_t{0}, uint64_t{99999}, uint64_t{100001}}) {
      const Chunk lying{0, 0, claimed, 0, std::string(compression_name(compression)), Bytes::copy_of(*packed)};
      CHECK(decompress_chunk(lying, 1 << 20, true).error().code == Errc::corrupt);
    }
  }
}

TEST_CASE("storage/mcap: unknown compression and a record over the limit are named") {
  Chunk chunk = chunk_of("");
  chunk.compression = "brotli";
  const auto damage = damage_of(file_with({chunk}));
  REQUIRE(damage);
  CHECK(damage->code == Errc::unsupported_version);
  CHECK(damage->what.find("brotli") != std::string::npos);

  ReadOptions small;
  small.record_bytes_max = 100;
  CHECK(damage_of(file_with({Metadata{"m", {{"k", std::string(200, 'v')}}}}), nullptr, small)->code == Errc::too_large);
}

TEST_CASE("storage/mcap: structure that the format forbids is corrupt") {
  std::string inner;
  append_record(inner, chunk_of(""));
  CHECK(damage_of(file_with({chunk_of(inner)}))->code == Errc::corrupt);        // a chunk in a chunk
  CHECK(damage_of(file_with({chunk_of("\x05short")}))->code == Errc::corrupt);  // a chunk ends in a record's head
  CHECK(damage_of(file_with({Header{}}))->code == Errc::corrupt);               // a second header
  CHECK(damage_of(file_with({Footer{}}))->code == Errc::corrupt);               // a footer without DataEnd
  CHECK(damage_of(file_with({DataEnd{}, Message{}}))->code == Errc::corrupt);   // a message in the summary
  CHECK(damage_of(file_with({Schema{}}))->code == Errc::corrupt);               // schema id 0
  CHECK(damage_of(file_with({DataEnd{1}}))->code == Errc::corrupt);             // wrong data CRC
  CHECK(damage_of(file_with({Attachment{0, 0, "a", "b", {}, 7}}))->code == Errc::corrupt);
  CHECK(damage_of(file_with({DataEnd{}, Footer{0, 0, 9}}))->code == Errc::corrupt);   // wrong summary CRC
  CHECK(damage_of(file_with({DataEnd{}, Footer{77, 0, 0}}))->code == Errc::corrupt);  // summary elsewhere
  for (int opcode = 0; opcode < 16; ++opcode) {                                       // zero-length records
    CAPTURE(opcode);
    const bool first = opcode == 1;
    std::string content = first ? magic() : file_with({});
    content += static_cast<char>(opcode) + le64(0);
    CHECK(damage_of(content)->code == Errc::corrupt);
  }
}

TEST_CASE("storage/mcap: magic is checked at both ends") {
  std::string whole = file_with({DataEnd{}, Footer{}}) + magic();
  CHECK(!damage_of(whole));
  CHECK(damage_of("")->code == Errc::truncated);
  CHECK(damage_of("\x89MC")->code == Errc::truncated);
  CHECK(damage_of("PK\x03\x04")->code == Errc::corrupt);
  CHECK(damage_of(whole + "x")->code == Errc::corrupt);
  CHECK(damage_of(whole.substr(0, whole.size() - 1))->code == Errc::truncated);
  whole.back() = 'x';
  CHECK(damage_of(whole)->code == Errc::corrupt);
}

TEST_CASE("storage/mcap: reserved and private opcodes are skipped or given, inside chunks too") {
  std::string inner;
  append_record(inner, UnknownRecord{0x90, Bytes::copy_of("private")});
  const std::string content = file_with({UnknownRecord{0x10, {}}, chunk_of(inner),
                                         UnknownRecord{0xff, Bytes::copy_of("x")}, DataEnd{}, Footer{}}) +
                              magic();
  size_t records = 0;
  CHECK(!damage_of(content, &records));
  CHECK(records == 3);
  ReadOptions all;
  all.emit_unknown = all.emit_chunks = true;
  CHECK(!damage_of(content, &records, all));
  CHECK(records == 7);
}

TEST_CASE("storage/mcap: messages without their channel or schema are damage, what came before is given") {
  const Channel channel{1, 0, "/t", "raw", {}};
  const Message good{1, 0, 5, 5, Bytes::copy_of("a")};
  const Message stray{2, 0, 6, 6, {}};
  for (const auto order : {Order::file, Order::log_time}) {
    const auto read = read_all(file_with({channel, good, stray}), by_scan(order));
    CHECK(read.messages.size() == 1);
    REQUIRE(read.report.damage);
    CHECK(read.report.damage->code == Errc::corrupt);
  }
  const auto no_schema = read_all(file_with({Channel{1, 9, "/t", "raw", {}}, good}), by_scan());
  CHECK(no_schema.messages.empty());
  CHECK(no_schema.report.damage->code == Errc::corrupt);
  const auto twice = read_all(file_with({channel, good, Channel{1, 0, "/other", "raw", {}}, good}), by_scan());
  CHECK(twice.messages.size() == 1);
  CHECK(twice.report.damage->code == Errc::corrupt);
}

TEST_CASE("storage/mcap: many compressible schemas meet the table limit, overlapping chunks the pending limit") {
  std::vector<AnyRecord> schemas;
  for (uint16_t id = 1; id <= 20; ++id) schemas.push_back(Schema{id, "s", "e", Bytes::copy_of(std::string(1000, 'x'))});
  ReadOptions options;
  options.table_bytes_max = 10000;
  CHECK(read_all(file_with(schemas), by_scan(), options).report.damage->code == Errc::too_large);

  options = {};
  options.pending_bytes_max = 1000;
  const auto read = read_all(make_file({}), {}, options);
  REQUIRE(read.report.damage);
  CHECK(read.report.damage->code == Errc::too_large);
  options = {};
  options.span_count_max = 2;
  CHECK(read_all(make_file({}), by_scan(Order::log_time), options).report.damage->code == Errc::too_large);
}

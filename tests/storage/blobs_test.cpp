#include "storage/blobs.hpp"

#include "tests/storage/temp_store.hpp"

using namespace drover;
using namespace drover::storage;
using namespace drover::storage::test;

namespace {
std::string content_of(size_t size, char c) {
  return std::string(size, c);
}
NewChunk chunk_from(const std::string& text, double value, std::string_view episode = "e1") {
  return {sha256(as_bytes(text)), as_bytes(text), value, episode};
}
}  // namespace

TEST_CASE("storage/blobs: chunks are stored once, and only with the content they are named by") {
  TempDir dir;
  Env env = must(Env::open(options_for(dir.store(), Blobs::databases())));
  const Blobs blobs = Blobs::open(env);
  const std::string text = content_of(1000, 'x');
  NewChunk chunk = chunk_from(text, 1);
  CHECK(must(env.write([&](WriteTxn& t) { return blobs.put_in(t, chunk); })));
  chunk.value_per_byte = 3;
  chunk.episode_id = "e0";
  CHECK_FALSE(must(env.write([&](WriteTxn& t) { return blobs.put_in(t, chunk); })));
  const auto facts = must(env.read([&](const ReadTxn& t) { return blobs.facts_in(t, chunk.hash); }));
  REQUIRE(facts);
  CHECK(facts->value_per_byte == 3);
  CHECK(facts->episodes == std::vector<std::string>{"e0", "e1"});
  CHECK(must(env.read([&](const ReadTxn& t) { return blobs.totals_in(t); })).held_bytes == 1000);
  chunk.hash[0] ^= std::byte{1};
  CHECK(env.write([&](WriteTxn& t) { return blobs.put_in(t, chunk); }).error().code == Errc::corrupt);
}

TEST_CASE("storage/blobs: eviction takes the cheapest acknowledged chunks and nothing else") {
  TempDir dir;
  Env env = must(Env::open(options_for(dir.store(), Blobs::databases())));
  const Blobs blobs = Blobs::open(env);
  const std::string cheap = content_of(100, 'a'), dear = content_of(100, 'b'), unacked = content_of(100, 'c');
  const NewChunk chunks[] = {chunk_from(dear, 5), chunk_from(cheap, 1), chunk_from(unacked, 0)};
  must(env.write([&](WriteTxn& t) -> Status {
    for (const NewChunk& c : chunks) DROVER_TRY(blobs.put_in(t, c));
    DROVER_TRY(blobs.ack_in(t, chunks[0].hash));
    return blobs.ack_in(t, chunks[1].hash);
  }));
  const auto list = [&](uint64_t n) {
    return must(env.read([&](const ReadTxn& t) { return blobs.eviction_candidates_in(t, n); }));
  };
  CHECK(list(1) == std::vector<Hash>{chunks[1].hash});
  CHECK(list(1000) == std::vector<Hash>{chunks[1].hash, chunks[0].hash});
  const Hash both[] = {chunks[1].hash, chunks[2].hash};
  CHECK(env.write([&](WriteTxn& t) { return blobs.evict_in(t, both, 9, "quota"); }).error().code == Errc::refused);
  CHECK(must(env.read([&](const ReadTxn& t) { return blobs.has_in(t, both[0]); })));
  const auto receipts = must(env.write([&](WriteTxn& t) { return blobs.evict_in(t, std::span(both, 1), 9, "quota"); }));
  REQUIRE(receipts.size() == 1);
  CHECK(receipts[0].hash == both[0]);
  CHECK(receipts[0].size_bytes == 100);
  CHECK(receipts[0].value_per_byte == 1);
  CHECK(receipts[0].acknowledged);
  const auto totals = must(env.read([&](const ReadTxn& t) { return blobs.totals_in(t); }));
  CHECK(totals.held_bytes == 200);
  CHECK(totals.acked_bytes == 100);
}

TEST_CASE("storage/blobs: wanted chunks come by value, resume inside, and wrong content is dropped") {
  TempDir dir;
  Env env = must(Env::open(options_for(dir.store(), Blobs::databases())));
  const Blobs blobs = Blobs::open(env);
  std::string content = content_of(chunk_bytes, 'p') + content_of(5000, 'q');
  const BlobRef blob = describe_blob("raw", "text/plain", as_bytes(content));
  REQUIRE(blob.chunks.size() == 2);
  must(env.write([&](WriteTxn& t) -> Status {
    DROVER_TRY(blobs.refer_in(t, "r1", "e1", 1, std::span(blob.chunks).first(1)));
    DROVER_TRY(blobs.refer_in(t, "r2", "e2", 1, std::span(blob.chunks).first(1)));
    return blobs.refer_in(t, "r1", "e1", 2, std::span(blob.chunks).last(1));
  }));
  const auto wanted = [&](const char* robot) {
    return must(env.read([&](const ReadTxn& t) { return blobs.wanted_in(t, robot, UINT64_MAX, 10); }));
  };
  REQUIRE(wanted("r1").size() == 2);
  CHECK(wanted("r1")[0].hash == blob.chunks[1].hash);
  const auto piece = [&](const Hash& hash, uint64_t offset, uint32_t whole, std::string_view bytes) {
    return must(env.write([&](WriteTxn& t) { return blobs.put_piece_in(t, {hash, offset, whole, as_bytes(bytes)}); }));
  };
  const Hash small = blob.chunks[1].hash;
  const std::string q = content_of(5000, 'q');
  CHECK(piece(small, 100, 5000, q.substr(0, 50)).outcome.have_bytes == 0);  // a hole: ignored
  CHECK(piece(small, 0, 5000, q.substr(0, 2000)).outcome.have_bytes == 2000);
  CHECK(wanted("r1")[0].have_bytes == 2000);
  CHECK(piece(small, 1000, 5000, std::string(4000, '!')).error->code == Errc::corrupt);
  CHECK(wanted("r1")[0].have_bytes == 0);
  CHECK(piece(small, 0, 4000, q.substr(0, 10)).error->code == Errc::conflict);
  CHECK(piece(small, 4000, 5000, q).error->code == Errc::invalid_argument);
  piece(small, 0, 5000, q.substr(0, 3000));
  CHECK(piece(small, 2500, 5000, q.substr(2500)).outcome.complete);
  CHECK(piece(blob.chunks[0].hash, 0, chunk_bytes, content.substr(0, chunk_bytes)).outcome.complete);
  CHECK(wanted("r1").empty());
  CHECK(wanted("r2").empty());
  const auto totals = must(env.read([&](const ReadTxn& t) { return blobs.totals_in(t); }));
  CHECK(totals.wanted_chunks == 0);
  CHECK(totals.held_bytes == content.size());
  std::string back;
  must(env.read([&](const ReadTxn& t) {
    return blobs.stream_in(t, blob, [&](ByteView part) -> Status {
      back += as_text(part);
      return {};
    });
  }));
  CHECK(back == content);
}

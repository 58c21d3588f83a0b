// Blocks: what goes in comes out, and no truncation, bit flip or lying header gets through.
#include "messages/record.hpp"

#include <doctest/doctest.h>

#include <cstring>

#include "messages/hash_many.hpp"
#include "tests/support/random_values.hpp"

using namespace drover;

namespace {

Bytes small_block() {
  BlockBuilder builder(7);
  REQUIRE(builder.add(RecordKind::episode, 1, 1000, as_bytes("hello")));
  REQUIRE(builder.add(RecordKind::event, 1, -5, {}));
  REQUIRE(builder.add(RecordKind::receipt, 2, 3000, as_bytes("12345678")));
  return builder.finish();
}

// A copy of `block` with `change(bytes)` applied and the checksum made right again: a liar, not damage.
template <class Change>
Bytes forged(const Bytes& block, Change&& change) {
  return Bytes::make(block.size(), [&](std::span<std::byte> b) {
    std::memcpy(b.data(), block.data(), b.size());
    change(b);
    const uint64_t sum = checksum64(ByteView(b).subspan(32), checksum64(ByteView(b).first(24)));
    std::memcpy(b.data() + 24, &sum, 8);
  });
}

template <class T>
auto put(size_t offset, T value) {
  return [=](std::span<std::byte> b) { std::memcpy(b.data() + offset, &value, sizeof value); };
}

Errc refusal(const Bytes& bytes) {
  const auto block = Block::parse(bytes);
  REQUIRE(!block);
  return block.error().code;
}

}  // namespace

TEST_CASE("messages/record: a block gives back its records in order with their hashes") {
  const auto block = Block::parse(small_block());
  REQUIRE(block);
  CHECK(block->first_seq() == 7);
  CHECK(block->last_seq() == 9);
  REQUIRE(block->count() == 3);
  const RecordView r = block->record(0);
  CHECK(r.kind == RecordKind::episode);
  CHECK(r.schema == 1);
  CHECK(r.seq == 7);
  CHECK(r.time_unix_ns == 1000);
  CHECK(as_text(r.payload) == "hello");
  CHECK(r.frame.size() == 64);
  CHECK(r.hash == record_hash(r));
  CHECK(block->record(1).payload.empty());
  CHECK(block->record(1).time_unix_ns == -5);
  CHECK(block->record(2).seq == 9);
  CHECK(block->verify_hashes());
}

TEST_CASE("messages/record: the layout is the one that FORMAT.md shows, byte for byte") {
  BlockBuilder builder(7);
  REQUIRE(builder.add(RecordKind::event, 1, 1000, as_bytes("hello")));
  CHECK(to_hex(builder.finish()) ==
        "445242310100000007000000000000004000000000000000ad44723815c703b5"
        "05000000040001000700000000000000e803000000000000"
        "7500b139429aaf26670564e57428ba9c479e56909d67d51a328af51b72581fff"
        "68656c6c6f000000");
}

TEST_CASE("messages/record: the hash covers kind, schema, seq, time and payload") {
  const Block block = Block::parse(small_block()).value();
  const RecordView base = block.record(0);
  const auto differs = [&](auto change) {
    RecordView r = base;
    change(r);
    return record_hash(r) != base.hash;
  };
  CHECK(differs([](RecordView& r) { r.kind = RecordKind::event; }));
  CHECK(differs([](RecordView& r) { r.schema = 2; }));
  CHECK(differs([](RecordView& r) { r.seq = 8; }));
  CHECK(differs([](RecordView& r) { r.time_unix_ns = 1001; }));
  CHECK(differs([](RecordView& r) { r.payload = as_bytes("hellp"); }));
  CHECK(!differs([](RecordView&) {}));
}

TEST_CASE("messages/record: every truncation of a block is refused") {
  const Bytes whole = small_block();
  for (size_t size = 0; size < whole.size(); ++size) CHECK(!Block::parse(whole.slice(0, size)));
}

TEST_CASE("messages/record: every single bit flip of a block is detected") {
  const Bytes whole = small_block();
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    const Bytes flipped = Bytes::make(whole.size(), [&](std::span<std::byte> b) {
      std::memcpy(b.data(), whole.data(), b.size());
      b[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    });
    CHECK_MESSAGE(!Block::parse(flipped), "bit " << bit);
  }
}

TEST_CASE("messages/record: headers that lie under a right checksum are refused") {
  const Bytes good = small_block();
  REQUIRE(Block::parse(forged(good, [](auto) {})));
  CHECK(refusal(forged(good, put<uint32_t>(0, 0x32425244))) == Errc::unsupported_version);
  CHECK(refusal(forged(good, put<uint32_t>(4, 0))) == Errc::corrupt);
  CHECK(refusal(forged(good, put<uint32_t>(4, 2))) == Errc::corrupt);
  CHECK(refusal(forged(good, put<uint32_t>(4, 4))) == Errc::corrupt);
  CHECK(refusal(forged(good, put<uint32_t>(4, UINT32_MAX))) == Errc::corrupt);
  CHECK(refusal(forged(good, put<uint64_t>(8, 0))) == Errc::corrupt);
  CHECK(refusal(forged(good, put<uint64_t>(8, UINT64_MAX))) == Errc::corrupt);
  CHECK(refusal(forged(good, put<uint64_t>(16, UINT64_MAX))) == Errc::truncated);
  CHECK(refusal(forged(good, put<uint64_t>(16, 0))) == Errc::truncated);
  CHECK(refusal(forged(good, put<uint32_t>(32, UINT32_MAX))) == Errc::corrupt);
  CHECK(refusal(forged(good, put<uint32_t>(32, 0))) == Errc::corrupt);
  CHECK(refusal(forged(good, put<uint64_t>(40, 8))) == Errc::corrupt);
}

TEST_CASE("messages/record: padding that is not zero is refused, so equal records are equal bytes") {
  const Bytes good = small_block();
  // "hello" ends at 32 + 56 + 5; three padding bytes follow.
  for (size_t offset : {93, 94, 95}) CHECK(refusal(forged(good, put<uint8_t>(offset, 1))) == Errc::corrupt);
}

TEST_CASE("messages/record: a forged payload or hash passes the checksum and fails the hashes") {
  const Bytes good = small_block();
  for (size_t offset : {32 + 4, 32 + 6, 32 + 16, 32 + 24, 32 + 56}) {
    const auto block = Block::parse(forged(good, [&](std::span<std::byte> b) { b[offset] ^= std::byte{1}; }));
    REQUIRE(block);
    const auto hashes = block->verify_hashes();
    REQUIRE(!hashes);
    CHECK(hashes.error().code == Errc::corrupt);
    CHECK(hashes.error().where == "record seq 7");
  }
}

TEST_CASE("messages/record: too much is refused and leaves the block as it was") {
  BlockBuilder builder(1);
  const std::string most(record_payload_max_bytes, 'x');
  CHECK(builder.add(RecordKind::event, 1, 0, as_bytes(most + "x")).error().code == Errc::too_large);
  CHECK(builder.empty());
  CHECK(builder.add(RecordKind::event, 1, 0, as_bytes(most)).value() == 1);
  CHECK(builder.add(RecordKind::event, 1, 0, as_bytes(most)).error().code == Errc::too_large);
  CHECK(builder.count() == 1);
  CHECK(Block::parse(builder.finish())->count() == 1);
  CHECK(Block::parse(Bytes::make(block_max_bytes + 8, [](auto) {})).error().code == Errc::too_large);
}

TEST_CASE("messages/record: the builder continues after finish and takes frames only in sequence") {
  BlockBuilder builder(5);
  REQUIRE(builder.add(RecordKind::event, 1, 0, as_bytes("a")));
  const Block first = Block::parse(builder.finish()).value();
  CHECK(builder.empty());
  CHECK(builder.next_seq() == 6);
  CHECK(builder.add_frame(first.record(0)).error().code == Errc::gap);
  BlockBuilder copy(5);
  REQUIRE(copy.add_frame(first.record(0)));
  CHECK(copy.finish() == first.bytes());
}

TEST_CASE("messages/record: random blocks round trip, and re-blocking changes no record") {
  test::Rng rng(61);
  for (int round = 0; round < 100; ++round) {
    const uint64_t first = 1 + test::below(rng, 1'000'000);
    BlockBuilder builder(first);
    std::vector<Bytes> payloads;
    const uint64_t count = 1 + test::below(rng, 40);
    for (uint64_t i = 0; i < count; ++i) {
      payloads.push_back(test::random_bytes(rng, test::below(rng, 300)));
      const auto kind = static_cast<RecordKind>(1 + test::below(rng, 6));
      CHECK(builder.add(kind, 1, static_cast<int64_t>(rng()), payloads.back()).value() == first + i);
    }
    const Block block = Block::parse(builder.finish()).value();
    REQUIRE(block.verify_hashes());
    BlockBuilder again(first);
    for (size_t i = 0; i < block.count(); ++i) {
      CHECK(as_text(block.record(i).payload) == payloads[i].text());
      REQUIRE(again.add_frame(block.record(i)));
    }
    CHECK(again.finish() == block.bytes());
  }
}

TEST_CASE("messages/record: kinds have names, strangers are unknown") {
  CHECK(record_kind_name(RecordKind::episode) == "episode");
  CHECK(record_kind_name(RecordKind::datapack) == "datapack");
  CHECK(record_kind_name(RecordKind::receipt) == "receipt");
  CHECK(record_kind_name(static_cast<RecordKind>(99)) == "unknown");
}

TEST_CASE("messages/record: frames taken over in one copy are the frames taken over one by one") {
  BlockBuilder source(1);
  for (int i = 0; i < 40; ++i) REQUIRE(source.add(RecordKind::event, 1, i, as_bytes(std::string(size_t(i) * 7, 'x'))));
  const auto block = Block::parse(source.finish());
  REQUIRE(block);
  for (const uint64_t bound : {uint64_t{0}, uint64_t{200}, uint64_t{3000}, uint64_t{1} << 20}) {
    CAPTURE(bound);
    BlockBuilder together(5), apart(5);
    const auto taken = together.add_frames(*block, 4, 30, bound);
    REQUIRE(taken);
    for (size_t i = 4; i < 30 && apart.size_bytes() + block->record(i).frame.size() <= bound; ++i)
      REQUIRE(apart.add_frame(block->record(i)));
    CHECK(*taken == apart.count());
    CHECK(together.next_seq() == apart.next_seq());
    CHECK(together.finish() == apart.finish());
  }
  BlockBuilder other(9);
  CHECK(other.add_frames(*block, 4, 30, 1u << 20).error().code == Errc::gap);
  CHECK(*other.add_frames(*block, 40, 99, 1u << 20) == 0);
}

TEST_CASE("messages/record: only a sealed value may skip the checksum, and its structure is checked all the same") {
  const Bytes good = small_block();
  const Bytes flipped = Bytes::make(good.size(), [&](std::span<std::byte> b) {
    std::memcpy(b.data(), good.data(), b.size());
    b[24] ^= std::byte{1};
  });
  CHECK(refusal(flipped) == Errc::corrupt);
  CHECK(Block::parse_sealed(flipped));
  CHECK(Block::parse_sealed(good.slice(0, good.size() - 1)).error().code == Errc::truncated);
}

TEST_CASE("messages/hash_many: many digests at once are the digests one by one, whatever the lengths") {
  MESSAGE("backend: " << sha256_many_backend());
  test::Rng rng(11);
  for (const size_t n : {size_t{0}, size_t{1}, size_t{3}, size_t{4}, size_t{17}, size_t{64}, size_t{301}}) {
    CAPTURE(n);
    std::vector<Bytes> contents;
    for (size_t i = 0; i < n; ++i)
      contents.push_back(test::random_bytes(rng, n == 17 && i == 5 ? 0 : i * 37 % 700 + 1));
    std::vector<ByteView> inputs(contents.begin(), contents.end());
    std::vector<Hash> hashes(n);
    sha256_many(inputs, hashes);
    for (size_t i = 0; i < n; ++i) CHECK((hashes[i] == sha256(inputs[i])));
  }
}

TEST_CASE("messages/record: the one wrong hash among many is found and named") {
  for (const size_t wrong : {size_t{0}, size_t{63}, size_t{64}, size_t{299}}) {
    BlockBuilder builder(1);
    for (int i = 0; i < 300; ++i) REQUIRE(builder.add(RecordKind::event, 1, i, as_bytes(std::string(400, 'x'))));
    const Bytes good = builder.finish();
    const size_t frame = (good.size() - 32) / 300;
    const auto block =
        Block::parse(forged(good, [&](std::span<std::byte> b) { b[32 + wrong * frame + 100] ^= std::byte{4}; }));
    REQUIRE(block);
    const Status status = block->verify_hashes();
    REQUIRE(!status);
    CHECK(status.error().where == "record seq " + std::to_string(wrong + 1));
    CHECK(Block::parse(good)->verify_hashes());
  }
}

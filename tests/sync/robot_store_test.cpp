// The robot's store: one transaction per capture, quota with receipts, nothing unacknowledged ever leaves.
#include "actors/sync/robot_store.hpp"

#include <doctest/doctest.h>

#include "messages/episode.hpp"
#include "tests/support/random_values.hpp"
#include "tests/sync/temp_folder.hpp"

using namespace drover;
using namespace drover::sync;

namespace {

constexpr size_t chunk_size = 1000;

RobotStoreOptions options_of(const test::TempFolder& folder, uint64_t quota_bytes) {
  RobotStoreOptions options;
  options.path = folder / "robot";
  options.robot = "robot-1";
  options.incarnation = 5;
  options.quota_bytes = quota_bytes;
  options.map_initial_bytes = 4u << 20;
  options.sync = storage::Sync::nosync;
  return options;
}

RobotStore open(const RobotStoreOptions& options) {
  auto store = RobotStore::open(options);
  REQUIRE_MESSAGE(store.has_value(), (store ? "" : store.error().message()));
  return std::move(*store);
}

NewChunk chunk(uint8_t id, double value_per_byte) {
  const Bytes bytes = Bytes::make(chunk_size, [&](std::span<std::byte> to) {
    for (auto& b : to) b = std::byte{id};
  });
  return {sha256(bytes), bytes, value_per_byte, "episode-" + std::to_string(id)};
}

StoreCapture capture(std::vector<NewChunk> chunks) {
  StoreCapture c;
  c.chunks = std::move(chunks);
  c.records.push_back({RecordKind::event, 1, encode(Event{1, "test", "info", "", ""})});
  c.marks.push_back({"spool/a", "1"});
  return c;
}

std::vector<Receipt> receipts(const RobotStore& store) {
  std::vector<Receipt> found;
  const auto read = store.read_block(1, 1u << 20);
  REQUIRE(read);
  const auto block = Block::parse(read->block);
  REQUIRE(block);
  for (size_t i = 0; i < block->count(); ++i) {
    if (block->record(i).kind != RecordKind::receipt) continue;
    auto receipt = decode_receipt(block->record(i).payload);
    REQUIRE(receipt);
    found.push_back(*receipt);
  }
  return found;
}

}  // namespace

TEST_CASE("sync/robot_store: records, chunks and marks are stored together and found again") {
  const test::TempFolder folder;
  const auto options = options_of(folder, 10 * chunk_size);
  {
    RobotStore store = open(options);
    const auto stored = store.store(capture({chunk(1, 1)}), 1);
    REQUIRE(stored);
    CHECK(stored->first_seq == 1);
    CHECK(stored->last_seq == 1);
  }
  RobotStore store = open(options);
  CHECK(store.identity().incarnation == 5);
  const auto facts = store.facts();
  REQUIRE(facts);
  CHECK(facts->last_seq == 1);
  CHECK(facts->blob_bytes == chunk_size);
  CHECK(facts->blob_backlog_bytes == chunk_size);
  const auto marks = store.marks("spool/");
  REQUIRE(marks);
  REQUIRE(marks->marks.size() == 1);
  CHECK(marks->marks[0].value == "1");
  const auto piece = store.read_piece(chunk(1, 1).hash, 900, 500, 1);
  REQUIRE(piece);
  CHECK(piece->size() == 100);
}

TEST_CASE("sync/robot_store: a full quota refuses and changes nothing while nothing may go") {
  const test::TempFolder folder;
  RobotStore store = open(options_of(folder, 2 * chunk_size));
  REQUIRE(store.store(capture({chunk(1, 1), chunk(2, 2)}), 1));
  const auto refused = store.store(capture({chunk(3, 3)}), 1);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::disk_full);
  CHECK(refused.error().message().find("not at the centre yet") != std::string::npos);
  const auto facts = store.facts();
  REQUIRE(facts);
  CHECK(facts->last_seq == 1);
  CHECK(facts->blob_bytes == 2 * chunk_size);
}

TEST_CASE("sync/robot_store: the least valuable acknowledged chunk goes first, with a receipt") {
  const test::TempFolder folder;
  RobotStore store = open(options_of(folder, 3 * chunk_size));
  REQUIRE(store.store(capture({chunk(1, 5), chunk(2, 1), chunk(3, 3)}), 1));
  REQUIRE(store.chunks_acked({chunk(1, 5).hash, chunk(3, 3).hash}));
  REQUIRE(store.store(capture({chunk(4, 0)}), 77));
  const auto gone = receipts(store);
  REQUIRE(gone.size() == 1);
  CHECK(gone[0].hash == chunk(3, 3).hash);  // chunk 2 is worth less but is not at the centre
  CHECK(gone[0].acknowledged);
  CHECK(gone[0].reason == "quota");
  CHECK(gone[0].value_per_byte == 3);
  CHECK(gone[0].time_unix_ns == 77);
  CHECK(store.read_piece(chunk(2, 1).hash, 0, 10, 1));
}

TEST_CASE("sync/robot_store: chunks settle only when the centre has applied the whole journal") {
  const test::TempFolder folder;
  RobotStore store = open(options_of(folder, 10 * chunk_size));
  REQUIRE(store.store(capture({chunk(1, 1)}), 1));
  REQUIRE(store.store(capture({chunk(2, 1)}), 1));
  REQUIRE(store.chunks_settled(1));
  CHECK(store.facts()->blob_backlog_bytes == 2 * chunk_size);
  REQUIRE(store.chunks_settled(2));
  CHECK(store.facts()->blob_backlog_bytes == 0);
}

TEST_CASE("sync/robot_store: a chunk that is gone is journaled once, so that the centre stops asking") {
  const test::TempFolder folder;
  RobotStore store = open(options_of(folder, 10 * chunk_size));
  REQUIRE(store.store(capture({}), 1));
  const Hash unknown = sha256(as_bytes("never stored"));
  CHECK_FALSE(store.read_piece(unknown, 0, 10, 9));
  CHECK_FALSE(store.read_piece(unknown, 0, 10, 9));
  const auto lost = receipts(store);
  REQUIRE(lost.size() == 1);
  CHECK(lost[0].hash == unknown);
  CHECK_FALSE(lost[0].acknowledged);
  CHECK(lost[0].reason.find("lost") != std::string::npos);
}

TEST_CASE("sync/robot_store: knowledge is taken with the right signature only, and never goes back") {
  const test::TempFolder folder;
  const auto key = generate_ed25519();
  const auto foreign = generate_ed25519();
  REQUIRE(key);
  REQUIRE(foreign);
  auto options = options_of(folder, chunk_size);
  options.knowledge_key = key->public_key;
  RobotStore store = open(options);
  Knowledge knowledge{3, 1, "centre", {{"vocabulary", Bytes::copy_of("a b c")}}};
  auto apply = [&](const Ed25519KeyPair& with) {
    const auto signed_knowledge = sign_knowledge(knowledge, with);
    REQUIRE(signed_knowledge);
    return store.apply_knowledge(encode(*signed_knowledge));
  };
  const auto wrong = apply(*foreign);
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().code == Errc::refused);
  CHECK(store.facts()->knowledge_version == 0);
  REQUIRE(apply(*key));
  CHECK(store.facts()->knowledge_version == 3);
  knowledge.version = 2;
  CHECK_FALSE(apply(*key));
  CHECK(store.facts()->knowledge_version == 3);
}

TEST_CASE("sync/robot_store: the store of another robot is refused by name") {
  const test::TempFolder folder;
  auto options = options_of(folder, chunk_size);
  { RobotStore store = open(options); }
  options.robot = "robot-2";
  const auto other = RobotStore::open(options);
  REQUIRE_FALSE(other);
  CHECK(other.error().code == Errc::conflict);
}

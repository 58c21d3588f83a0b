// The central store: what records become, exactly once, and what happens to those that cannot be taken.
#include "actors/sync/central_store.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

#include "tests/support/random_values.hpp"
#include "tests/sync/temp_folder.hpp"

using namespace drover;
using namespace drover::sync;

namespace {

const StreamId stream{"robot-1", 7};

struct Store {
  test::TempFolder folder;
  std::unique_ptr<CentralStore> store;

  Store() { open(); }
  void open() {
    store.reset();
    CentralStoreOptions options;
    options.path = folder / "centre";
    options.map_initial_bytes = 4u << 20;
    options.sync = storage::Sync::nosync;
    auto opened = CentralStore::open(options);
    REQUIRE_MESSAGE(opened.has_value(), (opened ? "" : opened.error().message()));
    store = std::move(*opened);
  }
  void append(Bytes block) {
    REQUIRE(store->open_stream(stream, 1));
    auto parsed = Block::parse(std::move(block));
    REQUIRE(parsed);
    const storage::Incoming incoming{stream.robot, stream.incarnation, *parsed, 1};
    const auto outcomes = store->append(std::span(&incoming, 1));
    REQUIRE(outcomes);
    REQUIRE((*outcomes)[0].status == storage::AppendStatus::ok);
  }
  Applied apply_all(const RecordGuard& guard = {}) {
    Applied total;
    for (;;) {
      const auto applied = store->apply(stream, 4096, guard);
      REQUIRE_MESSAGE(applied.has_value(), (applied ? "" : applied.error().message()));
      total.records += applied->records;
      total.rejected += applied->rejected;
      total.applied_seq = applied->applied_seq;
      if (!applied->more) return total;
    }
  }
  storage::EpisodeStore::Counts counts() {
    auto counts = store->central_env().read([&](const storage::ReadTxn& txn) { return store->episodes().counts(txn); });
    REQUIRE(counts);
    return *counts;
  }
  uint64_t packs() {
    auto n = store->central_env().read([&](const storage::ReadTxn& txn) { return store->packs().count(txn); });
    REQUIRE(n);
    return *n;
  }
};

Datapack pack_of(test::Rng& rng, const std::string& robot) {
  Datapack pack = test::random_datapack(rng);
  pack.provenance.robot = robot;
  return pack;
}

Episode episode_of(test::Rng& rng, const std::string& robot) {
  Episode episode = test::random_episode(rng);
  episode.robot = robot;
  return episode;
}

Bytes some_records(uint64_t first_seq, uint64_t seed) {
  test::Rng rng(seed);
  BlockBuilder block(first_seq);
  for (int i = 0; i < 5; ++i) {
    REQUIRE(block.add(RecordKind::episode, 1, i, encode(episode_of(rng, stream.robot))));
    REQUIRE(block.add(RecordKind::datapack, 1, i, encode(pack_of(rng, stream.robot))));
  }
  return block.finish();
}

}  // namespace

TEST_CASE("sync/central_store: records have their effects once, whatever is applied again") {
  Store s;
  s.append(some_records(1, 1));
  CHECK(s.apply_all().records == 10);
  CHECK(s.apply_all().records == 0);
  s.open();
  CHECK(s.apply_all().records == 0);
  s.append(some_records(1, 1));  // a repeat changes nothing
  s.append(some_records(11, 2));
  const Applied applied = s.apply_all();
  CHECK(applied.records == 10);
  CHECK(applied.rejected == 0);
  CHECK(applied.applied_seq == 20);
  CHECK(s.counts().episodes == 10);
  CHECK(s.packs() == 10);
}

TEST_CASE("sync/central_store: a record that breaks an invariant is set aside and the stream goes on") {
  Store s;
  test::Rng rng(3);
  BlockBuilder block(1);
  Datapack bad = pack_of(rng, stream.robot);
  bad.skill_trace.clear();
  REQUIRE(block.add(RecordKind::datapack, 1, 0, encode(bad)));
  REQUIRE(block.add(RecordKind::datapack, 1, 0, encode(pack_of(rng, "robot-2"))));  // of another robot
  REQUIRE(block.add(RecordKind::episode, 1, 0, encode(episode_of(rng, "robot-2"))));
  REQUIRE(block.add(RecordKind::episode, 1, 0, as_bytes("not a message")));
  REQUIRE(block.add(static_cast<RecordKind>(99), 1, 0, as_bytes("from a newer robot")));
  REQUIRE(block.add(RecordKind::datapack, 1, 0, encode(pack_of(rng, stream.robot))));
  s.append(block.finish());
  const Applied applied = s.apply_all();
  CHECK(applied.records == 6);
  CHECK(applied.rejected == 5);
  CHECK(s.packs() == 1);
  auto rejected =
      s.store->central_env().read([&](const storage::ReadTxn& txn) { return s.store->episodes().rejected(txn, 10); });
  REQUIRE(rejected);
  REQUIRE(rejected->size() == 5);
  CHECK((*rejected)[0].reason.find("skill_trace") != std::string::npos);
  CHECK((*rejected)[1].reason.find("not the robot that sent it") != std::string::npos);
  CHECK((*rejected)[4].reason.find("record kind 99") != std::string::npos);
}

TEST_CASE("sync/central_store: a throw while applying changes nothing, and a guard can set the record aside") {
  Store s;
  s.append(some_records(1, 4));
  uint64_t calls = 0;
  const RecordGuard throws = [&](const StreamId&, const Bytes&, const std::function<void()>& take) {
    take();
    if (++calls == 4) throw std::runtime_error("poison");
    return true;
  };
  CHECK_THROWS_WITH(static_cast<void>(s.store->apply(stream, 1u << 20, throws)), "poison");
  CHECK(s.counts().episodes == 0);
  CHECK(s.packs() == 0);
  const RecordGuard diverts = [&](const StreamId&, const Bytes& frame, const std::function<void()>& take) {
    REQUIRE(frame.size() >= record_header_bytes);
    uint64_t seq = 0;
    std::memcpy(&seq, frame.data() + 8, sizeof seq);
    if (seq == 4) return false;
    take();
    return true;
  };
  const Applied applied = s.apply_all(diverts);
  CHECK(applied.records == 10);
  CHECK(applied.rejected == 1);
  CHECK(s.packs() == 4);
}

TEST_CASE("sync/central_store: an older incarnation and a quarantined robot are refused") {
  Store s;
  REQUIRE(s.store->open_stream({"robot-1", 7}, 1));
  REQUIRE(s.store->open_stream({"robot-1", 9}, 2));
  const auto old = s.store->open_stream({"robot-1", 7}, 3);
  REQUIRE_FALSE(old);
  CHECK(old.error().code == Errc::refused);
}

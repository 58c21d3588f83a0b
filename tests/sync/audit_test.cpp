// The audit finds what it is for, and nothing where nothing is wrong; the dump depends on content alone.
#include "tests/sync/books.hpp"

using namespace drover;
using namespace drover::sync;
using namespace drover::test;

namespace {

// A robot and a centre, with each step of the way between them made by hand.
struct Pair {
  TempFolder folder;
  std::unique_ptr<CentralStore> centre;
  std::unique_ptr<RobotStore> robot;

  explicit Pair(uint64_t incarnation = 5, const std::string& name = "robot-1") {
    centre = open_centre(folder / "centre");
    robot = std::make_unique<RobotStore>(must(RobotStore::open(robot_options(folder / "robot", name, incarnation))));
  }
  StreamId stream() const { return {robot->identity().robot, robot->identity().incarnation}; }
  void capture(uint64_t number, int64_t now = 1) {
    auto one = episode_capture(stream().robot, number);
    if (number % 3 == 0) one.records.push_back(event_record("test", now));
    must(robot->store(one, now));
  }
  // Moves the journal up to the end in blocks of at most `block_bytes`.
  void send(uint32_t block_bytes = 1u << 20) {
    uint64_t next = must(centre->open_stream(stream(), 1)).durable_seq + 1;
    for (;;) {
      const auto read = must(robot->read_block(next, block_bytes));
      if (read.block.empty()) return;
      const storage::Incoming incoming{stream().robot, stream().incarnation, must(Block::parse(read.block)), 1};
      REQUIRE(must(centre->append(std::span(&incoming, 1)))[0].status == storage::AppendStatus::ok);
      next = read.last_seq + 1;
    }
  }
  void apply(uint64_t bytes = 1u << 20) {
    while (must(centre->apply(stream(), bytes)).more) {
    }
  }
  void fetch_chunks() {
    for (const auto& wanted : must(centre->wanted(stream().robot, UINT64_MAX, 10'000))) {
      const Bytes bytes = must(robot->read_piece(wanted.hash, 0, wanted.size_bytes, 1));
      const storage::Blobs::Piece piece{wanted.hash, 0, wanted.size_bytes, bytes};
      REQUIRE(must(centre->put_pieces(std::span(&piece, 1)))[0].outcome.complete);
      must(robot->chunks_acked({wanted.hash}));
    }
  }
  void acknowledge() { must(robot->records_acked(must(centre->open_stream(stream(), 1)).durable_seq)); }
  Audit audit(const AuditOptions& options = {}) const { return audit_of(*centre, {robot.get()}, options); }
};

#define CHECK_BALANCED(audit_expression)                 \
  do {                                                   \
    const Audit checked = audit_expression;              \
    CHECK_MESSAGE(checked.balanced(), text_of(checked)); \
  } while (false)

// Writes to a closed store behind everybody's back.
void tamper(const std::string& path, const std::vector<std::string>& tables,
            const std::function<Status(storage::Env&, storage::WriteTxn&)>& change) {
  storage::EnvOptions options;
  options.path = path;
  options.databases = tables;
  auto env = must(storage::Env::open(options));
  must(env.write([&](storage::WriteTxn& txn) { return change(env, txn); }));
}

std::vector<std::string> central_tables() {
  std::vector<std::string> names;
  for (const auto& list :
       {storage::Inbox::databases(), storage::DatapackStore::databases(), storage::EpisodeStore::databases(),
        storage::Blobs::databases(), storage::KnowledgeStore::databases()})
    names.insert(names.end(), list.begin(), list.end());
  return names;
}

Status erase_first(storage::Env& env, storage::WriteTxn& txn, const char* table) {
  std::vector<std::byte> key;
  {
    auto cursor = txn.cursor(env.db(table));
    REQUIRE(must(cursor.first()));
    key.assign(cursor.key().begin(), cursor.key().end());
  }
  REQUIRE(must(txn.erase(env.db(table), key)));
  return {};
}

}  // namespace

TEST_CASE("sync/audit: the books balance at every step of the way") {
  Pair p;
  CHECK_BALANCED(p.audit());  // nothing yet
  for (uint64_t n = 0; n < 10; ++n) p.capture(n);
  const Audit captured = p.audit();
  CHECK_MESSAGE(captured.balanced(), text_of(captured));
  REQUIRE(captured.streams.size() == 1);
  CHECK(captured.streams[0].captured == 24);
  CHECK(captured.streams[0].in_flight == 24);
  CHECK(captured.streams[0].chunks_robot == 10);
  p.send();
  CHECK_BALANCED(p.audit());
  p.apply(4096);
  CHECK_BALANCED(p.audit());
  p.acknowledge();
  CHECK_BALANCED(p.audit());
  p.fetch_chunks();
  const Audit drained = p.audit();
  CHECK_MESSAGE(drained.balanced(), text_of(drained));
  CHECK(drained.streams[0].central == 24);
  CHECK(drained.streams[0].applied == 24);
  CHECK(drained.streams[0].in_flight == 0);
  CHECK(drained.streams[0].chunks_central == 10);
  CHECK(drained.centre.episodes == 10);
  CHECK(drained.centre.events == 4);
}

TEST_CASE("sync/audit: evicted chunks are covered by their receipts") {
  TempFolder folder;
  auto centre = open_centre(folder / "centre");
  Pair p;
  auto options = robot_options(p.folder / "small", "robot-2", 8);
  options.quota_bytes = 7000;
  p.robot = std::make_unique<RobotStore>(must(RobotStore::open(options)));
  for (uint64_t n = 0; n < 6; ++n) {
    p.capture(n);
    p.send();
    p.apply();
    p.fetch_chunks();
    p.acknowledge();
  }
  const Audit audit = p.audit();
  CHECK_MESSAGE(audit.balanced(), text_of(audit));
  CHECK(audit.streams[0].chunks_evicted == 4);
  CHECK(audit.streams[0].receipts == 4);
}

TEST_CASE("sync/audit: an acknowledgement before the centre has the record is found") {
  Pair p;
  p.capture(1);
  must(p.robot->records_acked(2));
  CHECK(blames(p.audit(), "watermark", "was told that 2 records are central"));
}

TEST_CASE("sync/audit: a chunk that was acknowledged and is not at the centre is found") {
  Pair p;
  p.capture(1);
  p.send();
  p.apply();
  const auto wanted = must(p.centre->wanted("robot-1", UINT64_MAX, 10));
  must(p.robot->chunks_acked({wanted.at(0).hash}));
  CHECK(blames(p.audit(), "chunks", "the robot was told that the centre has it"));
}

TEST_CASE("sync/audit: a robot restored from an old copy is found") {
  Pair p;
  p.capture(1);
  p.robot.reset();
  std::filesystem::copy(p.folder / "robot", p.folder / "copy", std::filesystem::copy_options::recursive);
  p.robot = std::make_unique<RobotStore>(must(RobotStore::open(robot_options(p.folder / "robot", "robot-1", 5))));
  p.capture(2);
  p.send();
  p.apply();
  p.robot = std::make_unique<RobotStore>(must(RobotStore::open(robot_options(p.folder / "copy", "robot-1", 5))));
  CHECK(blames(p.audit(), "watermark", "restored from an old copy"));
  for (uint64_t n = 30; n < 33; ++n) p.capture(n);  // it grows past the centre with other records
  CHECK(blames(p.audit(), "records", "hold different records"));
}

TEST_CASE("sync/audit: effects that are missing, altered or too many are found") {
  Pair p;
  for (uint64_t n = 0; n < 4; ++n) p.capture(n);
  p.send();
  p.apply();
  p.fetch_chunks();
  REQUIRE(p.audit().balanced());
  const std::string path = p.folder / "centre/central";
  const auto look = [&](const std::function<Status(storage::Env&, storage::WriteTxn&)>& change) {
    p.centre.reset();
    tamper(path, central_tables(), change);
    p.centre = open_centre(p.folder / "centre");
    return p.audit();
  };
  SUBCASE("episode gone") {
    const auto audit = look([](auto& env, auto& txn) { return erase_first(env, txn, "episodes"); });
    CHECK(blames(audit, "applied", "is not in the table 'episodes'"));
    CHECK(blames(audit, "stores", "3 are stored, the applied records make 4"));
  }
  SUBCASE("event gone") {
    CHECK(blames(look([](auto& env, auto& txn) { return erase_first(env, txn, "node_events"); }), "applied",
                 "is not in the table 'node_events'"));
  }
  SUBCASE("episode altered") {
    CHECK(blames(look([](storage::Env& env, storage::WriteTxn& txn) -> Status {
                   std::vector<std::byte> key;
                   {
                     auto cursor = txn.cursor(env.db("episodes"));
                     REQUIRE(must(cursor.last()));
                     key.assign(cursor.key().begin(), cursor.key().end());
                   }
                   return txn.put(env.db("episodes"), key, as_bytes("other"));
                 }),
                 "applied", "with other content"));
  }
  SUBCASE("chunk gone") {
    const auto audit = look([](storage::Env& env, storage::WriteTxn& txn) -> Status {
      must(erase_first(env, txn, "chunks"));
      return {};
    });
    CHECK(blames(audit, "chunks", "is not here"));
  }
  SUBCASE("datapack index row gone") {
    CHECK(blames(look([](auto& env, auto& txn) { return erase_first(env, txn, "packs.lists"); }), "stores", ""));
  }
}

TEST_CASE("sync/audit: a datapack that no record made is a violation, unless it was imported for a robot elsewhere") {
  Pair p;
  p.capture(1);
  p.send();
  p.apply();
  Rng rng(4);
  Datapack foreign = random_datapack(rng);
  foreign.provenance.robot = "robot-elsewhere";
  must(p.centre->import_packs(std::span(&foreign, 1)));
  const Audit good = p.audit();
  CHECK_MESSAGE(good.balanced(), text_of(good));
  CHECK(good.centre.packs_imported == 1);
  Datapack forged = random_datapack(rng);
  forged.provenance.robot = "robot-1";
  must(p.centre->import_packs(std::span(&forged, 1)));
  CHECK(blames(p.audit(), "stores", "no record of that robot made it"));
}

TEST_CASE("sync/audit: rejected records are counted and named, and their chunks may stay behind") {
  Pair p;
  auto bad = episode_capture("robot-9", 1);  // of another robot
  must(p.robot->store(bad, 1));
  p.send();
  p.apply();
  const Audit audit = p.audit();
  CHECK_MESSAGE(audit.balanced(), text_of(audit));
  CHECK(audit.streams[0].rejected == 2);
  CHECK(audit.centre.rejected == 2);
  CHECK(audit.notices.size() == 2);
}

TEST_CASE("sync/audit: a file whose mark claims more than the journal holds, or twice the same episode, is found") {
  Pair p;
  for (uint64_t n = 0; n < 4; ++n) p.capture(n);  // all of log-0
  AuditOptions options;
  uint64_t claimed = 4;
  options.read_claim = [&](std::string_view, std::string_view) {
    return std::optional(SourceClaim{"log-0", claimed, true, false});
  };
  CHECK_BALANCED(p.audit(options));
  claimed = 5;
  CHECK(blames(p.audit(options), "sources", "5 episodes are journaled, there are 4"));
  p.capture(2);
  CHECK(blames(p.audit(), "sources", "was captured twice"));
}

TEST_CASE("sync/audit: a damaged store is a violation with its place, not a crash") {
  Pair p;
  for (uint64_t n = 0; n < 4; ++n) p.capture(n);
  p.send();
  p.centre.reset();
  tamper(p.folder / "centre/inbox", storage::Inbox::databases(),
         [](storage::Env& env, storage::WriteTxn& txn) -> Status {
           std::vector<std::byte> key, value;
           {
             auto cursor = txn.cursor(env.db("inbox"));
             REQUIRE(must(cursor.first()));
             const ByteView stored = must(cursor.value());
             key.assign(cursor.key().begin(), cursor.key().end());
             value.assign(stored.begin(), stored.end());
           }
           value[value.size() / 2] ^= std::byte{1};
           return txn.put(env.db("inbox"), key, value);
         });
  p.centre = open_centre(p.folder / "centre");
  const Audit audit = p.audit();
  CHECK_FALSE(audit.balanced());
  CHECK(blames(audit, "inbox", ""));
}

TEST_CASE("sync/dump: content decides; batching, incarnation numbers and times of notice do not") {
  const auto fill = [](Pair& p, uint32_t block_bytes, uint64_t apply_bytes, int64_t now) {
    for (uint64_t n = 0; n < 12; ++n) p.capture(n, now + static_cast<int64_t>(n));
    p.send(block_bytes);
    p.apply(apply_bytes);
    p.fetch_chunks();
    return dump_of(*p.centre);
  };
  Pair a(5), b(99), c(5);
  const std::string dump = fill(a, 1u << 20, 1u << 20, 1000);
  CHECK(dump == fill(b, 4096, 1, 777'000));
  CHECK(dump.starts_with("drover-central-dump 1\nstream \"robot-1\" 1 durable 28 applied 28\n"));
  c.capture(77);
  CHECK(dump != fill(c, 1u << 20, 1u << 20, 1000));
}

TEST_CASE("sync/audit: folders are opened read only, and a missing one is an error with its path") {
  Pair p;
  p.capture(1);
  p.send();
  p.robot.reset();
  p.centre.reset();
  const AuditFolders folders{p.folder / "centre", {p.folder / "robot"}};
  CHECK(must(audit_folders(folders, {})).balanced());
  const auto missing = audit_folders({p.folder / "centre", {p.folder / "nowhere"}}, {});
  REQUIRE_FALSE(missing);
  CHECK(missing.error().message().find("nowhere") != std::string::npos);
}

TEST_CASE("sync/audit: what an old disk took with it, and the new disk told, is nobody's fault") {
  Pair pair(5);
  pair.capture(1);
  pair.send();
  pair.apply();
  pair.acknowledge();
  const auto wanted = must(pair.centre->wanted("robot-1", UINT64_MAX, 100));
  REQUIRE_FALSE(wanted.empty());
  // A new disk: it is asked for what only the old one held, says that it has not got it, and is asked no more.
  pair.robot =
      std::make_unique<RobotStore>(must(RobotStore::open(robot_options(pair.folder / "disk-2", "robot-1", 6))));
  pair.capture(2);
  for (const auto& chunk : wanted) CHECK_FALSE(pair.robot->read_piece(chunk.hash, 0, chunk.size_bytes, 1));
  pair.send();
  pair.apply();
  pair.fetch_chunks();
  pair.acknowledge();
  CHECK(must(pair.centre->wanted("robot-1", UINT64_MAX, 100)).empty());
  const Audit audit = pair.audit();
  CHECK_MESSAGE(audit.balanced(), text_of(audit));
  REQUIRE(audit.streams.size() == 2);
  CHECK(audit.streams[0].chunks_lost == wanted.size());
  CHECK(audit.streams[1].chunks_lost == 0);
}

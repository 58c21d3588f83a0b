// The sync actors, one promise at a time: acknowledgement, chunks, quota, incarnations, quarantine, knowledge.
#include "tests/sync/sim_fleet.hpp"

using namespace drover;
using namespace drover::test;

namespace {

uint64_t wanted_of(const SimFleet& f, const std::string& robot) {
  return must(f.centre->wanted(robot, UINT64_MAX, 1000)).size();
}

}  // namespace

TEST_CASE("sync/actors: records and chunks reach the centre, and the robot learns of it") {
  SimFleet f(1);
  SimRobot& r = f.add_robot("robot-1", 5);
  for (int i = 0; i < 5; ++i) f.capture(r);
  CHECK(f.drain());
  const auto facts = must(r.store->facts());
  CHECK(facts.acked_seq == 10);
  CHECK(facts.blob_backlog_bytes == 0);
  CHECK(facts.blob_bytes == 15'000);
  const auto audit = f.audit();
  CHECK_MESSAGE(audit.balanced(), text_of(audit));
  CHECK(audit.centre.episodes == 5);
  CHECK(audit.centre.chunks == 5);
}

TEST_CASE("sync/actors: a cut link costs no more than what was on its way") {
  SimFleet f(2);
  f.outbox.journal.block_max_bytes = 4096;
  SimRobot& r = f.add_robot("robot-1", 5);
  for (int i = 0; i < 20; ++i) {
    f.capture(r);
    f.net.run_for(10);
    if (i % 5 != 4) continue;
    r.wire->cut();
    f.net.run_for(1'000);
  }
  CHECK(f.drain());
  CHECK_BALANCED(f.audit());
  CHECK(f.ask<sync::OutboxFacts>(r.outbox, sync::AskOutbox{}).links >= 4);
}

TEST_CASE("sync/actors: a robot that is offline keeps everything and catches up") {
  SimFleet f(3);
  SimRobot& r = f.add_robot("robot-1", 5);
  r.wire->set_refusing(true);
  r.wire->cut();
  for (int i = 0; i < 30; ++i) {
    f.capture(r);
    f.net.run_for(60'000);
  }
  CHECK(must(r.store->facts()).acked_seq == 0);
  CHECK_BALANCED(f.audit());
  r.wire->set_refusing(false);
  CHECK(f.drain());
  CHECK(f.audit().centre.episodes == 30);
}

TEST_CASE("sync/actors: a second robot with the same chunks settles without sending them") {
  SimFleet f(4);
  SimRobot& a = f.add_robot("robot-1", 5);
  const std::string slice(200'000, 's');
  f.capture(a, episode_capture("robot-1", 1, 0, slice));
  CHECK(f.drain());
  SimRobot& b = f.add_robot("robot-2", 6);
  f.capture(b, episode_capture("robot-2", 1, 0, slice));
  CHECK(f.drain());
  CHECK(must(b.store->facts()).blob_backlog_bytes == 0);
  CHECK(f.ask<sync::OutboxFacts>(b.outbox, sync::AskOutbox{}).blob_bytes_sent == 0);
  CHECK_BALANCED(f.audit());
  CHECK(f.audit().centre.chunks == 1);
}

TEST_CASE("sync/actors: two robots that hold the same chunk at the same time both settle") {
  SimFleet f(5);
  SimRobot& a = f.add_robot("robot-1", 5);
  SimRobot& b = f.add_robot("robot-2", 6);
  const std::string slice(200'000, 's');
  f.capture(a, episode_capture("robot-1", 1, 0, slice));
  f.capture(b, episode_capture("robot-2", 1, 0, slice));
  CHECK(f.drain());
  CHECK_BALANCED(f.audit());
}

TEST_CASE("sync/actors: a re-imaged robot starts a new incarnation, and the old one is kept and stays closed") {
  SimFleet f(6);
  SimRobot& old = f.add_robot("robot-1", 5);
  for (int i = 0; i < 3; ++i) f.capture(old);
  REQUIRE(f.drain());
  f.stop_robot(old);
  SimRobot& fresh = f.add_robot("robot-1", 6, uint64_t{1} << 30, "robot-1-new-disk");
  for (uint64_t n = 10; n < 14; ++n) f.capture(fresh, episode_capture("robot-1", n));
  REQUIRE(f.drain());
  const auto audit = f.audit();
  CHECK_MESSAGE(audit.balanced(), text_of(audit));
  REQUIRE(audit.streams.size() == 2);
  CHECK(audit.streams[0].rank == 1);
  CHECK(audit.streams[0].central == 6);
  CHECK(audit.streams[1].central == 8);
  // The old disk comes back.
  f.stop_robot(fresh);
  f.start_robot(old, 0);
  f.capture(old);
  f.net.run_for(30'000);
  CHECK(must(old.store->facts()).acked_seq == 6);
  CHECK(f.sim.log_count("an older incarnation") > 0);
  CHECK(f.audit().balanced());
}

TEST_CASE("sync/actors: a robot restored from an old copy halts loudly and changes nothing") {
  SimFleet f(7);
  SimRobot& r = f.add_robot("robot-1", 5);
  f.capture(r);
  REQUIRE(f.drain());
  f.stop_robot(r);
  std::filesystem::copy(f.folder / "robot-1", f.folder / "copy", std::filesystem::copy_options::recursive);
  f.start_robot(r, 0);
  f.capture(r);
  f.capture(r);
  REQUIRE(f.drain());
  const std::string before = dump_of(*f.centre);
  f.stop_robot(r);
  SimRobot& restored = f.add_robot("robot-1", 5, uint64_t{1} << 30, "copy");
  SUBCASE("as it was") {
    f.net.run_for(30'000);
    CHECK(f.sim.log_count("error sync.outbox_halted") == 1);
    CHECK(f.ask<sync::OutboxFacts>(restored.outbox, sync::AskOutbox{}).halted.find("old copy") != std::string::npos);
    CHECK((dump_of(*f.centre) == before));
  }
  SUBCASE("after it grew past what the centre holds") {
    restored.wire->set_refusing(true);
    restored.wire->cut();
    for (uint64_t n = 50; n < 60; ++n) f.capture(restored, episode_capture("robot-1", n));
    restored.wire->set_refusing(false);
    f.net.run_for(60'000);
    CHECK_FALSE(f.ask<sync::OutboxFacts>(restored.outbox, sync::AskOutbox{}).halted.empty());
    CHECK(f.sim.log_count("error sync.block_refused") > 0);
    std::string after = dump_of(*f.centre);
    const std::string quarantine = "quarantine \"robot-1\"\n";
    REQUIRE(after.find(quarantine) != std::string::npos);
    after.erase(after.find(quarantine), quarantine.size());
    CHECK((after == before));  // the quarantine is the only change
  }
}

TEST_CASE("sync/actors: a binding quota evicts the cheapest acknowledged chunks, with receipts at the centre") {
  SimFleet f(8);
  SimRobot& r = f.add_robot("robot-1", 5, 10'000);
  for (int i = 0; i < 12; ++i) {
    f.capture(r);
    REQUIRE(f.drain());
  }
  const auto audit = f.audit();
  CHECK_MESSAGE(audit.balanced(), text_of(audit));
  CHECK(audit.centre.receipts == 9);
  CHECK(audit.centre.chunks == 12);
  CHECK(audit.streams[0].chunks_evicted == 9);
  CHECK(must(r.store->facts()).blob_bytes <= 10'000);
}

TEST_CASE("sync/actors: a full quota stops capture with an alarm, and acknowledgements let it go on") {
  SimFleet f(9);
  SimRobot& r = f.add_robot("robot-1", 5, 6'000);
  r.wire->set_refusing(true);
  r.wire->cut();
  using Reply = Result<sync::StoredCapture>;
  CHECK(f.ask<Reply>(r.store_actor, episode_capture("robot-1", 1)));
  CHECK(f.ask<Reply>(r.store_actor, episode_capture("robot-1", 2)));
  const auto refused = f.ask<Reply>(r.store_actor, episode_capture("robot-1", 3));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::disk_full);
  auto facts = f.ask<sync::RobotStoreFacts>(r.store_actor, sync::AskRobotStore{});
  CHECK(facts.capture_stopped);
  CHECK(facts.alarm.find("quota") != std::string::npos);
  CHECK(facts.last_seq == 4);
  r.wire->set_refusing(false);
  REQUIRE(f.drain());
  CHECK(f.ask<Reply>(r.store_actor, episode_capture("robot-1", 3)));
  facts = f.ask<sync::RobotStoreFacts>(r.store_actor, sync::AskRobotStore{});
  CHECK_FALSE(facts.capture_stopped);
  REQUIRE(f.drain());
  const auto audit = f.audit();
  CHECK_MESSAGE(audit.balanced(), text_of(audit));
  CHECK(audit.centre.episodes == 3);
}

namespace {

// Damages a chunk's content on the robot's disk while nobody runs.
void damage_chunk(SimFleet& f, SimRobot& r, const Hash& hash) {
  f.stop_robot(r);
  storage::EnvOptions options;
  options.path = r.options.path;
  options.databases = sync::robot_store_databases();
  options.verify = storage::Verify::none;
  auto env = must(storage::Env::open(options));
  must(env.write([&](storage::WriteTxn& txn) -> Status {
    DROVER_ASSIGN(const bool erased, txn.erase(env.db("chunks"), hash));
    REQUIRE(erased);
    return {};
  }));
}

}  // namespace

TEST_CASE("sync/actors: a chunk that is gone at the robot gets a receipt, and the centre stops asking") {
  SimFleet f(10);
  SimRobot& r = f.add_robot("robot-1", 5);
  r.wire->set_refusing(true);
  r.wire->cut();
  const auto first = episode_capture("robot-1", 1);
  f.capture(r, first);
  f.net.run_for(100);
  damage_chunk(f, r, first.chunks[0].hash);
  f.start_robot(r, 0);
  r.wire->set_refusing(false);
  f.net.run_for(30'000);
  CHECK(wanted_of(f, "robot-1") == 0);
  auto audit = f.audit();
  CHECK_MESSAGE(audit.balanced(), text_of(audit));
  REQUIRE(audit.streams.size() == 1);
  CHECK(audit.streams[0].chunks_lost == 1);
  CHECK(audit.centre.receipts == 1);
  // The same content is captured again: it replaces what was damaged, and the centre gets it.
  const auto steps = f.sim.steps();
  f.capture(r, episode_capture("robot-1", 1 + 1000, 0, std::string(first.chunks[0].bytes.text())));
  f.net.run_for(30'000);
  CHECK(wanted_of(f, "robot-1") == 0);
  CHECK(f.sim.steps() - steps < 20'000);  // nobody asks again and again
  CHECK(f.audit().centre.chunks == 1);
  audit = f.audit();
  CHECK_MESSAGE(audit.balanced(), text_of(audit));
}

TEST_CASE("sync/actors: knowledge comes whole and with the right signature only") {
  const auto key = must(generate_ed25519());
  const auto foreign = must(generate_ed25519());
  SimFleet f(11);
  f.knowledge_key = key.public_key;
  SimRobot& r = f.add_robot("robot-1", 5);
  f.capture(r);
  REQUIRE(f.drain());
  Knowledge knowledge{1, 1, "centre", {{"vocabulary", Bytes::copy_of(std::string(100'000, 'v'))}}};
  must(f.centre->publish(1, encode(must(sign_knowledge(knowledge, key)))));
  f.net.run_for(10'000);
  CHECK(must(r.store->facts()).knowledge_version == 1);
  knowledge.version = 2;
  must(f.centre->publish(2, encode(must(sign_knowledge(knowledge, foreign)))));
  f.net.run_for(10'000);
  CHECK(must(r.store->facts()).knowledge_version == 1);
  CHECK(f.sim.log_count("error sync.knowledge_refused") > 0);
  knowledge.version = 3;
  must(f.centre->publish(3, encode(must(sign_knowledge(knowledge, key)))));
  r.wire->cut();
  f.net.run_for(10'000);
  CHECK(must(r.store->facts()).knowledge_version == 3);
}

TEST_CASE("sync/actors: a lost central folder is built again from the inbox") {
  SimFleet f(12);
  SimRobot& r = f.add_robot("robot-1", 5);
  for (int i = 0; i < 6; ++i) f.capture(r);
  REQUIRE(f.drain());
  const std::string before = dump_of(*f.centre);
  for (caf::actor* actor : {&f.sessions, &f.listener, &f.centre_actor, &f.inbox}) end(*actor);
  f.net.settle();
  f.centre.reset();
  std::filesystem::remove_all(f.folder / "centre/central");
  f.centre = open_centre(f.folder / "centre");
  f.start_centre(0);
  r.wire->cut();
  CHECK(f.net.run_until([&] { return wanted_of(f, "robot-1") == 0 && f.audit().centre.chunks == 6; }, 120'000));
  CHECK((dump_of(*f.centre) == before));
  CHECK_BALANCED(f.audit());
}

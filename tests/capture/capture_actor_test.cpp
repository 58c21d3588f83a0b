// The capture of a folder of recordings over a real store, in virtual time: everything in it is taken exactly once,
// and the folder is empty afterwards.
#include "actors/capture/capture_actor.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <filesystem>
#include <fstream>

#include "actors/capture/recording_file.hpp"
#include "actors/runtime/simulation.hpp"
#include "actors/sync/robot_store_actor.hpp"
#include "messages/record.hpp"
#include "tests/capture/recording_support.hpp"
#include "tests/capture/support.hpp"
#include "tests/sync/temp_folder.hpp"

namespace drover::capture::test {
namespace {

namespace fs = std::filesystem;

template <class T>
T must(Result<T> result) {
  if (!result) FAIL(result.error().message());
  return std::move(*result);
}

std::string name_of(uint64_t seed) {
  return std::string(1, 'e').append(std::to_string(seed)).append(".mcap");
}

struct Robot {
  Robot() : sim(1), env(sim.environment("robot")) {
    fs::create_directories(recordings());
    config.robot = "robot-01";
    config.folder = recordings();
    config.mapping = "auto";
    config.mappings = shipped_mappings();
    config.spool.stable_polls = 1;
    config.spool.remove_done = true;
    sync::RobotStoreOptions options;
    options.path = folder / "store";
    options.robot = "robot-01";
    options.incarnation = 7;
    options.sync = storage::Sync::nosync;
    options.map_initial_bytes = 1u << 20;
    store = std::make_shared<sync::RobotStore>(must(sync::RobotStore::open(options)));
    store_actor = sync::spawn_robot_store(env, store);
    env.directory().bind("store", store_actor);
  }
  ~Robot() {
    stop();
    caf::anon_send_exit(store_actor, caf::exit_reason::kill);
    sim.drain();
  }
  std::string recordings() const { return folder / "recordings"; }
  void put(const std::string& name, std::string_view content) const {
    std::ofstream(recordings() + "/" + name, std::ios::binary) << content;
  }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(recordings())) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  void stop() {
    if (capture) caf::anon_send_exit(capture, caf::exit_reason::kill);
    capture = nullptr;
    sim.drain();
  }
  // Starts the capture and lets it work until nothing waits.
  CaptureFacts settle() {
    if (!capture) capture = spawn_capture(env, config, env.ref("store"));
    std::optional<CaptureFacts> answer;
    for (int i = 0; i < 100; ++i) {
      sim.run_for(1'500);
      answer.reset();
      env.spawn([&answer, to = capture](caf::event_based_actor* self) -> caf::behavior {
        self->request(to, caf::infinite, AskCapture{})
            .then([&answer](CaptureFacts& facts) { answer = std::move(facts); }, [](caf::error&) {});
        return {};
      });
      sim.run_until([&] { return answer.has_value(); }, 10'000);
      REQUIRE(answer);
      if (answer->idle && answer->polls > 1) break;
    }
    return *answer;
  }

  struct Journal {
    std::vector<Episode> episodes;
    std::vector<Datapack> packs;
    std::vector<Event> events;
  };
  Journal journal() const {
    Journal out;
    const auto read = must(store->read_block(1, 64u << 20));
    if (read.block.empty()) return out;
    const auto block = must(Block::parse(read.block));
    for (size_t i = 0; i < block.count(); ++i) {
      const auto record = block.record(i);
      if (record.kind == RecordKind::episode) out.episodes.push_back(must(decode_episode(record.payload)));
      if (record.kind == RecordKind::datapack) out.packs.push_back(must(decode_datapack(record.payload)));
      if (record.kind == RecordKind::event) out.events.push_back(must(decode_event(record.payload)));
    }
    return out;
  }

  drover::test::TempFolder folder;
  runtime::Simulation sim;
  runtime::Environment& env;
  CaptureConfig config;
  std::shared_ptr<sync::RobotStore> store;
  caf::actor store_actor, capture;
};

}  // namespace

TEST_CASE("capture/actor: recordings become episodes with portable packs, and the files go") {
  Robot robot;
  for (uint64_t seed = 1; seed <= 3; ++seed)
    robot.put(name_of(seed), sample_recording({.seed = seed, .duration_s = 1}));
  const CaptureFacts facts = robot.settle();
  CHECK(facts.episodes == 3);
  CHECK(facts.files_done == 3);
  CHECK(facts.files_removed == 3);
  CHECK(robot.files().empty());
  const auto journal = robot.journal();
  REQUIRE(journal.episodes.size() == 3);
  REQUIRE(journal.packs.size() == 3);
  CHECK(journal.events.empty());
  for (const Datapack& pack : journal.packs) {
    CHECK(pack.schema_version == schema_version_portable);
    CHECK(pack.condition.engine_type == "mujoco");
    CHECK(pack.attribution.source_type == SourceType::synthetic);
  }
  CHECK(journal.episodes[0].blobs.at(0).media_type == "application/x-mcap");
}

TEST_CASE("capture/actor: a folder of others is left as it is") {
  Robot robot;
  robot.config.spool.remove_done = false;
  robot.put("e1.mcap", sample_recording({.duration_s = 1}));
  robot.put("bad.mcap", std::string("\x89MCAP0\r\n", 8) + "nothing more");
  CHECK(robot.settle().episodes == 1);
  CHECK(robot.files() == std::vector<std::string>{"bad.mcap", "e1.mcap"});
}

TEST_CASE("capture/actor: what was stored but not yet deleted is deleted by the next life, and not taken again") {
  Robot robot;
  robot.config.spool.remove_done = false;
  robot.put("e1.mcap", sample_recording({.duration_s = 1}));
  CHECK(robot.settle().episodes == 1);
  robot.stop();
  REQUIRE(robot.files().size() == 1);
  robot.config.spool.remove_done = true;
  CHECK(robot.settle().episodes == 0);
  CHECK(robot.files().empty());
  CHECK(robot.journal().episodes.size() == 1);
}

TEST_CASE("capture/actor: marks of files that are gone do not pile up, here and in the store") {
  Robot robot;
  robot.config.spool.marks_kept = 3;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    robot.put(name_of(seed), sample_recording({.seed = seed, .duration_s = 0.2}));
    robot.settle();
  }
  CHECK(robot.journal().episodes.size() == 20);
  const auto marks = must(robot.store->marks("spool/"));
  CHECK(marks.marks.size() >= 3);
  CHECK(marks.marks.size() <= 7);
  // The next life knows as much as it needs.
  robot.stop();
  robot.put("e20.mcap", sample_recording({.seed = 20, .duration_s = 0.2}));
  CHECK(robot.settle().episodes == 0);
}

TEST_CASE("capture/actor: what holds nothing is set aside with its reason, and does not block the folder") {
  Robot robot;
  const std::string whole = sample_recording({.duration_s = 1});
  robot.put("a-empty.mcap", "");
  robot.put("b-magic.mcap", whole.substr(0, 20));
  robot.put("c-header.mcap", whole.substr(0, 60));
  robot.put("d-good.mcap", whole);
  const CaptureFacts facts = robot.settle();
  CHECK(facts.episodes == 1);
  CHECK(facts.files_quarantined == 3);
  CHECK(robot.files() ==
        std::vector<std::string>{"a-empty.mcap.set_aside", "b-magic.mcap.set_aside", "c-header.mcap.set_aside"});
  const auto journal = robot.journal();
  size_t told = 0;
  for (const Event& event : journal.events) told += event.kind == "source_set_aside" && !event.detail.empty() ? 1 : 0;
  CHECK(told == 3);
}

TEST_CASE("capture/actor: a recording whose writer died becomes a labelled prefix") {
  Robot robot;
  Told told;
  const std::string whole = sample_recording({.duration_s = 3}, &told);
  {
    auto file = RecordingFile::create(robot.recordings(), "e1", told.start);
    REQUIRE(file);
    for (size_t i = 0; i < told.energy.size() - 1; ++i)
      REQUIRE((*file)->recorder().energy(told.energy[i].first, told.energy[i].second));
    // Still being written: nobody takes it.
    CHECK(must(adopt_recordings(robot.recordings())).empty());
    CHECK(robot.settle().episodes == 0);
    CHECK(robot.files() == std::vector<std::string>{"e1.mcap.part"});
  }
  CHECK(must(adopt_recordings(robot.recordings())) == std::vector<std::string>{"e1.mcap"});
  CHECK(robot.settle().episodes == 1);
  CHECK(robot.files().empty());
  const auto journal = robot.journal();
  REQUIRE(journal.episodes.size() == 1);
  CHECK(!journal.episodes[0].complete);
  CHECK(journal.episodes[0].outcome == "unknown");
  CHECK(journal.packs.at(0).energy.total_Wh > 0);
  REQUIRE(journal.events.size() == 1);
  CHECK(journal.events[0].kind == "source_damaged");
}

TEST_CASE("capture/recording file: appears whole, under its name, never over another") {
  Robot robot;
  Told told;
  sample_recording({.duration_s = 0.2}, &told);
  auto file = must(RecordingFile::create(robot.recordings(), "e1", told.start));
  CHECK(RecordingFile::create(robot.recordings(), "e1", told.start).error().code == Errc::already_exists);
  robot.put("e1.mcap", "somebody else's");
  CHECK(file->finish(told.end, told.energy.back().second).error().code == Errc::already_exists);
  CHECK(robot.files() == std::vector<std::string>{"e1.mcap", "e1.mcap.part"});
  file.reset();
  CHECK(must(adopt_recordings(robot.recordings())) == std::vector<std::string>{"e1.1.mcap"});
  auto second = must(RecordingFile::create(robot.recordings(), "e2", told.start));
  CHECK(must(second->finish(told.end, told.energy.back().second)) == robot.recordings() + "/e2.mcap");
  auto third = must(RecordingFile::create(robot.recordings(), "e3", told.start));
  REQUIRE(third->discard());
  CHECK(robot.files() == std::vector<std::string>{"e1.1.mcap", "e1.mcap", "e2.mcap"});
  CHECK(RecordingFile::create(robot.recordings(), "../e4", told.start).error().code == Errc::invalid_argument);
}

}  // namespace drover::capture::test

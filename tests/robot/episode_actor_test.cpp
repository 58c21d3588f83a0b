// The episode actor over a real store, in virtual time: what it begins is accounted for, whatever happens.
#include "actors/robot/episode_actor.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <caf/send.hpp>
#include <filesystem>
#include <set>

#include "actors/capture/spool.hpp"
#include "actors/runtime/simulation.hpp"
#include "actors/sync/robot_store_actor.hpp"
#include "messages/record.hpp"
#include "tests/robot/fake_world.hpp"
#include "tests/sync/temp_folder.hpp"

using namespace drover;
using namespace drover::robot;
namespace fs = std::filesystem;

namespace {

template <class T>
T must(Result<T> result) {
  if (!result) FAIL(result.error().message());
  return std::move(*result);
}

// One robot: a store and a body, each of which can be killed.
struct Robot {
  explicit Robot(uint64_t seed = 1) : sim(seed), env(sim.environment("robot")) {
    fs::create_directories(folder / "recordings");
    config.recording.folder = folder / "recordings";
    config.recording.robot = "robot-1";
    config.recording.image_width = config.recording.image_height = 16;
    config.seed = 100;
    config.make_body = [this]() -> Result<Body> {
      auto world = std::make_unique<test::FakeWorld>();
      world->diverges_from = diverges_from;
      world->draws = draws;
      return Body{std::move(world), std::make_unique<test::FakePolicy>(steps), {"hard", "nominal"}};
    };
    sync::RobotStoreOptions options;
    options.path = folder / "store";
    options.robot = "robot-1";
    options.incarnation = 7;
    options.sync = storage::Sync::nosync;
    options.map_initial_bytes = 1u << 20;
    store = std::make_shared<sync::RobotStore>(must(sync::RobotStore::open(options)));
    store_actor = sync::spawn_robot_store(env, store);
    env.directory().bind("store", store_actor);
  }
  ~Robot() {
    end(caf::exit_reason::kill);
    caf::anon_send_exit(store_actor, caf::exit_reason::kill);
    sim.drain();
  }

  void start() { body = spawn_episodes(env, config, env.ref("store")); }
  void end(caf::exit_reason how) {
    if (body) caf::anon_send_exit(body, how);
    body = nullptr;
    sim.drain();
  }
  EpisodesFacts facts() {
    std::optional<EpisodesFacts> answer;
    env.spawn([&answer, to = body](caf::event_based_actor* self) -> caf::behavior {
      self->request(to, caf::infinite, AskEpisodes{})
          .then([&answer](EpisodesFacts& facts) { answer = std::move(facts); }, [](caf::error&) {});
      return {};
    });
    sim.run_until([&] { return answer.has_value(); }, 10'000);
    REQUIRE(answer);
    return *answer;
  }
  bool run_until(const std::function<bool(const EpisodesFacts&)>& done) {
    for (int i = 0; i < 2'000; ++i) {
      if (done(facts())) return true;
      sim.run_for(50);
    }
    return false;
  }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(config.recording.folder)) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
  std::vector<Event> journal() const {
    std::vector<Event> events;
    const auto read = must(store->read_block(1, 16u << 20));
    if (read.block.empty()) return events;
    const auto block = must(Block::parse(read.block));
    for (size_t i = 0; i < block.count(); ++i)
      if (block.record(i).kind == RecordKind::event) events.push_back(must(decode_event(block.record(i).payload)));
    return events;
  }

  test::TempFolder folder;
  runtime::Simulation sim;
  runtime::Environment& env;
  EpisodeActorConfig config;
  std::shared_ptr<sync::RobotStore> store;
  caf::actor store_actor, body;
  uint64_t diverges_from = UINT64_MAX;
  bool draws = true;
  int steps = 20;
};

}  // namespace

TEST_CASE("robot/episodes: runs as many as asked for, seeds counting up, and then rests") {
  Robot robot;
  robot.config.episodes = 3;
  robot.start();
  REQUIRE(robot.run_until([](const EpisodesFacts& f) { return f.done; }));
  const auto facts = robot.facts();
  CHECK(facts.recorded == 3);
  CHECK(facts.frames == 3 * 21);
  CHECK(facts.templates.at("success") == 2);  // seeds 100 and 102
  CHECK(facts.templates.at("failure") == 1);
  const auto files = robot.files();
  REQUIRE(files.size() == 3);
  CHECK(files[0].starts_with("00000000-fake-nominal-100-"));
  CHECK(files[2].starts_with("00000002-fake-nominal-102-"));
  CHECK(robot.journal().empty());
}

TEST_CASE("robot/episodes: no episode begins while recordings wait; it goes on when they were taken") {
  Robot robot;
  robot.config.waiting_max = 2;
  robot.start();
  REQUIRE(robot.run_until([](const EpisodesFacts& f) { return f.waiting_for == "recordings wait to be captured"; }));
  robot.sim.run_for(10'000);
  CHECK(robot.facts().recorded == 2);
  CHECK_FALSE(robot.facts().running);
  fs::remove(fs::path(robot.config.recording.folder) / robot.files().front());
  REQUIRE(robot.run_until([](const EpisodesFacts& f) { return f.recorded == 3; }));
  CHECK(robot.files().size() == 2);
}

TEST_CASE("robot/episodes: after a kill the next life counts on, and the part becomes a recording") {
  Robot robot;
  robot.config.episodes = 3;
  robot.steps = 200;
  robot.start();
  REQUIRE(robot.sim.run_until([&] { return robot.files().size() == 2; }, 60'000));  // the second has its part file
  robot.end(caf::exit_reason::kill);
  REQUIRE(robot.files().back().ends_with(".mcap.part"));
  robot.start();
  REQUIRE(robot.run_until([](const EpisodesFacts& f) { return f.done; }));
  const auto facts = robot.facts();
  CHECK(facts.adopted == 1);
  CHECK(facts.recorded == 1);  // of this life
  CHECK(facts.lost == 0);
  REQUIRE(robot.files().size() == 3);
  CHECK(robot.files()[1].starts_with("00000001-"));
  CHECK(robot.files()[2].starts_with("00000002-fake-nominal-102-"));
  CHECK(robot.journal().empty());
}

TEST_CASE("robot/episodes: an episode of which nothing reached the disk is journaled as lost, once") {
  Robot robot;
  robot.config.episodes = 2;
  robot.config.pause_ms = 5'000;
  robot.start();
  REQUIRE(robot.run_until([](const EpisodesFacts& f) { return f.recorded == 1; }));
  robot.end(caf::exit_reason::kill);
  for (const std::string& file : robot.files()) fs::remove(fs::path(robot.config.recording.folder) / file);
  robot.start();
  REQUIRE(robot.run_until([](const EpisodesFacts& f) { return f.done; }));
  const auto events = robot.journal();
  REQUIRE(events.size() == 1);
  CHECK(events[0].kind == "recording_lost");
  CHECK(events[0].severity == "warning");
  CHECK(robot.facts().lost == 1);
}

TEST_CASE("robot/episodes: a recording that was captured and removed is not lost") {
  Robot robot;
  robot.config.episodes = 2;
  robot.config.pause_ms = 5'000;
  robot.start();
  REQUIRE(robot.run_until([](const EpisodesFacts& f) { return f.recorded == 1; }));
  robot.end(caf::exit_reason::kill);
  const std::string file = robot.files().front();
  capture::SpoolMark mark;
  mark.file.name = file;
  mark.state = capture::MarkState::done;
  const std::string key = "spool/" + robot.config.recording.folder + "\n" + capture::mark_key(mark);
  must(robot.store->store({{}, {}, {{key, std::string(as_text(capture::encode(mark)))}}}, 1));
  fs::remove(fs::path(robot.config.recording.folder) / file);
  robot.start();
  REQUIRE(robot.run_until([](const EpisodesFacts& f) { return f.done; }));
  CHECK(robot.journal().empty());
  CHECK(robot.facts().lost == 0);
}

TEST_CASE("robot/episodes: physics that diverges voids the episode, says so, and the next one runs") {
  Robot robot;
  robot.config.episodes = 2;
  robot.diverges_from = 101;
  robot.start();
  REQUIRE(robot.run_until([](const EpisodesFacts& f) { return f.done; }));
  CHECK(robot.facts().recorded == 1);
  CHECK(robot.facts().voided == 1);
  const auto events = robot.journal();
  REQUIRE(events.size() == 1);
  CHECK(events[0].kind == "episode_void");
  CHECK(events[0].detail.find("diverged") != std::string::npos);
  CHECK(robot.files().size() == 1);
}

TEST_CASE("robot/episodes: a world in which nothing works does not fill the journal") {
  Robot robot;
  robot.diverges_from = 0;
  robot.start();
  robot.sim.run_for(600'000);
  const auto voided = robot.facts().voided;
  CHECK(voided > 10);
  CHECK(voided < 25);  // 0.1 s, 0.2 s, ... then one a minute
  CHECK(robot.journal().size() == voided);
}

TEST_CASE("robot/episodes: a polite stop in the middle leaves a finished prefix and no part file") {
  Robot robot;
  robot.steps = 200;
  robot.start();
  REQUIRE(robot.sim.run_until([&] { return robot.files().size() == 1; }, 60'000));
  robot.end(caf::exit_reason::user_shutdown);
  REQUIRE(robot.files().size() == 1);
  CHECK(robot.files()[0].ends_with(".mcap"));
  CHECK(robot.sim.log_count("robot.episode_interrupted") == 1);
}

TEST_CASE("robot/episodes: mix draws every set, and the same seed the same one") {
  const std::vector<std::string> sets{"hard", "nominal"};
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    seen.insert(condition_set_of("mix", sets, seed));
    CHECK(condition_set_of("mix", sets, seed) == condition_set_of("mix", sets, seed));
  }
  CHECK(seen.size() == 2);
  CHECK(condition_set_of("hard", sets, 3) == "hard");
}

TEST_CASE("robot/episodes: no pictures is said once and does not stop the work") {
  Robot robot;
  robot.config.episodes = 3;
  robot.draws = false;
  robot.start();
  REQUIRE(robot.run_until([](const EpisodesFacts& f) { return f.done; }));
  CHECK(robot.facts().recorded == 3);
  CHECK(robot.facts().frames == 0);
  CHECK(robot.facts().no_pictures.find("no pictures here") != std::string::npos);
  CHECK(robot.sim.log_count("robot.no_pictures") == 1);
}

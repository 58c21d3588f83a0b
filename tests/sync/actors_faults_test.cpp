// The sync actors under random faults: cuts, stalls, refusals, latency, dead actors and restarted robots. Whatever
// happens, the books balance at every look, everything drains after healing, and the centre ends as if nothing had
// been.
#include "actors/runtime/rng.hpp"
#include "tests/sync/sim_fleet.hpp"

using namespace drover;
using namespace drover::test;

namespace {

struct Ending {
  std::string dump;
  uint64_t trace = 0;
  uint64_t resent_blocks = 0;
  uint64_t links = 0;
  uint64_t restarts = 0;
};

void fault(SimFleet& f, SimRobot& r, runtime::Rng& rng, Ending& ending) {
  switch (rng.below(12)) {
    case 0:
    case 1:
      return r.wire->cut();
    case 2:
      return r.wire->set_stalled(true);
    case 3:
      return r.wire->set_stalled(false);
    case 4:
      return r.wire->set_refusing(true);
    case 5:
      return r.wire->set_refusing(false);
    case 6:
      return r.wire->set_latency_ms(static_cast<uint32_t>(rng.below(100)));
    case 7:
    case 8:
      ++ending.restarts;
      return f.start_robot(r, static_cast<int>(rng.below(3)));
    case 9:
      ++ending.restarts;
      return f.start_centre(static_cast<int>(rng.below(4)));
    default:
      return;
  }
}

Ending story(uint64_t seed, bool faults) {
  SimFleet f(seed);
  f.outbox.journal.block_max_bytes = 4096;
  f.outbox.blobs.piece_bytes = 1024;
  for (uint64_t i = 1; i <= 3; ++i) f.add_robot("robot-" + std::to_string(i), 100 + i);
  auto work = runtime::Rng::stream(seed, "work");  // the same with and without faults
  auto luck = runtime::Rng::stream(seed, "luck");
  Ending ending;
  for (int step = 0; step < 60; ++step) {
    for (auto& robot : f.robots) {
      if (work.chance(0.4)) f.capture(*robot);
      if (work.chance(0.05)) f.capture(*robot, {{event_record("mark", f.sim.clock()->unix_ns())}, {}, {}});
      if (faults && luck.chance(0.4)) fault(f, *robot, luck, ending);
    }
    f.net.run_for(luck.between(1, 400));
    if (step % 6 == 0) CHECK_BALANCED(f.audit());
  }
  for (auto& robot : f.robots) {
    robot->wire->set_stalled(false);
    robot->wire->set_refusing(false);
    robot->wire->set_latency_ms(0);
    robot->wire->cut();
  }
  CHECK(f.drain());
  CHECK_BALANCED(f.audit());
  for (auto& robot : f.robots) {
    const auto facts = f.ask<sync::OutboxFacts>(robot->outbox, sync::AskOutbox{});
    ending.resent_blocks += facts.resent_blocks;
    ending.links += facts.links;
    CHECK(facts.halted.empty());
  }
  for (const std::string& line : f.sim.log_lines()) CHECK_MESSAGE(!line.starts_with("error"), line);
  ending.dump = dump_of(*f.centre);
  ending.trace = f.sim.trace_hash();
  return ending;
}

}  // namespace

TEST_CASE("sync/actors: under any faults the books balance, and the centre ends as without them") {
  uint64_t restarts = 0, links = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    CAPTURE(seed);
    const Ending calm = story(seed, false);
    const Ending rough = story(seed, true);
    CHECK((rough.dump == calm.dump));
    restarts += rough.restarts;
    links += rough.links;
  }
  CHECK(restarts > 100);  // the faults did happen
  CHECK(links > 50);
}

TEST_CASE("sync/actors: the same seed gives the same run") {
  const Ending one = story(3, true), again = story(3, true), other = story(4, true);
  CHECK(one.trace == again.trace);
  CHECK((one.dump == again.dump));
  CHECK(one.trace != other.trace);
}

// A worker: steps follow each other while there is work, then it rests; failures are told once.
#include <doctest/doctest.h>

#include <caf/send.hpp>
#include <memory>
#include <vector>

#include "actors/runtime/simulation.hpp"
#include "actors/runtime/worker_actor.hpp"

using namespace drover;
using namespace drover::runtime;

namespace {

// Gives one answer after the other, the last again and again, and notes when it was asked.
struct Scripted final : Work {
  Scripted(Simulation& simulation, std::vector<Result<bool>> script)
      : simulation(simulation), script(std::move(script)) {}
  Result<bool> step(caf::event_based_actor&) override {
    const size_t at = std::min(asked_ms.size(), script.size() - 1);
    asked_ms.push_back(simulation.now_ms());
    return script[at];
  }
  Simulation& simulation;
  std::vector<Result<bool>> script;
  std::vector<int64_t> asked_ms;
};

Result<bool> failed(const char* what) {
  return fail(Errc::io, "disk", what);
}

}  // namespace

TEST_CASE("runtime/worker: steps at once while there is work, else after the rest") {
  Simulation simulation(1);
  const auto work = std::make_shared<Scripted>(simulation, std::vector<Result<bool>>{true, true, false, true, false});
  const caf::actor worker = spawn_worker(simulation.environment(), {"thing", 500}, work);
  REQUIRE(simulation.run_for(1'200));
  CHECK(work->asked_ms == std::vector<int64_t>{0, 0, 0, 500, 500, 1'000});
  caf::anon_send_exit(worker, caf::exit_reason::user_shutdown);
  REQUIRE(simulation.run_for(5'000));
  CHECK(work->asked_ms.size() == 6);
  CHECK(work.use_count() == 1);  // the actor's share is gone with it
}

TEST_CASE("runtime/worker: a failure is told once until a step succeeds, and tried again after the rest") {
  Simulation simulation(2);
  const auto work = std::make_shared<Scripted>(
      simulation,
      std::vector<Result<bool>>{failed("full"), failed("full"), failed("full"), false, failed("gone"), false});
  const caf::actor worker = spawn_worker(simulation.environment(), {"thing", 100}, work);
  REQUIRE(simulation.run_for(250));
  CHECK(work->asked_ms == std::vector<int64_t>{0, 100, 200});
  CHECK(simulation.log_count("thing.failed") == 1);
  REQUIRE(simulation.run_for(1'000));
  CHECK(simulation.log_count("thing.failed") == 2);
  caf::anon_send_exit(worker, caf::exit_reason::user_shutdown);
  REQUIRE(simulation.run_for(1'000));
}

// Poison messages: counted per receiver and content, set aside with their payload after k deaths.
#include <doctest/doctest.h>

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/event_based_actor.hpp>

#include "actors/runtime/packet_message.hpp"
#include "actors/runtime/quarantine.hpp"
#include "actors/runtime/simulation.hpp"
#include "actors/runtime/supervisor_actor.hpp"

using namespace drover;
using namespace drover::runtime;

namespace {

struct Kept : QuarantineSink {
  std::vector<PoisonMessage> messages;
  void quarantined(const PoisonMessage& message) override { messages.push_back(message); }
};

LogSink silent() {
  return [](LogLevel, std::string_view) {};
}

// Processes and swallows the throw, as a restart would.
Handling deliver(Quarantine& quarantine, const char* receiver, const Bytes& bytes, bool dies) {
  try {
    return quarantine.process(receiver, bytes, [&] {
      if (dies) throw std::runtime_error("bad bytes");
    });
  } catch (const std::runtime_error&) {
    return Handling::processed;
  }
}

}  // namespace

TEST_CASE("runtime/quarantine: k deaths set a message aside, fewer do not, success clears the count") {
  ManualClock clock(99);
  Kept kept;
  Quarantine quarantine({3, 10, 10}, clock, silent(), &kept);
  const Bytes bad = Bytes::copy_of("poison"), good = Bytes::copy_of("bread");
  deliver(quarantine, "inbox", bad, true);
  deliver(quarantine, "inbox", bad, true);
  deliver(quarantine, "inbox", bad, false);
  CHECK(quarantine.suspect_count() == 0);
  deliver(quarantine, "inbox", bad, true);
  deliver(quarantine, "other", bad, true);  // another receiver has its own count
  deliver(quarantine, "inbox", bad, true);
  CHECK(kept.messages.empty());
  CHECK_THROWS_AS(quarantine.process("inbox", bad, [] { throw std::runtime_error("bad bytes"); }), std::runtime_error);
  REQUIRE(kept.messages.size() == 1);
  CHECK(kept.messages[0].payload == bad);
  CHECK(kept.messages[0].identity == sha256(bad));
  CHECK(kept.messages[0].deaths == 3);
  CHECK(kept.messages[0].reason == "bad bytes");
  CHECK(kept.messages[0].unix_ns == 99);
  CHECK(deliver(quarantine, "inbox", bad, true) == Handling::diverted);
  CHECK(deliver(quarantine, "other", bad, false) == Handling::processed);
  CHECK(deliver(quarantine, "inbox", good, false) == Handling::processed);
  CHECK(quarantine.release("inbox", sha256(bad)));
  CHECK(deliver(quarantine, "inbox", bad, false) == Handling::processed);
}

TEST_CASE("runtime/quarantine: both tables are bounded, the oldest goes first") {
  ManualClock clock;
  Quarantine quarantine({2, 3, 2}, clock, silent());
  const auto bytes = [](int i) { return Bytes::copy_of(std::to_string(i)); };
  for (int i = 0; i < 5; ++i) deliver(quarantine, "r", bytes(i), true);
  CHECK(quarantine.suspect_count() == 3);
  deliver(quarantine, "r", bytes(0), true);  // forgotten: counts as its first death again
  CHECK(quarantine.quarantined_count() == 0);
  deliver(quarantine, "r", bytes(4), true);
  CHECK(quarantine.is_quarantined("r", sha256(bytes(4))));
  quarantine.restore("r", sha256(bytes(7)));
  quarantine.restore("r", sha256(bytes(8)));
  CHECK(quarantine.quarantined_count() == 2);
  CHECK_FALSE(quarantine.is_quarantined("r", sha256(bytes(4))));
}

namespace {

// A consumer that reads a shared list by cursor, as an inbox does: a message counts as done only after its handler
// ended.
struct Pump {};
struct Feed {
  std::vector<Bytes> messages;
  size_t cursor = 0;
  std::vector<std::string> done, diverted;
};

}  // namespace
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(Pump)

TEST_CASE("runtime/quarantine: a poison message stops killing its receiver and the work behind it goes on") {
  Simulation sim(5);
  Kept kept;
  EnvironmentOptions options = sim.options("node");
  options.quarantine_sink = &kept;
  Environment environment(sim.system(), options);
  Feed feed;
  for (const char* text : {"a", "b", "poison", "c"}) feed.messages.push_back(Bytes::copy_of(text));
  int starts = 0;
  const auto consumer = [&](caf::event_based_actor* self) -> caf::behavior {
    self->send(self, Pump{});
    return {[&, self](const Pump&) {
      if (feed.cursor == feed.messages.size()) return;
      const Bytes& next = feed.messages[feed.cursor];
      const Handling handling = environment.quarantine().process("consumer", next, [&] {
        if (next.text() == "poison") throw std::runtime_error("cannot digest");
        feed.done.emplace_back(next.text());
      });
      if (handling == Handling::diverted) feed.diverted.emplace_back(next.text());
      ++feed.cursor;
      self->send(self, Pump{});
    }};
  };
  SupervisorConfig config;
  config.rules.intensity = {5, 600'000};
  config.children.push_back(worker_child("consumer", [&](Environment& e) {
    ++starts;
    return e.spawn(consumer);
  }));
  const caf::actor root = spawn_supervisor(environment, config);
  sim.run_for(60'000);
  CHECK(starts == 4);
  CHECK(feed.done == std::vector<std::string>{"a", "b", "c"});
  CHECK(feed.diverted == std::vector<std::string>{"poison"});
  REQUIRE(kept.messages.size() == 1);
  CHECK(kept.messages[0].payload.text() == "poison");
  CHECK(sim.log_count("error runtime.quarantined receiver=consumer") == 1);
  CHECK(sim.log_count("cannot digest") == 4);  // three failures and the quarantine
  caf::anon_send_exit(root, caf::exit_reason::user_shutdown);
  sim.run_for(10'000);
}

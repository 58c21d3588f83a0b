// Sessions over in-memory pipes under virtual time: hello, calls, role rules, faults, windows; same seed, same trace.
#include <doctest/doctest.h>

#include <caf/actor_cast.hpp>
#include <caf/exit_reason.hpp>
#include <optional>

#include "actors/network/simulated_network.hpp"
#include "tests/network/fakes.hpp"

namespace drover::test {
namespace {

const PeerName centre_name{Role::coordinator, "centre"};

struct World {
  explicit World(uint64_t seed) : simulation(seed), env(simulation.environment("centre")), net(simulation, env) {
    centre = env.spawn(fake_centre, &centre_seen);
    Listen listen{.self = centre_name, .limits = limits, .handler = centre};
    const auto listening = net.listen(listen);
    REQUIRE(listening.has_value());
    listener = listening->actor;
    wire = net.make_wire();
  }
  ~World() {
    for (auto& actor : stop) caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(centre, caf::exit_reason::user_shutdown);
    net.settle();
  }

  caf::actor connect(Role role, const std::string& id, Limits with = {}) {
    auto robot = env.spawn(fake_robot, &robot_seen, uint64_t{role == Role::robot ? 77u : 0u});
    stop.push_back(robot);
    Dial dial{
        .memory_listener = listener, .memory_wire = wire, .self = {role, id}, .limits = with, .subscriber = robot};
    const auto uplink = net.dial(dial);
    REQUIRE(uplink.has_value());
    return *uplink;
  }
  bool up(size_t times = 1) {
    return net.run_until([&] { return robot_seen.count("up ") >= times; }, 60'000);
  }
  // Sends a request and runs until it is answered.
  template <class Reply, class Message>
  Reply ask(const caf::actor& uplink, Message message, int64_t max_ms = 120'000) {
    std::optional<Reply> answer;
    auto asker = env.spawn([&answer, uplink, message](caf::event_based_actor* self) -> caf::behavior {
      self->request(uplink, caf::infinite, message)
          .then([&answer](Reply& reply) { answer = reply; },
                [&answer](caf::error& e) { answer = Reply(fail(Errc::internal, "caf", caf::to_string(e))); });
      return {};
    });
    net.run_until([&] { return answer.has_value(); }, max_ms);
    if (!answer) return fail(Errc::internal, "test", "no answer");
    return *answer;
  }

  Limits limits{};
  runtime::Simulation simulation;
  runtime::Environment& env;
  Seen centre_seen, robot_seen;
  std::vector<caf::actor> stop;
  SimulatedNetwork net;
  caf::actor centre, listener;
  std::shared_ptr<MemoryWire> wire;
};

}  // namespace

TEST_CASE("network/session: hello carries the robot's facts and the welcome reaches it") {
  World w(1);
  w.centre_seen.durable_seq = 7;
  w.connect(Role::robot, "robot-01");
  REQUIRE(w.up());
  CHECK(w.centre_seen.count("hello robot/robot-01 inc=77") == 1);
  CHECK(w.robot_seen.count("up coordinator/centre durable=7") == 1);
}

TEST_CASE("network/session: every call of a robot reaches the handler and its answer comes back") {
  World w(2);
  const auto uplink = w.connect(Role::robot, "robot-01");
  REQUIRE(w.up());
  const auto ack = w.ask<AppendReply>(uplink, SendBlock{block(1, 3)});
  REQUIRE(ack.has_value());
  CHECK(ack->durable_seq == 3);
  CHECK(ack->status == AckStatus::ok);
  CHECK(w.ask<AppendReply>(uplink, SendBlock{block(9, 9)})->status == AckStatus::gap);

  const auto wants = w.ask<WantsReply>(uplink, FetchWants{1000, 3});
  REQUIRE(wants.has_value());
  REQUIRE(wants->items.size() == 3);
  CHECK(wants->items[2].hash == sha256(as_bytes("2")));
  CHECK(wants->items[2].offset == 2);
  CHECK(wants->items[2].size_bytes == 1002);

  const auto body = Bytes::copy_of(std::string(5000, 'q'));
  const auto chunk = w.ask<ChunkReply>(uplink, SendChunk{sha256(body), 0, 5000, body});
  REQUIRE(chunk.has_value());
  CHECK(chunk->complete);
  CHECK(chunk->durable_bytes == 5000);

  const auto knowledge = w.ask<KnowledgeReply>(uplink, FetchKnowledge{4});
  REQUIRE(knowledge.has_value());
  CHECK(knowledge->version == 5);
  CHECK(knowledge->snapshot.text() == "knowledge");
}

TEST_CASE("network/session: pings carry the status, pongs come back, and a silent centre is noticed") {
  World w(3);
  const auto uplink = w.connect(Role::robot, "robot-01");
  REQUIRE(w.up());
  caf::anon_send(uplink, SetStatus{NodeStatus{.alarm = "disk"}});
  w.net.run_for(10'000);
  CHECK(w.centre_seen.count("ping robot/robot-01 disk") >= 3);
  CHECK(w.robot_seen.count("pong wanted=3") >= 3);
  w.centre_seen.mute = true;
  const auto before = w.robot_seen.count("down ");
  w.net.run_for(10'000);
  CHECK(w.robot_seen.count("down timeout") >= 1);
  CHECK(w.robot_seen.count("down ") > before);
}

TEST_CASE("network/session: role rules refuse by name of the call, and log it once") {
  World w(4);
  const auto robot = w.connect(Role::robot, "robot-01");
  const auto person = w.connect(Role::operator_, "ada");
  const auto trainer = w.connect(Role::trainer, "gpu-1");
  REQUIRE(w.up(3));
  for (int i = 0; i < 5; ++i) {
    const auto refused = w.ask<QueryAnswer>(robot, SendQuery{"{}"});
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == Errc::refused);
    CHECK(refused.error().message().find("a robot may not call query") != std::string::npos);
  }
  CHECK(w.simulation.log_count("may not call query") == 1);
  CHECK(w.ask<QueryAnswer>(person, SendQuery{"1"})->reply == "{\"echo\":1}");
  CHECK(w.ask<AppendReply>(person, SendBlock{block(1, 1)}).error().code == Errc::refused);
  CHECK(w.ask<WantsReply>(trainer, FetchWants{1, 1}).error().code == Errc::refused);
  CHECK(w.ask<KnowledgeReply>(person, FetchKnowledge{0}).error().code == Errc::refused);
  CHECK(w.ask<KnowledgeReply>(trainer, FetchKnowledge{0}).has_value());
  const auto missing = w.ask<QueryAnswer>(person, SendQuery{"bad"});
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().code == Errc::not_found);
  CHECK(missing.error().where == "packs.show");
  CHECK(missing.error().what == "no such pack");
  CHECK(w.centre_seen.blocks.empty());
}

TEST_CASE("network/session: a refused hello is told to the peer with its reason and retried by backoff") {
  World w(5);
  w.centre_seen.refuse_hello = "quarantined";
  w.connect(Role::robot, "robot-01");
  w.net.run_for(3'000);
  CHECK(w.robot_seen.count("up ") == 0);
  CHECK(w.robot_seen.count("down refused: robot/robot-01: quarantined") >= 3);
  CHECK(w.simulation.log_count("network.peer_refused") == 1);
  w.centre_seen.refuse_hello.clear();
  CHECK(w.up());
}

TEST_CASE("network/session: a cut is noticed by both sides, unanswered blocks fail, and the link returns") {
  std::optional<AppendReply> answer;
  World w(6);
  const auto uplink = w.connect(Role::robot, "robot-01");
  REQUIRE(w.up());
  w.centre_seen.mute = true;
  auto asker = w.env.spawn([&answer, uplink](caf::event_based_actor* self) -> caf::behavior {
    self->request(uplink, caf::infinite, SendBlock{block(1, 1)}).then([&](AppendReply& reply) { answer = reply; });
    return {};
  });
  w.net.run_for(10);
  CHECK_FALSE(answer.has_value());
  w.wire->cut();
  w.net.run_for(5);
  REQUIRE(answer.has_value());
  CHECK(answer->error().code == Errc::unavailable);
  CHECK(w.robot_seen.count("down unavailable") == 1);
  CHECK(w.centre_seen.count("gone robot/robot-01") == 1);
  w.centre_seen.mute = false;
  REQUIRE(w.up(2));
  CHECK(w.ask<AppendReply>(uplink, SendBlock{block(1, 1)})->durable_seq == 1);
}

TEST_CASE("network/session: while the link is down requests fail at once") {
  World w(7);
  w.wire->set_refusing(true);
  const auto uplink = w.connect(Role::robot, "robot-01");
  w.net.run_for(500);
  CHECK(w.ask<AppendReply>(uplink, SendBlock{block(1, 1)}, 1).error().code == Errc::unavailable);
  CHECK(w.ask<WantsReply>(uplink, FetchWants{1, 1}, 1).error().code == Errc::unavailable);
  const auto dials = w.robot_seen.count("down ");
  w.net.run_for(60'000);
  const auto later = w.robot_seen.count("down ");
  CHECK(later - dials >= 6);   // never more than backoff_max_ms = 10 s apart
  CHECK(later - dials <= 20);  // and slower than at first
}

TEST_CASE("network/session: a stalled path is a dead path") {
  World w(8);
  w.connect(Role::robot, "robot-01");
  REQUIRE(w.up());
  w.wire->set_stalled(true);
  w.net.run_for(9'000);  // ping period 2 s + ping timeout 6 s
  CHECK(w.robot_seen.count("down timeout") == 1);
  w.net.run_for(30'000);
  w.wire->set_stalled(false);
  CHECK(w.up(2));
  CHECK(w.centre_seen.count("gone robot/robot-01") >= 1);
}

TEST_CASE("network/session: the newest session of a robot replaces the old one, which is gone first") {
  World w(9);
  w.connect(Role::robot, "robot-01");
  REQUIRE(w.up());
  w.connect(Role::robot, "robot-01");
  REQUIRE(w.up(2));
  std::vector<std::string> order;
  for (const auto& event : w.centre_seen.events)
    if (!event.starts_with("ping")) order.push_back(event.substr(0, 5));
  REQUIRE(order.size() >= 3);
  CHECK(order[0] == "hello");
  CHECK(order[1] == "gone ");
  CHECK(order[2] == "hello");
}

TEST_CASE("network/session: bulk beyond the window waits, beyond the queue is refused, and memory is bounded") {
  size_t overloaded = 0, answered = 0;
  World w(10);
  Limits limits;
  limits.window_bytes = 64 << 10;
  limits.bulk_queue_bytes = 128 << 10;
  const auto uplink = w.connect(Role::robot, "robot-01", limits);
  REQUIRE(w.up());
  w.centre_seen.mute = true;
  auto asker = w.env.spawn([&, uplink](caf::event_based_actor* self) -> caf::behavior {
    for (int i = 0; i < 40; ++i)
      self->request(uplink, caf::infinite, SendBlock{block(1, 1, 8 << 10)}).then([&](AppendReply& reply) {
        ++answered;
        if (!reply && reply.error().code == Errc::overloaded) ++overloaded;
      });
    return {};
  });
  w.net.run_for(100);
  CHECK(overloaded == 40 - 7 - 15);  // 7 x 8 KiB+ in the window, 15 in the queue
  CHECK(answered == overloaded);
  CHECK(w.ask<AppendReply>(uplink, SendBlock{block(1, 1, 17 << 20)}, 1).error().code == Errc::too_large);
}

TEST_CASE("network/session: a new handler makes every peer say hello again") {
  World w(11);
  w.connect(Role::robot, "robot-01");
  REQUIRE(w.up());
  Seen second_seen;
  auto second = w.env.spawn([&](caf::event_based_actor* self) -> caf::behavior {
    self->send(w.listener, ServePeers{});
    return fake_centre(self, &second_seen);
  });
  REQUIRE(w.up(2));
  CHECK(second_seen.count("hello robot/robot-01") == 1);
  CHECK(w.centre_seen.count("hello") == 1);
  caf::anon_send_exit(second, caf::exit_reason::user_shutdown);
  w.net.settle();
}

TEST_CASE("network/session: a dead handler costs a clear error, not a hang") {
  World w(12);
  const auto uplink = w.connect(Role::robot, "robot-01");
  REQUIRE(w.up());
  caf::anon_send_exit(w.centre, caf::exit_reason::kill);
  w.net.settle();
  const auto answer = w.ask<KnowledgeReply>(uplink, FetchKnowledge{1}, 1'000);
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == Errc::unavailable);
}

TEST_CASE("network/session: an exit message ends uplink and listener for their monitors") {
  World w(13);
  const auto uplink = w.connect(Role::robot, "robot-01");
  REQUIRE(w.up());
  int downs = 0;
  auto watcher = w.env.spawn([&](caf::event_based_actor* self) -> caf::behavior {
    self->monitor(uplink);
    self->monitor(w.listener);
    self->set_down_handler([&](caf::down_msg&) { ++downs; });
    return {[](int) {}};
  });
  w.net.settle();
  caf::anon_send_exit(uplink, caf::exit_reason::user_shutdown);
  w.net.run_for(10);
  CHECK(downs == 1);
  CHECK(w.centre_seen.count("gone") == 1);
  caf::anon_send_exit(w.listener, caf::exit_reason::user_shutdown);
  w.net.run_for(10);
  CHECK(downs == 2);
  CHECK(w.ask<AppendReply>(uplink, SendBlock{block(1, 1)}, 10).error().code == Errc::internal);
  caf::anon_send_exit(watcher, caf::exit_reason::user_shutdown);
  w.net.settle();
}

namespace {

struct Outcome {
  uint64_t hash = 0;
  uint64_t durable = 0;
  size_t downs = 0;
  std::vector<std::string> blocks;
};

struct Pending {
  uint64_t acked = 0, made = 0;
  bool busy = false;
};

// A robot that makes records and sends what is not acknowledged, one block at a time, over a path that is cut at
// random.
Outcome run_with_cuts(uint64_t seed) {
  Pending state;
  World w(seed);
  Limits eager;
  eager.ping_period_ms = 50;
  eager.backoff_max_ms = 400;
  const auto uplink = w.connect(Role::robot, "robot-01", eager);
  auto& rng = w.simulation.rng();
  auto sender = w.env.spawn([&, uplink](caf::event_based_actor* self) -> caf::behavior {
    self->delayed_send(self, std::chrono::milliseconds(20), 1);
    return {[&, self, uplink](int) {
      state.made += rng.below(3);
      self->delayed_send(self, std::chrono::milliseconds(20), 1);
      if (state.busy || state.acked == state.made) return;
      state.busy = true;
      self->request(uplink, caf::infinite, SendBlock{block(state.acked + 1, state.made, rng.below(2000))})
          .then([&](AppendReply& reply) {
            state.busy = false;
            if (reply) state.acked = std::max(state.acked, reply->durable_seq);
            w.simulation.trace("acked " + std::to_string(state.acked));
          });
    }};
  });
  w.stop.push_back(sender);
  for (int i = 0; i < 60; ++i) {
    w.wire->set_latency_ms(static_cast<uint32_t>(rng.below(30)));
    w.net.run_for(static_cast<int64_t>(1 + rng.below(800)));
    if (rng.chance(0.2)) w.wire->set_stalled(true);
    w.net.run_for(static_cast<int64_t>(1 + rng.below(100)));
    w.wire->set_stalled(false);
    w.wire->cut();
  }
  w.net.run_for(30'000);
  return {w.simulation.trace_hash(), w.centre_seen.durable_seq, w.robot_seen.count("down "),
          w.centre_seen.blocks["robot-01"]};
}

}  // namespace

TEST_CASE("network/session: same seed, same trace; through cuts every record arrives once, in order") {
  const Outcome a = run_with_cuts(100), b = run_with_cuts(100), c = run_with_cuts(101);
  CHECK(a.hash == b.hash);
  CHECK(a.hash != c.hash);
  for (const Outcome* o : {&a, &c}) {
    CHECK(o->downs >= 30);
    CHECK(o->durable > 1000);
    uint64_t expected = 1;
    for (const auto& text : o->blocks) {
      const uint64_t first = std::strtoull(text.c_str(), nullptr, 10);
      CHECK(first <= expected);
      expected = std::strtoull(text.c_str() + text.find('-') + 1, nullptr, 10) + 1;
    }
    CHECK(expected == o->durable + 1);
  }
}

}  // namespace drover::test

// A whole fleet in one thread under virtual time: the real sync actors and stores, in-memory links that can be cut,
// stalled and refused, actors that can be killed. The same seed gives the same run.
#pragma once

#include <caf/send.hpp>

#include "actors/network/simulated_network.hpp"
#include "actors/network/uplink_messages.hpp"
#include "actors/sync/centre_actor.hpp"
#include "actors/sync/inbox_actor.hpp"
#include "actors/sync/outbox_actor.hpp"
#include "actors/sync/robot_store_actor.hpp"
#include "actors/sync/sessions_actor.hpp"
#include "tests/sync/books.hpp"

namespace drover::test {

inline void end(caf::actor& actor) {
  if (actor) caf::anon_send_exit(actor, caf::exit_reason::kill);
  actor = nullptr;
}

struct SimRobot {
  runtime::Environment* env = nullptr;
  sync::RobotStoreOptions options;
  std::shared_ptr<sync::RobotStore> store;
  caf::actor store_actor, uplink, outbox;
  std::shared_ptr<network::MemoryWire> wire;
  uint64_t captured = 0;  // episodes
};

class SimFleet {
 public:
  explicit SimFleet(uint64_t seed) : sim(seed), centre_env(sim.environment("centre")), net(sim, centre_env) {
    centre = open_centre(folder / "centre");
    start_centre(0);
  }
  ~SimFleet() {
    for (auto& robot : robots) stop_robot(*robot);
    for (caf::actor* actor : {&sessions, &listener, &centre_actor, &inbox}) end(*actor);
    net.settle();
  }

  // ---- the centre: inbox -> centre -> listener -> sessions; whoever is restarted takes the later ones along
  void start_centre(int from) {
    for (int i = 3; i >= from; --i)
      end(*std::array{&inbox, &centre_actor, &listener, &sessions}[static_cast<size_t>(i)]);
    net.settle();
    auto& names = centre_env.directory();
    if (from <= 0) names.bind("inbox", inbox = sync::spawn_inbox(centre_env, {}, centre));
    if (from <= 1)
      names.bind("centre", centre_actor = sync::spawn_centre(centre_env, {}, centre, centre_env.ref("inbox"), nullptr));
    if (from <= 2) {
      network::Listen listen;
      listen.self = {network::Role::coordinator, "centre"};
      names.bind("listener", listener = must(net.listen(listen)).actor);
    }
    names.bind("sessions", sessions = sync::spawn_sessions(centre_env, {}, centre_env.ref("listener"),
                                                           centre_env.ref("inbox"), centre_env.ref("centre")));
  }

  // ---- robots: store -> uplink -> outbox
  SimRobot& add_robot(const std::string& name, uint64_t incarnation, uint64_t quota_bytes = uint64_t{1} << 30,
                      const std::string& disk = {}) {
    auto robot = std::make_unique<SimRobot>();
    robot->env = &sim.environment(name);
    robot->options = robot_options(folder / (disk.empty() ? name : disk), name, incarnation);
    robot->options.quota_bytes = quota_bytes;
    robot->options.knowledge_key = knowledge_key;
    robot->wire = net.make_wire();
    start_robot(*robot, 0);
    robots.push_back(std::move(robot));
    return *robots.back();
  }
  void start_robot(SimRobot& r, int from) {
    for (int i = 2; i >= from; --i) end(*std::array{&r.store_actor, &r.uplink, &r.outbox}[static_cast<size_t>(i)]);
    net.settle();
    auto& names = r.env->directory();
    if (from <= 0) {
      r.store.reset();
      r.store = std::make_shared<sync::RobotStore>(must(sync::RobotStore::open(r.options)));
      names.bind("store", r.store_actor = sync::spawn_robot_store(*r.env, r.store));
    }
    if (from <= 1) {
      network::Dial dial;
      dial.memory_listener = listener;
      dial.memory_wire = r.wire;
      dial.self = {network::Role::robot, r.options.robot};
      names.bind("uplink", r.uplink = must(net.dial(dial)));
    }
    names.bind("outbox", r.outbox = sync::spawn_outbox(*r.env, outbox, r.env->ref("uplink"), r.env->ref("store")));
  }
  void stop_robot(SimRobot& r) {
    for (caf::actor* actor : {&r.outbox, &r.uplink, &r.store_actor}) end(*actor);
    net.settle();
    r.store.reset();
  }

  // Stores a capture and lets the store's actor notice that its journal grew.
  void capture(SimRobot& r, const sync::StoreCapture& what) {
    must(r.store->store(what, sim.clock()->unix_ns()));
    caf::anon_send(r.store_actor, sync::StoreCapture{});
  }
  void capture(SimRobot& r) { capture(r, episode_capture(r.options.robot, r.captured++)); }

  // Sends a request and runs until it is answered.
  template <class Reply, class Message>
  Reply ask(const caf::actor& to, Message message) {
    std::optional<Reply> answer;
    auto asker = centre_env.spawn([&answer, to, message](caf::event_based_actor* self) -> caf::behavior {
      self->request(to, caf::infinite, message)
          .then([&answer](Reply& reply) { answer = std::move(reply); }, [](caf::error&) {});
      return {};
    });
    REQUIRE(net.run_until([&] { return answer.has_value(); }, 60'000));
    return std::move(*answer);
  }

  bool drained(const SimRobot& r) const {
    const auto facts = must(r.store->facts());
    if (facts.acked_seq < facts.last_seq || facts.blob_backlog_bytes > 0) return false;
    if (facts.last_seq == 0) return true;
    return must(centre->applied_seq({facts.robot, facts.incarnation})) >= facts.last_seq;
  }
  bool drained() const {
    for (const auto& robot : robots)
      if (robot->store && !drained(*robot)) return false;
    return true;
  }
  bool drain(int64_t max_ms = 600'000) {
    return net.run_until([&] { return drained(); }, max_ms);
  }
  sync::Audit audit() const {
    std::vector<const sync::RobotStore*> stores;
    for (const auto& robot : robots)
      if (robot->store) stores.push_back(robot->store.get());
    return audit_of(*centre, stores);
  }

  TempFolder folder;
  runtime::Simulation sim;
  runtime::Environment& centre_env;
  network::SimulatedNetwork net;
  std::shared_ptr<sync::CentralStore> centre;
  caf::actor inbox, centre_actor, listener, sessions;
  std::vector<std::unique_ptr<SimRobot>> robots;
  sync::OutboxConfig outbox;
  std::optional<Ed25519Key> knowledge_key;
};

#define CHECK_BALANCED(audit_expression)                  \
  do {                                                    \
    const drover::sync::Audit checked = audit_expression; \
    CHECK_MESSAGE(checked.balanced(), text_of(checked));  \
  } while (false)

}  // namespace drover::test

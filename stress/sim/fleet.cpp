#include "stress/sim/fleet.hpp"

#include <array>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <filesystem>
#include <optional>

#include "actors/network/uplink_messages.hpp"
#include "actors/sync/centre_actor.hpp"
#include "actors/sync/inbox_actor.hpp"
#include "actors/sync/robot_store_actor.hpp"
#include "actors/sync/sessions_actor.hpp"
#include "messages/check.hpp"

namespace drover::simulate {
namespace {

// The simulator's own footing: what fails here is no finding but a broken machine.
template <class T>
T must(Result<T> result, const char* what) {
  if (!result) std::fprintf(stderr, "drover stress sim: %s: %s\n", what, result.error().message().c_str());
  DROVER_CHECK(result.has_value(), "the simulator cannot set itself up");
  return std::move(*result);
}

void end(caf::actor& actor) {
  if (actor) caf::anon_send_exit(actor, caf::exit_reason::kill);
  actor = nullptr;
}

}  // namespace

SimFleet::SimFleet(FleetOptions options)
    : options_(std::move(options)),
      sim_(options_.seed),
      centre_env_(sim_.environment("centre")),
      net_(sim_, centre_env_) {
  sync::CentralStoreOptions store;
  store.path = options_.folder + "/centre";
  store.map_initial_bytes = 4u << 20;
  store.sync = storage::Sync::nosync;
  centre_ = must(sync::CentralStore::open(store), "the coordinator's store");
  restart_centre(0);
}

SimFleet::~SimFleet() {
  for (auto& robot : robots_)
    for (caf::actor* actor : {&robot->outbox, &robot->uplink, &robot->store_actor}) end(*actor);
  for (caf::actor* actor : {&sessions_, &listener_, &centre_actor_, &inbox_}) end(*actor);
  net_.settle();
}

void SimFleet::restart_centre(int from) {
  const std::array chain{&inbox_, &centre_actor_, &listener_, &sessions_};
  for (size_t i = chain.size(); i-- > static_cast<size_t>(from);) end(*chain[i]);
  net_.settle();
  auto& names = centre_env_.directory();
  if (from <= 0) names.bind("inbox", inbox_ = sync::spawn_inbox(centre_env_, {}, centre_));
  if (from <= 1)
    names.bind("centre",
               centre_actor_ = sync::spawn_centre(centre_env_, {}, centre_, centre_env_.ref("inbox"), nullptr));
  if (from <= 2) {
    network::Listen listen;
    listen.self = {network::Role::coordinator, "centre"};
    listen.limits.ping_period_ms = options_.ping_period_ms;
    listen.limits.idle_timeout_ms = std::max<uint32_t>(listen.limits.idle_timeout_ms, 3 * options_.ping_period_ms);
    names.bind("listener", listener_ = must(net_.listen(listen), "the listener").actor);
  }
  names.bind("sessions", sessions_ = sync::spawn_sessions(centre_env_, {}, centre_env_.ref("listener"),
                                                          centre_env_.ref("inbox"), centre_env_.ref("centre")));
}

sync::RobotStoreOptions SimFleet::disk_of(const std::string& name, uint64_t disk, uint64_t quota_bytes) const {
  sync::RobotStoreOptions options;
  options.path = options_.folder + "/" + name + "-disk-" + std::to_string(disk);
  options.robot = name;
  options.incarnation = 100 + disk;
  options.quota_bytes = quota_bytes;
  options.map_initial_bytes = 1u << 20;
  options.sync = storage::Sync::nosync;
  return options;
}

SimRobot& SimFleet::add_robot(const std::string& name, uint64_t quota_bytes) {
  auto robot = std::make_unique<SimRobot>();
  robot->env = &sim_.environment(name);
  robot->disks = 1;
  robot->options = disk_of(name, 1, quota_bytes);
  robot->wire = net_.make_wire();
  start_robot(*robot, 0);
  robots_.push_back(std::move(robot));
  return *robots_.back();
}

void SimFleet::start_robot(SimRobot& r, int from) {
  auto& names = r.env->directory();
  if (from <= 0) {
    r.store.reset();
    r.store = std::make_shared<sync::RobotStore>(must(sync::RobotStore::open(r.options), "a robot's store"));
    names.bind("store", r.store_actor = sync::spawn_robot_store(*r.env, r.store));
  }
  if (from <= 1) {
    network::Dial dial;
    dial.memory_listener = listener_;
    dial.memory_wire = r.wire;
    dial.self = {network::Role::robot, r.options.robot};
    dial.limits.ping_period_ms = options_.ping_period_ms;
    dial.limits.idle_timeout_ms = std::max<uint32_t>(dial.limits.idle_timeout_ms, 3 * options_.ping_period_ms);
    names.bind("uplink", r.uplink = must(net_.dial(dial), "an uplink"));
  }
  sync::OutboxConfig config;
  config.journal.block_max_bytes = options_.block_max_bytes;
  config.blobs.piece_bytes = options_.piece_bytes;
  config.blobs.idle_ms = options_.blob_idle_ms;
  names.bind("outbox", r.outbox = sync::spawn_outbox(*r.env, config, r.env->ref("uplink"), r.env->ref("store")));
}

void SimFleet::restart_robot(SimRobot& r, int from) {
  const std::array chain{&r.store_actor, &r.uplink, &r.outbox};
  for (size_t i = chain.size(); i-- > static_cast<size_t>(from);) end(*chain[i]);
  net_.settle();
  start_robot(r, from);
}

void SimFleet::reimage(SimRobot& r) {
  for (caf::actor* actor : {&r.outbox, &r.uplink, &r.store_actor}) end(*actor);
  net_.settle();
  r.store.reset();
  const std::string old_disk = r.options.path;
  ++r.disks;
  r.options = disk_of(r.options.robot, r.disks, r.options.quota_bytes);
  start_robot(r, 0);
  std::error_code ignored;
  std::filesystem::remove_all(old_disk, ignored);
}

Status SimFleet::capture(SimRobot& r, const sync::StoreCapture& what) {
  DROVER_TRY(r.store->store(what, sim_.clock()->unix_ns()));
  caf::anon_send(r.store_actor, sync::StoreCapture{});  // it looks at its journal and tells the outbox
  return {};
}

void SimFleet::step(uint64_t deliveries) {
  for (uint64_t i = 0; i < deliveries && sim_.step(); ++i) {
  }
}

bool SimFleet::drained(const SimRobot& r) const {
  const auto facts = must(r.store->facts(), "a robot's store");
  if (facts.acked_seq < facts.last_seq || facts.blob_backlog_bytes > 0) return false;
  return facts.last_seq == 0 ||
         must(centre_->applied_seq({facts.robot, facts.incarnation}), "the coordinator's store") >= facts.last_seq;
}

bool SimFleet::drained() const {
  for (const auto& robot : robots_)
    if (!drained(*robot)) return false;
  return true;
}

Result<sync::Audit> SimFleet::audit(bool content) const {
  std::vector<sync::RobotToAudit> stores;
  for (const auto& robot : robots_) stores.push_back({robot->options.robot, &robot->store->env()});
  sync::AuditOptions options;
  options.content = content;
  options.verify_packs = content;
  return sync::audit(*centre_, stores, options);
}

Result<sync::CentralDump> SimFleet::dump() const {
  return sync::dump_central(*centre_, [](std::string_view) -> Status { return {}; });
}

sync::OutboxFacts SimFleet::outbox(SimRobot& r) {
  std::optional<sync::OutboxFacts> answer;
  centre_env_.spawn([&answer, to = r.outbox](caf::event_based_actor* self) -> caf::behavior {
    self->request(to, caf::infinite, sync::AskOutbox{})
        .then([&answer](sync::OutboxFacts& facts) { answer = std::move(facts); }, [](caf::error&) {});
    return {};
  });
  net_.run_until([&] { return answer.has_value(); }, 60'000);
  return answer.value_or(sync::OutboxFacts{});
}

}  // namespace drover::simulate

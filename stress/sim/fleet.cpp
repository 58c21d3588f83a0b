#include "stress/sim/fleet.hpp"

#include <algorithm>
#include <array>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>

#include "actors/econ/econ_actor.hpp"
#include "actors/network/uplink_messages.hpp"
#include "actors/sync/robot_store_actor.hpp"
#include "actors/sync/sessions_actor.hpp"
#include "messages/check.hpp"
#include "stress/sim/workload.hpp"

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

// RFC 8032, 7.1, test 1: a key that everybody knows.
const Ed25519KeyPair& knowledge_key() {
  static const Ed25519KeyPair key = [] {
    const auto bytes = [](std::string_view hex) {
      Ed25519Key out{};
      DROVER_CHECK(hash_from_hex(hex).has_value(), "a key of 32 bytes");
      std::ranges::copy(*hash_from_hex(hex), out.begin());
      return out;
    };
    return Ed25519KeyPair{bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"),
                          bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")};
  }();
  return key;
}

}  // namespace

SimNode SimFleet::make_node(const std::string& name) {
  SimNode node;
  node.clock = std::make_shared<SkewedClock>(sim_.clock());
  auto options = sim_.options(name);
  options.clock = node.clock;
  node.env = std::make_unique<runtime::Environment>(sim_.system(), options);
  return node;
}

SimFleet::SimFleet(FleetOptions options)
    : options_(std::move(options)),
      disk_(options_.disks ? std::make_unique<FaultyDisk>() : nullptr),
      sim_(options_.seed),
      loss_rng_(runtime::Rng::stream(options_.seed, "losses")),
      centre_own_(make_node("centre")),
      centre_env_(*centre_own_.env),
      net_(sim_, centre_env_) {
  if (disk_) {
    disk_->mount(options_.folder + "/centre", 0);
    disk_->set_watch([this](const DiskOp& op) {
      return about_to({static_cast<SimStep::Kind>(op.step), op.node, op.path, op.bytes});
    });
  }
  const Status opened = open_store(0);
  DROVER_CHECK(opened.has_value(), "the simulator cannot set itself up");
  restart_centre(0);
}

SimFleet::~SimFleet() {
  for (auto& robot : robots_)
    for (caf::actor* actor : {&robot->outbox, &robot->uplink, &robot->store_actor}) end(*actor);
  for (caf::actor* actor : {&econ_, &sessions_, &listener_, &centre_actor_, &inbox_}) end(*actor);
  net_.settle();
}

// ---- power

Verdict SimFleet::about_to(const SimStep& step) {
  if (off(step.node)) return {};
  const Verdict verdict = watch_ ? watch_(step) : Verdict{};
  if (verdict.what == Verdict::power_off) power_off(step.node);
  return verdict;
}

void SimFleet::power_off(int node) {
  DROVER_CHECK(disk_ != nullptr, "power is for fleets with disks");
  disk_->power_off(node);
  for (auto& robot : robots_)
    if (node == 0 || robot->node == node)
      robot->wire->mute(node == 0 ? network::MemoryWire::Side::server : network::MemoryWire::Side::client);
}

bool SimFleet::down(int node) const {
  return node == 0 ? centre_ == nullptr : robots_[static_cast<size_t>(node) - 1]->store == nullptr;
}

void SimFleet::shut_down(int node, Loss loss) {
  power_off(node);
  if (node == 0) {
    ++centre_life_;
    for (caf::actor* actor : {&econ_, &sessions_, &listener_, &centre_actor_, &inbox_}) end(*actor);
    net_.settle();
    DROVER_CHECK(books_.use_count() <= 1, "the econ actor outlived its node");
    books_.reset();
    DROVER_CHECK(centre_.use_count() == 1, "an actor of the centre outlived it");
    centre_.reset();
    for (auto& robot : robots_) cut(*robot, robot->node);
  } else {
    SimRobot& robot = *robots_[static_cast<size_t>(node) - 1];
    for (caf::actor* actor : {&robot.outbox, &robot.uplink, &robot.store_actor}) end(*actor);
    net_.settle();
    DROVER_CHECK(robot.store.use_count() == 1, "an actor of the robot outlived it");
    robot.store.reset();
    cut(robot, 0);
  }
  net_.settle();
  unsynced_lost_ += disk_->power_on(node, loss, loss_rng_);
}

// A cut ends muteness, also of the other end: without power it stays mute.
void SimFleet::cut(SimRobot& robot, int other) {
  robot.wire->cut();
  if (off(other)) robot.wire->mute(other == 0 ? network::MemoryWire::Side::server : network::MemoryWire::Side::client);
}

Status SimFleet::open_store(int node) {
  if (node != 0) return open_robot(*robots_[static_cast<size_t>(node) - 1]);
  sync::CentralStoreOptions store;
  store.path = options_.folder + "/centre";
  store.map_initial_bytes = 4u << 20;
  store.sync = options_.disks ? storage::Sync::synced : storage::Sync::nosync;
  DROVER_ASSIGN(auto opened, sync::CentralStore::open(store));
  centre_ = std::move(opened);
  if (!options_.books) return {};
  return open_books();
}

Status SimFleet::open_books() {
  econ::CentralEconOptions options;
  options.folder = options_.folder + "/centre/econ";
  options.config = books_config();
  options.sync = options_.disks ? storage::Sync::synced : storage::Sync::nosync;
  DROVER_ASSIGN(books_, econ::CentralEcon::open(options));
  books_unused_ = true;
  return {};
}

// A new actor with what the disk holds: nothing that the one before remembered.
void SimFleet::start_books() {
  if (!options_.books) return;
  DROVER_CHECK(books_.use_count() <= 1, "the econ actor outlived its restart");
  if (!books_unused_) books_.reset();
  const Status opened = books_unused_ ? Status{} : open_books();
  books_unused_ = false;
  if (!opened) std::fprintf(stderr, "drover stress sim: the books: %s\n", opened.error().message().c_str());
  DROVER_CHECK(opened.has_value(), "books that were closed in good order do not open");
  econ::EconActorConfig config;
  config.period_ms = options_.books_period_ms;
  econ_ = econ::spawn_econ(centre_env_, config, centre_, centre_env_.ref("centre"), books_);
}

Status SimFleet::open_robot(SimRobot& robot) {
  DROVER_ASSIGN(auto store, sync::RobotStore::open(robot.options));
  robot.store = std::make_shared<sync::RobotStore>(std::move(store));
  return {};
}

void SimFleet::start_up(int node) {
  if (node == 0) return restart_centre(0);
  start_robot(*robots_[static_cast<size_t>(node) - 1], 0);
}

void SimFleet::tend() {
  if (!centre_died_ || centre_ == nullptr) return;
  restart_centre(1);
}

// ---- actors

void SimFleet::restart_centre(int from, int64_t pause_ms) {
  const std::array chain{&inbox_, &centre_actor_, &listener_, &sessions_};
  if (from <= 1) ++centre_life_;
  end(econ_);
  for (size_t i = chain.size(); i-- > static_cast<size_t>(from);) end(*chain[i]);
  net_.settle();
  if (pause_ms > 0) net_.run_for(pause_ms);
  auto& names = centre_env_.directory();
  if (from <= 0) names.bind("inbox", inbox_ = sync::spawn_inbox(centre_env_, options_.inbox, centre_));
  if (from <= 1) {
    centre_died_ = false;
    names.bind("centre", centre_actor_ = sync::spawn_centre(centre_env_, options_.centre, centre_,
                                                            centre_env_.ref("inbox"), nullptr));
    centre_actor_->attach_functor([this, life = centre_life_] { centre_died_ |= life == centre_life_; });
  }
  if (from <= 2) {
    network::Listen listen;
    listen.self = {network::Role::coordinator, "centre"};
    listen.limits.ping_period_ms = options_.ping_period_ms;
    listen.limits.idle_timeout_ms = std::max<uint32_t>(listen.limits.idle_timeout_ms, 3 * options_.ping_period_ms);
    names.bind("listener", listener_ = known_listener_ = must(net_.listen(listen), "the listener").actor);
  }
  names.bind("sessions", sessions_ = sync::spawn_sessions(centre_env_, {}, centre_env_.ref("listener"),
                                                          centre_env_.ref("inbox"), centre_env_.ref("centre")));
  start_books();
}

sync::RobotStoreOptions SimFleet::disk_of(const std::string& name, uint64_t disk, uint64_t quota_bytes) const {
  sync::RobotStoreOptions options;
  options.path = options_.folder + "/" + name + "-disk-" + std::to_string(disk);
  options.robot = name;
  options.incarnation = 100 + disk;
  options.quota_bytes = quota_bytes;
  options.map_initial_bytes = 1u << 20;
  options.knowledge_key = knowledge_key().public_key;
  options.sync = options_.disks ? storage::Sync::synced : storage::Sync::nosync;
  return options;
}

SimRobot& SimFleet::add_robot(const std::string& name, uint64_t quota_bytes) {
  auto robot = std::make_unique<SimRobot>();
  robot->node = static_cast<int>(robots_.size()) + 1;
  robot->own = make_node(name);
  robot->disks = 1;
  robot->options = disk_of(name, 1, quota_bytes);
  robot->wire = net_.make_wire();
  robot->wire->set_on_write([this, node = robot->node](network::MemoryWire::Side side, size_t bytes) {
    about_to({SimStep::send, side == network::MemoryWire::Side::client ? node : 0, {}, bytes});
  });
  if (disk_) disk_->mount(robot->options.path, robot->node);
  robots_.push_back(std::move(robot));
  SimRobot& added = *robots_.back();
  DROVER_CHECK(open_robot(added).has_value(), "the simulator cannot set itself up");
  start_robot(added, 0);
  return added;
}

void SimFleet::start_robot(SimRobot& r, int from) {
  auto& names = r.own.env->directory();
  if (from <= 0) names.bind("store", r.store_actor = sync::spawn_robot_store(*r.own.env, r.store));
  if (from <= 1) {
    network::Dial dial;
    dial.memory_listener = known_listener_;
    dial.memory_wire = r.wire;
    dial.self = {network::Role::robot, r.options.robot};
    dial.limits.ping_period_ms = options_.ping_period_ms;
    dial.limits.idle_timeout_ms = std::max<uint32_t>(dial.limits.idle_timeout_ms, 3 * options_.ping_period_ms);
    names.bind("uplink", r.uplink = must(net_.dial(dial), "an uplink"));
  }
  sync::OutboxConfig config;
  config.journal.block_max_bytes = options_.block_max_bytes;
  config.journal.window_bytes = options_.window_bytes;
  config.blobs.piece_bytes = options_.piece_bytes;
  config.blobs.idle_ms = options_.blob_idle_ms;
  names.bind("outbox",
             r.outbox = sync::spawn_outbox(*r.own.env, config, r.own.env->ref("uplink"), r.own.env->ref("store")));
}

void SimFleet::restart_robot(SimRobot& r, int from) {
  const std::array chain{&r.store_actor, &r.uplink, &r.outbox};
  for (size_t i = chain.size(); i-- > static_cast<size_t>(from);) end(*chain[i]);
  net_.settle();
  if (from <= 0) {
    r.store.reset();
    const Status opened = open_robot(r);
    if (!opened) std::fprintf(stderr, "drover stress sim: a robot's store: %s\n", opened.error().message().c_str());
    DROVER_CHECK(opened.has_value(), "a store that was closed in good order does not open");
  }
  start_robot(r, from);
}

void SimFleet::reimage(SimRobot& r) {
  for (caf::actor* actor : {&r.outbox, &r.uplink, &r.store_actor}) end(*actor);
  net_.settle();
  r.store.reset();
  const std::string old_disk = r.options.path;
  ++r.disks;
  r.options = disk_of(r.options.robot, r.disks, r.options.quota_bytes);
  if (disk_) disk_->mount(r.options.path, r.node);
  DROVER_CHECK(open_robot(r).has_value(), "a new disk cannot be opened");
  start_robot(r, 0);
  std::error_code ignored;
  std::filesystem::remove_all(old_disk, ignored);
  if (disk_) disk_->forget(old_disk);
}

// ---- what robots and the centre do

namespace {

// Held chunks that might go, with their value.
Result<std::map<Hash, double>> evictable(const sync::RobotStore& store) {
  std::map<Hash, double> held;
  const auto blobs = storage::Blobs::open(store.env());
  DROVER_TRY(store.env().read([&](const storage::ReadTxn& txn) -> Status {
    return blobs.each_held_in(txn, [&](const Hash& hash, const storage::ChunkFacts& facts) -> Status {
      if (facts.acked) held.emplace(hash, facts.value_per_byte);
      return {};
    });
  }));
  return held;
}

// The least valuable bytes go first, and the quota holds.
Status check_eviction(const sync::RobotStore& store, const std::map<Hash, double>& before, uint64_t quota_bytes) {
  DROVER_ASSIGN(const auto after, evictable(store));
  double best_gone = -1, worst_kept = std::numeric_limits<double>::infinity();
  for (const auto& [hash, value] : before) {
    if (after.count(hash) > 0)
      worst_kept = std::min(worst_kept, value);
    else
      best_gone = std::max(best_gone, value);
  }
  if (best_gone > worst_kept)
    return fail(Errc::refused, "eviction",
                "a chunk of value " + std::to_string(best_gone) + " went before one of " + std::to_string(worst_kept));
  DROVER_ASSIGN(const auto facts, store.facts());
  if (facts.blob_bytes > quota_bytes)
    return fail(Errc::refused, "quota",
                std::to_string(facts.blob_bytes) + " bytes of chunks, the quota is " + std::to_string(quota_bytes));
  return {};
}

}  // namespace

Status SimFleet::capture(SimRobot& r, const sync::StoreCapture& what) {
  if (off(r.node) || !r.store) return fail(Errc::unavailable, r.options.robot, "has no power");
  const bool bound = r.options.quota_bytes < uint64_t{1} << 30;
  std::map<Hash, double> before;
  if (bound) {
    DROVER_ASSIGN(before, evictable(*r.store));
  }
  DROVER_TRY(r.store->store(what, r.own.env->unix_ns()));
  if (bound) DROVER_TRY(check_eviction(*r.store, before, r.options.quota_bytes));
  caf::anon_send(r.store_actor, sync::StoreCapture{});  // it looks at its journal and tells the outbox
  return {};
}

Status SimFleet::publish(uint64_t version) {
  if (off(0) || !centre_) return fail(Errc::unavailable, "centre", "has no power");
  Knowledge knowledge;
  knowledge.version = version;
  knowledge.author = "centre";
  knowledge.documents["trust"] = Bytes::copy_of("trust matrix " + std::to_string(version));
  DROVER_ASSIGN(const auto signed_knowledge, sign_knowledge(knowledge, knowledge_key()));
  DROVER_TRY(centre_->publish(version, encode(signed_knowledge)));
  if (off(0)) return fail(Errc::unavailable, "centre", "lost its power");
  published_ = std::max(published_, version);
  return {};
}

void SimFleet::step(uint64_t deliveries) {
  for (uint64_t i = 0; i < deliveries && sim_.step(); ++i) {
  }
}

bool SimFleet::drained(const SimRobot& r) const {
  if (!r.store || !centre_) return false;
  const auto facts = must(r.store->facts(), "a robot's store");
  if (facts.acked_seq < facts.last_seq || facts.blob_backlog_bytes > 0) return false;
  if (facts.knowledge_version < published_) return false;
  return facts.last_seq == 0 ||
         must(centre_->applied_seq({facts.robot, facts.incarnation}), "the coordinator's store") >= facts.last_seq;
}

bool SimFleet::drained() const {
  for (const auto& robot : robots_)
    if (!drained(*robot)) return false;
  return true;
}

std::string SimFleet::undrained() const {
  for (const auto& robot : robots_) {
    if (drained(*robot)) continue;
    if (!robot->store || !centre_) return "a node has no power";
    const auto facts = must(robot->store->facts(), "a robot's store");
    const auto applied = must(centre_->applied_seq({facts.robot, facts.incarnation}), "the coordinator's store");
    return facts.robot + " journaled " + std::to_string(facts.last_seq) + ", knows " + std::to_string(facts.acked_seq) +
           " to be central, " + std::to_string(applied) +
           " are applied; chunk bytes not central: " + std::to_string(facts.blob_backlog_bytes) + ", knowledge " +
           std::to_string(facts.knowledge_version) + " of " + std::to_string(published_);
  }
  return "all is there";
}

Result<sync::Audit> SimFleet::audit(bool content) const {
  std::vector<sync::RobotToAudit> stores;
  for (const auto& robot : robots_)
    if (robot->store && !off(robot->node)) stores.push_back({robot->options.robot, &robot->store->env()});
  sync::AuditOptions options;
  options.content = content;
  options.verify_packs = content;
  return sync::audit(*centre_, stores, options);
}

Result<Hash> SimFleet::dump() const {
  const std::string own = "\"" + std::string(econ::econ_stream) + "\"";
  Sha256 digest;
  DROVER_TRY(sync::dump_central(*centre_, [&](std::string_view line) -> Status {
    if (line.find(own) != std::string_view::npos) return {};
    digest.update(as_bytes(line));
    digest.update(as_bytes("\n"));
    return {};
  }));
  return digest.finish();
}

template <class Ask, class Facts>
Facts SimFleet::ask(const caf::actor& to) {
  std::optional<Facts> answer;
  centre_env_.spawn([&answer, to](caf::event_based_actor* self) -> caf::behavior {
    self->request(to, caf::infinite, Ask{})
        .then([&answer](Facts& facts) { answer = std::move(facts); }, [](caf::error&) {});
    return {};
  });
  net_.run_until([&] { return answer.has_value(); }, 60'000);
  return answer.value_or(Facts{});
}

sync::OutboxFacts SimFleet::outbox(SimRobot& r) {
  return ask<sync::AskOutbox, sync::OutboxFacts>(r.outbox);
}
sync::InboxFacts SimFleet::inbox() {
  return ask<sync::AskInbox, sync::InboxFacts>(inbox_);
}

}  // namespace drover::simulate

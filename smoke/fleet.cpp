#include "smoke/fleet.hpp"

#include <caf/atom.hpp>
#include <caf/send.hpp>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "actors/network/uplink_messages.hpp"
#include "actors/robot/episode_actor.hpp"
#include "storage/inbox.hpp"
#include "storage/journal.hpp"

namespace drover::smoke {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

const network::PeerName centre_name{network::Role::coordinator, "centre"};

// Short pauses, so that faults heal within the run. Everything else is as shipped.
network::Limits link_limits() {
  network::Limits limits;
  limits.ping_period_ms = 100;
  limits.ping_timeout_ms = 2'000;
  limits.backoff_min_ms = 20;
  limits.backoff_max_ms = 250;
  return limits;
}

// The figures that no message of the coordinator carries.
Result<std::string> central_figures(const sync::CentralStore& store, const network::PeerName&, std::string_view) {
  return store.central_env().read([&](const storage::ReadTxn& txn) -> Result<std::string> {
    DROVER_ASSIGN(const auto counts, store.episodes().counts(txn));
    DROVER_ASSIGN(const uint64_t packs, store.packs().count(txn));
    DROVER_ASSIGN(const auto blobs, store.blobs().totals_in(txn));
    const nlohmann::json json{
        {"episodes", counts.episodes},      {"rejected", counts.rejected},     {"packs", packs},
        {"chunks_held", blobs.held_chunks}, {"chunk_bytes", blobs.held_bytes}, {"chunks_wanted", blobs.wanted_chunks}};
    return json.dump();
  });
}

std::string marks_of(const std::string& folder) {
  return "spool/" + folder + "\n";
}

// The spool's marks outlive the daemon: they count what every life settled.
void count_files(const sync::SourceMarks& marks, RobotView& view) {
  view.files = view.files_repeated = view.files_set_aside = 0;
  for (const sync::SourceMark& stored : marks.marks) {
    const auto mark = capture::decode_mark(as_bytes(stored.value));
    if (!mark || mark->state == capture::MarkState::taking) continue;
    ++view.files;
    if (mark->state == capture::MarkState::duplicate) ++view.files_repeated;
    if (mark->state == capture::MarkState::quarantined) ++view.files_set_aside;
  }
}

void count_recordings(const sync::SourceMarks& marks, RobotView& view) {
  view.recordings = view.recordings_set_aside = 0;
  for (const sync::SourceMark& stored : marks.marks) {
    const auto mark = capture::decode_mark(as_bytes(stored.value));
    if (!mark || mark->state == capture::MarkState::taking) continue;
    ++view.recordings;
    if (mark->state != capture::MarkState::done) ++view.recordings_set_aside;
  }
}

// Recordings and their parts that are still to be taken.
uint64_t count_recordings_in(const std::string& folder) {
  std::error_code failed;
  uint64_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
    const std::filesystem::path end = entry.path().extension();
    count += end == ".mcap" || end == ".part" ? 1 : 0;
  }
  return count;
}

}  // namespace

Fleet::ActorConfig::ActorConfig() {
  set("scheduler.policy", caf::atom("sharing"));
  set("scheduler.max-threads", size_t{2});
}

Fleet::Fleet(FleetOptions options)
    : options_(std::move(options)),
      ground_(*new Ground),
      network_env_(ground_.environments.emplace_back(environment("network")).get()),
      network_(std::make_unique<network::NetworkThread>(*network_env_)),
      robots_(options_.robots.size()),
      self_(std::make_unique<caf::scoped_actor>(ground_.system)) {}

Fleet::~Fleet() {
  for (auto& robot : robots_) kill(robot);
  kill(coordinator_);
  self_.reset();
  listener_ = nullptr;
  network_->stop();
  network_.reset();
}

std::string Fleet::spool_of(size_t robot) const {
  return options_.work + "/spool-" + options_.robots[robot];
}
std::string Fleet::store_of(size_t robot) const {
  return options_.work + "/store-" + options_.robots[robot];
}
std::string Fleet::central_store() const {
  return options_.work + "/store-centre";
}

std::unique_ptr<runtime::Environment> Fleet::environment(const std::string& node) {
  runtime::EnvironmentOptions options;
  options.seed = options_.seed;
  options.log = [sink = options_.log, node](runtime::LogLevel level, std::string_view event) {
    sink(level, std::string(event) + " node=" + node);
  };
  return std::make_unique<runtime::Environment>(ground_.system, std::move(options));
}

const BodyPlan* Fleet::body_of(size_t robot) const {
  for (const BodyPlan& body : options_.bodies)
    if (body.robot == robot) return &body;
  return nullptr;
}

nodes::RobotNodeOptions Fleet::robot_options(size_t robot) const {
  nodes::RobotNodeOptions node;
  nodes::RobotConfig& config = node.config;
  config.node = {options_.robots[robot], options_.seed};
  config.store.dir = store_of(robot);
  config.store.free_reserve_bytes = 0;
  config.capture.mappings_dir = options_.configs + "/mappings";
  config.capture.econ_file = options_.configs + "/econ/default.toml";
  config.capture.baseline_file = options_.configs + "/baselines/default.toml";
  config.capture.semantics_dir = options_.configs + "/semantics";
  config.gates.dir = options_.configs + "/gates";
  config.capture.poll_ms = 20;
  config.capture.stable_polls = 1;  // logs are renamed into the spool in one step
  config.capture.spools.push_back({spool_of(robot), "auto"});
  if (const BodyPlan* body = body_of(robot)) config.world = body_config(*body, options_.work, options_.robots[robot]);
  node.link.self = {network::Role::robot, options_.robots[robot]};
  node.link.memory_listener = listener_;
  node.link.limits = link_limits();
  node.dial = [network = network_.get()](network::Dial dial) { return network->dial(std::move(dial)); };
  return node;
}

nodes::CoordinatorNodeOptions Fleet::coordinator_options() {
  nodes::CoordinatorNodeOptions node;
  node.config.node = {centre_name.node_id, options_.seed};
  node.config.store.dir = central_store();
  node.config.store.free_reserve_bytes = 0;
  node.config.fleet.allowed_robots = options_.robots;
  node.listen.self = centre_name;
  node.listen.limits = link_limits();
  node.query = central_figures;
  return node;
}

// Tries until the store of the earlier life is free.
template <class Node, class Options>
Status Fleet::start(Life<Node>& life, const std::string& name, const Options& options, int64_t wait_ms) {
  const auto deadline = Clock::now() + std::chrono::milliseconds(wait_ms);
  life.end = std::make_shared<std::promise<void>>();
  life.env = environment(name);
  for (;;) {
    Options now = options;
    now.on_end = [end = life.end](const runtime::SupervisorEnd&) { end->set_value(); };
    auto node = Node::start(*life.env, std::move(now));
    if (node) {
      life.node = std::move(*node);
      return {};
    }
    const bool held = node.error().code == Errc::already_exists || node.error().code == Errc::refused;
    if (!held || Clock::now() >= deadline) return tl::unexpected(node.error());
    std::this_thread::sleep_for(5ms);
  }
}

Status Fleet::start_coordinator(int64_t wait_ms) {
  auto listening = std::make_shared<std::promise<caf::actor>>();
  auto options = coordinator_options();
  options.listener = [network = network_.get(), listening,
                      told = std::make_shared<bool>(false)](network::Listen listen) -> Result<network::Listening> {
    DROVER_ASSIGN(auto result, network->listen(std::move(listen)));
    if (!std::exchange(*told, true)) listening->set_value(result.actor);
    return result;
  };
  DROVER_TRY(start(coordinator_, centre_name.node_id, options, wait_ms));
  auto listener = listening->get_future();
  if (listener.wait_for(5s) != std::future_status::ready)
    return fail(Errc::timeout, "coordinator", "its listener did not start");
  listener_ = listener.get();
  return {};
}

Status Fleet::start_robot(size_t robot, int64_t wait_ms) {
  std::error_code failed;
  std::filesystem::create_directories(spool_of(robot), failed);
  if (failed) return fail(Errc::io, spool_of(robot), "cannot make the spool: " + failed.message());
  return start(robots_[robot], options_.robots[robot], robot_options(robot), wait_ms);
}

template <class Node>
void Fleet::kill(Life<Node>& life) {
  if (life.node) life.node->kill();
  life.node.reset();
  if (life.env) ground_.environments.push_back(std::move(life.env));
}

void Fleet::kill_coordinator() {
  kill(coordinator_);
}

void Fleet::kill_robot(size_t robot) {
  kill(robots_[robot]);
}

void Fleet::cut_link(size_t robot) {
  caf::anon_send(robots_[robot].env->ref("uplink").get(), network::CutLink{});
}

Status Fleet::stop(int64_t deadline_ms) {
  const auto deadline = Clock::now() + std::chrono::milliseconds(deadline_ms);
  std::string late;
  const auto stop_one = [&](auto& life, const std::string& name) {
    if (!life.node) return;
    auto ended = life.end->get_future();
    life.node->stop();
    if (ended.wait_until(deadline) != std::future_status::ready) late += " " + name;
    kill(life);
  };
  for (size_t i = 0; i < robots_.size(); ++i) stop_one(robots_[i], options_.robots[i]);
  stop_one(coordinator_, centre_name.node_id);
  if (!late.empty()) return fail(Errc::timeout, "stop", "did not end in time:" + late);
  return await_released(5'000);  // an actor tells of its end just before it lets go of what it held
}

Status Fleet::await_released(int64_t wait_ms) const {
  std::vector<std::pair<std::string, std::vector<std::string>>> stores{
      {central_store() + "/inbox", storage::Inbox::databases()},
      {central_store() + "/central", storage::Inbox::databases()}};
  for (size_t i = 0; i < robots_.size(); ++i) stores.emplace_back(store_of(i), storage::Journal::databases());
  const auto deadline = Clock::now() + std::chrono::milliseconds(wait_ms);
  for (const auto& [path, databases] : stores) {
    for (;;) {
      storage::EnvOptions probe;
      probe.path = path;
      probe.databases = databases;
      probe.verify = storage::Verify::none;
      const auto opened = storage::Env::open(probe);
      if (opened) break;
      if (opened.error().code != Errc::already_exists || Clock::now() >= deadline)
        return tl::unexpected(opened.error());
      std::this_thread::sleep_for(2ms);
    }
  }
  return {};
}

template <class Reply, class Ask>
std::optional<Reply> Fleet::ask(const runtime::Ref& ref, const Ask& question) {
  std::optional<Reply> answer;
  const caf::actor actor = ref.get();
  if (!actor) return answer;
  (*self_)->request(actor, 2s, question).receive([&](Reply& reply) { answer = std::move(reply); }, [](caf::error&) {});
  return answer;
}

void Fleet::look_at_robot(size_t robot, RobotView& view) {
  const auto& life = robots_[robot];
  view.up = false;
  view.link_up = false;
  if (!life.node) return;
  // In the order in which records travel: what has left one place is looked for in the next one afterwards, so nothing
  // on its way is overlooked.
  look_at_body(robot, view);
  const auto capture = ask<capture::CaptureFacts>(life.node->captures().front(), capture::AskCapture{});
  auto marks = ask<Result<sync::SourceMarks>>(life.node->store(), sync::ReadMarks{marks_of(spool_of(robot))});
  const auto store = ask<sync::RobotStoreFacts>(life.node->store(), sync::AskRobotStore{});
  const auto outbox = ask<sync::OutboxFacts>(life.node->outbox(), sync::AskOutbox{});
  if (!store || !outbox || !capture || !marks || !*marks) return;
  count_files(**marks, view);
  view.up = true;
  view.last_seq = store->last_seq;
  view.acked_seq = std::max(store->acked_seq, outbox->acked_seq);
  view.blob_bytes = store->blob_bytes;
  view.blob_backlog_bytes = store->blob_backlog_bytes;
  view.link_up = outbox->link_up;
  view.links = outbox->links;
  view.resent_blocks = outbox->resent_blocks;
  view.journal_bytes_sent = outbox->journal_bytes_sent;
  view.blob_bytes_sent = outbox->blob_bytes_sent;
  view.idle = capture->idle;
  view.alarm = !outbox->halted.empty() ? outbox->halted : !store->alarm.empty() ? store->alarm : capture->alarm;
  if (!coordinator_.node) return;
  const auto central =
      ask<sync::CentralFacts>(coordinator_.node->centre(), sync::AskCentral{store->robot, store->incarnation});
  if (!central) return;
  view.applied_seq = central->applied_seq;
  view.chunks_wanted = central->chunks_wanted;
}

void Fleet::look_at_body(size_t robot, RobotView& view) {
  const BodyPlan* body = body_of(robot);
  view.body_rests = body == nullptr;
  view.acting_s = 0;
  if (body == nullptr) return;
  const auto& node = *robots_[robot].node;
  const std::string folder = recordings_of(options_.work, options_.robots[robot]);
  const auto facts = ask<robot::EpisodesFacts>(node.world(), robot::AskEpisodes{});
  const auto marks = ask<Result<sync::SourceMarks>>(node.store(), sync::ReadMarks{marks_of(folder)});
  if (!facts || !marks || !*marks) return;
  count_recordings(**marks, view);
  view.recordings_waiting = count_recordings_in(folder);
  view.acting_s = facts->running_s;
  view.body_rests = facts->done;
  view.episodes_begun = facts->next_ordinal;
  if (!facts->no_pictures.empty()) view.no_pictures = facts->no_pictures;
}

void Fleet::look_at_centre(FleetView& view) {
  view.centre_up = false;
  if (!coordinator_.node) return;
  const auto central = ask<sync::CentralFacts>(coordinator_.node->centre(), sync::AskCentral{});
  sync::RunQuery question;
  question.request = "{}";
  const auto figures = ask<network::QueryAnswer>(coordinator_.node->centre(), question);
  if (!central || !figures || !*figures) return;
  const auto json = nlohmann::json::parse((*figures)->reply, nullptr, false);
  if (json.is_discarded()) return;
  view.centre_up = true;
  view.caught_up = central->caught_up;
  view.episodes = json.value("episodes", uint64_t{0});
  view.rejected = json.value("rejected", uint64_t{0});
  view.packs = json.value("packs", uint64_t{0});
  view.chunks_held = json.value("chunks_held", uint64_t{0});
  view.chunk_bytes = json.value("chunk_bytes", uint64_t{0});
  view.chunks_wanted = json.value("chunks_wanted", uint64_t{0});
}

void Fleet::look(FleetView& view) {
  view.robots.resize(robots_.size());
  for (size_t i = 0; i < robots_.size(); ++i) look_at_robot(i, view.robots[i]);
  look_at_centre(view);
}

}  // namespace drover::smoke

#include "net_fleet.hpp"

#include <caf/atom.hpp>
#include <thread>

#include "messages/episode.hpp"
#include "raw.hpp"

namespace drover::bench {

namespace {

runtime::EnvironmentOptions environment_options() {
  runtime::EnvironmentOptions options;
  options.log = [](runtime::LogLevel level, std::string_view event) {
    if (level >= runtime::LogLevel::warn)
      std::fprintf(stderr, "drover-bench: %.*s\n", static_cast<int>(event.size()), event.data());
  };
  return options;
}

}  // namespace

Bytes event_of_size(size_t bytes, uint64_t number) {
  Event event;
  event.time_unix_ns = static_cast<int64_t>(number) * 1'000'000;
  event.kind = "bench";
  event.subject = "robot";
  const size_t empty = encode(event).size();
  event.detail.assign(bytes > empty ? bytes - empty - 1 : 0, 'x');
  const std::string digits = std::to_string(number);
  event.detail.replace(0, std::min(digits.size(), event.detail.size()), digits);
  return encode(event);
}

NetFleet::ActorConfig::ActorConfig() {
  set("scheduler.policy", caf::atom("sharing"));
  set("scheduler.max-threads", size_t{2});
}

NetFleet::Process::Process() : system(config), env(system, environment_options()), network(env), asker(system) {}

NetFleet::NetFleet(const NetFleetOptions& options) : options_(options), authority_(authority()) {}

NetFleet::~NetFleet() {
  for (auto& robot : robots_) robot->kill();
  if (centre_) centre_->kill();
  for (auto& process : robot_processes_) process->network.stop();
  if (centre_process_) centre_process_->network.stop();
}

uint64_t NetFleet::prefill(uint64_t records, size_t payload_bytes, uint64_t seed) {
  constexpr uint64_t group = 2'000;
  uint64_t bytes = 0;
  for (size_t i = 0; i < options_.robots; ++i) {
    sync::RobotStoreOptions store;
    store.path = robot_dir(i);
    store.robot = robot_name(i);
    store.incarnation = 1;
    store.sync = storage::Sync::nosync;
    auto robot = must(sync::RobotStore::open(store));
    for (uint64_t done = 0; done < records; done += group) {
      sync::StoreCapture capture;
      for (uint64_t k = done; k < std::min(records, done + group); ++k)
        capture.records.push_back({RecordKind::event, 1, event_of_size(payload_bytes, seed + k)});
      bytes += capture.records.size() * (record_header_bytes + capture.records[0].payload.size());
      must(robot.store(capture, 1));
    }
  }
  return bytes;
}

void NetFleet::start_coordinator() {
  centre_process_ = std::make_unique<Process>();
  nodes::CoordinatorNodeOptions node;
  node.config.node.id = "centre";
  node.config.store.dir = (options_.dir / "centre").string();
  node.config.store.free_reserve_bytes = 0;
  node.listen.address = "127.0.0.1:0";
  node.listen.self = {network::Role::coordinator, "centre"};
  node.listen.credentials = credentials(authority_, network::Role::coordinator, "centre");
  node.listener = [process = centre_process_.get()](network::Listen listen) {
    return process->network.listen(std::move(listen));
  };
  node.sync = options_.sync;
  centre_ = must(nodes::CoordinatorNode::start(centre_process_->env, std::move(node)));
  while (centre_->port() == 0 || !centre_->sessions()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

void NetFleet::start_robots() {
  for (size_t i = 0; i < options_.robots; ++i) {
    robot_processes_.push_back(std::make_unique<Process>());
    nodes::RobotNodeOptions node;
    node.config.node.id = robot_name(i);
    node.config.store.dir = robot_dir(i);
    node.config.store.free_reserve_bytes = 0;
    node.config.capture.spools.clear();
    node.link.address = "127.0.0.1:" + std::to_string(centre_->port());
    node.link.server_name = "centre";
    node.link.self = {network::Role::robot, robot_name(i)};
    node.link.limits.ping_period_ms = options_.ping_period_ms;
    node.link.credentials = credentials(authority_, network::Role::robot, robot_name(i));
    node.dial = [process = robot_processes_.back().get()](network::Dial dial) {
      return process->network.dial(std::move(dial));
    };
    node.sync = options_.sync;
    robots_.push_back(must(nodes::RobotNode::start(robot_processes_.back()->env, std::move(node))));
  }
}

template <class Reply, class Question>
Reply NetFleet::ask(Process& process, const runtime::Ref& ref, const Question& question) {
  Reply reply{};
  const caf::actor actor = ref.get();
  if (!actor) return reply;
  process.asker->request(actor, std::chrono::seconds(60), question)
      .receive([&](Reply& got) { reply = std::move(got); },
               [&](const caf::error&) { must(Status(fail(Errc::unavailable, ref.name(), "did not answer"))); });
  return reply;
}

sync::OutboxFacts NetFleet::outbox(size_t robot) {
  return ask<sync::OutboxFacts>(*robot_processes_[robot], robots_[robot]->outbox(), sync::AskOutbox{});
}

sync::InboxFacts NetFleet::inbox() {
  return ask<sync::InboxFacts>(*centre_process_, centre_->inbox(), sync::AskInbox{});
}

sync::CentralFacts NetFleet::central() {
  return ask<sync::CentralFacts>(*centre_process_, centre_->centre(), sync::AskCentral{});
}

sync::RobotStoreFacts NetFleet::store(size_t robot) {
  return ask<sync::RobotStoreFacts>(*robot_processes_[robot], robots_[robot]->store(), sync::AskRobotStore{});
}

void NetFleet::append(size_t robot, const sync::StoreCapture& capture) {
  must(ask<Result<sync::StoredCapture>>(*robot_processes_[robot], robots_[robot]->store(), capture));
}

}  // namespace drover::bench

#include "nodes/status_actor.hpp"

#include <unistd.h>

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "actors/sync/inbox_actor.hpp"
#include "actors/sync/sessions_actor.hpp"

namespace drover::nodes {
namespace {

using nlohmann::json;
using runtime::log_value;
using runtime::LogLevel;

constexpr auto ask_timeout = std::chrono::seconds(10);

struct Tick {};

}  // namespace
}  // namespace drover::nodes

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::nodes::Tick)

namespace drover::nodes {
namespace {

json robot_json(const sync::RobotSession& r) {
  return {{"robot", r.robot},
          {"role", r.role},
          {"connected", r.connected},
          {"address", r.address},
          {"software_version", r.software_version},
          {"incarnation", r.incarnation},
          {"since_unix_ns", r.since_unix_ns},
          {"last_seen_unix_ns", r.last_seen_unix_ns},
          {"durable_seq", r.durable_seq},
          {"sessions", r.sessions},
          {"blocks", r.blocks},
          {"bytes", r.bytes},
          {"journal_last_seq", r.status.journal_last_seq},
          {"journal_acked_seq", r.status.journal_acked_seq},
          {"blob_backlog_bytes", r.status.blob_backlog_bytes},
          {"capture_stopped", r.status.capture_stopped},
          {"alarm", r.status.alarm},
          {"refused", r.refused}};
}

struct StatusState;
using StatusActor = caf::stateful_actor<StatusState>;

struct StatusState {
  const char* name = "status";
  StatusActor* self = nullptr;
  runtime::Environment* env = nullptr;
  std::string node_id;
  StatusConfig config;
  runtime::Ref sessions;
  runtime::Ref inbox;
  runtime::Ref centre;
  bool write_failed = false;

  void tick() {
    self->delayed_send(self, std::chrono::milliseconds(config.period_ms), Tick{});
    if (config.file.empty()) return;
    sessions.request(self, ask_timeout, sync::AskSessions{})
        .then([this](sync::SessionsFacts& s) { ask_inbox(s); }, [](caf::error&) {});
  }

  void ask_inbox(const sync::SessionsFacts& s) {
    inbox.request(self, ask_timeout, sync::AskInbox{})
        .then([this, s](sync::InboxFacts& i) { ask_centre(s, i); }, [](caf::error&) {});
  }

  void ask_centre(const sync::SessionsFacts& s, const sync::InboxFacts& i) {
    centre.request(self, ask_timeout, sync::AskCentral{})
        .then([this, s, i](sync::CentralFacts& c) { write(s, i, c); }, [](caf::error&) {});
  }

  void write(const sync::SessionsFacts& s, const sync::InboxFacts& i, const sync::CentralFacts& c) {
    json status{{"node", node_id}, {"pid", getpid()}, {"time_unix_ns", env->unix_ns()}};
    status["robots"] = json::array();
    for (const auto& robot : s.robots) status["robots"].push_back(robot_json(robot));
    status["inbox"] = {{"commits", i.commits},
                       {"blocks", i.blocks},
                       {"bytes", i.bytes},
                       {"pending_bytes", i.pending_bytes},
                       {"alarm", i.alarm}};
    status["centre"] = {{"applied_records", c.applied_records},
                        {"rejected_records", c.rejected_records},
                        {"caught_up", c.caught_up},
                        {"knowledge_version", c.knowledge_version}};
    replace_file(status.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
  }

  void replace_file(const std::string& content) {
    const std::string temporary = config.file + ".new";
    std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
    file << content;
    file.close();
    const bool failed = !file || std::rename(temporary.c_str(), config.file.c_str()) != 0;
    if (failed && !write_failed) env->log(LogLevel::warn, "status.not_written file=" + log_value(config.file));
    write_failed = failed;
  }
};

caf::behavior status_actor(StatusActor* self, runtime::Environment* env, std::string node_id, StatusConfig config,
                           runtime::Ref sessions, runtime::Ref inbox, runtime::Ref centre) {
  StatusState& s = self->state;
  s.self = self;
  s.env = env;
  s.node_id = std::move(node_id);
  s.config = std::move(config);
  s.sessions = std::move(sessions);
  s.inbox = std::move(inbox);
  s.centre = std::move(centre);
  self->send(self, Tick{});
  return {[&s](const Tick&) { s.tick(); }};
}

}  // namespace

caf::actor spawn_status(runtime::Environment& env, std::string node_id, StatusConfig config, runtime::Ref sessions,
                        runtime::Ref inbox, runtime::Ref centre) {
  return env.spawn(status_actor, &env, std::move(node_id), std::move(config), std::move(sessions), std::move(inbox),
                   std::move(centre));
}

}  // namespace drover::nodes

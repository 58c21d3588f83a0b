#include "actors/sync/inbox_actor.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/response_promise.hpp>
#include <caf/stateful_actor.hpp>
#include <chrono>
#include <set>

#include "messages/buggify.hpp"

namespace drover::sync {
namespace {

using network::AckStatus;
using network::AppendAck;
using network::AppendReply;
using runtime::log_value;
using runtime::LogLevel;

struct Commit {};
using OpenReply = Result<StreamOpened>;

}  // namespace
}  // namespace drover::sync

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::Commit)

namespace drover::sync {
namespace {

AckStatus ack_status(storage::AppendStatus status) {
  switch (status) {
    case storage::AppendStatus::ok:
      return AckStatus::ok;
    case storage::AppendStatus::gap:
      return AckStatus::gap;
    case storage::AppendStatus::conflict:
      return AckStatus::conflict;
    case storage::AppendStatus::refused:
      return AckStatus::refused;
    case storage::AppendStatus::corrupt:
      return AckStatus::corrupt;
  }
  return AckStatus::refused;
}

struct InboxState;
using InboxActor = caf::stateful_actor<InboxState>;

struct InboxState {
  const char* name = "inbox";
  InboxActor* self = nullptr;
  runtime::Environment* env = nullptr;
  InboxConfig config;
  std::shared_ptr<CentralStore> store;
  std::set<caf::actor> watchers;
  std::vector<storage::Incoming> pending;
  std::vector<caf::typed_response_promise<AppendReply>> promises;  // one per pending block
  uint64_t pending_bytes = 0;
  bool scheduled = false;
  InboxFacts facts;

  caf::result<AppendReply> take(const StoreBlock& block) {
    auto promise = self->make_response_promise<AppendReply>();
    const uint64_t bytes = block.block.bytes().size();
    if (pending_bytes + bytes > config.pending_bytes_max || buggify::fire(buggify::Site::inbox_overloaded)) {
      promise.deliver(AppendReply(AppendAck{0, AckStatus::overloaded, "too many blocks wait for the disk"}));
      return promise;
    }
    pending.push_back({block.robot, block.incarnation, block.block, block.now_unix_ns});
    promises.push_back(promise);
    if (buggify::bug(buggify::Bug::ack_before_commit))
      promise.deliver(AppendReply(AppendAck{block.block.last_seq(), AckStatus::ok, {}}));
    pending_bytes += bytes;
    if (pending_bytes >= config.commit_bytes_max)
      commit();
    else
      schedule();
    return promise;
  }

  void schedule() {
    if (scheduled) return;
    scheduled = true;
    if (config.commit_delay_ms > 0)
      self->delayed_send(self, std::chrono::milliseconds(config.commit_delay_ms), Commit{});
    else
      self->send(self, Commit{});  // behind the blocks that are queued already
  }

  void schedule_late() {
    constexpr int late_ms = 20;
    scheduled = true;
    self->delayed_send(self, std::chrono::milliseconds(late_ms), Commit{});
  }

  void commit() {
    if (pending.empty()) return;
    const auto blocks = std::exchange(pending, {});
    auto waiting = std::exchange(promises, {});
    pending_bytes = 0;
    auto outcomes = store->append(blocks);
    if (!outcomes) return commit_failed(waiting, outcomes.error());
    if (!facts.alarm.empty()) env->log(LogLevel::info, "inbox.recovered");
    facts.alarm.clear();
    ++facts.commits;
    std::set<StreamId> grown;
    for (size_t i = 0; i < blocks.size(); ++i) {
      const storage::AppendOutcome& o = (*outcomes)[i];
      if (o.status == storage::AppendStatus::ok) {
        grown.insert({blocks[i].robot, blocks[i].incarnation});
        ++facts.blocks;
        facts.bytes += blocks[i].block.bytes().size();
      }
      if (waiting[i].pending())
        waiting[i].deliver(AppendReply(AppendAck{o.durable_seq, ack_status(o.status), o.message}));
    }
    tell({grown.begin(), grown.end()});
  }

  // Nothing was stored; the robots keep their records and send them again.
  void commit_failed(std::vector<caf::typed_response_promise<AppendReply>>& waiting, const Error& error) {
    if (facts.alarm != error.what)
      env->log(LogLevel::error, "inbox.commit_failed reason=" + log_value(error.message()));
    facts.alarm = error.what;
    for (auto& promise : waiting) promise.deliver(AppendReply(AppendAck{0, AckStatus::overloaded, error.message()}));
  }

  void tell(std::vector<StreamId> grown) {
    if (grown.empty()) return;
    for (const auto& watcher : watchers) self->send(watcher, InboxGrew{grown});
  }

  OpenReply open(const OpenStream& r) {
    auto stream = store->open_stream({r.robot, r.incarnation}, r.now_unix_ns);
    if (!stream) return tl::unexpected(stream.error());
    return StreamOpened{stream->durable_seq};
  }

  void watch() {
    const auto watcher = caf::actor_cast<caf::actor>(self->current_sender());
    if (watcher && watchers.insert(watcher).second) self->monitor(watcher);
  }
};

caf::behavior inbox_actor(InboxActor* self, runtime::Environment* env, InboxConfig config,
                          std::shared_ptr<CentralStore> store) {
  InboxState& s = self->state;
  s.self = self;
  s.env = env;
  s.config = config;
  s.store = std::move(store);
  self->set_down_handler([&s](const caf::down_msg& down) {
    std::erase_if(s.watchers, [&](const caf::actor& w) { return w.address() == down.source; });
  });
  return {
      [&s](const StoreBlock& block) { return s.take(block); },
      [&s](const Commit&) {
        s.scheduled = false;
        if (buggify::fire(buggify::Site::inbox_commit_late)) return s.schedule_late();
        s.commit();
      },
      [&s](const OpenStream& r) {
        s.commit();  // what a dying session left behind counts before its robot is told where it stands
        return s.open(r);
      },
      [&s](const WatchInbox&) { s.watch(); },
      [&s](const AskInbox&) {
        s.facts.pending_bytes = s.pending_bytes;
        return s.facts;
      },
  };
}

}  // namespace

caf::actor spawn_inbox(runtime::Environment& env, InboxConfig config, std::shared_ptr<CentralStore> store) {
  return env.spawn_blocking(inbox_actor, &env, config, std::move(store));
}

}  // namespace drover::sync

#include "actors/sync/robot_store_actor.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <set>

#include "messages/buggify.hpp"

namespace drover::sync {
namespace {

using runtime::log_value;
using runtime::LogLevel;

struct WriteAcks {};

}  // namespace
}  // namespace drover::sync

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::WriteAcks)

namespace drover::sync {
namespace {

struct StoreState;
using StoreActor = caf::stateful_actor<StoreState>;

struct StoreState {
  const char* name = "robot_store";
  StoreActor* self = nullptr;
  runtime::Environment* env = nullptr;
  std::shared_ptr<RobotStore> store;
  std::set<caf::actor> watchers;
  uint64_t last_seq = 0;
  uint64_t acked_seq = 0;
  uint64_t pending_acked_seq = 0;
  std::vector<Hash> pending_chunks;
  bool acks_scheduled = false;
  std::string alarm;  // why the last capture was refused; empty: it was not

  Result<StoredCapture> store_capture(const StoreCapture& capture) {
    auto stored = store->store(capture, env->unix_ns());
    alarm = stored || stored.error().code != Errc::disk_full ? "" : stored.error().message();
    grew();
    return stored;
  }

  void grew() {
    const auto facts = store->facts();
    if (!facts || facts->last_seq == last_seq) return;
    last_seq = facts->last_seq;
    if (buggify::fire(buggify::Site::store_growth_untold)) return;  // the next status says it
    for (const auto& watcher : watchers) self->send(watcher, JournalGrew{last_seq});
  }

  void watch() {
    const auto watcher = caf::actor_cast<caf::actor>(self->current_sender());
    if (!watcher) return;
    if (watchers.insert(watcher).second) self->monitor(watcher);
    self->send(watcher, JournalGrew{last_seq});
  }

  void schedule_acks() {
    if (acks_scheduled) return;
    acks_scheduled = true;
    self->send(self, WriteAcks{});  // behind what is queued now, so that acks of one burst share a sync
  }

  void write_acks() {
    acks_scheduled = false;
    if (buggify::fire(buggify::Site::store_acks_forgotten)) {
      pending_chunks.clear();
      return;
    }
    Status written;
    if (pending_acked_seq > acked_seq) {
      written = store->records_acked(pending_acked_seq);
      if (written) acked_seq = pending_acked_seq;
    }
    if (written && !pending_chunks.empty()) written = store->chunks_acked(pending_chunks);
    pending_chunks.clear();  // an unwritten ack is learnt again from the centre
    if (!written)
      env->log(written.error().code == Errc::disk_full ? LogLevel::warn : LogLevel::error,
               "store.ack_not_written reason=" + log_value(written.error().message()));
  }

  Result<Bytes> read_piece(const ReadPiece& r) {
    auto piece = store->read_piece(r.hash, r.offset, r.bytes, env->unix_ns());
    if (!piece) grew();
    return piece;
  }

  RobotStoreFacts facts() const {
    auto facts = store->facts();
    if (!facts) {
      env->log(LogLevel::error, "store.unreadable reason=" + log_value(facts.error().message()));
      throw std::runtime_error(facts.error().message());  // the supervisor reopens the store
    }
    facts->capture_stopped = !alarm.empty();
    facts->alarm = alarm;
    return *facts;
  }
};

caf::behavior store_actor(StoreActor* self, runtime::Environment* env, std::shared_ptr<RobotStore> store) {
  StoreState& s = self->state;
  s.self = self;
  s.env = env;
  s.store = std::move(store);
  const RobotStoreFacts facts = s.facts();
  s.last_seq = facts.last_seq;
  s.acked_seq = s.pending_acked_seq = facts.acked_seq;
  self->set_down_handler([&s](const caf::down_msg& down) {
    std::erase_if(s.watchers, [&](const caf::actor& w) { return w.address() == down.source; });
  });
  return {
      [&s](const StoreCapture& capture) { return s.store_capture(capture); },
      [&s](const ReadMarks& r) { return s.store->marks(r.prefix); },
      [&s](const ReadBlock& r) { return s.store->read_block(r.from_seq, r.max_bytes); },
      [&s](const ReadPiece& r) { return s.read_piece(r); },
      [&s](const ApplyKnowledge& r) { return s.store->apply_knowledge(r.snapshot); },
      [&s](const AskRobotStore&) { return s.facts(); },
      [&s](const RecordsAcked& acked) {
        s.pending_acked_seq = std::max(s.pending_acked_seq, acked.seq);
        s.schedule_acks();
      },
      [&s](const ChunkAcked& acked) {
        s.pending_chunks.push_back(acked.hash);
        s.schedule_acks();
      },
      [&s](const ChunksSettled& settled) {
        if (auto done = s.store->chunks_settled(settled.applied_seq); !done)
          s.env->log(LogLevel::warn, "store.ack_not_written reason=" + log_value(done.error().message()));
      },
      [&s](const WatchJournal&) { s.watch(); },
      [&s](const WriteAcks&) { s.write_acks(); },
  };
}

}  // namespace

caf::actor spawn_robot_store(runtime::Environment& env, std::shared_ptr<RobotStore> store) {
  return env.spawn_blocking(store_actor, &env, std::move(store));
}

}  // namespace drover::sync

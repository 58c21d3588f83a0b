#include "actors/sync/centre_actor.hpp"

#include <algorithm>
#include <caf/event_based_actor.hpp>
#include <caf/response_promise.hpp>
#include <caf/stateful_actor.hpp>
#include <chrono>
#include <set>

#include "messages/buggify.hpp"

namespace drover::sync {
namespace {

using namespace network;
using runtime::log_value;
using runtime::LogLevel;
using Millis = std::chrono::milliseconds;

constexpr uint32_t wants_counted_max = 64;

struct Apply {};
struct CommitPieces {};

}  // namespace
}  // namespace drover::sync

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::Apply)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::CommitPieces)

namespace drover::sync {
namespace {

struct CentreState;
using CentreActor = caf::stateful_actor<CentreState>;

struct CentreState {
  const char* name = "centre";
  CentreActor* self = nullptr;
  runtime::Environment* env = nullptr;
  CentreConfig config;
  std::shared_ptr<CentralStore> store;
  QueryFunction query;
  std::set<StreamId> dirty;  // streams that may hold unapplied records
  StreamId last;             // the stream that had its turn
  bool applying = false;     // an Apply message is on its way
  int64_t grown_ns = 0;      // when blocks arrived last
  std::vector<StorePiece> pieces;
  std::vector<caf::typed_response_promise<ChunkReply>> promises;  // one per piece
  uint64_t pieces_bytes = 0;
  double tokens_bytes = 0;
  int64_t refilled_ns = 0;
  std::string alarm;
  CentralFacts facts;

  // ---- records
  void grown(const InboxGrew& grew) {
    dirty.insert(grew.streams.begin(), grew.streams.end());
    grown_ns = now_ns();
    schedule_apply(Millis(0));
  }

  void schedule_apply(Millis rest) {
    if (applying || dirty.empty()) return;
    applying = true;
    if (rest.count() > 0)
      self->delayed_send(self, rest, Apply{});
    else
      self->send(self, Apply{});
  }

  // How long to leave the disk to the inbox after a transaction that took so long.
  Millis rest_after(int64_t took_ns) const {
    constexpr int64_t ns_per_ms = 1'000'000;
    if (now_ns() - grown_ns - took_ns > static_cast<int64_t>(config.inbox_quiet_ms) * ns_per_ms) return Millis(0);
    const double share = std::clamp(config.apply_share, 0.05, 1.0);
    const auto rest_ms = static_cast<int64_t>(static_cast<double>(took_ns) * (1 / share - 1)) / ns_per_ms;
    return Millis(std::min(rest_ms, static_cast<int64_t>(config.apply_rest_ms)));
  }
  int64_t now_ns() const { return env->clock().steady_ns(); }

  void apply() {
    applying = false;
    if (dirty.empty()) return;
    auto next = dirty.upper_bound(last);  // streams take turns
    if (next == dirty.end()) next = dirty.begin();
    last = *next;
    const int64_t began_ns = now_ns();
    const uint64_t apply_bytes = buggify::fire(buggify::Site::centre_apply_little) ? 1 : config.apply_bytes;
    auto applied = store->apply(last, apply_bytes, guard());
    if (!applied) return trouble(applied.error());
    alarm.clear();
    facts.applied_records += applied->records;
    facts.rejected_records += applied->rejected;
    if (applied->rejected > 0)
      env->log(LogLevel::warn, "centre.records_rejected robot=" + last.robot +
                                   " count=" + std::to_string(applied->rejected) +
                                   " applied_seq=" + std::to_string(applied->applied_seq));
    if (!applied->more) dirty.erase(last);
    schedule_apply(rest_after(now_ns() - began_ns));
  }

  // A record whose handling throws ends this actor; after the rules' number of deaths it is set aside instead.
  RecordGuard guard() const {
    return [this](const StreamId&, const Bytes& frame, const std::function<void()>& take) {
      return env->quarantine().process(name, frame, take) == runtime::Handling::processed;
    };
  }

  void trouble(const Error& error) {
    if (alarm != error.what)
      env->log(LogLevel::error, "centre.apply_failed robot=" + last.robot + " reason=" + log_value(error.message()));
    alarm = error.what;
    applying = true;
    self->delayed_send(self, Millis(config.retry_ms), Apply{});
  }

  uint64_t durable(const StreamId& stream) const {
    const auto facts = store->open_stream(stream, env->unix_ns());
    return facts ? facts->durable_seq : 0;
  }

  // ---- chunks
  WantsReply wants(const ListWants& r) {
    const uint64_t allowed_bytes = std::min({r.budget_bytes, config.wants_bytes_max, tokens()});
    if (allowed_bytes == 0 || buggify::fire(buggify::Site::centre_wants_nothing)) return ChunkWants{};
    const uint32_t max_items = buggify::fire(buggify::Site::centre_wants_one) ? 1 : r.max_items;
    auto wanted = store->wanted(r.robot, allowed_bytes, max_items);
    if (!wanted) return tl::unexpected(wanted.error());
    ChunkWants list;
    for (const auto& w : *wanted) {
      list.items.push_back({w.hash, w.have_bytes, w.size_bytes});
      tokens_bytes -= static_cast<double>(w.size_bytes - std::min<uint64_t>(w.have_bytes, w.size_bytes));
    }
    return list;
  }

  // The byte budget of all robots together: a bucket that holds one second's worth.
  uint64_t tokens() {
    const int64_t now_ns = env->clock().steady_ns();
    const auto rate = static_cast<double>(config.budget_bytes_per_s);
    if (refilled_ns != 0) tokens_bytes += static_cast<double>(now_ns - refilled_ns) * 1e-9 * rate;
    if (refilled_ns == 0 || tokens_bytes > rate) tokens_bytes = rate;
    refilled_ns = now_ns;
    return tokens_bytes <= 0 ? 0 : static_cast<uint64_t>(tokens_bytes);
  }

  caf::result<ChunkReply> take_piece(const StorePiece& piece) {
    auto promise = self->make_response_promise<ChunkReply>();
    pieces.push_back(piece);
    promises.push_back(promise);
    pieces_bytes += piece.bytes.size();
    if (pieces_bytes >= config.pieces_bytes_max || buggify::fire(buggify::Site::centre_pieces_alone))
      commit_pieces();
    else if (pieces.size() == 1)
      self->send(self, CommitPieces{});  // behind the pieces that are queued already
    return promise;
  }

  void commit_pieces() {
    if (pieces.empty()) return;
    const auto taken = std::exchange(pieces, {});
    auto waiting = std::exchange(promises, {});
    pieces_bytes = 0;
    std::vector<storage::Blobs::Piece> views;
    for (const StorePiece& p : taken) views.push_back({p.hash, p.offset, p.size_bytes, p.bytes.view()});
    auto results = store->put_pieces(views);
    if (!results && alarm != results.error().what) {
      alarm = results.error().what;
      env->log(LogLevel::error, "centre.chunks_not_stored reason=" + log_value(results.error().message()));
    }
    for (size_t i = 0; i < taken.size(); ++i) {
      if (!results) {
        waiting[i].deliver(ChunkReply(tl::unexpected(results.error())));
        continue;
      }
      const auto& result = (*results)[i];
      if (result.error)
        waiting[i].deliver(ChunkReply(tl::unexpected(*result.error)));
      else
        waiting[i].deliver(ChunkReply(ChunkAck{result.outcome.have_bytes, result.outcome.complete}));
    }
  }

  // ---- questions
  KnowledgeReply knowledge(const ReadKnowledge& r) {
    auto held = store->knowledge();
    if (!held) return tl::unexpected(held.error());
    if (held->version <= r.have) return KnowledgeUpdate{r.have, {}};
    return KnowledgeUpdate{held->version, held->bytes};
  }

  QueryAnswer answer(const RunQuery& r) {
    if (!query) return fail(Errc::refused, "query", "this coordinator answers no questions");
    auto reply = query(*store, r.peer, r.request);
    if (!reply) return tl::unexpected(reply.error());
    return QueryReply{std::move(*reply)};
  }

  CentralFacts report(const AskCentral& ask) {
    CentralFacts f = facts;
    if (const auto held = store->knowledge()) f.knowledge_version = held->version;
    f.caught_up = dirty.empty();
    if (ask.robot.empty()) return f;
    const auto wanted = store->wanted(ask.robot, UINT64_MAX, wants_counted_max);
    const auto seq = store->applied_seq({ask.robot, ask.incarnation});
    // Both or neither: "applied and wants nothing" lets the robot forget its chunks.
    if (!wanted || !seq) return f;
    f.chunks_wanted = wanted->size();
    f.applied_seq = *seq;
    return f;
  }
};

caf::behavior centre_actor(CentreActor* self, runtime::Environment* env, CentreConfig config,
                           std::shared_ptr<CentralStore> store, runtime::Ref inbox, QueryFunction query) {
  CentreState& s = self->state;
  s.self = self;
  s.env = env;
  s.config = config;
  s.store = std::move(store);
  s.query = std::move(query);
  inbox.send(self, WatchInbox{});
  const auto streams = s.store->streams();
  if (!streams) throw std::runtime_error(streams.error().message());
  for (const StreamId& stream : *streams)
    if (buggify::bug(buggify::Bug::watermark_lost_on_restart)) (void)s.store->skip_to(stream, s.durable(stream));
  s.grown(InboxGrew{*streams});
  return {
      [&s](const InboxGrew& grew) { s.grown(grew); },   [&s](const Apply&) { s.apply(); },
      [&s](const ListWants& r) { return s.wants(r); },  [&s](const StorePiece& r) { return s.take_piece(r); },
      [&s](const CommitPieces&) { s.commit_pieces(); }, [&s](const ReadKnowledge& r) { return s.knowledge(r); },
      [&s](const RunQuery& r) { return s.answer(r); },  [&s](const AskCentral& r) { return s.report(r); },
  };
}

}  // namespace

caf::actor spawn_centre(runtime::Environment& env, CentreConfig config, std::shared_ptr<CentralStore> store,
                        runtime::Ref inbox, QueryFunction query) {
  return env.spawn_blocking(centre_actor, &env, config, std::move(store), std::move(inbox), std::move(query));
}

}  // namespace drover::sync

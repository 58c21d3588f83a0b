#include "actors/sync/sessions_actor.hpp"

#include <algorithm>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <chrono>
#include <optional>
#include <utility>

#include "messages/buggify.hpp"

namespace drover::sync {
namespace {

using namespace network;
using runtime::log_value;
using runtime::LogLevel;
using Millis = std::chrono::milliseconds;

constexpr uint64_t ping_wait_ms = 10;  // for the centre's own word, before a heartbeat is answered without it

// To a peer's actor itself: a ping has waited long enough.
struct PingLate {};

// From a peer's actor to its parent: how an append went.
struct AppendNoted {
  std::string robot;
  uint64_t bytes = 0;
  AppendAck ack;
};

}  // namespace
}  // namespace drover::sync

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::AppendNoted)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::PingLate)

namespace drover::sync {
namespace {

// ---- one connected peer ------------------------------------------------------------------------

struct PeerState;
using PeerActor = caf::stateful_actor<PeerState>;

struct PeerState {
  const char* name = "peer";
  PeerActor* self = nullptr;
  runtime::Environment* env = nullptr;
  SessionsConfig config;
  PeerHello hello;
  runtime::Ref inbox;
  runtime::Ref centre;
  caf::actor parent;
  uint64_t durable_seq = 0;
  std::optional<CentralFacts> central;                        // as the centre said last
  bool asking = false;                                        // and it is being asked again
  std::vector<caf::typed_response_promise<PingReply>> pings;  // not answered yet; the listener caps the calls of a peer

  const std::string& robot() const { return hello.session.peer.node_id; }
  Millis timeout() const { return Millis(config.store_timeout_ms); }

  // Passes a request on and its Result back; a store that does not answer becomes an error the peer can read.
  template <class Reply, class Request>
  caf::result<Result<Reply>> forward(const runtime::Ref& target, Request request, const char* what) {
    auto promise = self->make_response_promise<Result<Reply>>();
    target.request(self, timeout(), std::move(request))
        .then([promise](Result<Reply>& reply) mutable { promise.deliver(std::move(reply)); },
              [promise, what](caf::error&) mutable {
                promise.deliver(Result<Reply>(fail(Errc::unavailable, what, "the store did not answer; try again")));
              });
    return promise;
  }

  caf::result<AppendReply> append(const PeerAppend& request) {
    auto promise = self->make_response_promise<AppendReply>();
    auto refuse = [&](AckStatus status, const Error& error) {
      const AppendAck ack{durable_seq, status, error.message()};
      self->send(parent, AppendNoted{robot(), 0, ack});
      promise.deliver(AppendReply(ack));
      return promise;
    };
    auto block = Block::parse(request.block);
    if (!block) return refuse(AckStatus::corrupt, block.error());
    if (auto hashes = block->verify_hashes(); !hashes && !buggify::bug(buggify::Bug::hashes_not_checked))
      return refuse(AckStatus::corrupt, hashes.error());
    inbox.request(self, timeout(), StoreBlock{robot(), hello.incarnation, std::move(*block), env->unix_ns()})
        .then(
            [this, promise, bytes = request.block.size()](AppendReply& reply) mutable {
              if (buggify::fire(buggify::Site::sessions_answer_lost)) {
                promise.deliver(AppendReply(fail(Errc::unavailable, "inbox", "the answer was lost; resend")));
                return;
              }
              if (reply) {
                durable_seq = std::max(durable_seq, reply->durable_seq);
                self->send(parent, AppendNoted{robot(), bytes, *reply});
              }
              promise.deliver(std::move(reply));
            },
            [promise](caf::error&) mutable {
              promise.deliver(AppendReply(fail(Errc::unavailable, "inbox", "the store did not answer; resend")));
            });
    return promise;
  }

  // A heartbeat does not wait for the disk: when the centre is in a transaction, the answer is what it said last.
  caf::result<PingReply> ping() {
    auto promise = self->make_response_promise<PingReply>();
    pings.push_back(promise);
    ask_central();
    if (central) self->delayed_send(self, Millis(ping_wait_ms), PingLate{});
    return promise;
  }
  void ask_central() {
    if (asking) return;
    asking = true;
    centre.request(self, timeout(), AskCentral{robot(), hello.incarnation})
        .then(
            [this](CentralFacts& f) {
              asking = false;
              central = std::move(f);
              answer_pings();
            },
            [this](caf::error&) {
              asking = false;
              central.reset();  // what it said is too old to be told
              for (auto& ping : std::exchange(pings, {}))
                ping.deliver(PingReply(fail(Errc::unavailable, "centre", "the store did not answer")));
            });
  }
  void answer_pings() {
    if (!central) return;
    for (auto& ping : std::exchange(pings, {}))
      ping.deliver(PingReply(
          Pong{durable_seq, central->knowledge_version, central->chunks_wanted, env->unix_ns(), central->applied_seq}));
  }
};

caf::behavior peer_actor(PeerActor* self, runtime::Environment* env, SessionsConfig config, PeerHello hello,
                         uint64_t durable_seq, runtime::Ref inbox, runtime::Ref centre, caf::actor parent) {
  PeerState& s = self->state;
  s.self = self;
  s.env = env;
  s.config = config;
  s.hello = std::move(hello);
  s.durable_seq = durable_seq;
  s.inbox = std::move(inbox);
  s.centre = std::move(centre);
  s.parent = std::move(parent);
  return {
      [&s](const PeerAppend& request) { return s.append(request); },
      [&s](const PeerWants& r) {
        return s.forward<ChunkWants>(s.centre, ListWants{s.robot(), r.budget_bytes, r.max_items}, "wants");
      },
      [&s](const PeerChunk& r) {
        return s.forward<ChunkAck>(s.centre, StorePiece{s.robot(), r.hash, r.offset, r.size_bytes, r.bytes}, "chunk");
      },
      [&s](const PeerKnowledge& r) { return s.forward<KnowledgeUpdate>(s.centre, ReadKnowledge{r.have}, "knowledge"); },
      [&s](const PeerQuery& r) {
        return s.forward<QueryReply>(s.centre, RunQuery{r.session.peer, r.request}, "query");
      },
      [&s](const PeerPing&) { return s.ping(); },
      [&s](const PingLate&) { s.answer_pings(); },
  };
}

// ---- all peers ---------------------------------------------------------------------------------

struct SessionsState;
using SessionsActor = caf::stateful_actor<SessionsState>;

struct SessionsState {
  const char* name = "sessions";
  SessionsActor* self = nullptr;
  runtime::Environment* env = nullptr;
  SessionsConfig config;
  runtime::Ref inbox;
  runtime::Ref centre;
  std::map<uint64_t, caf::actor> peers;        // by session id
  std::map<std::string, uint64_t> current;     // robot -> its newest session
  std::map<std::string, RobotSession> robots;  // bounded by config.robots_max

  // Peers that send a journal of their own; the others only ask, and may have several sessions.
  static bool is_stream(Role role) { return role == Role::robot; }

  caf::result<HelloReply> hello(const PeerHello& hello) {
    auto promise = self->make_response_promise<HelloReply>();
    if (hello.session.peer.role == Role::gateway) {
      // A stream is named by its robot; taking one from a gateway needs proof of whose it is, which protocol 1 lacks.
      promise.deliver(HelloReply(fail(Errc::refused, hello.session.peer.text(), "site gateways are not served")));
      return promise;
    }
    if (!is_stream(hello.session.peer.role)) {
      welcome(hello, 0, promise);
      return promise;
    }
    const auto& allowed = config.allowed_robots;
    if (!allowed.empty() && std::find(allowed.begin(), allowed.end(), hello.session.peer.node_id) == allowed.end()) {
      note_refusal(hello, "not in fleet.allowed_robots");
      promise.deliver(HelloReply(fail(Errc::refused, hello.session.peer.node_id, "not in fleet.allowed_robots")));
      return promise;
    }
    inbox
        .request(self, Millis(config.store_timeout_ms),
                 OpenStream{hello.session.peer.node_id, hello.incarnation, env->unix_ns()})
        .then(
            [this, hello, promise](Result<StreamOpened>& opened) mutable {
              if (opened) return welcome(hello, opened->durable_seq, promise);
              note_refusal(hello, opened.error().message());
              promise.deliver(HelloReply(tl::unexpected(opened.error())));
            },
            [promise](caf::error&) mutable {
              promise.deliver(HelloReply(fail(Errc::unavailable, "inbox", "the store did not answer; try again")));
            });
    return promise;
  }

  template <class Promise>
  void welcome(const PeerHello& hello, uint64_t durable_seq, Promise& promise) {
    const std::string& robot = hello.session.peer.node_id;
    const bool streams = is_stream(hello.session.peer.role);
    if (streams) {
      // An older session of the same robot may still be half open; it must not append any more.
      if (auto old = current.find(robot); old != current.end()) end_peer(old->second);
      current[robot] = hello.session.session_id;
      note_welcome(hello, durable_seq);
    }
    const auto peer = env->spawn(peer_actor, env, config, hello, durable_seq, inbox, centre, caf::actor(self));
    self->monitor(peer);
    peers[hello.session.session_id] = peer;
    centre.request(self, Millis(config.store_timeout_ms), AskCentral{robot, hello.incarnation})
        .then(
            [durable_seq, promise](CentralFacts& f) mutable {
              promise.deliver(HelloReply(PeerWelcome{durable_seq, f.knowledge_version, 0, 0}));
            },
            [durable_seq, promise](caf::error&) mutable {
              promise.deliver(HelloReply(PeerWelcome{durable_seq, 0, 0, 0}));
            });
  }

  void note_welcome(const PeerHello& hello, uint64_t durable_seq) {
    RobotSession& r = row(hello.session.peer);
    r.address = hello.address;
    r.software_version = hello.software_version;
    r.incarnation = hello.incarnation;
    r.connected = true;
    r.since_unix_ns = r.last_seen_unix_ns = env->unix_ns();
    r.durable_seq = durable_seq;
    r.refused.clear();
    ++r.sessions;
    env->log(LogLevel::info, "sync.session_open peer=" + hello.session.peer.text() +
                                 " session=" + std::to_string(hello.session.session_id) +
                                 " durable_seq=" + std::to_string(durable_seq));
  }

  void note_refusal(const PeerHello& hello, const std::string& why) {
    RobotSession& r = row(hello.session.peer);
    if (r.refused != why)
      env->log(LogLevel::warn, "sync.hello_refused peer=" + hello.session.peer.text() + " reason=" + log_value(why));
    r.refused = why;
  }

  void note_append(const AppendNoted& note) {
    auto found = robots.find(note.robot);
    if (found == robots.end()) return;
    RobotSession& r = found->second;
    r.last_seen_unix_ns = env->unix_ns();
    r.durable_seq = std::max(r.durable_seq, note.ack.durable_seq);
    if (note.ack.status == AckStatus::ok) {
      ++r.blocks;
      r.bytes += note.bytes;
      return;
    }
    const bool loud = note.ack.status == AckStatus::conflict;
    if (r.refused != note.ack.message)
      env->log(loud ? LogLevel::error : LogLevel::warn,
               "sync.block_refused robot=" + note.robot + " reason=" + log_value(note.ack.message));
    r.refused = note.ack.message;
  }

  RobotSession& row(const PeerName& peer) {
    if (robots.size() >= config.robots_max && robots.find(peer.node_id) == robots.end()) forget_one();
    RobotSession& r = robots[peer.node_id];
    r.robot = peer.node_id;
    r.role = role_name(peer.role);
    return r;
  }

  void forget_one() {
    for (auto i = robots.begin(); i != robots.end(); ++i) {
      if (i->second.connected) continue;
      robots.erase(i);
      return;
    }
  }

  void end_peer(uint64_t session_id) {
    auto found = peers.find(session_id);
    if (found == peers.end()) return;
    self->send_exit(found->second, caf::exit_reason::user_shutdown);
    peers.erase(found);
  }

  void gone(const PeerGone& gone) {
    end_peer(gone.session.session_id);
    if (!is_stream(gone.session.peer.role)) return;
    const std::string& robot = gone.session.peer.node_id;
    auto newest = current.find(robot);
    if (newest == current.end() || newest->second != gone.session.session_id) return;
    current.erase(newest);
    RobotSession& r = row(gone.session.peer);
    r.connected = false;
    r.since_unix_ns = env->unix_ns();
    env->log(LogLevel::info,
             "sync.session_closed peer=" + gone.session.peer.text() + " reason=" + log_value(gone.reason.message()));
  }

  // Hands a request to its peer's actor, which answers the listener directly.
  template <class Reply, class Request>
  caf::result<Reply> route(const Request& request) {
    auto found = peers.find(request.session.session_id);
    if (found == peers.end()) return Reply(fail(Errc::refused, "session", "a newer session replaced this one"));
    self->delegate(found->second, request);
    return caf::delegated<Reply>{};
  }

  caf::result<PingReply> ping(const PeerPing& ping) {
    if (auto found = robots.find(ping.session.peer.node_id); found != robots.end()) {
      found->second.last_seen_unix_ns = env->unix_ns();
      found->second.status = ping.status;
    }
    return route<PingReply>(ping);
  }

  void peer_down(const caf::down_msg& down) {
    for (auto i = peers.begin(); i != peers.end(); ++i) {
      if (i->second.address() != down.source) continue;
      env->log(LogLevel::error, "sync.peer_actor_died session=" + std::to_string(i->first) +
                                    " reason=" + log_value(env->system().render(down.reason)));
      peers.erase(i);  // its requests are refused from now on; the peer reconnects and gets a fresh actor
      return;
    }
  }
};

caf::behavior sessions_actor(SessionsActor* self, runtime::Environment* env, SessionsConfig config,
                             runtime::Ref listener, runtime::Ref inbox, runtime::Ref centre) {
  SessionsState& s = self->state;
  s.self = self;
  s.env = env;
  s.config = config;
  s.inbox = std::move(inbox);
  s.centre = std::move(centre);
  self->set_down_handler([&s](const caf::down_msg& down) { s.peer_down(down); });
  listener.send(self, ServePeers{});
  return {
      [&s](const PeerHello& hello) { return s.hello(hello); },
      [&s](const PeerAppend& r) { return s.route<AppendReply>(r); },
      [&s](const PeerWants& r) { return s.route<WantsReply>(r); },
      [&s](const PeerChunk& r) { return s.route<ChunkReply>(r); },
      [&s](const PeerKnowledge& r) { return s.route<KnowledgeReply>(r); },
      [&s](const PeerPing& r) { return s.ping(r); },
      [&s](const PeerQuery& r) { return s.route<QueryAnswer>(r); },
      [&s](const PeerGone& r) { s.gone(r); },
      [&s](const AppendNoted& note) { s.note_append(note); },
      [&s](const AskSessions&) {
        SessionsFacts facts;
        for (const auto& [robot, row] : s.robots) facts.robots.push_back(row);
        return facts;
      },
  };
}

}  // namespace

caf::actor spawn_sessions(runtime::Environment& env, SessionsConfig config, runtime::Ref listener, runtime::Ref inbox,
                          runtime::Ref centre) {
  return env.spawn(sessions_actor, &env, config, std::move(listener), std::move(inbox), std::move(centre));
}

}  // namespace drover::sync

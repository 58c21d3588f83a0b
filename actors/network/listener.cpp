#include "actors/network/listener.hpp"

#include <kj/debug.h>

#include <algorithm>

#include "actors/network/rpc_util.hpp"
#include "actors/network/tls.hpp"
#include "messages/check.hpp"
#include "messages/schema/session.capnp.h"

namespace drover::network {

using runtime::log_value;
using runtime::LogLevel;

namespace {

NodeStatus status_of(schema::NodeStatus::Reader status) {
  return {status.getJournalLastSeq(),   status.getJournalAckedSeq(), status.getStoreBytes(),
          status.getBlobBacklogBytes(), status.getCaptureStopped(),  printable(text_of(status.getAlarm()), 200)};
}

}  // namespace

// ---- one accepted connection

class Listener::Connection {
 public:
  Connection(Listener& listener, uint64_t id, std::string address, PeerName peer, kj::Own<kj::AsyncIoStream> inner,
             capnp::Capability::Client gate, std::shared_ptr<Connection*> link)
      : listener(listener),
        id(id),
        address(std::move(address)),
        peer(std::move(peer)),
        stream(kj::mv(inner)),
        net(stream, capnp::rpc::twoparty::Side::SERVER, reader_options(listener.limits())),
        rpc(capnp::makeRpcServer(net, kj::mv(gate))),
        link(std::move(link)),
        started_ms(listener.shared_.now_ms()),
        last_call_ms(started_ms) {
    const auto& limits = listener.limits();
    stream.set_read_budget(limits.hello_bytes_max);
    // Calls over the window are answered "overloaded"; past twice the window the peer is simply not read from.
    rpc.setFlowLimit((2 * (limits.window_bytes + limits.block_bytes_max) + (1u << 20)) / sizeof(capnp::word));
    auto closing = kj::newPromiseAndFulfiller<std::string>();
    close_fulfiller_ = kj::mv(closing.fulfiller);
    closed = kj::mv(closing.promise);
  }
  ~Connection() { *link = nullptr; }

  void close(const std::string& why) { close_fulfiller_->fulfill(std::string(why)); }
  SessionRef ref() const { return {id, peer}; }

  enum class Phase : uint8_t { greeting, asking, greeted };

  Listener& listener;
  uint64_t id;
  std::string address;
  PeerName peer;
  MeteredStream stream;
  capnp::TwoPartyVatNetwork net;
  capnp::RpcSystem<capnp::rpc::twoparty::VatId> rpc;
  std::shared_ptr<Connection*> link;  // what Gate and Session hold; null once this is gone
  int64_t started_ms;
  int64_t last_call_ms;
  Phase phase = Phase::greeting;
  bool gone_said = false;
  bool refusal_logged = false;
  uint64_t window_bytes = 0;
  uint64_t bulk_bytes = 0;
  uint32_t calls = 0;
  kj::Promise<std::string> closed = nullptr;

 private:
  kj::Own<kj::PromiseFulfiller<std::string>> close_fulfiller_;
};

// ---- interface Session

class SessionImpl final : public schema::Session::Server {
 public:
  explicit SessionImpl(std::shared_ptr<Listener::Connection*> link) : link_(std::move(link)) {}

  kj::Promise<void> append(AppendContext context) override {
    auto& c = enter(SessionCall::append);
    const auto block = context.getParams().getBlock();
    if (block.size() > c.listener.limits().block_bytes_max)
      throw_error({Errc::too_large, "session.append", size_text(block.size(), c)});
    if (c.bulk_bytes > 0 && c.bulk_bytes + block.size() > c.window_bytes + slack_bytes) {
      auto ack = context.getResults().initAck();
      ack.setStatus(schema::AckStatus::OVERLOADED);
      ack.setMessage("over the window of this session");
      return kj::READY_NOW;
    }
    const auto size = block.size();
    PeerAppend message{c.ref(), bytes_of(block)};
    context.releaseParams();
    return forward<AppendAck>(c, context, std::move(message), size, [](auto& results, const AppendAck& reply) {
      auto ack = results.initAck();
      ack.setDurableSeq(reply.durable_seq);
      ack.setStatus(static_cast<schema::AckStatus>(reply.status));
      ack.setMessage(to_text(reply.message));
    });
  }

  kj::Promise<void> wants(WantsContext context) override {
    auto& c = enter(SessionCall::wants);
    const auto params = context.getParams();
    const uint32_t items_max = std::min(params.getMaxItems(), c.listener.limits().wants_items_max);
    PeerWants message{c.ref(), params.getBudgetBytes(), items_max};
    return forward<ChunkWants>(c, context, std::move(message), 0, [items_max](auto& results, const ChunkWants& reply) {
      const auto count = static_cast<unsigned>(std::min<size_t>(reply.items.size(), items_max));
      auto wants = results.initWants(count);
      for (unsigned i = 0; i < count; ++i) {
        wants[i].setHash(to_data(reply.items[i].hash));
        wants[i].setOffset(reply.items[i].offset);
        wants[i].setSizeBytes(reply.items[i].size_bytes);
      }
    });
  }

  kj::Promise<void> chunk(ChunkContext context) override {
    auto& c = enter(SessionCall::chunk);
    const auto params = context.getParams();
    const auto hash = params.getHash();
    const auto bytes = params.getBytes();
    PeerChunk message{c.ref(), {}, params.getOffset(), params.getSizeBytes(), {}};
    if (hash.size() != message.hash.size())
      throw_error({Errc::invalid_argument, "session.chunk.hash", "must have 32 bytes"});
    if (bytes.size() > c.listener.limits().block_bytes_max)
      throw_error({Errc::too_large, "session.chunk", size_text(bytes.size(), c)});
    if (message.offset > message.size_bytes || bytes.size() > message.size_bytes - message.offset)
      throw_error({Errc::invalid_argument, "session.chunk.offset", "the piece reaches beyond the chunk's size"});
    if (c.bulk_bytes > 0 && c.bulk_bytes + bytes.size() > c.window_bytes + slack_bytes)
      throw_error({Errc::overloaded, "session.chunk", "over the window of this session"});
    std::memcpy(message.hash.data(), hash.begin(), hash.size());
    message.bytes = bytes_of(bytes);
    const auto size = bytes.size();
    context.releaseParams();
    return forward<ChunkAck>(c, context, std::move(message), size, [](auto& results, const ChunkAck& reply) {
      results.setDurableBytes(reply.durable_bytes);
      results.setComplete(reply.complete);
    });
  }

  kj::Promise<void> knowledge(KnowledgeContext context) override {
    auto& c = enter(SessionCall::knowledge);
    PeerKnowledge message{c.ref(), context.getParams().getHave()};
    const uint64_t snapshot_max = c.listener.limits().message_bytes_max - 4096;  // room for the frame around it
    return forward<KnowledgeUpdate>(
        c, context, std::move(message), 0, [snapshot_max](auto& results, const KnowledgeUpdate& reply) {
          if (reply.snapshot.size() > snapshot_max)
            throw_error({Errc::too_large, "session.knowledge", "the snapshot is over message_bytes_max"});
          auto update = results.initUpdate();
          update.setVersion(reply.version);
          update.setSnapshot(to_data(reply.snapshot.view()));
        });
  }

  kj::Promise<void> ping(PingContext context) override {
    auto& c = enter(SessionCall::ping);
    PeerPing message{c.ref(), status_of(context.getParams().getStatus())};
    return forward<Pong>(
        c, context, std::move(message), 0,
        [](auto& results, const Pong& reply) {
          auto pong = results.initPong();
          pong.setDurableSeq(reply.durable_seq);
          pong.setKnowledgeVersion(reply.knowledge_version);
          pong.setChunksWanted(reply.chunks_wanted);
          pong.setAppliedSeq(reply.applied_seq);
          pong.setTimeUnixNs(reply.time_unix_ns);
        },
        true);
  }

  kj::Promise<void> query(QueryContext context) override {
    auto& c = enter(SessionCall::query);
    const auto request = context.getParams().getRequest();
    if (request.size() > c.listener.limits().query_bytes_max)
      throw_error({Errc::too_large, "session.query", "is over query_bytes_max"});
    PeerQuery message{c.ref(), text_of(request)};
    return forward<QueryReply>(
        c, context, std::move(message), 0,
        [reply_max = c.listener.limits().query_bytes_max](auto& results, const QueryReply& reply) {
          if (reply.reply.size() > reply_max)
            throw_error({Errc::too_large, "session.query", "the reply is over query_bytes_max: ask for less"});
          results.setReply(to_text(reply.reply));
        });
  }

 private:
  static constexpr uint64_t slack_bytes = 64u << 10;

  [[noreturn]] static void throw_error(const Error& error) {
    kj::throwFatalException(wire_exception(error));
    KJ_UNREACHABLE;
  }
  static std::string size_text(size_t bytes, const Listener::Connection& c) {
    return std::to_string(bytes) +
           " bytes, over block_bytes_max = " + std::to_string(c.listener.limits().block_bytes_max);
  }

  // The checks that every call passes: alive, allowed, not too many.
  Listener::Connection& enter(SessionCall call) {
    if (*link_ == nullptr) throw_error({Errc::unavailable, "session", "is over"});
    auto& c = **link_;
    const std::string where = "session." + std::string(session_call_name(call));
    const auto& limits = c.listener.limits();
    if (c.net.getCurrentQueueSize() > limits.message_bytes_max + limits.window_bytes) {
      c.close("does not read its answers");
      throw_error({Errc::overloaded, where, "answers are not being read"});
    }
    c.last_call_ms = c.listener.shared_.now_ms();
    if (!may_call(c.peer.role, call)) {
      const std::string what =
          "a " + std::string(role_name(c.peer.role)) + " may not call " + std::string(session_call_name(call));
      c.listener.refuse(c.address, c.peer.text() + " " + where, what);
      throw_error({Errc::refused, where, what});
    }
    if (c.calls >= c.listener.limits().calls_in_flight_max)
      throw_error({Errc::overloaded, where, "over calls_in_flight_max"});
    if (!c.listener.handler_) throw_error({Errc::unavailable, where, "the centre is starting"});
    return c;
  }

  template <class Reply, class Context, class Message, class Fill>
  kj::Promise<void> forward(Listener::Connection& c, Context context, Message message, uint64_t bulk_bytes, Fill fill,
                            bool urgent = false) {
    context.allowCancellation();
    ++c.calls;
    c.bulk_bytes += bulk_bytes;
    auto& shared = c.listener.shared_;
    auto answer = c.listener.port_.template ask_result<Reply>(c.listener.handler_, std::move(message), urgent);
    return shared.timer.timeoutAfter(c.listener.limits().call_timeout_ms * kj::MILLISECONDS, kj::mv(answer))
        .catch_([](kj::Exception&& exception) -> Result<Reply> {
          if (exception.getType() == kj::Exception::Type::OVERLOADED)
            return fail(Errc::timeout, "session", "the centre did not answer in time");
          kj::throwFatalException(kj::mv(exception));
          KJ_UNREACHABLE;
        })
        .then([context, fill](Result<Reply>&& reply) mutable {
          if (!reply) throw_error(reply.error());
          auto results = context.getResults();
          fill(results, *reply);
        })
        .attach(kj::defer([link = link_, bulk_bytes] {
          if (*link == nullptr) return;
          --(*link)->calls;
          (*link)->bulk_bytes -= bulk_bytes;
        }));
  }

  std::shared_ptr<Listener::Connection*> link_;
};

// ---- interface Gate

class GateImpl final : public schema::Gate::Server {
 public:
  explicit GateImpl(std::shared_ptr<Listener::Connection*> link) : link_(std::move(link)) {}

  kj::Promise<void> hello(HelloContext context) override {
    if (*link_ == nullptr) kj::throwFatalException(wire_exception({Errc::unavailable, "gate", "is closed"}));
    auto& c = **link_;
    auto& listener = c.listener;
    PeerHello message;
    Status checked = read_hello(c, context.getParams().getHello(), message);
    if (checked) checked = listener.admit_session(c);
    if (checked && !listener.handler_) checked = fail(Errc::unavailable, "hello", "the centre is starting");
    if (!checked) return refuse(c, checked.error());
    c.phase = Listener::Connection::Phase::asking;
    context.allowCancellation();
    auto answer = listener.port_.ask_result<PeerWelcome>(listener.handler_, std::move(message));
    return answer.then([this, context](Result<PeerWelcome>&& welcome) mutable -> kj::Promise<void> {
      if (*link_ == nullptr) return kj::READY_NOW;
      auto& connection = **link_;
      if (!welcome) return refuse(connection, welcome.error());
      greet(connection, *welcome, context);
      return kj::READY_NOW;
    });
  }

 private:
  static Status read_hello(Listener::Connection& c, schema::Hello::Reader hello, PeerHello& message) {
    using Phase = Listener::Connection::Phase;
    if (c.phase != Phase::greeting) return fail(Errc::refused, "hello", "was said already; one hello per connection");
    const auto node = hello.getNode();
    const PeerName said{static_cast<Role>(node.getRole()), text_of(node.getNodeId())};
    if (!(said == c.peer))
      return fail(Errc::refused, "hello.node",
                  "says " + printable(said.text()) + " but the certificate says " + c.peer.text());
    if (node.getProtocolMin() > protocol_max || node.getProtocolMax() < protocol_min)
      return fail(Errc::unsupported_version, "hello.node.protocol",
                  "peer speaks " + std::to_string(node.getProtocolMin()) + ".." +
                      std::to_string(node.getProtocolMax()) + ", this node " + std::to_string(protocol_min) + ".." +
                      std::to_string(protocol_max));
    const bool keeps_journal = c.peer.role == Role::robot || c.peer.role == Role::gateway;
    if (keeps_journal && hello.getIncarnation() == 0)
      return fail(Errc::invalid_argument, "hello.incarnation", "must not be 0 for a robot or gateway");
    if (hello.getFirstSeq() > hello.getLastSeq())
      return fail(Errc::invalid_argument, "hello.firstSeq", "is after lastSeq");
    message.session = c.ref();
    message.address = c.address;
    message.software_version = printable(text_of(node.getSoftwareVersion()), 40);
    message.protocol = std::min(node.getProtocolMax(), protocol_max);
    message.incarnation = hello.getIncarnation();
    message.first_seq = hello.getFirstSeq();
    message.last_seq = hello.getLastSeq();
    message.knowledge_version = hello.getKnowledgeVersion();
    return {};
  }

  // Tells the peer and the log why, and ends the connection once the answer had time to leave. A session that is
  // already greeted only hears that the call was refused.
  static kj::Promise<void> refuse(Listener::Connection& c, const Error& error) {
    c.refusal_logged = true;
    c.listener.refuse(c.address, "hello of " + c.peer.text(), error.message());
    if (c.phase != Listener::Connection::Phase::greeted) c.phase = Listener::Connection::Phase::greeting;
    return wire_exception(error);
  }

  void greet(Listener::Connection& c, const PeerWelcome& welcome, HelloContext& context) {
    auto& listener = c.listener;
    const auto& limits = listener.limits();
    c.phase = Listener::Connection::Phase::greeted;
    c.last_call_ms = listener.shared_.now_ms();
    c.stream.clear_read_budget();
    listener.caps_.greeted(c.address);
    c.window_bytes =
        welcome.window_bytes == 0 ? limits.window_bytes : std::min(welcome.window_bytes, limits.window_bytes);
    auto results = context.getResults();
    auto out = results.initWelcome();
    auto node = out.initNode();
    node.setNodeId(listener.self().node_id.c_str());
    node.setRole(static_cast<schema::Role>(listener.self().role));
    node.setSoftwareVersion(listener.options_.software_version.c_str());
    node.setProtocolMin(protocol_min);
    node.setProtocolMax(protocol_max);
    out.setProtocol(protocol_max);
    out.setDurableSeq(welcome.durable_seq);
    out.setKnowledgeVersion(welcome.knowledge_version);
    out.setWindowBytes(c.window_bytes);
    out.setMaxBlockBytes(welcome.max_block_bytes == 0 ? limits.block_bytes_max
                                                      : std::min(welcome.max_block_bytes, limits.block_bytes_max));
    out.setSessionId(c.id);
    results.setSession(kj::heap<SessionImpl>(link_));
    listener.shared_.env.metrics().gauge("drover_network_sessions", "Sessions being served").add(1);
    listener.shared_.log(LogLevel::info, "network.session_up peer=" + c.peer.text() +
                                             " address=" + log_value(c.address) + " session=" + std::to_string(c.id));
  }

  std::shared_ptr<Listener::Connection*> link_;
};

// ---- Listener

Listener::Listener(NetworkShared& shared, const Listen& options, kj::Maybe<kj::Own<kj::TlsContext>> tls,
                   caf::actor port)
    : shared_(shared),
      options_(options),
      tls_(kj::mv(tls)),
      handler_(options.handler),
      port_(Port::of(port)),
      port_actor_(std::move(port)),
      caps_(options.limits),
      throttle_(options.limits.log_repeat_ms),
      tasks_(*this) {}

Listener::~Listener() noexcept(false) {
  while (!connections_.empty()) ended(connections_.begin()->first, "the centre is stopping");
}

void Listener::accept_from(kj::Own<kj::ConnectionReceiver> receiver) {
  receiver_ = kj::mv(receiver);
  tasks_.add(accept_loop(*receiver_));
}

kj::Promise<void> Listener::accept_loop(kj::ConnectionReceiver& receiver) {
  // evalNow: running out of descriptors is thrown at once, not through the promise.
  return kj::evalNow([&receiver] { return receiver.acceptAuthenticated(); })
      .then(
          [this, &receiver](kj::AuthenticatedStream stream) {
            serve(kj::mv(stream));
            return accept_loop(receiver);
          },
          [this, &receiver](kj::Exception&& exception) {
            refuse("accept", "accept failed", text_of(exception));
            return shared_.timer.afterDelay(options_.limits.accept_retry_ms * kj::MILLISECONDS).then([this, &receiver] {
              return accept_loop(receiver);
            });
          });
}

void Listener::serve(kj::AuthenticatedStream stream) {
  const std::string address = peer_address(*stream.peerIdentity);
  if (const Status admitted = caps_.admit(address); !admitted) return refuse(address, "cap", admitted.error().what);
  tune_socket(*stream.stream, options_.limits.tcp_user_timeout_ms, options_.limits.send_buffer_bytes);
  auto& tls = *KJ_ASSERT_NONNULL(tls_);
  auto handshake = kj::evalNow([&] { return tls.wrapServer(kj::mv(stream)); });
  tasks_.add(shared_.timer.timeoutAfter(options_.limits.handshake_timeout_ms * kj::MILLISECONDS, kj::mv(handshake))
                 .then(
                     [this, address](kj::AuthenticatedStream secured) {
                       auto peer = tls_peer_name(*secured.peerIdentity);
                       if (peer) return start(address, *peer, kj::mv(secured.stream));
                       caps_.release(address, false);
                       refuse(address, "certificate", peer.error().message());
                     },
                     [this, address](kj::Exception&& exception) {
                       caps_.release(address, false);
                       const bool slow = exception.getType() == kj::Exception::Type::OVERLOADED;
                       refuse(address, slow ? "slow handshake" : "handshake",
                              slow ? "over handshake_timeout_ms" : text_of(exception));
                     }));
}

Result<kj::Own<kj::AsyncIoStream>> Listener::connect_memory(MemoryWire& wire, const PeerName& peer) {
  if (wire.refusing()) return fail(Errc::unavailable, "memory", "connection refused");
  const std::string address = "memory:" + peer.text();
  DROVER_TRY(caps_.admit(address));
  auto ends = wire.connect();
  start(address, peer, kj::mv(ends.server));
  return kj::mv(ends.client);
}

void Listener::start(const std::string& address, const PeerName& peer, kj::Own<kj::AsyncIoStream> stream) {
  const uint64_t id = next_id_++;
  auto link = std::make_shared<Connection*>(nullptr);
  capnp::Capability::Client gate = kj::heap<GateImpl>(link);
  auto connection = kj::heap<Connection>(*this, id, address, peer, kj::mv(stream), kj::mv(gate), link);
  *link = connection.get();
  auto& c = *connection;
  connections_.emplace(id, kj::mv(connection));

  struct Watch {
    static kj::Promise<std::string> run(Listener& listener, Connection& c) {
      const auto& limits = listener.limits();
      const bool greeted = c.phase == Connection::Phase::greeted;
      const int64_t due_ms = greeted ? c.last_call_ms + limits.idle_timeout_ms : c.started_ms + limits.hello_timeout_ms;
      const int64_t wait_ms = due_ms - listener.shared_.now_ms();
      if (wait_ms <= 0)
        return std::string(greeted ? "idle: no call within idle_timeout_ms" : "no hello within hello_timeout_ms");
      // A greeting may turn into a session meanwhile: look again at the earlier of both.
      return listener.shared_.timer.afterDelay(wait_ms * kj::MILLISECONDS).then([&listener, &c] {
        return run(listener, c);
      });
    }
  };
  auto over = c.net.onDisconnect().then(
      [&c] { return std::string(c.stream.over_budget() ? "over hello_bytes_max before hello" : "disconnected"); });
  tasks_.add(over.exclusiveJoin(Watch::run(*this, c))
                 .exclusiveJoin(kj::mv(c.closed))
                 .catch_([](kj::Exception&& exception) { return text_of(exception); })
                 .then([this, id](std::string why) { ended(id, why); }));
}

void Listener::say_gone(Connection& c, const std::string& why) {
  if (c.gone_said || c.phase == Connection::Phase::greeting) return;
  c.gone_said = true;
  port_.tell(handler_, PeerGone{c.ref(), {Errc::unavailable, c.peer.text(), why}});
}

void Listener::ended(uint64_t id, const std::string& why) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  auto connection = kj::mv(found->second);
  connections_.erase(found);
  auto& c = *connection;
  const bool greeted = c.phase == Connection::Phase::greeted;
  say_gone(c, why);
  caps_.release(c.address, greeted);
  if (greeted) {
    shared_.env.metrics().gauge("drover_network_sessions", "Sessions being served").add(-1);
    shared_.log(LogLevel::info, "network.session_down peer=" + c.peer.text() + " session=" + std::to_string(id) +
                                    " reason=" + log_value(why));
  } else if (!c.refusal_logged) {
    refuse(c.address, c.peer.text() + " before hello", why);
  }
}

// Newest wins for robots, whose old connection is usually dead without knowing it; the others share a cap.
Status Listener::admit_session(Connection& connection) {
  const bool single = connection.peer.role == Role::robot || connection.peer.role == Role::gateway;
  uint32_t others = 0;
  for (auto& [id, c] : connections_) {
    if (id == connection.id || c->phase == Connection::Phase::greeting || !(c->peer == connection.peer)) continue;
    ++others;
    if (!single || c->gone_said) continue;
    say_gone(*c, "replaced by a newer session");
    c->close("replaced by a newer session");
  }
  if (!single && others >= options_.limits.sessions_per_node_max)
    return fail(Errc::overloaded, connection.peer.text(), "over sessions_per_node_max");
  return {};
}

void Listener::set_handler(caf::actor handler) {
  for (auto& [id, c] : connections_) {
    if (c->phase == Connection::Phase::greeting) continue;
    c->gone_said = true;  // the new handler never knew it
    c->close("the centre's session handler was replaced");
  }
  handler_ = std::move(handler);
}

void Listener::refuse(const std::string& address, const std::string& what, const std::string& why) {
  shared_.env.metrics().counter("drover_network_refused_total", "Peers, connections and calls refused").add();
  const auto silent = throttle_.should_log(address + "|" + what, shared_.now_ms());
  if (!silent) return;
  shared_.log(LogLevel::warn, "network.peer_refused address=" + log_value(address) + " at=" + log_value(what) +
                                  " reason=" + log_value(why) +
                                  (*silent > 0 ? " repeated=" + std::to_string(*silent) : std::string()));
}

void Listener::taskFailed(kj::Exception&& exception) {
  refuse("internal", "task failed", text_of(exception));
}

}  // namespace drover::network

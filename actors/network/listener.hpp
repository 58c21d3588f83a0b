// Listener: takes connections (TLS over TCP, or in-memory), makes sure who they are, and turns the calls of
// their sessions into messages to the handler actor (session_messages.hpp).
//
// A connection's life: admitted by the caps -> TLS (handshake deadline) -> RPC -> hello (deadline, byte budget) ->
// session (idle deadline, window, call cap) -> gone. Accepting never ends: failures to accept wait and go on.
// Invariants: every admitted connection is released once; PeerGone is sent once per welcomed session and before the
// next PeerHello of the same robot; nothing of a connection outlives it.
// Network thread only.
#pragma once

#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>
#include <kj/compat/tls.h>

#include <map>
#include <memory>
#include <string>

#include "actors/network/connection_caps.hpp"
#include "actors/network/network_core.hpp"
#include "actors/network/session_messages.hpp"

namespace drover::network {

class Listener final : private kj::TaskSet::ErrorHandler {
 public:
  // `options.self`, limits and credentials were validated. `port` is this listener's actor.
  Listener(NetworkShared& shared, const Listen& options, kj::Maybe<kj::Own<kj::TlsContext>> tls, caf::actor port);
  ~Listener() noexcept(false);

  // Accepts from `receiver` for as long as this lives.
  void accept_from(kj::Own<kj::ConnectionReceiver> receiver);
  // A new in-memory peer; `peer` is taken as proven.
  Result<kj::Own<kj::AsyncIoStream>> connect_memory(MemoryWire& wire, const PeerName& peer);
  void set_handler(caf::actor handler);

  const PeerName& self() const { return options_.self; }
  const Limits& limits() const { return options_.limits; }
  size_t connections() const { return connections_.size(); }

 private:
  friend class GateImpl;
  friend class SessionImpl;
  class Connection;

  kj::Promise<void> accept_loop(kj::ConnectionReceiver& receiver);
  void serve(kj::AuthenticatedStream stream);
  void start(const std::string& address, const PeerName& peer, kj::Own<kj::AsyncIoStream> stream);
  void ended(uint64_t id, const std::string& why);
  void say_gone(Connection& connection, const std::string& why);
  Status admit_session(Connection& connection);
  void refuse(const std::string& address, const std::string& what, const std::string& why);
  void taskFailed(kj::Exception&& exception) override;

  NetworkShared& shared_;
  Listen options_;
  kj::Maybe<kj::Own<kj::TlsContext>> tls_;
  caf::actor handler_;
  Port& port_;
  caf::actor port_actor_;
  ConnectionCaps caps_;
  LogThrottle throttle_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, kj::Own<Connection>> connections_;
  kj::Own<kj::ConnectionReceiver> receiver_;
  kj::TaskSet tasks_;  // last: dies first
};

}  // namespace drover::network

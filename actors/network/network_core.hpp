// NetworkCore: everything the network owns on its thread: listeners, uplinks, and what they share.
// NetworkThread (production) and SimulatedNetwork (tests, smoke) run one each.
//
// Network thread only, but for the actors it hands out.
#pragma once

#include <kj/async-io.h>
#include <kj/timer.h>

#include <caf/actor.hpp>
#include <map>
#include <memory>
#include <string>

#include "actors/network/authority.hpp"
#include "actors/network/limits.hpp"
#include "actors/network/link_stream.hpp"
#include "actors/network/log_throttle.hpp"
#include "actors/network/peer_name.hpp"
#include "actors/network/port.hpp"
#include "actors/runtime/environment.hpp"

namespace drover::network {

constexpr uint16_t protocol_min = 1;
constexpr uint16_t protocol_max = 1;

// How to serve peers.
struct Listen {
  std::string address{};      // "0.0.0.0:7447", "[::]:7447"; numeric; port 0: any free one; empty: in-memory peers only
  Credentials credentials{};  // needed with an address
  PeerName self{};            // role and node id of this node; must be those of the certificate
  std::string software_version = "0.1.0";
  Limits limits{};
  caf::actor handler{};  // serves the requests of session_messages.hpp; may come later by ServePeers
};
struct Listening {
  caf::actor actor{};  // takes ServePeers; exit_msg closes the listener and its sessions
  uint16_t port = 0;
};

// How to reach a coordinator.
struct Dial {
  std::string address{};      // "centre.example:7447", numeric or a DNS name
  std::string server_name{};  // a name in the centre's certificate, usually its node id
  Credentials credentials{};
  caf::actor memory_listener{};  // instead of address: a Listening::actor of the same network, or its successor of the
                                 // same name
  std::shared_ptr<MemoryWire> memory_wire{};  // its faults; made when absent
  PeerName self{};                            // role and node id of this node; must be those of the certificate
  std::string software_version = "0.1.0";
  Limits limits{};
  caf::actor subscriber{};  // gets LinkUp, LinkDown, LinkPong and PrepareHello; may come later by WatchLink
};

// What the objects of one network share.
struct NetworkShared {
  runtime::Environment& env;
  kj::Timer& timer;
  std::shared_ptr<Inbox> inbox;

  void log(runtime::LogLevel level, const std::string& event) const { env.log(level, event); }
  int64_t now_ms() const { return env.steady_ms(); }
};

class Listener;
class Uplink;

// An open way to the centre, whose name was proven by it.
struct UplinkConnected {
  kj::Own<kj::AsyncIoStream> stream;
  PeerName centre{};
};

class NetworkCore {
 public:
  // `network` may be absent: then only in-memory links work. `env` and `timer` outlive the core.
  NetworkCore(runtime::Environment& env, kj::Timer& timer, kj::Maybe<kj::Network&> network,
              std::shared_ptr<Inbox> inbox);
  ~NetworkCore();
  NetworkCore(const NetworkCore&) = delete;
  NetworkCore& operator=(const NetworkCore&) = delete;

  // Errors: invalid_argument (options, all problems at once), io (address in use).
  Result<Listening> listen(const Listen& options);
  Result<caf::actor> dial(const Dial& options);
  // Also done by an exit message to the actor.
  void close(const caf::actor& actor, caf::error reason);

  NetworkShared& shared() { return shared_; }

 private:
  template <class T>
  struct Owned {
    caf::actor actor;
    kj::Own<T> object;
  };
  std::function<kj::Promise<UplinkConnected>()> memory_dialer(const Dial& options);
  void handle_common(const caf::actor& actor, caf::mailbox_element& message);

  NetworkShared shared_;
  kj::Maybe<kj::Network&> network_;
  std::map<caf::actor_id, Owned<Listener>> listeners_;
  std::map<caf::actor_id, Owned<Uplink>> uplinks_;
  uint64_t uplinks_made_ = 0;
};

}  // namespace drover::network

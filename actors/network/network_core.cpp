#include "actors/network/network_core.hpp"

#include <arpa/inet.h>
#include <kj/debug.h>
#include <netinet/in.h>

#include <algorithm>
#include <caf/exit_reason.hpp>
#include <caf/sec.hpp>
#include <caf/system_messages.hpp>
#include <charconv>
#include <cstring>

#include "actors/network/listener.hpp"
#include "actors/network/rpc_util.hpp"
#include "actors/network/tls.hpp"
#include "actors/network/uplink.hpp"

namespace drover::network {

namespace {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

// "0.0.0.0:7447", "[::]:7447", "*:7447": numeric, because listening must not depend on a name service.
Result<SocketAddress> parse_listen_address(const std::string& text) {
  const auto refuse = [&] {
    return fail(Errc::invalid_argument, "listen address \"" + printable(text) + "\"",
                "must be a numeric address and a port, for example 0.0.0.0:7447 or [::]:7447");
  };
  const auto colon = text.rfind(':');
  if (colon == std::string::npos) return refuse();
  std::string host = text.substr(0, colon);
  uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data() + colon + 1, end, port);
  if (parsed.ec != std::errc() || parsed.ptr != end) return refuse();
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (host == "*") host = "0.0.0.0";
  SocketAddress address;
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&address.storage, &v4, sizeof v4);
    address.size = sizeof v4;
  } else if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&address.storage, &v6, sizeof v6);
    address.size = sizeof v6;
  } else {
    return refuse();
  }
  return address;
}

// What listen() and dial() refuse before they begin: all problems at once.
Status check_node(const PeerName& self, const Limits& limits, const Credentials* credentials) {
  std::string problems;
  const auto add = [&](const std::string& problem) { problems += (problems.empty() ? "" : "; ") + problem; };
  if (self.role == Role::unknown || !valid_node_id(self.node_id)) add("self: needs a role and a node id");
  for (const auto& problem : validate(limits)) add("limits." + problem);
  if (credentials != nullptr) {
    const auto facts = describe_certificate(credentials->certificate_pem);
    if (!facts) {
      add("certificate: " + facts.error().message());
    } else if (facts->common_name != self.text()) {
      add("certificate: is of " + printable(facts->common_name) + ", this node is " + self.text());
    }
  }
  if (!problems.empty()) return fail(Errc::invalid_argument, "network", problems);
  return {};
}

Uplink::Dialer tls_dialer(kj::Network& network, kj::Own<kj::TlsContext> tls, const Dial& options) {
  auto shared_tls = std::make_shared<kj::Own<kj::TlsContext>>(kj::mv(tls));
  return [&network, shared_tls, address = options.address, name = options.server_name,
          limits = options.limits]() -> kj::Promise<Uplink::Connected> {
    return network.parseAddress(address.c_str())
        .then([](kj::Own<kj::NetworkAddress> resolved) {
          auto connecting = resolved->connectAuthenticated();
          return connecting.attach(kj::mv(resolved));
        })
        .then([shared_tls, name, limits](kj::AuthenticatedStream stream) {
          tune_socket(*stream.stream, limits.tcp_user_timeout_ms, limits.send_buffer_bytes);
          return (*shared_tls)->wrapClient(kj::mv(stream), name.c_str());
        })
        .then([](kj::AuthenticatedStream stream) {
          auto centre = tls_peer_name(*stream.peerIdentity);
          KJ_REQUIRE(centre.has_value(), "the centre's certificate names no node", centre.error().message().c_str());
          return Uplink::Connected{kj::mv(stream.stream), *std::move(centre)};
        });
  };
}

}  // namespace

NetworkCore::NetworkCore(runtime::Environment& env, kj::Timer& timer, kj::Maybe<kj::Network&> network,
                         std::shared_ptr<Inbox> inbox)
    : shared_{env, timer, std::move(inbox)}, network_(network) {}

NetworkCore::~NetworkCore() {
  // Uplinks first: their peers may be listeners of this very core.
  while (!uplinks_.empty()) close(uplinks_.begin()->second.actor, caf::exit_reason::user_shutdown);
  while (!listeners_.empty()) close(listeners_.begin()->second.actor, caf::exit_reason::user_shutdown);
}

Result<Listening> NetworkCore::listen(const Listen& options) {
  const bool remote = !options.address.empty();
  DROVER_TRY(check_node(options.self, options.limits, remote ? &options.credentials : nullptr));
  kj::Maybe<kj::Own<kj::TlsContext>> tls;
  kj::Own<kj::ConnectionReceiver> receiver;
  uint16_t bound_port = 0;
  if (remote) {
    if (network_ == nullptr) return fail(Errc::invalid_argument, "network", "has no sockets: in-memory links only");
    DROVER_ASSIGN(SocketAddress address, parse_listen_address(options.address));
    DROVER_ASSIGN(kj::Own<kj::TlsContext> context, make_tls(options.credentials));
    tls = kj::mv(context);
    DROVER_ASSIGN(receiver, contain(options.address.c_str(), Errc::io, [&] {
                    return KJ_ASSERT_NONNULL(network_).getSockaddr(&address.storage, address.size)->listen();
                  }));
    bound_port = static_cast<uint16_t>(receiver->getPort());
  }
  const caf::actor port = Port::make(shared_.env.system(), shared_.inbox);
  auto listener = kj::heap<Listener>(shared_, options, kj::mv(tls), port);
  if (remote) listener->accept_from(kj::mv(receiver));
  Port::of(port).set_handler([this, port = port.id(), target = listener.get()](caf::mailbox_element& message) {
    if (message.content().match_elements<ServePeers>()) {
      target->set_handler(caf::actor_cast<caf::actor>(message.sender));
    } else {
      handle_common(listeners_.at(port).actor, message);
    }
  });
  listeners_.emplace(port.id(), Owned<Listener>{port, kj::mv(listener)});
  shared_.log(runtime::LogLevel::info, "network.listening self=" + options.self.text() +
                                           " address=" + runtime::log_value(remote ? options.address : "memory") +
                                           " port=" + std::to_string(bound_port));
  return Listening{port, bound_port};
}

Result<caf::actor> NetworkCore::dial(const Dial& options) {
  const bool remote = !options.memory_listener;
  DROVER_TRY(check_node(options.self, options.limits, remote ? &options.credentials : nullptr));
  Uplink::Dialer dialer;
  if (remote) {
    if (network_ == nullptr) return fail(Errc::invalid_argument, "network", "has no sockets: in-memory links only");
    if (options.server_name.empty() || options.address.empty())
      return fail(Errc::invalid_argument, "network", "an uplink needs an address and the centre's server_name");
    DROVER_ASSIGN(kj::Own<kj::TlsContext> tls, make_tls(options.credentials));
    dialer = tls_dialer(KJ_ASSERT_NONNULL(network_), kj::mv(tls), options);
  } else {
    dialer = memory_dialer(options);
  }
  const caf::actor port = Port::make(shared_.env.system(), shared_.inbox);
  const auto rng = shared_.env.rng("network.uplink." + options.self.text() + "." + std::to_string(uplinks_made_++));
  auto uplink = kj::heap<Uplink>(shared_, options, std::move(dialer), port, rng);
  Port::of(port).set_handler([this, port = port.id(), target = uplink.get()](caf::mailbox_element& message) {
    if (message.content().match_elements<caf::exit_msg>()) {
      handle_common(uplinks_.at(port).actor, message);
    } else {
      target->handle(message);
    }
  });
  uplink->start();
  uplinks_.emplace(port.id(), Owned<Uplink>{port, kj::mv(uplink)});
  return port;
}

std::function<kj::Promise<Uplink::Connected>()> NetworkCore::memory_dialer(const Dial& options) {
  auto wire = options.memory_wire ? options.memory_wire : std::make_shared<MemoryWire>(shared_.timer);
  const auto named = listeners_.find(options.memory_listener.id());
  const PeerName centre = named == listeners_.end() ? PeerName{} : named->second.object->self();
  return
      [this, wire, id = options.memory_listener.id(), centre, self = options.self]() -> kj::Promise<Uplink::Connected> {
        auto found = listeners_.find(id);
        // A listener that was restarted is another actor of the same name. One that was down when the uplink began has
        // no name yet; in-memory networks have one centre.
        if (found == listeners_.end())
          found = std::find_if(listeners_.begin(), listeners_.end(), [&](const auto& entry) {
            return centre.node_id.empty() || entry.second.object->self() == centre;
          });
        if (found == listeners_.end()) return KJ_EXCEPTION(DISCONNECTED, "the centre is not listening");
        auto& listener = *found->second.object;
        auto stream = listener.connect_memory(*wire, self);
        if (!stream) return wire_exception(stream.error());
        return Uplink::Connected{*std::move(stream), listener.self()};
      };
}

void NetworkCore::handle_common(const caf::actor& actor, caf::mailbox_element& message) {
  if (message.content().match_elements<caf::exit_msg>()) {
    const auto reason = message.content().get_as<caf::exit_msg>(0).reason;
    // Not from within its own handler: close() destroys it.
    shared_.inbox->post([this, actor, reason] { close(actor, reason); });
    return;
  }
  ReplyTo(message).send(caf::error(caf::sec::unexpected_message));
}

void NetworkCore::close(const caf::actor& actor, caf::error reason) {
  const caf::actor keep = actor;
  const auto listener = listeners_.find(keep.id());
  const auto uplink = uplinks_.find(keep.id());
  if (listener == listeners_.end() && uplink == uplinks_.end()) return;
  Port::of(keep).set_handler(nullptr);
  if (listener != listeners_.end()) {
    const auto object = std::move(listener->second);
    listeners_.erase(listener);
  } else {
    const auto object = std::move(uplink->second);
    uplinks_.erase(uplink);
  }
  Port::of(keep).end(std::move(reason));
}

}  // namespace drover::network

// TLS for sessions: mutual, our own authority only, TLS 1.2 or newer. Network thread only.
#pragma once

#include <kj/async-io.h>
#include <kj/compat/tls.h>

#include "actors/network/authority.hpp"
#include "actors/network/peer_name.hpp"
#include "messages/result.hpp"

namespace drover::network {

// Trusts credentials.ca_pem and nothing else; requires and verifies the peer's certificate in both directions.
Result<kj::Own<kj::TlsContext>> make_tls(const Credentials& credentials);

// The name in the certificate of a TLS peer. Error: invalid_argument.
Result<PeerName> tls_peer_name(kj::PeerIdentity& identity);

// The network address under an identity, without the port: "10.0.0.7", "[fe80::1]", "local" for Unix sockets.
std::string peer_address(kj::PeerIdentity& identity);

// Runs `action` and turns what KJ throws into an Error.
template <class F>
auto contain(const char* where, Errc code, F&& action) -> Result<decltype(action())> {
  using Value = decltype(action());
  Result<Value> result = fail(code, where, "");
  KJ_IF_MAYBE (exception, kj::runCatchingExceptions([&] { result = action(); })) {
    result =
        fail(code, where, printable({exception->getDescription().begin(), exception->getDescription().size()}, 300));
  }
  return result;
}

// Dead peers are noticed by the kernel, small messages leave at once, and little unsent data waits in the kernel.
void tune_socket(kj::AsyncIoStream& stream, uint32_t user_timeout_ms, uint32_t unsent_bytes);

}  // namespace drover::network

#include "actors/network/tls.hpp"

#include <kj/debug.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

namespace drover::network {

Result<kj::Own<kj::TlsContext>> make_tls(const Credentials& credentials) {
  return contain("TLS credentials", Errc::invalid_argument, [&] {
    const auto text = [](const std::string& pem) { return kj::StringPtr(pem.c_str(), pem.size()); };
    const kj::TlsCertificate authority(text(credentials.ca_pem));
    const kj::TlsKeypair own{kj::TlsPrivateKey(text(credentials.private_key_pem)),
                             kj::TlsCertificate(text(credentials.certificate_pem))};
    kj::TlsContext::Options options;
    options.useSystemTrustStore = false;
    options.verifyClients = true;
    options.minVersion = kj::TlsVersion::TLS_1_2;
    options.trustedCertificates = kj::arrayPtr(&authority, 1);
    options.defaultKeypair = own;
    return kj::heap<kj::TlsContext>(kj::mv(options));
  });
}

Result<PeerName> tls_peer_name(kj::PeerIdentity& identity) {
  DROVER_ASSIGN(const std::string name, contain("certificate", Errc::invalid_argument, [&] {
                  auto& tls = kj::downcast<kj::TlsPeerIdentity>(identity);
                  KJ_REQUIRE(tls.hasCertificate(), "no certificate");
                  const kj::String text = tls.getCommonName();
                  return std::string(text.begin(), text.size());
                }));
  return parse_common_name(name);
}

std::string peer_address(kj::PeerIdentity& identity) {
  kj::PeerIdentity* network = &identity;
  if (auto* tls = dynamic_cast<kj::TlsPeerIdentity*>(network)) network = &tls->getNetworkIdentity();
  if (dynamic_cast<kj::NetworkPeerIdentity*>(network) == nullptr) return "local";
  std::string text = network->toString().cStr();
  const auto colon = text.rfind(':');
  return colon == std::string::npos ? text : text.substr(0, colon);
}

void tune_socket(kj::AsyncIoStream& stream, uint32_t user_timeout_ms, uint32_t unsent_bytes) {
  const int on = 1;
  const unsigned timeout_ms = user_timeout_ms;
  const unsigned unsent = unsent_bytes;
  // Not sockets (pipes, Unix sockets) refuse these options; they work without them.
  static_cast<void>(kj::runCatchingExceptions([&] {
    stream.setsockopt(IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    stream.setsockopt(IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    if (timeout_ms != 0) stream.setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
  }));
}

}  // namespace drover::network

// Hostile peers of a coordinator: garbage before and inside TLS, slow and many connections, and certificates that must
// not open a session.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "actors/network/authority.hpp"
#include "messages/result.hpp"

namespace drover::real {

// Certificates for the peers, made from the fleet's own authority and from a stranger's.
class HostilePeers {
 public:
  // `pki`: the fleet's folder with its authority. `now_unix_s`: the machine's time.
  static Result<HostilePeers> create(const std::string& pki, int64_t now_unix_s);

  // One attack, chosen by `draw`; lasts a few seconds at most. Returns what it was.
  std::string garbage(uint16_t port, uint64_t draw) const;
  // One certificate that is expired, not yet valid, of a stranger's authority, or absent. Returns what it was.
  // Error: refused, when the coordinator went on with it.
  Result<std::string> bad_certificate(uint16_t port, uint64_t draw) const;

 private:
  struct Bad {
    std::string what;
    network::Credentials credentials;
  };
  network::Credentials good_;  // a robot that is none
  std::vector<Bad> bad_;
};

}  // namespace drover::real

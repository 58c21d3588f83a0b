#include "nodes/commands/credentials.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace drover::nodes {

Result<std::string> read_secret(const std::string& file) {
  struct stat facts {};
  if (stat(file.c_str(), &facts) != 0)
    return fail(errno == ENOENT ? Errc::not_found : Errc::io, file, std::strerror(errno));
  // Read by the group is allowed: service managers hand secrets to a daemon's group.
  if ((facts.st_mode & 0037) != 0) {
    return fail(Errc::refused, file, "others may read or write this private key; run: chmod 600 " + file);
  }
  return read_config_text(file);
}

Result<network::Credentials> load_tls(const TlsConfig& config, network::Role role, const std::string& node_id,
                                      int64_t now_unix_s) {
  network::Credentials credentials;
  DROVER_ASSIGN(credentials.ca_pem, read_config_text(config.ca_file));
  DROVER_ASSIGN(credentials.certificate_pem, read_config_text(config.cert_file));
  DROVER_ASSIGN(credentials.private_key_pem, read_secret(config.key_file));
  if (const Status good = network::verify_credentials(credentials, now_unix_s); !good) {
    return fail(good.error().code, config.cert_file, good.error().message());
  }
  DROVER_ASSIGN(const network::CertificateFacts facts, network::describe_certificate(credentials.certificate_pem));
  const std::string wanted = network::PeerName{role, node_id}.text();
  if (facts.common_name != wanted) {
    return fail(Errc::refused, config.cert_file,
                "this certificate is for " + network::printable(facts.common_name) + ", this node is " + wanted +
                    "; set node.id or enroll this node");
  }
  return credentials;
}

}  // namespace drover::nodes

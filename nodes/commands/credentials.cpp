#include "nodes/commands/credentials.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <memory>

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

Result<Ed25519KeyPair> read_signing_key(const std::string& file) {
  DROVER_ASSIGN(const std::string pem, read_secret(file));
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())),
                                                      BIO_free);
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
  Ed25519KeyPair pair;
  size_t private_bytes = pair.private_key.size(), public_bytes = pair.public_key.size();
  const bool good = key && EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_ED25519 &&
                    EVP_PKEY_get_raw_private_key(key.get(), reinterpret_cast<unsigned char*>(pair.private_key.data()),
                                                 &private_bytes) == 1 &&
                    EVP_PKEY_get_raw_public_key(key.get(), reinterpret_cast<unsigned char*>(pair.public_key.data()),
                                                &public_bytes) == 1;
  if (!good) return fail(Errc::invalid_argument, file, "is not an Ed25519 private key in PEM form (knowledge.key)");
  return pair;
}

}  // namespace drover::nodes

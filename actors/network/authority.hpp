// The fleet's certificate authority: makes the CA, node certificates and the key that signs knowledge. Pure but for the
// files it writes; `drover enroll` is its user. OpenSSL's API, no shelling out.
//
// Keys are P-256 (TLS) and Ed25519 (knowledge). A node certificate says role/node-id in its common name and the node
// id plus extra names as subject alternative names; robots, trainers and operators may only be TLS clients,
// coordinators and gateways servers too.
// Files: everything is written to a temporary file, synced and renamed; private keys have mode 0600; nothing that
// exists is overwritten (already_exists).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "actors/network/peer_name.hpp"
#include "messages/bytes.hpp"
#include "messages/result.hpp"

namespace drover::network {

// What one end of a TLS session needs; all PEM.
struct Credentials {
  std::string certificate_pem{};  // own certificate (chain)
  std::string private_key_pem{};
  std::string ca_pem{};  // who is believed
};

struct AuthorityPem {
  std::string certificate_pem{};
  std::string private_key_pem{};
};

struct CertificateRequest {
  PeerName name{};                         // role and node id; together at most 64 characters (X.509)
  std::vector<std::string> extra_names{};  // DNS names or IP addresses beside the node id, for servers
  int64_t not_before_unix_s = 0;
  uint32_t days = 365;  // 1 .. 3,650
};

struct CertificateFacts {
  std::string common_name{};
  std::string issuer{};
  std::string serial_hex{};
  std::string sha256_hex;  // fingerprint of the whole certificate
  std::vector<std::string> names{};
  int64_t not_before_unix_s = 0;
  int64_t not_after_unix_s = 0;
  bool is_authority = false;
};

// ---- in memory
Result<AuthorityPem> create_authority(const std::string& fleet_name, int64_t not_before_unix_s, uint32_t days);
Result<Credentials> issue_certificate(const AuthorityPem& authority, const CertificateRequest& request);
Result<CertificateFacts> describe_certificate(const std::string& certificate_pem);
// The chain is signed by the CA, in date at `now_unix_s`, fits its use, and its key matches. Errors say which fails.
Status verify_credentials(const Credentials& credentials, int64_t now_unix_s);

// ---- Ed25519 for knowledge
struct SigningKeyPem {
  std::string private_key_pem{};
  std::string public_key_pem{};
};
Result<SigningKeyPem> create_signing_key();
Result<Bytes> sign(const std::string& private_key_pem, ByteView message);  // 64 bytes
// refused: the signature is not of this message by this key.
Status verify_signature(const std::string& public_key_pem, ByteView message, ByteView signature);
// The 32 raw bytes of the public key.
Result<Bytes> raw_public_key(const std::string& public_key_pem);

// ---- files
// folder/ca.pem, ca.key, knowledge.key, knowledge.pub
Status write_authority(const std::filesystem::path& folder, const AuthorityPem& authority,
                       const SigningKeyPem& signing);
Result<AuthorityPem> load_authority(const std::filesystem::path& folder);
// folder/node.pem, node.key, ca.pem
Status write_credentials(const std::filesystem::path& folder, const Credentials& credentials);
Result<Credentials> load_credentials(const std::filesystem::path& folder);
// Temporary file, fsync, rename, fsync of the folder. `secret`: mode 0600, else 0644. already_exists if it is there.
Status write_new_file(const std::filesystem::path& path, std::string_view content, bool secret);

}  // namespace drover::network

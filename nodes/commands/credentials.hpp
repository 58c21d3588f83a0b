// The certificates that a configuration names, read and checked.
#pragma once

#include "actors/network/authority.hpp"
#include "messages/knowledge.hpp"
#include "messages/result.hpp"
#include "nodes/config/common_config.hpp"

namespace drover::nodes {

// Reads the three files and checks that they fit: chain, dates, key, role and node id.
// Errors name the file and say what to do: not_found, refused (key readable by others, wrong role or id, expired), io.
Result<network::Credentials> load_tls(const TlsConfig& config, network::Role role, const std::string& node_id,
                                      int64_t now_unix_s);

// A private key in PEM form whose file nobody else may read. Errors: not_found, refused, io.
Result<std::string> read_secret(const std::string& file);

// An Ed25519 private key as `drover enroll` makes it (knowledge.key). Errors: also invalid_argument.
Result<Ed25519KeyPair> read_signing_key(const std::string& file);

}  // namespace drover::nodes

// Where operator commands read from: a coordinator's store, a robot's store, or a coordinator over the network. All
// three answer the same questions (actors/fleet/query.hpp), so a command is written once.
//
// A store is opened read-only, beside the daemon that writes it. A robot's store is a journal: it is replayed into a
// scratch store in memory, which then answers as a coordinator's would.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "actors/sync/central_store.hpp"
#include "messages/result.hpp"
#include "storage/journal.hpp"

namespace drover::nodes {

using Json = nlohmann::ordered_json;

struct AccessOptions {
  std::string store;    // folder
  std::string config;   // coordinator.toml that names it
  std::string connect;  // host:port
  std::string server_name;
  std::string ca;
  std::string cert;
  std::string key;
  std::string pki;  // folder with ca.pem, node.pem, node.key
  uint32_t timeout_ms = 15'000;
  bool json = false;
};

// Which ways a command offers.
struct AccessChoice {
  bool remote = true;
};
void add_access_options(CLI::App& app, AccessOptions& options, const AccessChoice& choice);

enum class StoreKind : uint8_t { none, coordinator, robot };
StoreKind store_kind(const std::string& folder);

// Opens a coordinator's store. Errors say what else the folder is; a store that another process writes names its pid
// and what to do.
Result<std::unique_ptr<sync::CentralStore>> open_central(const std::string& folder, storage::Access access);

// The folder that --store or --config names. Errors: invalid_argument.
Result<std::string> store_folder(const AccessOptions& options);

class Source {
 public:
  virtual ~Source() = default;
  // One request, one reply. Errors: those of answer_query, and of the network.
  virtual Result<std::string> ask(const Json& request) = 0;
  // The store behind it; null when it is remote.
  virtual const sync::CentralStore* store() const { return nullptr; }
  // The environment that holds chunks; null when it is remote.
  virtual const storage::Env* chunks_env() const { return nullptr; }
};

Result<std::unique_ptr<Source>> open_source(const AccessOptions& options);
// In remote_source.cpp.
Result<std::unique_ptr<Source>> open_remote(const AccessOptions& options);

// Asks and prints: the reply itself with --json, else what `show` makes of it. Returns the exit code.
int ask_and_show(const char* name, const AccessOptions& options, const Json& request,
                 const std::function<void(const Json& reply)>& show);

// "The answer was cut" on stderr when it was.
void warn_if_truncated(const Json& reply);

void print_text(std::string_view text);

}  // namespace drover::nodes

// drover enroll: the fleet's certificate authority and its nodes' certificates.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "actors/network/authority.hpp"
#include "actors/runtime/clock.hpp"
#include "nodes/commands/command.hpp"
#include "nodes/config/value.hpp"
#include "nodes/log.hpp"

namespace drover::nodes {
namespace {

namespace fs = std::filesystem;
constexpr const char* name = "drover enroll";

struct Options {
  std::string dir = "pki";
  std::string fleet = "drover";
  std::string role;
  std::string id;
  std::vector<std::string> hosts;
  uint32_t days = 0;
};

int64_t now_unix_s() {
  return runtime::SystemClock().unix_ns() / 1'000'000'000;
}
// Clocks of robots are not exact: certificates are good from an hour before they are made.
int64_t valid_from_unix_s() {
  return now_unix_s() - 3600;
}

std::string date(int64_t unix_s) {
  return format_utc_us(unix_s * 1'000'000'000).substr(0, 10);
}

int init(const Options& options) {
  const auto authority = network::create_authority(options.fleet, valid_from_unix_s(), options.days);
  if (!authority) return report_failure(name, authority.error());
  const auto signing = network::create_signing_key();
  if (!signing) return report_failure(name, signing.error());
  if (const Status written = network::write_authority(options.dir, *authority, *signing); !written) {
    return report_failure(name, written.error());
  }
  const char* dir = options.dir.c_str();
  std::printf("Made the certificate authority of fleet \"%s\" in %s:\n", options.fleet.c_str(), dir);
  std::printf("  ca.pem         goes to every node\n");
  std::printf("  ca.key         signs certificates; keep it here, keep it secret, keep a copy offline (mode 0600)\n");
  std::printf("  knowledge.key  signs what robots learn from the centre; goes to the coordinator only (mode 0600)\n");
  std::printf("  knowledge.pub  checks those signatures; goes to every robot\n\n");
  std::printf("Next: drover enroll node --dir %s --role coordinator --id coordinator --host NAME-OR-ADDRESS\n", dir);
  std::printf("      drover enroll node --dir %s --role robot --id robot-07\n", dir);
  return exit_ok;
}

Status copy_new(const fs::path& from, const fs::path& to, bool secret) {
  DROVER_ASSIGN(const std::string text, read_config_text(from.string()));
  return network::write_new_file(to, text, secret);
}

// knowledge.pub to those who check, knowledge.key to the one who signs.
Status hand_out_knowledge_keys(const fs::path& dir, const fs::path& folder, network::Role role) {
  if (role == network::Role::coordinator) DROVER_TRY(copy_new(dir / "knowledge.key", folder / "knowledge.key", true));
  return copy_new(dir / "knowledge.pub", folder / "knowledge.pub", false);
}

void print_node(const Options& options, network::Role role, const fs::path& folder, const std::string& not_after) {
  const bool server = role == network::Role::coordinator || role == network::Role::gateway;
  std::printf("Made the certificate of %s/%s, good until %s, in %s:\n", options.role.c_str(), options.id.c_str(),
              not_after.c_str(), folder.c_str());
  std::printf("  ca.pem  node.pem  node.key (mode 0600)  knowledge.pub%s\n\n",
              role == network::Role::coordinator ? "  knowledge.key (mode 0600)" : "");
  std::printf("Copy them to the machine, for its daemon's user only:\n");
  std::printf("  ssh MACHINE install -d -m 0750 /etc/drover/pki\n");
  std::printf("  scp -p %s/* MACHINE:/etc/drover/pki/\n", folder.c_str());
  std::printf("and in its configuration (these are the defaults of a file in /etc/drover):\n");
  std::printf("  [node]\n  id = \"%s\"\n", options.id.c_str());
  std::printf("  [tls]\n  ca_file = \"pki/ca.pem\"\n  cert_file = \"pki/node.pem\"\n  key_file = \"pki/node.key\"\n");
  if (role == network::Role::coordinator) std::printf("  [knowledge]\n  signing_key_file = \"pki/knowledge.key\"\n");
  if (server && options.hosts.empty()) {
    std::printf(
        "\nNodes that dial it must use the server name \"%s\" (coordinator.server_name); give --host to add the "
        "names and addresses under which it is reached.\n",
        options.id.c_str());
  }
}

int node(const Options& options) {
  const network::Role role = network::role_from_name(options.role);
  const fs::path dir = options.dir;
  const auto authority = network::load_authority(dir);
  if (!authority) {
    std::fprintf(stderr, "%s: %s\nMake the authority first: drover enroll init --dir %s\n", name,
                 authority.error().message().c_str(), options.dir.c_str());
    return exit_failed;
  }
  network::CertificateRequest request;
  request.name = {role, options.id};
  request.extra_names = options.hosts;
  request.not_before_unix_s = valid_from_unix_s();
  request.days = options.days;
  const auto credentials = network::issue_certificate(*authority, request);
  if (!credentials) return report_failure(name, credentials.error());
  const fs::path folder = dir / "nodes" / (options.role + "-" + options.id);
  Status written = network::write_credentials(folder, *credentials);
  if (written) written = hand_out_knowledge_keys(dir, folder, role);
  if (!written) {
    if (written.error().code == Errc::already_exists) {
      std::fprintf(stderr, "To make a new certificate for this node, move %s away first.\n", folder.c_str());
    }
    return report_failure(name, written.error());
  }
  const auto facts = network::describe_certificate(credentials->certificate_pem);
  if (!facts) return report_failure(name, facts.error());
  print_node(options, role, folder, date(facts->not_after_unix_s));
  return exit_ok;
}

// One certificate, one line. Returns false when it is unreadable or out of date.
bool show_certificate(const fs::path& file, const std::string& label) {
  const auto pem = read_config_text(file.string());
  const auto facts = pem ? network::describe_certificate(*pem) : tl::unexpected(pem.error());
  if (!facts) {
    std::printf("%-32s %s\n", label.c_str(), facts.error().message().c_str());
    return false;
  }
  const int64_t days_left = (facts->not_after_unix_s - now_unix_s()) / 86'400;
  const bool good = now_unix_s() >= facts->not_before_unix_s && now_unix_s() < facts->not_after_unix_s;
  std::string names;
  for (const std::string& host : facts->names) names.append(names.empty() ? "" : ",").append(host);
  std::printf("%-32s %s .. %s (%lld days left%s)  serial %s  sha256 %.16s  %s\n",
              network::printable(facts->common_name).c_str(), date(facts->not_before_unix_s).c_str(),
              date(facts->not_after_unix_s).c_str(), static_cast<long long>(days_left), good ? "" : ", NOT VALID NOW",
              facts->serial_hex.c_str(), facts->sha256_hex.c_str(), names.c_str());
  return good;
}

int show(const Options& options) {
  const fs::path dir = options.dir;
  bool good = show_certificate(dir / "ca.pem", "authority");
  std::vector<fs::path> folders;
  std::error_code error;
  for (fs::directory_iterator at(dir / "nodes", error), end; !error && at != end; at.increment(error)) {
    folders.push_back(at->path());
  }
  std::sort(folders.begin(), folders.end());
  for (const fs::path& folder : folders) {
    good = show_certificate(folder / "node.pem", folder.filename().string()) && good;
  }
  return good ? exit_ok : exit_failed;
}

}  // namespace

int enroll_command(const Arguments& arguments) {
  CLI::App app("Make the fleet's certificate authority and the certificates of its nodes.", name);
  app.footer(
      "Examples:\n"
      "  drover enroll init --dir pki\n"
      "  drover enroll node --dir pki --role coordinator --id coordinator --host fleet.example.org --host 10.0.0.5\n"
      "  drover enroll node --dir pki --role robot --id robot-07\n"
      "  drover enroll show --dir pki\n"
      "\nNothing that exists is overwritten. Every private key is written with mode 0600.\n");
  app.require_subcommand(1);
  Options options;
  CLI::App* init_app = app.add_subcommand("init", "make the authority: once per fleet");
  CLI::App* node_app = app.add_subcommand("node", "make the certificate of one node");
  CLI::App* show_app = app.add_subcommand("show", "list certificates; exit code 1 if one is not valid now");
  for (CLI::App* command : {init_app, node_app, show_app}) {
    command->add_option("--dir", options.dir, "folder of the authority")->capture_default_str();
  }
  init_app->add_option("--fleet", options.fleet, "name of the fleet, shown in certificates")->capture_default_str();
  init_app->add_option("--days", options.days, "days the authority is good for (default 3650)");
  node_app->add_option("--role", options.role, "what the node is")
      ->required()
      ->check(CLI::IsMember({"robot", "coordinator", "trainer", "operator", "gateway"}));
  node_app->add_option("--id", options.id, "node id: 1 to 64 of a-z 0-9 . _ -")->required();
  node_app->add_option("--host", options.hosts, "name or address under which a server is reached; may be repeated")
      ->allow_extra_args(false);
  node_app->add_option("--days", options.days, "days the certificate is good for (default 365)");
  if (const auto code = parse_arguments(app, arguments)) return *code;
  if (options.days == 0) options.days = init_app->parsed() ? 3650 : 365;
  if (init_app->parsed()) return init(options);
  return node_app->parsed() ? node(options) : show(options);
}

}  // namespace drover::nodes

// drover knowledge: publish signed documents to the fleet and look at what is published.
#include "messages/knowledge.hpp"

#include <cstdio>
#include <fstream>
#include <sstream>

#include "actors/fleet/publish.hpp"
#include "actors/runtime/clock.hpp"
#include "nodes/commands/command.hpp"
#include "nodes/commands/credentials.hpp"
#include "nodes/commands/store_access.hpp"
#include "nodes/commands/table.hpp"

namespace drover::nodes {
namespace {

constexpr const char* name = "drover knowledge";
constexpr size_t document_bytes_max = 8u << 20;

struct PublishOptions {
  std::string key, author = "operator";
  std::vector<std::string> documents, remove;
  bool only = false;
};

Result<Bytes> read_document(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  if (!in) return fail(Errc::not_found, file, "cannot be read, or is empty");
  if (out.view().size() > document_bytes_max) return fail(Errc::too_large, file, "is larger than 8 MiB");
  return Bytes::copy_of(out.view());
}

Result<fleet::PublishRequest> request_of(const PublishOptions& options) {
  fleet::PublishRequest request;
  request.remove = options.remove;
  request.only = options.only;
  request.author = options.author;
  for (const std::string& document : options.documents) {
    const size_t equals = document.find('=');
    if (equals == 0 || equals == std::string::npos)
      return fail(Errc::invalid_argument, document, "is not of the form NAME=FILE");
    DROVER_ASSIGN(request.documents[document.substr(0, equals)], read_document(document.substr(equals + 1)));
  }
  return request;
}

void show_published(const Json& reply) {
  std::printf("published version %s with %s documents\n", reply["version"].dump().c_str(),
              reply["documents"].dump().c_str());
}

Result<std::string> publish_in(const std::string& folder, const PublishOptions& options,
                               const fleet::PublishRequest& request) {
  if (options.key.empty()) return fail(Errc::invalid_argument, "--signing-key", "is needed with --store");
  DROVER_ASSIGN(const auto key, read_signing_key(options.key));
  DROVER_ASSIGN(const auto store, open_central(folder, storage::Access::read_write));
  DROVER_ASSIGN(const auto published, fleet::publish(*store, request, key, runtime::SystemClock().unix_ns()));
  return fleet::publish_reply(published);
}

int publish(const AccessOptions& access, const PublishOptions& options) {
  const auto request = request_of(options);
  if (!request) return report_failure(name, request.error());
  if (!access.connect.empty()) {
    const Json json = Json::parse(fleet::publish_json(*request));
    return ask_and_show(name, access, json, show_published);
  }
  const auto folder = store_folder(access);
  if (!folder) return report_failure(name, folder.error(), exit_usage);
  const auto reply = publish_in(*folder, options, *request);
  if (!reply) return report_failure(name, reply.error());
  if (access.json)
    print_text(*reply + "\n");
  else
    show_published(Json::parse(*reply));
  return exit_ok;
}

void show_document(const Json& reply) {
  if (reply.contains("text")) return print_text(reply["text"].get<std::string>());
  print_text(reply.value("hex", "") + "\n");
}

void show_all(const Json& reply) {
  if (reply["version"] == 0) return print_text("no knowledge has been published yet\n");
  std::printf("version %s, made %s UTC by %s, key %s\n\n", reply["version"].dump().c_str(),
              human_time(reply["created_unix_ns"]).c_str(), plain_text(reply["author"].get<std::string>()).c_str(),
              reply["key_id"].get<std::string>().c_str());
  Table table({"DOCUMENT", ">SIZE", "SHA-256"});
  for (const Json& d : reply["documents"]) table.row({d["name"], human_bytes(d["size_bytes"]), d["sha256"]});
  print_text(table.text());
}

}  // namespace

int knowledge_command(const Arguments& arguments) {
  CLI::App app("Publish signed documents to the fleet, and look at them.", name);
  app.footer(
      "Examples:\n"
      "  drover knowledge publish --connect centre:7447 --pki pki/nodes/operator-ops vocabulary=vocabulary.json\n"
      "  drover knowledge publish --store central --signing-key pki/knowledge.key vocabulary=vocabulary.json\n"
      "  drover knowledge show --connect centre:7447 --pki pki/nodes/operator-ops\n"
      "  drover knowledge show vocabulary --store central > vocabulary.json\n"
      "\nWith --connect a running coordinator signs with its knowledge.signing_key_file; with --store it must be "
      "stopped, and\n"
      "--signing-key signs. Documents that are not named stay as they are. Robots get the new version within a "
      "ping.\n");
  app.require_subcommand(1);
  AccessOptions access;
  PublishOptions options;
  std::string document;
  CLI::App* publish_app = app.add_subcommand("publish", "sign and publish a new version");
  CLI::App* show_app = app.add_subcommand("show", "the version in force, or one document of it");
  add_access_options(*publish_app, access, {});
  add_access_options(*show_app, access, {});
  publish_app->add_option("--signing-key", options.key, "with --store: Ed25519 private key, PEM, mode 0600");
  publish_app->add_option("--author", options.author, "with --store: who publishes")->capture_default_str();
  publish_app->add_option("--remove", options.remove, "drop this document; may be repeated")->allow_extra_args(false);
  publish_app->add_flag("--only", options.only, "drop every document that is not named here");
  publish_app->add_option("NAME=FILE", options.documents, "documents to set");
  show_app->add_option("NAME", document, "write this document to standard output");
  if (const auto code = parse_arguments(app, arguments)) return *code;
  if (publish_app->parsed()) {
    if (options.documents.empty() && options.remove.empty())
      return report_failure(name, {Errc::invalid_argument, "NAME=FILE", "name at least one document"}, exit_usage);
    return publish(access, options);
  }
  if (document.empty()) return ask_and_show(name, access, {{"call", "knowledge.show"}}, show_all);
  return ask_and_show(name, access, {{"call", "knowledge.show"}, {"name", document}}, show_document);
}

}  // namespace drover::nodes

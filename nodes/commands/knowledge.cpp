// drover knowledge: publish signed documents to the fleet and look at what is published.
#include "messages/knowledge.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>

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

Result<Ed25519KeyPair> read_key(const std::string& file) {
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

Result<Bytes> read_document(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  if (!in) return fail(Errc::not_found, file, "cannot be read, or is empty");
  if (out.view().size() > document_bytes_max) return fail(Errc::too_large, file, "is larger than 8 MiB");
  return Bytes::copy_of(out.view());
}

// What is held, with the documents given laid over it.
Result<Knowledge> next_knowledge(const sync::CentralStore& store, const PublishOptions& options) {
  Knowledge next;
  DROVER_ASSIGN(const auto held, store.knowledge());
  if (held.version > 0 && !options.only) {
    DROVER_ASSIGN(const auto signed_knowledge, decode_signed_knowledge(held.bytes));
    DROVER_ASSIGN(next, decode_knowledge(signed_knowledge.body));
  }
  next.version = held.version + 1;
  next.author = options.author;
  next.created_unix_ns = runtime::SystemClock().unix_ns();
  for (const std::string& document : options.documents) {
    const size_t equals = document.find('=');
    if (equals == 0 || equals == std::string::npos)
      return fail(Errc::invalid_argument, document, "is not of the form NAME=FILE");
    DROVER_ASSIGN(next.documents[document.substr(0, equals)], read_document(document.substr(equals + 1)));
  }
  for (const std::string& gone : options.remove)
    if (next.documents.erase(gone) == 0) return fail(Errc::not_found, gone, "there is no such document to remove");
  return next;
}

Result<Knowledge> publish_in(const std::string& folder, const PublishOptions& options) {
  DROVER_ASSIGN(const auto key, read_key(options.key));
  DROVER_ASSIGN(const auto store, open_central(folder, storage::Access::read_write));
  DROVER_ASSIGN(const auto next, next_knowledge(*store, options));
  DROVER_ASSIGN(const auto signed_knowledge, sign_knowledge(next, key));
  const Bytes bytes = encode(signed_knowledge);
  // What robots will do with it, done once here.
  DROVER_ASSIGN(const auto back, decode_signed_knowledge(bytes));
  if (!verify_knowledge(back, key.public_key)) return fail(Errc::internal, "signature", "does not verify");
  DROVER_ASSIGN(const uint64_t version, store->publish(next.version, bytes.view()));
  (void)version;
  return next;
}

int publish(const AccessOptions& access, const PublishOptions& options) {
  const auto folder = store_folder(access);
  if (!folder) return report_failure(name, folder.error(), exit_usage);
  const auto published = publish_in(*folder, options);
  if (!published) return report_failure(name, published.error());
  if (access.json) {
    print_text(Json{{"version", published->version}, {"documents", published->documents.size()}}.dump() + "\n");
  } else {
    std::printf("published version %llu with %zu documents; robots get it when the coordinator runs\n",
                static_cast<unsigned long long>(published->version), published->documents.size());
  }
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
      "  drover knowledge publish --store central --key pki/knowledge.key vocabulary=vocabulary.json\n"
      "  drover knowledge show --connect centre:7447 --pki pki/nodes/operator-ops\n"
      "  drover knowledge show vocabulary --store central > vocabulary.json\n"
      "\nPublishing needs the coordinator stopped. Documents that are not named stay as they are.\n");
  app.require_subcommand(1);
  AccessOptions access;
  PublishOptions options;
  std::string document;
  CLI::App* publish_app = app.add_subcommand("publish", "sign and publish a new version");
  CLI::App* show_app = app.add_subcommand("show", "the version in force, or one document of it");
  add_access_options(*publish_app, access, {.remote = false});
  add_access_options(*show_app, access, {});
  publish_app->add_option("--key", options.key, "Ed25519 private key, PEM, mode 0600")->required();
  publish_app->add_option("--author", options.author, "who publishes")->capture_default_str();
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

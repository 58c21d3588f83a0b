#include "actors/fleet/publish.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace drover::fleet {
namespace {

using nlohmann::json;

constexpr size_t documents_bytes_max = 8u << 20;
constexpr size_t document_name_max = 128;

tl::unexpected<Error> bad(std::string field, std::string what) {
  return fail(Errc::invalid_argument, std::move(field), std::move(what));
}

Result<Bytes> bytes_of_hex(const std::string& field, const std::string& hex) {
  auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  if (hex.size() % 2 != 0) return bad(field, "has an odd number of hexadecimal digits");
  std::string raw;
  for (size_t i = 0; i < hex.size(); i += 2) {
    const int value = digit(hex[i]) < 0 || digit(hex[i + 1]) < 0 ? -1 : digit(hex[i]) * 16 + digit(hex[i + 1]);
    if (value < 0) return bad(field, "is not lower-case hexadecimal");
    raw.push_back(static_cast<char>(value));
  }
  return Bytes::copy_of(raw);
}

Result<Bytes> document_of(const std::string& name, const json& value) {
  std::string field("documents.");
  field.append(name);
  if (name.empty() || name.size() > document_name_max) return bad(field, "a name has 1 to 128 bytes");
  if (!value.is_object() || value.size() != 1) return bad(field, "needs exactly one of \"text\" and \"hex\"");
  const std::string& kind = value.begin().key();
  const json& content = value.begin().value();
  if ((kind != "text" && kind != "hex") || !content.is_string())
    return bad(field, "needs exactly one of \"text\" and \"hex\"");
  if (kind == "hex") return bytes_of_hex(field, content.get<std::string>());
  return Bytes::copy_of(content.get<std::string>());
}

Status read_documents(const json& value, PublishRequest& request) {
  if (!value.is_object()) return bad("documents", "must be an object");
  for (const auto& [name, document] : value.items()) {
    auto read = document_of(name, document);
    if (!read) return tl::unexpected(read.error());
    request.documents[name] = std::move(*read);
  }
  return {};
}

Status read_field(const std::string& name, const json& value, PublishRequest& request) {
  if (name == "call") return {};
  if (name == "documents") return read_documents(value, request);
  if (name == "only") {
    if (!value.is_boolean()) return bad(name, "must be true or false");
    request.only = value.get<bool>();
    return {};
  }
  if (name != "remove") return bad(name, "is not a field of knowledge.publish (documents, remove, only)");
  if (!value.is_array()) return bad(name, "must be a list of names");
  for (const json& item : value) {
    if (!item.is_string()) return bad(name, "must be a list of names");
    request.remove.push_back(item.get<std::string>());
  }
  return {};
}

// The strict dump throws at the first byte that is not UTF-8.
bool is_utf8(const Bytes& bytes) {
  try {
    return !json(std::string(bytes.text())).dump().empty();
  } catch (const json::type_error&) {
    return false;
  }
}

}  // namespace

bool is_publish(std::string_view request) {
  const json parsed = json::parse(request, nullptr, false);
  return parsed.is_object() && parsed.contains("call") && parsed["call"] == "knowledge.publish";
}

Result<PublishRequest> parse_publish(std::string_view text, std::string author) {
  const json parsed = json::parse(text, nullptr, false);
  if (!parsed.is_object()) return bad("request", "is not a JSON object");
  PublishRequest request;
  request.author = std::move(author);
  for (const auto& [name, value] : parsed.items()) DROVER_TRY(read_field(name, value, request));
  if (request.documents.empty() && request.remove.empty()) return bad("documents", "name at least one document");
  return request;
}

std::string publish_json(const PublishRequest& request) {
  json out{{"call", "knowledge.publish"}, {"remove", request.remove}, {"only", request.only}};
  out["documents"] = json::object();
  for (const auto& [name, body] : request.documents) {
    if (is_utf8(body))
      out["documents"][name]["text"] = std::string(body.text());
    else
      out["documents"][name]["hex"] = to_hex(body.view());
  }
  return out.dump();
}

Result<Knowledge> publish(sync::CentralStore& store, const PublishRequest& request, const Ed25519KeyPair& key,
                          int64_t now_unix_ns) {
  Knowledge next;
  DROVER_ASSIGN(const auto held, store.knowledge());
  if (held.version > 0 && !request.only) {
    DROVER_ASSIGN(const auto signed_knowledge, decode_signed_knowledge(held.bytes));
    DROVER_ASSIGN(next, decode_knowledge(signed_knowledge.body));
  }
  next.version = held.version + 1;
  next.author = request.author;
  next.created_unix_ns = now_unix_ns;
  for (const auto& [name, body] : request.documents) next.documents[name] = body;
  for (const std::string& gone : request.remove)
    if (next.documents.erase(gone) == 0) return fail(Errc::not_found, gone, "there is no such document to remove");
  size_t total_bytes = 0;
  for (const auto& [name, body] : next.documents) total_bytes += name.size() + body.size();
  if (total_bytes > documents_bytes_max)
    return fail(Errc::too_large, "documents", "all documents together are larger than 8 MiB");
  DROVER_ASSIGN(const auto signed_next, sign_knowledge(next, key));
  DROVER_ASSIGN(const uint64_t version, store.publish(next.version, encode(signed_next)));
  if (version != next.version) return fail(Errc::conflict, "knowledge", "another version was published meanwhile");
  return next;
}

std::string publish_reply(const Knowledge& knowledge) {
  return json{{"version", knowledge.version}, {"documents", knowledge.documents.size()}}.dump();
}

}  // namespace drover::fleet

// Reading of saved state: each getter names the field that is missing or has the wrong type. For .cpp files only.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "messages/result.hpp"

namespace drover::semantics {

inline tl::unexpected<Error> bad_state(std::string_view field, std::string_view what) {
  return fail(Errc::corrupt, std::string(field), std::string(what));
}

inline Result<const nlohmann::json*> get_node(const nlohmann::json& from, const char* field) {
  if (!from.is_object()) return bad_state(field, "the enclosing value is not an object");
  const auto at = from.find(field);
  if (at == from.end()) return bad_state(field, "missing");
  return &*at;
}

inline Result<std::string> get_text(const nlohmann::json& from, const char* field) {
  DROVER_ASSIGN(const nlohmann::json* node, get_node(from, field));
  if (!node->is_string()) return bad_state(field, "must be text");
  return node->get<std::string>();
}

inline Result<double> get_number(const nlohmann::json& from, const char* field) {
  DROVER_ASSIGN(const nlohmann::json* node, get_node(from, field));
  if (!node->is_number()) return bad_state(field, "must be a number");
  return node->get<double>();
}

inline Result<uint64_t> get_count(const nlohmann::json& from, const char* field) {
  DROVER_ASSIGN(const nlohmann::json* node, get_node(from, field));
  if (!node->is_number_unsigned()) return bad_state(field, "must be a whole number, 0 or more");
  return node->get<uint64_t>();
}

inline Result<bool> get_truth(const nlohmann::json& from, const char* field) {
  DROVER_ASSIGN(const nlohmann::json* node, get_node(from, field));
  if (!node->is_boolean()) return bad_state(field, "must be true or false");
  return node->get<bool>();
}

inline Result<const nlohmann::json*> get_list(const nlohmann::json& from, const char* field) {
  DROVER_ASSIGN(const nlohmann::json* node, get_node(from, field));
  if (!node->is_array()) return bad_state(field, "must be a list");
  return node;
}

inline Result<const nlohmann::json*> get_map(const nlohmann::json& from, const char* field) {
  DROVER_ASSIGN(const nlohmann::json* node, get_node(from, field));
  if (!node->is_object()) return bad_state(field, "must be an object");
  return node;
}

inline Result<std::vector<std::string>> get_texts(const nlohmann::json& from, const char* field) {
  DROVER_ASSIGN(const nlohmann::json* list, get_list(from, field));
  std::vector<std::string> out;
  for (const nlohmann::json& item : *list) {
    if (!item.is_string()) return bad_state(field, "must be a list of texts");
    out.push_back(item.get<std::string>());
  }
  return out;
}

inline Result<nlohmann::json> parse_state(std::string_view text, std::string_view format) {
  nlohmann::json root = nlohmann::json::parse(text, nullptr, false);
  if (!root.is_object()) return bad_state(format, "is not a JSON object");
  DROVER_ASSIGN(const std::string found, get_text(root, "format"));
  if (found != format)
    return fail(Errc::unsupported_version, std::string(format), "the document says it is \"" + found + "\"");
  return root;
}

}  // namespace drover::semantics

#include "nodes/config/value.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace drover::nodes {
namespace {

constexpr size_t file_max_bytes = 1u << 20;

Value convert(const toml::node& node, const std::string& file) {
  Value out;
  out.place = {file, node.source().begin.line};
  if (const auto* table = node.as_table()) {
    out.kind = Value::Kind::table;
    for (const auto& [key, member] : *table) out.members.emplace_back(std::string(key.str()), convert(member, file));
    // A table that its members imply ("a.b = 1") has no place of its own.
    if (out.place.line == 0 && !out.members.empty()) out.place = out.members.front().second.place;
  } else if (const auto* array = node.as_array()) {
    out.kind = Value::Kind::list;
    for (const auto& item : *array) out.items.push_back(convert(item, file));
  } else if (const auto* text = node.as_string()) {
    out.kind = Value::Kind::text;
    out.text = text->get();
  } else if (const auto* integer = node.as_integer()) {
    out.kind = Value::Kind::integer;
    out.integer = integer->get();
  } else if (const auto* real = node.as_floating_point()) {
    out.kind = Value::Kind::real;
    out.real = real->get();
  } else if (const auto* boolean = node.as_boolean()) {
    out.kind = Value::Kind::boolean;
    out.boolean = boolean->get();
  } else {
    out.kind = Value::Kind::time;
  }
  return out;
}

void merge(Value& into, Value&& from) {
  for (auto& [key, value] : from.members) {
    const auto at =
        std::find_if(into.members.begin(), into.members.end(), [&](const auto& m) { return m.first == key; });
    if (at == into.members.end()) {
      into.members.emplace_back(key, std::move(value));
    } else if (at->second.kind == Value::Kind::table && value.kind == Value::Kind::table) {
      merge(at->second, std::move(value));
    } else {
      at->second = std::move(value);
    }
  }
}

}  // namespace

const Value* Value::member(std::string_view key) const {
  for (const auto& [name, value] : members) {
    if (name == key) return &value;
  }
  return nullptr;
}

std::string_view Value::kind_name() const {
  switch (kind) {
    case Kind::boolean:
      return "true or false";
    case Kind::integer:
      return "a whole number";
    case Kind::real:
      return "a number";
    case Kind::text:
      return "text";
    case Kind::list:
      return "a list";
    case Kind::table:
      return "a table";
    case Kind::time:
      return "a date or time";
  }
  return "unknown";
}

Result<Value> parse_toml_value(std::string_view text, const std::string& file) {
  try {
    const toml::table table = toml::parse(text, file);
    return convert(table, file);
  } catch (const toml::parse_error& error) {
    const auto at = error.source().begin;
    return fail(Errc::invalid_argument, file + ":" + std::to_string(at.line) + ":" + std::to_string(at.column),
                std::string(error.description()));
  }
}

Status overlay(Value& document, std::string_view assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return fail(Errc::invalid_argument, "--set " + std::string(assignment), "write it as key=value");
  }
  const std::string key(assignment.substr(0, equals));
  const std::string_view value = assignment.substr(equals + 1);
  if (key.find_first_of("\r\n#[]") != std::string::npos) {
    return fail(Errc::invalid_argument, "--set " + key, "is not a key");
  }
  auto parsed = parse_toml_value(key + " = " + std::string(value) + "\n", "--set");
  if (!parsed) parsed = parse_toml_value(key + " = " + quote_toml(value) + "\n", "--set");
  if (!parsed) return fail(Errc::invalid_argument, "--set " + key, parsed.error().what);
  merge(document, std::move(*parsed));
  return {};
}

Result<std::string> read_config_text(const std::string& file) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::fopen(file.c_str(), "rbe"), std::fclose);
  if (!in) return fail(errno == ENOENT ? Errc::not_found : Errc::io, file, std::strerror(errno));
  std::string text(file_max_bytes + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), in.get()));
  if (std::ferror(in.get()) != 0) return fail(Errc::io, file, "could not be read; is it a file?");
  if (text.size() > file_max_bytes) return fail(Errc::too_large, file, "over 1 MiB");
  return text;
}

std::string quote_toml(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.append(1, '\\').append(1, c);
    } else if (byte < 0x20 || byte == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04X", byte);
      out.append(escape);
    } else {
      out.append(1, c);
    }
  }
  return out.append(1, '"');
}

}  // namespace drover::nodes

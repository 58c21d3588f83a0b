#include "actors/semantics/strict_toml.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <sstream>

namespace drover::semantics {
namespace {

constexpr size_t file_max_bytes = 1u << 20;

}  // namespace

void TomlProblems::add(const toml::node* at, std::string_view key, std::string_view what) {
  const uint32_t line = at != nullptr ? at->source().begin.line : 0;
  lines_.emplace_back(line, line > 0 ? fmt::format("{}:{}: {}: {}", file_, line, key, what)
                                     : fmt::format("{}: {}: {}", file_, key, what));
}

Status TomlProblems::status() const {
  if (lines_.empty()) return {};
  auto sorted = lines_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string text;
  for (const auto& [line, problem] : sorted) text.append(text.empty() ? "" : "\n").append(problem);
  return fail(Errc::invalid_argument, file_, fmt::format("{} problem(s)\n{}", sorted.size(), text));
}

const toml::node* TomlTable::find(std::string_view key) {
  declared_.emplace(key);
  return table_.get(key);
}

void TomlTable::wrong_type(const toml::node& node, std::string_view key, std::string_view wanted) {
  std::ostringstream type;
  type << node.type();
  problems_.add(&node, path(key), fmt::format("must be {}, is a {}", wanted, type.str()));
}

void TomlTable::number(std::string_view key, double& out, double min, double max) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  const auto value = node->is_number() ? node->value<double>() : std::nullopt;
  if (!value) return wrong_type(*node, key, "a number");
  if (!(*value >= min && *value <= max))
    return problems_.add(node, path(key), fmt::format("is {}, allowed is from {} to {}", *value, min, max));
  out = *value;
}

bool TomlTable::read_integer(std::string_view key, int64_t& out, int64_t min, int64_t max) {
  const toml::node* node = find(key);
  if (node == nullptr) return false;
  const auto value = node->is_integer() ? node->value<int64_t>() : std::nullopt;
  if (!value) {
    wrong_type(*node, key, "a whole number");
    return false;
  }
  if (*value < min || *value > max) {
    problems_.add(node, path(key), fmt::format("is {}, allowed is from {} to {}", *value, min, max));
    return false;
  }
  out = *value;
  return true;
}

void TomlTable::text(std::string_view key, std::string& out, bool required) {
  const toml::node* node = find(key);
  if (node == nullptr) {
    if (required) problems_.add(&table_, path(key), "missing, and it has no default");
    return;
  }
  if (!node->is_string()) return wrong_type(*node, key, "text");
  out = node->as_string()->get();
}

void TomlTable::texts(std::string_view key, std::vector<std::string>& out) {
  const toml::array* list = array(key);
  if (list == nullptr) return;
  out.clear();
  for (const toml::node& item : *list) {
    if (!item.is_string()) return wrong_type(item, key, "a list of texts");
    out.push_back(item.as_string()->get());
  }
}

const toml::table* TomlTable::table(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return nullptr;
  if (!node->is_table()) wrong_type(*node, key, "a table");
  return node->as_table();
}

const toml::array* TomlTable::array(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return nullptr;
  if (!node->is_array()) wrong_type(*node, key, "a list");
  return node->as_array();
}

void TomlTable::problem(std::string_view key, std::string_view what) {
  const toml::node* node = table_.get(key);
  problems_.add(node != nullptr ? node : &table_, path(key), what);
}

void TomlTable::finish() {
  for (const auto& [key, node] : table_) {
    if (declared_.contains(key.str())) continue;
    std::string known;
    for (const std::string& name : declared_) known.append(known.empty() ? "" : ", ").append(name);
    problems_.add(&node, path(key.str()), "unknown key; known here: " + known);
  }
}

Result<toml::table> parse_toml(std::string_view text, const std::string& file) {
  try {
    return toml::table(toml::parse(text, file));
  } catch (const toml::parse_error& e) {
    const auto at = e.source().begin;
    return fail(Errc::invalid_argument, fmt::format("{}:{}:{}", file, at.line, at.column),
                std::string(e.description()));
  }
}

Result<std::string> read_config_file(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"), std::fclose);
  if (!file) return fail(errno == ENOENT ? Errc::not_found : Errc::io, path, std::strerror(errno));
  std::string text(file_max_bytes + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  if (std::ferror(file.get()) != 0) return fail(Errc::io, path, "could not be read");
  if (text.size() > file_max_bytes) return fail(Errc::too_large, path, "over 1 MiB");
  return text;
}

}  // namespace drover::semantics

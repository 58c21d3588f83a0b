#include "actors/econ/strict_toml.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <sstream>

namespace drover::econ {
namespace {

constexpr size_t file_max_bytes = 1u << 20;

std::string show(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

std::string type_text(const toml::node& node) {
  std::ostringstream out;
  out << node.type();
  return out.str();
}

}  // namespace

void TomlProblems::add(const toml::node* at, std::string_view key, std::string_view what) {
  const uint32_t line = at != nullptr ? at->source().begin.line : 0;
  std::string text = file_;
  if (line > 0) text.append(":").append(std::to_string(line));
  text.append(": ").append(key).append(": ").append(what);
  lines_.emplace_back(line, std::move(text));
}

Status TomlProblems::status() const {
  if (lines_.empty()) return {};
  auto sorted = lines_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string text;
  for (const auto& [line, problem] : sorted) text.append(text.empty() ? "" : "\n").append(problem);
  return fail(Errc::invalid_argument, file_, std::to_string(sorted.size()) + " problem(s)\n" + text);
}

const toml::node* StrictTable::find(std::string_view key, bool required) {
  declared_.emplace(key);
  const toml::node* node = table_.get(key);
  if (node == nullptr && required) problems_.add(&table_, path(key), "missing, and it has no default");
  return node;
}

bool StrictTable::number(std::string_view key, double& out, NumberRange range, bool required) {
  const toml::node* node = find(key, required);
  if (node == nullptr) return false;
  const auto value = node->is_number() ? node->value<double>() : std::nullopt;
  if (!value) {
    problems_.add(node, path(key), "must be a number, is a " + type_text(*node));
    return false;
  }
  const bool inside = *value <= range.max && (range.open_min ? *value > range.min : *value >= range.min);
  if (!std::isfinite(*value) || !inside) {
    problems_.add(node, path(key),
                  "is " + show(*value) + ", allowed is " + (range.open_min ? "above " : "from ") + show(range.min) +
                      " to " + show(range.max));
    return false;
  }
  out = *value;
  return true;
}

bool StrictTable::integer(std::string_view key, int64_t& out, int64_t min, int64_t max, bool required) {
  const toml::node* node = find(key, required);
  if (node == nullptr) return false;
  const auto value = node->is_integer() ? node->value<int64_t>() : std::nullopt;
  if (!value) {
    problems_.add(node, path(key), "must be a whole number, is a " + type_text(*node));
    return false;
  }
  if (*value < min || *value > max) {
    problems_.add(
        node, path(key),
        "is " + std::to_string(*value) + ", allowed is from " + std::to_string(min) + " to " + std::to_string(max));
    return false;
  }
  out = *value;
  return true;
}

bool StrictTable::text(std::string_view key, std::string& out, bool required) {
  const toml::node* node = find(key, required);
  if (node == nullptr) return false;
  if (!node->is_string()) {
    problems_.add(node, path(key), "must be text, is a " + type_text(*node));
    return false;
  }
  out = node->as_string()->get();
  return true;
}

const toml::table* StrictTable::table(std::string_view key) {
  const toml::node* node = find(key, false);
  if (node == nullptr) return nullptr;
  if (!node->is_table()) problems_.add(node, path(key), "must be a table, is a " + type_text(*node));
  return node->as_table();
}

const toml::array* StrictTable::array(std::string_view key) {
  const toml::node* node = find(key, false);
  if (node == nullptr) return nullptr;
  if (!node->is_array()) problems_.add(node, path(key), "must be a list, is a " + type_text(*node));
  return node->as_array();
}

void StrictTable::problem(std::string_view key, std::string_view what) {
  const toml::node* node = table_.get(key);
  problems_.add(node != nullptr ? node : &table_, path(key), what);
}

void StrictTable::finish() {
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
    return fail(Errc::invalid_argument, file + ":" + std::to_string(at.line) + ":" + std::to_string(at.column),
                std::string(e.description()));
  }
}

Result<std::string> read_small_file(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"), std::fclose);
  if (!file) return fail(errno == ENOENT ? Errc::not_found : Errc::io, path, std::strerror(errno));
  std::string text(file_max_bytes + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  if (std::ferror(file.get()) != 0) return fail(Errc::io, path, "could not be read");
  if (text.size() > file_max_bytes) return fail(Errc::too_large, path, "over 1 MiB");
  return text;
}

}  // namespace drover::econ

// Strict reading of the module's TOML files: problems are collected and reported together, unknown keys are errors.
//
// For .cpp files only; keeps toml++ out of public headers. (Not econ's reader: semantics links nothing that prices.)
#pragma once

#include <toml++/toml.h>

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "messages/result.hpp"

namespace drover::semantics {

class TomlProblems {
 public:
  explicit TomlProblems(std::string file) : file_(std::move(file)) {}
  void add(const toml::node* at, std::string_view key, std::string_view what);
  // Ok, or invalid_argument with every problem on its own line, by line number.
  Status status() const;

 private:
  std::string file_;
  std::vector<std::pair<uint32_t, std::string>> lines_;
};

// One table. Reading a key declares it; finish() reports the keys that nobody declared.
class TomlTable {
 public:
  TomlTable(const toml::table& table, std::string prefix, TomlProblems& problems)
      : table_(table), prefix_(std::move(prefix)), problems_(problems) {}

  // A missing key leaves `out` alone; a wrong type or a value outside [min, max] is a problem.
  void number(std::string_view key, double& out, double min, double max);
  void integer(std::string_view key, auto& out, int64_t min, int64_t max) {
    int64_t value = static_cast<int64_t>(out);
    if (read_integer(key, value, min, max)) out = static_cast<std::remove_reference_t<decltype(out)>>(value);
  }
  void text(std::string_view key, std::string& out, bool required = false);
  void texts(std::string_view key, std::vector<std::string>& out);
  const toml::table* table(std::string_view key);
  const toml::array* array(std::string_view key);
  void problem(std::string_view key, std::string_view what);
  void finish();
  const toml::table& raw() const { return table_; }

 private:
  const toml::node* find(std::string_view key);
  bool read_integer(std::string_view key, int64_t& out, int64_t min, int64_t max);
  void wrong_type(const toml::node& node, std::string_view key, std::string_view wanted);
  std::string path(std::string_view key) const { return prefix_ + std::string(key); }

  const toml::table& table_;
  std::string prefix_;
  TomlProblems& problems_;
  std::set<std::string, std::less<>> declared_;
};

// A syntax error is invalid_argument with "file:line:column".
Result<toml::table> parse_toml(std::string_view text, const std::string& file);
// Whole file as text, at most 1 MiB. Errors: not_found, io, too_large.
Result<std::string> read_config_file(const std::string& path);

}  // namespace drover::semantics

// Strict reading of small TOML files: every key is declared, problems are collected and reported together.
//
// For the .cpp files that parse presets and baselines; keeps toml++ out of public headers. Not thread safe.
#pragma once

#include <toml++/toml.h>

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "messages/result.hpp"

namespace drover::econ {

// The problems found in one file, in the order found: "file:line: key: what".
class TomlProblems {
 public:
  explicit TomlProblems(std::string file) : file_(std::move(file)) {}
  void add(const toml::node* at, std::string_view key, std::string_view what);
  bool empty() const { return lines_.empty(); }
  const std::string& file() const { return file_; }
  // Ok, or invalid_argument with every problem on its own line, by line number.
  Status status() const;

 private:
  std::string file_;
  std::vector<std::pair<uint32_t, std::string>> lines_;
};

struct NumberRange {
  double min = 0;
  double max = 0;
  bool open_min = false;  // min itself is not allowed
};

// One table. Reading a key declares it; finish() reports the keys that nobody declared.
class StrictTable {
 public:
  StrictTable(const toml::table& table, std::string prefix, TomlProblems& problems)
      : table_(table), prefix_(std::move(prefix)), problems_(problems) {}

  // Each returns true when the key was there and good. A missing key leaves `out` alone, or is a problem if required.
  bool number(std::string_view key, double& out, NumberRange range, bool required = false);
  bool integer(std::string_view key, int64_t& out, int64_t min, int64_t max, bool required = false);
  bool text(std::string_view key, std::string& out, bool required = false);
  const toml::table* table(std::string_view key);
  const toml::array* array(std::string_view key);
  void problem(std::string_view key, std::string_view what);
  void finish();

 private:
  const toml::node* find(std::string_view key, bool required);
  std::string path(std::string_view key) const { return prefix_ + std::string(key); }

  const toml::table& table_;
  std::string prefix_;
  TomlProblems& problems_;
  std::set<std::string, std::less<>> declared_;
};

// Parses text. A syntax error is an Error with "file:line:column".
Result<toml::table> parse_toml(std::string_view text, const std::string& file);

// Whole file as text, at most 1 MiB. Errors: not_found, io, too_large.
Result<std::string> read_small_file(const std::string& path);

}  // namespace drover::econ

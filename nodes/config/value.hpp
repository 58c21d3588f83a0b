// Value: a parsed TOML document as plain data with the place each value came from. Keeps toml++ out of headers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "messages/result.hpp"

namespace drover::nodes {

struct Place {
  std::string file;   // or "--set" for a value from the command line
  uint32_t line = 0;  // 1-based; 0: the file as a whole
};

struct Value {
  enum class Kind : uint8_t { boolean, integer, real, text, list, table, time };

  Kind kind = Kind::table;
  bool boolean = false;
  int64_t integer = 0;
  double real = 0;
  std::string text;
  std::vector<Value> items;                            // of a list
  std::vector<std::pair<std::string, Value>> members;  // of a table, by key
  Place place;

  const Value* member(std::string_view key) const;
  std::string_view kind_name() const;  // "whole number", "text", ...
};

// Parses one document. A syntax error is invalid_argument at "file:line:column".
Result<Value> parse_toml_value(std::string_view text, const std::string& file);

// Parses "key.path=value" and lays it over `document`: value is TOML, or taken as text if it is not.
// Errors: invalid_argument when there is no '=' or the key is not a TOML key.
Status overlay(Value& document, std::string_view assignment);

// The whole file, at most 1 MiB. Errors: not_found, too_large, io.
Result<std::string> read_config_text(const std::string& file);

// Text as a TOML basic string, quotes included.
std::string quote_toml(std::string_view text);

}  // namespace drover::nodes

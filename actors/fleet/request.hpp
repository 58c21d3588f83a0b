// RequestFields: reads the fields of one request object and reports the first that is wrong by name.
//
// Take every field the call knows, then ask done(): it refuses what is left. Not thread safe.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "messages/result.hpp"

namespace drover::fleet {

class RequestFields {
 public:
  // Errors: invalid_argument (not one JSON object; where = "request line:column").
  static Result<RequestFields> parse(std::string_view text);

  // Each leaves `out` as it is when the field is absent or null.
  void text(const char* name, std::string& out);
  void flag(const char* name, bool& out);
  void integer(const char* name, std::optional<int64_t>& out);
  void number(const char* name, std::optional<double>& out);
  void texts(const char* name, std::vector<std::string>& out);
  struct Range {
    uint32_t least = 1;
    uint32_t most = 0;
  };
  void bounded(const char* name, uint32_t& out, const Range& range);
  // Text that must be there and not empty.
  void required(const char* name, std::string& out);
  // Text that `from_name` understands; `choices` is shown when it does not.
  template <class T, class From>
  void choice(const char* name, std::optional<T>& out, From from_name, const char* choices) {
    std::string word;
    text(name, word);
    if (word.empty()) return;
    out = from_name(std::string_view(word));
    if (!out) wrong(name, "must be one of " + std::string(choices) + ", not '" + word.substr(0, 80) + "'");
  }

  void wrong(const std::string& name, const std::string& what);
  // The first error, or an unknown field.
  Status done() const;

 private:
  explicit RequestFields(nlohmann::json object) : object_(std::move(object)) {}
  const nlohmann::json* find(const char* name);

  nlohmann::json object_;
  std::set<std::string> known_;
  std::optional<Error> error_;
};

}  // namespace drover::fleet

// A strict JSON scanner that keeps slices of the text instead of building values: what is not understood
// can be passed on to the last digit.
//
// Accepts exactly RFC 8259: no comments, no NaN, no trailing commas, valid UTF-8, no duplicate keys (they
// could not be passed on). Depth is bounded. Errors carry "line:column" inside the scanned text.
// Threads: values; the text must outlive every slice.
#pragma once

#include <cstdint>
#include <forward_list>
#include <string>
#include <string_view>
#include <vector>

#include "messages/result.hpp"

namespace drover::storage::json {

inline constexpr uint32_t depth_max = 64;

struct Member {
  std::string_view key;    // unescaped; lives as long as its Members
  std::string_view value;  // raw text, without surrounding blanks
};

// The members of one object in the order of the text. Keys with escapes are kept here, the others are slices.
class Members {
 public:
  Members() = default;
  Members(Members&&) noexcept = default;
  Members& operator=(Members&&) noexcept = default;
  Members(const Members&) = delete;
  Members& operator=(const Members&) = delete;

  size_t size() const noexcept { return list_.size(); }
  bool empty() const noexcept { return list_.empty(); }
  const Member& operator[](size_t i) const noexcept { return list_[i]; }
  std::vector<Member>::const_iterator begin() const noexcept { return list_.begin(); }
  std::vector<Member>::const_iterator end() const noexcept { return list_.end(); }

 private:
  friend Members members(std::string_view object);
  std::vector<Member> list_;
  std::forward_list<std::string> unescaped_;  // its nodes stay where they are when this moves
};

// Position of `at` in `text` as "line:column", both from 1, columns in bytes.
std::string position_of(std::string_view text, size_t at);

// Checks one value with blanks around it. Returns the slice of the value.
// Errors: invalid_argument, where = "line:column".
Result<std::string_view> scan(std::string_view text);

// Takes a checked object or array apart. The slices point into `text`; it must have passed `scan`.
Members members(std::string_view object);
std::vector<std::string_view> items(std::string_view array);

inline bool is_object(std::string_view value) {
  return !value.empty() && value.front() == '{';
}
inline bool is_array(std::string_view value) {
  return !value.empty() && value.front() == '[';
}
inline bool is_string(std::string_view value) {
  return !value.empty() && value.front() == '"';
}
inline bool is_null(std::string_view value) {
  return value == "null";
}
inline bool is_number(std::string_view value) {
  return !value.empty() && (value.front() == '-' || (value.front() >= '0' && value.front() <= '9'));
}

// The text a checked string stands for, as UTF-8. False for a lone surrogate, which UTF-8 cannot hold.
bool unescape(std::string_view quoted, std::string& out);
void append_quoted(std::string& out, std::string_view text);
// Appends checked JSON text without the blanks between its parts, so that it fits on one line.
void append_compact(std::string& out, std::string_view value);
// The shortest text that reads back as `value`, always with a point or an exponent.
void append_number(std::string& out, double value);

// Whether the number written as `token` is the number `append_number(value)` writes: no digit is lost.
bool same_number(std::string_view token, double value);

}  // namespace drover::storage::json

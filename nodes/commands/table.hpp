// Tables and units for people: columns that line up, lines of at most 120 columns, UTC times.
//
// Pure. Text from outside is made printable, so that a name in a log cannot drive the terminal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "messages/result.hpp"

namespace drover::nodes {

inline constexpr size_t table_columns_max = 120;

class Table {
 public:
  // A title that begins with '>' is aligned to the right, one with '!' is never cut (names to copy).
  explicit Table(std::vector<std::string> titles);
  void row(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  // Title line and rows. Where a line would be too long, the widest column of text is cut with "..".
  std::string text() const;

 private:
  std::vector<std::string> titles_;
  std::vector<bool> right_;
  std::vector<bool> whole_;
  std::vector<std::vector<std::string>> rows_;
};

std::string human_bytes(uint64_t value_bytes);  // "1.4 MiB"
std::string human_time(int64_t unix_ns);        // "2026-01-31 09:15:02" (UTC); "-" for 0
// "2026-01-31", "2026-01-31T09:15:02" or with a space between; UTC. Errors: invalid_argument.
Result<int64_t> parse_utc(const std::string& text);
std::string human_duration(int64_t value_ns);                           // "1.5 s", "12 min", "3 d"
std::string human_number(double value, int digits);                     // fixed
std::string short_number(double value);                                 // six digits, exponent where needed
std::string human_count(uint64_t value);                                // "1,234,567"
std::string plain_text(std::string_view text, size_t chars_max = 200);  // without control characters

}  // namespace drover::nodes

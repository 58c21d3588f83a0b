#include "actors/capture/number.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace drover::capture {
namespace {

constexpr size_t number_bytes_max = 64;

bool is_blank(char c) noexcept {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

bool equals_ignoring_case(std::string_view text, std::string_view lower) noexcept {
  return text.size() == lower.size() &&
         std::equal(text.begin(), text.end(), lower.begin(), [](char a, char b) { return (a | 0x20) == b; });
}

std::optional<double> parse_point(std::string_view text) noexcept {
  if (text.front() == '+') {
    text.remove_prefix(1);
    if (text.empty() || text.front() == '+' || text.front() == '-') return std::nullopt;
  }
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (rest != end) return std::nullopt;
  if (error == std::errc::result_out_of_range) {
    // Only the sign of the exponent tells an underflow (a zero for us) from an overflow (not a number).
    const size_t mark = text.find_first_of("eE");
    if (mark != std::string_view::npos && mark + 1 < text.size() && text[mark + 1] == '-') return 0.0;
    return std::nullopt;
  }
  if (error != std::errc{} || !std::isfinite(value)) return std::nullopt;
  return value;
}

}  // namespace

std::string_view trim(std::string_view text) noexcept {
  constexpr std::string_view no_break_space = "\xC2\xA0";
  for (;;) {
    if (!text.empty() && is_blank(text.front())) {
      text.remove_prefix(1);
    } else if (!text.empty() && is_blank(text.back())) {
      text.remove_suffix(1);
    } else if (text.starts_with(no_break_space)) {
      text.remove_prefix(2);
    } else if (text.ends_with(no_break_space)) {
      text.remove_suffix(2);
    } else {
      return text;
    }
  }
}

std::optional<double> parse_number(std::string_view text, Decimal decimal) noexcept {
  text = trim(text);
  if (text.empty() || text.size() > number_bytes_max) return std::nullopt;
  const size_t comma = decimal == Decimal::point ? std::string_view::npos : text.find(',');
  if (comma == std::string_view::npos) {
    if (decimal == Decimal::comma && text.find('.') != std::string_view::npos) return std::nullopt;
    if (const auto value = parse_point(text)) return value;
    if (equals_ignoring_case(text, "true")) return 1.0;
    if (equals_ignoring_case(text, "false")) return 0.0;
    return std::nullopt;
  }
  // "1.234,5" and "1,234,5" are ambiguous: better missing than wrong by a factor of a thousand.
  if (text.find('.') != std::string_view::npos || text.find(',', comma + 1) != std::string_view::npos)
    return std::nullopt;
  std::array<char, number_bytes_max> buffer;
  std::copy(text.begin(), text.end(), buffer.begin());
  buffer[comma] = '.';
  return parse_point({buffer.data(), text.size()});
}

std::optional<int64_t> parse_digits(std::string_view text) noexcept {
  if (text.empty() || text.size() > 18) return std::nullopt;
  int64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

}  // namespace drover::capture

#include "nodes/config/units.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <span>

namespace drover::nodes {
namespace {

struct Unit {
  std::string_view name;
  int64_t scale;
};

constexpr int64_t minute_ms = 60'000;
constexpr std::array<Unit, 5> duration_units{
    {{"ms", 1}, {"s", 1000}, {"min", minute_ms}, {"h", 60 * minute_ms}, {"d", 24 * 60 * minute_ms}}};
constexpr std::array<Unit, 9> size_units{{{"B", 1},
                                          {"KiB", int64_t{1} << 10},
                                          {"MiB", int64_t{1} << 20},
                                          {"GiB", int64_t{1} << 30},
                                          {"TiB", int64_t{1} << 40},
                                          {"kB", 1'000},
                                          {"MB", 1'000'000},
                                          {"GB", 1'000'000'000},
                                          {"TB", 1'000'000'000'000}}};

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// Number, optional blanks, unit. No sign, no exponent: those are typing errors in a config file.
std::optional<int64_t> parse(std::string_view text, std::span<const Unit> units) {
  text = trim(text);
  const size_t digits = text.find_first_not_of("0123456789.");
  if (digits == 0 || digits == std::string_view::npos) return std::nullopt;
  const std::string_view name = trim(text.substr(digits));
  const std::string_view number = text.substr(0, digits);
  for (const Unit& unit : units) {
    if (unit.name != name) continue;
    if (int64_t whole = 0; number.find('.') == std::string_view::npos) {
      const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), whole);
      if (error != std::errc{} || end != number.data() + number.size()) return std::nullopt;
      if (whole > std::numeric_limits<int64_t>::max() / unit.scale) return std::nullopt;
      return whole * unit.scale;
    }
    double value = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (error != std::errc{} || end != number.data() + number.size()) return std::nullopt;
    const double scaled = value * static_cast<double>(unit.scale);
    constexpr double exact_max = 9007199254740992.0;  // 2^53: whole numbers below it are exact
    if (scaled > exact_max || std::abs(scaled - std::round(scaled)) > 1e-9 * (1 + scaled)) return std::nullopt;
    return static_cast<int64_t>(std::llround(scaled));
  }
  return std::nullopt;
}

std::string format(int64_t value, std::span<const Unit> units, std::string_view zero) {
  if (value == 0) return std::string(zero);
  const Unit* best = &units.front();
  for (const Unit& unit : units) {
    if (value % unit.scale == 0 && unit.scale > best->scale) best = &unit;
  }
  return std::to_string(value / best->scale).append(best->name);
}

}  // namespace

std::optional<int64_t> parse_duration_ms(std::string_view text) {
  return parse(text, duration_units);
}
std::string format_duration_ms(int64_t value_ms) {
  return format(value_ms, duration_units, "0s");
}
std::optional<int64_t> parse_size_bytes(std::string_view text) {
  return parse(text, size_units);
}
std::string format_size_bytes(int64_t value_bytes) {
  return format(value_bytes, std::span(size_units).first(5), "0B");
}

}  // namespace drover::nodes

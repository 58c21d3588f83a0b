#include "actors/capture/clock.hpp"

#include <array>
#include <chrono>
#include <cmath>
#include <utility>

namespace drover::capture {
namespace {

constexpr int64_t second_ns = 1'000'000'000;

constexpr std::array<std::pair<std::string_view, ClockFormat>, 8> format_names = {{
    {"iso8601", ClockFormat::iso8601},
    {"ymd_colon", ClockFormat::ymd_colon},
    {"unix_s", ClockFormat::unix_s},
    {"unix_ms", ClockFormat::unix_ms},
    {"unix_us", ClockFormat::unix_us},
    {"unix_ns", ClockFormat::unix_ns},
    {"uptime_s", ClockFormat::uptime_s},
    {"row", ClockFormat::row},
}};

// Takes fixed-width pieces from the front of a text; any mismatch makes the whole scan fail.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}
  int64_t digits(size_t count) {
    const auto value = text_.size() >= count ? parse_digits(text_.substr(0, count)) : std::nullopt;
    if (!value) return fail();
    text_.remove_prefix(count);
    return *value;
  }
  void expect(std::string_view any_of) {
    if (text_.empty() || any_of.find(text_.front()) == std::string_view::npos) {
      fail();
    } else {
      text_.remove_prefix(1);
    }
  }
  bool take(char c) {
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  // Digits after the decimal mark, as nanoseconds; digits beyond the ninth are dropped.
  int64_t fraction_ns() {
    int64_t value = 0;
    int64_t unit = second_ns / 10;
    size_t count = 0;
    for (; count < text_.size() && text_[count] >= '0' && text_[count] <= '9'; ++count, unit /= 10)
      value += (text_[count] - '0') * unit;
    if (count == 0) return fail();
    text_.remove_prefix(count);
    return value;
  }
  std::string_view rest() const { return text_; }
  bool ok() const { return ok_; }

 private:
  int64_t fail() {
    ok_ = false;
    text_ = {};
    return 0;
  }
  std::string_view text_;
  bool ok_ = true;
};

struct Civil {
  int64_t year, month, day, hour, minute, second, fraction_ns;
};

std::optional<int64_t> to_unix_ns(const Civil& c, int64_t utc_offset_s) noexcept {
  using namespace std::chrono;
  const year_month_day date{year(static_cast<int>(c.year)), month(static_cast<unsigned>(c.month)),
                            day(static_cast<unsigned>(c.day))};
  if (c.year < 1970 || c.year > 2197 || !date.ok() || c.hour > 23 || c.minute > 59 || c.second > 60)
    return std::nullopt;
  const int64_t days = sys_days(date).time_since_epoch().count();
  const int64_t seconds = days * 86'400 + c.hour * 3'600 + c.minute * 60 + c.second - utc_offset_s;
  if (seconds < 0) return std::nullopt;
  return seconds * second_ns + c.fraction_ns;
}

std::optional<int64_t> parse_civil(std::string_view text, bool colons, int64_t utc_offset_s) noexcept {
  Scanner scan(text);
  Civil c{};
  c.year = scan.digits(4);
  scan.expect(colons ? ":" : "-/");
  c.month = scan.digits(2);
  scan.expect(colons ? ":" : "-/");
  c.day = scan.digits(2);
  scan.expect(colons ? ":" : "Tt ");
  c.hour = scan.digits(2);
  scan.expect(":");
  c.minute = scan.digits(2);
  if (scan.take(':')) {
    c.second = scan.digits(2);
    if (scan.take('.') || scan.take(',')) c.fraction_ns = scan.fraction_ns();
  }
  if (!scan.ok()) return std::nullopt;
  if (!scan.rest().empty()) {
    const auto zone = parse_utc_offset(scan.rest());
    if (!zone) return std::nullopt;
    utc_offset_s = *zone;
  }
  return to_unix_ns(c, utc_offset_s);
}

std::optional<int64_t> in_range(double value_ns) noexcept {
  if (!(value_ns >= 0) || value_ns > static_cast<double>(time_max_ns)) return std::nullopt;
  return static_cast<int64_t>(value_ns);
}

// Whole and fraction are read apart, so that nanoseconds survive (a double holds about 200 ns at today's dates).
std::optional<int64_t> parse_count(std::string_view text, int64_t unit_ns, Decimal decimal) noexcept {
  if (const auto whole = parse_digits(text))
    return *whole <= time_max_ns / unit_ns ? std::optional(*whole * unit_ns) : std::nullopt;
  if (unit_ns == 1) {
    // 19 digits do not fit parse_digits but do fit the clock.
    if (text.size() != 19) return std::nullopt;
    const auto high = parse_digits(text.substr(0, 10));
    const auto low = parse_digits(text.substr(10));
    if (!high || !low || *high > time_max_ns / second_ns - 1) return std::nullopt;
    return *high * second_ns + *low;
  }
  const size_t mark = text.find_first_of(".,");
  if (mark != std::string_view::npos && text.find_first_not_of("0123456789", mark + 1) == std::string_view::npos) {
    const auto whole = parse_digits(text.substr(0, mark));
    const auto rest = parse_number(text.substr(mark), Decimal::automatic);
    if (whole && rest && *whole < time_max_ns / unit_ns)
      return *whole * unit_ns + std::llround(*rest * static_cast<double>(unit_ns));
  }
  const auto value = parse_number(text, decimal);
  return value ? in_range(*value * static_cast<double>(unit_ns)) : std::nullopt;
}

}  // namespace

std::string_view clock_format_name(ClockFormat format) noexcept {
  for (const auto& [name, value] : format_names)
    if (value == format) return name;
  return "unknown";
}

std::optional<ClockFormat> clock_format_from_name(std::string_view name) noexcept {
  for (const auto& [known, value] : format_names)
    if (known == name) return value;
  return std::nullopt;
}

std::optional<int64_t> parse_time_cell(std::string_view cell, const ClockRule& rule) noexcept {
  std::string_view text = trim(cell);
  if (text.size() > 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  return parse_time(text, rule);
}

std::optional<int64_t> parse_utc_offset(std::string_view text) noexcept {
  text = trim(text);
  if (text == "Z" || text == "z" || text == "UTC") return 0;
  if (text.empty() || (text.front() != '+' && text.front() != '-')) return std::nullopt;
  const int64_t sign = text.front() == '-' ? -1 : 1;
  Scanner scan(text.substr(1));
  const int64_t hours = scan.digits(2);
  scan.take(':');
  const int64_t minutes = scan.rest().empty() ? 0 : scan.digits(2);
  if (!scan.ok() || !scan.rest().empty() || hours > 15 || minutes > 59) return std::nullopt;
  return sign * (hours * 3'600 + minutes * 60);
}

std::optional<int64_t> parse_time(std::string_view text, const ClockRule& rule) noexcept {
  text = trim(text);
  switch (rule.format) {
    case ClockFormat::iso8601:
      return parse_civil(text, false, rule.utc_offset_s);
    case ClockFormat::ymd_colon:
      return parse_civil(text, true, rule.utc_offset_s);
    case ClockFormat::unix_s:
      return parse_count(text, second_ns, rule.decimal);
    case ClockFormat::unix_ms:
      return parse_count(text, 1'000'000, rule.decimal);
    case ClockFormat::unix_us:
      return parse_count(text, 1'000, rule.decimal);
    case ClockFormat::unix_ns:
      return parse_count(text, 1, rule.decimal);
    case ClockFormat::uptime_s: {
      const auto up_ns = parse_count(text, second_ns, rule.decimal);
      if (!up_ns || *up_ns > time_max_ns - rule.epoch_ns) return std::nullopt;
      return *up_ns + rule.epoch_ns;
    }
    case ClockFormat::row:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace drover::capture

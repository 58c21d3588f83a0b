// Tables and units (see table.hpp).
#include "nodes/commands/table.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

#include "nodes/log.hpp"

namespace drover::nodes {
namespace {

constexpr size_t cell_least = 6;  // a column is not cut below this

// Characters a terminal shows, roughly: UTF-8 continuation bytes take no room.
size_t shown(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string cut(const std::string& text, size_t width) {
  if (shown(text) <= width) return text;
  size_t end = 0;
  for (size_t count = 0; end < text.size(); ++end) {
    if ((static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) continue;
    if (count++ == width - 2) break;
  }
  return text.substr(0, end) + "..";
}

}  // namespace

Table::Table(std::vector<std::string> titles) {
  for (std::string& title : titles) {
    right_.push_back(title.starts_with('>'));
    whole_.push_back(right_.back() || title.starts_with('!'));
    titles_.push_back(whole_.back() ? title.substr(1) : title);
  }
}

void Table::row(std::vector<std::string> cells) {
  cells.resize(titles_.size());
  for (std::string& cell : cells) cell = plain_text(cell);
  rows_.push_back(std::move(cells));
}

std::string Table::text() const {
  std::vector<size_t> widths;
  for (size_t i = 0; i < titles_.size(); ++i) {
    widths.push_back(shown(titles_[i]));
    for (const auto& row : rows_) widths[i] = std::max(widths[i], shown(row[i]));
  }
  size_t total = 2 * (widths.empty() ? 0 : widths.size() - 1);
  for (const size_t width : widths) total += width;
  while (total > table_columns_max) {
    size_t widest = widths.size();
    for (size_t i = 0; i < widths.size(); ++i)
      if (!whole_[i] && widths[i] > cell_least && (widest == widths.size() || widths[i] > widths[widest])) widest = i;
    if (widest == widths.size()) break;
    --widths[widest];
    --total;
  }
  std::string out;
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string one;
    for (size_t i = 0; i < cells.size(); ++i) {
      const std::string cell = whole_[i] ? cells[i] : cut(cells[i], widths[i]);
      const std::string gap(widths[i] - std::min(widths[i], shown(cell)), ' ');
      if (i > 0) one += "  ";
      one += right_[i] ? gap + cell : cell + gap;
    }
    one.erase(one.find_last_not_of(' ') + 1);
    out += one + "\n";
  };
  line(titles_);
  for (const auto& row : rows_) line(row);
  return out;
}

std::string human_bytes(uint64_t value_bytes) {
  constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB"};
  if (value_bytes < 1024) return std::to_string(value_bytes) + " B";
  auto value = static_cast<double>(value_bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < units.size(); ++unit) value /= 1024;
  return human_number(value, 1) + " " + units[unit];
}

std::string human_time(int64_t unix_ns) {
  if (unix_ns == 0) return "-";
  std::string text = format_utc_us(unix_ns).substr(0, 19);
  std::replace(text.begin(), text.end(), 'T', ' ');
  return text;
}

Result<int64_t> parse_utc(const std::string& text) {
  std::tm parts{};
  std::array<char, 2> rest{};  // one character and its end
  const int found = std::sscanf(text.c_str(), "%4d-%2d-%2d%*1[ T]%2d:%2d:%2d%1[^Z]", &parts.tm_year, &parts.tm_mon,
                                &parts.tm_mday, &parts.tm_hour, &parts.tm_min, &parts.tm_sec, rest.data());
  const bool shape = found == 6 || (found == 3 && text.size() == 10);
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  const std::tm before = parts;
  const int64_t unix_s = timegm(&parts);
  const bool real = before.tm_mon == parts.tm_mon && before.tm_mday == parts.tm_mday &&
                    before.tm_hour == parts.tm_hour && before.tm_min == parts.tm_min && before.tm_sec == parts.tm_sec;
  if (!shape || !real || parts.tm_year < 0 || parts.tm_year > 300)
    return fail(Errc::invalid_argument, text, "is not a time like 2026-01-31 or 2026-01-31T09:15:02 (UTC)");
  return unix_s * 1'000'000'000;
}

std::string human_duration(int64_t value_ns) {
  const double seconds = static_cast<double>(value_ns) / 1e9;
  if (seconds < 120) return human_number(seconds, seconds < 10 ? 2 : 1) + " s";
  if (seconds < 7200) return human_number(seconds / 60, 0) + " min";
  if (seconds < 172'800) return human_number(seconds / 3600, 0) + " h";
  return human_number(seconds / 86'400, 0) + " d";
}

std::string human_number(double value, int digits) {
  std::array<char, 400> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%.*f", digits, value);
  return buffer.data();
}

std::string short_number(double value) {
  std::array<char, 32> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%.6g", value);
  return buffer.data();
}

std::string human_count(uint64_t value) {
  std::string text = std::to_string(value);
  for (size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, 1, ',');
  return text;
}

std::string plain_text(std::string_view text, size_t chars_max) {
  std::string out;
  for (const char c : text.substr(0, chars_max)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return out;
}

}  // namespace drover::nodes

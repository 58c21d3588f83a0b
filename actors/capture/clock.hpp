// Reading times the way robot loggers write them, into nanoseconds since 1970-01-01 UTC.
//
// Invariants: a time that is returned lies in [0, time_max_ns] (1970 to 2198), so differences never overflow; text that
// is not wholly a time of the format asked for is refused. No time zone database: zones are numeric offsets or `Z`.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "actors/capture/number.hpp"

namespace drover::capture {

inline constexpr int64_t time_max_ns = 7'200'000'000'000'000'000;

enum class ClockFormat : uint8_t {
  iso8601,    // 2022-10-26T08:17:21.847Z; blank instead of T, fraction with point or comma, `Z` or +hh:mm optional
  ymd_colon,  // 2021:10:05:12:08:13.122408
  unix_s,     // seconds since 1970, with fraction
  unix_ms,
  unix_us,
  unix_ns,
  uptime_s,  // seconds since the controller started; the mapping may give the epoch
  row,       // no clock: row number divided by the rate
};

std::string_view clock_format_name(ClockFormat format) noexcept;
std::optional<ClockFormat> clock_format_from_name(std::string_view name) noexcept;

// `utc_offset_s` applies to text without a zone (local minus UTC). For uptime_s, `epoch_ns` is added. Not for `row`.
struct ClockRule {
  ClockFormat format = ClockFormat::iso8601;
  int64_t utc_offset_s = 0;
  int64_t epoch_ns = 0;
  Decimal decimal = Decimal::automatic;
};
std::optional<int64_t> parse_time(std::string_view text, const ClockRule& rule) noexcept;
// Of a CSV cell: blanks around it do not matter, and some exports keep the quotes of a quoted time as part of the cell.
std::optional<int64_t> parse_time_cell(std::string_view cell, const ClockRule& rule) noexcept;

// "+02:00", "-05:30", "Z" in seconds.
std::optional<int64_t> parse_utc_offset(std::string_view text) noexcept;

}  // namespace drover::capture

// Reading numbers the way robot loggers write them: decimal points or commas, `-7,39E-30`, True/False, blanks.
//
// Invariants: never throws, never allocates, never depends on the locale; what is not wholly a finite number is not
// one.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace drover::capture {

enum class Decimal : uint8_t { automatic, comma, point };

// `text` without blanks, tabs and no-break spaces at either end.
std::string_view trim(std::string_view text) noexcept;

// A finite number, or true/false (any case) as 1/0. `automatic` takes a point or one comma as the decimal mark.
// Magnitudes below the smallest double read as 0; above the largest, nan and inf are not numbers.
std::optional<double> parse_number(std::string_view text, Decimal decimal = Decimal::automatic) noexcept;

// Whole decimal digits, at most 18 of them.
std::optional<int64_t> parse_digits(std::string_view text) noexcept;

}  // namespace drover::capture

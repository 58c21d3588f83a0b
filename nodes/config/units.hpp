// Durations and sizes as people write them: "250ms", "5s", "64MiB", or a plain number in the unit of the key.
//
// Durations are whole milliseconds: ms, s, min, h, d. Sizes are whole bytes: B, KiB, MiB, GiB, TiB (powers of
// 1024) and kB, MB, GB, TB (powers of 1000). A fraction is allowed when the result is whole: "1.5s", "0.5GiB".
// Pure; no locale.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace drover::nodes {

// Whole milliseconds, or nothing if the text is not a duration or does not fit.
std::optional<int64_t> parse_duration_ms(std::string_view text);
// The shortest exact form: 1500 -> "1500ms", 5000 -> "5s", 0 -> "0s". Round trips through parse_duration_ms.
std::string format_duration_ms(int64_t value_ms);

// Whole bytes, or nothing if the text is not a size or does not fit.
std::optional<int64_t> parse_size_bytes(std::string_view text);
// The shortest exact form in powers of 1024: 67108864 -> "64MiB", 1000 -> "1000B".
std::string format_size_bytes(int64_t value_bytes);

}  // namespace drover::nodes

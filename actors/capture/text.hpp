// Making outside text safe to keep: names and remarks that go into records.
#pragma once

#include <string>
#include <string_view>

namespace drover::capture {

// Valid UTF-8 without control characters, at most `bytes_max` long; what does not fit the rules becomes '?'.
std::string printable(std::string_view text, size_t bytes_max = 200);

}  // namespace drover::capture

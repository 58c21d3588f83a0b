// "Did you mean ...?": the known name that is closest to a mistyped one. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace drover::nodes {

// Edit distance with transpositions of neighbours ("spolo" -> "spool" is 1).
size_t edit_distance(std::string_view a, std::string_view b);

// The closest of `known` within a third of the length (at least 1, at most 4), the first of equals; empty if none.
std::string nearest_name(std::string_view typed, std::span<const std::string> known);

}  // namespace drover::nodes

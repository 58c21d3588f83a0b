// Enum values and their spelling, for small dense enums. Internal to semantics.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace drover::semantics {

template <class Enum, size_t n>
constexpr std::string_view enum_name(const std::array<std::string_view, n>& names, Enum value) noexcept {
  const auto index = static_cast<size_t>(value);
  return index < n ? names[index] : std::string_view("unknown");
}

template <class Enum, size_t n>
constexpr std::optional<Enum> enum_from(const std::array<std::string_view, n>& names, std::string_view name) noexcept {
  for (size_t i = 0; i < n; ++i)
    if (names[i] == name) return static_cast<Enum>(i);
  return std::nullopt;
}

}  // namespace drover::semantics

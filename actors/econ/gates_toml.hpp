// What the readers of gate files share. For .cpp files only.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "actors/econ/strict_toml.hpp"

namespace drover::gates {

inline constexpr int64_t gates_format = 1;

// Errors: unsupported_version.
inline Status check_format(econ::StrictTable& top, const std::string& file) {
  int64_t format = 0;
  top.integer("format", format, 0, 1'000'000, true);
  if (format != gates_format)
    return fail(Errc::unsupported_version, file,
                "format " + std::to_string(format) + ", this program reads format " + std::to_string(gates_format));
  return {};
}

// Finite numbers. Anything else is a problem at `key`.
inline std::vector<double> numbers_of(const toml::array& array, econ::StrictTable& table, std::string_view key) {
  std::vector<double> out;
  out.reserve(array.size());
  for (const toml::node& node : array) {
    const auto value = node.value<double>();
    if (!node.is_number() || !value || !std::isfinite(*value)) {
      table.problem(key, "must hold finite numbers only");
      return {};
    }
    out.push_back(*value);
  }
  return out;
}

inline std::vector<double> numbers(econ::StrictTable& table, std::string_view key) {
  const toml::array* array = table.array(key);
  if (array == nullptr) {
    table.problem(key, "must be an array of numbers");
    return {};
  }
  return numbers_of(*array, table, key);
}

inline std::vector<std::string> texts(econ::StrictTable& table, std::string_view key) {
  std::vector<std::string> out;
  const toml::array* array = table.array(key);
  if (array == nullptr) table.problem(key, "must be an array of texts");
  if (array == nullptr) return out;
  for (const toml::node& node : *array) {
    const auto value = node.value<std::string>();
    if (!value) table.problem(key, "must hold texts only");
    out.push_back(value.value_or(""));
  }
  return out;
}

}  // namespace drover::gates

// Name patterns, globs, conditions and the small enums of a mapping. The TOML side is in mapping_toml.cpp.
#include "actors/capture/mapping.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace drover::capture {
namespace {

char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

bool all_digits(std::string_view text) noexcept {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

Result<NamePattern> NamePattern::parse(std::string_view text) {
  NamePattern pattern;
  pattern.text_ = text;
  const size_t open = text.find('{');
  if (open == std::string_view::npos) {
    pattern.prefix_ = text;
    return pattern;
  }
  const size_t close = text.find('}', open);
  const std::string_view inside = close == std::string_view::npos ? "" : text.substr(open + 1, close - open - 1);
  if (inside != "i" && inside != "name")
    return fail(Errc::invalid_argument, pattern.text_, "a placeholder is {i} (digits) or {name} (any text)");
  if (text.find('{', close) != std::string_view::npos)
    return fail(Errc::invalid_argument, pattern.text_, "only one placeholder is allowed");
  pattern.prefix_ = text.substr(0, open);
  pattern.suffix_ = text.substr(close + 1);
  pattern.placeholder_ = inside == "i" ? Placeholder::digits : Placeholder::any;
  return pattern;
}

std::optional<std::string> NamePattern::match(std::string_view name) const {
  if (placeholder_ == Placeholder::none) return name == prefix_ ? std::optional<std::string>("") : std::nullopt;
  if (name.size() <= prefix_.size() + suffix_.size() || !name.starts_with(prefix_) || !name.ends_with(suffix_))
    return std::nullopt;
  const std::string_view inside = name.substr(prefix_.size(), name.size() - prefix_.size() - suffix_.size());
  if (placeholder_ == Placeholder::digits && !all_digits(inside)) return std::nullopt;
  return std::string(inside);
}

std::string NamePattern::expand(std::string_view capture) const {
  return placeholder_ == Placeholder::none ? prefix_ : prefix_ + std::string(capture) + suffix_;
}

bool glob_match(std::string_view glob, std::string_view name) noexcept {
  size_t g = 0, n = 0, star = std::string_view::npos, resume = 0;
  while (n < name.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      resume = n;
    } else if (g < glob.size() && (glob[g] == '?' || lower(glob[g]) == lower(name[n]))) {
      ++g;
      ++n;
    } else if (star != std::string_view::npos) {
      g = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

Result<Condition> Condition::parse(std::string_view text) {
  text = trim(text);
  if (text == "true") return Condition{Op::is_true, 0, {}};
  if (text == "false") return Condition{Op::is_false, 0, {}};
  if (text == "each") return Condition{Op::each, 0, {}};
  constexpr std::array<std::pair<std::string_view, Op>, 6> operators = {
      {{">=", Op::ge}, {"<=", Op::le}, {"==", Op::eq}, {"!=", Op::ne}, {">", Op::gt}, {"<", Op::lt}}};
  for (const auto& [sign, op] : operators) {
    if (!text.starts_with(sign)) continue;
    const std::string_view rest = trim(text.substr(sign.size()));
    if (const auto value = parse_number(rest, Decimal::point)) return Condition{op, *value, {}};
    if ((op == Op::eq || op == Op::ne) && !rest.empty())
      return Condition{op == Op::eq ? Op::text_eq : Op::text_ne, 0, std::string(rest)};
    break;
  }
  return fail(Errc::invalid_argument, std::string(text),
              "a condition is true, false, each, or one of > >= < <= == != and a number (or a text after == and !=)");
}

bool Condition::holds(double reading) const noexcept {
  switch (op) {
    case Op::is_true:
      return reading != 0;
    case Op::is_false:
      return reading == 0;
    case Op::each:
      return true;
    case Op::gt:
      return reading > value;
    case Op::ge:
      return reading >= value;
    case Op::lt:
      return reading < value;
    case Op::le:
      return reading <= value;
    case Op::eq:
      return reading == value;
    case Op::ne:
      return reading != value;
    case Op::text_eq:
    case Op::text_ne:
      return reading != 0;  // the source already compared the text
  }
  return false;
}

std::string_view energy_method_name(EnergyMethod method) noexcept {
  switch (method) {
    case EnergyMethod::none:
      return "none";
    case EnergyMethod::measured_power:
      return "measured_power";
    case EnergyMethod::torque_velocity:
      return "torque_velocity";
    case EnergyMethod::current_nominal_voltage:
      return "current_nominal_voltage";
  }
  return "none";
}

}  // namespace drover::capture

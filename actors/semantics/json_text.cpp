#include "actors/semantics/json_text.hpp"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

namespace drover::semantics {
namespace {

// Length of the UTF-8 sequence at the start of `text`, 0 when it is not one (RFC 3629, shortest forms only).
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                        : (lead & 0xF0) == 0xE0        ? 3
                        : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                       : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  const unsigned char second = byte(1);
  if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F)) return 0;
  if ((lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) return 0;
  return length;
}

constexpr std::string_view replacement = "\xEF\xBF\xBD";

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out.push_back('"');
  while (!text.empty()) {
    const char c = text.front();
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (c == '\n') {
      out.append("\\n");
    } else if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    } else if (static_cast<unsigned char>(c) < 0x80) {
      out.push_back(c);
    } else {
      const size_t length = utf8_length(text);
      out.append(length == 0 ? replacement : text.substr(0, length));
      text.remove_prefix(length == 0 ? 1 : length);
      continue;
    }
    text.remove_prefix(1);
  }
  out.push_back('"');
}

void append_json_number(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out.append("null");
    return;
  }
  if (value == 0) value = 0;  // no minus zero
  fmt::format_to(std::back_inserter(out), "{}", value);
}

std::string clean_text(std::string_view text, size_t bytes_max) {
  std::string out;
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const std::string_view piece = length == 0 ? replacement : text.substr(0, length);
    if (out.size() + piece.size() > bytes_max) break;
    out.append(piece);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

JsonText& JsonText::open(char bracket) {
  comma();
  out_.push_back(bracket);
  first_ = true;
  return *this;
}

JsonText& JsonText::close(char bracket) {
  if (new_line_) out_.push_back('\n');
  new_line_ = false;
  out_.push_back(bracket);
  first_ = false;
  return *this;
}

void JsonText::comma() {
  if (!after_key_ && !first_ && !out_.empty()) out_.push_back(',');
  if (new_line_) out_.push_back('\n');
  new_line_ = false;
  first_ = false;
  after_key_ = false;
}

JsonText& JsonText::key(std::string_view name) {
  comma();
  append_json_string(out_, name);
  out_.push_back(':');
  after_key_ = true;
  return *this;
}

JsonText& JsonText::value(std::string_view text) {
  comma();
  append_json_string(out_, text);
  return *this;
}

JsonText& JsonText::value(double number) {
  comma();
  append_json_number(out_, number);
  return *this;
}

JsonText& JsonText::value(bool truth) {
  comma();
  out_.append(truth ? "true" : "false");
  return *this;
}

JsonText& JsonText::raw(std::string_view json) {
  comma();
  out_.append(json);
  return *this;
}

JsonText& JsonText::line() {
  new_line_ = true;
  return *this;
}

void JsonText::clear() {
  out_.clear();
  first_ = true;
  after_key_ = false;
  new_line_ = false;
}

}  // namespace drover::semantics

// The JSON scanner (see datapack_json_scan.hpp).
#include "storage/datapack_json_scan.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <deque>
#include <span>

#include "messages/check.hpp"

namespace drover::storage::json {
namespace {

bool blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool digit(char c) {
  return c >= '0' && c <= '9';
}
int hex(char c) {
  if (digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Bytes of the UTF-8 sequence at the start of `rest`; 0 when there is no valid one.
size_t utf8_bytes(std::string_view rest) {
  const auto at = [&](size_t i) -> unsigned { return i < rest.size() ? static_cast<unsigned char>(rest[i]) : 0; };
  const auto tail = [&](size_t i) { return (at(i) & 0xc0) == 0x80; };
  const unsigned a = at(0);
  if (a < 0x80) return 1;
  if (a >= 0xc2 && a <= 0xdf) return tail(1) ? 2 : 0;
  if (a >= 0xe0 && a <= 0xef) {
    const bool second = (a != 0xe0 || at(1) >= 0xa0) && (a != 0xed || at(1) < 0xa0);
    return second && tail(1) && tail(2) ? 3 : 0;
  }
  if (a >= 0xf0 && a <= 0xf4) {
    const bool second = (a != 0xf0 || at(1) >= 0x90) && (a != 0xf4 || at(1) < 0x90);
    return second && tail(1) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

// The first place from `at` on that the inside of a string cannot simply pass over: a quote, a backslash, a control
// character or the start of a longer UTF-8 sequence. Eight bytes at a time: in x, (x - 0x01..01) & ~x & 0x80..80 marks
// the lowest zero byte exactly (a borrow can only mark bytes above it).
size_t plain_end(std::string_view text, size_t at) {
  constexpr uint64_t ones = 0x0101010101010101, high_bits = 0x8080808080808080;
  if constexpr (std::endian::native == std::endian::little)
    for (; at + sizeof(uint64_t) <= text.size(); at += sizeof(uint64_t)) {
      uint64_t w = 0;
      std::memcpy(&w, text.data() + at, sizeof w);
      const uint64_t quote = w ^ (ones * '"'), backslash = w ^ (ones * '\\');
      const uint64_t marked =
          (((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | ((w - ones * 0x20) & ~w) | w) & high_bits;
      if (marked != 0) return at + static_cast<size_t>(std::countr_zero(marked)) / 8;
    }
  for (; at < text.size(); ++at) {
    const auto c = static_cast<unsigned char>(text[at]);
    if (c == '"' || c == '\\' || c < 0x20 || c >= 0x80) break;
  }
  return at;
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  Result<std::string_view> run() {
    skip_blanks();
    const size_t start = at_;
    if (!value(0)) return failed();
    const size_t end = at_;
    skip_blanks();
    if (at_ != text_.size()) {
      problem_ = "more text after the value";
      return failed();
    }
    return text_.substr(start, end - start);
  }

 private:
  tl::unexpected<Error> failed() const { return fail(Errc::invalid_argument, position_of(text_, at_), problem_); }
  bool bad(const char* what) {
    problem_ = what;
    return false;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip_blanks() {
    while (at_ < text_.size() && blank(text_[at_])) ++at_;
  }

  bool value(uint32_t depth) {
    if (depth > depth_max) return bad("nested too deep");
    if (at_ >= text_.size()) return bad("the text ends where a value should be");
    switch (text_[at_]) {
      case '{':
        return object(depth);
      case '[':
        return array(depth);
      case '"':
        return string();
      case 't':
        return word("true");
      case 'f':
        return word("false");
      case 'n':
        return word("null");
      default:
        return number();
    }
  }

  bool word(std::string_view expected) {
    if (text_.substr(at_, expected.size()) != expected) return bad("not a JSON value");
    at_ += expected.size();
    return true;
  }

  bool digits() {
    if (!digit(peek())) return false;
    while (digit(peek())) ++at_;
    return true;
  }
  bool number() {
    if (peek() == '-') ++at_;
    if (peek() == '0') {
      ++at_;
    } else if (!digits()) {
      return bad("not a JSON value (NaN and Infinity are not JSON)");
    }
    if (peek() == '.') {
      ++at_;
      if (!digits()) return bad("a number needs digits after its point");
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!digits()) return bad("a number needs digits in its exponent");
    }
    return true;
  }

  bool escape() {
    ++at_;
    switch (peek()) {
      case '"':
      case '\\':
      case '/':
      case 'b':
      case 'f':
      case 'n':
      case 'r':
      case 't':
        ++at_;
        return true;
      case 'u':
        ++at_;
        for (int i = 0; i < 4; ++i, ++at_)
          if (at_ >= text_.size() || hex(text_[at_]) < 0) return bad("\\u needs four hexadecimal digits");
        return true;
      default:
        return bad("unknown escape in a string");
    }
  }
  bool string() {
    ++at_;
    for (;;) {
      at_ = plain_end(text_, at_);
      if (at_ == text_.size()) break;
      const auto c = static_cast<unsigned char>(text_[at_]);
      if (c == '"') {
        ++at_;
        return true;
      }
      if (c < 0x20) return bad("a control character inside a string must be escaped");
      if (c == '\\') {
        if (!escape()) return false;
      } else {
        const size_t size = utf8_bytes(text_.substr(at_, 4));
        if (size == 0) return bad("not valid UTF-8");
        at_ += size;
      }
    }
    return bad("the text ends inside a string");
  }

  bool array(uint32_t depth) {
    ++at_;
    skip_blanks();
    if (peek() == ']') return ++at_, true;
    for (;;) {
      skip_blanks();
      if (!value(depth + 1)) return false;
      skip_blanks();
      if (peek() == ']') return ++at_, true;
      if (peek() != ',') return bad(at_ < text_.size() ? "expected , or ]" : "the text ends inside an array");
      ++at_;
    }
  }

  bool object(uint32_t depth) {
    ++at_;
    skip_blanks();
    if (peek() == '}') return ++at_, true;
    const size_t first_key = keys_.size();
    for (;;) {
      skip_blanks();
      if (peek() != '"') return bad(at_ < text_.size() ? "expected a quoted key" : "the text ends inside an object");
      const size_t start = at_;
      if (!string()) return false;
      if (!add_key(text_.substr(start, at_ - start))) return at_ = start, false;
      skip_blanks();
      if (peek() != ':') return bad("expected : after a key");
      ++at_;
      skip_blanks();
      if (!value(depth + 1)) return false;
      skip_blanks();
      if (peek() == '}') return ++at_, no_twins(first_key);
      if (peek() != ',') return bad(at_ < text_.size() ? "expected , or }" : "the text ends inside an object");
      ++at_;
    }
  }
  bool add_key(std::string_view quoted) {
    std::string_view key = quoted.substr(1, quoted.size() - 2);
    if (key.find('\\') != std::string_view::npos) {
      std::string& text = unescaped_.emplace_back();
      if (!unescape(quoted, text)) return bad("a key holds half of a surrogate pair");
      key = text;
    }
    keys_.push_back(key);
    return true;
  }
  // Takes the keys of the object that ends here off the stack.
  bool no_twins(size_t first_key) {
    const auto keys = std::span(keys_).subspan(first_key);
    const std::string_view* twin = nullptr;
    if (keys.size() <= 16) {
      for (size_t i = 1; i < keys.size() && twin == nullptr; ++i)
        for (size_t k = 0; k < i && twin == nullptr; ++k)
          if (keys[k] == keys[i]) twin = &keys[i];
    } else {
      std::sort(keys.begin(), keys.end(), [](std::string_view a, std::string_view b) {
        return a.size() != b.size() ? a.size() < b.size() : a < b;
      });
      const auto at = std::adjacent_find(keys.begin(), keys.end());
      if (at != keys.end()) twin = &*at;
    }
    if (twin != nullptr) problem_ = "the key '" + std::string(*twin) + "' occurs twice in one object";
    keys_.resize(first_key);
    return twin == nullptr;
  }

  std::string_view text_;
  size_t at_ = 0;
  std::string problem_;
  std::vector<std::string_view> keys_;  // of the objects that are open, the innermost last
  std::deque<std::string> unescaped_;   // what keys with escapes say
};

// Walks over one part of text that was checked.
size_t skip_string(std::string_view text, size_t at) {
  for (++at;;) {
    at = plain_end(text, at);
    if (text[at] == '"') return at + 1;
    at += text[at] == '\\' ? 2 : 1;
  }
}
// Bytes that decide where a value ends: quotes and brackets, and for numbers and words what may follow them.
constexpr auto structural = [] {
  std::array<bool, 256> is{};
  for (const char c : std::string_view("\"{}[]")) is[static_cast<unsigned char>(c)] = true;
  return is;
}();
size_t skip_value(std::string_view text, size_t at) {
  if (text[at] == '"') return skip_string(text, at);
  if (text[at] != '{' && text[at] != '[') {
    while (at < text.size() && text[at] != ',' && text[at] != '}' && text[at] != ']' && !blank(text[at])) ++at;
    return at;
  }
  for (size_t depth = 0;;) {
    while (!structural[static_cast<unsigned char>(text[at])]) ++at;
    const char c = text[at];
    if (c == '"') {
      at = skip_string(text, at);
      continue;
    }
    ++at;
    if (c == '{' || c == '[') {
      ++depth;
    } else if (--depth == 0) {
      return at;
    }
  }
}
size_t skip_blanks(std::string_view text, size_t at) {
  while (at < text.size() && blank(text[at])) ++at;
  return at;
}

bool code_unit(std::string_view text, size_t at, unsigned& out) {
  out = 0;
  for (size_t i = at; i < at + 4; ++i) out = out * 16 + static_cast<unsigned>(hex(text[i]));
  return true;
}
void append_utf8(std::string& out, unsigned code) {
  const auto byte = [&](unsigned b) { out.push_back(static_cast<char>(b)); };
  if (code < 0x80) return byte(code);
  if (code < 0x800) return byte(0xc0 | code >> 6), byte(0x80 | (code & 0x3f));
  if (code < 0x10000) return byte(0xe0 | code >> 12), byte(0x80 | (code >> 6 & 0x3f)), byte(0x80 | (code & 0x3f));
  byte(0xf0 | code >> 18), byte(0x80 | (code >> 12 & 0x3f)), byte(0x80 | (code >> 6 & 0x3f)),
      byte(0x80 | (code & 0x3f));
}
// The character of "uXXXX" at `at` (which points behind the u); moves `at` behind it.
bool unicode_escape(std::string_view body, size_t& at, std::string& out) {
  unsigned code = 0;
  code_unit(body, at, code);
  at += 4;
  if (code >= 0xdc00 && code <= 0xdfff) return false;
  if (code >= 0xd800 && code <= 0xdbff) {
    unsigned low = 0;
    if (body.substr(at, 2) != "\\u") return false;
    code_unit(body, at + 2, low);
    if (low < 0xdc00 || low > 0xdfff) return false;
    at += 6;
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  append_utf8(out, code);
  return true;
}

// A decimal number in one form: digits without zeros at either end, and a power of ten.
struct Decimal {
  bool negative = false;
  std::string digits;
  int64_t exponent = 0;
  bool operator==(const Decimal&) const = default;
};
Decimal decimal_of(std::string_view token) {
  Decimal d;
  size_t i = 0;
  if (token[i] == '-') d.negative = true, ++i;
  bool after_point = false;
  for (; i < token.size() && token[i] != 'e' && token[i] != 'E'; ++i) {
    if (token[i] == '.') {
      after_point = true;
      continue;
    }
    d.digits.push_back(token[i]);
    if (after_point) --d.exponent;
  }
  if (i < token.size()) {
    ++i;
    if (token[i] == '+') ++i;
    int64_t written = 0;
    const auto [end, error] = std::from_chars(token.data() + i, token.data() + token.size(), written);
    if (error != std::errc() || written > 1'000'000'000 || written < -1'000'000'000) return {true, "?", 0};
    d.exponent += written;
  }
  while (!d.digits.empty() && d.digits.back() == '0') d.digits.pop_back(), ++d.exponent;
  d.digits.erase(0, std::min(d.digits.find_first_not_of('0'), d.digits.size()));
  if (d.digits.empty()) d.exponent = 0;
  return d;
}

}  // namespace

std::string position_of(std::string_view text, size_t at) {
  const std::string_view before = text.substr(0, at);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t start = before.rfind('\n');
  const size_t column = start == std::string_view::npos ? at + 1 : at - start;
  return std::to_string(line) + ":" + std::to_string(column);
}

Result<std::string_view> scan(std::string_view text) {
  return Scanner(text).run();
}

Members members(std::string_view object) {
  Members out;
  out.list_.reserve(16);
  size_t at = skip_blanks(object, 1);
  while (object[at] != '}') {
    Member m;
    const size_t key_end = skip_string(object, at);
    m.key = object.substr(at + 1, key_end - at - 2);
    if (m.key.find('\\') != std::string_view::npos) {
      std::string& text = out.unescaped_.emplace_front();
      DROVER_CHECK(unescape(object.substr(at, key_end - at), text), "members() needs text that passed scan()");
      m.key = text;
    }
    at = skip_blanks(object, skip_blanks(object, key_end) + 1);
    const size_t end = skip_value(object, at);
    m.value = object.substr(at, end - at);
    out.list_.push_back(m);
    at = skip_blanks(object, end);
    if (object[at] == ',') at = skip_blanks(object, at + 1);
  }
  return out;
}

std::vector<std::string_view> items(std::string_view array) {
  std::vector<std::string_view> out;
  size_t at = skip_blanks(array, 1);
  while (array[at] != ']') {
    const size_t end = skip_value(array, at);
    out.push_back(array.substr(at, end - at));
    at = skip_blanks(array, end);
    if (array[at] == ',') at = skip_blanks(array, at + 1);
  }
  return out;
}

bool unescape(std::string_view quoted, std::string& out) {
  out.clear();
  const std::string_view body = quoted.substr(1, quoted.size() - 2);
  if (body.find('\\') == std::string_view::npos) {
    out.assign(body);
    return true;
  }
  for (size_t at = 0; at < body.size();) {
    if (body[at] != '\\') {
      out.push_back(body[at++]);
      continue;
    }
    const char c = body[at + 1];
    at += 2;
    constexpr std::string_view from = "\"\\/bfnrt", to = "\"\\/\b\f\n\r\t";
    if (c != 'u') {
      out.push_back(to[from.find(c)]);
    } else if (!unicode_escape(body, at, out)) {
      return false;
    }
  }
  return true;
}

void append_quoted(std::string& out, std::string_view text) {
  constexpr std::string_view hex_digits = "0123456789abcdef";
  out.push_back('"');
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20) {
      out += "\\u00";
      out.push_back(hex_digits[byte >> 4]);
      out.push_back(hex_digits[byte & 15]);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

void append_compact(std::string& out, std::string_view value) {
  for (size_t at = 0; at < value.size();) {
    if (value[at] == '"') {
      const size_t end = skip_string(value, at);
      out.append(value.substr(at, end - at));
      at = end;
    } else {
      if (!blank(value[at])) out.push_back(value[at]);
      ++at;
    }
  }
}

void append_number(std::string& out, double value) {
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  const std::string_view digits(buffer, static_cast<size_t>(end - buffer));
  out += digits;
  if (digits.find_first_of(".e") == std::string_view::npos) out += ".0";
}

bool same_number(std::string_view token, double value) {
  std::string written;
  append_number(written, value);
  return token == written || decimal_of(token) == decimal_of(written);
}

}  // namespace drover::storage::json

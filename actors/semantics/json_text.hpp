// JsonText: writes JSON whose bytes depend on the values alone: keys in the order they are written, numbers in the
// shortest form that reads back to the same bits, text escaped, bytes that are not UTF-8 replaced by U+FFFD.
//
// Much cheaper than building a tree, and used wherever knowledge or enrichments become text. Not thread safe.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace drover::semantics {

// Appends `text` as a JSON string with its quotes.
void append_json_string(std::string& out, std::string_view text);
// Appends a number; one that is not finite becomes null.
void append_json_number(std::string& out, double value);
// The text with every byte that is not UTF-8 replaced, at most `bytes_max` long (cut between characters).
std::string clean_text(std::string_view text, size_t bytes_max = 256);

class JsonText {
 public:
  JsonText& begin_object() { return open('{'); }
  JsonText& end_object() { return close('}'); }
  JsonText& begin_array() { return open('['); }
  JsonText& end_array() { return close(']'); }
  JsonText& key(std::string_view name);
  JsonText& value(std::string_view text);
  JsonText& value(const char* text) { return value(std::string_view(text)); }
  JsonText& value(double number);
  JsonText& value(bool truth);
  JsonText& value(std::integral auto number) {
    comma();
    out_.append(std::to_string(number));
    return *this;
  }
  // A value that is JSON already.
  JsonText& raw(std::string_view json);
  template <class T>
  JsonText& field(std::string_view name, const T& v) {
    key(name);
    return value(v);
  }
  // A new line before the next item or closing bracket, so that documents can be compared line by line.
  JsonText& line();

  const std::string& text() const& { return out_; }
  std::string text() && { return std::move(out_); }
  void clear();

 private:
  JsonText& open(char bracket);
  JsonText& close(char bracket);
  void comma();

  std::string out_;
  bool first_ = true;       // nothing was written since the bracket
  bool after_key_ = false;  // the next value belongs to a key
  bool new_line_ = false;   // before whatever comes next
};

}  // namespace drover::semantics

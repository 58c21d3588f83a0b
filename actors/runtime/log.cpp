#include "actors/runtime/log.hpp"

#include <cstdio>

namespace drover::runtime {

std::string_view log_level_name(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warn:
      return "warn";
    case LogLevel::error:
      return "error";
  }
  return "unknown";
}

LogSink stderr_log() {
  return [](LogLevel level, std::string_view event) {
    if (level < LogLevel::info) return;
    std::string line(log_level_name(level));
    line.append(" ").append(event).append("\n");
    std::fwrite(line.data(), 1, line.size(), stderr);
  };
}

std::string log_value(std::string_view text) {
  constexpr size_t max_bytes = 512;
  const bool cut = text.size() > max_bytes;
  if (cut) text = text.substr(0, max_bytes);
  bool plain = !text.empty() && !cut;
  for (const char c : text) plain = plain && c > ' ' && c != '"' && c != '=' && c != '\\' && c != 0x7f;
  if (plain) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    }
  }
  return out + (cut ? "...\"" : "\"");
}

}  // namespace drover::runtime

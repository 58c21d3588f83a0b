// Log: structured events on stderr, one line per fact.
//
//   text: 2026-01-31T09:15:02.123456Z info capture.episode id=ur3-1 packs=12 note="two words"
//   json: {"time":"2026-01-31T09:15:02.123456Z","level":"info","event":"capture.episode","id":"ur3-1","packs":"12",...}
//
// `error` means that a human must act; errors() counts them, and tests, smoke and stress runs fail when it is not 0.
// An event that repeats word for word is written `repeat_burst` times in a window and then counted; the count
// is written as log.repeated when the window is over. Threads: all members are safe from any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "actors/runtime/clock.hpp"
#include "actors/runtime/log.hpp"

namespace spdlog {
class logger;
}

namespace drover::nodes {

using runtime::LogLevel;

// One key=value of an event. Numbers and flags are written plainly, text is quoted where it must be.
struct LogField {
  template <class T>
  requires std::is_arithmetic_v<T> LogField(std::string_view name, T number) : key(name) {
    if constexpr (std::is_same_v<T, bool>) {
      value = number ? "true" : "false";
    } else if constexpr (std::is_integral_v<T>) {
      value = std::to_string(number);
    } else {
      value = format_number(static_cast<double>(number));
    }
  }
  LogField(std::string_view name, std::string_view text) : key(name), value(text) {}
  LogField(std::string_view name, const std::string& text) : key(name), value(text) {}
  LogField(std::string_view name, const char* text) : key(name), value(text) {}

  static std::string format_number(double number);

  std::string key;
  std::string value;
};

struct LogOptions {
  enum class Format : uint8_t { text, json };
  Format format = Format::text;
  LogLevel level = LogLevel::info;  // least level that is written; errors are counted whatever it is
  uint32_t repeat_burst = 5;        // equal events written per window; 0: no limit
  int64_t repeat_window_ms = 10'000;
  std::function<void(std::string_view line)> to;  // instead of stderr; for tests
};

class Log {
 public:
  // `clock` must outlive the log.
  Log(const runtime::Clock& clock, LogOptions options);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void event(LogLevel level, std::string_view name, std::initializer_list<LogField> fields);
  // An event as the runtime gives it: "module.event key=value key=\"two words\"".
  void line(LogLevel level, std::string_view event);
  // At most one event of this key per period; the next one carries suppressed=N. For facts whose numbers differ.
  void limited(std::string_view key, int64_t period_ms, LogLevel level, std::string_view name,
               std::initializer_list<LogField> fields);

  // For Environment and modules. The log must outlive the sink's users.
  runtime::LogSink sink();

  // Writes the counts of repeated events whose window is over. Called now and then by the service loop.
  void flush_repeats();

  uint64_t errors() const noexcept { return counts_[3].load(); }
  uint64_t warnings() const noexcept { return counts_[2].load(); }

 private:
  struct Repeat {
    int64_t window_start_ms = 0;
    uint64_t seen = 0;
    LogLevel level = LogLevel::info;
  };
  struct Limit {
    int64_t next_ms = 0;
    uint64_t suppressed = 0;
  };
  bool admit(LogLevel level, const std::string& event);
  void write(LogLevel level, std::string_view event);

  const runtime::Clock& clock_;
  LogOptions options_;
  std::shared_ptr<spdlog::logger> out_;
  std::array<std::atomic<uint64_t>, 4> counts_{};  // by level
  std::mutex mutex_;
  std::map<std::string, Repeat, std::less<>> repeats_;  // bounded; by event text
  std::map<std::string, Limit, std::less<>> limits_;    // bounded; by key
};

// The parts of an event line; values unquoted. Text that is not of the form ends up in a field named "text".
struct ParsedEvent {
  std::string name;
  std::vector<std::pair<std::string, std::string>> fields;
};
ParsedEvent parse_event(std::string_view event);

// "2026-01-31T09:15:02.123456Z"
std::string format_utc_us(int64_t unix_ns);

}  // namespace drover::nodes

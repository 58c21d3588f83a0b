#include "nodes/log.hpp"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

namespace drover::nodes {
namespace {

constexpr size_t tracked_max = 512;  // different events (or keys) tracked at a time

// A sink that hands finished lines to a function.
class FunctionSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FunctionSink(std::function<void(std::string_view)> to) : to_(std::move(to)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    to_({message.payload.data(), message.payload.size()});
  }
  void flush_() override {}
  std::function<void(std::string_view)> to_;
};

std::shared_ptr<spdlog::logger> make_logger(const LogOptions& options) {
  spdlog::sink_ptr sink;
  if (options.to) {
    sink = std::make_shared<FunctionSink>(options.to);
  } else {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  }
  auto logger = std::make_shared<spdlog::logger>("drover", std::move(sink));
  logger->set_formatter(std::make_unique<spdlog::pattern_formatter>("%v"));  // the line is ours, time included
  logger->set_level(spdlog::level::trace);
  logger->flush_on(spdlog::level::trace);
  return logger;
}

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warn:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

std::string render(std::string_view name, std::initializer_list<LogField> fields) {
  std::string out(name);
  for (const LogField& field : fields)
    out.append(" ").append(field.key).append("=").append(runtime::log_value(field.value));
  return out;
}

std::string json_line(const std::string& time, LogLevel level, std::string_view event) {
  const ParsedEvent parsed = parse_event(event);
  nlohmann::ordered_json object;
  object["time"] = time;
  object["level"] = runtime::log_level_name(level);
  object["event"] = parsed.name;
  for (const auto& [key, value] : parsed.fields) {
    const bool taken = key == "time" || key == "level" || key == "event";
    object[taken ? "field_" + key : key] = value;
  }
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string LogField::format_number(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", number);
  return text;
}

std::string format_utc_us(int64_t unix_ns) {
  int64_t seconds = unix_ns / 1'000'000'000;
  int64_t rest_ns = unix_ns % 1'000'000'000;
  if (rest_ns < 0) {
    rest_ns += 1'000'000'000;
    --seconds;
  }
  std::tm parts{};
  const auto time = static_cast<std::time_t>(seconds);
  gmtime_r(&time, &parts);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", parts.tm_year + 1900, parts.tm_mon + 1,
                parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, static_cast<int>(rest_ns / 1000));
  return text;
}

ParsedEvent parse_event(std::string_view event) {
  ParsedEvent out;
  const size_t name_end = std::min(event.find(' '), event.size());
  out.name = event.substr(0, name_end);
  event.remove_prefix(name_end);
  while (!event.empty()) {
    if (event.front() == ' ') {
      event.remove_prefix(1);
      continue;
    }
    const size_t equals = event.find('=');
    const size_t space = std::min(event.find(' '), event.size());
    if (equals == std::string_view::npos || equals > space || equals == 0) {  // a bare word
      out.fields.emplace_back("text", event.substr(0, space));
      event.remove_prefix(space);
      continue;
    }
    std::string key(event.substr(0, equals));
    event.remove_prefix(equals + 1);
    std::string value;
    if (event.empty() || event.front() != '"') {
      const size_t end = std::min(event.find(' '), event.size());
      value = event.substr(0, end);
      event.remove_prefix(end);
    } else {
      size_t at = 1;
      for (; at < event.size() && event[at] != '"'; ++at) {
        const bool escaped = event[at] == '\\' && at + 1 < event.size();
        if (escaped) ++at;
        value += escaped && event[at] == 'n' ? '\n' : event[at];
      }
      event.remove_prefix(std::min(at + 1, event.size()));
    }
    out.fields.emplace_back(std::move(key), std::move(value));
  }
  return out;
}

Log::Log(const runtime::Clock& clock, LogOptions options)
    : clock_(clock), options_(std::move(options)), out_(make_logger(options_)) {}
Log::~Log() = default;

void Log::event(LogLevel level, std::string_view name, std::initializer_list<LogField> fields) {
  line(level, render(name, fields));
}

void Log::line(LogLevel level, std::string_view event) {
  ++counts_[static_cast<size_t>(level)];
  if (level < options_.level) return;
  if (options_.repeat_burst > 0) flush_repeats();
  if (options_.repeat_burst > 0 && !admit(level, std::string(event))) return;
  write(level, event);
}

void Log::limited(std::string_view key, int64_t period_ms, LogLevel level, std::string_view name,
                  std::initializer_list<LogField> fields) {
  std::string text = render(name, fields);
  bool due = true;
  {
    const std::lock_guard lock(mutex_);
    if (limits_.size() >= tracked_max && !limits_.contains(key)) limits_.clear();
    Limit& limit = limits_[std::string(key)];
    const int64_t now_ms = clock_.steady_ms();
    due = limit.next_ms == 0 || now_ms >= limit.next_ms;
    if (due) {
      if (limit.suppressed > 0) text.append(" suppressed=").append(std::to_string(limit.suppressed));
      limit = {.next_ms = std::max<int64_t>(1, now_ms + period_ms), .suppressed = 0};
    } else {
      ++limit.suppressed;
    }
  }
  if (due) {
    line(level, text);
  } else {
    ++counts_[static_cast<size_t>(level)];
  }
}

bool Log::admit(LogLevel level, const std::string& event) {
  const std::lock_guard lock(mutex_);
  const auto at = repeats_.find(event);
  if (at == repeats_.end()) {
    if (repeats_.size() < tracked_max) repeats_[event] = {clock_.steady_ms(), 1, level};
    return true;  // too many different events to track: write rather than lose
  }
  return ++at->second.seen <= options_.repeat_burst;
}

void Log::flush_repeats() {
  std::vector<std::pair<std::string, Repeat>> over;
  {
    const std::lock_guard lock(mutex_);
    const int64_t now_ms = clock_.steady_ms();
    for (auto at = repeats_.begin(); at != repeats_.end();) {
      if (now_ms - at->second.window_start_ms < options_.repeat_window_ms) {
        ++at;
        continue;
      }
      if (at->second.seen > options_.repeat_burst) over.emplace_back(at->first, at->second);
      at = repeats_.erase(at);
    }
  }
  for (const auto& [event, repeat] : over) {
    write(repeat.level, render("log.repeated", {{"times", repeat.seen - options_.repeat_burst}, {"line", event}}));
  }
}

void Log::write(LogLevel level, std::string_view event) {
  const std::string time = format_utc_us(clock_.unix_ns());
  std::string text;
  if (options_.format == LogOptions::Format::json) {
    text = json_line(time, level, event);
  } else {
    text.append(time).append(" ").append(runtime::log_level_name(level)).append(" ");
    for (const char c : event) text += c == '\n' || c == '\r' ? ' ' : c;  // one line per event, whatever comes
  }
  out_->log(spdlog_level(level), spdlog::string_view_t(text.data(), text.size()));
}

runtime::LogSink Log::sink() {
  return [this](LogLevel level, std::string_view event) { line(level, event); };
}

}  // namespace drover::nodes

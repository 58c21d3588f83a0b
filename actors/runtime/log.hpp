// The log hook: one structured event per fact, "module.event key=value key=\"two words\"".
//
// The runtime does not choose a log library: nodes/ gives a sink. The default writes to stderr.
// `error` means that a human must act; tests and stress runs fail on it. Sinks are called from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace drover::runtime {

enum class LogLevel : uint8_t { debug, info, warn, error };

std::string_view log_level_name(LogLevel level) noexcept;

using LogSink = std::function<void(LogLevel level, std::string_view event)>;

// Writes "<level> <event>\n" to stderr, from info upwards, one write per line.
LogSink stderr_log();

// A value for a log line: as it is if it is one plain word, else in quotes with \" \\ \n escaped, at most 512 bytes.
std::string log_value(std::string_view text);

}  // namespace drover::runtime

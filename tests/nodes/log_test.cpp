// Logs: the form of a line, JSON of the same facts, repeats, counts.
#include "nodes/log.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

using namespace drover;
using namespace drover::nodes;

namespace {

struct Capture {
  runtime::ManualClock clock{1'769'850'902'123'456'789};  // 2026-01-31T09:15:02.123456789Z
  std::vector<std::string> lines;
  LogOptions options(LogOptions::Format format = LogOptions::Format::text) {
    LogOptions out;
    out.format = format;
    out.to = [this](std::string_view line) { lines.emplace_back(line); };
    return out;
  }
};

}  // namespace

TEST_CASE("nodes/log: one line per event with time, level, name and quoted values") {
  Capture capture;
  Log log(capture.clock, capture.options());
  log.event(LogLevel::info, "capture.episode",
            {{"id", "ur3-1"},
             {"packs", 12},
             {"note", "two \"words\"\nand a line"},
             {"ok", true},
             {"j", 0.25},
             {"empty", ""}});
  log.line(LogLevel::error, "store.broken reason=disk\nforged line");
  log.event(LogLevel::debug, "hidden.detail", {});
  REQUIRE(capture.lines.size() == 2);
  CHECK(capture.lines[0] ==
        "2026-01-31T09:15:02.123456Z info capture.episode id=ur3-1 packs=12 "
        "note=\"two \\\"words\\\"\\nand a line\" ok=true j=0.25 empty=\"\"");
  CHECK(capture.lines[1] == "2026-01-31T09:15:02.123456Z error store.broken reason=disk forged line");
  CHECK(log.errors() == 1);
  CHECK(log.warnings() == 0);
}

TEST_CASE("nodes/log: JSON lines say the same and stay valid whatever is logged") {
  Capture capture;
  Log log(capture.clock, capture.options(LogOptions::Format::json));
  log.event(LogLevel::warn, "net.refused", {{"peer", "a\"b\\c"}, {"time", "own"}, {"bytes", 7}});
  log.sink()(LogLevel::info, "odd \xff\xfe text=\"open =x k=\"v w\" loose");
  REQUIRE(capture.lines.size() == 2);
  const auto first = nlohmann::json::parse(capture.lines[0]);
  CHECK(first["time"] == "2026-01-31T09:15:02.123456Z");
  CHECK(first["level"] == "warn");
  CHECK(first["event"] == "net.refused");
  CHECK(first["peer"] == "a\"b\\c");
  CHECK(first["field_time"] == "own");
  CHECK(first["bytes"] == "7");
  CHECK(nlohmann::json::parse(capture.lines[1])["event"] == "odd");
}

TEST_CASE("nodes/log: parse_event undoes what event writes") {
  for (const std::string value : {"", "plain", "two words", "q\"uote", "back\\slash", "line\nend", "a=b"}) {
    const ParsedEvent parsed = parse_event("x.y k=" + runtime::log_value(value) + " n=1");
    CHECK(parsed.name == "x.y");
    REQUIRE(parsed.fields.size() == 2);
    CHECK(parsed.fields[0] == std::pair<std::string, std::string>{"k", value});
    CHECK(parsed.fields[1] == std::pair<std::string, std::string>{"n", "1"});
  }
}

TEST_CASE("nodes/log: a repeated event is written a few times, then counted, and errors count all the same") {
  Capture capture;
  Log log(capture.clock, capture.options());
  for (int i = 0; i < 100; ++i) log.event(LogLevel::error, "net.down", {{"peer", "a"}});
  log.event(LogLevel::error, "net.down", {{"peer", "b"}});
  CHECK(capture.lines.size() == 6);
  CHECK(log.errors() == 101);
  capture.clock.advance_ns(10'000'000'000);
  log.flush_repeats();
  REQUIRE(capture.lines.size() == 7);
  CHECK(capture.lines[6].ends_with("error log.repeated times=95 line=\"net.down peer=a\""));
  log.event(LogLevel::error, "net.down", {{"peer", "a"}});
  CHECK(capture.lines.size() == 8);
}

TEST_CASE("nodes/log: limited writes one event per period and says how many it left out") {
  Capture capture;
  Log log(capture.clock, capture.options());
  for (int i = 0; i < 10; ++i) log.limited("lag", 1000, LogLevel::warn, "sync.lag", {{"bytes", i}});
  capture.clock.advance_ns(1'000'000'000);
  log.limited("lag", 1000, LogLevel::warn, "sync.lag", {{"bytes", 10}});
  REQUIRE(capture.lines.size() == 2);
  CHECK(capture.lines[0].ends_with("sync.lag bytes=0"));
  CHECK(capture.lines[1].ends_with("sync.lag bytes=10 suppressed=9"));
  CHECK(log.warnings() == 11);
}

TEST_CASE("nodes/log: times before 1970 and far away are written") {
  CHECK(format_utc_us(0) == "1970-01-01T00:00:00.000000Z");
  CHECK(format_utc_us(-1) == "1969-12-31T23:59:59.999999Z");
}

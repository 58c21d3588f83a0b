// Numbers and times as loggers write them.
#include "actors/capture/number.hpp"

#include <doctest/doctest.h>

#include "actors/capture/clock.hpp"
#include "actors/capture/text.hpp"

namespace drover::capture {

TEST_CASE("capture/number: points, commas, exponents, booleans") {
  CHECK(parse_number("-7,39E-30").value_or(0) == -7.39e-30);
  CHECK(parse_number("0,109627604").value_or(0) == 0.109627604);
  CHECK(parse_number(" +1.5e3 ").value_or(0) == 1500);
  CHECK(parse_number("3.67E-17").value_or(0) == 3.67e-17);
  CHECK(parse_number("42").value_or(0) == 42);
  CHECK(parse_number(".5").value_or(0) == 0.5);
  CHECK(parse_number("True").value_or(-1) == 1);
  CHECK(parse_number("FALSE").value_or(-1) == 0);
  CHECK(parse_number("1e-999").value_or(-1) == 0);
  CHECK(parse_number("4.9e-324").value_or(0) > 0);
}

TEST_CASE("capture/number: what is not wholly a finite number is none") {
  for (const char* text : {"", "  ", "1.2.3", "1,2,3", "1.234,5", "12abc", "nan", "inf", "-inf", "1e999", "--1", "+",
                           "+-1", "0x10", "1 2", "-", ",", ".", "e5"})
    CHECK_MESSAGE(!parse_number(text).has_value(), std::string(text));
  CHECK(!parse_number(std::string(100, '1')).has_value());
  CHECK(!parse_number(std::string_view("1\0", 2)).has_value());
  CHECK(!parse_number("1,5", Decimal::point).has_value());
  CHECK(!parse_number("1.5", Decimal::comma).has_value());
  CHECK(parse_number("15", Decimal::comma).value_or(0) == 15);
}

TEST_CASE("capture/clock: each format") {
  const auto time = [](const char* text, ClockFormat format, int64_t offset_s = 0) {
    ClockRule rule;
    rule.format = format;
    rule.utc_offset_s = offset_s;
    return parse_time(text, rule).value_or(-1);
  };
  using F = ClockFormat;
  CHECK(time("2022-10-26T08:17:21.847Z", F::iso8601) == 1'666'772'241'847'000'000);
  CHECK(time("2022-10-26 08:17:21,847", F::iso8601) == 1'666'772'241'847'000'000);
  CHECK(time("2022-10-26T10:17:21.847+02:00", F::iso8601) == 1'666'772'241'847'000'000);
  CHECK(time("2022-10-26T10:17:21.847", F::iso8601, 7200) == 1'666'772'241'847'000'000);
  CHECK(time("2022-10-26T08:17", F::iso8601) == 1'666'772'220'000'000'000);
  CHECK(time("2021:10:05:12:08:13.122408", F::ymd_colon) == 1'633'435'693'122'408'000);
  CHECK(time("1633435693.122408", F::unix_s) == 1'633'435'693'122'408'000);
  CHECK(time("1633435693,122408", F::unix_s) == 1'633'435'693'122'408'000);
  CHECK(time("1633435693122", F::unix_ms) == 1'633'435'693'122'000'000);
  CHECK(time("1633435693122408", F::unix_us) == 1'633'435'693'122'408'000);
  CHECK(time("1633435693122408123", F::unix_ns) == 1'633'435'693'122'408'123);
  CHECK(time("1550304.53", F::uptime_s) == 1'550'304'530'000'000);
  CHECK(time("1.5e3", F::unix_s) == 1'500'000'000'000);
}

TEST_CASE("capture/clock: what is no time in 1970 to 2198 is refused") {
  const auto refused = [](const char* text, ClockFormat format) {
    ClockRule rule;
    rule.format = format;
    return !parse_time(text, rule).has_value();
  };
  using F = ClockFormat;
  for (const char* text : {"", "x", "2022-13-01T00:00:00Z", "2022-02-30T00:00:00Z", "1969-12-31T23:59:59Z",
                           "2022-10-26T08:17:21.Z", "2022-10-26T08:17:21.847Q", "2022-10-26", "20221026T081721Z",
                           "9999-10-26T08:17:21Z", "2022-10-26T25:17:21Z", "2022-10-26T08:17:21+2"})
    CHECK_MESSAGE(refused(text, F::iso8601), text);
  for (const char* text : {"-1", "nan", "1e300", "99999999999999999999", "7200000001"})
    CHECK_MESSAGE(refused(text, F::unix_s), text);
  CHECK(refused("9999999999999999999", F::unix_ns));
  ClockRule late;
  late.format = F::uptime_s;
  late.epoch_ns = time_max_ns;
  CHECK(!parse_time("1", late).has_value());
}

TEST_CASE("capture/text: what is kept is printable UTF-8 of bounded length") {
  CHECK(printable("caf\xC3\xA9") == "caf\xC3\xA9");
  CHECK(printable("a\nb\x01\x7F") == "a?b??");
  CHECK(printable("\xFF\xC3") == "??");
  CHECK(printable("\xED\xA0\x80") == "???");
  CHECK(printable(std::string(500, 'x')).size() == 200);
  CHECK(printable("\xC3\xA9\xC3\xA9", 3) == "\xC3\xA9");
}

}  // namespace drover::capture

// The CSV reader on odd, damaged and hostile text.
#include "actors/capture/csv.hpp"

#include <doctest/doctest.h>

#include "tests/capture/support.hpp"

namespace drover::capture::test {
namespace {

struct Table {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  std::vector<uint64_t> lines;
  bool last_terminated = true;
  std::optional<CsvDamage> damage;
  std::optional<Error> error;
};

Table read(std::string_view text, CsvFormat format = {}) {
  Table table;
  CsvReader reader(memory(text), format);
  if (auto status = reader.read_header(); !status) {
    table.error = status.error();
    return table;
  }
  table.header = reader.header();
  while (const CsvRow* row = reader.next()) {
    table.rows.emplace_back(row->cells.begin(), row->cells.end());
    table.ranges.emplace_back(row->offset, row->end);
    table.lines.push_back(row->line);
    table.last_terminated = row->terminated;
  }
  table.damage = reader.damage();
  return table;
}

using Row = std::vector<std::string>;

}  // namespace

TEST_CASE("capture/csv: LF, CRLF, bare CR and a mix give the same rows") {
  for (const char* text : {"a,b\n1,2\n3,4\n", "a,b\r\n1,2\r\n3,4\r\n", "a,b\r1,2\r3,4\r", "a,b\r1,2\n3,4\r\n",
                           "\xEF\xBB\xBF"
                           "a,b\n\n1,2\n \n3,4"}) {
    CAPTURE(text);
    const Table t = read(text);
    CHECK(t.header == Row{"a", "b"});
    REQUIRE(t.rows.size() == 2);
    CHECK(t.rows[0] == Row{"1", "2"});
    CHECK(t.rows[1] == Row{"3", "4"});
    CHECK(!t.damage);
  }
  CHECK(read("a,b\n1,2").last_terminated == false);
  CHECK(read("a,b\n1,2\n").last_terminated == true);
}

TEST_CASE("capture/csv: a fixed line end leaves the other characters in the cell") {
  CsvFormat format;
  format.line_ends = LineEnds::crlf;
  CHECK(read("a,b\r\n1,2\n3\r\n", format).rows.at(0) == Row{"1", "2\n3"});
  format.line_ends = LineEnds::cr;
  CHECK(read("a,b\r1,2\n\r", format).rows.at(0) == Row{"1", "2\n"});
}

TEST_CASE("capture/csv: the separator is found, the header trimmed, trailing empty columns dropped") {
  CHECK(read("a;b ;;\n1,5;2;;\n").header == Row{"a", "b"});
  CHECK(read("a;b ;;\n1,5;2;;\n").rows.at(0) == Row{"1,5", "2", "", ""});
  CHECK(read("a\tb\n1\t2\n").rows.at(0) == Row{"1", "2"});
  CHECK(read("a|b\n1|2\n").rows.at(0) == Row{"1", "2"});
  CHECK(read("\"x;y\",b\n1,2\n").header == Row{"x;y", "b"});
  CHECK(read("only\n1\n").rows.at(0) == Row{"1"});
}

TEST_CASE("capture/csv: quoted cells") {
  const Table t = read("a,b\n\"1,2\",\"say \"\"hi\"\"\"\n\"line\nend\",x\"y\n");
  REQUIRE(t.rows.size() == 2);
  CHECK(t.rows[0] == Row{"1,2", "say \"hi\""});
  CHECK(t.rows[1] == Row{"line\nend", "x\"y"});
  CHECK(t.lines == std::vector<uint64_t>{2, 3});
  const Table torn = read("a,b\n1,\"never closed\n2,3\n");
  REQUIRE(torn.rows.size() == 1);
  CHECK(!torn.last_terminated);
}

TEST_CASE("capture/csv: row ranges are the row's exact bytes") {
  const std::string text = "a,b\r\n1,2\r\n\r\n\"3\",4\n5,6";
  const Table t = read(text);
  REQUIRE(t.ranges.size() == 3);
  CHECK(text.substr(t.ranges[0].first, t.ranges[0].second - t.ranges[0].first) == "1,2\r\n");
  CHECK(text.substr(t.ranges[1].first, t.ranges[1].second - t.ranges[1].first) == "\"3\",4\n");
  CHECK(text.substr(t.ranges[2].first, t.ranges[2].second - t.ranges[2].first) == "5,6");
}

TEST_CASE("capture/csv: comments before and between rows are skipped and remembered") {
  CsvFormat format;
  format.comment = "#";
  const Table t = read("# one; two\na;b\n# x\n1;2\n", format);
  CHECK(t.header == Row{"a", "b"});
  CHECK(t.rows.size() == 1);
  CsvReader reader(memory("# one; two\n#three\na;b\n"), format);
  REQUIRE(reader.read_header());
  CHECK(reader.comments() == Row{"one; two", "three"});
}

TEST_CASE("capture/csv: bounds on line length and columns are damage at that line") {
  CsvFormat format;
  format.line_bytes_max = 100;
  format.columns_max = 5;
  Table t = read("a,b\n1,2\n" + std::string(300, 'x') + "\n3,4\n", format);
  CHECK(t.rows.size() == 1);
  REQUIRE(t.damage);
  CHECK(t.damage->line == 3);
  CHECK(t.damage->offset == 8);
  CHECK(t.damage->code == Errc::too_large);
  t = read("a,b\n1,2\n,,,,,,,,,\n", format);
  REQUIRE(t.damage);
  CHECK(t.damage->line == 3);
  t = read("a,b\n\"" + std::string(300, 'x'), format);
  CHECK(t.damage);
  CHECK(read(std::string(200, 'x') + "\n", format).error);
}

TEST_CASE("capture/csv: no header line is an error, bytes of all kinds are text") {
  CHECK(read("").error);
  CHECK(read("\n\n\r").error);
  CHECK(read(";;;\n1;2;3;4\n").error);
  const Table t = read(std::string_view("a,b\n\0\xFF,2\n", 9));
  REQUIRE(t.rows.size() == 1);
  CHECK(t.rows[0][0] == std::string("\0\xFF", 2));
}

TEST_CASE("capture/csv: rows across the read window are whole") {
  std::string text = "a,b\n";
  uint64_t expected = 0;
  while (text.size() < (3u << 20)) {
    text += std::to_string(expected) + ",\"" + std::string(expected % 97, 'y') + "\"\r\n";
    ++expected;
  }
  const Table t = read(text);
  REQUIRE(t.rows.size() == expected);
  for (uint64_t i = 0; i < expected; ++i) {
    REQUIRE(t.rows[i].size() == 2);
    REQUIRE(t.rows[i][0] == std::to_string(i));
    REQUIRE(t.rows[i][1].size() == i % 97);
  }
}

}  // namespace drover::capture::test

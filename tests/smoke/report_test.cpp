// The report as a plain value: what it says as text, JSON and HTML.
#include "smoke/report.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

using namespace drover::smoke;

namespace {

Report example() {
  Report report;
  report.title = "A <run> & more";
  report.subtitle = "two robots";
  report.seed = 3;
  report.checks = {{"nothing lost", true, "12 of 12"}};
  report.tables = {{"Tasks", "a note", {"task", "packs"}, {{"pick", {"12"}}}}};
  report.metrics_json = R"({"episodes": 12})";
  Plot lines;
  lines.title = "backlog";
  lines.series = {{"a", {{0, 1}, {1, 2}}}, {"b", {{0, 2}, {1, 0}}}};
  lines.marks = {{0.5, "link <cut>"}, {0.5, "again"}};
  Plot bars;
  bars.kind = Plot::Kind::bars;
  bars.bar_names = {"x", "y"};
  bars.series = {{"a", {{0, 1}, {0, 2}}}, {"b", {{0, 3}, {0, 0}}}};
  Plot histogram;
  histogram.kind = Plot::Kind::histogram;
  histogram.series = {{"t", {{0, -1}, {0, 0}, {0, 0.5}}}};
  Plot empty;
  report.plots = {lines, bars, histogram, empty};
  return report;
}

}  // namespace

TEST_CASE("smoke/report: it passed only when there were checks and all held") {
  Report report = example();
  CHECK(report.passed());
  report.checks.push_back({"order kept", false, "record 3 came before 2"});
  CHECK_FALSE(report.passed());
  CHECK(to_text(report).find("BROKEN  order kept  (record 3 came before 2)") != std::string::npos);
  CHECK(to_html(report).find("1 of 2 invariants broken") != std::string::npos);
  report.checks.clear();
  CHECK_FALSE(report.passed());
}

TEST_CASE("smoke/report: JSON holds checks, rows by column and metrics") {
  const auto json = nlohmann::json::parse(to_json(example()));
  CHECK(json["passed"] == true);
  CHECK(json["invariants"][0]["name"] == "nothing lost");
  CHECK(json["tables"][0]["rows"][0]["packs"] == "12");
  CHECK(json["metrics"]["episodes"] == 12);
}

TEST_CASE("smoke/report: HTML escapes what comes from outside and shows every picture") {
  const std::string html = to_html(example());
  CHECK(html.find("<run>") == std::string::npos);
  CHECK(html.find("A &lt;run&gt; &amp; more") != std::string::npos);
  CHECK(html.find("link &lt;cut&gt;") != std::string::npos);
  CHECK(html.find("hold nothing to show") != std::string::npos);
  CHECK(html.find("nan") == std::string::npos);
  CHECK(html.find("inf\"") == std::string::npos);
}

TEST_CASE("smoke/report: a picture of equal or of no values is still finite") {
  Report report = example();
  Plot flat;
  flat.kind = Plot::Kind::histogram;
  flat.series = {{"same", {{0, 0}, {0, 0}, {0, 0}}}};
  Plot zero;
  zero.kind = Plot::Kind::bars;
  zero.bar_names = {"none"};
  zero.series = {{"a", {{0, 0}}}};
  Plot point;
  point.series = {{"a", {{0, 0}}}};
  report.plots = {flat, zero, point};
  const std::string html = to_html(report);
  CHECK(html.find("nan") == std::string::npos);
  CHECK(html.find("=inf") == std::string::npos);
  CHECK(html.find("=-inf") == std::string::npos);
}

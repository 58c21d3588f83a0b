// The report of a run: one value that is written as a table for the terminal, as JSON for tools and as one HTML
// page that works offline (plots are inline SVG, no scripts, no outside files).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "messages/result.hpp"

namespace drover::smoke {

struct Row {
  std::string name;
  std::vector<std::string> cells;
};
struct Table {
  std::string title;
  std::string note;
  std::vector<std::string> columns;  // the first names the row
  std::vector<Row> rows;
};

struct Point {
  double x = 0;
  double y = 0;
};
struct Series {
  std::string name;
  std::vector<Point> points;
};
// A moment on the x axis that is pointed out.
struct PlotMark {
  double x = 0;
  std::string what;
};
struct Plot {
  enum class Kind : uint8_t { lines, bars, histogram, dots };
  Kind kind = Kind::lines;
  std::string title;
  std::string note;
  std::string x_label;
  std::string y_label;
  std::vector<Series> series;          // lines: one each; histogram: the y of the first series are the samples
  std::vector<std::string> bar_names;  // bars: the names of the points, in this order; several series are stacked.
                                       // dots: the names of the rows; a point's y says which row it is in
  std::vector<PlotMark> marks;         // lines: what happened when
};

// Pictures in rows: one row an episode, one picture a moment of it.
struct SheetPicture {
  std::string caption;
  std::string jpeg;
};
struct SheetRow {
  std::string name;
  std::string detail;
  std::string tone;  // good | mixed | bad | plain: the colour of the name
  std::vector<SheetPicture> pictures;
};
struct Sheet {
  std::string title;
  std::string note;
  std::vector<SheetRow> rows;
};

// A promise that the run checked.
struct Check {
  std::string name;
  bool held = false;
  std::string detail;
};

// A figure for the head of the page.
struct Headline {
  std::string value;
  std::string label;
};

struct Report {
  std::string title;
  std::string subtitle;  // what ran on which input; says so when logs were generated
  uint64_t seed = 0;
  double wall_s = 0;
  std::vector<Headline> headlines;
  std::vector<Check> checks;
  std::vector<Table> tables;
  std::vector<Plot> plots;
  std::vector<Sheet> sheets;  // in the HTML only
  std::string metrics_json;   // free-form numbers for tools; one JSON object

  bool passed() const;
};

std::string to_text(const Report& report);
std::string to_json(const Report& report);
std::string to_html(const Report& report);

// Writes report.json and index.html into `folder` (made if absent). Errors: io.
Status write_report(const Report& report, const std::string& folder);

}  // namespace drover::smoke

// The HTML form of a report: one page, inline SVG, readable in light and dark, printable.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>

#include "smoke/report.hpp"

namespace drover::smoke {
namespace {

constexpr double width = 640, height = 270, left = 64, right = 16, top = 26, bottom = 44;
// Colours that are told apart by most eyes, on white and on black (after Okabe and Ito, darkened).
constexpr std::array<const char*, 7> colours{"#2f6fde", "#e08a00", "#0a9b76", "#cc4c8f",
                                             "#7a5af0", "#1a9ed9", "#8a8f98"};

const char* colour_of(size_t index) {
  return colours[index % colours.size()];
}

std::string escape(const std::string& text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string number(double value) {
  const double size = std::abs(value);
  if (size >= 1e5 || (size > 0 && size < 1e-3)) return fmt::format("{:.1e}", value);
  return fmt::format("{:.4g}", value);
}

struct Axis {
  double low = 0;
  double high = 1;
  double step = 0.2;
};

// A range with round tick steps that covers [low, high].
Axis axis(double low, double high) {
  if (!(high > low)) high = low + 1;
  const double raw = (high - low) / 5;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  const double unit = raw / power;
  const double step = power * (unit <= 1 ? 1 : unit <= 2 ? 2 : unit <= 5 ? 5 : 10);
  return {std::floor(low / step) * step, std::ceil(high / step) * step, step};
}

struct Frame {
  Axis x, y;
  double px(double v) const { return left + (v - x.low) / (x.high - x.low) * (width - left - right); }
  double py(double v) const { return height - bottom - (v - y.low) / (y.high - y.low) * (height - top - bottom); }
};

std::string svg_open(const std::string& label) {
  return fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", width, height, escape(label));
}

std::string y_grid(const Frame& f, const std::string& label) {
  std::string out;
  for (int i = 0; i <= 12; ++i) {
    const double v = f.y.low + i * f.y.step;
    if (v > f.y.high + f.y.step / 2) break;
    out += fmt::format("<line class=grid x1={:.1f} x2={:.1f} y1={:.1f} y2={:.1f} />", left, width - right, f.py(v),
                       f.py(v));
    out +=
        fmt::format("<text x={:.1f} y={:.1f} class=tick text-anchor=end>{}</text>", left - 6, f.py(v) + 4, number(v));
  }
  return out +
         fmt::format("<text class=label transform=\"translate(14 {:.1f}) rotate(-90)\" text-anchor=middle>{}</text>",
                     (top + height - bottom) / 2, escape(label));
}

std::string x_ticks(const Frame& f, const std::string& label) {
  std::string out;
  for (int i = 0; i <= 12; ++i) {
    const double v = f.x.low + i * f.x.step;
    if (v > f.x.high + f.x.step / 2) break;
    out += fmt::format("<text x={:.1f} y={:.1f} class=tick text-anchor=middle>{}</text>", f.px(v), height - bottom + 16,
                       number(v));
  }
  return out + fmt::format("<text x={:.1f} y={:.1f} class=label text-anchor=middle>{}</text>",
                           (left + width - right) / 2, height - 6, escape(label));
}

Frame lines_frame(const Plot& plot) {
  double x0 = 0, x1 = -INFINITY, y0 = 0, y1 = 0;
  for (const Series& s : plot.series)
    for (const Point& p : s.points) {
      x0 = std::min(x0, p.x), x1 = std::max(x1, p.x);
      y0 = std::min(y0, p.y), y1 = std::max(y1, p.y);
    }
  if (!(x1 > x0)) x1 = x0 + 1;
  Axis x = axis(x0, x1);
  x.high = x1;  // time ends where the run ends
  return {x, axis(y0, y1)};
}

// Numbered pins; two that are close share a place side by side. The numbers are those of the course table.
std::string marks_svg(const Plot& plot, const Frame& f) {
  std::string out;
  double free_x = left;
  for (size_t i = 0; i < plot.marks.size(); ++i) {
    const double x = f.px(std::clamp(plot.marks[i].x, f.x.low, f.x.high));
    const double label_x = std::clamp(x, free_x + 7, width - right);
    free_x = label_x + 8;
    out += fmt::format(
        "<g><title>{}: {}</title><line class=mark x1={:.1f} x2={:.1f} y1={:.1f} y2={:.1f} />"
        "<line class=mark x1={:.1f} x2={:.1f} y1={:.1f} y2={:.1f} />"
        "<circle class=pin cx={:.1f} cy=10 r=7 /><text class=pinno x={:.1f} y=13.5 text-anchor=middle>{}</text></g>",
        i + 1, escape(plot.marks[i].what), x, x, top, height - bottom, label_x, x, 17.0, top, label_x, label_x, i + 1);
  }
  return out;
}

std::string lines_svg(const Plot& plot) {
  const Frame f = lines_frame(plot);
  std::string out = svg_open(plot.title) + y_grid(f, plot.y_label) + x_ticks(f, plot.x_label) + marks_svg(plot, f);
  for (size_t i = 0; i < plot.series.size(); ++i) {
    std::string path;
    for (const Point& p : plot.series[i].points)
      path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "" : " ", f.px(p.x), f.py(p.y));
    if (plot.series.size() == 1 && !plot.series[0].points.empty())
      out += fmt::format("<polygon fill=\"{}\" opacity=0.15 points=\"{:.1f},{:.1f} {} {:.1f},{:.1f}\" />", colour_of(i),
                         f.px(plot.series[0].points.front().x), f.py(0), path, f.px(plot.series[0].points.back().x),
                         f.py(0));
    out += fmt::format("<polyline fill=none stroke=\"{}\" stroke-width=2 stroke-linejoin=round points=\"{}\" />",
                       colour_of(i), path);
  }
  return out + "</svg>";
}

// What fits under a bar.
std::string short_name(const std::string& name, double room) {
  const auto letters = static_cast<size_t>(std::max(3.0, room / 6.2));
  return name.size() <= letters ? name : name.substr(0, letters - 1) + "\u2026";
}

// One bar stands for one name; its parts are the series, stacked. Values must not be negative.
struct Bars {
  std::vector<std::string> names;
  std::vector<std::string> parts;
  std::vector<std::vector<double>> values;  // [part][bar]
  double gap = 0.24;                        // of a bar's room
  bool label_all = true;
};

std::string bars_svg(const Bars& bars, const Plot& plot) {
  const size_t count = std::max<size_t>(1, bars.names.size());
  std::vector<double> sums(count, 0);
  for (const auto& part : bars.values)
    for (size_t i = 0; i < part.size(); ++i) sums[i] += part[i];
  const Frame f{{0, static_cast<double>(count), 1}, axis(0, *std::max_element(sums.begin(), sums.end()))};
  const double room = (width - left - right) / static_cast<double>(count);
  std::string out = svg_open(plot.title) + y_grid(f, plot.y_label);
  std::fill(sums.begin(), sums.end(), 0.0);
  for (size_t p = 0; p < bars.values.size(); ++p) {
    for (size_t i = 0; i < bars.values[p].size(); ++i) {
      const double value = bars.values[p][i];
      if (!(value > 0)) continue;
      const double y = f.py(sums[i] + value), h = f.py(sums[i]) - y;
      out +=
          fmt::format("<rect x={:.1f} y={:.1f} width={:.1f} height={:.1f} fill=\"{}\"><title>{} {}: {}</title></rect>",
                      f.px(static_cast<double>(i)) + room * bars.gap / 2, y, room * (1 - bars.gap), std::max(h, 0.8),
                      colour_of(p), escape(bars.names[i]), escape(bars.parts[p]), number(value));
      sums[i] += value;
    }
  }
  for (size_t i = 0; i < bars.names.size() && bars.label_all; ++i) {
    const double x = f.px(static_cast<double>(i) + 0.5);
    out += fmt::format("<text x={:.1f} y={:.1f} class=tick text-anchor=middle>{}</text>", x, height - bottom + 16,
                       escape(short_name(bars.names[i], room)));
    out += fmt::format("<text x={:.1f} y={:.1f} class=value text-anchor=middle>{}</text>", x, f.py(sums[i]) - 5,
                       number(sums[i]));
  }
  return out + fmt::format("<text x={:.1f} y={:.1f} class=label text-anchor=middle>{}</text>",
                           (left + width - right) / 2, height - 6, escape(plot.x_label));
}

std::string named_bars_svg(const Plot& plot) {
  Bars bars;
  bars.names = plot.bar_names;
  for (const Series& series : plot.series) {
    bars.parts.push_back(series.name);
    std::vector<double>& values = bars.values.emplace_back();
    for (const Point& p : series.points) values.push_back(p.y);
  }
  return bars_svg(bars, plot) + "</svg>";
}

std::string histogram_svg(const Plot& plot) {
  std::vector<double> samples;
  for (const Series& s : plot.series)
    for (const Point& p : s.points) samples.push_back(p.y);
  std::sort(samples.begin(), samples.end());
  // The outer percent on each side goes into the outer bins, so that one outlier does not flatten the picture. Bin
  // limits are round numbers and zero is one of them.
  const size_t cut = samples.size() / 100;
  const Axis range = samples.empty() ? Axis{} : axis(std::min(0.0, samples[cut]), samples[samples.size() - 1 - cut]);
  const double step = range.step / 5;
  const auto bins = static_cast<size_t>(std::clamp(std::round((range.high - range.low) / step), 1.0, 200.0));
  Bars bars;
  bars.gap = 0.08;
  bars.label_all = false;
  for (size_t i = 0; i < bins; ++i) bars.names.push_back(number(range.low + step * (static_cast<double>(i) + 0.5)));
  for (const Series& s : plot.series) {
    bars.parts.push_back(s.name);
    std::vector<double>& counts = bars.values.emplace_back(bins, 0.0);
    for (const Point& p : s.points)
      counts[static_cast<size_t>(std::clamp((p.y - range.low) / step, 0.0, static_cast<double>(bins) - 1))] += 1;
  }
  const Frame f{range, {}};
  std::string out = bars_svg(bars, plot);
  for (int i = 0; i <= 12; ++i) {
    const double v = range.low + i * range.step;
    if (v > range.high + range.step / 2) break;
    const double shown = std::abs(v) < range.step * 1e-6 ? 0 : v;
    out += fmt::format("<text x={:.1f} y={:.1f} class=tick text-anchor=middle>{}</text>", f.px(v), height - bottom + 16,
                       number(shown));
  }
  if (range.low < 0 && range.high > 0)
    out += fmt::format("<line class=zero x1={:.1f} x2={:.1f} y1={:.1f} y2={:.1f} />", f.px(0), f.px(0), top,
                       height - bottom);
  return out + "</svg>";
}

// One point per value, in named rows; points of a row are set apart so that none hides another.
std::string dots_svg(const Plot& plot) {
  double low = 0, high = 0;
  for (const Series& s : plot.series)
    for (const Point& p : s.points) low = std::min(low, p.x), high = std::max(high, p.x);
  const Axis x = axis(low, high);
  const Frame f{x, {0, 1, 1}};
  const double rows = static_cast<double>(std::max<size_t>(1, plot.bar_names.size()));
  const double room = (height - top - bottom) / rows;
  std::string out = svg_open(plot.title) + x_ticks(f, plot.x_label);
  for (size_t i = 0; i < plot.bar_names.size(); ++i) {
    const double y = top + room * (static_cast<double>(i) + 0.5);
    out += fmt::format("<line class=grid x1={:.1f} x2={:.1f} y1={:.1f} y2={:.1f} />", left, width - right, y, y);
    out += fmt::format("<text x={:.1f} y={:.1f} class=tick text-anchor=end>{}</text>", left - 6, y + 4,
                       escape(short_name(plot.bar_names[i], left)));
  }
  if (low < 0)
    out += fmt::format("<line class=zero x1={:.1f} x2={:.1f} y1={:.1f} y2={:.1f} />", f.px(0), f.px(0), top,
                       height - bottom);
  std::vector<size_t> in_row(plot.bar_names.size(), 0);
  for (size_t s = 0; s < plot.series.size(); ++s) {
    for (const Point& p : plot.series[s].points) {
      const size_t row = std::min(static_cast<size_t>(std::max(0.0, p.y)), in_row.size() - 1);
      const double apart = 0.12 * room * (static_cast<double>(in_row[row]++ % 5) - 2);
      out +=
          fmt::format("<circle cx={:.1f} cy={:.1f} r=5.5 fill=\"{}\" fill-opacity=0.85><title>{}: {}</title></circle>",
                      f.px(p.x), top + room * (static_cast<double>(row) + 0.5) + apart, colour_of(s),
                      escape(plot.series[s].name), number(p.x));
    }
  }
  return out + "</svg>";
}

bool empty_plot(const Plot& plot) {
  return std::all_of(plot.series.begin(), plot.series.end(), [](const Series& s) { return s.points.empty(); });
}

std::string legend_html(const Plot& plot) {
  if (plot.series.size() < 2) return "";
  std::string out = "<p class=legend>";
  for (size_t i = 0; i < plot.series.size(); ++i)
    out += fmt::format("<span><i style=\"background:{}\"></i>{}</span>", colour_of(i), escape(plot.series[i].name));
  return out + "</p>";
}

std::string plot_html(const Plot& plot) {
  std::string svg;
  if (empty_plot(plot))
    svg = "<p class=none>These logs hold nothing to show here.</p>";
  else if (plot.kind == Plot::Kind::lines)
    svg = lines_svg(plot);
  else if (plot.kind == Plot::Kind::histogram)
    svg = histogram_svg(plot);
  else if (plot.kind == Plot::Kind::dots && !plot.bar_names.empty())
    svg = dots_svg(plot);
  else
    svg = named_bars_svg(plot);
  return fmt::format("<figure><figcaption>{}</figcaption>{}{}<p class=note>{}</p></figure>", escape(plot.title),
                     legend_html(plot), svg, escape(plot.note));
}

// Numbers, with or without a unit, stand to the right.
bool numeric(const std::string& cell) {
  return !cell.empty() && (std::isdigit(static_cast<unsigned char>(cell[0])) || cell[0] == '+' || cell[0] == '-');
}

bool numeric_column(const Table& table, size_t cell) {
  return !table.rows.empty() && std::all_of(table.rows.begin(), table.rows.end(), [&](const Row& row) {
    return cell < row.cells.size() && numeric(row.cells[cell]);
  });
}

std::string table_html(const Table& table) {
  std::string out = fmt::format("<section><h2>{}</h2><div class=scroll><table><tr>", escape(table.title));
  for (size_t i = 0; i < table.columns.size(); ++i)
    out += fmt::format("<th{}>{}</th>", i > 0 && numeric_column(table, i - 1) ? " class=num" : "",
                       escape(table.columns[i]));
  out += "</tr>";
  for (const Row& row : table.rows) {
    out += "<tr><td>" + escape(row.name) + "</td>";
    for (size_t i = 0; i < row.cells.size(); ++i)
      out += fmt::format("<td{}>{}</td>", numeric_column(table, i) ? " class=num" : "", escape(row.cells[i]));
    out += "</tr>";
  }
  return out + "</table></div>" + (table.note.empty() ? "" : "<p class=note>" + escape(table.note) + "</p>") +
         "</section>";
}

std::string base64(const std::string& bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t word = 0;
    for (size_t k = 0; k < 3; ++k)
      word = word << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) out += i + k > bytes.size() ? '=' : digits[word >> (18 - 6 * k) & 63];
  }
  return out;
}

std::string sheet_html(const Sheet& sheet) {
  std::string out = "<h2>" + escape(sheet.title) + "</h2><div class=sheet>";
  for (const SheetRow& row : sheet.rows) {
    out += fmt::format("<div class=strip><div class=about><b class=\"{}\">{}</b><span>{}</span></div>",
                       escape(row.tone), escape(row.name), escape(row.detail));
    for (const SheetPicture& picture : row.pictures)
      out += fmt::format("<div class=shot><img alt=\"{0}\" src=\"data:image/jpeg;base64,{1}\"><span>{0}</span></div>",
                         escape(picture.caption), base64(picture.jpeg));
    out += "</div>";
  }
  return out + "</div>" + (sheet.note.empty() ? "" : "<p class=note>" + escape(sheet.note) + "</p>");
}

std::string checks_html(const std::vector<Check>& checks) {
  std::string out = "<h2>Invariants</h2><ul class=checks>";
  for (const Check& check : checks)
    out += fmt::format("<li class={}><b>{}</b><span>{}</span></li>", check.held ? "held" : "broken", escape(check.name),
                       escape(check.detail));
  return out + "</ul>";
}

constexpr const char* style = R"(
:root{color-scheme:light dark;--ink:#18202c;--soft:#596576;--line:#dbe0e8;--card:#fff;--page:#f3f5f8;--good:#047857;--bad:#b91c1c}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa5b4;--line:#2c3542;--card:#171d26;--page:#0f141b;--good:#34d399;--bad:#f87171}}
*{box-sizing:border-box}body{font:15px/1.5 system-ui,"DejaVu Sans",sans-serif;color:var(--ink);background:var(--page);margin:0 auto;padding:28px;max-width:1180px}
header{display:flex;gap:20px;align-items:flex-start;justify-content:space-between;flex-wrap:wrap}
h1{font-size:27px;line-height:1.2;margin:0}h2{font-size:18px;margin:30px 0 10px}.sub{color:var(--soft);margin:6px 0 0}
.verdict{padding:8px 16px;border-radius:8px;color:#fff;font-weight:600;font-size:16px}.pass{background:#047857}.fail{background:#b91c1c}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(108px,1fr));gap:12px;margin:22px 0 0}
.tiles div,figure,.checks{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tiles div{padding:12px 14px}.tiles b{display:block;font-size:17px;white-space:nowrap;line-height:1.25;font-variant-numeric:tabular-nums}.tiles span{color:var(--soft);font-size:13px}
.checks{list-style:none;margin:0;padding:6px 0;columns:2;column-gap:0}
.checks li{break-inside:avoid;padding:5px 16px 5px 42px;position:relative}.checks b{font-weight:600;display:block}.checks span{color:var(--soft);font-size:13px;display:block}
.checks li:before{position:absolute;left:16px;font-weight:700;content:"\2713";color:var(--good)}.checks li.broken:before{content:"\2717";color:var(--bad)}
.checks li.broken b,.checks li.broken span{color:var(--bad)}
@media(max-width:760px){.checks{columns:1}}
table{border-collapse:collapse;background:var(--card);width:100%}th,td{padding:6px 12px;border:1px solid var(--line);text-align:left;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.num{text-align:right}th{color:var(--soft);font-weight:600}.scroll{overflow-x:auto}.note{color:var(--soft);font-size:13px;margin:6px 0 0}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));gap:16px}
figure{margin:0;padding:14px 16px;break-inside:avoid}figcaption{font-weight:600;margin-bottom:4px}.legend{margin:0 0 2px;font-size:13px;color:var(--soft);display:flex;flex-wrap:wrap;gap:4px 16px}
.legend i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px;vertical-align:-1px}.none{color:var(--soft);padding:60px 0;text-align:center}
.sheet{display:grid;gap:10px}.strip{display:grid;grid-template-columns:170px repeat(6,minmax(0,1fr));gap:8px;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 12px;break-inside:avoid}
.about b{display:block}.about span,.shot span{color:var(--soft);font-size:12px;display:block;white-space:pre-line;line-height:1.35}.shot{text-align:center}.shot img{width:100%;display:block;border-radius:6px;image-rendering:auto}
b.good{color:var(--good)}b.bad{color:var(--bad)}b.mixed{color:#b45309}@media(prefers-color-scheme:dark){b.mixed{color:#fbbf24}}@media(max-width:760px){.strip{grid-template-columns:repeat(3,1fr)}.about{grid-column:1/-1}}
svg{width:100%;height:auto;display:block}.grid{stroke:var(--line)}.tick,.value{font-size:11px;fill:var(--soft)}.value{fill:var(--ink)}.label{font-size:12px;fill:var(--soft)}
.mark{stroke:var(--soft);stroke-dasharray:3 3;opacity:.55}.zero{stroke:var(--ink);stroke-width:1}.pin{fill:var(--soft)}.pinno{font-size:9.5px;font-weight:700;fill:var(--card)}
)";

std::string head_html(const Report& report) {
  std::string out = fmt::format(
      "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width\">"
      "<title>{}</title><style>{}</style></head><body><header><div><h1>{}</h1><p class=sub>{}<br>seed {} &middot; "
      "{:.1f} s in all</p></div>",
      escape(report.title), style, escape(report.title), escape(report.subtitle), report.seed, report.wall_s);
  const auto broken =
      std::count_if(report.checks.begin(), report.checks.end(), [](const Check& check) { return !check.held; });
  out +=
      report.passed()
          ? fmt::format("<span class=\"verdict pass\">all {} invariants held</span>", report.checks.size())
          : fmt::format("<span class=\"verdict fail\">{} of {} invariants broken</span>", broken, report.checks.size());
  out += "</header><div class=tiles>";
  for (const Headline& tile : report.headlines)
    out += fmt::format("<div><b>{}</b><span>{}</span></div>", escape(tile.value), escape(tile.label));
  return out + "</div>";
}

}  // namespace

std::string to_html(const Report& report) {
  std::string out = head_html(report) + checks_html(report.checks);
  for (const Sheet& sheet : report.sheets) out += sheet_html(sheet);
  out += "<h2>Pictures</h2><div class=plots>";
  for (const Plot& plot : report.plots) out += plot_html(plot);
  out += "</div>";
  for (const Table& table : report.tables) out += table_html(table);
  return out + "</body></html>\n";
}

}  // namespace drover::smoke

// The HTML form of a report: one page, inline SVG, readable in light and dark, printable.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "smoke/report.hpp"

namespace drover::smoke {
namespace {

constexpr double width = 640, height = 260, left = 64, right = 16, top = 16, bottom = 44;
constexpr std::array<const char*, 6> colours{"#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2"};

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
  double x0 = INFINITY, x1 = -INFINITY, y0 = 0, y1 = 0;
  for (const Series& s : plot.series)
    for (const Point& p : s.points) {
      x0 = std::min(x0, p.x), x1 = std::max(x1, p.x);
      y0 = std::min(y0, p.y), y1 = std::max(y1, p.y);
    }
  if (!(x1 >= x0)) x0 = 0, x1 = 1;
  return {axis(x0, x1), axis(y0, y1)};
}

std::string lines_svg(const Plot& plot) {
  const Frame f = lines_frame(plot);
  std::string out = svg_open(plot.title) + y_grid(f, plot.y_label) + x_ticks(f, plot.x_label);
  for (size_t i = 0; i < plot.series.size(); ++i) {
    std::string path;
    for (const Point& p : plot.series[i].points)
      path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "" : " ", f.px(p.x), f.py(p.y));
    const char* colour = colours[i % colours.size()];
    out += fmt::format("<polyline fill=none stroke=\"{}\" stroke-width=2 points=\"{}\" />", colour, path);
    out += fmt::format("<text x={:.1f} y={:.1f} class=tick fill=\"{}\" text-anchor=end style=\"fill:{}\">{}</text>",
                       width - right - 4, top + 14 + 16 * static_cast<double>(i), colour, colour,
                       escape(plot.series[i].name));
  }
  return out + "</svg>";
}

std::string bars_svg(const std::vector<std::string>& names, const std::vector<double>& values, const Plot& plot) {
  const double low = values.empty() ? 0 : std::min(0.0, *std::min_element(values.begin(), values.end()));
  const double high = values.empty() ? 1 : std::max(0.0, *std::max_element(values.begin(), values.end()));
  const Frame f{{0, static_cast<double>(std::max<size_t>(1, values.size())), 1}, axis(low, high)};
  std::string out = svg_open(plot.title) + y_grid(f, plot.y_label);
  const double room = (width - left - right) / static_cast<double>(std::max<size_t>(1, values.size()));
  const size_t every = names.size() > 16 ? names.size() / 8 : 1;
  for (size_t i = 0; i < values.size(); ++i) {
    const double x = f.px(static_cast<double>(i)) + room * 0.1;
    const double y = std::min(f.py(values[i]), f.py(0)), h = std::abs(f.py(values[i]) - f.py(0));
    out += fmt::format("<rect x={:.1f} y={:.1f} width={:.1f} height={:.1f} fill=\"{}\"><title>{}: {}</title></rect>", x,
                       y, room * 0.8, std::max(h, 0.5), colours[0], escape(names[i]), number(values[i]));
    if (i % every == 0)
      out += fmt::format("<text x={:.1f} y={:.1f} class=tick text-anchor=middle>{}</text>", x + room * 0.4,
                         height - bottom + 16, escape(names[i].substr(0, 14)));
  }
  return out + fmt::format("<text x={:.1f} y={:.1f} class=label text-anchor=middle>{}</text></svg>",
                           (left + width - right) / 2, height - 6, escape(plot.x_label));
}

std::string histogram_svg(const Plot& plot) {
  constexpr size_t bins = 24;
  std::vector<double> samples;
  for (const Series& s : plot.series)
    for (const Point& p : s.points) samples.push_back(p.y);
  std::sort(samples.begin(), samples.end());
  // The outer percent on each side goes into the outer bins, so that one outlier does not flatten the picture.
  const size_t cut = samples.size() / 100;
  const double low = samples.empty() ? 0 : samples[cut];
  const double high = samples.empty() ? 1 : samples[samples.size() - 1 - cut];
  const double span = high > low ? high - low : 1;
  std::vector<double> counts(bins, 0);
  for (double v : samples) {
    const double at = std::clamp((v - low) / span * bins, 0.0, bins - 1.0);
    counts[static_cast<size_t>(at)] += 1;
  }
  std::vector<std::string> names;
  for (size_t i = 0; i < bins; ++i) names.push_back(number(low + span * (static_cast<double>(i) + 0.5) / bins));
  return bars_svg(names, counts, plot);
}

std::string plot_html(const Plot& plot) {
  std::string svg;
  if (plot.kind == Plot::Kind::lines) {
    svg = lines_svg(plot);
  } else if (plot.kind == Plot::Kind::histogram) {
    svg = histogram_svg(plot);
  } else {
    std::vector<double> values;
    if (!plot.series.empty())
      for (const Point& p : plot.series[0].points) values.push_back(p.y);
    svg = bars_svg(plot.bar_names, values, plot);
  }
  return fmt::format("<figure><figcaption>{}</figcaption>{}<p class=note>{}</p></figure>", escape(plot.title), svg,
                     escape(plot.note));
}

std::string table_html(const Table& table) {
  std::string out = fmt::format("<h2>{}</h2><div class=scroll><table><tr>", escape(table.title));
  for (const auto& column : table.columns) out += "<th>" + escape(column) + "</th>";
  out += "</tr>";
  for (const Row& row : table.rows) {
    out += "<tr><td>" + escape(row.name) + "</td>";
    for (const auto& cell : row.cells) out += "<td>" + escape(cell) + "</td>";
    out += "</tr>";
  }
  return out + "</table></div>" + (table.note.empty() ? "" : "<p class=note>" + escape(table.note) + "</p>");
}

constexpr const char* style = R"(
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#d9dee6;--card:#fff;--page:#f4f6f9;--good:#047857;--bad:#b91c1c}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa5b4;--line:#2e3744;--card:#171d26;--page:#0f141b;--good:#34d399;--bad:#f87171}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);margin:0 auto;padding:24px;max-width:1120px}
h1{font-size:26px;margin:0}h2{font-size:18px;margin:28px 0 8px}.sub{color:var(--soft);margin:4px 0 16px}
.verdict{display:inline-block;padding:4px 12px;border-radius:6px;color:#fff;font-weight:600}.pass{background:#047857}.fail{background:#b91c1c}
table{border-collapse:collapse;background:var(--card);width:100%}th,td{padding:6px 10px;border:1px solid var(--line);text-align:left;font-variant-numeric:tabular-nums}
th{color:var(--soft);font-weight:600}.scroll{overflow-x:auto}.note{color:var(--soft);font-size:13px;margin:4px 0}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:16px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px}figcaption{font-weight:600;margin-bottom:6px}
svg{width:100%;height:auto}.grid{stroke:var(--line)}.tick{font-size:11px;fill:var(--soft)}.label{font-size:12px;fill:var(--soft)}
.held{color:var(--good)}.broken{color:var(--bad);font-weight:700}
)";

}  // namespace

std::string to_html(const Report& report) {
  std::string out = fmt::format(
      "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width\">"
      "<title>{}</title><style>{}</style></head><body><h1>{}</h1><p class=sub>{}<br>seed {} &middot; {:.1f} s</p>",
      escape(report.title), style, escape(report.title), escape(report.subtitle), report.seed, report.wall_s);
  out += report.passed() ? "<span class=\"verdict pass\">every invariant held</span>"
                         : "<span class=\"verdict fail\">an invariant was broken</span>";
  out += "<h2>Invariants</h2><table><tr><th>promise</th><th></th><th>checked on</th></tr>";
  for (const Check& check : report.checks)
    out += fmt::format("<tr><td>{}</td><td class={}>{}</td><td>{}</td></tr>", escape(check.name),
                       check.held ? "held" : "broken", check.held ? "held" : "broken", escape(check.detail));
  out += "</table><h2>Pictures</h2><div class=plots>";
  for (const Plot& plot : report.plots) out += plot_html(plot);
  out += "</div>";
  for (const Table& table : report.tables) out += table_html(table);
  return out + "</body></html>\n";
}

}  // namespace drover::smoke

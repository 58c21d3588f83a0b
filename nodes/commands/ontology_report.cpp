#include "nodes/commands/ontology_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>

#include "actors/semantics/segment_score.hpp"
#include "actors/semantics/segmenter.hpp"
#include "actors/semantics/sima_template.hpp"
#include "nodes/commands/table.hpp"

namespace drover::nodes {
namespace {

constexpr const char* style =
    ":root{--ink:#1d2330;--soft:#667085;--line:#d9dee7;--ground:#fff;--card:#f6f8fb;--good:#0a9b76;--bad:#cc4c4c;"
    "--warn:#c77700;--blue:#2f6fde}@media(prefers-color-scheme:dark){:root{--ink:#e8ecf3;--soft:#9aa4b5;--line:#303848;"
    "--ground:#12161e;--card:#1a202b}}body{margin:0 auto;max-width:1120px;padding:24px;font:14px/1.45 "
    "system-ui,sans-serif;"
    "color:var(--ink);background:var(--ground)}h1{margin:0 0 4px;font-size:24px}h2{margin:32px 0 8px;font-size:17px}"
    ".sub{color:var(--soft);margin:0 0 16px}.tiles{display:flex;flex-wrap:wrap;gap:10px}.tiles "
    "div{background:var(--card);"
    "border:1px solid var(--line);border-radius:8px;padding:10px 14px;min-width:110px}.tiles "
    "b{display:block;font-size:20px}"
    ".tiles span,.note{color:var(--soft);font-size:12px}table{border-collapse:collapse;width:100%;font-size:13px}"
    "td,th{padding:4px 8px;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}th{color:var(--soft);"
    "font-weight:600}td:first-child,summary{white-space:nowrap}td.n,th.n{text-align:right;font-variant-numeric:tabular-"
    "nums}.scroll{overflow-x:auto;max-height:"
    "560px;"
    "border:1px solid var(--line);border-radius:8px;padding:6px}svg text{fill:var(--ink);font:11px "
    "system-ui,sans-serif}"
    ".v{border-radius:4px;padding:1px 6px;color:#fff;font-size:12px}.applied,.trusted{background:var(--good)}.refused,"
    ".untrusted{background:var(--bad)}.deferred,.provisional{background:var(--warn)}code{font-size:12px}"
    "details summary{cursor:pointer;color:var(--blue)}";

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

std::string text_at(const Json& row, const char* field) {
  return row.contains(field) && row[field].is_string() ? row[field].get<std::string>() : std::string();
}
double number_at(const Json& row, const char* field) {
  return row.contains(field) && row[field].is_number() ? row[field].get<double>() : 0;
}
std::string count_at(const Json& row, const char* field) {
  return human_count(static_cast<uint64_t>(std::max(0.0, number_at(row, field))));
}

std::string tiles_html(const Json& facts) {
  const Json& m = facts["metrics"];
  const Json& d = facts["decisions"];
  std::string out = "<div class=tiles>";
  const auto tile = [&](const std::string& value, const char* label) {
    out += fmt::format("<div><b>{}</b><span>{}</span></div>", escape(value), label);
  };
  tile(count_at(m, "episodes"), "episodes learnt from");
  tile(count_at(m, "primitives"), "primitives");
  tile(count_at(facts, "ontology_version"), "ontology version");
  tile(count_at(m, "ontology_nodes"), "things known");
  tile(count_at(facts, "graph_version"), "task graph version");
  tile(count_at(m, "task_nodes"), "tasks");
  tile(count_at(d, "applied"), "suggestions applied");
  tile(count_at(d, "refused"), "refused");
  tile(human_number(100 * number_at(m, "acceptance"), 1) + " %", "of sound ones accepted");
  tile(human_number(number_at(m, "write_amplification"), 3), "changes per fact");
  tile(count_at(m, "orphans"), "orphans");
  tile(human_number(100 * number_at(m, "resilience"), 0) + " %", "of failures recovered");
  return out + "</div>";
}

// Each tag's trust as a bar; the effect that was found with its interval beside it.
std::string trust_html(const Json& reply) {
  std::string out =
      "<h2>How much tags are believed</h2><p class=note>Trust from the outcomes of episodes with and without the tag. "
      "Up "
      "to 0.5 a tag is ignored, above 0.8 it may raise a safety stop.</p><div class=scroll><table><tr><th>tag<th>trust"
      "<th>tier<th class=n>effect<th class=n>95 % interval<th class=n>episodes<th>claim</tr>";
  for (const Json& e : reply["tags"]) {
    const double trust = std::clamp(number_at(e, "trust"), 0.0, 1.0);
    const std::string tier = text_at(e, "tier");
    out += fmt::format(
        "<tr><td>{}<td><svg width=170 height=18 role=img aria-label=\"trust {:.2f}\"><rect x=0 y=3 width=120 height=12 "
        "fill=\"var(--line)\"/><rect x=0 y=3 width={:.1f} height=12 fill=\"{}\"/><path d=\"M60 1v16M96 1v16\" "
        "stroke=\"var(--soft)\" stroke-dasharray=\"2 2\"/><text x=128 y=13>{:.2f}</text></svg><td><span class=\"v "
        "{}\">{}"
        "</span>",
        escape(text_at(e, "tag")), trust, 120 * trust,
        tier == "trusted"     ? "var(--good)"
        : tier == "untrusted" ? "var(--bad)"
                              : "var(--warn)",
        trust, escape(tier), escape(tier));
    const bool enough = e.value("enough_samples", false);
    out += enough ? fmt::format("<td class=n>{}<td class=n>{} .. {}", short_number(number_at(e, "effect")),
                                short_number(number_at(e, "low")), short_number(number_at(e, "high")))
                  : std::string("<td class=n>-<td class=n>too few");
    out += fmt::format("<td class=n>{}<td>{}</tr>", count_at(e, "episodes"), escape(text_at(e, "claim")));
  }
  return out + "</table></div>";
}

// ---- the task graph: composites as columns of boxes in order, edges between them
struct Box {
  double x = 0, y = 0;
  const Json* node = nullptr;
};
constexpr double box_width = 190, box_height = 30, gap_x = 40, gap_y = 14;

std::string top_of(const Json& node, const std::map<std::string, const Json*>& by_id) {
  std::string id = text_at(node, "id");
  for (size_t guard = 0; guard < 64; ++guard) {
    const auto at = by_id.find(id);
    if (at == by_id.end() || text_at(*at->second, "parent").empty()) return id;
    id = text_at(*at->second, "parent");
  }
  return id;
}

std::string colour_of(const Json& node) {
  const std::string role = text_at(node, "role");
  if (role == "recovery") return "#0a9b76";
  if (role == "abort" || role == "safety_stop") return "#cc4c4c";
  if (text_at(node, "kind") == "checkpoint") return "#e08a00";
  return text_at(node, "kind") == "composite" ? "#7a5af0" : "#2f6fde";
}

std::string box_svg(const Box& box) {
  const Json& n = *box.node;
  const std::string id = text_at(n, "id"), because = text_at(n, "because");
  const size_t dot = id.find_first_of("./");
  std::string shown = dot == std::string::npos ? id : id.substr(dot + 1);
  if (shown.size() > 29) shown = "…" + shown.substr(shown.size() - 28);
  return fmt::format(
      "<g><title>{}{}{}</title><rect x={} y={} width={} height={} rx=6 fill=\"var(--card)\" stroke=\"{}\" "
      "stroke-width={} /><text x={} y={}>{}</text></g>",
      escape(id), because.empty() ? "" : " because of ", escape(because), box.x, box.y, box_width, box_height,
      colour_of(n), because.empty() ? 1 : 2.5, box.x + 8, box.y + 19, escape(shown));
}

std::string edge_svg(const Box& from, const Box& to, const std::string& kind) {
  const bool down = to.y > from.y;
  const double x1 = from.x + box_width / 2, y1 = from.y + (down ? box_height : 0);
  const double x2 = to.x + box_width / 2, y2 = to.y + (down ? 0 : box_height);
  const bool straight = std::abs(to.y - from.y) < box_height + gap_y + 1 && from.x == to.x;
  const double bend = straight ? 0 : box_width / 2 + 12;
  return fmt::format(
      "<path d=\"M{} {}C{} {} {} {} {} {}\" fill=\"none\" stroke=\"{}\" stroke-width=1.3 {} marker-end=\"url(#a)\"/>",
      x1, y1, x1 + bend, y1, x2 + bend, y2, x2, y2, kind == "on_failure" ? "var(--bad)" : "var(--soft)",
      kind == "hard" ? "" : "stroke-dasharray=\"4 3\"");
}

std::string graph_html(const Json& reply) {
  std::map<std::string, const Json*> by_id;
  for (const Json& node : reply["tasks"]) by_id[text_at(node, "id")] = &node;
  std::vector<std::string> tops;
  std::map<std::string, size_t> rows;
  std::map<std::string, Box> boxes;
  double width = 0, height = 0;
  for (const Json& node : reply["tasks"]) {
    const std::string top = top_of(node, by_id);
    auto column = std::find(tops.begin(), tops.end(), top);
    if (column == tops.end()) column = tops.insert(tops.end(), top);
    const auto c = static_cast<double>(column - tops.begin());
    const auto r = static_cast<double>(rows[top]++);
    boxes[text_at(node, "id")] = {10 + c * (box_width + gap_x), 10 + r * (box_height + gap_y), &node};
    width = std::max(width, 10 + (c + 1) * (box_width + gap_x));
    height = std::max(height, 10 + (r + 1) * (box_height + gap_y));
  }
  std::string out =
      "<h2>Task graph</h2><p class=note>One column per task, in order. <b style=\"color:#2f6fde\">skill</b>, <b "
      "style=\"color:#7a5af0\">composite</b>, <b style=\"color:#e08a00\">checkpoint</b>, <b "
      "style=\"color:#0a9b76\">recovery"
      "</b>, <b style=\"color:#cc4c4c\">abort</b>. Thick borders: learnt. Dashed edges: habit, or (red) after a "
      "failure."
      "</p><div class=scroll>";
  out += fmt::format(
      "<svg width={} height={} role=img aria-label=\"task graph\"><defs><marker id=a viewBox=\"0 0 6 6\" refX=6 refY=3 "
      "markerWidth=7 markerHeight=7 orient=auto><path d=\"M0 0L6 3L0 6z\" fill=\"var(--soft)\"/></marker></defs>",
      width, height);
  for (const auto& [id, box] : boxes)
    for (const Json& edge : (*box.node)["next"])
      if (const auto to = boxes.find(text_at(edge, "to")); to != boxes.end())
        out += edge_svg(box, to->second, text_at(edge, "kind"));
  for (const auto& [id, box] : boxes) out += box_svg(box);
  return out + "</svg></div>";
}

std::string evidence_html(const Json& evidence) {
  if (!evidence.is_object() || !(number_at(evidence, "count") > 0)) return "";
  std::string out = fmt::format("<details><summary>{} times</summary>", count_at(evidence, "count"));
  for (const char* part : {"first", "last"})
    for (const Json& ref : evidence.value(part, Json::array()))
      out += fmt::format("<div>{} <code>{}</code> {} {:.2f}-{:.2f} s</div>", part, escape(text_at(ref, "episode")),
                         escape(text_at(ref, "segment")), number_at(ref, "start_s"), number_at(ref, "end_s"));
  return out + "</details>";
}

std::string decisions_html(const Json& reply) {
  std::string out =
      "<h2>What was decided</h2><p class=note>Newest first, with who said so and where it was seen.</p><div "
      "class=scroll>"
      "<table><tr><th>id<th>verdict<th>what<th>about<th>said by<th>why<th>evidence</tr>";
  for (const Json& d : reply["decisions"]) {
    const std::string reason = text_at(d, "reason");
    out +=
        fmt::format("<tr><td>{}<td><span class=\"v {}\">{}</span><td>{}<td><code>{}</code><td>{}<td>{}{}{}<td>{}</tr>",
                    escape(text_at(d, "id")), escape(text_at(d, "verdict")), escape(text_at(d, "verdict")),
                    escape(text_at(d, "type")), escape(text_at(d, "about")), escape(text_at(d, "said_by")),
                    escape(text_at(d, "rationale")), reason.empty() ? "" : "; ", escape(reason),
                    evidence_html(d.value("evidence", Json())));
  }
  return out + "</table></div>";
}

std::string nodes_html(const Json& reply) {
  std::string out =
      "<h2>Ontology</h2><div class=scroll><table><tr><th>node<th class=n>value<th class=n>seen<th class=n>confidence"
      "<th>source<th>tags<th class=n>since version</tr>";
  for (const Json& n : reply["nodes"]) {
    std::string tags, value = text_at(n, "value");
    for (const Json& tag : n["tags"]) tags += (tags.empty() ? "" : ", ") + tag.get<std::string>();
    if (n["value"].is_number()) value = short_number(number_at(n, "value"));
    out += fmt::format(
        "<tr><td><code>{}</code><td class=n>{}<td class=n>{}<td class=n>{:.2f}<td>{}<td>{}<td class=n>{}</tr>",
        escape(text_at(n, "id")), escape(value), count_at(n, "seen"), number_at(n, "confidence"),
        escape(text_at(n, "source")), escape(tags), count_at(n, "since_version"));
  }
  return out + "</table></div>";
}

std::string focus_html(const Json& reply) {
  std::string out =
      fmt::format("<h2>What training should look at</h2><p>Phase <b>{}</b>.", escape(text_at(reply, "phase")));
  for (const Json& why : reply["why"]) out += " " + escape(why.get<std::string>()) + ".";
  out += "</p><table><tr><th>emphasise<th class=n>weight<th>because</tr>";
  for (const Json& tag : reply["emphasise"])
    out += fmt::format("<tr><td>{}<td class=n>{:.2f}<td>{}</tr>", escape(text_at(tag, "tag")), number_at(tag, "weight"),
                       escape(text_at(tag, "why")));
  out += "</table>";
  for (const Json& alert : reply["alerts"])
    out += fmt::format("<p><span class=\"v refused\">{}</span> {}</p>", escape(text_at(alert, "kind")),
                       escape(text_at(alert, "message")));
  return out;
}

// ---- segmentation against truth, which made-up rollouts have
constexpr uint64_t truth_seed = 4242;
constexpr uint64_t truth_rollouts = 60;  // of each family

semantics::SegmentScore score_of_templates() {
  using namespace semantics;
  TemplateConfig config;
  config.seed = truth_seed;
  TemplateLibrary library(config);
  Segmenter segmenter{SegmenterConfig{}};
  SegmentScore score;
  LabelledRollout rollout;
  std::vector<Segment> segments;
  for (size_t family = 0; family < 5; ++family)
    for (uint64_t i = 0; i < truth_rollouts; ++i) {
      library.make(static_cast<Family>(family), i, rollout);
      segment_rollout(segmenter, rollout.rollout, segments);
      score.add(rollout.truth.segments, segments);
    }
  return score;
}

Json score_json(const semantics::SegmentScore& score) {
  Json confusion = Json::object();
  for (size_t truth = 0; truth < semantics::label_count; ++truth) {
    Json row = Json::object();
    for (size_t found = 0; found < semantics::label_count; ++found)
      if (score.confusion_s()[truth][found] > 0)
        row[std::string(semantics::label_name(static_cast<semantics::Label>(found)))] =
            score.confusion_s()[truth][found];
    if (!row.empty()) confusion[std::string(semantics::label_name(static_cast<semantics::Label>(truth)))] = row;
  }
  return Json{{"truth", "made-up rollouts of the five task families"},
              {"seed", truth_seed},
              {"rollouts", score.streams()},
              {"boundary_f1_100ms", score.boundary_f1()},
              {"label_accuracy", score.label_accuracy()},
              {"confusion_s", std::move(confusion)}};
}

std::string confusion_html(const Json& score) {
  std::vector<std::string> labels;
  for (const auto& [label, row] : score["confusion_s"].items()) labels.push_back(label);
  std::string out = fmt::format(
      "<h2>Segmentation against the truth</h2><p class=note>Where the truth is known: {} {} (seed {}). Boundary F1 "
      "within "
      "100 ms {:.3f}, time with the right label {:.1f} %. Rows: what it truly was; columns: what was found, in percent "
      "of "
      "the row's time.</p><div class=scroll><table><tr><th>",
      count_at(score, "rollouts"), escape(text_at(score, "truth")), count_at(score, "seed"),
      number_at(score, "boundary_f1_100ms"), 100 * number_at(score, "label_accuracy"));
  for (const std::string& label : labels) out += "<th class=n>" + escape(label);
  for (const std::string& truth : labels) {
    const Json& row = score["confusion_s"][truth];
    double all = 0;
    for (const auto& [label, seconds] : row.items()) all += seconds.get<double>();
    out += "<tr><th>" + escape(truth);
    for (const std::string& found : labels) {
      const double share = all > 0 ? number_at(row, found.c_str()) / all : 0;
      out += fmt::format("<td class=n style=\"background:rgba({},{:.2f})\">{}",
                         found == truth ? "10,155,118" : "204,76,76",
                         found == truth ? 0.5 * share : std::min(1.0, 4 * share),
                         share < 0.0005 ? "" : fmt::format("{:.1f}", 100 * share));
    }
  }
  return out + "</table></div>";
}

std::string page(const Json& all) {
  const Json& facts = all["facts"];
  std::string out = fmt::format(
      "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport "
      "content=\"width=device-width\"><title>What "
      "the fleet has learnt</title><style>{}</style></head><body><h1>What the fleet has learnt</h1><p "
      "class=sub>ontology "
      "version {}, task graph version {}; sha256 <code>{}</code></p>",
      style, count_at(facts, "ontology_version"), count_at(facts, "graph_version"), escape(text_at(facts, "sha256")));
  out += tiles_html(facts) + trust_html(all["trust"]) + graph_html(all["tasks"]) + decisions_html(all["decisions"]);
  out += focus_html(all["focus"]) + nodes_html(all["show"]) + confusion_html(all["segmentation"]);
  return out + "</body></html>\n";
}

Status write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  return file ? Status{} : fail(Errc::io, path, "cannot be written");
}

}  // namespace

Status write_ontology_report(Source& source, const std::string& folder) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) return fail(Errc::io, folder, failed.message());
  Json all;
  for (const char* part : {"facts", "show", "tasks", "trust", "focus", "decisions"}) {
    DROVER_ASSIGN(const std::string reply, source.ask({{"call", std::string("ontology.").append(part)}}));
    Json parsed = Json::parse(reply, nullptr, false);
    if (!parsed.is_object()) return fail(Errc::corrupt, "reply", "is not JSON");
    all[part] = std::move(parsed);
  }
  all["segmentation"] = score_json(score_of_templates());
  DROVER_TRY(write_file(folder + "/ontology.json", all.dump(1, ' ', false, Json::error_handler_t::replace) + "\n"));
  return write_file(folder + "/index.html", page(all));
}

}  // namespace drover::nodes

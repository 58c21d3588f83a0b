#include "smoke/pictures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

namespace drover::smoke {
namespace {

constexpr size_t bars_max = 14;

std::string megabytes(uint64_t bytes) {
  return fmt::format("{:.2f} MB", static_cast<double>(bytes) / 1e6);
}

std::vector<PlotMark> marks_of(const Course& course) {
  std::vector<PlotMark> marks;
  for (const Mark& mark : course.marks) marks.push_back({mark.t_s, mark.what});
  return marks;
}

Plot line_plot(const ReportInput& in, std::string title, std::string y_label, std::string note) {
  Plot plot;
  plot.title = std::move(title);
  plot.x_label = "time since the start of the run [s]";
  plot.y_label = std::move(y_label);
  plot.note = std::move(note);
  plot.marks = marks_of(in.course);
  return plot;
}

Plot backlog_plot(const ReportInput& in) {
  Plot plot = line_plot(in, "Backlog of each robot", "records not yet applied at the centre",
                        "What the robot has journaled and the centre has not applied. It grows while something is "
                        "down and goes back to zero.");
  for (size_t i = 0; i < in.robots.size(); ++i) {
    Series series{in.robots[i], {}};
    for (const Moment& moment : in.course.moments) {
      const RobotView& robot = moment.view.robots[i];
      const uint64_t open = robot.last_seq > robot.applied_seq ? robot.last_seq - robot.applied_seq : 0;
      series.points.push_back({moment.t_s, static_cast<double>(open)});
    }
    plot.series.push_back(std::move(series));
  }
  return plot;
}

Plot progress_plot(const ReportInput& in) {
  Plot plot =
      line_plot(in, "Records through the stages", "records",
                "Journaled on the robots; acknowledged, as the robots know it, after the centre's sync; applied "
                "to the centre's indexes. The lines meet when everything has drained.");
  const std::pair<const char*, std::function<uint64_t(const FleetView&)>> stages[] = {
      {"journaled", [](const FleetView& v) { return v.last_seq(); }},
      {"acknowledged", [](const FleetView& v) { return v.acked_seq(); }},
      {"applied", [](const FleetView& v) { return v.applied_seq(); }}};
  for (const auto& [name, get] : stages) {
    Series series{name, {}};
    for (const Moment& moment : in.course.moments)
      series.points.push_back({moment.t_s, static_cast<double>(get(moment.view))});
    plot.series.push_back(std::move(series));
  }
  return plot;
}

// Episodes that became visible at the centre per second, over a sliding window.
Plot throughput_plot(const ReportInput& in) {
  constexpr double window_s = 0.5;
  Plot plot = line_plot(in, "Episodes arriving", "episodes per second",
                        "Episodes that became queryable at the centre, over the last half second.");
  Series series{"episodes/s", {}};
  size_t from = 0;
  const auto& moments = in.course.moments;
  for (size_t i = 0; i < moments.size(); ++i) {
    while (moments[i].t_s - moments[from].t_s > window_s) ++from;
    const double grown = static_cast<double>(moments[i].view.episodes - moments[from].view.episodes);
    series.points.push_back({moments[i].t_s, std::max(0.0, grown) / window_s});
  }
  plot.series.push_back(std::move(series));
  return plot;
}

Plot delta_plot(const ReportInput& in) {
  Plot plot;
  plot.kind = Plot::Kind::histogram;
  plot.title = "Value of the episodes: \u0394J by task";
  plot.x_label = "\u0394J against the baseline";
  plot.y_label = "datapacks";
  plot.note =
      "Right of zero an episode did better than its baseline, left of zero worse. The outermost percent on each "
      "side is in the outer bars.";
  for (const auto& [task, figures] : in.findings.tasks) {
    Series series{task, {}};
    for (const double value : figures.delta_J) series.points.push_back({0, value});
    plot.series.push_back(std::move(series));
  }
  return plot;
}

Plot bar_plot(std::string title, std::string y_label, std::string note, const std::map<std::string, double>& values) {
  Plot plot;
  plot.kind = Plot::Kind::bars;
  plot.title = std::move(title);
  plot.y_label = std::move(y_label);
  plot.note = std::move(note);
  Series series;
  std::vector<std::pair<std::string, double>> sorted(values.begin(), values.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  if (sorted.size() > bars_max) {
    plot.note += fmt::format(" The {} largest of {}.", bars_max, sorted.size());
    sorted.resize(bars_max);
  }
  for (const auto& [name, value] : sorted) {
    plot.bar_names.push_back(name);
    series.points.push_back({0, value});
  }
  plot.series.push_back(std::move(series));
  return plot;
}

Plot events_plot(const ReportInput& in) {
  Plot plot;
  plot.kind = Plot::Kind::bars;
  plot.title = "Events by kind";
  plot.y_label = "events";
  plot.note = "What the logs report inside their episodes, by robot.";
  for (const auto& [kind, robots] : in.findings.events) {
    if (plot.bar_names.size() < bars_max) plot.bar_names.push_back(kind);
  }
  for (const std::string& robot : in.robots) {
    Series series{robot, {}};
    for (const std::string& kind : plot.bar_names) {
      const auto& counts = in.findings.events.at(kind);
      const auto at = counts.find(robot);
      series.points.push_back({0, at == counts.end() ? 0.0 : static_cast<double>(at->second)});
    }
    plot.series.push_back(std::move(series));
  }
  return plot;
}

Plot bytes_plot(const ReportInput& in) {
  const Findings& f = in.findings;
  uint64_t raw = 0;
  for (const uint64_t bytes : f.slice_bytes) raw += bytes;
  const std::vector<std::pair<std::string, uint64_t>> stages = {
      {"logs", in.inputs.size_bytes()}, {"raw episodes", raw},       {"journals", f.journal_bytes},
      {"inbox", f.inbox_bytes},         {"datapacks", f.pack_bytes}, {"chunks", f.chunk_bytes}};
  Plot plot;
  plot.kind = Plot::Kind::bars;
  plot.title = "Bytes at each stage";
  plot.y_label = "MB";
  plot.note =
      "Logs as found; the raw bytes of their episodes; records on the robots and at the centre; datapacks; "
      "chunks of raw data held at the centre.";
  Series series;
  for (const auto& [name, bytes] : stages) {
    plot.bar_names.push_back(name);
    series.points.push_back({0, static_cast<double>(bytes) / 1e6});
  }
  plot.series.push_back(std::move(series));
  return plot;
}

// ---- tables

Table stage_table(const ReportInput& in) {
  Table table;
  table.title = "Stages";
  table.columns = {"robot", "logs", "repeated", "episodes", "raw data", "journaled", "acknowledged", "applied"};
  for (size_t i = 0; i < in.robots.size(); ++i) {
    const RobotView* robot = i < in.course.last.robots.size() ? &in.course.last.robots[i] : nullptr;
    const auto of = [&](const std::vector<uint64_t>& list) { return i < list.size() ? list[i] : 0; };
    Row row{in.robots[i], {}};
    row.cells = {std::to_string(robot ? robot->files : 0),      std::to_string(robot ? robot->files_repeated : 0),
                 std::to_string(of(in.findings.episodes)),      megabytes(of(in.findings.slice_bytes)),
                 std::to_string(of(in.findings.records)),       std::to_string(robot ? robot->acked_seq : 0),
                 std::to_string(robot ? robot->applied_seq : 0)};
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table task_table(const ReportInput& in) {
  Table table;
  table.title = "Tasks";
  table.columns = {"task", "datapacks", "positive", "negative", "mean dJ", "energy", "robot time"};
  for (const auto& [name, task] : in.findings.tasks) {
    double sum = 0;
    for (const double v : task.delta_J) sum += v;
    table.rows.push_back({name,
                          {std::to_string(task.packs), std::to_string(task.positive), std::to_string(task.negative),
                           fmt::format("{:+.4f}", task.packs ? sum / static_cast<double>(task.packs) : 0),
                           fmt::format("{:.2f} Wh", task.total_Wh), fmt::format("{:.2f} h", task.hours)}});
  }
  return table;
}

Table kind_table(const ReportInput& in) {
  struct Sum {
    uint64_t files = 0, episodes = 0, rows = 0, bytes = 0;
  };
  std::map<std::string, Sum> kinds;
  for (const LogFile& file : in.inputs.files) {
    Sum& sum = kinds[file.kind];
    ++sum.files;
    sum.bytes += file.size_bytes;
    sum.episodes += file.episodes.size();
    for (const ExpectedEpisode& episode : file.episodes) sum.rows += episode.rows;
  }
  Table table;
  table.title = "Logs";
  table.columns = {"kind", "files", "size", "episodes", "rows"};
  for (const auto& [kind, sum] : kinds)
    table.rows.push_back(
        {kind,
         {std::to_string(sum.files), megabytes(sum.bytes), std::to_string(sum.episodes), std::to_string(sum.rows)}});
  if (!in.inputs.left_aside.empty())
    table.note = fmt::format("{} files were left aside; see the last table.", in.inputs.left_aside.size());
  return table;
}

Table aside_table(const ReportInput& in) {
  constexpr size_t rows_max = 200;
  Table table;
  table.title = "Files left aside";
  table.columns = {"file", "reason"};
  for (const auto& [path, reason] : in.inputs.left_aside) {
    if (table.rows.size() == rows_max) {
      table.note = fmt::format("{} further ones are not listed.", in.inputs.left_aside.size() - rows_max);
      break;
    }
    table.rows.push_back({path, {reason.size() > 160 ? reason.substr(0, 157) + "..." : reason}});
  }
  return table;
}

Table course_table(const ReportInput& in) {
  Table table;
  table.title = "Course";
  table.note = "The numbers are those of the pins in the pictures.";
  table.columns = {"no", "at", "what"};
  for (size_t i = 0; i < in.course.marks.size(); ++i)
    table.rows.push_back(
        {std::to_string(i + 1), {fmt::format("{:.2f} s", in.course.marks[i].t_s), in.course.marks[i].what}});
  return table;
}

nlohmann::json world_metrics(const ReportInput& in) {
  std::map<std::string, uint64_t> kinds;
  uint64_t prefixes = 0, pictures = 0;
  for (const WorldEpisode& episode : in.findings.world) {
    prefixes += episode.complete ? 0 : 1;
    pictures += episode.pictures_in_all;
    if (episode.complete) ++kinds[episode.kind];
  }
  std::string hash;  // of the first robot's episodes, which nobody interrupts
  for (const WorldEpisode& episode : in.findings.world)
    if (episode.robot == in.robots.front()) hash += fmt::format("{:016x}", episode.hash);
  return {{"nominal_hash", hash}, {"episodes", in.findings.world.size()},
          {"prefixes", prefixes}, {"explained", in.findings.world_explained},
          {"templates", kinds},   {"pictures", pictures}};
}

std::string metrics(const ReportInput& in) {
  const FleetView& last = in.course.last;
  uint64_t resent = 0;
  for (const RobotView& robot : last.robots) resent += robot.resent_blocks;
  nlohmann::json json{{"generated", in.inputs.generated},
                      {"logs", in.inputs.files.size()},
                      {"logs_left_aside", in.inputs.left_aside.size()},
                      {"log_bytes", in.inputs.size_bytes()},
                      {"episodes_expected", in.inputs.episodes()},
                      {"episodes", last.episodes},
                      {"datapacks", last.packs},
                      {"records", last.last_seq()},
                      {"chunks_held", last.chunks_held},
                      {"chunk_bytes", in.findings.chunk_bytes},
                      {"journal_bytes", in.findings.journal_bytes},
                      {"inbox_bytes", in.findings.inbox_bytes},
                      {"datapack_bytes", in.findings.pack_bytes},
                      {"resent_blocks", resent},
                      {"robot_kills", in.course.kills},
                      {"link_cuts", in.course.cuts},
                      {"coordinator_kills", in.course.coordinator_kills},
                      {"drained_s", in.course.drained_s},
                      {"events", in.findings.events},
                      {"outcomes", in.findings.outcomes},
                      {"world_episodes", world_metrics(in)},
                      {"joint_Wh", in.findings.joint_Wh},
                      {"skill_Wh", in.findings.skill_Wh}};
  return json.dump();
}

void add_headlines(const ReportInput& in, Report& report) {
  const FleetView& last = in.course.last;
  double Wh = 0;
  for (const auto& [name, task] : in.findings.tasks) Wh += task.total_Wh;
  uint64_t events = 0;
  for (const auto& [kind, robots] : in.findings.events)
    for (const auto& [robot, count] : robots) events += count;
  report.headlines = {
      {std::to_string(in.inputs.files.size()), "logs"},
      {std::to_string(in.findings.world.size()), "physics episodes"},
      {std::to_string(last.episodes), "episodes at the centre"},
      {std::to_string(last.packs), "datapacks"},
      {std::to_string(last.last_seq()), "records journaled"},
      {megabytes(in.findings.chunk_bytes), "raw data at the centre"},
      {fmt::format("{:.1f} Wh", Wh), "energy accounted"},
      {std::to_string(events), "events in the logs"},
      {std::to_string(in.course.kills + in.course.cuts + in.course.coordinator_kills), "faults on purpose"}};
}

}  // namespace

Report make_report(const ReportInput& in) {
  Report report;
  report.title = "Drover smoke run";
  report.subtitle = in.source;
  report.seed = in.seed;
  report.wall_s = in.wall_s;
  report.checks = in.findings.checks;
  add_headlines(in, report);
  report.plots = {backlog_plot(in),
                  progress_plot(in),
                  throughput_plot(in),
                  delta_plot(in),
                  bar_plot("Energy per joint", "Wh", "Summed over all datapacks that split their energy by joint.",
                           in.findings.joint_Wh),
                  bar_plot("Energy per skill", "Wh", "Summed over all datapacks.", in.findings.skill_Wh),
                  events_plot(in),
                  bytes_plot(in)};
  report.tables = {stage_table(in), task_table(in), kind_table(in), course_table(in)};
  if (!in.inputs.left_aside.empty()) report.tables.push_back(aside_table(in));
  report.metrics_json = metrics(in);
  if (!in.findings.world.empty()) add_world(in, report);
  return report;
}

}  // namespace drover::smoke

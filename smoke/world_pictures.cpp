// The part of the report about physics episodes.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "smoke/pictures.hpp"

namespace drover::smoke {
namespace {

constexpr size_t strips_max = 8;
constexpr std::array<const char*, 5> labels{"success", "recovered", "mixed", "failure", "cut"};

std::string label_of(const WorldEpisode& episode) {
  return episode.complete ? episode.kind : "cut";
}

std::string tone_of(const WorldEpisode& episode) {
  if (!episode.complete) return "plain";
  if (episode.kind == "success") return "good";
  return episode.kind == "failure" ? "bad" : "mixed";
}

std::string choice(const WorldEpisode& episode, const std::string& name) {
  const auto at = episode.choices.find(name);
  return at == episode.choices.end() ? "" : at->second;
}

// Of every robot and label one, then more of what there is: the sheet shows what happened, not the average.
std::vector<const WorldEpisode*> chosen(const std::vector<WorldEpisode>& episodes) {
  std::vector<const WorldEpisode*> out;
  std::set<std::pair<std::string, std::string>> seen;
  for (const WorldEpisode& e : episodes)
    if (!e.pictures.empty() && seen.emplace(e.robot, label_of(e)).second) out.push_back(&e);
  std::map<std::string, size_t> shown;
  for (const WorldEpisode* e : out) ++shown[e->robot];
  std::vector<const WorldEpisode*> rest;
  for (const WorldEpisode& e : episodes)
    if (!e.pictures.empty() && std::find(out.begin(), out.end(), &e) == out.end()) rest.push_back(&e);
  while (out.size() < strips_max && !rest.empty()) {  // the robot that has fewest comes next
    const auto next = std::min_element(rest.begin(), rest.end(), [&](const WorldEpisode* a, const WorldEpisode* b) {
      return shown[a->robot] < shown[b->robot];
    });
    ++shown[(*next)->robot];
    out.push_back(*next);
    rest.erase(next);
  }
  if (out.size() > strips_max) out.resize(strips_max);
  std::sort(out.begin(), out.end());  // back into the order of robots and seeds
  return out;
}

SheetRow strip_of(const WorldEpisode& episode) {
  SheetRow row;
  row.name = episode.complete ? episode.kind : "cut short";
  if (episode.complete && !episode.reason.empty()) row.name += ": " + episode.reason.substr(0, 60);
  row.tone = tone_of(episode);
  row.detail =
      fmt::format("{} {}\nseed {}\n{}\n{:.1f} s, {:.1f} J, \u0394J {:+.2f}", episode.robot, episode.set, episode.seed,
                  choice(episode, "handle"), episode.duration_s, episode.work_J, episode.delta_J);
  if (!episode.complete) row.detail += "\n" + episode.reason.substr(0, 100);
  for (const Picture& picture : episode.pictures)
    row.pictures.push_back({fmt::format("{:.1f} s", picture.time_s), picture.jpeg});
  return row;
}

Sheet contact_sheet(const ReportInput& in) {
  Sheet sheet;
  sheet.title = "Physics episodes, moment by moment";
  const auto episodes = chosen(in.findings.world);
  for (const WorldEpisode* episode : episodes) sheet.rows.push_back(strip_of(*episode));
  sheet.note = fmt::format(
      "{} of {} episodes, as the centre holds them: each picture was drawn on a robot, recorded, sent and read back "
      "from "
      "the raw data of its episode.",
      episodes.size(), in.findings.world.size());
  if (episodes.empty()) {
    sheet.note = "There are no pictures: ";
    for (const RobotView& robot : in.course.last.robots)
      if (!robot.no_pictures.empty()) return sheet.note += robot.no_pictures, sheet;
    sheet.note += "none were recorded.";
  }
  return sheet;
}

Plot value_plot(const ReportInput& in) {
  Plot plot;
  plot.kind = Plot::Kind::dots;
  plot.title = "Value of physics episodes: \u0394J by condition";
  plot.x_label = "\u0394J against the baseline";
  plot.note =
      "One point per episode; hard conditions are those of the second robot. The baseline is the running mean of the "
      "robot's earlier episodes, so the first one of each is zero.";
  for (const WorldEpisode& e : in.findings.world)
    if (std::find(plot.bar_names.begin(), plot.bar_names.end(), e.set) == plot.bar_names.end())
      plot.bar_names.push_back(e.set);
  std::sort(plot.bar_names.rbegin(), plot.bar_names.rend());  // nominal above hard
  for (const char* label : labels) {
    Series series{label, {}};
    for (const WorldEpisode& e : in.findings.world) {
      const auto row = std::find(plot.bar_names.begin(), plot.bar_names.end(), e.set) - plot.bar_names.begin();
      if (e.packed && label_of(e) == label) series.points.push_back({e.delta_J, static_cast<double>(row)});
    }
    plot.series.push_back(std::move(series));
  }
  return plot;
}

// Joints side by side, the skills stacked in each.
Plot energy_plot(const ReportInput& in) {
  Plot plot;
  plot.kind = Plot::Kind::bars;
  plot.title = "Work in the physics episodes, per joint and skill";
  plot.y_label = "J";
  plot.note =
      "The integral of |torque \u00b7 velocity| at every physics step, booked on the joint and on the skill; the cells "
      "are read from the recordings and sum to the datapacks' totals.";
  std::map<std::string, std::map<std::string, double>> cells;  // skill -> joint -> J
  std::set<std::string> joints;
  for (const WorldEpisode& e : in.findings.world)
    for (const auto& [joint, skills] : e.work_by_joint_J)
      for (const auto& [skill, joules] : skills) {
        cells[skill][joint] += joules;
        joints.insert(joint);
      }
  plot.bar_names.assign(joints.begin(), joints.end());
  for (const auto& [skill, by_joint] : cells) {
    Series series{skill, {}};
    for (const std::string& joint : plot.bar_names)
      series.points.push_back({0, by_joint.contains(joint) ? by_joint.at(joint) : 0.0});
    const bool any = std::any_of(series.points.begin(), series.points.end(), [](const Point& p) { return p.y > 0; });
    if (any) plot.series.push_back(std::move(series));
  }
  return plot;
}

Table condition_table(const ReportInput& in) {
  Table table;
  table.title = "Physics episodes by condition";
  table.columns = {"condition", "episodes", "success", "recovered", "mixed", "failure", "cut", "mean dJ", "mean work"};
  std::map<std::string, std::vector<const WorldEpisode*>> groups;
  for (const WorldEpisode& e : in.findings.world) {
    groups[e.set].push_back(&e);
    if (const std::string handle = choice(e, "handle"); !handle.empty()) groups[e.set + ", " + handle].push_back(&e);
  }
  for (const auto& [name, episodes] : groups) {
    Row row{name, {std::to_string(episodes.size())}};
    for (const char* label : labels)
      row.cells.push_back(std::to_string(std::count_if(episodes.begin(), episodes.end(),
                                                       [&](const WorldEpisode* e) { return label_of(*e) == label; })));
    double value = 0, work_J = 0;
    for (const WorldEpisode* e : episodes) value += e->delta_J, work_J += e->work_J;
    const auto count = static_cast<double>(episodes.size());
    row.cells.push_back(fmt::format("{:+.3f}", value / count));
    row.cells.push_back(fmt::format("{:.1f} J", work_J / count));
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace

void add_world(const ReportInput& in, Report& report) {
  report.sheets.push_back(contact_sheet(in));
  report.plots.insert(report.plots.begin(), {value_plot(in), energy_plot(in)});
  report.tables.insert(report.tables.begin() + std::min<ptrdiff_t>(2, std::ssize(report.tables)), condition_table(in));
}

}  // namespace drover::smoke

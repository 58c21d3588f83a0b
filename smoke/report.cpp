#include "smoke/report.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace drover::smoke {
namespace {

std::string pad(const std::string& text, size_t width) {
  return text.size() >= width ? text : text + std::string(width - text.size(), ' ');
}

std::string table_text(const Table& table) {
  std::vector<size_t> widths;
  for (const auto& column : table.columns) widths.push_back(column.size());
  for (const Row& row : table.rows) {
    widths[0] = std::max(widths[0], row.name.size());
    for (size_t i = 0; i < row.cells.size() && i + 1 < widths.size(); ++i)
      widths[i + 1] = std::max(widths[i + 1], row.cells[i].size());
  }
  std::string text = table.title + "\n";
  std::string line = "  ";
  for (size_t i = 0; i < table.columns.size(); ++i) line += pad(table.columns[i], widths[i] + 2);
  text += line + "\n";
  for (const Row& row : table.rows) {
    line = "  " + pad(row.name, widths[0] + 2);
    for (size_t i = 0; i < row.cells.size() && i + 1 < widths.size(); ++i) line += pad(row.cells[i], widths[i + 1] + 2);
    text += line + "\n";
  }
  if (!table.note.empty()) text += "  " + table.note + "\n";
  return text;
}

nlohmann::json table_json(const Table& table) {
  auto rows = nlohmann::json::array();
  for (const Row& row : table.rows) {
    nlohmann::json object;
    object[table.columns[0]] = row.name;
    for (size_t i = 0; i < row.cells.size() && i + 1 < table.columns.size(); ++i)
      object[table.columns[i + 1]] = row.cells[i];
    rows.push_back(object);
  }
  return {{"title", table.title}, {"note", table.note}, {"rows", rows}};
}

}  // namespace

bool Report::passed() const {
  return !checks.empty() && std::all_of(checks.begin(), checks.end(), [](const Check& c) { return c.held; });
}

std::string to_text(const Report& report) {
  std::string text = report.title + "\n" + report.subtitle + "\nseed " + std::to_string(report.seed) + "\n\n";
  for (const Table& table : report.tables) text += table_text(table) + "\n";
  text += "Invariants\n";
  for (const Check& check : report.checks)
    text += std::string("  ") + (check.held ? "held  " : "BROKEN") + "  " + check.name +
            (check.detail.empty() ? "" : "  (" + check.detail + ")") + "\n";
  return text;
}

std::string to_json(const Report& report) {
  nlohmann::json json;
  json["title"] = report.title;
  json["subtitle"] = report.subtitle;
  json["seed"] = report.seed;
  json["wall_s"] = report.wall_s;
  json["passed"] = report.passed();
  json["invariants"] = nlohmann::json::array();
  for (const Check& check : report.checks)
    json["invariants"].push_back({{"name", check.name}, {"held", check.held}, {"detail", check.detail}});
  json["tables"] = nlohmann::json::array();
  for (const Table& table : report.tables) json["tables"].push_back(table_json(table));
  json["metrics"] = report.metrics_json.empty() ? nlohmann::json::object()
                                                : nlohmann::json::parse(report.metrics_json, nullptr, false);
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

Status write_report(const Report& report, const std::string& folder) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) return fail(Errc::io, folder, "cannot make the folder: " + failed.message());
  auto write = [&](const char* name, const std::string& content) -> Status {
    const std::string path = folder + "/" + name;
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << content;
    file.close();
    return file ? Status{} : fail(Errc::io, path, "cannot write the report");
  };
  DROVER_TRY(write("report.json", to_json(report)));
  return write("index.html", to_html(report));
}

}  // namespace drover::smoke

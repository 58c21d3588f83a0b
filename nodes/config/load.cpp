#include "nodes/config/load.hpp"

#include <filesystem>
#include <system_error>

namespace drover::nodes {

Status read_source(const ConfigSource& source, const Fields& fields, Problems& problems) {
  DROVER_ASSIGN(const std::string text, read_config_text(source.file));
  DROVER_ASSIGN(Value document, parse_toml_value(text, source.file));
  problems.set_file(source.file);
  for (const std::string& assignment : source.overrides) {
    if (Status laid = overlay(document, assignment); !laid) {
      problems.add(Place{"--set", 0}, assignment.substr(0, assignment.find('=')), laid.error().what);
    }
  }
  fields.read(document, problems);
  std::error_code ignored;
  const auto absolute = std::filesystem::absolute(source.file, ignored);
  fields.resolve_paths(absolute.parent_path().string());
  return {};
}

std::string document_robot_config() {
  RobotConfig config;
  Fields fields;
  describe(fields, config);
  return fields.document("Configuration of drover robot.");
}

std::string document_coordinator_config() {
  CoordinatorConfig config;
  Fields fields;
  describe(fields, config);
  return fields.document("Configuration of drover coordinator.");
}

}  // namespace drover::nodes

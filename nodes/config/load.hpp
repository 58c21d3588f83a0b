// Loading a component's configuration: file and command line in, a checked struct or every problem at once out.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "nodes/config/coordinator_config.hpp"
#include "nodes/config/fields.hpp"
#include "nodes/config/robot_config.hpp"

namespace drover::nodes {

struct ConfigSource {
  std::string file;                    // TOML; relative paths in it count from its folder
  std::vector<std::string> overrides;  // "store.dir=/tmp/x": laid over the file
};

// Reads the source into the struct that `fields` was made for, makes paths absolute, and collects problems.
// Errors: not_found, io, too_large for the file itself; invalid_argument for a syntax error.
Status read_source(const ConfigSource& source, const Fields& fields, Problems& problems);

// Errors: as read_source, and invalid_argument whose text lists every problem as "file:line: key: what".
template <class Config>
Result<Config> load_config(const ConfigSource& source) {
  Config config;
  Fields fields;
  describe(fields, config);
  Problems problems;
  DROVER_TRY(read_source(source, fields, problems));
  // Rules between keys only make sense over values that are right by themselves.
  if (problems.count() == 0) validate(config, problems);
  DROVER_TRY(problems.status());
  return config;
}

// Every key and its value as TOML, in the order of the documented file.
template <class Config>
std::vector<std::pair<std::string, std::string>> effective_config(Config config) {
  Fields fields;
  describe(fields, config);
  return fields.effective();
}

// The documented file with every key: what configs/<component>.toml is.
std::string document_robot_config();
std::string document_coordinator_config();

}  // namespace drover::nodes

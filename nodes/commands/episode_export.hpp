// drover episodes export: the files of an episode, as they are or in another form.
#pragma once

#include <string>

#include "nodes/commands/store_access.hpp"

namespace drover::nodes {

enum class ExportFormat { native, mcap, rosbag2, csv, frames };

struct ExportOptions {
  std::string robot;
  std::string episode;
  std::string blob;  // only the file of this name
  std::string out = ".";
  ExportFormat format = ExportFormat::native;
};

// Returns the exit code.
int export_episode(const AccessOptions& access, const ExportOptions& options);

}  // namespace drover::nodes

// drover packs import and export: JSON Lines, nothing lost on the way.
#pragma once

#include <string>
#include <vector>

#include "nodes/commands/store_access.hpp"

namespace drover::nodes {

struct PackTransfer {
  std::vector<std::string> files;  // "-": standard input or output
  std::string dir;                 // one file per task
  std::string task;                // empty: every task
  bool keep_going = false;
  bool append = false;
};

void add_import_options(CLI::App& app, PackTransfer& transfer);
void add_export_options(CLI::App& app, PackTransfer& transfer);
// Exit codes: 0 everything was taken or was there before; 1 something was not.
int import_packs(const AccessOptions& access, const PackTransfer& transfer);
int export_packs(const AccessOptions& access, const PackTransfer& transfer);

}  // namespace drover::nodes

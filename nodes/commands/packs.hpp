// drover packs import and export: JSON Lines, nothing lost on the way. Filters are those of drover packs query.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "nodes/commands/store_access.hpp"
#include "storage/datapack_store.hpp"

namespace drover::nodes {

// A line on stderr every second, beginning when the work has taken two.
class PackProgress {
 public:
  void at(uint64_t packs, const char* doing);

 private:
  std::chrono::steady_clock::time_point next_ = std::chrono::steady_clock::now() + std::chrono::seconds(2);
};

// What a pack must be. Empty and absent: any.
struct PackFilters {
  std::string task, bucket, engine, source, robot, from, until;
  std::optional<int64_t> skill;
  std::optional<double> min_trust, min_delta_j, min_mvd;
  std::vector<std::string> tags;
  bool counterfactual = false, sima = false;
};
void add_filter_options(CLI::App& app, PackFilters& filters);
// Errors: invalid_argument (a time that is none).
Result<storage::PackQuery> pack_query(const PackFilters& filters);

struct PackImport {
  std::vector<std::string> files;  // "-": standard input
  std::string dir;                 // every *.jsonl of it
  std::string task;                // empty: every task
  bool keep_going = false;
};
void add_import_options(CLI::App& app, PackImport& import);
// Exit codes: 0 everything was taken or was there before; 1 something was not.
int import_packs(const AccessOptions& access, const PackImport& import);

struct PackExport {
  std::string file, out;  // the same, by place or by name; "-" or empty: standard output
  std::string dir;        // one file per task
  PackFilters filters;
  std::string sort = "time";
  std::optional<uint32_t> limit;
  bool ascending = false;
  bool append = false;
  bool portable = false;    // 2.1-portable packs only
  bool with_plain = false;  // beside them those that cannot be portable, as they are
  bool narrate = false;     // words by rule for packs that have none
};
void add_export_options(CLI::App& app, PackExport& options);
// Exit codes: 0; 1 an error, or packs matched and none could be made portable.
int export_packs(const AccessOptions& access, const PackExport& options);

}  // namespace drover::nodes

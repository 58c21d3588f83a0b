// Import of datapacks (see packs.hpp).
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <thread>
#include <unordered_map>

#include "actors/datapack/portable_artifacts.hpp"
#include "nodes/commands/command.hpp"
#include "nodes/commands/packs.hpp"
#include "nodes/commands/table.hpp"
#include "storage/datapack_json.hpp"
#include "storage/jsonl.hpp"

namespace drover::nodes {
namespace {

namespace fs = std::filesystem;
using storage::ReadTxn;
using storage::WriteTxn;
constexpr const char* import_name = "drover packs import";
constexpr size_t batch_packs_max = 32'768;  // large: the sorted indexes are touched all over by each batch
constexpr size_t batch_bytes_max = 64u << 20;
constexpr uint32_t bad_lines_max = 10'000;  // with --keep-going
constexpr size_t errors_shown = 20;

struct ImportCounts {
  uint64_t imported = 0;
  uint64_t known = 0;
  uint64_t conflict = 0;
  uint64_t invalid = 0;
  uint64_t other_task = 0;
  uint64_t torn_bytes = 0;
};

// Takes packs in batches of one transaction. A pack is compared with the store as it is read, so that a refusal
// still knows its line.
class Importer {
 public:
  Importer(storage::Env& env, std::string task) : env_(env), store_(env), task_(std::move(task)) {}

  // What a 2.1-portable pack promises is checked where it is believed, and not again when it is read. Thread safe.
  Status check(const Datapack& pack) const {
    if (!task_.empty() && pack.task_name != task_) return {};
    return datapack::check_portable(pack);
  }

  Status take(storage::PreparedPack&& pack) {
    if (!task_.empty() && pack.task_name != task_) return ++counts.other_task, Status{};
    DROVER_ASSIGN(const bool known, is_known(pack));
    if (known) return ++counts.known, Status{};
    waiting_bytes_ += pack.flat.size();
    std::string id = pack.pack_id;
    waiting_.emplace(std::move(id), std::move(pack));
    progress_.at(counts.imported + counts.known, "imported");
    return waiting_.size() < batch_packs_max && waiting_bytes_ < batch_bytes_max ? Status{} : flush();
  }

  Status flush() {
    if (waiting_.empty()) return {};
    std::vector<const storage::PreparedPack*> in_time;  // the order in which the store keeps them
    for (const auto& [id, pack] : waiting_) in_time.push_back(&pack);
    std::sort(in_time.begin(), in_time.end(), [](const auto* a, const auto* b) { return a->row.id() < b->row.id(); });
    DROVER_TRY(env_.write([&](WriteTxn& txn) -> Status {
      storage::DatapackBatch batch(store_, txn);
      for (const auto* pack : in_time) {
        DROVER_ASSIGN(const auto outcome, batch.put(*pack));
        (void)outcome;
      }
      return batch.finish();
    }));
    counts.imported += waiting_.size();
    waiting_.clear();
    waiting_bytes_ = 0;
    return {};
  }

  ImportCounts counts;

 private:
  // Errors: conflict.
  Result<bool> is_known(const storage::PreparedPack& pack) {
    Bytes held;
    if (const auto at = waiting_.find(pack.pack_id); at != waiting_.end()) {
      held = at->second.flat;
    } else {
      DROVER_TRY(env_.read([&](const ReadTxn& txn) -> Status {
        DROVER_ASSIGN(const auto found, store_.get_flat(txn, pack.pack_id));
        if (found) held = Bytes::copy_of(*found);
        return {};
      }));
    }
    if (held.empty()) return false;
    if (held == pack.flat) return true;
    ++counts.conflict;
    return fail(Errc::conflict, "pack_id", "'" + pack.pack_id + "' is here already with other content");
  }

  storage::Env& env_;
  storage::DatapackStore store_;
  std::string task_;
  std::unordered_map<std::string, storage::PreparedPack> waiting_;
  size_t waiting_bytes_ = 0;
  PackProgress progress_;
};

Result<std::vector<fs::path>> import_files(const PackImport& transfer) {
  std::vector<fs::path> files;
  for (const std::string& file : transfer.files) files.emplace_back(file == "-" ? "/dev/stdin" : file);
  if (!transfer.dir.empty()) {
    std::error_code error;
    for (fs::directory_iterator at(transfer.dir, error), end; !error && at != end; at.increment(error))
      if (at->path().extension() == ".jsonl") files.push_back(at->path());
    if (error) return fail(Errc::io, transfer.dir, error.message());
    std::sort(files.begin(), files.end());
  }
  if (files.empty()) return fail(Errc::invalid_argument, "FILE", "give files, - for standard input, or --dir");
  return files;
}

// Opened by itself, so that the tables of the store may be written; the lock keeps a coordinator out meanwhile.
Result<storage::Env> open_packs_for_writing(const std::string& folder) {
  { DROVER_ASSIGN(const auto probe, open_central(folder, storage::Access::read_write)); }
  storage::EnvOptions options;
  options.path = fs::path(folder) / "central";
  options.databases = storage::DatapackStore::databases();
  options.verify = storage::Verify::none;  // the probe has verified it
  return storage::Env::open(options);
}

Status import_all(storage::Env& env, const PackImport& transfer, const std::vector<fs::path>& files,
                  ImportCounts& counts) {
  Importer importer(env, transfer.task);
  storage::JsonlOptions options;
  options.stop_at_error = !transfer.keep_going;
  options.errors_max = bad_lines_max;
  Status outcome;
  size_t shown = 0;
  uint64_t bad_lines = 0;
  for (const fs::path& file : files) {
    storage::PreparedSink sink;
    sink.threads = std::clamp(std::thread::hardware_concurrency(), 2u, 5u) - 1;  // one is left for the store
    sink.check = [&](const Datapack& pack) { return importer.check(pack); };
    sink.take = [&](storage::PreparedPack&& pack) { return importer.take(std::move(pack)); };
    const auto report = storage::read_jsonl_prepared(file, options, sink);
    if (!report) {
      outcome = tl::unexpected(report.error());
      const Errc code = report.error().code;
      if (code == Errc::invalid_argument || code == Errc::unsupported_version || code == Errc::conflict) ++bad_lines;
      break;
    }
    bad_lines += report->bad_lines;
    importer.counts.torn_bytes += report->torn_bytes;
    for (const Error& error : report->errors)
      if (shown++ < errors_shown) std::fprintf(stderr, "%s\n", error.message().c_str());
    if (report->torn_bytes > 0)
      std::fprintf(stderr, "%s: the last line has no end (%llu bytes); it was left out\n", file.c_str(),
                   static_cast<unsigned long long>(report->torn_bytes));
    if (report->bad_lines >= bad_lines_max) {
      outcome = fail(Errc::overloaded, file.string(), "gave up after so many bad lines");
      break;
    }
  }
  if (shown > errors_shown) std::fprintf(stderr, "... and %zu more bad lines\n", shown - errors_shown);
  if (const Status flushed = importer.flush(); !flushed) return flushed;
  counts = importer.counts;
  counts.invalid = bad_lines - counts.conflict;
  return outcome;
}

}  // namespace

void add_import_options(CLI::App& app, PackImport& transfer) {
  app.add_option("FILE", transfer.files, "JSON Lines files; - is standard input");
  app.add_option("--dir", transfer.dir, "also every *.jsonl file of this folder");
  app.add_option("--task", transfer.task, "take datapacks of this task only");
  app.add_flag("--keep-going", transfer.keep_going, "report bad lines and go on; else the first one ends it");
}

int import_packs(const AccessOptions& access, const PackImport& transfer) {
  const auto files = import_files(transfer);
  if (!files) return report_failure(import_name, files.error(), exit_usage);
  const auto folder = store_folder(access);
  if (!folder) return report_failure(import_name, folder.error(), exit_usage);
  auto env = open_packs_for_writing(*folder);
  if (!env) return report_failure(import_name, env.error());
  ImportCounts counts;
  const Status outcome = import_all(*env, transfer, *files, counts);
  if (access.json) {
    const Json report{{"imported", counts.imported},     {"known", counts.known},
                      {"conflict", counts.conflict},     {"invalid", counts.invalid},
                      {"other_task", counts.other_task}, {"torn_bytes", counts.torn_bytes}};
    print_text(report.dump() + "\n");
  } else {
    std::printf("imported %s, known before %s, conflicts %s, invalid %s", human_count(counts.imported).c_str(),
                human_count(counts.known).c_str(), human_count(counts.conflict).c_str(),
                human_count(counts.invalid).c_str());
    if (!transfer.task.empty()) std::printf(", of other tasks %s", human_count(counts.other_task).c_str());
    std::printf("\n");
  }
  if (!outcome) return report_failure(import_name, outcome.error());
  return counts.conflict + counts.invalid + counts.torn_bytes == 0 ? exit_ok : exit_failed;
}

}  // namespace drover::nodes

// Export of datapacks (see packs.hpp).
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include "actors/datapack/narrate.hpp"
#include "nodes/commands/command.hpp"
#include "nodes/commands/packs.hpp"
#include "nodes/commands/packs_portable.hpp"
#include "nodes/commands/table.hpp"
#include "storage/datapack_json.hpp"
#include "storage/jsonl.hpp"

namespace drover::nodes {
namespace {

namespace fs = std::filesystem;
using storage::PackQuery;
using storage::ReadTxn;
constexpr const char* name = "drover packs export";
constexpr uint32_t page_packs = 256;           // held in memory at once
constexpr uint32_t sorted_packs_max = 10'000;  // they are held in memory together
constexpr size_t details_shown = 5;

// Where packs go. Errors: io, disk_full, invalid_argument (a pack that cannot be said in JSON).
class PackSink {
 public:
  virtual ~PackSink() = default;
  virtual Result<uint64_t> append(const Datapack& pack) = 0;  // the bytes it took
  virtual Status finish() = 0;
};

class LineFile final : public PackSink {
 public:
  explicit LineFile(const std::string& file) : file_(file) {
    to_ = file == "-" ? stdout : std::fopen(file.c_str(), "wxb");  // never over something that is there
  }
  ~LineFile() override {
    if (to_ != nullptr && to_ != stdout) std::fclose(to_);
  }
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;
  Status opened() const { return to_ != nullptr ? Status{} : trouble("open"); }
  Result<uint64_t> append(const Datapack& pack) override {
    DROVER_ASSIGN(std::string line, storage::datapack_to_json(pack));
    line += '\n';
    if (std::fwrite(line.data(), 1, line.size(), to_) != line.size()) DROVER_TRY(trouble("write"));
    return line.size();
  }
  Status finish() override {
    if (std::fflush(to_) != 0) return trouble("write");
    return to_ == stdout || ::fdatasync(::fileno(to_)) == 0 ? Status{} : trouble("sync");
  }

 private:
  Status trouble(const char* doing) const {
    return fail(Errc::io, file_, std::string(doing) + ": " + std::strerror(errno));
  }
  std::string file_;
  std::FILE* to_;
};

class TaskFiles final : public PackSink {
 public:
  explicit TaskFiles(const std::string& dir) : writer_(dir) {}
  Result<uint64_t> append(const Datapack& pack) override {
    DROVER_TRY(writer_.append(pack));
    DROVER_ASSIGN(const std::string line, storage::datapack_to_json(pack));
    return line.size() + 1;
  }
  Status finish() override {
    DROVER_TRY(writer_.finish());
    for (const auto& [task, file] : writer_.files())
      std::fprintf(stderr, "%s: %s datapacks of %s\n", file.path.c_str(), human_count(file.packs).c_str(),
                   plain_text(task).c_str());
    return {};
  }

 private:
  storage::JsonlWriter writer_;
};

// What became of the packs that matched.
struct ExportReport {
  struct Task {
    uint64_t embedded = 0;
    uint64_t from_recording = 0;
    uint64_t plain = 0;  // written as they are
    uint64_t left_out = 0;
    uint64_t bytes = 0;
    uint64_t written() const { return embedded + from_recording + plain; }
  };
  std::map<std::string, Task> tasks;
  std::map<std::string, uint64_t> lacking;  // reason -> packs
  std::vector<std::string> details;         // the first few
  uint64_t narrated = 0;

  uint64_t written() const {
    uint64_t n = 0;
    for (const auto& [task, counts] : tasks) n += counts.written();
    return n;
  }
};

class Exporter {
 public:
  Exporter(const Source& source, const PackExport& options, PackSink& sink)
      : options_(options), maker_(source), sink_(sink) {}

  Status take(Datapack pack) {
    ExportReport::Task& task = report.tasks[pack.task_name];
    if (options_.portable) {
      DROVER_ASSIGN(const PortableOutcome outcome, maker_.make(pack));
      if (outcome.origin == PortableOrigin::none) {
        ++report.lacking[outcome.reason];
        if (!outcome.detail.empty() && report.details.size() < details_shown)
          report.details.push_back(plain_text(pack.pack_id) + ": " + plain_text(outcome.detail));
        if (!options_.with_plain) return ++task.left_out, Status{};
      }
      ++(outcome.origin == PortableOrigin::embedded         ? task.embedded
         : outcome.origin == PortableOrigin::from_recording ? task.from_recording
                                                            : task.plain);
    } else {
      ++task.plain;
    }
    if (options_.narrate && !pack.sima_annotation) {
      pack.sima_annotation = datapack::narrate(pack);
      ++report.narrated;
    }
    DROVER_ASSIGN(const uint64_t bytes, sink_.append(pack));
    task.bytes += bytes;
    progress_.at(++seen_, "exported");
    return {};
  }

  ExportReport report;

 private:
  const PackExport& options_;
  PortableMaker maker_;
  PackSink& sink_;
  PackProgress progress_;
  uint64_t seen_ = 0;
};

using TakePack = std::function<Status(Datapack)>;

Result<storage::QueryAnswer> ask(const sync::CentralStore& store, const PackQuery& query) {
  return store.central_env().read([&](const ReadTxn& txn) { return store.packs().query(txn, query); });
}

// Every match in order of start time, a page at a time, each page in a transaction of its own. Packs that arrive
// meanwhile may or may not be among them. A page whose packs all start at one moment is asked for again, larger.
Status each_in_time(const sync::CentralStore& store, PackQuery query, const TakePack& take) {
  query.sort_by = storage::SortBy::time;
  query.sort_descending = false;
  query.limit = page_packs;
  std::set<std::string> taken;  // of the moment where the page begins
  for (;;) {
    DROVER_ASSIGN(const auto page, ask(store, query));
    const bool last = page.hits.size() < query.limit;
    if (!last && page.hits.front().row.time == page.hits.back().row.time) {
      if (query.limit == storage::query_limit_max)
        return fail(Errc::too_large, "datapacks", "over a million start at one moment");
      query.limit = std::min(2 * query.limit, storage::query_limit_max);
      continue;
    }
    for (const auto& hit : page.hits) {
      if (taken.contains(hit.pack_id)) continue;
      DROVER_ASSIGN(auto pack, decode_datapack(hit.flat));
      const int64_t start_unix_ns = pack.provenance.start_unix_ns;
      if (query.from_unix_ns != start_unix_ns) taken.clear();
      query.from_unix_ns = start_unix_ns;
      taken.insert(hit.pack_id);
      DROVER_TRY(take(std::move(pack)));
    }
    if (last) return {};
    query.limit = std::min(page_packs + static_cast<uint32_t>(taken.size()), storage::query_limit_max);
  }
}

Status each_sorted(const sync::CentralStore& store, PackQuery query, const TakePack& take) {
  DROVER_ASSIGN(const auto answer, ask(store, query));
  for (const auto& hit : answer.hits) {
    DROVER_ASSIGN(auto pack, decode_datapack(hit.flat));
    DROVER_TRY(take(std::move(pack)));
  }
  return {};
}

Status each_match(const sync::CentralStore& store, const PackExport& options, const TakePack& take) {
  DROVER_ASSIGN(PackQuery query, pack_query(options.filters));
  const auto sort = storage::sort_by_from_name(options.sort);
  if (!sort) return fail(Errc::invalid_argument, "--sort", "must be one of time, delta_j, trust, mvd, w_econ, pack_id");
  if (*sort == storage::SortBy::time && !options.limit) return each_in_time(store, std::move(query), take);
  if (!options.limit || *options.limit > sorted_packs_max)
    return fail(Errc::invalid_argument, "--limit", "with --sort, give one of at most 10000");
  query.limit = *options.limit;
  query.sort_by = *sort;
  query.sort_descending = !options.ascending;
  return each_sorted(store, query, take);
}

// Before anything is written: no file of a task that may be written is there already.
Status check_dir(const sync::CentralStore& store, const PackExport& options) {
  DROVER_ASSIGN(const auto tasks,
                store.central_env().read([&](const ReadTxn& txn) { return store.packs().tasks(txn); }));
  for (const auto& task : tasks) {
    const fs::path file = storage::jsonl_path(options.dir, task.task_name);
    std::error_code error;
    const bool wanted = options.filters.task.empty() || options.filters.task == task.task_name;
    if (wanted && !options.append && fs::file_size(file, error) > 0 && !error)
      return fail(Errc::already_exists, file.string(), "is there already; --append adds to it");
  }
  return {};
}

std::string report_json(const ExportReport& report, bool portable) {
  Json tasks = Json::array();
  for (const auto& [task, t] : report.tasks) {
    Json row{{"task_name", task}, {"exported", t.written()}, {"bytes", t.bytes}};
    if (portable) {
      row["embedded"] = t.embedded;
      row["from_recording"] = t.from_recording;
      row["plain"] = t.plain;
      row["left_out"] = t.left_out;
    }
    tasks.push_back(std::move(row));
  }
  Json out{{"exported", report.written()}, {"narrated", report.narrated}, {"tasks", std::move(tasks)}};
  if (portable) out["lacking"] = report.lacking;
  return out.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string report_tables(const ExportReport& report, const PackExport& options) {
  Table tasks({"TASK", ">EMBEDDED", ">FROM RECORDING", ">PLAIN", ">LEFT OUT", ">BYTES EACH"});
  for (const auto& [task, t] : report.tasks)
    tasks.row({task, human_count(t.embedded), human_count(t.from_recording), human_count(t.plain),
               human_count(t.left_out), human_bytes(t.bytes / std::max<uint64_t>(t.written(), 1))});
  std::string out = tasks.empty() ? "no datapacks match\n" : tasks.text();
  if (report.lacking.empty()) return out;
  Table lacking({">PACKS", options.with_plain ? "NOT PORTABLE BECAUSE" : "LEFT OUT BECAUSE"});
  for (const auto& [reason, packs] : report.lacking) lacking.row({human_count(packs), reason});
  out += "\n" + lacking.text();
  for (const std::string& detail : report.details) out += "  " + detail + "\n";
  if (!options.with_plain) out += "--with-plain writes those too, as 2.0-energy\n";
  return out;
}

// On stdout, unless the packs go there. Without --portable and --json nothing is said, as ever.
void show_report(const ExportReport& report, const AccessOptions& access, const PackExport& options, bool to_stdout) {
  if (!options.portable && !access.json) return;
  const std::string text = access.json ? report_json(report, options.portable) : report_tables(report, options);
  std::fputs(text.c_str(), to_stdout ? stdout : stderr);
}

}  // namespace

void PackProgress::at(uint64_t packs, const char* doing) {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) return;
  next_ = now + std::chrono::seconds(1);
  std::fprintf(stderr, "%s %s datapacks\n", doing, human_count(packs).c_str());
}

void add_filter_options(CLI::App& app, PackFilters& f) {
  app.add_option("--task", f.task, "of this task");
  app.add_option("--bucket", f.bucket, "positive or negative")->check(CLI::IsMember({"positive", "negative"}));
  app.add_option("--skill", f.skill, "this skill occurs in the trace");
  app.add_option("--engine", f.engine, "pybullet, isaac, ue5, mujoco or real");
  app.add_option("--source", f.source, "real, synthetic or hybrid");
  app.add_option("--robot", f.robot, "of this robot");
  app.add_option("--min-trust", f.min_trust, "trust score at least");
  app.add_option("--min-delta-j", f.min_delta_j, "delta J at least");
  app.add_option("--min-mvd", f.min_mvd, "marginal value of data at least");
  app.add_option("--from", f.from, "started at or after: 2026-01-31 or 2026-01-31T09:15:02 (UTC)");
  app.add_option("--until", f.until, "started before");
  app.add_option("--tag", f.tags, "carries this tag; may be repeated")->allow_extra_args(false);
  app.add_flag("--with-counterfactual", f.counterfactual, "only those with a counterfactual plan");
  app.add_flag("--with-sima", f.sima, "only those with a SIMA annotation");
}

Result<PackQuery> pack_query(const PackFilters& f) {
  PackQuery q;
  q.task_name = f.task;
  q.bucket = bucket_from_name(f.bucket);
  q.skill_id = f.skill;
  q.engine_type = f.engine;
  q.min_trust = f.min_trust;
  q.min_delta_j = f.min_delta_j;
  q.min_mvd_score = f.min_mvd;
  q.source_type = source_type_from_name(f.source);
  if (!f.source.empty() && !q.source_type)
    return fail(Errc::invalid_argument, "--source", "must be one of real, synthetic, hybrid");
  q.robot = f.robot;
  q.tags = f.tags;
  q.include_counterfactual = f.counterfactual;
  q.include_sima = f.sima;
  if (!f.from.empty()) {
    DROVER_ASSIGN(q.from_unix_ns, parse_utc(f.from));
  }
  if (!f.until.empty()) {
    DROVER_ASSIGN(q.until_unix_ns, parse_utc(f.until));
  }
  return q;
}

void add_export_options(CLI::App& app, PackExport& o) {
  app.add_option("FILE", o.file, "a new file, or - for standard output (the default)");
  app.add_option("--out", o.out, "the same as FILE");
  app.add_option("--dir", o.dir, "one file per task in this folder, instead of FILE");
  app.add_flag("--append", o.append, "with --dir: add to files that are there");
  app.add_flag("--portable", o.portable,
               "2.1-portable packs: with the artifacts they carry, else with those of their recording in the store");
  app.add_flag("--with-plain", o.with_plain, "with --portable: also those that have no material, as they are");
  app.add_flag("--narrate", o.narrate, "add instruction and step narrations, by rule, where a pack has none");
  add_filter_options(app, o.filters);
  app.add_option("--limit", o.limit, "at most so many; sorted by --sort, largest first")->check(CLI::Range(1, 10'000));
  app.add_option("--sort", o.sort,
                 "time, delta_j, trust, mvd, w_econ or pack_id; without --limit: by time, oldest first")
      ->capture_default_str();
  app.add_flag("--ascending", o.ascending, "with --limit: smallest first");
}

int export_packs(const AccessOptions& access, const PackExport& options) {
  const auto usage = [](const char* where, const char* what) {
    return report_failure(name, {Errc::invalid_argument, where, what}, exit_usage);
  };
  if (!options.file.empty() && !options.out.empty()) return usage("--out", "cannot go with FILE");
  const std::string file = options.file.empty() ? options.out : options.file;
  if (!options.dir.empty() && !file.empty()) return usage("--dir", "cannot go with FILE");
  if (options.with_plain && !options.portable) return usage("--with-plain", "goes with --portable");
  auto source = open_source(access);
  if (!source) return report_failure(name, source.error());
  const sync::CentralStore& store = *(*source)->store();
  const bool packs_to_stdout = options.dir.empty() && (file.empty() || file == "-");
  std::unique_ptr<PackSink> sink;
  Status outcome;
  if (!options.dir.empty()) {
    outcome = check_dir(store, options);
    sink = std::make_unique<TaskFiles>(options.dir);
  } else {
    auto lines = std::make_unique<LineFile>(file.empty() ? "-" : file);
    outcome = lines->opened();
    sink = std::move(lines);
  }
  Exporter exporter(**source, options, *sink);
  if (outcome) outcome = each_match(store, options, [&](Datapack pack) { return exporter.take(std::move(pack)); });
  if (outcome) outcome = sink->finish();
  if (!outcome) {
    const bool words = outcome.error().code == Errc::invalid_argument && outcome.error().where.starts_with("--");
    return report_failure(name, outcome.error(), words ? exit_usage : exit_failed);
  }
  show_report(exporter.report, access, options, !packs_to_stdout);
  return exporter.report.written() == 0 && !exporter.report.lacking.empty() ? exit_failed : exit_ok;
}

}  // namespace drover::nodes

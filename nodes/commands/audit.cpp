// drover audit: proves over live stores that no record is lost, none is there twice, and order is kept.
#include "actors/sync/audit.hpp"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "actors/capture/spool.hpp"
#include "actors/sync/central_dump.hpp"
#include "actors/sync/own_stream.hpp"
#include "nodes/commands/command.hpp"

namespace drover::nodes {
namespace {

using nlohmann::ordered_json;

struct Options {
  sync::AuditFolders folders;
  std::vector<std::string> spools;
  std::string dump_file;
  bool digest = false;
  bool json = false;
  bool quick = false;
};

// Says on stderr what is being done, once it takes over two seconds, at most once a second.
class Progress {
 public:
  void operator()(const std::string& stage, uint64_t done, uint64_t total) {
    const auto now = std::chrono::steady_clock::now();
    if (now - start_ < std::chrono::seconds(2) || now - told_ < std::chrono::seconds(1)) return;
    told_ = now;
    std::fprintf(stderr, "drover audit: %s %llu of %llu\n", stage.c_str(), static_cast<unsigned long long>(done),
                 static_cast<unsigned long long>(total));
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point told_ = start_;
};

// The marks of capture, as its spool writes them.
std::optional<sync::SourceClaim> read_claim(std::string_view key, std::string_view value) {
  if (!key.starts_with("spool/")) return std::nullopt;
  const auto mark = capture::decode_mark(as_bytes(value));
  if (!mark) return sync::SourceClaim{"unreadable mark", 0, true, true};
  return sync::SourceClaim{mark->file.name, mark->next_ordinal, mark->state != capture::MarkState::taking,
                           mark->state == capture::MarkState::quarantined};
}

struct Spools {
  uint64_t files = 0;
  uint64_t waiting = 0;  // without a finished mark
};

Result<Spools> look_at_spools(const Options& options, const sync::AuditStores& stores) {
  std::set<std::string> settled;
  for (const auto& env : stores.robots) {
    DROVER_ASSIGN(const auto marks, env.read([&](const storage::ReadTxn& txn) {
      return storage::Marks::open(env).list_in(txn, "spool/");
    }));
    for (const auto& [key, value] : marks)
      if (const auto claim = read_claim(key, value); claim && claim->finished) settled.insert(claim->name);
  }
  Spools spools;
  for (const std::string& folder : options.spools) {
    std::error_code failed;
    for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
      if (!entry.is_regular_file(failed)) continue;
      ++spools.files;
      if (settled.count(entry.path().filename().string()) == 0) ++spools.waiting;
    }
    if (failed) return fail(Errc::io, folder, "cannot list the folder: " + failed.message());
  }
  return spools;
}

Result<sync::CentralDump> dump(const Options& options, const sync::CentralStore& store) {
  if (options.dump_file.empty()) return sync::dump_central(store, {});
  std::ofstream file;
  if (options.dump_file != "-") file.open(options.dump_file, std::ios::binary | std::ios::trunc);
  auto result = sync::dump_central(store, [&](std::string_view line) -> Status {
    if (options.dump_file == "-") {
      std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
      return {};
    }
    file.write(line.data(), static_cast<std::streamsize>(line.size())).put('\n');
    if (!file) return fail(Errc::io, options.dump_file, "cannot be written");
    return {};
  });
  file.flush();
  if (result && options.dump_file != "-" && !file) return fail(Errc::io, options.dump_file, "cannot be written");
  return result;
}

ordered_json to_json(const sync::StreamAudit& s) {
  return {{"robot", s.robot},
          {"incarnation", std::to_string(s.incarnation)},
          {"rank", s.rank},
          {"of_the_centre", sync::is_own_stream(s.robot)},
          {"store_given", s.store_given},
          {"captured", s.captured},
          {"acked", s.acked},
          {"in_flight", s.in_flight},
          {"central", s.central},
          {"applied", s.applied},
          {"rejected", s.rejected},
          {"records",
           {{"episode", s.episodes},
            {"datapack", s.packs},
            {"event", s.events},
            {"receipt", s.receipts},
            {"other", s.other}}},
          {"chunks",
           {{"referenced", s.chunks},
            {"robot_only", s.chunks_robot},
            {"central", s.chunks_central},
            {"evicted_with_receipt", s.chunks_evicted},
            {"lost_with_receipt", s.chunks_lost},
            {"refused", s.chunks_refused},
            {"unknown", s.chunks_unknown}}},
          {"sources", {{"known", s.sources}, {"done", s.sources_done}}}};
}

void print_json(const Options& options, const sync::Audit& audit, const std::optional<sync::CentralDump>& dumped,
                const Spools& spools) {
  ordered_json out{{"balanced", audit.balanced()}, {"streams", ordered_json::array()}};
  for (const auto& s : audit.streams) out["streams"].push_back(to_json(s));
  const auto& c = audit.centre;
  out["centre"] = {{"records", c.records},         {"episodes", c.episodes},       {"datapacks", c.packs},
                   {"imported", c.packs_imported}, {"events", c.events},           {"receipts", c.receipts},
                   {"enrichments", c.enrichments}, {"outcomes", c.outcomes},       {"rejected", c.rejected},
                   {"chunks", c.chunks},           {"chunk_bytes", c.chunk_bytes}, {"chunks_wanted", c.chunks_wanted}};
  if (!options.spools.empty()) out["spools"] = {{"files", spools.files}, {"waiting", spools.waiting}};
  out["violations_in_all"] = audit.violations_in_all;
  out["violations"] = ordered_json::array();
  for (const auto& v : audit.violations)
    out["violations"].push_back({{"check", v.check}, {"where", v.where}, {"what", v.what}});
  out["notices"] = audit.notices;
  if (dumped) out["dump"] = {{"sha256", to_hex(dumped->digest)}, {"lines", dumped->lines}};
  std::printf("%s\n", out.dump(2, ' ', false, ordered_json::error_handler_t::replace).c_str());
}

unsigned long long wide(uint64_t value) {
  return value;
}

void print_streams(const sync::Audit& audit) {
  std::printf("%-20s %4s %9s %9s %9s %9s %8s | %8s %8s %8s %8s %8s\n", "robot", "rank", "captured", "in flight",
              "central", "applied", "rejected", "chunks", "robot", "central", "evicted", "lost");
  for (const auto& s : audit.streams)
    std::printf("%-20s %4llu %9llu %9llu %9llu %9llu %8llu | %8llu %8llu %8llu %8llu %8llu%s\n", s.robot.c_str(),
                wide(s.rank), wide(s.captured), wide(s.in_flight), wide(s.central), wide(s.applied), wide(s.rejected),
                wide(s.chunks), wide(s.chunks_robot), wide(s.chunks_central), wide(s.chunks_evicted),
                wide(s.chunks_lost),
                s.store_given                  ? ""
                : sync::is_own_stream(s.robot) ? "  (the centre's own)"
                                               : "  (its store was not given)");
}

void print_text(const Options& options, const sync::Audit& audit, const std::optional<sync::CentralDump>& dumped,
                const Spools& spools) {
  if (options.dump_file == "-") return;
  print_streams(audit);
  const auto& c = audit.centre;
  std::printf(
      "centre: %llu records, %llu episodes, %llu datapacks (%llu imported), %llu events, %llu receipts, %llu rejected, "
      "%llu chunks of %llu bytes, %llu wanted\n",
      wide(c.records), wide(c.episodes), wide(c.packs), wide(c.packs_imported), wide(c.events), wide(c.receipts),
      wide(c.rejected), wide(c.chunks), wide(c.chunk_bytes), wide(c.chunks_wanted));
  if (!options.spools.empty())
    std::printf("spools: %llu files, %llu waiting\n", wide(spools.files), wide(spools.waiting));
  if (dumped) std::printf("dump: sha256 %s, %llu lines\n", to_hex(dumped->digest).c_str(), wide(dumped->lines));
  for (const auto& notice : audit.notices) std::printf("notice: %s\n", notice.c_str());
  for (const auto& v : audit.violations)
    std::printf("VIOLATION %s: %s: %s\n", v.check.c_str(), v.where.c_str(), v.what.c_str());
  if (audit.violations_in_all > audit.violations.size())
    std::printf("... and %llu more\n", wide(audit.violations_in_all - audit.violations.size()));
  if (audit.balanced())
    std::printf("balanced: every record and chunk is accounted for\n");
  else
    std::printf("NOT balanced: %llu violations\n", wide(audit.violations_in_all));
}

Result<int> run(const Options& options) {
  DROVER_ASSIGN(const auto stores, sync::open_for_audit(options.folders));
  std::vector<sync::RobotToAudit> robots;
  for (size_t i = 0; i < stores.robots.size(); ++i) robots.push_back({options.folders.robots[i], &stores.robots[i]});
  sync::AuditOptions audit_options;
  audit_options.content = audit_options.verify_packs = !options.quick;
  audit_options.read_claim = read_claim;
  audit_options.progress = Progress();
  DROVER_ASSIGN(const auto audit, sync::audit(*stores.centre, robots, audit_options));
  Spools spools;
  if (!options.spools.empty()) {
    DROVER_ASSIGN(spools, look_at_spools(options, stores));
  }
  std::optional<sync::CentralDump> dumped;
  if (options.digest || !options.dump_file.empty()) {
    DROVER_ASSIGN(dumped, dump(options, *stores.centre));
  }
  if (options.json)
    print_json(options, audit, dumped, spools);
  else
    print_text(options, audit, dumped, spools);
  return audit.balanced() ? exit_ok : exit_failed;
}

}  // namespace

int audit_command(const Arguments& arguments) {
  CLI::App app(
      "Prove over the stores, beside the daemons that write them, that every record and chunk is accounted for.",
      "drover audit");
  app.footer(
      "Exit code 0: balanced; 1: a record or chunk is lost, double or out of order (listed); 2: usage; 4: a store\n"
      "cannot be opened. Give the stores of all robots that can be reached; without a robot's store only what came to\n"
      "the centre is checked.\n\n"
      "Examples:\n"
      "  drover audit --store /var/lib/drover/coordinator\n"
      "  drover audit --store centre --robot robot-01 --robot robot-02 --json\n"
      "  drover audit --store centre --digest             one hash of everything the centre keeps\n");
  Options options;
  app.add_option("--store", options.folders.centre, "the coordinator's store folder")->required();
  app.add_option("--robot", options.folders.robots, "a robot's store folder; may be repeated")->allow_extra_args(false);
  app.add_option("--spool", options.spools, "a spool folder: its waiting files are counted; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--dump", options.dump_file, "write the canonical dump of the centre to this file; - for stdout");
  app.add_flag("--digest", options.digest, "print the SHA-256 of the canonical dump");
  app.add_flag("--json", options.json, "JSON instead of a table");
  app.add_flag("--quick", options.quick, "leave chunk contents and datapack indexes unread");
  if (const auto code = parse_arguments(app, arguments)) return *code;
  if (options.json && options.dump_file == "-") {
    std::fprintf(stderr, "drover audit: --json and --dump - both want stdout\n");
    return exit_usage;
  }
  const auto code = run(options);
  return code ? *code : report_failure("drover audit", code.error(), exit_start);
}

}  // namespace drover::nodes

// drover fleet: who streams to this coordinator, how far they got, and who is quarantined.
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "actors/runtime/clock.hpp"
#include "actors/sync/own_stream.hpp"
#include "nodes/commands/command.hpp"
#include "nodes/commands/store_access.hpp"
#include "nodes/commands/table.hpp"
#include "nodes/config/load.hpp"
#include "storage/inbox.hpp"

namespace drover::nodes {
namespace {

constexpr const char* name = "drover fleet";

// The status file of a running coordinator, or nothing. A file that was named and cannot be read is an error.
Result<Json> read_status(const AccessOptions& access, std::string file) {
  const bool named = !file.empty();
  if (!named && !access.config.empty()) {
    DROVER_ASSIGN(const auto config, load_config<CoordinatorConfig>({access.config, {}}));
    file = config.status.file;
  }
  if (file.empty()) return Json();
  const auto text = read_config_text(file);
  if (!text) return named ? Result<Json>(tl::unexpected(text.error())) : Json();
  Json status = Json::parse(*text, nullptr, false);
  if (!status.is_object()) return fail(Errc::corrupt, file, "is not the status file of a coordinator");
  return status;
}

const Json* live_of(const Json& status, const std::string& robot) {
  if (!status.is_object() || !status.contains("robots") || !status["robots"].is_array()) return nullptr;
  for (const Json& one : status["robots"])
    if (one.is_object() && one.value("robot", "") == robot) return &one;
  return nullptr;
}

std::string note_of(const Json& stream, const Json* live, const Json& quarantined) {
  for (const Json& q : quarantined)
    if (q["robot"] == stream["robot"]) return "QUARANTINED: " + q["reason"].get<std::string>();
  if (live == nullptr) return "";
  const std::string alarm = live->value("alarm", ""), refused = live->value("refused", "");
  if (!refused.empty()) return "refused: " + refused;
  if (live->value("capture_stopped", false)) return "CAPTURE STOPPED " + alarm;
  return alarm;
}

void show_streams(const Json& facts, const Json& status, int64_t now_unix_ns) {
  Table table({"ROBOT", "STATE", ">INC", ">DURABLE", ">APPLIED", ">BEHIND", ">BLOBS TO GO", "LAST RECORD", "NOTE"});
  for (const Json& s : facts["streams"]) {
    if (sync::is_own_stream(s["robot"].get_ref<const std::string&>())) continue;  // no robot: below
    const Json* live = live_of(status, s["robot"]);
    const bool newest = s["newest"];
    const uint64_t durable = s["durable_seq"], applied = s["applied_seq"];
    std::string state = live == nullptr ? "?" : live->value("connected", false) ? "online" : "offline";
    std::string behind = live == nullptr ? "?" : "0", backlog = "?";
    if (live != nullptr) {
      const uint64_t last = live->value("journal_last_seq", uint64_t{0});
      behind = human_count(last > durable ? last - durable : 0);
      backlog = human_bytes(live->value("blob_backlog_bytes", uint64_t{0}));
    }
    if (!newest) state = "former", behind = backlog = "-";
    table.row({s["robot"], state, s["rank"].dump(), human_count(durable), human_count(applied), behind, backlog,
               human_duration(std::max<int64_t>(0, now_unix_ns - s["last_seen_unix_ns"].get<int64_t>())) + " ago",
               newest ? note_of(s, live, facts["quarantined"]) : ""});
  }
  print_text(table.empty() ? "no robot has sent anything yet\n" : table.text());
}

// What the centre adds itself: enrichments of what it learnt, and the like.
void show_own(const Json& facts) {
  std::string own;
  for (const Json& s : facts["streams"]) {
    const std::string& stream = s["robot"].get_ref<const std::string&>();
    if (sync::is_own_stream(stream) && s["newest"].get<bool>())
      own.append(own.empty() ? "" : ", ").append(stream, 1).append(" ").append(human_count(s["durable_seq"]));
  }
  if (!own.empty()) std::printf("\nrecords of the centre itself: %s\n", own.c_str());
}

void show_totals(const Json& f) {
  const Json& c = f["counts"];
  const Json& k = f["chunks"];
  std::printf("\nepisodes %s, datapacks %s, events %s, receipts %s, rejected records %s\n",
              human_count(c["episodes"]).c_str(), human_count(c["packs"]).c_str(), human_count(c["events"]).c_str(),
              human_count(c["receipts"]).c_str(), human_count(c["rejected"]).c_str());
  std::printf("raw data %s here, %s on the way; knowledge version %s\n", human_bytes(k["held_bytes"]).c_str(),
              human_bytes(k["wanted_bytes"]).c_str(), f["knowledge_version"].dump().c_str());
  std::printf("store: inbox %s, central %s, disk free %s\n", human_bytes(f["inbox"]["file_bytes"]).c_str(),
              human_bytes(f["central"]["file_bytes"]).c_str(), human_bytes(f["central"]["disk_free_bytes"]).c_str());
}

int status(const AccessOptions& access, const std::string& status_file) {
  auto source = open_source(access);
  if (!source) return report_failure(name, source.error());
  const auto live = read_status(access, status_file);
  if (!live) return report_failure(name, live.error());
  const auto reply = (*source)->ask({{"call", "store.facts"}});
  if (!reply) return report_failure(name, reply.error());
  Json facts = Json::parse(*reply, nullptr, false);
  if (facts.is_discarded()) return report_failure(name, {Errc::corrupt, "reply", "is not JSON"});
  if (access.json) {
    if (!live->is_null()) facts["live"] = *live;
    print_text(facts.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
    return exit_ok;
  }
  const runtime::SystemClock clock;
  show_streams(facts, *live, clock.unix_ns());
  show_own(facts);
  show_totals(facts);
  if (live->is_object() && live->contains("time_unix_ns"))
    std::printf("live state as of %s UTC (pid %s)\n", human_time((*live)["time_unix_ns"]).c_str(),
                live->contains("pid") ? (*live)["pid"].dump().c_str() : "?");
  warn_if_truncated(facts);
  return exit_ok;
}

Result<bool> forgive(const std::string& folder, const std::string& robot) {
  { DROVER_ASSIGN(const auto probe, open_central(folder, storage::Access::read_write)); }
  storage::EnvOptions options;
  options.path = std::filesystem::path(folder) / "inbox";
  options.databases = storage::Inbox::databases();
  options.verify = storage::Verify::none;  // the probe has verified it
  DROVER_ASSIGN(auto env, storage::Env::open(options));
  const auto inbox = storage::Inbox::open(env);
  return env.write([&](storage::WriteTxn& txn) { return inbox.clear_quarantine_in(txn, robot); });
}

int forgive_robot(const AccessOptions& access, const std::string& robot) {
  const auto folder = store_folder(access);
  if (!folder) return report_failure(name, folder.error(), exit_usage);
  const auto cleared = forgive(*folder, robot);
  if (!cleared) return report_failure(name, cleared.error());
  if (access.json) {
    print_text(Json{{"robot", robot}, {"forgiven", *cleared}}.dump() + "\n");
  } else {
    std::printf(*cleared ? "%s is no longer quarantined; start the coordinator again\n" : "%s was not quarantined\n",
                plain_text(robot).c_str());
  }
  return *cleared ? exit_ok : exit_failed;
}

}  // namespace

int fleet_command(const Arguments& arguments) {
  CLI::App app("Look at the fleet of a coordinator.", name);
  app.footer(
      "Examples:\n"
      "  drover fleet status --config /etc/drover/coordinator.toml\n"
      "  drover fleet status --store /var/lib/drover/central --status /run/drover/status.json\n"
      "  drover fleet status --connect centre:7447 --pki pki/nodes/operator-ops --json\n"
      "  drover fleet forgive robot-07 --store /var/lib/drover/central     (with the coordinator stopped)\n"
      "\nA robot is quarantined when it sends other content for a record it has sent before.\n");
  app.require_subcommand(1);
  AccessOptions access;
  std::string status_file, robot;
  CLI::App* status_app = app.add_subcommand("status", "streams, how far they are applied, quarantine, sizes");
  CLI::App* forgive_app = app.add_subcommand("forgive", "let a quarantined robot stream again");
  add_access_options(*status_app, access, {});
  add_access_options(*forgive_app, access, {.remote = false});
  status_app->add_option("--status", status_file, "status file of the coordinator (default: that of --config)");
  forgive_app->add_option("ROBOT", robot, "its node id")->required();
  if (const auto code = parse_arguments(app, arguments)) return *code;
  return status_app->parsed() ? status(access, status_file) : forgive_robot(access, robot);
}

}  // namespace drover::nodes

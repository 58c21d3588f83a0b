// drover episodes: what was recorded, with its events and raw files.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "messages/hash.hpp"
#include "nodes/commands/command.hpp"
#include "nodes/commands/store_access.hpp"
#include "nodes/commands/table.hpp"

namespace drover::nodes {
namespace {

namespace fs = std::filesystem;
constexpr const char* name = "drover episodes";

struct ListOptions {
  std::string robot, task, outcome, event, from, until;
  uint32_t limit = 20;
  bool oldest_first = false;
};
struct ExportOptions {
  std::string robot, episode, blob, out = ".";
};

void show_list(const Json& reply) {
  Table table({"!ROBOT", "!EPISODE", "TASK", "!START (UTC)", ">LENGTH", "OUTCOME", "EVENTS", ">FILES"});
  for (const Json& e : reply["episodes"]) {
    std::string kinds;
    for (const Json& kind : e["event_kinds"]) kinds.append(kinds.empty() ? "" : ",").append(kind.get<std::string>());
    const int64_t start = e["start_unix_ns"], end = e["end_unix_ns"];
    table.row({e["robot"], e["episode_id"], e["task_name"], human_time(start), human_duration(end - start),
               e["outcome"], kinds, human_bytes(e["blob_bytes"])});
  }
  print_text(table.empty() ? "no episodes match\n" : table.text());
}

void show_parts(const Json& e) {
  Table events({"EVENT (UTC)", "KIND", "SEVERITY", ">SECONDS", "DETAIL"});
  for (const Json& v : e["events"])
    events.row(
        {human_time(v["time_unix_ns"]), v["kind"], v["severity"], human_number(v["duration_s"], 2), v["detail"]});
  if (!events.empty()) print_text("\n" + events.text());
  Table streams({"STREAM", "UNIT", ">SAMPLES", ">MISSING", ">MIN", ">MEAN", ">MAX"});
  for (const Json& v : e["streams"])
    streams.row({v["name"], v["unit"], human_count(v["samples"]), human_count(v["missing"]), short_number(v["minimum"]),
                 short_number(v["mean"]), short_number(v["maximum"])});
  if (!streams.empty()) print_text("\n" + streams.text());
}

void show_one(const Json& reply) {
  const Json& e = reply["episode"];
  const auto line = [](const char* label, const std::string& value) {
    std::printf("%-10s %s\n", label, plain_text(value).c_str());
  };
  const int64_t start = e["start_unix_ns"], end = e["end_unix_ns"];
  line("robot", e["robot"]);
  line("episode", e["episode_id"]);
  line("task", e["task_name"]);
  line("start", human_time(start) + " UTC");
  line("length", human_duration(end - start));
  line("rows", human_count(e["rows"]));
  line("outcome", e["outcome"].get<std::string>() + (e["complete"].get<bool>() ? "" : " (log cut short)"));
  line("source", e["source_kind"].get<std::string>() + " " + e["source_name"].get<std::string>());
  for (const Json& note : e["notes"]) line("note", note);
  show_parts(e);
  Table blobs({"FILE", "TYPE", ">SIZE", ">CHUNKS", ">HERE", ">MISSING", "SHA-256"});
  for (const Json& b : reply["blobs"])
    blobs.row({b["name"], b["media_type"], human_bytes(b["size_bytes"]), human_count(b["chunks"]),
               human_count(b["chunks_held"]), human_bytes(b["missing_bytes"]), b["sha256"]});
  if (!blobs.empty()) print_text("\n" + blobs.text());
}

Result<Json> list_request(const ListOptions& o) {
  Json request{{"call", "episodes.list"}, {"limit", o.limit}, {"newest_first", !o.oldest_first}};
  for (const auto& [field, value] :
       {std::pair{"robot", o.robot}, {"task_name", o.task}, {"outcome", o.outcome}, {"event", o.event}})
    if (!value.empty()) request[field] = value;
  if (!o.from.empty()) {
    DROVER_ASSIGN(request["from_unix_ns"], parse_utc(o.from));
  }
  if (!o.until.empty()) {
    DROVER_ASSIGN(request["until_unix_ns"], parse_utc(o.until));
  }
  return request;
}

// A file that appears complete or not at all.
class NewFile {
 public:
  explicit NewFile(fs::path path) : path_(std::move(path)), temporary_(path_.string() + ".part") {
    to_ = std::fopen(temporary_.c_str(), "wb");
  }
  ~NewFile() {
    if (to_ == nullptr) return;
    std::fclose(to_);
    std::remove(temporary_.c_str());
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  Status write(ByteView bytes) {
    if (to_ == nullptr || std::fwrite(bytes.data(), 1, bytes.size(), to_) != bytes.size()) return trouble();
    return {};
  }
  Status finish() {
    if (to_ == nullptr || std::fflush(to_) != 0 || ::fdatasync(::fileno(to_)) != 0) return trouble();
    if (::link(temporary_.c_str(), path_.c_str()) != 0) return trouble();  // never over something that is there
    return {};
  }

 private:
  Status trouble() const { return fail(Errc::io, path_.string(), std::strerror(errno)); }
  fs::path path_;
  std::string temporary_;
  std::FILE* to_;
};

// Chunk by chunk, each in a transaction of its own: a slow disk here must not hold pages of a live store.
Status write_blob(const storage::Env& env, const BlobRef& blob, const fs::path& path) {
  const storage::Blobs blobs = storage::Blobs::open(env);
  DROVER_ASSIGN(const auto missing,
                env.read([&](const storage::ReadTxn& t) { return blobs.missing_in(t, blob.chunks); }));
  if (!missing.empty())
    return fail(Errc::not_found, blob.name,
                std::to_string(missing.size()) + " of " + std::to_string(blob.chunks.size()) +
                    " chunks are not in this store (yet); the other side may hold them");
  NewFile file(path);
  Sha256 hash;
  for (const ChunkRef& chunk : blob.chunks) {
    DROVER_ASSIGN(const Bytes bytes, env.read([&](const storage::ReadTxn& t) { return blobs.get_in(t, chunk.hash); }));
    hash.update(bytes.view());
    DROVER_TRY(file.write(bytes.view()));
  }
  if (hash.finish() != blob.hash) return fail(Errc::corrupt, blob.name, "the chunks do not give the recorded SHA-256");
  return file.finish();
}

int export_blobs(const AccessOptions& access, const ExportOptions& options) {
  auto source = open_source(access);
  if (!source) return report_failure(name, source.error());
  const sync::CentralStore& store = *(*source)->store();
  const auto episode = store.central_env().read(
      [&](const storage::ReadTxn& txn) { return store.episodes().episode(txn, options.robot, options.episode); });
  if (!episode) return report_failure(name, episode.error());
  if (!*episode) return report_failure(name, {Errc::not_found, options.robot + " " + options.episode, "is not here"});
  size_t written = 0;
  for (const BlobRef& blob : (*episode)->blobs) {
    if (!options.blob.empty() && blob.name != options.blob) continue;
    const fs::path out = options.out;
    std::error_code error;
    // Only the last part of the recorded name: a name from a robot must not choose a folder.
    std::string file = fs::path(blob.name).filename().string();
    if (file.empty() || file == "." || file == "..") file = "blob";
    const fs::path path = fs::is_directory(out, error) ? out / file : out;
    if (const Status done = write_blob(*(*source)->chunks_env(), blob, path); !done)
      return report_failure(name, done.error());
    ++written;
    if (access.json) {
      print_text(Json{{"file", path.string()}, {"size_bytes", blob.size_bytes}, {"sha256", to_hex(blob.hash)}}.dump() +
                 "\n");
    } else {
      std::printf("%s: %s, SHA-256 checked\n", path.c_str(), human_bytes(blob.size_bytes).c_str());
    }
  }
  if (written > 0) return exit_ok;
  return report_failure(name,
                        {Errc::not_found, options.episode, options.blob.empty() ? "has no files" : "has no such file"});
}

}  // namespace

int episodes_command(const Arguments& arguments) {
  CLI::App app("Look at recorded episodes and get their raw files back.", name);
  app.footer(
      "Examples:\n"
      "  drover episodes list --store /var/lib/drover/central --robot robot-07 --event protective_stop\n"
      "  drover episodes show robot-07 EPISODE --connect centre:7447 --pki pki/nodes/operator-ops\n"
      "  drover episodes export robot-07 EPISODE --store central --out /tmp\n"
      "\n--store also takes the store of a robot: its journal is read beside its daemon.\n");
  app.require_subcommand(1);
  AccessOptions access;
  ListOptions list;
  ExportOptions out;
  CLI::App* list_app = app.add_subcommand("list", "episodes, newest first");
  CLI::App* show_app = app.add_subcommand("show", "one episode with events, streams and files");
  CLI::App* export_app = app.add_subcommand("export", "write the raw files of one episode");
  for (CLI::App* one : {list_app, show_app}) add_access_options(*one, access, {});
  add_access_options(*export_app, access, {.remote = false});
  list_app->add_option("--robot", list.robot, "of this robot");
  list_app->add_option("--task", list.task, "of this task");
  list_app->add_option("--outcome", list.outcome, "success, failure, recovered or unknown");
  list_app->add_option("--event", list.event, "that hold an event of this kind");
  list_app->add_option("--from", list.from, "started at or after: 2026-01-31 or 2026-01-31T09:15:02 (UTC)");
  list_app->add_option("--until", list.until, "started before");
  list_app->add_option("--limit", list.limit, "at most so many")->check(CLI::Range(1, 100'000))->capture_default_str();
  list_app->add_flag("--oldest-first", list.oldest_first, "oldest first");
  for (CLI::App* one : {show_app, export_app}) {
    one->add_option("ROBOT", out.robot, "its robot")->required();
    one->add_option("EPISODE", out.episode, "its id")->required();
  }
  export_app->add_option("--out", out.out, "a folder, or a new file")->capture_default_str();
  export_app->add_option("--blob", out.blob, "only the file of this name");
  if (const auto code = parse_arguments(app, arguments)) return *code;
  if (show_app->parsed())
    return ask_and_show(name, access, {{"call", "episodes.show"}, {"robot", out.robot}, {"episode_id", out.episode}},
                        show_one);
  if (export_app->parsed()) return export_blobs(access, out);
  const auto request = list_request(list);
  if (!request) return report_failure(name, request.error(), exit_usage);
  return ask_and_show(name, access, *request, show_list);
}

}  // namespace drover::nodes

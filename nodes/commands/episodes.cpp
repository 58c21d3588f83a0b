// drover episodes: what was recorded, with its events and raw files.
#include <cstdio>

#include "nodes/commands/command.hpp"
#include "nodes/commands/episode_export.hpp"
#include "nodes/commands/store_access.hpp"
#include "nodes/commands/table.hpp"

namespace drover::nodes {
namespace {

constexpr const char* name = "drover episodes";

struct ListOptions {
  std::string robot, task, outcome, event, from, until;
  uint32_t limit = 20;
  bool oldest_first = false;
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

// A number or text of the recording's own facts, which other programs may have written: whatever is there.
std::string text_of(const Json& v) {
  if (v.is_string()) return v.get<std::string>();
  if (v.is_number_float()) return short_number(v.get<double>());
  return v.is_null() ? "" : v.dump();
}
const Json& part(const Json& v, const char* key) {
  static const Json none;
  return v.is_object() && v.contains(key) ? v[key] : none;
}

void show_energy(const Json& energy) {
  const double total_J = part(energy, "total_J").is_number() ? energy["total_J"].get<double>() : 0;
  Table table({"ENERGY BY", "NAME", ">JOULES", ">SHARE"});
  const auto add = [&](const char* by, const char* key) {
    for (const auto& [entry, v] : part(energy, key).items())
      if (v.is_number())
        table.row({by, entry, human_number(v.get<double>(), 3),
                   total_J > 0 ? human_number(100 * v.get<double>() / total_J, 1) + " %" : "-"});
  };
  add("skill", "skill_J");
  add("joint", "joint_J");
  add("limb", "limb_J");
  add("effector", "effector_J");
  if (table.empty()) return;
  std::printf("\nenergy %s J of work at the joints, %s J of copper loss beside it, peak %s W\n",
              human_number(total_J, 3).c_str(), text_of(part(energy, "copper_J")).c_str(),
              text_of(part(energy, "peak_W")).c_str());
  print_text(table.text());
}

// What a recording says of its episode beyond what every log has.
void show_recording(const Json& recording) {
  const auto line = [](const char* label, const std::string& value) {
    if (!value.empty()) std::printf("%-10s %s\n", label, plain_text(value).c_str());
  };
  line("world", text_of(part(recording, "world")) + ", conditions " + text_of(part(recording, "condition_set")) +
                    ", seed " + text_of(part(recording, "seed")) + ", policy " + text_of(part(recording, "policy")));
  const std::string reason = text_of(part(recording, "failure_reason"));
  line("template", text_of(part(recording, "template")) + (reason.empty() ? "" : " (" + reason + ")"));
  std::string drawn;
  for (const char* kind : {"choices", "numbers"})
    for (const auto& [key, v] : part(part(recording, "condition"), kind).items())
      drawn.append(drawn.empty() ? "" : ", ").append(key).append(" ").append(text_of(v));
  for (size_t at = 0; at < drawn.size();) {  // wrapped, so that nothing is cut
    const size_t end = drawn.size() - at <= 100 ? drawn.size() : drawn.rfind(", ", at + 100) + 2;
    line(at == 0 ? "drawn" : "", drawn.substr(at, end > at ? end - at : 100));
    at = end > at ? end : at + 100;
  }
  for (const auto& [camera, v] : part(recording, "cameras").items())
    line("camera", camera + ": " + text_of(part(v, "count")) + " frames of " + text_of(part(v, "width")) + " x " +
                       text_of(part(v, "height")) + " at " + text_of(part(v, "rate_hz")) + " Hz");
  Table skills({">FROM s", ">TO s", "SKILL", "MANOEUVRE", "KIND", "OUTCOME", "REASON"});
  for (const Json& v : part(recording, "skills"))
    if (part(v, "start_s").is_number() && part(v, "end_s").is_number())
      skills.row({human_number(v["start_s"], 2), human_number(v["end_s"], 2), text_of(part(v, "name")),
                  text_of(part(v, "manoeuvre")), text_of(part(v, "kind")), text_of(part(v, "outcome")),
                  text_of(part(v, "reason"))});
  if (!skills.empty()) print_text("\n" + skills.text());
  show_energy(part(recording, "energy"));
}

void show_parts(const Json& e) {
  Table events({"EVENT (UTC)", ">AT s", "KIND", "SEVERITY", ">SECONDS", "DETAIL"});
  for (const Json& v : e["events"]) {
    const int64_t at_ns = v["time_unix_ns"].get<int64_t>() - e["start_unix_ns"].get<int64_t>();
    events.row({human_time(v["time_unix_ns"]), human_number(static_cast<double>(at_ns) / 1e9, 2), v["kind"],
                v["severity"], human_number(v["duration_s"], 2), v["detail"]});
  }
  if (!events.empty()) print_text("\n" + events.text());
  Table streams({"STREAM", "UNIT", ">SAMPLES", ">MISSING", ">MIN", ">MEAN", ">MAX"});
  for (const Json& v : e["streams"]) {
    if (v["unit"] == "messages") {  // a topic: counted, without values
      streams.row({v["name"], v["unit"], human_count(v["samples"]), "", "", "", ""});
      continue;
    }
    streams.row({v["name"], v["unit"], human_count(v["samples"]), human_count(v["missing"]), short_number(v["minimum"]),
                 short_number(v["mean"]), short_number(v["maximum"])});
  }
  if (!streams.empty()) print_text("\n" + streams.text());
}

std::string words_of(const Json& body) {
  std::string out;
  for (const Json& word : part(body, "words"))
    if (word.is_string()) out.append(out.empty() ? "" : ", ").append(word.get<std::string>());
  return out;
}

// What the robot's own segmenter found, act by act.
void show_segments(const Json& body) {
  Table table({">FROM s", ">TO s", "ACT", "OBJECT", "OUTCOME", "REASON", ">OF", ">m/s", ">N", ">mWh", ">SURE"});
  const Json& objects = part(body, "objects");
  const auto number = [](const Json& v, int digits, double factor = 1) {
    return v.is_number() ? human_number(factor * v.get<double>(), digits) : std::string();
  };
  for (const Json& v : part(body, "segments")) {
    const Json& object = part(v, "object");
    const bool named = object.is_number_unsigned() && object.get<size_t>() < objects.size();
    table.row({number(part(v, "start_s"), 2), number(part(v, "end_s"), 2), text_of(part(v, "label")),
               named ? text_of(part(objects[object.get<size_t>()], "name")) : "", text_of(part(v, "outcome")),
               text_of(part(v, "reason")), text_of(part(v, "retry_of")), number(part(v, "speed_m_per_s_max"), 2),
               number(part(v, "force_N_max"), 1), number(part(v, "energy_Wh"), 2, 1000),
               number(part(v, "confidence"), 2)});
  }
  if (!table.empty()) print_text("\n" + table.text());
}

// What was said of the episode's datapack, newest last.
void show_said(const Json& reply) {
  for (const Json& said : part(reply, "enrichments")) {
    const Json& body = part(said, "body");
    if (text_of(part(body, "format")) == "drover.segments.v1") show_segments(body);
  }
  Table table({"TOLD BY", "WORDS"});
  for (const Json& said : part(reply, "enrichments"))
    if (const std::string words = words_of(part(said, "body")); !words.empty())
      table.row({text_of(part(said, "source")), words});
  if (!table.empty()) print_text("\n" + table.text());
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
  if (const Json& recording = part(part(e, "extra"), "recording"); recording.is_object()) show_recording(recording);
  show_parts(e);
  Table blobs({"FILE", "TYPE", ">SIZE", ">CHUNKS", ">HERE", ">MISSING", "SHA-256"});
  for (const Json& b : reply["blobs"])
    blobs.row({b["name"], b["media_type"], human_bytes(b["size_bytes"]), human_count(b["chunks"]),
               human_count(b["chunks_held"]), human_bytes(b["missing_bytes"]), b["sha256"]});
  if (!blobs.empty()) print_text("\n" + blobs.text());
  show_said(reply);
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

}  // namespace

int episodes_command(const Arguments& arguments) {
  if (!arguments.empty() && arguments[0] == "render")
    return run_sibling("render", {++arguments.begin(), arguments.end()});
  CLI::App app("Look at recorded episodes and get their raw files back.", name);
  app.footer(
      "Examples:\n"
      "  drover episodes list --store /var/lib/drover/central --robot robot-07 --event protective_stop\n"
      "  drover episodes show robot-07 EPISODE --connect centre:7447 --pki pki/nodes/operator-ops\n"
      "  drover episodes export robot-07 EPISODE --store central --out /tmp\n"
      "  drover episodes export robot-07 EPISODE --store central --format frames --out pictures\n"
      "  drover episodes render robot-07 EPISODE --store central --out video.mp4\n"
      "\n--store also takes the store of a robot: its journal is read beside its daemon.\n");
  app.require_subcommand(1);
  AccessOptions access;
  ListOptions list;
  ExportOptions out;
  CLI::App* list_app = app.add_subcommand("list", "episodes, newest first");
  CLI::App* show_app = app.add_subcommand("show", "one episode with events, streams and files");
  CLI::App* export_app = app.add_subcommand("export", "write the files of one episode, as they are or in another form");
  app.add_subcommand("render", "a video of one recorded episode");  // a sibling executable; here for the help
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
  export_app->add_option("--out", out.out, "a folder, or a new file (frames, rosbag2: a new folder)")
      ->capture_default_str();
  const std::map<std::string, ExportFormat> formats{
      {"native", ExportFormat::native},   {"raw", ExportFormat::native}, {"mcap", ExportFormat::mcap},
      {"rosbag2", ExportFormat::rosbag2}, {"csv", ExportFormat::csv},    {"frames", ExportFormat::frames}};
  export_app
      ->add_option(
          "--format", out.format,
          "native: the files as they were captured (default); mcap: the MCAP file, for Foxglove and rerun; rosbag2: "
          "the same in a folder with metadata, for ros2 bag; csv: joint samples of a recording as rows, or the "
          "CSV log; frames: the camera pictures as JPEG files with an index")
      ->transform(CLI::CheckedTransformer(formats, CLI::ignore_case));
  export_app->add_option("--blob", out.blob, "only the file of this name");
  if (const auto code = parse_arguments(app, arguments)) return *code;
  if (show_app->parsed())
    return ask_and_show(name, access, {{"call", "episodes.show"}, {"robot", out.robot}, {"episode_id", out.episode}},
                        show_one);
  if (export_app->parsed()) return export_episode(access, out);
  const auto request = list_request(list);
  if (!request) return report_failure(name, request.error(), exit_usage);
  return ask_and_show(name, access, *request, show_list);
}

}  // namespace drover::nodes

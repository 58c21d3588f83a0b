// drover packs: datapacks of a coordinator or robot: look, ask, count, carry in and out.
#include "nodes/commands/packs.hpp"

#include <cstdio>

#include "actors/datapack/portable_artifacts.hpp"
#include "nodes/commands/command.hpp"
#include "nodes/commands/packs_value.hpp"
#include "nodes/commands/table.hpp"

namespace drover::nodes {
namespace {

constexpr const char* name = "drover packs";

struct QueryOptions {
  PackFilters filters;
  std::string sort = "delta_j";
  uint32_t limit = 20;
  bool ascending = false, explain = false, full = false;
};

std::string skills_text(const Json& skills) {
  std::string out;
  for (const Json& skill : skills) out.append(out.empty() ? "" : ",").append(skill.dump());
  return out;
}

void show_packs(const Json& reply) {
  Table table({"!PACK", "TASK", "ROBOT", "!START (UTC)", ">DELTA J", ">TRUST", ">Wh"});
  for (const Json& p : reply["packs"])
    table.row({p["pack_id"], p["task_name"], p["robot"], human_time(p["start_unix_ns"]), human_number(p["delta_J"], 4),
               human_number(p["trust_score"], 2), human_number(p["total_Wh"], 3)});
  print_text(table.empty() ? "no datapacks match\n" : table.text());
}

void show_query(const Json& reply) {
  if (reply.contains("plans")) {
    std::printf("plan: %s\nrows examined: %s, packs loaded: %s\n", reply["plan"].get<std::string>().c_str(),
                human_count(reply["rows_examined"]).c_str(), human_count(reply["packs_loaded"]).c_str());
    print_text("candidates:\n" + reply["plans"].get<std::string>() + "\n\n");
  }
  show_packs(reply);
}

void show_stats(const Json& reply) {
  Table table({"TASK", ">PACKS", ">POSITIVE", ">NEGATIVE", ">RATIO", ">MEAN dJ", ">STD dJ", ">TRUST", "SKILLS"});
  for (const Json& t : reply["tasks"])
    table.row({t["task_name"], human_count(t["total"]), human_count(t["positive"]), human_count(t["negative"]),
               human_number(t["positive_ratio"], 3), human_number(t["delta_j_mean"], 4),
               human_number(t["delta_j_std"], 4), human_number(t["trust_mean"], 3), skills_text(t["unique_skills"])});
  print_text(table.empty() ? "no datapacks\n" : table.text());
}

void show_tasks(const Json& reply) {
  Table table({"TASK", ">PACKS"});
  for (const Json& t : reply["tasks"]) table.row({t["task_name"], human_count(t["packs"])});
  print_text(table.empty() ? "no datapacks\n" : table.text());
}

// Thousands of numbers in a line of words; --json has the numbers.
std::string tracks_words(const datapack::SceneTracks& tracks) {
  std::string objects, parts;
  for (const auto& track : tracks.tracks) {
    std::string& names = track.is_object ? objects : parts;
    names.append(names.empty() ? "" : ", ").append(track.name);
  }
  return human_count(tracks.times_s.size()) + " poses each up to " + human_number(tracks.times_s.back(), 1) +
         " s; objects: " + (objects.empty() ? "none" : objects) + "; robot: " + (parts.empty() ? "none" : parts);
}
std::string features_words(const datapack::RgbFeatures& features) {
  std::string out = features.encoder + ", " + std::to_string(features.dim) + " numbers every " +
                    human_number(features.stride_s, 2) + " s";
  for (const auto& camera : features.cameras)
    out.append("; ").append(human_count(camera.times_s.size())).append(" rows of camera ").append(camera.camera);
  return out;
}
std::string labels_words(const datapack::SliceLabels& labels) {
  const auto& whole = labels.whole;
  return "occlusion " + human_number(whole.occlusion_level, 2) + (whole.is_occluded ? " (occluded)" : "") +
         ", motion " + human_number(whole.motion_score, 2) + (whole.is_dynamic ? " (dynamic)" : " (static)") + "; " +
         human_count(labels.slices.size()) + " slices";
}

template <class T>
void summarise(Json& pack, const char* field, Result<T> (*parse)(std::string_view), std::string (*words)(const T&)) {
  if (!pack.contains(field) || !pack[field].is_object()) return;
  const auto parsed = parse(pack[field].dump());
  pack[field] = plain_text(parsed ? words(*parsed) : "cannot be read: " + parsed.error().message(), 500);
}

void show_pack(const Json& reply) {
  Json pack = reply["pack"];
  summarise(pack, "scene_tracks_v1", datapack::parse_scene_tracks, tracks_words);
  summarise(pack, "rgb_features_v1", datapack::parse_rgb_features, features_words);
  summarise(pack, "slice_labels_v1", datapack::parse_slice_labels, labels_words);
  print_text(pack.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

// Adds what was given. Errors: invalid_argument for a time that is none.
Result<Json> query_request(const QueryOptions& o) {
  Json request{{"call", "packs.query"}, {"limit", o.limit}, {"sort_by", o.sort}, {"sort_descending", !o.ascending}};
  const PackFilters& f = o.filters;
  const auto text = [&](const char* field, const std::string& value) {
    if (!value.empty()) request[field] = value;
  };
  text("task_name", f.task);
  text("bucket", f.bucket);
  text("engine_type", f.engine);
  text("source_type", f.source);
  text("robot", f.robot);
  if (f.skill) request["skill_id"] = *f.skill;
  if (f.min_trust) request["min_trust"] = *f.min_trust;
  if (f.min_delta_j) request["min_delta_j"] = *f.min_delta_j;
  if (f.min_mvd) request["min_mvd_score"] = *f.min_mvd;
  if (!f.tags.empty()) request["tags"] = f.tags;
  if (f.counterfactual) request["include_counterfactual"] = true;
  if (f.sima) request["include_sima"] = true;
  if (o.explain) request["explain"] = true;
  if (o.full) request["full"] = true;
  if (!f.from.empty()) {
    DROVER_ASSIGN(request["from_unix_ns"], parse_utc(f.from));
  }
  if (!f.until.empty()) {
    DROVER_ASSIGN(request["until_unix_ns"], parse_utc(f.until));
  }
  return request;
}

void add_query_options(CLI::App& app, QueryOptions& o) {
  add_filter_options(app, o.filters);
  app.add_option("--sort", o.sort, "delta_j, trust, mvd, time, w_econ or pack_id")->capture_default_str();
  app.add_flag("--ascending", o.ascending, "smallest first");
  app.add_option("--limit", o.limit, "at most so many")->check(CLI::Range(1, 100'000))->capture_default_str();
  app.add_flag("--explain", o.explain, "also say how the answer was found");
  app.add_flag("--full", o.full, "with --json: whole datapacks");
}

int query(const AccessOptions& access, const QueryOptions& options) {
  if (options.full && !access.json)
    return report_failure(name, {Errc::invalid_argument, "--full", "goes with --json"}, exit_usage);
  const auto request = query_request(options);
  if (!request) return report_failure(name, request.error(), exit_usage);
  return ask_and_show(name, access, *request, show_query);
}

constexpr const char* footer =
    "Examples:\n"
    "  drover packs stats --store /var/lib/drover/central\n"
    "  drover packs query --store central --task ur3_cycle --bucket negative --limit 5 --explain\n"
    "  drover packs list --connect centre:7447 --server-name centre --pki pki/nodes/operator-ops --json\n"
    "  drover packs skills failures --store central --task drawer_vase --skill 3\n"
    "  drover packs novelty --store central --update --tier 2 --by-novelty\n"
    "  drover packs export --store central --dir backup\n"
    "  drover packs export --store central --portable --task drawer_vase --min-trust 0.9 --out share.jsonl\n"
    "  drover packs import --store central backup/*.jsonl\n"
    "\nAll but import read beside a running daemon. --store also takes the store of a robot.\n";

}  // namespace

int packs_command(const Arguments& arguments) {
  CLI::App app("Look at, ask about, export and import datapacks.", name);
  app.footer(footer);
  app.require_subcommand(1);
  AccessOptions access;
  QueryOptions options;
  std::string pack_id, task;
  PackImport intake;
  PackExport out;
  CLI::App* list = app.add_subcommand("list", "the newest datapacks");
  CLI::App* show = app.add_subcommand("show", "everything in one datapack; artifacts in words, with --json in numbers");
  CLI::App* query_app = app.add_subcommand("query", "datapacks by any combination of filters");
  CLI::App* stats = app.add_subcommand("stats", "counts and means of each task");
  CLI::App* tasks = app.add_subcommand("tasks", "the tasks and how many datapacks each has");
  CLI::App* skills_app = app.add_subcommand("skills", "how each skill of a task does, and why");
  CLI::App* novelty_app = app.add_subcommand("novelty", "how novel datapacks are, and their tiers");
  CLI::App* import_app = app.add_subcommand("import", "take in JSON Lines");
  CLI::App* export_app = app.add_subcommand("export", "write JSON Lines");
  for (CLI::App* one : {list, show, query_app, stats, tasks, skills_app, novelty_app})
    add_access_options(*one, access, {});
  for (CLI::App* one : {import_app, export_app}) add_access_options(*one, access, {.remote = false});
  show->add_option("PACK", pack_id, "its pack_id")->required();
  add_query_options(*query_app, options);
  list->add_option("--task", options.filters.task, "of this task");
  list->add_option("--robot", options.filters.robot, "of this robot");
  list->add_option("--limit", options.limit, "at most so many")->check(CLI::Range(1, 100'000))->capture_default_str();
  stats->add_option("--task", task, "of this task only");
  SkillOptions skill_options;
  NoveltyOptions novelty_options;
  add_skill_commands(*skills_app, access, skill_options);
  add_novelty_options(*novelty_app, novelty_options);
  add_import_options(*import_app, intake);
  add_export_options(*export_app, out);
  if (const auto code = parse_arguments(app, arguments)) return *code;
  const auto with_task = [&](const char* call) {
    return task.empty() ? Json{{"call", call}} : Json{{"call", call}, {"task_name", task}};
  };
  if (list->parsed()) {
    const Json request{{"call", "packs.list"},
                       {"task_name", options.filters.task},
                       {"robot", options.filters.robot},
                       {"limit", options.limit}};
    return ask_and_show(name, access, request, show_packs);
  }
  if (show->parsed()) return ask_and_show(name, access, {{"call", "packs.show"}, {"pack_id", pack_id}}, show_pack);
  if (query_app->parsed()) return query(access, options);
  if (stats->parsed()) return ask_and_show(name, access, with_task("packs.stats"), show_stats);
  if (tasks->parsed()) return ask_and_show(name, access, {{"call", "packs.tasks"}}, show_tasks);
  if (skills_app->parsed()) return skills(access, skill_options);
  if (novelty_app->parsed()) return novelty(access, novelty_options);
  return import_app->parsed() ? import_packs(access, intake) : export_packs(access, out);
}

}  // namespace drover::nodes

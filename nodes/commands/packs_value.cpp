// Skills and novelty of datapacks (see packs_value.hpp).
#include "nodes/commands/packs_value.hpp"

#include <chrono>
#include <cstdio>
#include <filesystem>

#include "actors/datapack/novelty_keeper.hpp"
#include "actors/datapack/skills.hpp"
#include "nodes/commands/command.hpp"
#include "nodes/commands/packs.hpp"
#include "nodes/commands/table.hpp"

namespace drover::nodes {
namespace {

constexpr const char* name = "drover packs";
constexpr size_t packs_per_step = 512;

std::string skill_text(const Json& id) {
  const std::string number = id.dump();
  const std::string_view word = datapack::skill_name(id.is_number_integer() ? id.get<int64_t>() : -1);
  return word.empty() ? number : number + " " + std::string(word);
}
std::string skills_text(const Json& ids) {
  std::string out;
  for (const Json& id : ids) out.append(out.empty() ? "" : " > ").append(id.dump());
  return out.empty() ? "-" : out;
}
std::string words_text(const Json& words) {
  std::string out;
  for (const Json& word : words) out.append(out.empty() ? "" : ", ").append(word.get<std::string>());
  return out.empty() ? "-" : out;
}

void examined(const Json& reply) {
  std::printf("over the newest %s of %s datapacks\n", human_count(reply["packs_examined"]).c_str(),
              human_count(reply["packs_total"]).c_str());
}
void show(const Table& table, const Json& reply, const char* nothing) {
  print_text(table.empty() ? std::string(nothing) + "\n" : table.text());
  examined(reply);
}

void show_skills(const Json& reply) {
  Table table({"SKILL", ">PACKS", ">USES", ">SUCCESS", ">FAILURE", ">MEAN dJ", ">TRUST", ">W ECON", ">SECONDS"});
  for (const Json& s : reply["skills"])
    table.row({skill_text(s["skill_id"]), human_count(s["packs"]), human_count(s["uses"]),
               human_number(s["success_rate"], 3), human_number(s["failure_rate"], 3),
               human_number(s["delta_j_mean"], 4), human_number(s["trust_mean"], 3), human_number(s["w_econ_mean"], 3),
               human_number(s["duration_s_mean"], 2)});
  show(table, reply, "no skills");
}

void show_failures(const Json& reply) {
  Table table({"FAILED SKILLS", "EVENTS", ">PACKS", ">MEAN dJ", ">WORST dJ", ">LOSS", "!WORST PACK"});
  for (const Json& m : reply["modes"])
    table.row({skills_text(m["failed_skills"]), words_text(m["events"]), human_count(m["packs"]),
               human_number(m["delta_j_mean"], 4), human_number(m["delta_j_worst"], 4), human_number(m["loss"], 3),
               m["worst_pack"]});
  show(table, reply, "no failures");
  for (const Json& m : reply["modes"])
    if (m["counterfactual_plan"].is_object())
      print_text("instead of " + m["worst_pack"].get<std::string>() + ": " +
                 plain_text(m["counterfactual_plan"].dump(), 300) + "\n");
}

void show_sequences(const Json& reply) {
  Table table({"SKILLS IN A ROW", ">PACKS", ">POSITIVE", ">MEAN dJ"});
  for (const Json& p : reply["patterns"])
    table.row({skills_text(p["skills"]), human_count(p["packs"]), human_number(p["positive_rate"], 3),
               human_number(p["delta_j_mean"], 4)});
  show(table, reply, "no sequences");
}

void show_pairs(const Json& reply) {
  Table table({"!POSITIVE", "!NEGATIVE", ">DISTANCE", ">GAP dJ"});
  for (const Json& p : reply["pairs"])
    table.row({p["positive"], p["negative"], human_number(p["distance"], 4), human_number(p["gap"], 4)});
  show(table, reply, "no pairs under near-equal conditions");
}

void show_levels(const Json& reply) {
  Table table({">LEVEL", ">PACKS", ">DIFFICULTY", ">TO", ">POSITIVE", ">MEAN dJ", "FIRST PACKS"});
  for (const Json& l : reply["levels"])
    table.row({l["level"].dump(), human_count(l["packs_in_level"]), human_number(l["difficulty_low"], 3),
               human_number(l["difficulty_high"], 3), human_number(l["positive_rate"], 3),
               human_number(l["delta_j_mean"], 4), words_text(l["first_packs"])});
  show(table, reply, "no levels");
}

void show_matrix(const Json& reply) {
  Table table({"SKILL", "CONDITION", ">PACKS", ">SUCCESS", ">MEAN dJ", ">VALUE"});
  for (const Json& c : reply["cells"])
    table.row({skill_text(c["skill_id"]), c["condition"], human_count(c["packs"]), human_number(c["success_rate"], 3),
               human_number(c["delta_j_mean"], 4), human_number(c["value_mean"], 4)});
  show(table, reply, "every datapack has the same condition: nothing to compare");
}

void show_recommended(const Json& reply) {
  Table table({"SKILL", ">SCORE", ">SUCCESS", ">PACKS MATCHING"});
  for (const Json& r : reply["skills"])
    table.row({skill_text(r["skill_id"]), human_number(r["score"], 4), human_number(r["success_rate"], 3),
               human_count(r["packs_matching"])});
  show(table, reply, "no skills");
}

void show_training(const Json& reply) {
  Table table({"!PACK", ">FROM s", ">TO s", "OUTCOME", ">dJ", ">WEIGHT"});
  for (const Json& u : reply["uses"])
    table.row({u["pack_id"], human_number(u["start_s"], 2), human_number(u["end_s"], 2), u["outcome"],
               human_number(u["delta_J"], 4), human_number(u["weight"], 3)});
  show(table, reply, "no uses");
}

struct SkillCommand {
  const char* word;
  const char* call;
  const char* help;
  void (*show)(const Json&);
  bool needs_skill;
};
constexpr SkillCommand skill_commands[] = {
    {"", "packs.skills", "", show_skills, false},
    {"failures", "packs.skill_failures", "how a skill goes wrong, worst first, with what to do instead", show_failures,
     true},
    {"sequences", "packs.skill_sequences", "runs of skills, most frequent first", show_sequences, false},
    {"pairs", "packs.skill_pairs", "a good and a bad datapack under near-equal conditions", show_pairs, false},
    {"levels", "packs.skill_levels", "datapacks cut into levels by difficulty, easiest first", show_levels, false},
    {"matrix", "packs.skill_matrix", "value of each skill under each condition", show_matrix, false},
    {"recommend", "packs.skill_recommend", "skills for a set of conditions (--tag friction:high), best first",
     show_recommended, false},
    {"training", "packs.skill_training", "uses of a skill as examples to learn from, heaviest first", show_training,
     true},
};

}  // namespace

void add_skill_commands(CLI::App& skills_app, AccessOptions& access, SkillOptions& o) {
  o.call = "packs.skills";
  skills_app.require_subcommand(0, 1);
  skills_app.add_option("--task", o.task, "of this task");
  skills_app.add_option("--limit", o.limit, "look at so many of the newest datapacks")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  for (const SkillCommand& one : skill_commands) {
    const std::string word = one.word;
    if (word.empty()) continue;
    CLI::App* app = skills_app.add_subcommand(word, one.help);
    add_access_options(*app, access, {});
    app->add_option("--task", o.task, "of this task")->required();
    app->add_option("--limit", o.limit, "look at so many of the newest datapacks")
        ->check(CLI::Range(1, 100'000))
        ->capture_default_str();
    if (word != "matrix") app->add_option("--top", o.top_k, "at most so many")->check(CLI::Range(1, 100'000));
    CLI::Option* skill = nullptr;
    if (word != "matrix" && word != "sequences" && word != "recommend")
      skill = app->add_option("--skill", o.skill, "of this skill id");
    if (one.needs_skill) skill->required();
    if (word == "levels") app->add_option("--levels", o.levels, "how many")->check(CLI::Range(1, 100));
    if (word == "pairs")
      app->add_option("--distance", o.distance_max, "how far conditions may differ; 1 is a whole feature");
    if (word == "recommend") app->add_option("--tag", o.tags, "condition tag that holds; may be given again");
    app->callback([&o, &one] { o.call = one.call; });
  }
}

int skills(const AccessOptions& access, const SkillOptions& o) {
  if (o.task.empty()) return report_failure(name, {Errc::invalid_argument, "--task", "is needed"}, exit_usage);
  Json request{{"call", o.call}, {"task_name", o.task}, {"limit", o.limit}};
  const bool statistics = o.call == "packs.skills";
  if (!statistics && o.call != "packs.skill_matrix") request["top_k"] = o.top_k;
  if (o.skill) request["skill_id"] = *o.skill;
  if (o.call == "packs.skill_levels") request["levels"] = o.levels;
  if (o.distance_max) request["distance_max"] = *o.distance_max;
  if (!o.tags.empty()) request["tags"] = o.tags;
  for (const SkillCommand& one : skill_commands)
    if (o.call == one.call) return ask_and_show(name, access, request, one.show);
  return exit_usage;
}

namespace {

std::string expected_text(const Json& value) {
  if (!value.contains("expected_dmpl")) return "-";
  const Json& e = value["expected_dmpl"];
  return human_number(e["mean"], 4) + " (" + human_number(e["low"], 4) + " .. " + human_number(e["high"], 4) + ")";
}

void show_one(const Json& value) {
  std::printf("%s\nnovelty      %s\ncausal gain  %s (delta J %s)\ntier         %s\nE[dMPL]      %s\n",
              plain_text(value["pack_id"].get<std::string>()).c_str(), human_number(value["novelty"], 3).c_str(),
              human_number(value["causal_gain"], 4).c_str(), human_number(value["delta_J"], 4).c_str(),
              value["tier"].dump().c_str(), expected_text(value).c_str());
  Table table({">SPACE", "!NEAREST EARLIER", ">DISTANCE", ">dJ"});
  size_t number = 0;
  for (const Json& space : value["spaces"]) {
    ++number;
    for (const Json& n : space["nearest_earlier"])
      table.row({std::to_string(number), n["pack_id"], human_number(n["distance"], 3), human_number(n["delta_J"], 4)});
  }
  print_text(table.empty() ? "nothing earlier of its task\n" : table.text());
}

void show_novelty(const Json& reply) {
  if (reply.contains("value")) return show_one(reply["value"]);
  Table table({"!PACK", "TASK", "!START (UTC)", ">dJ", ">NOVELTY", ">GAIN", ">TIER", ">E[dMPL]"});
  for (const Json& p : reply["packs"])
    table.row({p["pack_id"], p["task_name"], human_time(p["start_unix_ns"]), human_number(p["delta_J"], 4),
               human_number(p["novelty"], 3), human_number(p["causal_gain"], 3), p["tier"].dump(), expected_text(p)});
  if (!table.empty()) print_text(table.text());
  const Json& tiers = reply["tiers"];
  std::printf(
      "valued %s, waiting %s; tier 0 redundant %s, tier 1 context-novel %s, tier 2 causal-novel %s; mean novelty %s\n",
      human_count(reply["valued"]).c_str(), human_count(reply["waiting"]).c_str(), human_count(tiers[0]).c_str(),
      human_count(tiers[1]).c_str(), human_count(tiers[2]).c_str(), human_number(reply["novelty_mean"], 3).c_str());
  std::printf("thresholds: novelty %s, causal gain %s (version %s)\n",
              human_number(reply["thresholds"]["novelty_min"], 3).c_str(),
              human_number(reply["thresholds"]["causal_gain_min"], 3).c_str(),
              reply["thresholds"]["version"].dump().c_str());
  if (reply["waiting"] != 0) print_text("value what waits with --update, or let a coordinator do it\n");
}

Result<storage::Env> open_to_value(const std::string& folder) {
  { DROVER_ASSIGN(const auto probe, open_central(folder, storage::Access::read_write)); }
  storage::EnvOptions options;
  options.path = std::filesystem::path(folder) / "central";
  options.databases = storage::DatapackStore::databases();
  for (auto& table : storage::ValuationStore::databases()) options.databases.push_back(table);
  options.verify = storage::Verify::none;  // the probe has verified it
  return storage::Env::open(options);
}

Status set_thresholds(storage::Env& env, const NoveltyOptions& o) {
  if (!o.tier1_at && !o.tier2_at) return {};
  const storage::ValuationStore values(env);
  return env.write([&](storage::WriteTxn& txn) -> Status {
    DROVER_ASSIGN(auto limits, values.thresholds(txn));
    limits.novelty_min = o.tier1_at.value_or(limits.novelty_min);
    limits.causal_gain_min = o.tier2_at.value_or(limits.causal_gain_min);
    ++limits.version;
    return values.set_thresholds_in(txn, limits);
  });
}

Status value_waiting(const AccessOptions& access, const NoveltyOptions& o) {
  DROVER_ASSIGN(const std::string folder, store_folder(access));
  DROVER_ASSIGN(storage::Env env, open_to_value(folder));
  DROVER_TRY(set_thresholds(env, o));
  datapack::NoveltyKeeper keeper(env, std::nullopt);
  PackProgress progress;
  uint64_t valued = 0;
  const auto began = std::chrono::steady_clock::now();
  for (bool more = true; more;) {
    DROVER_ASSIGN(const auto step, keeper.step(packs_per_step));
    valued += step.valued;
    more = step.more;
    progress.at(valued, "valued");
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const auto facts = keeper.facts();
  std::fprintf(stderr, "valued %s datapacks in %s s; index: %s vectors, %s\n", human_count(valued).c_str(),
               human_number(seconds, 2).c_str(), human_count(facts.vectors).c_str(),
               human_bytes(facts.memory_bytes).c_str());
  return {};
}

}  // namespace

void add_novelty_options(CLI::App& app, NoveltyOptions& o) {
  app.add_option("PACK", o.pack, "one datapack, with what it is near to");
  app.add_option("--task", o.task, "of this task");
  app.add_option("--tier", o.tier, "0 redundant, 1 context-novel, 2 causal-novel")->check(CLI::Range(0, 2));
  app.add_option("--min-novelty", o.min_novelty, "at least so novel, 0 to 1");
  app.add_flag("--by-novelty", o.by_novelty, "most novel first; else the newest");
  app.add_option("--limit", o.limit, "at most so many")->check(CLI::Range(1, 100'000))->capture_default_str();
  app.add_flag("--update", o.update, "first value the datapacks of --store that wait for it");
  app.add_option("--tier1-at", o.tier1_at, "with --update: novelty from which tier 1 begins");
  app.add_option("--tier2-at", o.tier2_at, "with --update: causal gain [J] from which tier 2 begins");
}

int novelty(const AccessOptions& access, const NoveltyOptions& o) {
  if ((o.tier1_at || o.tier2_at) && !o.update)
    return report_failure(name, {Errc::invalid_argument, "--tier1-at, --tier2-at", "go with --update"}, exit_usage);
  if (o.update) {
    if (const Status done = value_waiting(access, o); !done) return report_failure(name, done.error());
  }
  Json request{{"call", "packs.novelty"}};
  if (!o.pack.empty()) {
    request["pack_id"] = o.pack;
  } else {
    request["limit"] = o.limit;
    if (!o.task.empty()) request["task_name"] = o.task;
    if (o.tier) request["tier"] = *o.tier;
    if (o.min_novelty) request["min_novelty"] = *o.min_novelty;
    if (o.by_novelty) request["by_novelty"] = true;
  }
  return ask_and_show(name, access, request, show_novelty);
}

}  // namespace drover::nodes

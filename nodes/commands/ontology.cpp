// drover ontology: learn from a coordinator's store, look at what was learnt, and ask why.
#include <cstdio>

#include "actors/runtime/clock.hpp"
#include "actors/semantics/central_publish.hpp"
#include "actors/semantics/json_text.hpp"
#include "actors/semantics/knowledge_queries.hpp"
#include "nodes/commands/command.hpp"
#include "nodes/commands/credentials.hpp"
#include "nodes/commands/ontology_report.hpp"
#include "nodes/commands/store_access.hpp"
#include "nodes/commands/table.hpp"

namespace drover::nodes {
namespace {

using semantics::CentralSemantics;

constexpr const char* name = "drover ontology";
constexpr size_t local_reply_bytes_max = size_t{256} << 20;

struct Options {
  AccessOptions access;
  std::string configs = "configs/semantics";
  std::string key;  // of the signer; empty: nothing is published
  std::string id;
  std::string kind;
  std::string verdict;
  uint32_t limit = 0;  // 0: the call's own
  std::string out;
};

Result<std::unique_ptr<CentralSemantics>> open_semantics(const Options& options, const std::string& folder,
                                                         bool read_only) {
  if (store_kind(folder) != StoreKind::coordinator) return fail(Errc::not_found, folder, "is no coordinator's store");
  semantics::CentralSemanticsOptions central;
  central.folder = folder + "/semantics";
  central.configs = options.configs;
  central.read_only = read_only;
  return CentralSemantics::open(central);
}

// The knowledge of a store that is read beside its daemon. The state is a checkpoint and what was read since.
class StoreKnowledge final : public Source {
 public:
  static Result<std::unique_ptr<Source>> open(const Options& options) {
    DROVER_ASSIGN(const std::string folder, store_folder(options.access));
    DROVER_ASSIGN(const auto learnt, open_semantics(options, folder, true));
    DROVER_ASSIGN(const auto store, open_central(folder, storage::Access::read_only));
    DROVER_TRY(learnt->catch_up(*store));
    auto out = std::make_unique<StoreKnowledge>();
    out->view_ = learnt->view();
    return std::unique_ptr<Source>(std::move(out));
  }
  Result<std::string> ask(const Json& request) override {
    return semantics::answer_knowledge(*view_, request.dump(-1, ' ', false, Json::error_handler_t::replace),
                                       {local_reply_bytes_max});
  }

 private:
  std::shared_ptr<const semantics::KnowledgeView> view_;
};

Result<std::unique_ptr<Source>> open_knowledge(const Options& options) {
  return options.access.connect.empty() ? StoreKnowledge::open(options) : open_source(options.access);
}

struct Learnt {
  uint64_t datapacks = 0, outcomes = 0, records = 0, published = 0;
  semantics::Stage2Metrics metrics;
};

Result<Learnt> learn_from(const Options& options) {
  DROVER_ASSIGN(const std::string folder, store_folder(options.access));
  DROVER_ASSIGN(const auto store, open_central(folder, storage::Access::read_write));
  DROVER_ASSIGN(const auto learnt, open_semantics(options, folder, false));
  Learnt out;
  for (bool more = true; more;) {
    DROVER_ASSIGN(const auto step, learnt->step(*store));
    out.datapacks += step.datapacks;
    out.outcomes += step.outcomes;
    out.records += step.records;
    more = step.more;
  }
  if (!options.key.empty()) {
    DROVER_ASSIGN(const auto key, read_signing_key(options.key));
    DROVER_ASSIGN(out.published, semantics::publish_documents(*store, *learnt, key, runtime::SystemClock().unix_ns()));
  }
  DROVER_ASSIGN(const auto documents, learnt->documents());  // evidence counts are part of what is shown
  (void)documents;
  if (out.datapacks + out.outcomes > 0) DROVER_TRY(learnt->checkpoint());
  out.metrics = learnt->pipeline().metrics();
  return out;
}

int learn(const Options& options) {
  const auto learnt = learn_from(options);
  if (!learnt) return report_failure(name, learnt.error());
  if (options.access.json) {
    semantics::JsonText out;
    out.begin_object().field("datapacks", learnt->datapacks).field("outcomes", learnt->outcomes);
    out.field("records_appended", learnt->records).field("published_version", learnt->published).key("metrics");
    learnt->metrics.write(out);
    out.end_object();
    print_text(out.text() + "\n");
    return exit_ok;
  }
  std::printf("learnt from %s datapacks and %s outcomes; %s enrichment records appended\n",
              human_count(learnt->datapacks).c_str(), human_count(learnt->outcomes).c_str(),
              human_count(learnt->records).c_str());
  std::printf("ontology %s nodes, task graph %s nodes, %s suggestions accepted of those that were sound\n",
              human_count(learnt->metrics.ontology_nodes).c_str(), human_count(learnt->metrics.task_nodes).c_str(),
              (human_number(100 * learnt->metrics.acceptance, 1) + " %").c_str());
  if (learnt->published > 0) std::printf("published as knowledge version %s\n", human_count(learnt->published).c_str());
  return exit_ok;
}

std::string text_at(const Json& row, const char* field) {
  return row.contains(field) && row[field].is_string() ? plain_text(row[field].get<std::string>()) : std::string();
}

std::string number_at(const Json& row, const char* field) {
  return row.contains(field) && row[field].is_number() ? short_number(row[field].get<double>()) : text_at(row, field);
}

void show_nodes(const Json& reply) {
  Table table({"!NODE", ">VALUE", ">SEEN", ">CONFIDENCE", "SOURCE", "TAGS"});
  for (const Json& node : reply["nodes"]) {
    std::string tags;
    for (const Json& tag : node["tags"])
      tags.append(tags.empty() ? "" : " ").append(plain_text(tag.get<std::string>()));
    table.row({text_at(node, "id"), number_at(node, "value"), human_count(node["seen"].get<uint64_t>()),
               human_number(node["confidence"].get<double>(), 2), text_at(node, "source"), tags});
  }
  print_text(table.empty() ? "nothing of this kind is known\n" : table.text());
}

void show_trust(const Json& reply) {
  Table table({"TAG", ">TRUST", "TIER", ">EFFECT", ">FROM", ">TO", ">EPISODES", "CLAIM"});
  for (const Json& e : reply["tags"])
    table.row({text_at(e, "tag"), human_number(e["trust"].get<double>(), 2), text_at(e, "tier"), number_at(e, "effect"),
               number_at(e, "low"), number_at(e, "high"), human_count(e["episodes"].get<uint64_t>()),
               text_at(e, "claim")});
  print_text(table.text());
}

void show_tasks(const Json& reply) {
  Table table({"!NODE", "KIND", "ROLE", "PRIORITY", "BECAUSE"});
  for (const Json& node : reply["tasks"])
    table.row({text_at(node, "id"), text_at(node, "kind"), text_at(node, "role"), text_at(node, "priority"),
               text_at(node, "because")});
  print_text(table.text());
}

void show_focus(const Json& reply) {
  const auto share = [&](size_t tier) { return human_number(100 * reply["tier_shares"][tier].get<double>(), 0); };
  std::printf("phase %s: tiers 0/1/2 at %s/%s/%s %%\n", text_at(reply, "phase").c_str(), share(0).c_str(),
              share(1).c_str(), share(2).c_str());
  for (const Json& why : reply["why"]) std::printf("  %s\n", plain_text(why.get<std::string>()).c_str());
  Table table({"EMPHASISE", ">WEIGHT", "BECAUSE"});
  for (const Json& tag : reply["emphasise"])
    table.row({text_at(tag, "tag"), human_number(tag["weight"].get<double>(), 2), text_at(tag, "why")});
  if (!table.empty()) print_text("\n" + table.text());
  for (const Json& alert : reply["alerts"])
    std::printf("\nalert %s: %s\n", text_at(alert, "kind").c_str(), text_at(alert, "message").c_str());
}

void show_decisions(const Json& reply) {
  Table table({"!ID", "VERDICT", "WHAT", "!ABOUT", "SAID BY", "WHY"});
  for (const Json& d : reply["decisions"])
    table.row({text_at(d, "id"), text_at(d, "verdict"), text_at(d, "type"), text_at(d, "about"), text_at(d, "said_by"),
               text_at(d, "reason").empty() ? text_at(d, "rationale") : text_at(d, "reason")});
  print_text(table.empty() ? "nothing was decided yet\n" : table.text());
}

void show_facts(const Json& reply) {
  const Json& m = reply["metrics"];
  const Json& d = reply["decisions"];
  const auto count = [](const Json& from, const char* field) { return human_count(from.value(field, uint64_t{0})); };
  std::printf("learnt from %s episodes and %s primitives\n", count(m, "episodes").c_str(),
              count(m, "primitives").c_str());
  std::printf("ontology version %s: %s nodes; task graph version %s: %s nodes, depth %s; %s orphans\n",
              count(reply, "ontology_version").c_str(), count(m, "ontology_nodes").c_str(),
              count(reply, "graph_version").c_str(), count(m, "task_nodes").c_str(), count(m, "task_depth").c_str(),
              count(m, "orphans").c_str());
  std::printf("suggestions: %s applied, %s confirmed, %s waiting for trust, %s refused, %s outranked, %s malformed\n",
              count(d, "applied").c_str(), count(d, "confirmed").c_str(), count(d, "deferred").c_str(),
              count(d, "refused").c_str(), count(d, "outranked").c_str(), count(d, "invalid").c_str());
  std::printf("urgency of the economy: errors %s, energy %s, output %s\n",
              number_at(reply["econ"], "error_urgency").c_str(), number_at(reply["econ"], "energy_urgency").c_str(),
              number_at(reply["econ"], "mpl_urgency").c_str());
  std::printf("sha256 of the knowledge %s\n", text_at(reply, "sha256").c_str());
}

int ask(const Options& options, const Json& request, void (*show)(const Json&)) {
  const auto source = open_knowledge(options);
  if (!source) {
    const bool usage = source.error().code == Errc::invalid_argument && source.error().where.starts_with("--");
    return report_failure(name, source.error(), usage ? exit_usage : exit_failed);
  }
  const auto reply = (*source)->ask(request);
  if (!reply) return report_failure(name, reply.error());
  if (options.access.json) {
    print_text(*reply + "\n");
    return exit_ok;
  }
  const Json parsed = Json::parse(*reply, nullptr, false);
  if (!parsed.is_object()) return report_failure(name, {Errc::corrupt, "reply", "is not JSON"});
  show(parsed);
  warn_if_truncated(parsed);
  return exit_ok;
}

int report(const Options& options) {
  const auto source = open_knowledge(options);
  if (!source) return report_failure(name, source.error());
  const auto written = write_ontology_report(**source, options.out);
  if (!written) return report_failure(name, written.error());
  std::printf("%s/index.html and %s/ontology.json\n", options.out.c_str(), options.out.c_str());
  return exit_ok;
}

constexpr const char* footer =
    "Examples:\n"
    "  drover ontology show --connect centre:7447 --pki pki/nodes/operator-ops --kind fragility\n"
    "  drover ontology explain fragility:drawer/locked --store central\n"
    "  drover ontology explain drawer_open.pull/verify_before --store central\n"
    "  drover ontology decisions --store central --verdict refused\n"
    "  drover ontology report --store central --out report\n"
    "  drover ontology learn --store central --signing-key pki/knowledge.key\n"
    "\nA coordinator with a [semantics] folder learns by itself; --connect asks it, --store reads beside it.\n"
    "learn does the same by hand: it reads what robots have sent since the last time, appends enrichment records and,\n"
    "with a key, publishes the documents to the robots; the coordinator must be stopped.\n";

Json request_of(const Options& options, const std::string& word) {
  Json request{{"call", "ontology." + word}};
  if (!options.kind.empty()) request["kind"] = options.kind;
  if (!options.verdict.empty()) request["verdict"] = options.verdict;
  if (!options.id.empty()) request["id"] = options.id;
  if (options.limit > 0) request["limit"] = options.limit;
  return request;
}

}  // namespace

int ontology_command(const Arguments& arguments) {
  CLI::App app("What the fleet has learnt about things and tasks, and why.", name);
  app.footer(footer);
  app.require_subcommand(1);
  Options options;
  const auto command = [&](const char* word, const char* help, bool remote = true) {
    CLI::App* sub = app.add_subcommand(word, help);
    add_access_options(*sub, options.access, {.remote = remote});
    sub->add_option("--configs", options.configs, "with --store: folder of the semantics configuration")
        ->capture_default_str();
    return sub;
  };
  CLI::App* learn_app = command("learn", "learn from what robots have sent", false);
  learn_app->add_option("--signing-key", options.key, "publish with this Ed25519 private key, PEM, mode 0600");
  command("facts", "versions, counts, decisions");
  CLI::App* show_app = command("show", "the nodes of the ontology");
  show_app->add_option("--kind", options.kind, "object | affordance | constraint | relation | fragility | recovery");
  show_app->add_option("--limit", options.limit, "at most so many");
  CLI::App* explain_app = command("explain", "the evidence behind a node or a decision");
  explain_app->add_option("ID", options.id, "ontology node, task node, p-.., r-.. or d-..")->required();
  command("tasks", "the task graph in order");
  command("trust", "how much each kind of tag is believed");
  command("focus", "what training should look at next, and alerts");
  CLI::App* decisions_app = command("decisions", "suggestions that were applied, deferred or refused, newest first");
  decisions_app->add_option("--verdict", options.verdict, "applied | deferred | refused");
  decisions_app->add_option("--limit", options.limit, "at most so many");
  CLI::App* report_app = command("report", "a page with all of it: HTML that works offline, and JSON");
  report_app->add_option("--out", options.out, "folder, made if it is not there")->required();
  if (const auto code = parse_arguments(app, arguments)) return *code;
  if (learn_app->parsed()) return learn(options);
  if (report_app->parsed()) return report(options);
  const std::pair<const char*, void (*)(const Json&)> shown[] = {{"facts", show_facts}, {"show", show_nodes},
                                                                 {"tasks", show_tasks}, {"trust", show_trust},
                                                                 {"focus", show_focus}, {"decisions", show_decisions}};
  for (const auto& [word, show] : shown)
    if (app.got_subcommand(word)) return ask(options, request_of(options, word), show);
  return ask(options, request_of(options, "explain"), [](const Json& reply) {
    if (reply.contains("text")) print_text(reply["text"].get<std::string>());
  });
}

}  // namespace drover::nodes

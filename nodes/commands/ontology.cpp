// drover ontology: learn from a coordinator's store, look at what was learnt, and ask why.
#include <cstdio>

#include "actors/runtime/clock.hpp"
#include "actors/semantics/central_publish.hpp"
#include "actors/semantics/json_text.hpp"
#include "nodes/commands/command.hpp"
#include "nodes/commands/credentials.hpp"
#include "nodes/commands/store_access.hpp"
#include "nodes/commands/table.hpp"

namespace drover::nodes {
namespace {

using semantics::CentralSemantics;

constexpr const char* name = "drover ontology";

struct Options {
  std::string store;
  std::string configs = "configs/semantics";
  std::string key;  // of the signer; empty: nothing is published
  std::string id;
  std::string kind;
  bool json = false;
};

Result<std::unique_ptr<CentralSemantics>> open_semantics(const Options& options) {
  if (store_kind(options.store) != StoreKind::coordinator)
    return fail(Errc::not_found, options.store, "is no coordinator's store");
  semantics::CentralSemanticsOptions central;
  central.folder = options.store + "/semantics";
  central.configs = options.configs;
  return CentralSemantics::open(central);
}

struct Learnt {
  uint64_t datapacks = 0, outcomes = 0, records = 0, published = 0;
  semantics::Stage2Metrics metrics;
};

Result<Learnt> learn_from(const Options& options) {
  DROVER_ASSIGN(const auto store, open_central(options.store, storage::Access::read_write));
  DROVER_ASSIGN(const auto learnt, open_semantics(options));
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
  out.metrics = learnt->pipeline().metrics();
  return out;
}

int learn(const Options& options) {
  const auto learnt = learn_from(options);
  if (!learnt) return report_failure(name, learnt.error());
  if (options.json) {
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

std::string value_text(const semantics::Value& value) {
  if (const double* number = std::get_if<double>(&value)) return short_number(*number);
  const std::string* text = std::get_if<std::string>(&value);
  return text == nullptr ? "" : *text;
}

void show_nodes(const Options& options, const semantics::Orchestrator& o) {
  Table table({"!NODE", ">VALUE", ">SEEN", ">CONFIDENCE", "SOURCE", "TAGS"});
  for (const auto& [id, node] : o.ontology().current().nodes) {
    if (!options.kind.empty() && semantics::node_kind_name(node.kind) != options.kind) continue;
    std::string tags;
    for (const std::string& tag : node.tags) tags.append(tags.empty() ? "" : " ").append(tag);
    table.row({id, value_text(node.value), human_count(node.evidence.count()), human_number(node.confidence, 2),
               std::string(semantics::source_name(node.source)), tags});
  }
  print_text(table.text());
}

void show_trust(const semantics::Orchestrator& o) {
  Table table({"TAG", ">TRUST", "TIER", ">EFFECT", ">FROM", ">TO", ">EPISODES", "CLAIM"});
  for (size_t i = 0; i < semantics::tag_kind_count; ++i) {
    const auto kind = static_cast<semantics::TagKind>(i);
    const auto& e = o.trust().entry(kind);
    table.row({std::string(semantics::tag_kind_name(kind)), human_number(e.trust, 2),
               std::string(semantics::trust_tier_name(e.tier)), short_number(e.strength), short_number(e.low),
               short_number(e.high), human_count(e.n), e.claim});
  }
  print_text(table.text());
}

void show_tasks(const semantics::Orchestrator& o) {
  Table table({"!NODE", "KIND", "ROLE", "PRIORITY", "BECAUSE"});
  for (const std::string& id : o.graph().order()) {
    const semantics::TaskNode& node = *o.graph().find(id);
    table.row({id, std::string(semantics::task_kind_name(node.kind)), node.role,
               std::string(semantics::priority_name(node.priority)), node.because});
  }
  print_text(table.text());
}

void show_focus(const semantics::Stage2Pipeline& p) {
  const semantics::TrainingFocus focus = p.focus();
  std::printf("phase %s: tiers 0/1/2 at %s/%s/%s %%\n",
              std::string(semantics::curriculum_stage_name(focus.phase)).c_str(),
              human_number(100 * focus.tier_shares[0], 0).c_str(), human_number(100 * focus.tier_shares[1], 0).c_str(),
              human_number(100 * focus.tier_shares[2], 0).c_str());
  for (const std::string& why : focus.why) std::printf("  %s\n", why.c_str());
  Table table({"EMPHASISE", ">WEIGHT", "BECAUSE"});
  for (const auto& tag : focus.tags) table.row({tag.tag, human_number(tag.weight, 2), tag.why});
  if (!table.empty()) print_text("\n" + table.text());
  for (const auto& alert : p.orchestrator().alerts())
    std::printf("\nalert %s: %s\n", alert.kind.c_str(), alert.message.c_str());
}

int show(const Options& options, const std::string& what) {
  const auto learnt = open_semantics(options);
  if (!learnt) return report_failure(name, learnt.error());
  const semantics::Orchestrator& o = (*learnt)->pipeline().orchestrator();
  if (options.json) {
    const semantics::Stage2Pipeline& p = (*learnt)->pipeline();
    const auto documents = semantics::knowledge_documents(p.vocabulary(), o, p.focus());
    const std::string document = what == "show"    ? "ontology"
                                 : what == "tasks" ? "task_graph"
                                 : what == "trust" ? "trust_matrix"
                                                   : "semantics";
    print_text(documents.at(document).text());
  } else if (what == "show") {
    show_nodes(options, o);
  } else if (what == "tasks") {
    show_tasks(o);
  } else if (what == "trust") {
    show_trust(o);
  } else {
    show_focus((*learnt)->pipeline());
  }
  return exit_ok;
}

int explain(const Options& options) {
  const auto learnt = open_semantics(options);
  if (!learnt) return report_failure(name, learnt.error());
  const semantics::Orchestrator& o = (*learnt)->pipeline().orchestrator();
  const auto chain = options.json ? o.explain(options.id) : o.explain_text(options.id);
  if (!chain) return report_failure(name, chain.error());
  print_text(options.json ? *chain + "\n" : *chain);
  return exit_ok;
}

}  // namespace

int ontology_command(const Arguments& arguments) {
  CLI::App app("What the fleet has learnt about things and tasks, and why.", name);
  app.footer(
      "Examples:\n"
      "  drover ontology learn --store central --signing-key pki/knowledge.key\n"
      "  drover ontology show --store central --kind fragility\n"
      "  drover ontology explain fragility:drawer/locked --store central\n"
      "  drover ontology explain drawer_open.pull/verify_before --store central\n"
      "\nlearn reads what robots have sent since the last time, appends enrichment records and, with a key, publishes\n"
      "the documents to the robots; the coordinator must be stopped. The others read beside a running one.\n");
  app.require_subcommand(1);
  Options options;
  const auto command = [&](const char* word, const char* help) {
    CLI::App* sub = app.add_subcommand(word, help);
    sub->add_option("--store", options.store, "folder of a coordinator's store")->required();
    sub->add_option("--configs", options.configs, "folder of the semantics configuration")->capture_default_str();
    sub->add_flag("--json", options.json, "print JSON");
    return sub;
  };
  CLI::App* learn_app = command("learn", "learn from what robots have sent");
  learn_app->add_option("--signing-key", options.key, "publish with this Ed25519 private key, PEM, mode 0600");
  CLI::App* show_app = command("show", "the nodes of the ontology");
  show_app->add_option("--kind", options.kind, "object | affordance | constraint | relation | fragility | recovery");
  CLI::App* explain_app = command("explain", "the evidence behind a node or a decision");
  explain_app->add_option("ID", options.id, "ontology node, task node, p-.., r-.. or d-..")->required();
  const CLI::App* tasks_app = command("tasks", "the task graph in order");
  const CLI::App* trust_app = command("trust", "how much each kind of tag is believed");
  command("focus", "what training should look at next, and alerts");
  if (const auto code = parse_arguments(app, arguments)) return *code;
  if (learn_app->parsed()) return learn(options);
  if (explain_app->parsed()) return explain(options);
  return show(options, show_app->parsed()    ? "show"
                       : tasks_app->parsed() ? "tasks"
                       : trust_app->parsed() ? "trust"
                                             : "focus");
}

}  // namespace drover::nodes

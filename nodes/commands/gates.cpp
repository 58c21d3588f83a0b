// drover gates: look at the frozen gates, prove that they are the recorded ones, and ask why a record weighs what it
// weighs. Nothing here writes.
#include "actors/econ/gates.hpp"

#include <fmt/format.h>

#include <cstdio>

#include "nodes/commands/command.hpp"
#include "nodes/commands/store_access.hpp"
#include "nodes/commands/table.hpp"

namespace drover::nodes {
namespace {

constexpr const char* name = "drover gates";

struct Options {
  std::string dir = "configs/gates";
  std::string pin;
  std::string store;
  std::string pack;
  std::optional<double> novelty;
  bool json = false;
};

using Shared = std::shared_ptr<const gates::Gates>;

Json gates_json(const gates::Gates& g) {
  Json files = Json::object();
  for (const auto& [file, digest] : g.files()) files[file] = digest;
  Json nets = Json::array();
  for (const gates::TaskNet& net : g.trust_net().nets())
    nets.push_back({{"task_name", net.task_name},
                    {"engine_type", net.engine_type},
                    {"figures", gates::figure_names(net).size()},
                    {"hidden", net.hidden.size()}});
  Json masses = Json::object();
  for (const auto& part : g.lattice().parts({})) masses[part.inputs] = part.mass;
  return {{"dir", g.dir()},
          {"manifest_sha256", g.id()},
          {"files", files},
          {"trust", {{"threshold", g.trust_net().threshold()}, {"nets", nets}}},
          {"lattice", {{"masses", masses}, {"novelty_unknown", g.lattice().novelty_unknown()}}},
          {"lambda", {{"target_share", g.budget().target_share}, {"cap_share", g.budget().cap_share}}}};
}

int show(const Options& o) {
  const auto g = gates::Gates::load(o.dir, o.pin);
  if (!g) return report_failure(name, g.error());
  if (o.json) {
    print_text(gates_json(**g).dump() + "\n");
    return exit_ok;
  }
  std::printf("gates     %s\nmanifest  %s\n", (*g)->dir().c_str(), (*g)->id().c_str());
  for (const auto& [file, digest] : (*g)->files()) std::printf("  %-20s %s\n", file.c_str(), digest.c_str());
  std::printf("\ntrust     real deployments 1; else a net, passed at %s\n",
              short_number((*g)->trust_net().threshold()).c_str());
  for (const gates::TaskNet& net : (*g)->trust_net().nets())
    std::printf("  %s (%s): %zu figures, %zu hidden units\n", net.task_name.c_str(), net.engine_type.c_str(),
                gates::figure_names(net).size(), net.hidden.size());
  std::printf("w_econ    sum of mass * product of calibrated inputs (0..1 each)\n");
  for (const auto& part : (*g)->lattice().parts({}))
    std::printf("  %-28s mass %s\n", part.inputs.c_str(), short_number(part.mass).c_str());
  std::printf("lambda    synthetic share of all weight: target %s, never above %s\n",
              short_number((*g)->budget().target_share).c_str(), short_number((*g)->budget().cap_share).c_str());
  return exit_ok;
}

struct Comparison {
  uint64_t packs = 0, agree = 0, by_others = 0, differ = 0, ungated = 0;
  std::string first;  // "dp-..: what"
};

// Which gates a pack says it was weighed by: the first digits of a manifest's digest; empty: none.
std::string weighed_by(const Datapack& pack) {
  const Json metrics = Json::parse(pack.episode_metrics_json, nullptr, false);
  if (!metrics.is_object() || !metrics.contains("gates") || !metrics["gates"].is_string()) return {};
  return metrics["gates"].get<std::string>();
}

// Derives the weights of every stored pack again.
Result<Comparison> compare(const gates::Gates& g, const std::string& store) {
  AccessOptions access;
  access.store = store;
  DROVER_ASSIGN(const auto source, open_source(access));
  if (source->store() == nullptr) return fail(Errc::invalid_argument, store, "cannot be read here");
  Comparison out;
  const sync::CentralStore& centre = *source->store();
  DROVER_TRY(centre.central_env().read([&](const storage::ReadTxn& txn) {
    return centre.packs().for_each(txn, "", [&](ByteView flat) -> Result<bool> {
      DROVER_ASSIGN(const Datapack pack, decode_datapack(flat));
      ++out.packs;
      const std::string by = weighed_by(pack);
      if (by.empty()) return ++out.ungated, true;
      if (!g.id().starts_with(by)) return ++out.by_others, true;
      const std::string wrong = gates::difference(pack, g);
      if (wrong.empty()) return ++out.agree, true;
      if (out.differ++ == 0) out.first = pack.pack_id + ": " + wrong;
      return true;
    });
  }));
  return out;
}

int verify(const Options& o) {
  const auto g = gates::Gates::load(o.dir, o.pin);
  if (!g) return report_failure(name, g.error());
  Comparison c;
  if (!o.store.empty()) {
    const auto compared = compare(**g, o.store);
    if (!compared) return report_failure(name, compared.error());
    c = *compared;
  }
  if (o.json) {
    Json out{{"ok", c.differ == 0}, {"dir", (*g)->dir()}, {"manifest_sha256", (*g)->id()}};
    if (!o.store.empty())
      out["packs"] = {{"total", c.packs},         {"agree", c.agree},     {"differ", c.differ},
                      {"by_others", c.by_others}, {"ungated", c.ungated}, {"first_difference", c.first}};
    print_text(out.dump() + "\n");
  } else {
    std::printf("gates %s: all files are the recorded ones\n", (*g)->id().c_str());
    if (!o.store.empty()) {
      std::printf(
          "%s datapacks: %s weigh what these gates give, %s differ, %s were weighed by other gates, %s by none\n",
          human_count(c.packs).c_str(), human_count(c.agree).c_str(), human_count(c.differ).c_str(),
          human_count(c.by_others).c_str(), human_count(c.ungated).c_str());
      if (c.differ > 0) std::printf("first difference: %s\n", plain_text(c.first).c_str());
    }
  }
  return c.differ == 0 ? exit_ok : exit_failed;
}

Result<Datapack> find_pack(const Options& o) {
  AccessOptions access;
  access.store = o.store;
  DROVER_ASSIGN(const auto source, open_source(access));
  if (source->store() == nullptr) return fail(Errc::invalid_argument, o.store, "cannot be read here");
  std::optional<Datapack> pack;
  const sync::CentralStore& centre = *source->store();
  DROVER_TRY(centre.central_env().read([&](const storage::ReadTxn& txn) -> Status {
    DROVER_ASSIGN(pack, centre.packs().get(txn, o.pack));
    return {};
  }));
  if (!pack) return fail(Errc::not_found, o.pack, "there is no datapack of this id in " + o.store);
  return *std::move(pack);
}

void explain_trust(const Datapack& pack, const gates::Gates& g, const gates::Weight& w) {
  std::printf("trust      %s  (%s; passes at %s: %s)\n", short_number(w.trust.trust).c_str(), w.trust.why.c_str(),
              short_number(g.trust_net().threshold()).c_str(), w.trust.passed ? "yes" : "no");
  const gates::TaskNet* net = gates::is_real(pack) ? nullptr : g.trust_net().find(pack);
  if (net == nullptr) return;
  const auto names = gates::figure_names(*net);
  const auto values = gates::figures(pack, *net);
  Table table({"!FIGURE", ">VALUE", ">LOWEST", ">HIGHEST", ">DEVIATIONS", ""});
  for (size_t i = 0; i < names.size(); ++i)
    table.row({names[i], short_number(values[i]), short_number(net->low[i]), short_number(net->high[i]),
               human_number((values[i] - net->mean[i]) / net->scale[i], 1),
               values[i] >= net->low[i] && values[i] <= net->high[i] ? "" : "outside"});
  print_text(table.text());
}

int explain(const Options& o) {
  const auto g = gates::Gates::load(o.dir, o.pin);
  if (!g) return report_failure(name, g.error());
  const auto pack = find_pack(o);
  if (!pack) return report_failure(name, pack.error());
  const gates::Weight w = (*g)->weigh(*pack, o.novelty);
  const Attribution& a = pack->attribution;
  const gates::EconInputs inputs{a.delta_mpl, a.delta_error, a.delta_ep, o.novelty, pack->brick_id};
  const double lattice = (*g)->lattice().weight(inputs);
  if (o.json) {
    Json parts = Json::object();
    for (const auto& part : (*g)->lattice().parts(inputs)) parts[part.inputs] = part.value;
    print_text(Json{{"pack_id", pack->pack_id},
                    {"trust", w.trust.trust},
                    {"why", w.trust.why},
                    {"passed", w.trust.passed},
                    {"lattice", lattice},
                    {"parts", parts},
                    {"brick", (*g)->lattice().brick(pack->brick_id)},
                    {"w_econ", w.w_econ},
                    {"w_quality", w.w_quality},
                    {"lambda_budget", w.lambda_budget},
                    {"difference", gates::difference(*pack, **g)}}
                   .dump() +
               "\n");
    return exit_ok;
  }
  std::printf("datapack   %s  %s (%s)\n", pack->pack_id.c_str(), pack->task_name.c_str(),
              pack->condition.engine_type.c_str());
  explain_trust(*pack, **g, w);
  std::printf("\nlattice    dMPL %s, dError %s, dEP %s, novelty %s, brick factor %s\n",
              short_number(a.delta_mpl).c_str(), short_number(a.delta_error).c_str(), short_number(a.delta_ep).c_str(),
              o.novelty ? short_number(*o.novelty).c_str() : "not known",
              short_number((*g)->lattice().brick(pack->brick_id)).c_str());
  for (const auto& part : (*g)->lattice().parts(inputs))
    std::printf("  %-28s %s of %s\n", part.inputs.c_str(), short_number(part.value).c_str(),
                short_number(part.mass).c_str());
  std::printf("w_econ     %s%s\n", short_number(w.w_econ).c_str(),
              w.trust.passed ? "" : "  (trust first: what has not passed weighs nothing)");
  std::printf("w_quality  %s = trust * w_econ\n", short_number(w.w_quality).c_str());
  const std::string wrong = gates::difference(*pack, **g);
  std::printf("recorded   %s\n", wrong.empty() ? "the same" : plain_text(wrong).c_str());
  return exit_ok;
}

}  // namespace

int gates_command(const Arguments& arguments) {
  CLI::App app("The frozen gates: who is trusted, what a record weighs, how much may be synthetic.", name);
  app.footer(
      "Examples:\n"
      "  drover gates show --dir configs/gates\n"
      "  drover gates verify --dir configs/gates --store central\n"
      "  drover gates explain dp-80fd96040882d5f910f248fed67ba7db --store central\n"
      "\nverify compares the SHA-256 of every file with the manifest and, with a store, derives the recorded weights "
      "of\n"
      "every datapack again. Nothing in Drover writes these files; a node that finds another digest does not start.\n");
  app.require_subcommand(1);
  Options o;
  const auto command = [&](const char* word, const char* help) {
    CLI::App* sub = app.add_subcommand(word, help);
    sub->add_option("--dir", o.dir, "folder of the gates")->capture_default_str();
    sub->add_option("--manifest-sha256", o.pin, "digest that manifest.toml must have");
    sub->add_flag("--json", o.json, "print JSON");
    return sub;
  };
  const CLI::App* show_app = command("show", "what they are");
  CLI::App* verify_app =
      command("verify", "prove that they are the recorded ones, and that packs weigh what they give");
  verify_app->add_option("--store", o.store, "also derive the weights in this store again (coordinator or robot)");
  CLI::App* explain_app = command("explain", "why a datapack weighs what it weighs");
  explain_app->add_option("PACK", o.pack, "pack_id")->required();
  explain_app->add_option("--store", o.store, "store that holds it")->required();
  explain_app->add_option("--novelty", o.novelty, "with this novelty, 0..1")->check(CLI::Range(0.0, 1.0));
  if (const auto code = parse_arguments(app, arguments)) return *code;
  if (show_app->parsed()) return show(o);
  return verify_app->parsed() ? verify(o) : explain(o);
}

}  // namespace drover::nodes

// drover econ study: deployments of a physics world through the whole way, journal to ledger, and how much better the
// fleet expects deployments that it has not seen.
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

#include "actors/datapack/builder.hpp"
#include "actors/econ/central_econ.hpp"
#include "actors/econ/study.hpp"
#include "actors/robot/episode.hpp"
#include "actors/robot/facts.hpp"
#include "actors/robot/mujoco_world.hpp"
#include "actors/robot/script.hpp"
#include "nodes/commands/econ.hpp"
#include "nodes/commands/store_access.hpp"
#include "nodes/commands/table.hpp"
#include "storage/datapack_json.hpp"

namespace drover::nodes {
namespace {

constexpr const char* name = "drover econ study";

struct Options {
  std::string world = "configs/worlds/drawer_vase", preset = "configs/econ/drawer_vase.toml";
  std::string baselines = "configs/baselines/default.toml", config, packs, save, store;
  uint64_t deployments = 500, held_out = 200, seed = 1;
  double withheld = 0.5, horizon_h = 1;
  bool json = false;
};

// Physics of all deployments, on every core; conditions nominal and hard in turn.
Result<std::vector<robot::EpisodeResult>> play(const Options& o, uint64_t count) {
  DROVER_ASSIGN(const auto worlds, robot::MujocoWorlds::load(o.world));
  DROVER_ASSIGN(const auto graph, robot::SkillGraph::load(o.world + "/skills.toml"));
  std::vector<std::optional<Result<robot::EpisodeResult>>> done(count);
  std::atomic<uint64_t> next = 0;
  const auto work = [&] {
    auto world = worlds.make();
    for (uint64_t i = next++; i < count; i = next++) {
      if (!world) {
        done[i] = tl::unexpected(world.error());
        continue;
      }
      robot::ScriptedSkills script(graph);
      done[i] = robot::run_episode(**world, script, {o.seed * 1'000'000 + i, i % 2 == 0 ? "nominal" : "hard", {}});
      if (!o.json && (i + 1) % 50 == 0)
        std::fprintf(stderr, "%s: %llu of %llu deployments\n", name, static_cast<unsigned long long>(i + 1),
                     static_cast<unsigned long long>(count));
    }
  };
  std::vector<std::thread> crew;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i) crew.emplace_back(work);
  for (std::thread& one : crew) one.join();
  std::vector<robot::EpisodeResult> out;
  for (auto& one : done) {
    if (!*one) return tl::unexpected(one->error());
    out.push_back(std::move(**one));
  }
  return out;
}

Result<std::vector<Datapack>> built(const Options& o, uint64_t count) {
  DROVER_ASSIGN(const auto preset, econ::load_econ_preset(o.preset));
  DROVER_ASSIGN(const auto rules, datapack::load_baselines(o.baselines));
  DROVER_ASSIGN(const auto episodes, play(o, count));
  std::vector<Datapack> packs;
  datapack::Baseline baseline;
  int64_t at = 1'700'000'000'000'000'000;
  for (const robot::EpisodeResult& episode : episodes) {
    const auto facts = robot::facts_of(episode, {"study", at});
    if (packs.empty()) baseline.rule = rules.find(facts.task_name, facts.source_kind);
    DROVER_ASSIGN(auto one, datapack::build_datapack(facts, baseline, preset));
    baseline.state = one.next_state;
    at = facts.end_unix_ns + 1'000'000'000;
    packs.push_back(std::move(one.pack));
  }
  return packs;
}

Result<std::vector<Datapack>> read_packs(const std::string& file) {
  std::ifstream in(file);
  if (!in) return fail(Errc::not_found, file, "cannot be read");
  std::vector<Datapack> packs;
  for (std::string line; std::getline(in, line);) {
    DROVER_ASSIGN(packs.emplace_back(), storage::datapack_from_json(line));
    packs.back().provenance.robot = "study";
  }
  std::stable_sort(packs.begin(), packs.end(), [](const Datapack& a, const Datapack& b) {
    return a.provenance.start_unix_ns < b.provenance.start_unix_ns;
  });
  return packs;
}

Status save_packs(const std::string& file, const std::vector<Datapack>& packs) {
  std::ofstream out(file);
  for (const Datapack& pack : packs) {
    DROVER_ASSIGN(const std::string line, storage::datapack_to_json(pack));
    out << line << "\n";
  }
  out.close();
  return out ? Status{} : fail(Errc::io, file, "cannot be written");
}

// A store that a robot's deployments stream into.
class Stage {
 public:
  Status open(const Options& o) {
    folder_ = o.store;
    if (folder_.empty()) {
      std::string made = (std::filesystem::temp_directory_path() / "drover_study_XXXXXX").string();
      if (::mkdtemp(made.data()) == nullptr) return fail(Errc::io, made, "cannot be made");
      folder_ = temporary_ = made;
    }
    sync::CentralStoreOptions options;
    options.path = folder_;
    DROVER_ASSIGN(store_, sync::CentralStore::open(options));
    DROVER_ASSIGN(const auto facts, store_->open_stream({"study", 1}, 1));
    if (facts.durable_seq != 0)
      return fail(Errc::already_exists, folder_, "holds a study already; give an empty folder");
    econ::CentralEconOptions books;
    books.folder = econ_folder(folder_);
    if (!o.config.empty()) {
      DROVER_ASSIGN(books.config, econ::load_reconcile(o.config));
    } else {
      books.config.customers.push_back({"study", "plant-a", o.withheld, o.horizon_h});
    }
    DROVER_ASSIGN(books_, econ::CentralEcon::open(books));
    return {};
  }
  ~Stage() {
    books_.reset();
    store_.reset();
    std::error_code ignored;
    if (!temporary_.empty()) std::filesystem::remove_all(temporary_, ignored);
  }
  Status deploy(std::span<const Datapack> packs) {
    BlockBuilder builder(seq_ + 1);
    for (const Datapack& pack : packs) {
      DROVER_ASSIGN(
          seq_, builder.add(RecordKind::datapack, record_schema_current, pack.provenance.end_unix_ns, encode(pack)));
      if (builder.count() >= 64 || &pack == &packs.back()) {
        DROVER_ASSIGN(Block block, Block::parse(builder.finish()));
        const storage::Incoming incoming[] = {{"study", 1, std::move(block), 1}};
        DROVER_ASSIGN(const auto outcomes, store_->append(incoming));
        if (outcomes.front().status != storage::AppendStatus::ok)
          return fail(Errc::conflict, "study", outcomes.front().message);
      }
    }
    for (bool more = true; more;) {
      DROVER_ASSIGN(const auto applied, store_->apply({"study", 1}, 8u << 20));
      more = applied.more;
    }
    DROVER_ASSIGN(const auto done, books_->run(*store_));
    (void)done;
    return {};
  }
  const econ::CentralEcon& books() const { return *books_; }

 private:
  std::string folder_, temporary_;
  std::unique_ptr<sync::CentralStore> store_;
  std::unique_ptr<econ::CentralEcon> books_;
  uint64_t seq_ = 0;
};

struct Point {
  uint64_t deployments = 0;
  econ::Reduction reduction;
};

struct Study {
  std::vector<Point> curve;
  std::map<std::string, econ::Reduction> groups;  // at the end
  econ::EconCounts counts;
  std::string ledger_difference;
};

Result<Study> run_study(const Options& o) {
  std::vector<Datapack> packs;
  if (o.packs.empty()) {
    DROVER_ASSIGN(packs, built(o, o.deployments + o.held_out));
  } else {
    DROVER_ASSIGN(packs, read_packs(o.packs));
  }
  if (!o.save.empty()) DROVER_TRY(save_packs(o.save, packs));
  if (packs.size() < o.deployments + o.held_out)
    return fail(Errc::invalid_argument, "--deployments",
                "needs " + std::to_string(o.deployments + o.held_out) + " datapacks with --held-out, there are " +
                    std::to_string(packs.size()));
  const std::span<const Datapack> deployed(packs.data(), o.deployments);
  const std::vector<Datapack> unseen(packs.begin() + static_cast<ptrdiff_t>(o.deployments),
                                     packs.begin() + static_cast<ptrdiff_t>(o.deployments + o.held_out));
  Stage stage;
  DROVER_TRY(stage.open(o));
  Study study;
  std::vector<double> learnt;
  std::vector<econ::HeldOut> held_out;
  for (uint64_t at = 0, next = 0;; next = next == 0 ? 10 : next < 50 ? next * 2 : next + 50) {
    next = std::min(next, o.deployments);
    if (next > at) DROVER_TRY(stage.deploy(deployed.subspan(at, next - at)));
    for (; at < next; ++at) learnt.push_back(deployed[at].attribution.delta_mpl);
    held_out = econ::predict_held_out(stage.books().estimator(), unseen, stage.books().config().confidence_z);
    study.curve.push_back({next, econ::reduction_of(held_out, learnt, o.seed)});
    if (next == o.deployments) break;
  }
  std::map<std::string, std::vector<econ::HeldOut>> groups;
  for (const econ::HeldOut& one : held_out) groups[one.group].push_back(one);
  for (const auto& [group, all] : groups) study.groups[group] = econ::reduction_of(all, learnt, o.seed);
  DROVER_ASSIGN(study.counts, stage.books().counts());
  DROVER_ASSIGN(const auto verdict, stage.books().env().read([&](const storage::ReadTxn& txn) {
    return stage.books().ledger().verify(txn);
  }));
  study.ledger_difference = verdict.difference;
  return study;
}

Json reduction_json(const econ::Reduction& r) {
  return {{"mae_start", r.mae_start},
          {"mae_constant", r.mae_constant},
          {"mae_model", r.mae_model},
          {"reduction", r.reduction},
          {"low", r.low},
          {"high", r.high},
          {"inside_interval", r.inside}};
}

std::vector<std::string> cells(const std::string& title, const econ::Reduction& r) {
  const auto percent = [](double share) { return human_number(100 * share, 1) + " %"; };
  return {title,
          human_number(r.mae_start, 4),
          human_number(r.mae_constant, 4),
          human_number(r.mae_model, 4),
          percent(r.reduction),
          percent(r.low) + " .. " + percent(r.high),
          percent(r.inside)};
}

Json study_json(const Options& o, const Study& study) {
  Json curve = Json::array(), groups = Json::object();
  for (const Point& p : study.curve) {
    Json row = reduction_json(p.reduction);
    row["deployments"] = p.deployments;
    curve.push_back(std::move(row));
  }
  for (const auto& [group, r] : study.groups) groups[group] = reduction_json(r);
  return {{"seed", o.seed},
          {"held_out", o.held_out},
          {"curve", std::move(curve)},
          {"groups", std::move(groups)},
          {"reconciliations", study.counts.reconciliations},
          {"postings", study.counts.ledger.postings},
          {"ledger_difference", study.ledger_difference}};
}

int print(const Options& o, const Study& study) {
  const std::string json = study_json(o, study).dump() + "\n";
  if (!o.store.empty()) {  // for the report
    std::ofstream out(o.store + "/study.json");
    out << json;
    out.close();
    if (!out) return report_failure(name, {Errc::io, o.store + "/study.json", "cannot be written"});
  }
  if (o.json) {
    print_text(json);
    return study.ledger_difference.empty() ? exit_ok : exit_failed;
  }
  std::printf("mean |error| of dMPL on %s held-out deployments, seed %llu\n", human_count(o.held_out).c_str(),
              static_cast<unsigned long long>(o.seed));
  Table table({"DEPLOYMENTS", ">NO CHANGE", ">MEDIAN", ">MODEL", ">LESS BY", ">95 % INTERVAL", ">INSIDE 90 %"});
  for (const Point& p : study.curve) table.row(cells(human_count(p.deployments), p.reduction));
  for (const auto& [group, r] : study.groups) table.row(cells("of them " + plain_text(group), r));
  print_text(table.text());
  std::printf("%s reconciliations, %s postings; the books %s\n", human_count(study.counts.reconciliations).c_str(),
              human_count(study.counts.ledger.postings).c_str(),
              study.ledger_difference.empty() ? "balance" : study.ledger_difference.c_str());
  return study.ledger_difference.empty() ? exit_ok : exit_failed;
}

}  // namespace

EconPart add_econ_study(CLI::App& app) {
  const auto o = std::make_shared<Options>();
  CLI::App* sub =
      app.add_subcommand("study", "deployments of a physics world: how fast does the fleet learn to expect");
  sub->add_option("--world", o->world, "folder of the world")->capture_default_str();
  sub->add_option("--deployments", o->deployments, "that are reconciled")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  sub->add_option("--held-out", o->held_out, "that only test")->check(CLI::Range(1, 1'000'000))->capture_default_str();
  sub->add_option("--seed", o->seed, "of conditions and intervals")->capture_default_str();
  sub->add_option("--preset", o->preset, "prices")->capture_default_str();
  sub->add_option("--baselines", o->baselines, "what an episode is compared with")->capture_default_str();
  sub->add_option("--config", o->config, "reconciliation.toml; default: as built in, with --withheld and --hours");
  sub->add_option("--withheld", o->withheld, "S of the customer")->check(CLI::Range(0.0, 1.0))->capture_default_str();
  sub->add_option("--hours", o->horizon_h, "horizon of the customer's quotes")->capture_default_str();
  sub->add_option("--packs", o->packs, "these datapacks (JSON Lines) instead of physics");
  sub->add_option("--save-packs", o->save, "write the datapacks there");
  sub->add_option("--store", o->store, "keep the store in this empty folder, for ledger and report");
  sub->add_flag("--json", o->json, "print JSON");
  return [o, sub]() -> std::optional<int> {
    if (!sub->parsed()) return std::nullopt;
    const auto study = run_study(*o);
    return study ? print(*o, *study) : report_failure(name, study.error());
  };
}

}  // namespace drover::nodes

// drover sample: which datapacks to train on next, why, and in which phase the training of each task is.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "actors/datapack/sampling/sample_log.hpp"
#include "actors/datapack/sampling/store_facts.hpp"
#include "actors/econ/strict_toml.hpp"
#include "actors/runtime/clock.hpp"
#include "actors/semantics/central_semantics.hpp"
#include "messages/hash.hpp"
#include "nodes/commands/command.hpp"
#include "nodes/commands/store_access.hpp"
#include "nodes/commands/table.hpp"

namespace drover::nodes {
namespace {

namespace fs = std::filesystem;
using sampling::Batch;
using sampling::CurriculumBook;
using sampling::Sampler;
using sampling::SamplingConfig;

constexpr const char* name = "drover sample";
constexpr uint64_t trust_bytes_max = uint64_t{1} << 20;
constexpr uint64_t curriculum_bytes_max = uint64_t{64} << 20;

struct Options {
  AccessOptions access;
  std::string strategy = "balanced";
  std::string phase;  // or "auto"
  std::string preset;
  std::string task;
  std::string config;  // TOML; empty: built in
  std::string semantics = "configs/semantics";
  std::string trust;  // trust matrix, JSON
  std::string log;
  std::vector<std::string> urgency;  // error=0.8
  sampling::DrawRequest request{256, 1, 0};
  uint32_t batches = 1;
  uint32_t rows = 20;
  bool explain = false, save = false, strategy_given = false, rows_given = false;
};

// Everything that was read from the store, once.
struct Loaded {
  std::unique_ptr<Source> source;
  std::string folder;
  SamplingConfig config;
  std::string config_sha256;
  sampling::TagTrust trust;
  sampling::Pool pool;
  CurriculumBook book;  // as stored, then brought up to date
  std::string book_path;
};

Result<std::string> read_text(const std::string& path, uint64_t bytes_max) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error) return fail(Errc::not_found, path, error.message());
  if (size > bytes_max) return fail(Errc::too_large, path, "is larger than such a file can be");
  std::ifstream file(path, std::ios::binary);
  std::string out((std::istreambuf_iterator<char>(file)), {});
  if (!file && !file.eof()) return fail(Errc::io, path, "cannot be read");
  return out;
}

// Replaces the file as a whole: a reader sees the old or the new one.
Status write_text(const std::string& path, std::string_view text) {
  std::error_code error;
  fs::create_directories(fs::path(path).parent_path(), error);
  const std::string temporary = path + ".new";
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  bool good = fd >= 0;
  for (size_t at = 0; good && at < text.size();) {
    const ssize_t n = ::write(fd, text.data() + at, text.size() - at);
    good = n > 0;
    at += good ? static_cast<size_t>(n) : 0;
  }
  good = good && ::fsync(fd) == 0;
  if (fd >= 0) ::close(fd);
  if (!good || std::rename(temporary.c_str(), path.c_str()) != 0) return fail(Errc::io, path, "cannot be written");
  return {};
}

// ---- reading

Status load_config(const Options& options, Loaded& out) {
  if (options.config.empty()) return {};
  DROVER_ASSIGN(const std::string text, econ::read_small_file(options.config));
  DROVER_ASSIGN(out.config, sampling::parse_sampling_config(text, options.config));
  out.config_sha256 = to_hex(sha256(as_bytes(text)));
  return {};
}

// The matrix that was published to the robots; empty: none was.
Result<std::string> published_matrix(const sync::CentralStore& store) {
  DROVER_ASSIGN(const auto held, store.knowledge());
  if (held.version == 0) return std::string();
  DROVER_ASSIGN(const auto sealed, decode_signed_knowledge(held.bytes));
  DROVER_ASSIGN(const auto knowledge, decode_knowledge(sealed.body));
  const auto at = knowledge.documents.find("trust_matrix");
  return at == knowledge.documents.end() ? std::string() : std::string(at->second.text());
}

// From --trust, else the state that semantics keeps beside the store, else what was published, else none.
Status load_trust(const Options& options, Loaded& out) {
  std::string json, origin;
  const sync::CentralStore& store = *out.source->store();
  const std::string folder = out.folder + "/semantics";
  std::error_code ignored;
  if (!options.trust.empty()) {
    DROVER_ASSIGN(json, read_text(options.trust, trust_bytes_max));
    origin = options.trust;
  } else if (fs::exists(semantics::CentralSemantics::state_path(folder), ignored) &&
             fs::is_directory(options.semantics, ignored)) {
    semantics::CentralSemanticsOptions central;
    central.folder = folder;
    central.configs = options.semantics;
    DROVER_ASSIGN(const auto learnt, semantics::CentralSemantics::open(central));
    json = learnt->pipeline().orchestrator().trust().json();
    origin = "state of semantics";
  } else {
    DROVER_ASSIGN(json, published_matrix(store));
    origin = "published knowledge";
  }
  if (json.empty()) return {};
  DROVER_ASSIGN(out.trust, sampling::read_tag_trust(json, out.config.trust));
  out.trust.origin = origin;
  return {};
}

Status load_book(Loaded& out) {
  out.book_path = out.folder + "/sampling/curriculum.json";
  std::error_code ignored;
  if (!fs::exists(out.book_path, ignored)) return {};
  DROVER_ASSIGN(const std::string text, read_text(out.book_path, curriculum_bytes_max));
  DROVER_ASSIGN(out.book, sampling::read_curriculum_book(out.config.curriculum, text));
  return {};
}

sampling::StoreView view_of(const sync::CentralStore& store, const storage::ReadTxn& txn) {
  return {txn, store.packs(), &store.episodes(), &store.valuations()};
}

Result<Loaded> load(const Options& options) {
  Loaded out;
  DROVER_ASSIGN(out.source, open_source(options.access));
  DROVER_ASSIGN(out.folder, store_folder(options.access));
  if (out.source->store() == nullptr) return fail(Errc::invalid_argument, "--store", "a store is needed");
  DROVER_TRY(load_config(options, out));
  DROVER_TRY(load_trust(options, out));
  DROVER_TRY(load_book(out));
  sampling::BookKeeper keeper(out.book, out.config.curriculum);
  sampling::PoolOptions pool;
  pool.task = options.task;
  pool.on_episode = [&](const std::string& task, const sampling::EpisodeResult& e) { keeper.take(task, e); };
  const sync::CentralStore& store = *out.source->store();
  DROVER_ASSIGN(out.pool, store.central_env().read([&](const storage::ReadTxn& txn) {
    return sampling::load_pool(view_of(store, txn), pool, out.config, out.trust);
  }));
  keeper.finish();
  if (!options.task.empty() && out.pool.tasks.empty())
    return fail(Errc::not_found, "--task", "no datapack of task " + options.task);
  return out;
}

// ---- drawing

Result<sampling::Phase> phase_of(const Options& options, const Loaded& loaded) {
  if (options.phase != "auto") {
    const auto phase = sampling::phase_from_name(options.phase);
    if (!phase)
      return fail(Errc::invalid_argument, "--phase", "is warmup, skill_building, frontier, fine_tuning or auto");
    return *phase;
  }
  if (loaded.pool.tasks.size() != 1) {
    std::string tasks;
    for (const std::string& task : loaded.pool.tasks) tasks.append(tasks.empty() ? "" : ", ").append(task);
    return fail(Errc::invalid_argument, "--phase auto", "each task has a phase of its own: choose --task of " + tasks);
  }
  return loaded.book.at(loaded.pool.tasks.front()).phase();
}

Status read_urgency(const Options& options, sampling::UrgencySignals& out) {
  for (const std::string& word : options.urgency) {
    const size_t at = word.find('=');
    const std::string side = word.substr(0, at);
    double value = -1;
    if (at != std::string::npos) CLI::detail::lexical_cast(word.substr(at + 1), value);
    if (!(value >= 0 && value <= 1))
      return fail(Errc::invalid_argument, "--urgency", "is error=, energy= or mpl= and a number in 0..1");
    if (side == "error")
      out.error = value;
    else if (side == "energy")
      out.energy = value;
    else if (side == "mpl")
      out.mpl = value;
    else
      return fail(Errc::invalid_argument, "--urgency", "knows error, energy and mpl, not " + side);
  }
  return {};
}

Result<sampling::SamplerSetup> setup_of(const Options& options, const Loaded& loaded) {
  sampling::SamplerSetup out;
  if (!options.phase.empty()) {
    DROVER_ASSIGN(const auto phase, phase_of(options, loaded));
    out = sampling::phase_setup(phase);
  }
  if (options.phase.empty() || options.strategy_given) {
    const auto strategy = sampling::strategy_from_name(options.strategy);
    if (!strategy)
      return fail(Errc::invalid_argument, "--strategy", "is balanced, frontier_focused, urgency_driven or tag_aware");
    out.strategy = *strategy;
  }
  if (!options.preset.empty()) {
    if (!loaded.config.presets.contains(options.preset))
      return fail(Errc::invalid_argument, "--preset", "no preset is called " + options.preset);
    out.preset = options.preset;
  }
  out.signals = loaded.pool.signals;
  DROVER_TRY(read_urgency(options, out.signals));
  out.trust = loaded.trust;
  out.prerequisites_met = loaded.pool.prerequisites_met;
  out.skill_failure = loaded.pool.skill_failure;
  return out;
}

Result<std::vector<std::string>> ids_of(const sync::CentralStore& store, const Batch& batch) {
  return store.central_env().read([&](const storage::ReadTxn& txn) -> Result<std::vector<std::string>> {
    std::vector<std::string> out;
    for (const sampling::Draw& draw : batch.draws) {
      DROVER_ASSIGN(out.emplace_back(), sampling::pack_id_of(view_of(store, txn), draw.pack.key));
    }
    return out;
  });
}

// ---- showing

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out.append(out.empty() ? "" : " ").append(word);
  return out;
}

std::string percent_text(uint64_t part, uint64_t whole) {
  return human_number(whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole), 0) + " %";
}

void show_head(const Loaded& loaded, const Sampler& sampler, const sampling::DrawRequest& request, const Batch& batch) {
  const sampling::SamplerSetup& setup = sampler.setup();
  std::string head(sampling::strategy_name(setup.strategy));
  if (setup.phase) head.append(" in phase ").append(sampling::phase_name(*setup.phase));
  if (!setup.preset.empty()) head.append(", preset ").append(setup.preset);
  std::printf("%s: %zu of %s datapacks, seed %llu, batch %llu\n", head.c_str(), batch.draws.size(),
              human_count(sampler.size()).c_str(), static_cast<unsigned long long>(request.seed),
              static_cast<unsigned long long>(request.number));
  if (setup.strategy == sampling::Strategy::urgency_driven)
    std::printf("urgency: error %.2f, energy %.2f, MPL %.2f\n", setup.signals.error, setup.signals.energy,
                setup.signals.mpl);
  const uint64_t packs = loaded.pool.facts.size();
  if (loaded.pool.valued < packs)
    std::printf("note: tier and novelty of %s packs by rule of thumb: nobody has valued them (drover packs novelty)\n",
                human_count(packs - loaded.pool.valued).c_str());
  if (setup.trust.origin == "none")
    std::printf("note: no trust matrix: tags multiply nothing (drover ontology learn)\n");
  for (const std::string& note : batch.notes) std::printf("note: %s\n", plain_text(note).c_str());
}

void show_shares(const Sampler& sampler, const Batch& batch, const sampling::Population& population) {
  Table sets({"SET", ">SHARE", ">WANTED", ">DRAWN", ">WEIGHT IN ALL"});
  for (const auto& s : batch.sets)
    sets.row({s.name, human_number(100 * s.share, 1) + " %", human_count(s.wanted), human_count(s.drawn),
              human_number(s.weight_total, 2)});
  print_text("\n" + sets.text() + "\n");
  const uint64_t drawn = batch.draws.size();
  Table shares({"OF THE BATCH", ">DRAWN", ">SHARE", ">IN STORE", ">SHARE"});
  for (size_t tier = 0; tier < sampling::tier_count; ++tier)
    shares.row({"tier " + std::to_string(tier), human_count(batch.tiers[tier]), percent_text(batch.tiers[tier], drawn),
                human_count(population.tiers[tier]), percent_text(population.tiers[tier], population.packs)});
  for (size_t i = 0; i < batch.groups.size(); ++i)
    if (population.groups[i] > 0)
      shares.row({sampler.config().groups[i].name, human_count(batch.groups[i]), percent_text(batch.groups[i], drawn),
                  human_count(population.groups[i]), percent_text(population.groups[i], population.packs)});
  print_text(shares.text());
}

void show_explanation(const Loaded& loaded, const Sampler& sampler, const sampling::Population& p) {
  std::printf(
      "\n%s packs, %s enriched, %s valued, %s with an expected gain; %s weigh nothing (%s synthetic, not trusted)\n",
      human_count(p.packs).c_str(), human_count(loaded.pool.enriched).c_str(), human_count(loaded.pool.valued).c_str(),
      human_count(loaded.pool.expected).c_str(), human_count(p.zero_weight).c_str(), human_count(p.gated).c_str());
  for (size_t i = 1; i < p.excluded.size(); ++i)
    if (p.excluded[i] > 0)
      std::printf("left out: %s for %s\n", human_count(p.excluded[i]).c_str(),
                  std::string(sampling::exclusion_name(static_cast<sampling::Exclusion>(i))).c_str());
  for (const std::string& unmet : loaded.pool.unmet) std::printf("not met: %s\n", plain_text(unmet).c_str());
  if (loaded.pool.unreadable > 0)
    std::printf("%s enrichment records cannot be read\n", human_count(loaded.pool.unreadable).c_str());
  const auto& trust = sampler.setup().trust;
  std::printf("trust of tags from: %s\n", trust.origin.c_str());
  Table tags({"TAG", ">TRUST", "TIER", ">FACTOR"});
  for (size_t i = 0; i < trust.kinds.size(); ++i)
    if (trust.kinds[i].tier != sampling::TagTier::unknown)
      tags.row({std::string(sampling::tag_kinds[i]), human_number(trust.kinds[i].trust, 2),
                std::string(sampling::tag_tier_name(trust.kinds[i].tier)), human_number(trust.kinds[i].multiplier, 1)});
  if (!tags.empty()) print_text(tags.text());
  std::printf("memory of the sampler: %s, %s a pack\n", human_bytes(sampler.memory_bytes()).c_str(),
              human_bytes(sampler.memory_bytes() / std::max<size_t>(sampler.size(), 1)).c_str());
}

void show_draws(const Sampler& sampler, const Batch& batch, const std::vector<std::string>& ids, size_t rows) {
  Table table({"!PACK", "SET", ">TIER", ">NOVELTY", ">WEIGHT", "!BECAUSE", "TAGS"});
  for (size_t i = 0; i < std::min(rows, batch.draws.size()); ++i) {
    const sampling::Draw& d = batch.draws[i];
    table.row({ids[i], batch.sets[d.set].name, std::to_string(d.pack.tier),
               human_number(static_cast<double>(d.pack.novelty), 2), human_number(d.weight.weight, 3),
               sampling::why(sampler, d), joined(sampling::group_names(sampler.config(), d.pack.groups))});
  }
  print_text("\n" + table.text());
  if (rows < batch.draws.size())
    std::printf("and %zu more: --explain or --json shows all\n", batch.draws.size() - rows);
}

Status append_line(const std::string& path, const std::string& line) {
  std::ofstream file(path, std::ios::binary | std::ios::app);
  file << line << std::flush;
  if (!file) return fail(Errc::io, path, "cannot be written");
  return {};
}

Status sample_batches(const Options& options) {
  DROVER_ASSIGN(const Loaded loaded, load(options));
  DROVER_ASSIGN(auto setup, setup_of(options, loaded));
  Sampler sampler(loaded.config, std::move(setup));
  for (const sampling::PackFacts& pack : loaded.pool.facts) sampler.put(pack);
  const sampling::Population population = sampler.population();
  for (uint32_t i = 0; i < options.batches; ++i) {
    sampling::DrawRequest request = options.request;
    request.number += i;
    DROVER_ASSIGN(const Batch batch, sampler.draw(request));
    DROVER_ASSIGN(auto ids, ids_of(*loaded.source->store(), batch));
    const bool shown = !options.access.json;
    if (shown) {
      show_head(loaded, sampler, request, batch);
      show_shares(sampler, batch, population);
      if (options.explain) show_explanation(loaded, sampler, population);
      show_draws(sampler, batch, ids, options.explain && !options.rows_given ? ids.size() : options.rows);
    }
    if (shown && options.log.empty()) continue;
    const std::string line = sampling::sample_record(sampler, population, batch,
                                                     {options.task, loaded.config_sha256, request, std::move(ids)});
    if (!shown) print_text(line);
    if (!options.log.empty()) DROVER_TRY(append_line(options.log, line));
  }
  return {};
}

// ---- curriculum

void show_history(const std::string& task, const sampling::Curriculum& c) {
  for (const sampling::Advance& a : c.history())
    std::printf("%s: %s -> %s after %s episodes (%s): %s\n", plain_text(task).c_str(),
                std::string(sampling::phase_name(a.from)).c_str(), std::string(sampling::phase_name(a.to)).c_str(),
                human_count(a.metrics.episodes).c_str(), human_time(a.episode_unix_ns).c_str(), a.because.c_str());
}

void show_curricula(const Options& options, const Loaded& loaded) {
  Table table({"TASK", "PHASE", ">EPISODES", ">IN PHASE", ">ERRORS", ">SKILLS WORK", ">MPL GROWTH", ">LATE"});
  for (const auto& [task, c] : loaded.book) {
    if (!options.task.empty() && task != options.task) continue;
    const auto m = c.metrics();
    table.row({task, std::string(sampling::phase_name(c.phase())), human_count(m.episodes),
               human_count(m.episodes_in_phase), human_number(100 * m.error_rate, 1) + " %",
               human_number(100 * m.affordance_success, 1) + " %",
               m.mpl_growth ? human_number(100 * *m.mpl_growth, 1) + " %" : "-", human_count(m.late)});
  }
  print_text(table.empty() ? "no datapacks\n" : table.text());
  for (const auto& [task, c] : loaded.book) {
    if (!options.task.empty() && task != options.task) continue;
    std::printf("\n");
    show_history(task, c);
    const auto missing = c.missing();
    for (size_t i = 0; i < missing.size(); ++i)
      std::printf("%s: %s%s\n", plain_text(task).c_str(), i == 0 ? "missing for the next phase: " : "  ",
                  missing[i].c_str());
    if (missing.empty()) std::printf("%s: the last phase; weak spots first\n", plain_text(task).c_str());
    if (const auto m = c.metrics(); m.estimated > 0)
      std::printf("%s: errors of %s of the last %u episodes are estimated from their skills\n",
                  plain_text(task).c_str(), human_count(m.estimated).c_str(), m.window);
  }
}

Json curricula_json(const Options& options, const Loaded& loaded) {
  Json tasks = Json::object();
  for (const auto& [task, c] : loaded.book) {
    if (!options.task.empty() && task != options.task) continue;
    const auto m = c.metrics();
    Json history = Json::array();
    for (const sampling::Advance& a : c.history())
      history.push_back({{"from", sampling::phase_name(a.from)},
                         {"to", sampling::phase_name(a.to)},
                         {"because", a.because},
                         {"episodes", a.metrics.episodes},
                         {"episode_unix_ns", a.episode_unix_ns}});
    tasks[task] = {{"phase", sampling::phase_name(c.phase())},
                   {"strategy", sampling::strategy_name(sampling::phase_setup(c.phase()).strategy)},
                   {"episodes", m.episodes},
                   {"episodes_in_phase", m.episodes_in_phase},
                   {"late", m.late},
                   {"window", m.window},
                   {"error_rate", m.error_rate},
                   {"affordance_success", m.affordance_success},
                   {"mpl_growth", m.mpl_growth ? Json(*m.mpl_growth) : Json()},
                   {"missing", c.missing()},
                   {"history", history}};
  }
  return {{"tasks", tasks}, {"saved_in", options.save ? Json(loaded.book_path) : Json()}};
}

Status curriculum(const Options& options) {
  DROVER_ASSIGN(const Loaded loaded, load(options));
  if (options.save) {
    DROVER_TRY(write_text(loaded.book_path, sampling::curriculum_book_json(loaded.book)));
  }
  if (options.access.json)
    print_text(curricula_json(options, loaded).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  else
    show_curricula(options, loaded);
  return {};
}

constexpr const char* footer =
    "Examples:\n"
    "  drover sample --store central --strategy balanced --batch 64 --seed 7 --explain\n"
    "  drover sample --store central --task drawer_vase --phase auto --log samples.jsonl\n"
    "  drover sample --store central --strategy urgency_driven --urgency error=0.8 --urgency mpl=0.2 --json\n"
    "  drover sample curriculum --store central --save\n"
    "\nThe same store, options, seed and number give the same batch, always. Advisory: nothing that is drawn here\n"
    "changes what a datapack is worth. Reads beside a running coordinator; --store also takes the store of a robot.\n";

}  // namespace

int sample_command(const Arguments& arguments) {
  CLI::App app("Draw datapacks to train on, and say why.", name);
  app.footer(footer);
  Options options;
  const auto common = [&](CLI::App& at) {
    add_access_options(at, options.access, {.remote = false});
    at.add_option("--task", options.task, "of this task only");
    at.add_option("--sampling", options.config, "sampling configuration, TOML (default: built in)");
    at.add_option("--semantics", options.semantics, "folder of the semantics configuration")->capture_default_str();
    at.add_option("--trust", options.trust, "trust matrix, JSON, instead of that of the store");
  };
  common(app);
  const auto* strategy =
      app.add_option("--strategy", options.strategy, "balanced, frontier_focused, urgency_driven or tag_aware")
          ->capture_default_str();
  app.add_option("--phase", options.phase, "rules and strategy of this phase of the curriculum, or auto");
  app.add_option("--preset", options.preset, "emphasis on groups of tags: safety, balanced, or one of your own");
  app.add_option("--urgency", options.urgency, "error=, energy= or mpl= 0..1, instead of what the episodes say")
      ->allow_extra_args(false);
  app.add_option("--batch", options.request.batch, "datapacks to draw")
      ->check(CLI::Range(1u, sampling::batch_max))
      ->capture_default_str();
  app.add_option("--seed", options.request.seed, "of the draw")->capture_default_str();
  app.add_option("--number", options.request.number, "of the first batch: each has draws of its own")
      ->capture_default_str();
  app.add_option("--batches", options.batches, "how many, one after the other")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  const auto* rows = app.add_option("--show", options.rows, "rows of the table")->capture_default_str();
  app.add_flag("--explain", options.explain, "who may be drawn, what tags count, and every row");
  app.add_option("--log", options.log, "append one line of JSON for each batch to this file");
  CLI::App* curriculum_app =
      app.add_subcommand("curriculum", "the phase of each task, and what is missing for the next");
  common(*curriculum_app);
  curriculum_app->add_flag("--save", options.save, "keep the state in the store's folder: phases never go back");
  if (const auto code = parse_arguments(app, arguments)) return *code;
  options.strategy_given = strategy->count() > 0;
  options.rows_given = rows->count() > 0;
  const Status done = curriculum_app->parsed() ? curriculum(options) : sample_batches(options);
  if (!done)
    return report_failure(name, done.error(), done.error().code == Errc::invalid_argument ? exit_usage : exit_failed);
  return exit_ok;
}

}  // namespace drover::nodes

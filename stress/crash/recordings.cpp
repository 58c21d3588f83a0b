// drover stress recordings: the proof that kill -9 while recording loses nothing silently and corrupts nothing. A real
// robot acts in its world and a real coordinator takes what comes; the robot is killed at random moments, again and
// again, now and then the coordinator as well. At the end the audit must balance, and every episode that was ever
// begun must be exactly one of: whole, and then its physics is that of its seed run by itself; a prefix that says so;
// or set aside or lost with an event that says why.
#include "stress/crash/recordings.hpp"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "actors/capture/recording_reader.hpp"
#include "actors/robot/episode.hpp"
#include "actors/robot/mujoco_world.hpp"
#include "actors/robot/script.hpp"
#include "actors/runtime/rng.hpp"
#include "actors/sync/audit.hpp"
#include "actors/sync/robot_store.hpp"
#include "storage/journal.hpp"
#include "stress/crash/fleet.hpp"
#include "stress/crash/process.hpp"

namespace drover::crash {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using storage::ReadTxn;

constexpr uint64_t episodes_after = 2;  // whole ones at the end, so that the last life proves itself

struct Options {
  uint32_t kills = 25;
  uint64_t seed = 0;
  std::string set = "hard";
  std::string keep;
  std::string drover;
  std::string configs = DROVER_CONFIGS_DIR;
  uint32_t gap_min_ms = 30;
  uint32_t gap_max_ms = 1500;
  uint64_t drain_s = 120;
  bool verbose = false;
};

struct Tally {
  uint32_t kills_recording = 0;  // a part file was open
  uint32_t kills_waiting = 0;    // only finished recordings were waiting
  uint32_t kills_centre = 0;
  uint64_t whole = 0;
  uint64_t prefixes = 0;
  uint64_t lost = 0;       // nothing had reached the disk; an event says so
  uint64_t set_aside = 0;  // nothing of it could be read; an event says so
  uint64_t frames = 0;
  double work_J = 0;
};

// ---- the fleet: one robot, one coordinator

class Pair {
 public:
  Pair(const Options& options, std::string folder) : options_(options), folder_(std::move(folder)) {}

  Status create() {
    fs::create_directories(folder_);
    DROVER_TRY(enroll({"init", "--dir", "pki"}));
    DROVER_TRY(enroll({"node", "--dir", "pki", "--role", "coordinator", "--id", "centre", "--host", "127.0.0.1"}));
    DROVER_TRY(enroll({"node", "--dir", "pki", "--role", "robot", "--id", "robot-1"}));
    DROVER_ASSIGN(port_, free_port());
    DROVER_TRY(write_text(fs::path(folder_) / "coordinator.toml",
                          node_section("centre", "store-centre") + "[listen]\naddress = \"127.0.0.1:" +
                              std::to_string(port_) + "\"\n" + tls_section("coordinator-centre") + std::string(quick)));
    DROVER_TRY(set_episodes(0));
    coordinator_ = process("coordinator", "coordinator");
    robot_ = process("robot", "robot-1");
    return {};
  }

  // How many episodes the robot runs in all; 0: without end. For its next start.
  Status set_episodes(uint64_t episodes) {
    std::string text = node_section("robot-1", "store-robot");
    text += "[capture]\nmappings_dir = \"" + options_.configs + "/mappings\"\necon_file = \"" + options_.configs +
            "/econ/default.toml\"\nbaseline_file = \"" + options_.configs +
            "/baselines/default.toml\"\npoll_ms = 20\nsemantics_dir = \"" + options_.configs +
            "/semantics\"\n[gates]\ndir = \"" + options_.configs + "/gates\"\n[world]\ndir = \"" + options_.configs +
            "/worlds/drawer_vase\"\nset = \"" + options_.set + "\"\nseed = " + std::to_string(first_seed()) +
            "\nepisodes = " + std::to_string(episodes) + "\nrecordings_dir = \"recordings\"\n" +
            "frames_hz = 10\nimage_width = 96\nimage_height = 96\n[coordinator]\naddress = \"127.0.0.1:" +
            std::to_string(port_) + "\"\nserver_name = \"centre\"\n" + tls_section("robot-robot-1") +
            std::string(quick);
    return write_text(fs::path(folder_) / "robot-1.toml", text);
  }

  Process& robot() { return *robot_; }
  Process& coordinator() { return *coordinator_; }
  uint64_t first_seed() const { return 1 + options_.seed % 1'000'000; }
  const std::string& folder() const { return folder_; }
  sync::AuditFolders folders() const { return {folder_ + "/store-centre", {folder_ + "/store-robot"}}; }

  // Files of the recordings folder with this ending.
  uint64_t recordings(std::string_view ending) const {
    std::error_code failed;
    uint64_t count = 0;
    for (const auto& entry : fs::directory_iterator(folder_ + "/recordings", failed))
      count += entry.path().string().ends_with(ending) ? 1 : 0;
    return count;
  }

  // How many episodes were ever begun, as the robot's store knows; 0 before the first.
  Result<uint64_t> begun() const {
    storage::EnvOptions options;
    options.path = folder_ + "/store-robot";
    options.databases = sync::robot_store_databases();
    options.access = storage::Access::read_only;
    options.verify = storage::Verify::none;
    const auto env = storage::Env::open(options);
    if (!env) return 0;  // not founded yet
    DROVER_ASSIGN(const auto marks,
                  env->read([&](const ReadTxn& txn) { return storage::Marks::open(*env).list_in(txn, "world/"); }));
    if (marks.empty()) return 0;
    const auto json = nlohmann::json::parse(marks.front().second, nullptr, false);
    if (!json.is_object()) return fail(Errc::corrupt, options.path, "the mark of the world cannot be read");
    return json.value("ordinal", uint64_t{0}) + 1;
  }

  Result<Ran> audit_program() const {
    const auto where = folders();
    return run_program({options_.drover, "audit", "--store", where.centre, "--robot", where.robots[0]}, folder_);
  }

 private:
  std::unique_ptr<Process> process(const std::string& component, const std::string& config) const {
    return std::make_unique<Process>(component,
                                     std::vector<std::string>{options_.drover, component, "--config", config + ".toml"},
                                     folder_, folder_ + "/" + component + ".log");
  }
  Status enroll(std::vector<std::string> words) const {
    words.insert(words.begin(), {options_.drover, "enroll"});
    DROVER_ASSIGN(const auto ran, run_program(words, folder_));
    return ran.code == 0 ? Status{} : fail(Errc::internal, "drover enroll", ran.output);
  }

  const Options& options_;
  std::string folder_;
  uint16_t port_ = 0;
  std::unique_ptr<Process> robot_, coordinator_;
};

// ---- the course

Status running(Pair& pair) {
  for (Process* process : {&pair.robot(), &pair.coordinator()})
    if (const auto how = process->ended())
      return fail(Errc::internal, process->name(), "ended by itself (" + *how + "); see " + process->log_file());
  return {};
}

Status kill_robot(Pair& pair, Tally& tally, const Options& options, uint32_t number) {
  const bool recording = pair.recordings(".part") > 0;
  const bool waiting = pair.recordings(".mcap") > 0;
  ++(recording ? tally.kills_recording : tally.kills_waiting);
  if (options.verbose) std::printf("kill %3u recording=%d waiting=%d\n", number, recording, waiting);
  pair.robot().kill();
  return pair.robot().start();
}

Status run_kills(Pair& pair, const Options& options, Tally& tally) {
  auto rng = runtime::Rng::stream(options.seed, "recordings");
  DROVER_TRY(pair.coordinator().start());
  DROVER_TRY(pair.robot().start());
  for (uint32_t n = 1; n <= options.kills; ++n) {
    std::this_thread::sleep_for(std::chrono::milliseconds(rng.between(options.gap_min_ms, options.gap_max_ms)));
    DROVER_TRY(running(pair));
    DROVER_TRY(kill_robot(pair, tally, options, n));
    if (n % 5 != 0) continue;
    pair.coordinator().kill();
    ++tally.kills_centre;
    DROVER_TRY(pair.coordinator().start());
  }
  return {};
}

// Whether the robot has told that all its episodes have ended. That the last one was begun is known before its file.
bool told_done(Pair& pair, uint64_t episodes) {
  const std::string told = " robot.episodes_done episodes=" + std::to_string(episodes);
  std::ifstream log(pair.robot().log_file());
  for (std::string line; std::getline(log, line);)
    if (line.find(told) != std::string::npos) return true;
  return false;
}

// What is not yet central; empty: nothing. Looks in the order in which things travel.
Result<std::string> backlog(Pair& pair, uint64_t episodes) {
  if (!told_done(pair, episodes)) return std::string("episodes to run");
  const uint64_t files = pair.recordings(".mcap") + pair.recordings(".part");
  if (files > 0) return std::to_string(files) + " recordings to take";
  DROVER_ASSIGN(const auto stores, sync::open_for_audit(pair.folders()));
  const storage::Env& robot = stores.robots.front();
  DROVER_ASSIGN(const auto journal, storage::Journal::open_existing(robot));
  DROVER_ASSIGN(const auto facts, journal.facts(robot));
  if (facts.acked_seq < facts.last_seq) return std::to_string(facts.last_seq - facts.acked_seq) + " records to send";
  const auto& centre = *stores.centre;
  DROVER_ASSIGN(const auto streams,
                centre.inbox_env().read([&](const ReadTxn& txn) { return centre.inbox().streams_in(txn); }));
  for (const auto& stream : streams) {
    DROVER_ASSIGN(const uint64_t applied, centre.applied_seq({stream.robot, stream.incarnation}));
    if (applied < stream.durable_seq) return std::string("records to apply");
  }
  DROVER_ASSIGN(const auto totals,
                centre.central_env().read([&](const ReadTxn& txn) { return centre.blobs().totals_in(txn); }));
  if (totals.wanted_chunks > 0) return std::to_string(totals.wanted_chunks) + " chunks to send";
  return std::string();
}

// The last life: a few more episodes, then everything must come to rest.
Status finish(Pair& pair, const Options& options, uint64_t& episodes) {
  pair.robot().kill();
  DROVER_ASSIGN(const uint64_t begun, pair.begun());
  episodes = begun + episodes_after;
  DROVER_TRY(pair.set_episodes(episodes));
  DROVER_TRY(pair.robot().start());
  const auto end = Clock::now() + std::chrono::seconds(options.drain_s);
  for (;;) {
    DROVER_TRY(running(pair));
    DROVER_ASSIGN(const std::string left, backlog(pair, episodes));
    if (left.empty()) break;
    if (Clock::now() > end) return fail(Errc::timeout, pair.folder(), "did not drain: " + left);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  for (Process* process : {&pair.robot(), &pair.coordinator()}) {
    DROVER_ASSIGN(const int code, process->stop(15'000));
    if (code != 0) return fail(Errc::internal, process->name(), "stopped with exit code " + std::to_string(code));
  }
  return {};
}

// ---- the account

struct Contents final : capture::RecordingVisitor {
  capture::RecordingStart begun;
  std::optional<capture::RecordingEnd> ended;
  capture::RecordedEnergy spent;
  uint64_t frames = 0;
  void start(const capture::RecordingStart& s) override { begun = s; }
  void image(double, const capture::RecordedCamera&, const Bytes&) override { ++frames; }
  void energy(double, const capture::RecordedEnergy& e) override { spent = e; }
  void end(const capture::RecordingEnd& e) override { ended = e; }
};

struct Arrived {
  Episode episode;
  Contents contents;
  capture::RecordingReport report;
};

struct Account {
  std::map<uint64_t, std::vector<Arrived>> episodes;  // by ordinal
  std::map<uint64_t, std::vector<Event>> events;      // those that say why there is none
};

// "00000012-..." -> 12
std::optional<uint64_t> ordinal_of(const std::string& recording) {
  const size_t dash = recording.find('-');
  if (dash == std::string::npos || dash == 0 || dash > 18) return std::nullopt;
  if (!std::all_of(recording.begin(), recording.begin() + static_cast<ptrdiff_t>(dash),
                   [](char c) { return c >= '0' && c <= '9'; }))
    return std::nullopt;
  return std::stoull(recording.substr(0, dash));
}

Status take_episode(const sync::CentralStore& centre, const ReadTxn& txn, const Episode& episode, Account& account) {
  const auto ordinal = ordinal_of(episode.source_name);
  if (!ordinal) return fail(Errc::corrupt, episode.episode_id, "comes from " + episode.source_name);
  std::string raw;
  DROVER_TRY(centre.blobs().stream_in(txn, episode.blobs.at(0), [&](ByteView piece) -> Status {
    raw.append(as_text(piece));
    return {};
  }));
  Arrived arrived;
  arrived.episode = episode;
  DROVER_ASSIGN(arrived.report, capture::read_recording(mcap::memory_source(Bytes::copy_of(raw)), arrived.contents));
  account.episodes[*ordinal].push_back(std::move(arrived));
  return {};
}

Result<Account> read_account(const Pair& pair) {
  DROVER_ASSIGN(const auto stores, sync::open_for_audit(pair.folders()));
  const auto& centre = *stores.centre;
  Account account;
  DROVER_TRY(centre.central_env().read([&](const ReadTxn& txn) -> Status {
    DROVER_TRY(centre.episodes().for_each_episode(txn, [&](const Episode& episode) -> Result<bool> {
      DROVER_TRY(take_episode(centre, txn, episode, account));
      return true;
    }));
    DROVER_ASSIGN(const auto events, centre.episodes().events(txn, "robot-1", 100'000));
    for (const Event& event : events)
      if (const auto ordinal = ordinal_of(event.subject);
          ordinal &&
          (event.kind == "recording_lost" || event.kind == "source_set_aside" || event.kind == "episode_void"))
        account.events[*ordinal].push_back(event);
    return {};
  }));
  return account;
}

Status check_whole(const Arrived& arrived, const robot::EpisodeResult& truth) {
  const auto& end = *arrived.contents.ended;
  const std::string& who = arrived.episode.source_name;
  if (arrived.report.damage) return fail(Errc::corrupt, who, "damaged: " + arrived.report.damage->what);
  if (arrived.report.unreadable > 0) return fail(Errc::corrupt, who, "messages that do not decode");
  if (end.state_hash != truth.hash) return fail(Errc::conflict, who, "its physics is not that of its seed");
  if (arrived.contents.spent.total.mechanical != truth.energy.total().mechanical)
    return fail(Errc::conflict, who, "its energy is not that of its seed");
  if (!arrived.episode.complete) return fail(Errc::conflict, who, "is whole and not called so");
  return {};
}

Status check_prefix(const Arrived& arrived, const robot::EpisodeResult& truth) {
  const std::string& who = arrived.episode.source_name;
  if (arrived.episode.complete) return fail(Errc::conflict, who, "is a prefix and called whole");
  if (arrived.episode.notes.empty()) return fail(Errc::conflict, who, "is a prefix and does not say why");
  if (arrived.report.last_time_s > truth.duration_s + 1e-6)
    return fail(Errc::conflict, who, "is a prefix and longer than the whole");
  if (arrived.contents.spent.total.mechanical > truth.energy.total().mechanical)
    return fail(Errc::conflict, who, "is a prefix and spent more than the whole");
  return {};
}

Status account_for(const Pair& pair, const Options& options, uint64_t episodes, Tally& tally) {
  DROVER_ASSIGN(const Account account, read_account(pair));
  const std::string world = options.configs + "/worlds/drawer_vase";
  DROVER_ASSIGN(const auto worlds, robot::MujocoWorlds::load(world));
  DROVER_ASSIGN(const auto physics, worlds.make());
  DROVER_ASSIGN(auto graph, robot::SkillGraph::load(world + "/skills.toml"));
  robot::ScriptedSkills script(std::move(graph));
  for (uint64_t ordinal = 0; ordinal < episodes; ++ordinal) {
    const auto arrived = account.episodes.find(ordinal);
    const auto events = account.events.find(ordinal);
    const size_t there = arrived == account.episodes.end() ? 0 : arrived->second.size();
    const size_t told = events == account.events.end() ? 0 : events->second.size();
    if (there + told != 1)
      return fail(Errc::conflict, "episode " + std::to_string(ordinal),
                  std::to_string(there) + " times at the centre and " + std::to_string(told) + " times explained");
    if (told == 1) {
      ++(events->second.front().kind == "source_set_aside" ? tally.set_aside : tally.lost);
      continue;
    }
    const Arrived& one = arrived->second.front();
    DROVER_ASSIGN(const auto truth,
                  robot::run_episode(*physics, script, {pair.first_seed() + ordinal, options.set, {}}));
    const bool whole = one.contents.ended && one.contents.ended->complete;
    DROVER_TRY(whole ? check_whole(one, truth) : check_prefix(one, truth));
    ++(whole ? tally.whole : tally.prefixes);
    tally.frames += one.contents.frames;
    tally.work_J += one.contents.spent.total.mechanical;
  }
  if (account.episodes.size() + account.events.size() != episodes)
    return fail(Errc::conflict, "account", "there are episodes that nobody began");
  return {};
}

Status check_audit(const Pair& pair) {
  sync::AuditOptions audit_options;
  audit_options.read_claim = read_claim;
  DROVER_ASSIGN(const auto audit, sync::audit_folders(pair.folders(), audit_options));
  for (const auto& v : audit.violations)
    std::printf("VIOLATION %s: %s: %s\n", v.check.c_str(), v.where.c_str(), v.what.c_str());
  if (!audit.balanced()) return fail(Errc::conflict, "audit", std::to_string(audit.violations_in_all) + " violations");
  DROVER_ASSIGN(const auto ran, pair.audit_program());
  std::printf("\n%s\n", ran.output.c_str());
  return ran.code == 0 ? Status{} : fail(Errc::conflict, "drover audit", ran.output);
}

// An event of severity error means that a human must act: kills must not cause one.
Status no_error_events(Pair& pair) {
  for (Process* process : {&pair.robot(), &pair.coordinator()}) {
    std::ifstream log(process->log_file());
    for (std::string line; std::getline(log, line);) {
      const size_t space = line.find(' ');
      if (space != std::string::npos && line.compare(space + 1, 6, "error ") == 0)
        return fail(Errc::internal, process->log_file(), line);
    }
  }
  return {};
}

Status prove(const Options& options, const std::string& folder) {
  Pair pair(options, folder);
  Tally tally;
  DROVER_TRY(pair.create());
  const auto start = Clock::now();
  DROVER_TRY(run_kills(pair, options, tally));
  uint64_t episodes = 0;
  DROVER_TRY(finish(pair, options, episodes));
  DROVER_TRY(check_audit(pair));
  DROVER_TRY(no_error_events(pair));
  DROVER_TRY(account_for(pair, options, episodes, tally));
  std::printf("kills of the robot: %u while recording, %u between recordings; of the coordinator: %u\n",
              tally.kills_recording, tally.kills_waiting, tally.kills_centre);
  std::printf("episodes begun: %llu = %llu whole + %llu prefixes + %llu lost and told + %llu set aside and told\n",
              static_cast<unsigned long long>(episodes), static_cast<unsigned long long>(tally.whole),
              static_cast<unsigned long long>(tally.prefixes), static_cast<unsigned long long>(tally.lost),
              static_cast<unsigned long long>(tally.set_aside));
  std::printf("whole ones equal their seeds run again, to the bit; %llu pictures, %.1f J, %.1f s; seed %llu\n",
              static_cast<unsigned long long>(tally.frames), tally.work_J,
              std::chrono::duration<double>(Clock::now() - start).count(),
              static_cast<unsigned long long>(options.seed));
  // Where a few kills fall is luck of the clock; of ten or more most must have hit.
  const uint32_t needed = options.kills < 10 ? 1 : options.kills * 6 / 10;
  if (tally.kills_recording < needed)
    return fail(Errc::refused, "guard",
                "only " + std::to_string(tally.kills_recording) + " of " + std::to_string(options.kills) +
                    " kills hit an open recording; at least " + std::to_string(needed) +
                    " must, or the run proves little");
  return {};
}

std::string default_drover() {
  std::error_code failed;
  return (fs::read_symlink("/proc/self/exe", failed).parent_path() / "drover").string();
}

}  // namespace

int recordings_main(int argc, char** argv) {
  Options options;
  options.drover = default_drover();
  CLI::App app("Kill a robot while it records, and prove that every episode it began is accounted for.",
               "drover stress recordings");
  app.add_option("--kills", options.kills, "how many kill -9 of the robot")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  app.add_option("--seed", options.seed, "replays the moments and the episodes; 0 draws one");
  app.add_option("--set", options.set, "conditions of the episodes")->capture_default_str();
  app.add_option("--keep", options.keep, "work in this folder and leave it; else a temporary one");
  app.add_option("--drover", options.drover, "the program under test")->check(CLI::ExistingFile)->capture_default_str();
  app.add_option("--configs", options.configs, "the shipped configs folder")->capture_default_str();
  app.add_option("--gap-min-ms", options.gap_min_ms, "least time between kills")->capture_default_str();
  app.add_option("--gap-max-ms", options.gap_max_ms, "longest time between kills")->capture_default_str();
  app.add_option("--drain-s", options.drain_s, "how long coming to rest may take")->capture_default_str();
  app.add_flag("--verbose", options.verbose, "one line per kill");
  CLI11_PARSE(app, argc, argv);
  if (options.seed == 0)
    options.seed = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count()) % 1'000'000'000;
  options.drover = fs::absolute(options.drover).string();
  options.configs = fs::absolute(options.configs).string();
  std::string folder = options.keep;
  if (folder.empty()) {
    folder = (fs::temp_directory_path() / "drover-recordings-XXXXXX").string();
    if (mkdtemp(folder.data()) == nullptr) return std::perror("drover stress recordings: mkdtemp"), 1;
  } else {
    fs::remove_all(folder);
  }
  folder = fs::absolute(folder).string();
  std::printf("seed %llu, %u kills, in %s\n", static_cast<unsigned long long>(options.seed), options.kills,
              folder.c_str());
  std::fflush(stdout);
  const Status proved = prove(options, folder);
  if (proved) {
    std::printf("PASSED\n");
    if (options.keep.empty()) fs::remove_all(folder);
    return 0;
  }
  std::printf("FAILED: %s\nreplay: drover stress recordings --kills %u --seed %llu; stores and logs are in %s\n",
              proved.error().message().c_str(), options.kills, static_cast<unsigned long long>(options.seed),
              folder.c_str());
  return 1;
}

}  // namespace drover::crash

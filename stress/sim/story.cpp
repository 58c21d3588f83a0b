#include "stress/sim/story.hpp"

#include <algorithm>
#include <filesystem>
#include <map>

#include "actors/runtime/rng.hpp"
#include "stress/sim/fleet.hpp"
#include "stress/sim/workload.hpp"

namespace drover::simulate {
namespace {

constexpr std::array<std::string_view, probes> names{
    "links",          "resent blocks", "blocks not taken", "robot restarts", "centre restarts", "kills in the middle",
    "waits for room", "evictions",     "re-images",        "shared chunks"};

std::string robot_name(uint32_t index) {
  return "robot-" + std::to_string(index + 1);
}

class Story {
 public:
  Story(const StoryPlan& plan, const std::vector<Fault>& faults, const std::string& folder)
      : plan_(plan),
        faults_(faults),
        fleet_({.seed = plan.seed,
                .folder = folder,
                .ping_period_ms = plan.ping_period_ms,
                .blob_idle_ms = plan.blob_idle_ms}),
        quota_bound_(plan.quotas && runtime::Rng::stream(plan.seed, "quotas").chance(0.3)) {
    for (uint32_t i = 0; i < plan.faults.robots; ++i) {
      const bool small = quota_bound_ && i % 2 == 0;
      fleet_.add_robot(robot_name(i), small ? uint64_t{plan.slice_bytes} * 3 : uint64_t{1} << 40);
    }
    waiting_.resize(plan.faults.robots);
    planned_.resize(plan.faults.robots);
    early_.resize(plan.faults.robots);
    numbers_.resize(plan.faults.robots);
    stored_.resize(plan.faults.robots);
    draw_work();
  }

  StoryResult run() {
    rough();
    if (result_.failure.empty()) heal();
    result_.virtual_ms = fleet_.now_ms();
    result_.deliveries = fleet_.simulation().steps();
    result_.faults = faults_.size();
    look(true, "at the end");
    finish();
    return result_;
  }
  bool comparable() const { return !quota_bound_ && result_.probe[static_cast<size_t>(Probe::reimages)] == 0; }

 private:
  struct Moment {
    int64_t at_ms = 0;
    enum What : uint8_t { capture, fault, healed, audit } what = capture;
    uint32_t robot = 0;
    size_t fault_index = 0;
    FaultKind of = FaultKind::cut;
  };

  uint64_t& probe(Probe p) { return result_.probe[static_cast<size_t>(p)]; }

  void draw_work() {
    auto work = runtime::Rng::stream(plan_.seed, "work");  // the same with and without faults
    const int64_t end_ms = plan_.faults.duration_ms;
    const double rate = plan_.episodes_per_robot_hour * static_cast<double>(end_ms) / 3.6e6;
    for (uint32_t robot = 0; robot < plan_.faults.robots; ++robot) {
      const auto n = static_cast<uint64_t>(rate * (0.5 + work.uniform()));
      planned_[robot] = n;
      for (uint64_t i = 0; i < n; ++i) moments_.push_back({work.between(0, end_ms - 1), Moment::capture, robot, 0, {}});
    }
    for (size_t i = 0; i < faults_.size(); ++i) {
      const Fault& f = faults_[i];
      moments_.push_back({f.at_ms, Moment::fault, f.robot, i, f.kind});
      if (f.kind == FaultKind::stall || f.kind == FaultKind::offline)
        moments_.push_back({f.at_ms + f.value, Moment::healed, f.robot, i, f.kind});
    }
    for (uint32_t i = 1; i <= plan_.audits; ++i)
      moments_.push_back({end_ms * i / (plan_.audits + 1), Moment::audit, 0, 0, {}});
    std::stable_sort(moments_.begin(), moments_.end(),
                     [](const Moment& a, const Moment& b) { return a.at_ms < b.at_ms; });
  }

  void rough() {
    for (const Moment& m : moments_) {
      if (!result_.failure.empty()) return;
      if (m.at_ms > fleet_.now_ms()) fleet_.run_for(m.at_ms - fleet_.now_ms());
      switch (m.what) {
        case Moment::capture:
          if (early_[m.robot] > 0) {
            --early_[m.robot];
            break;
          }
          --planned_[m.robot];
          ++waiting_[m.robot];
          work_off(m.robot);
          break;
        case Moment::fault:
          strike(faults_[m.fault_index]);
          break;
        case Moment::healed:
          heal_link(m.robot, m.of);
          break;
        case Moment::audit:
          look(false, "while faults strike");
          break;
      }
    }
    if (fleet_.now_ms() < plan_.faults.duration_ms) fleet_.run_for(plan_.faults.duration_ms - fleet_.now_ms());
  }

  // Episodes whose turn has come; a full store makes them wait.
  void work_off(uint32_t index) {
    SimRobot& robot = *fleet_.robots()[index];
    while (waiting_[index] > 0) {
      const Status stored =
          fleet_.capture(robot, make_episode(robot.options.robot, numbers_[index], plan_.slice_bytes));
      if (!stored && stored.error().code == Errc::disk_full) return void(++probe(Probe::capture_waited));
      if (!stored) return failed("capture: " + stored.error().message());
      ++numbers_[index];
      ++stored_[index];
      ++result_.episodes;
      --waiting_[index];
    }
  }

  void strike(const Fault& f) {
    SimRobot& robot = *fleet_.robots()[f.robot];
    switch (f.kind) {
      case FaultKind::cut:
        return robot.wire->cut();
      case FaultKind::stall:
        return robot.wire->set_stalled(true);
      case FaultKind::offline:
        robot.wire->set_refusing(true);
        return robot.wire->cut();
      case FaultKind::latency:
        return robot.wire->set_latency_ms(static_cast<uint32_t>(f.value));
      case FaultKind::kill_middle:
        if (planned_[f.robot] > 0) {  // an episode of later comes now, so that something is going on
          --planned_[f.robot];
          ++early_[f.robot];
          ++waiting_[f.robot];
          work_off(f.robot);
        }
        fleet_.step(static_cast<uint64_t>(f.value));
        ++probe(Probe::kills_in_the_middle);
        return fleet_.restart_robot(robot, static_cast<int>(f.value % 3));
      case FaultKind::kill_robot:
        ++probe(Probe::robot_restarts);
        return fleet_.restart_robot(robot, static_cast<int>(f.value));
      case FaultKind::kill_centre:
        ++probe(Probe::centre_restarts);
        return fleet_.restart_centre(static_cast<int>(f.value));
      case FaultKind::reimage:
        ++probe(Probe::reimages);
        stored_[f.robot] = 0;  // what only the old disk held is gone with it
        return fleet_.reimage(robot);
      case FaultKind::count_:
        return;
    }
  }

  void heal_link(uint32_t robot, FaultKind of) {
    auto& wire = *fleet_.robots()[robot]->wire;
    if (of == FaultKind::stall) wire.set_stalled(false);
    if (of == FaultKind::offline) wire.set_refusing(false);
  }

  void heal() {
    for (uint32_t i = 0; i < fleet_.robots().size(); ++i) {
      auto& wire = *fleet_.robots()[i]->wire;
      wire.set_stalled(false);
      wire.set_refusing(false);
      wire.set_latency_ms(0);
    }
    const int64_t began_ms = fleet_.now_ms();
    bool done = false;
    while (!done && fleet_.now_ms() - began_ms < plan_.drain_ms_max) {
      for (uint32_t i = 0; i < waiting_.size(); ++i) work_off(i);
      const bool all_captured = std::all_of(waiting_.begin(), waiting_.end(), [](uint64_t n) { return n == 0; });
      done = fleet_.run_until([&] { return fleet_.drained(); }, 5'000) && all_captured;
      if (!all_captured) fleet_.run_for(100);
    }
    result_.drain_ms = fleet_.now_ms() - began_ms;
    if (!done) failed("did not drain within " + std::to_string(plan_.drain_ms_max) + " ms after the last fault");
  }

  void look(bool content, const std::string& when) {
    if (!result_.failure.empty()) return;
    const auto audit = fleet_.audit(content);
    if (!audit) return failed(when + ": " + audit.error().message());
    if (!audit->balanced()) {
      const auto& v = audit->violations.front();
      return failed(when + ": " + v.check + ": " + v.where + ": " + v.what);
    }
    for (const std::string& line : fleet_.simulation().log_lines())
      if (line.starts_with("error")) return failed(when + ": an error was logged: " + line);
    if (!content) return;
    result_.records = audit->centre.records;
    for (const auto& stream : audit->streams) probe(Probe::evictions) += stream.chunks_evicted;
    count_streams(*audit);
  }

  // Every episode on a disk that lives is central exactly once.
  void count_streams(const sync::Audit& audit) {
    for (uint32_t i = 0; i < fleet_.robots().size(); ++i) {
      const auto& options = fleet_.robots()[i]->options;
      uint64_t episodes = 0, packs = 0;
      for (const auto& stream : audit.streams)
        if (stream.robot == options.robot && stream.incarnation == options.incarnation)
          episodes += stream.episodes, packs += stream.packs;
      if (episodes != stored_[i] || packs != stored_[i])
        failed(options.robot + " stored " + std::to_string(stored_[i]) + " episodes, the centre has " +
               std::to_string(episodes) + " with " + std::to_string(packs) + " datapacks");
    }
  }

  void finish() {
    uint64_t chunks_sent = 0;
    for (auto& robot : fleet_.robots()) {
      const auto facts = fleet_.outbox(*robot);
      if (!facts.halted.empty()) failed(robot->options.robot + " halted: " + facts.halted);
      probe(Probe::resent_blocks) += facts.resent_blocks;
      chunks_sent += facts.blob_bytes_sent / std::max<uint64_t>(plan_.slice_bytes, 1);
    }
    probe(Probe::links) = fleet_.simulation().log_count("sync.link_up");
    probe(Probe::blocks_not_taken) = fleet_.simulation().log_count("sync.block_not_taken");
    if (chunks_sent < result_.episodes) probe(Probe::shared_chunks) = result_.episodes - chunks_sent;
    const auto dump = fleet_.dump();
    if (!dump) return failed("the coordinator's dump: " + dump.error().message());
    result_.end = dump->digest;
    fleet_.simulation().trace(to_hex(dump->digest));
    result_.trace = fleet_.simulation().trace_hash();
  }

  void failed(const std::string& why) {
    if (result_.failure.empty()) result_.failure = "at " + std::to_string(fleet_.now_ms()) + " ms " + why;
  }

  const StoryPlan& plan_;
  const std::vector<Fault>& faults_;
  SimFleet fleet_;
  bool quota_bound_;
  std::vector<Moment> moments_;
  std::vector<uint64_t> waiting_;  // episodes whose turn has come, by robot
  std::vector<uint64_t> planned_;  // episodes still to come by the clock
  std::vector<uint64_t> early_;    // of those: taken already
  std::vector<uint64_t> numbers_;  // of the next episode
  std::vector<uint64_t> stored_;   // on the present disk
  StoryResult result_;
};

std::string make_folder(const std::string& parent) {
  std::string pattern = parent + "/drover-sim-XXXXXX";
  const char* made = ::mkdtemp(pattern.data());
  return made == nullptr ? std::string() : made;
}

}  // namespace

std::string_view probe_name(Probe p) noexcept {
  return static_cast<size_t>(p) < probes ? names[static_cast<size_t>(p)] : "unknown";
}

StoryResult play(const StoryPlan& plan, const std::vector<Fault>& faults, const std::string& folder) {
  const std::string own = make_folder(folder);
  if (own.empty()) {
    StoryResult result;
    result.failure = "cannot make a folder in " + folder;
    return result;
  }
  StoryResult result;
  bool comparable = false;
  {
    Story story(plan, faults, own);
    result = story.run();
    comparable = story.comparable();
  }
  std::error_code ignored;
  std::filesystem::remove_all(own, ignored);
  if (!plan.twin || !comparable || !result.failure.empty() || faults.empty()) return result;
  StoryPlan calm = plan;
  calm.twin = false;
  calm.audits = 0;
  const StoryResult twin = play(calm, {}, folder);
  if (!twin.failure.empty())
    result.failure = "the twin without faults: " + twin.failure;
  else if (twin.end != result.end)
    result.failure = "the coordinator ends otherwise than without faults";
  return result;
}

}  // namespace drover::simulate

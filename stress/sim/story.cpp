#include "stress/sim/story.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <map>

#include "actors/runtime/rng.hpp"
#include "stress/sim/armed.hpp"
#include "stress/sim/books.hpp"
#include "stress/sim/fleet.hpp"
#include "stress/sim/workload.hpp"

namespace drover::simulate {
namespace {

constexpr std::array<std::string_view, probes> names{
    "links",          "resent blocks",   "blocks not taken", "robot restarts", "centre restarts", "kills in the middle",
    "waits for room", "evictions",       "re-images",        "shared chunks",  "power losses",    "unsynced writes",
    "full disk",      "refused records", "deaths by poison", "knowledge",      "postings",        "reversals"};

std::string robot_name(uint32_t index) {
  return "robot-" + std::to_string(index + 1);
}

FleetOptions fleet_options(const StoryPlan& plan, const std::vector<Fault>& faults, const std::string& folder) {
  FleetOptions o;
  o.seed = plan.seed;
  o.folder = folder;
  o.ping_period_ms = plan.ping_period_ms;
  o.blob_idle_ms = plan.blob_idle_ms;
  o.books = plan.books;
  o.books_period_ms = plan.books_period_ms;
  o.disks = std::any_of(faults.begin(), faults.end(), [](const Fault& f) {
    return f.kind == FaultKind::power_robot || f.kind == FaultKind::power_centre || f.kind == FaultKind::disk_full;
  });
  if (!plan.odd || faults.empty()) return o;
  auto rng = runtime::Rng::stream(plan.seed, "odd");
  if (rng.chance(0.3)) o.window_bytes = 16u << 10;
  if (rng.chance(0.3)) o.centre.apply_bytes = 1;  // a slow consumer: a block in a transaction, long rests
  if (rng.chance(0.3)) o.centre.apply_share = 0.05;
  if (rng.chance(0.2)) o.centre.budget_bytes_per_s = 20'000;
  if (rng.chance(0.3)) o.inbox.pending_bytes_max = 64u << 10;
  if (rng.chance(0.3)) o.inbox.commit_bytes_max = 8u << 10;
  if (rng.chance(0.3)) o.inbox.commit_delay_ms = 50;
  return o;
}

class Story {
 public:
  Story(const StoryPlan& plan, const std::vector<Fault>& faults, const std::string& folder)
      : plan_(plan),
        faults_(faults),
        armed_({.seed = plan.seed, .bug = plan.bug, .sites = plan.odd && !faults.empty(), .poison = plan.odd}),
        fleet_(fleet_options(plan, faults, folder)),
        quota_bound_(plan.quotas && runtime::Rng::stream(plan.seed, "quotas").chance(0.3)) {
    auto rng = runtime::Rng::stream(plan.seed, "records");
    work_.slice_bytes = plan.slice_bytes;
    work_.salt = plan.seed;
    work_.newer_records = plan.odd && rng.chance(0.3);
    work_.poison = plan.odd && rng.chance(0.2);
    power_.resize(plan.faults.robots + 1);
    lanes_.resize(plan.faults.robots);
    fleet_.set_step_watch([this](const SimStep& step) { return watch(step); });
    for (uint32_t i = 0; i < plan.faults.robots; ++i) {
      const bool small = quota_bound_ && i % 2 == 0;
      fleet_.add_robot(robot_name(i), small ? uint64_t{plan.slice_bytes} * 3 : uint64_t{1} << 40);
    }
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
    result_.fired = armed_.switches().fired;
    result_.bug_reached = armed_.switches().bug_reached;
    return result_;
  }
  bool comparable() const { return !quota_bound_ && result_.probe[static_cast<size_t>(Probe::reimages)] == 0; }

 private:
  struct Moment {
    int64_t at_ms = 0;
    enum What : uint8_t { capture, fault, healed, audit, publish } what = capture;
    uint32_t robot = 0;
    size_t fault_index = 0;
    FaultKind of = FaultKind::cut;
  };
  // A robot's work.
  struct Lane {
    uint64_t waiting = 0;    // episodes whose turn has come
    uint64_t planned = 0;    // still to come by the clock
    uint64_t early = 0;      // of those: taken already
    uint64_t number = 0;     // of the next episode
    uint64_t first = 0;      // number of the first one on the present disk
    uint64_t confirmed = 0;  // numbers below were stored, said the store
    uint64_t knowledge = 0;  // newest version seen at the robot
  };
  // Of one node; the coordinator's is the first.
  struct Power {
    int64_t operations = -1;  // until it goes; -1: it stays
    Loss loss = Loss::dropped;
    int64_t down_ms = 0;
    int64_t back_at_ms = 0;  // while it is down
    int64_t full_until_ms = 0;
  };

  uint64_t& probe(Probe p) { return result_.probe[static_cast<size_t>(p)]; }

  void draw_work() {
    auto work = runtime::Rng::stream(plan_.seed, "work");  // the same with and without faults
    const int64_t end_ms = plan_.faults.duration_ms;
    const double rate = plan_.episodes_per_robot_hour * static_cast<double>(end_ms) / 3.6e6;
    for (uint32_t robot = 0; robot < plan_.faults.robots; ++robot) {
      const auto n = static_cast<uint64_t>(rate * (0.5 + work.uniform()));
      lanes_[robot].planned = n;
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
    for (uint32_t i = 0; plan_.odd && i < 3; ++i)
      moments_.push_back({work.between(0, end_ms - 1), Moment::publish, 0, 0, {}});
    std::stable_sort(moments_.begin(), moments_.end(),
                     [](const Moment& a, const Moment& b) { return a.at_ms < b.at_ms; });
  }

  bool ok() const { return result_.failure.empty(); }

  void rough() {
    for (const Moment& m : moments_) {
      if (!ok()) return;
      advance_to(m.at_ms);
      switch (m.what) {
        case Moment::capture:
          if (lanes_[m.robot].early > 0) {
            --lanes_[m.robot].early;
            break;
          }
          --lanes_[m.robot].planned;
          ++lanes_[m.robot].waiting;
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
          bounds();
          break;
        case Moment::publish:
          ++publish_waiting_;
          break;
      }
      tend();
    }
    advance_to(plan_.faults.duration_ms);
  }

  // Time passes; nodes whose power went meanwhile are ended, those whose time has come are started.
  void advance_to(int64_t at_ms) {
    while (ok() && fleet_.now_ms() < at_ms) {
      int64_t until_ms = at_ms;
      for (size_t node = 0; node < power_.size(); ++node) {
        if (fleet_.down(static_cast<int>(node))) until_ms = std::min(until_ms, power_[node].back_at_ms);
      }
      fleet_.run_until([this] { return power_went_; }, std::max<int64_t>(until_ms - fleet_.now_ms(), 1));
      tend();
    }
  }

  void tend() {
    power_went_ = false;
    fleet_.tend();
    for (size_t i = 0; i < power_.size() && ok(); ++i) {
      const int node = static_cast<int>(i);
      if (fleet_.off(node) && !fleet_.down(node)) {
        ++probe(Probe::power_losses);
        power_[i].operations = -1;
        power_[i].back_at_ms = fleet_.now_ms() + power_[i].down_ms;
        fleet_.shut_down(node, power_[i].loss);
      }
      if (fleet_.down(node) && fleet_.now_ms() >= power_[i].back_at_ms) come_back(node);
    }
    if (publish_waiting_ > 0 && ok() && !fleet_.down(0)) publish();
  }

  // What the disk kept is looked at before anything runs on it.
  void come_back(int node) {
    calm_ = true;
    const Status opened = fleet_.open_store(node);
    if (!opened) return failed("after a power loss: " + opened.error().message());
    if (node > 0) resume(static_cast<uint32_t>(node) - 1);
    if (!fleet_.off(0) && !fleet_.down(0)) look_at_return("after a power loss of node " + std::to_string(node));
    fleet_.start_up(node);
    calm_ = false;
  }

  // A source goes on behind the mark that its store holds.
  void resume(uint32_t index) {
    Lane& lane = lanes_[index];
    SimRobot& robot = *fleet_.robots()[index];
    const auto marks = robot.store->marks("run");
    if (!marks) return failed("after a power loss: " + marks.error().message());
    uint64_t next = lane.first;
    if (!marks->marks.empty()) {
      const std::string& text = marks->marks.front().value;
      std::from_chars(text.data(), text.data() + text.size(), next);
      ++next;
    }
    if (next < lane.confirmed)
      return failed(robot.options.robot + " confirmed " + std::to_string(lane.confirmed - lane.first) +
                    " episodes, after a power loss its mark says " + std::to_string(next - lane.first));
    lane.waiting += lane.number > next ? lane.number - next : 0;
    if (next > lane.number) lane.waiting -= std::min(lane.waiting, next - lane.number);
    lane.number = next;
  }

  void publish() {
    const Status published = fleet_.publish(fleet_.published() + 1);
    if (!published) return;  // no power, no room: later
    ++probe(Probe::knowledge);
    --publish_waiting_;
  }

  // Episodes whose turn has come; a full store makes them wait.
  void work_off(uint32_t index) {
    SimRobot& robot = *fleet_.robots()[index];
    Lane& lane = lanes_[index];
    while (lane.waiting > 0 && ok()) {
      const Status stored = fleet_.capture(robot, make_episode(robot.options.robot, lane.number, work_));
      if (!stored && stored.error().code == Errc::disk_full) return void(++probe(Probe::capture_waited));
      if (!stored && stored.error().code == Errc::unavailable) return;
      if (!stored) return failed("capture: " + stored.error().message());
      if (fleet_.off(robot.node)) return;  // whether it was stored, the robot will know when it is back
      ++lane.number;
      lane.confirmed = lane.number;
      ++result_.episodes;
      --lane.waiting;
    }
  }

  // An episode of later comes now, so that something is going on.
  void work_now(uint32_t index) {
    Lane& lane = lanes_[index];
    if (lane.planned == 0) return;
    --lane.planned;
    ++lane.early;
    ++lane.waiting;
    work_off(index);
  }

  Verdict watch(const SimStep& step) {
    if (calm_ || step.kind == SimStep::send) return {};
    Power& power = power_[static_cast<size_t>(step.node)];
    if (power.full_until_ms > fleet_.now_ms() && step.kind != SimStep::sync) {
      ++probe(Probe::full_disks);
      return {Verdict::refuse, ENOSPC};
    }
    if (power.operations < 0) return {};
    if (power.operations-- > 0) return {};
    power_went_ = true;
    return {Verdict::power_off, 0};
  }

  void strike(const Fault& f) {
    const int node = f.kind == FaultKind::kill_centre || f.kind == FaultKind::kill_centre_middle ||
                             f.kind == FaultKind::power_centre || f.robot >= lanes_.size()
                         ? 0
                         : static_cast<int>(f.robot) + 1;
    if (fleet_.off(node) || fleet_.off(0) || fleet_.down(node)) return;  // no power
    calm_ = true;
    strike(f, node);
    calm_ = false;
  }

  void strike(const Fault& f, int node) {
    SimRobot& robot = *fleet_.robots()[node == 0 ? f.robot % lanes_.size() : f.robot];
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
        work_now(f.robot);
        fleet_.step(static_cast<uint64_t>(f.value));
        ++probe(Probe::kills_in_the_middle);
        return fleet_.restart_robot(robot, static_cast<int>(f.value % 3));
      case FaultKind::kill_centre_middle:
        work_now(f.robot);
        fleet_.step(static_cast<uint64_t>(f.value));
        ++probe(Probe::kills_in_the_middle);
        fleet_.restart_centre(static_cast<int>(f.value % 4), 150);  // time for robots to write down what they heard
        return look_at_return("after the centre was killed in the middle");
      case FaultKind::kill_robot:
        ++probe(Probe::robot_restarts);
        return fleet_.restart_robot(robot, static_cast<int>(f.value));
      case FaultKind::kill_centre:
        ++probe(Probe::centre_restarts);
        return fleet_.restart_centre(static_cast<int>(f.value));
      case FaultKind::reimage:
        ++probe(Probe::reimages);
        lanes_[f.robot].first = lanes_[f.robot].confirmed = lanes_[f.robot].number;
        lanes_[f.robot].knowledge = 0;
        power_[f.robot + 1] = {};
        return fleet_.reimage(robot);
      case FaultKind::power_robot:
      case FaultKind::power_centre: {
        Power& power = power_[static_cast<size_t>(node)];
        power.operations = f.value;
        power.loss = f.loss;
        power.down_ms = f.down_ms;
        calm_ = false;
        return work_now(f.robot);
      }
      case FaultKind::disk_full:
        full_disks_ = true;
        power_[static_cast<size_t>(node)].full_until_ms = fleet_.now_ms() + f.value;
        return;
      case FaultKind::clock:
        return fleet_.clock_of(node).jump_ms(f.value);
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
    for (Power& power : power_) {
      power.operations = -1;
      power.full_until_ms = 0;
      power.back_at_ms = 0;
    }
    tend();
    const int64_t began_ms = fleet_.now_ms();
    bool done = false;
    while (ok() && !done && fleet_.now_ms() - began_ms < plan_.drain_ms_max) {
      tend();
      for (uint32_t i = 0; i < lanes_.size(); ++i) work_off(i);
      const bool all_captured =
          std::all_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return lane.waiting == 0; });
      done = fleet_.run_until([&] { return fleet_.drained(); }, 5'000) && all_captured && publish_waiting_ == 0;
      if (!all_captured) fleet_.run_for(100);
    }
    result_.drain_ms = fleet_.now_ms() - began_ms;
    if (!done)
      return failed("did not drain within " + std::to_string(plan_.drain_ms_max) +
                    " ms after the last fault: " + fleet_.undrained());
    if (plan_.books) fleet_.run_for(3 * static_cast<int64_t>(plan_.books_period_ms));  // the econ actor looks again
  }

  // An error that a fault explains.
  bool explained(const std::string& line) const {
    const auto begins = [&](std::string_view text) { return line.starts_with(text); };
    if (work_.poison && begins("error runtime.quarantined")) return true;
    return full_disks_ && (begins("error inbox.commit_failed") || begins("error centre.apply_failed") ||
                           begins("error centre.chunks_not_stored") ||
                           (begins("error sync.knowledge_refused") && line.find("disk_full") != std::string::npos));
  }

  void look(bool content, const std::string& when) {
    if (!ok() || fleet_.off(0) || fleet_.down(0)) return;
    const auto audit = fleet_.audit(content);
    if (!audit) return failed(when + ": " + audit.error().message());
    if (!audit->balanced()) {
      const auto& v = audit->violations.front();
      return failed(when + ": " + v.check + ": " + v.where + ": " + v.what);
    }
    const auto& lines = fleet_.simulation().log_lines();
    if (seen_lines_ > lines.size()) seen_lines_ = 0;  // the older half was dropped
    for (; seen_lines_ < lines.size(); ++seen_lines_)
      if (lines[seen_lines_].starts_with("error") && !explained(lines[seen_lines_]))
        return failed(when + ": an error was logged: " + lines[seen_lines_]);
    look_at_books(when, content);
    if (!content || !ok()) return;
    result_.records = audit->centre.records;
    for (const auto& stream : audit->streams) probe(Probe::evictions) += stream.chunks_evicted;
    count_streams(*audit);
    if (ok() && plan_.books) close_books(when, audit->centre.packs);
  }

  void look_at_books(const std::string& when, bool content) {
    if (fleet_.books() == nullptr || content) return;
    if (const std::string why = check_books(*fleet_.books()); !why.empty()) failed(when + ": " + why);
  }

  // In the end, after the actor had time to read what came last.
  void close_books(const std::string& when, uint64_t datapacks) {
    const BooksAtRest rest{datapacks, probe(Probe::reimages) > 0, fleet_.options().folder + "/books-again"};
    if (const std::string why = check_books_at_rest(*fleet_.books(), fleet_.central(), rest); !why.empty())
      return failed(when + ": " + why);
    const auto ledger = fleet_.books()->ledger();
    const auto done = fleet_.books()->env().read([&](const storage::ReadTxn& txn) {
      return ledger.for_each(txn, {}, [&](const Hash&, const storage::Posting& posting) -> Result<bool> {
        ++probe(Probe::postings);
        probe(Probe::reversals) += posting.kind == "reversal";
        return true;
      });
    });
    if (!done) failed(when + ": books: " + done.error().message());
  }

  void look_at_return(const std::string& when) {
    if (looks_at_return_++ < plan_.returns_audited) look(false, when);
  }

  // What waits or is on its way keeps its bounds, and knowledge only grows.
  void bounds() {
    for (uint32_t i = 0; i < lanes_.size() && ok(); ++i) {
      SimRobot& robot = *fleet_.robots()[i];
      if (fleet_.off(robot.node) || fleet_.down(robot.node)) continue;
      const auto outbox = fleet_.outbox(robot);
      if (outbox.in_flight_bytes > fleet_.options().window_bytes + fleet_.options().block_max_bytes)
        failed(robot.options.robot + " has " + std::to_string(outbox.in_flight_bytes) + " bytes in flight");
      if (fleet_.off(robot.node) || fleet_.down(robot.node)) continue;
      const auto facts = robot.store->facts();
      if (!facts) return failed(facts.error().message());
      if (facts->knowledge_version < lanes_[i].knowledge)
        failed(robot.options.robot + " went back to knowledge " + std::to_string(facts->knowledge_version));
      lanes_[i].knowledge = facts->knowledge_version;
    }
    if (fleet_.off(0) || fleet_.down(0)) return;
    const auto inbox = fleet_.inbox();
    if (inbox.pending_bytes > fleet_.options().inbox.pending_bytes_max)
      failed("the inbox holds " + std::to_string(inbox.pending_bytes) + " bytes that wait");
  }

  // Every episode on a disk that lives is central exactly once, and what cannot be taken is set aside.
  void count_streams(const sync::Audit& audit) {
    for (uint32_t i = 0; i < fleet_.robots().size(); ++i) {
      const auto& options = fleet_.robots()[i]->options;
      const Lane& lane = lanes_[i];
      uint64_t episodes = 0, packs = 0, rejected = 0, expected = 0;
      for (const auto& stream : audit.streams)
        if (stream.robot == options.robot && stream.incarnation == options.incarnation)
          episodes += stream.episodes, packs += stream.packs, rejected += stream.rejected;
      const uint64_t stored = lane.number - lane.first;
      if (episodes != stored || packs != stored)
        failed(options.robot + " stored " + std::to_string(stored) + " episodes, the centre has " +
               std::to_string(episodes) + " with " + std::to_string(packs) + " datapacks");
      for (uint64_t n = lane.first; n < lane.number; ++n) expected += refused_records(options.robot, n, work_);
      probe(Probe::refused_records) += rejected;
      if (rejected != expected)
        failed(options.robot + ": " + std::to_string(rejected) + " records were set aside, it sent " +
               std::to_string(expected) + " that nobody can take");
    }
  }

  void finish() {
    if (fleet_.off(0) || fleet_.down(0)) return;
    uint64_t chunks_sent = 0;
    for (auto& robot : fleet_.robots()) {
      if (fleet_.off(robot->node) || fleet_.down(robot->node)) continue;
      const auto facts = fleet_.outbox(*robot);
      if (!facts.halted.empty()) failed(robot->options.robot + " halted: " + facts.halted);
      probe(Probe::resent_blocks) += facts.resent_blocks;
      chunks_sent += facts.blob_bytes_sent / std::max<uint64_t>(plan_.slice_bytes, 1);
    }
    probe(Probe::links) = fleet_.simulation().log_count("sync.link_up");
    probe(Probe::blocks_not_taken) = fleet_.simulation().log_count("sync.block_not_taken");
    probe(Probe::deaths) = fleet_.simulation().log_count("runtime.quarantined");
    probe(Probe::torn_writes) = fleet_.unsynced_lost();
    if (chunks_sent < result_.episodes) probe(Probe::shared_chunks) = result_.episodes - chunks_sent;
    const auto dump = fleet_.dump();
    if (!dump) return failed("the coordinator's dump: " + dump.error().message());
    result_.end = *dump;
    fleet_.simulation().trace(to_hex(*dump));
    result_.trace = fleet_.simulation().trace_hash();
  }

  void failed(const std::string& why) {
    if (result_.failure.empty()) result_.failure = "at " + std::to_string(fleet_.now_ms()) + " ms " + why;
  }

  const StoryPlan& plan_;
  const std::vector<Fault>& faults_;
  Armed armed_;
  SimFleet fleet_;
  bool quota_bound_;
  Work work_;
  std::vector<Moment> moments_;
  std::vector<Lane> lanes_;
  std::vector<Power> power_;
  bool calm_ = false;  // an operator's hand is at work: no fault of its own strikes now
  bool full_disks_ = false;
  uint32_t looks_at_return_ = 0;
  bool power_went_ = false;       // of some node, since the last look
  uint64_t publish_waiting_ = 0;  // versions whose time has come
  size_t seen_lines_ = 0;
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

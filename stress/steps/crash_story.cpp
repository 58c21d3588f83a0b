#include "stress/steps/crash_story.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>

#include "actors/runtime/rng.hpp"
#include "stress/sim/armed.hpp"
#include "stress/sim/books.hpp"
#include "stress/sim/fleet.hpp"
#include "stress/sim/workload.hpp"

namespace drover::simulate {
namespace {

constexpr std::array<std::string_view, stages> stage_names{"capture", "evict", "upload", "inbox",
                                                           "central", "books", "answer", "mark"};
constexpr std::array<std::string_view, step_kinds> kind_names{"write", "sync", "commit", "send"};

constexpr uint32_t robots = 2;
constexpr size_t slice_bytes = 2'000;
constexpr int64_t down_ms = 200;
constexpr int64_t books_period_ms = 100;
constexpr int64_t drain_ms_max = 60'000;

FleetOptions options_of(const CrashPlan& plan, const std::string& folder) {
  FleetOptions o;
  o.seed = plan.seed;
  o.folder = folder;
  o.disks = true;
  o.ping_period_ms = 300;
  o.blob_idle_ms = 100;
  o.books_period_ms = books_period_ms;
  return o;
}

class CrashStory {
 public:
  CrashStory(const CrashPlan& plan, const std::string& folder)
      : plan_(plan),
        rng_(runtime::Rng::stream(plan.seed * 1'000'003 + plan.crash_at, "second crash")),
        armed_({.seed = plan.seed, .bug = plan.bug, .sites = plan.seed % 2 == 0}),
        fleet_(options_of(plan, folder)) {
    work_.slice_bytes = slice_bytes;
    for (uint32_t i = 0; i < robots; ++i)  // the first has room for three slices
      fleet_.add_robot("robot-" + std::to_string(i + 1), i == 0 ? slice_bytes * 3 + 100 : uint64_t{1} << 40);
    fleet_.set_step_watch([this](const SimStep& step) { return watch(step); });
  }

  CrashResult run() {
    for (int i = 0; i < 8 && ok(); ++i) {
      capture(static_cast<size_t>(i) % robots);
      advance(150);
    }
    (void)fleet_.publish(1);
    drain();
    for (int i = 0; i < 3 && ok(); ++i) {
      capture(0);
      advance(250);
    }
    drain();
    rest();
    if (ok()) look(true, "at the end");
    if (ok()) count();
    if (ok()) close_books();
    finish();
    return std::move(result_);
  }

 private:
  struct Lane {
    uint64_t wanted = 0;     // episodes to capture in all
    uint64_t number = 0;     // of the next
    uint64_t confirmed = 0;  // numbers below were stored, said the store
  };
  bool ok() const { return result_.failure.empty(); }

  Stage stage_of(const SimStep& step) const {
    if (step.kind == SimStep::send) return step.node == 0 ? Stage::answer : Stage::upload;
    if (step.node != 0) return capturing_ ? (evicting_ ? Stage::evict : Stage::capture) : Stage::mark;
    if (step.path.find("/econ/") != std::string_view::npos) return Stage::books;
    return step.path.find("/inbox/") != std::string_view::npos ? Stage::inbox : Stage::central;
  }

  Verdict watch(const SimStep& step) {
    if (calm_) return {};
    ++step_;
    const Stage stage = stage_of(step);
    if (plan_.crash_at == 0)
      result_.steps.push_back(static_cast<uint8_t>(static_cast<size_t>(stage) * step_kinds + step.kind));
    const bool first = step_ == plan_.crash_at;
    if (!first && step_ != second_at_) return {};
    if (first) {
      result_.stage = stage;
      result_.kind = static_cast<StepKind>(step.kind);
    }
    return {Verdict::power_off, 0};
  }

  void capture(size_t index) {
    ++lanes_[index].wanted;
    work_off(index);
  }

  void work_off(size_t index) {
    Lane& lane = lanes_[index];
    SimRobot& robot = *fleet_.robots()[index];
    while (ok() && lane.number < lane.wanted && robot.store && !fleet_.off(robot.node)) {
      const auto facts = robot.store->facts();
      if (!facts) return failed(facts.error().message());
      capturing_ = true;
      evicting_ = facts->blob_bytes + slice_bytes > robot.options.quota_bytes;
      const Status stored = fleet_.capture(robot, make_episode(robot.options.robot, lane.number, work_));
      capturing_ = evicting_ = false;
      if (!stored && stored.error().code == Errc::disk_full) return;  // later
      if (!stored) return failed("capture: " + stored.error().message());
      if (fleet_.off(robot.node)) return;
      lane.confirmed = ++lane.number;
    }
  }

  void advance(int64_t ms) {
    const int64_t end_ms = fleet_.now_ms() + ms;
    while (ok() && fleet_.now_ms() < end_ms) {
      tend();
      fleet_.run_for(std::min<int64_t>(50, end_ms - fleet_.now_ms()));
    }
    tend();
  }

  void tend() {
    for (int node = 0; node <= static_cast<int>(robots) && ok(); ++node) {
      if (!fleet_.off(node)) continue;
      ++result_.crashes;
      fleet_.shut_down(node, result_.crashes == 1 ? plan_.loss : static_cast<Loss>(rng_.below(losses)));
      fleet_.run_for(down_ms);  // the others go on, and write down what they heard
      come_back(node);
      if (result_.crashes == 1 && rng_.chance(0.25)) second_at_ = step_ + 1 + rng_.below(40);
    }
    for (size_t i = 0; i < robots; ++i) work_off(i);
  }

  // What the disk kept is looked at before anything runs on it.
  void come_back(int node) {
    calm_ = true;
    const Status opened = fleet_.open_store(node);
    if (!opened) return failed("after the power loss: " + opened.error().message());
    if (node > 0) resume(static_cast<size_t>(node) - 1);
    if (ok() && !fleet_.off(0) && !fleet_.down(0)) look(false, "after the power loss");
    fleet_.start_up(node);
    calm_ = false;
  }

  void resume(size_t index) {
    Lane& lane = lanes_[index];
    const auto marks = fleet_.robots()[index]->store->marks("run");
    if (!marks) return failed(marks.error().message());
    lane.number = 0;
    if (!marks->marks.empty()) {
      const std::string& text = marks->marks.front().value;
      std::from_chars(text.data(), text.data() + text.size(), lane.number);
      ++lane.number;
    }
    if (lane.number < lane.confirmed)
      failed("acknowledged loss: robot-" + std::to_string(index + 1) + " confirmed " + std::to_string(lane.confirmed) +
             " episodes and has " + std::to_string(lane.number));
  }

  bool lit() const {
    for (int node = 0; node <= static_cast<int>(robots); ++node)
      if (fleet_.off(node)) return false;
    return true;
  }

  void drain() {
    const int64_t began_ms = fleet_.now_ms();
    const auto all = [&] {
      return std::all_of(lanes_.begin(), lanes_.end(), [](const Lane& l) { return l.number >= l.wanted; });
    };
    while (ok() && fleet_.now_ms() - began_ms < drain_ms_max) {
      tend();
      if (ok() && fleet_.published() == 0) (void)fleet_.publish(1);
      if (fleet_.run_until([&] { return fleet_.drained(); }, 100) && all() && fleet_.published() > 0 && lit()) return;
    }
    if (ok()) failed("did not drain: " + fleet_.undrained());
  }

  // Time for the books to read what came last. Whether they do is looked at afterwards.
  void rest() {
    calm_ = true;
    fleet_.run_for(3 * books_period_ms);
    calm_ = false;
  }

  void look(bool content, const std::string& when) {
    const auto audit = fleet_.audit(content);
    if (!audit) return failed(when + ": " + audit.error().message());
    for (const std::string& line : fleet_.simulation().log_lines())
      if (line.starts_with("error")) return failed(when + ": an error was logged: " + line);
    if (audit->balanced()) {
      audit_ = *audit;
      if (const std::string why = check_books(*fleet_.books()); !why.empty()) failed(when + ": " + why);
      return;
    }
    const auto& v = audit->violations.front();
    failed(when + ": " + v.check + ": " + v.where + ": " + v.what);
  }

  void close_books() {
    calm_ = true;
    const BooksAtRest rest{audit_.centre.packs, false, fleet_.options().folder + "/books-again"};
    if (const std::string why = check_books_at_rest(*fleet_.books(), fleet_.central(), rest); !why.empty())
      return failed("at the end: " + why);
    const auto counts = fleet_.books()->counts();
    if (!counts) return failed("books: " + counts.error().message());
    result_.postings = counts->ledger.postings;
    if (result_.postings == 0) failed("no money moved: the run proves less than it says");
  }

  void count() {
    result_.records = audit_.centre.records;
    result_.episodes = audit_.centre.episodes;
    uint64_t wanted = 0;
    for (const Lane& lane : lanes_) wanted += lane.wanted;
    if (audit_.centre.episodes != wanted || audit_.centre.packs != wanted)
      failed("captured " + std::to_string(wanted) + " episodes, the centre has " +
             std::to_string(audit_.centre.episodes) + " with " + std::to_string(audit_.centre.packs) + " datapacks");
    for (const auto& stream : audit_.streams) result_.evictions += stream.chunks_evicted;
    if (result_.evictions == 0) failed("nothing was evicted: the run proves less than it says");
    if (plan_.crash_at != 0 && result_.crashes == 0) failed("the step was never reached");
  }

  void finish() {
    result_.unsynced = fleet_.unsynced_lost();
    result_.trace = fleet_.simulation().trace_hash();
  }

  void failed(const std::string& why) {
    if (result_.failure.empty()) result_.failure = "at " + std::to_string(fleet_.now_ms()) + " ms " + why;
  }

  const CrashPlan& plan_;
  runtime::Rng rng_;
  Armed armed_;
  SimFleet fleet_;
  Work work_;
  std::array<Lane, robots> lanes_;
  bool calm_ = false;
  bool capturing_ = false;
  bool evicting_ = false;
  uint64_t step_ = 0;
  uint64_t second_at_ = 0;
  sync::Audit audit_;
  CrashResult result_;
};

}  // namespace

std::string_view stage_name(Stage stage) noexcept {
  return static_cast<size_t>(stage) < stages ? stage_names[static_cast<size_t>(stage)] : "unknown";
}
std::string_view step_kind_name(StepKind kind) noexcept {
  return static_cast<size_t>(kind) < step_kinds ? kind_names[static_cast<size_t>(kind)] : "unknown";
}

CrashResult play_crash(const CrashPlan& plan, const std::string& folder) {
  std::string own = folder + "/drover-steps-XXXXXX";
  CrashResult result;
  if (::mkdtemp(own.data()) == nullptr) {
    result.failure = "cannot make a folder in " + folder;
    return result;
  }
  {
    CrashStory story(plan, own);
    result = story.run();
  }
  std::error_code ignored;
  std::filesystem::remove_all(own, ignored);
  return result;
}

}  // namespace drover::simulate

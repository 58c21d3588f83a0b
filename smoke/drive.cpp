#include "smoke/drive.hpp"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <thread>

namespace drover::smoke {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr size_t robot_a = 0;
constexpr size_t robot_b = 1;
constexpr size_t robot_c = 2;
constexpr int64_t restart_wait_ms = 10'000;
constexpr double moment_s = 0.02;
constexpr double middle_s = 2;  // of an episode: by then its recording has reached the disk
constexpr size_t moments_max = 20'000;

class Driver {
 public:
  Driver(Fleet& fleet, const Inputs& inputs, const DriveOptions& options, Live& live, Course& course)
      : fleet_(fleet), options_(options), live_(live), course_(course), fed_(robot_count, 0), files_(robot_count) {
    for (const LogFile& file : inputs.files) files_[file.robot].push_back(&file);
  }

  Status run();

 private:
  double now_s() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }
  const FleetView& view() const { return course_.last; }
  bool fed_settled(size_t robot) const { return view().robots[robot].files >= fed_[robot]; }

  void mark(const std::string& what) {
    course_.marks.push_back({now_s(), what});
    live_.note(now_s(), what);
  }

  void look();
  Status wait_for(const std::string& what, const std::function<bool()>& done);
  // Puts the robot's logs up to the n-th into its spool, as a robot does that writes a log and renames it.
  Status feed(size_t robot, size_t upto);
  Status lose_and_revive_robot();
  Status cut_link();
  Status lose_and_revive_coordinator();
  Status drain();
  std::string undrained() const;

  Fleet& fleet_;
  const DriveOptions& options_;
  Live& live_;
  Course& course_;
  Clock::time_point begin_ = Clock::now();
  std::vector<size_t> fed_;
  std::vector<std::vector<const LogFile*>> files_;
};

void Driver::look() {
  fleet_.look(course_.last);
  const double t_s = now_s();
  live_.show(t_s, course_.last);
  const bool due = course_.moments.empty() || t_s - course_.moments.back().t_s >= moment_s;
  if (due && course_.moments.size() < moments_max) course_.moments.push_back({t_s, course_.last});
}

Status Driver::wait_for(const std::string& what, const std::function<bool()>& done) {
  for (;;) {
    look();
    if (done()) return {};
    if (options_.interrupted != nullptr && *options_.interrupted) return fail(Errc::refused, "smoke", "interrupted");
    if (now_s() > options_.deadline_s)
      return fail(Errc::timeout, "smoke", fmt::format("after {:.1f} s still waiting: {}", now_s(), what));
    std::this_thread::sleep_for(4ms);
  }
}

Status Driver::feed(size_t robot, size_t upto) {
  const auto& files = files_[robot];
  for (size_t& i = fed_[robot]; i < std::min(upto, files.size()); ++i) {
    const fs::path to = fs::path(fleet_.spool_of(robot)) / files[i]->name;
    const fs::path part = to.string() + ".part";
    std::error_code failed;
    fs::copy_file(files[i]->path, part, failed);
    if (!failed) fs::rename(part, to, failed);
    if (failed) return fail(Errc::io, to.string(), "cannot copy " + files[i]->path + ": " + failed.message());
  }
  return {};
}

Status Driver::lose_and_revive_robot() {
  const std::string name = fleet_.options().robots[robot_b];
  DROVER_TRY(feed(robot_b, (files_[robot_b].size() + 1) / 2));
  DROVER_TRY(wait_for(name + " to hold records and to be in the middle of an episode", [&] {
    const RobotView& b = view().robots[robot_b];
    return (b.last_seq > 0 || (fed_settled(robot_b) && b.idle)) && (b.acting_s > middle_s || b.body_rests);
  }));
  const RobotView& b = view().robots[robot_b];
  const bool middle = !fed_settled(robot_b) || b.acked_seq < b.last_seq;
  fleet_.kill_robot(robot_b);
  ++course_.kills;
  mark(fmt::format("{} killed {}", name,
                   b.acting_s > 0 ? "in the middle of an episode"
                   : middle       ? "in the middle of its work"
                                  : "(it had just finished a file)"));
  DROVER_TRY(feed(robot_b, files_[robot_b].size()));
  DROVER_TRY(fleet_.start_robot(robot_b, restart_wait_ms));
  mark(name + " started again");
  return wait_for(name + " to be back", [&] { return view().robots[robot_b].up && view().robots[robot_b].link_up; });
}

Status Driver::cut_link() {
  const std::string name = fleet_.options().robots[robot_a];
  DROVER_TRY(wait_for(name + " to have a link", [&] { return view().robots[robot_a].link_up; }));
  const uint64_t links = view().robots[robot_a].links;
  fleet_.cut_link(robot_a);
  ++course_.cuts;
  mark("link of " + name + " cut");
  DROVER_TRY(wait_for(name + " to reconnect",
                      [&] { return view().robots[robot_a].link_up && view().robots[robot_a].links > links; }));
  mark(name + " reconnected");
  return {};
}

Status Driver::lose_and_revive_coordinator() {
  DROVER_TRY(wait_for("the centre to hold something",
                      [&] { return view().episodes > 0 || (fed_settled(robot_a) && fed_settled(robot_b)); }));
  fleet_.kill_coordinator();
  ++course_.coordinator_kills;
  mark("coordinator killed");
  for (const size_t robot : {robot_a, robot_c}) DROVER_TRY(feed(robot, files_[robot].size()));
  DROVER_TRY(wait_for(fleet_.options().robots[robot_a] + " to go on without a centre",
                      [&] { return fed_settled(robot_a) && view().robots[robot_a].idle; }));
  DROVER_TRY(fleet_.start_coordinator(restart_wait_ms));
  mark("coordinator started again");
  return wait_for("all robots to reconnect", [&] {
    for (const RobotView& robot : view().robots)
      if (!robot.link_up) return false;
    return view().centre_up;
  });
}

std::string Driver::undrained() const {
  std::string text;
  const auto add = [&](const std::string& what) { text += (text.empty() ? "" : "; ") + what; };
  for (size_t i = 0; i < view().robots.size(); ++i) {
    const RobotView& robot = view().robots[i];
    const std::string& name = fleet_.options().robots[i];
    if (!robot.up) add(name + " does not answer");
    if (robot.files < fed_[i]) add(fmt::format("{}: {} of {} logs settled", name, robot.files, fed_[i]));
    if (!robot.body_rests) add(fmt::format("{}: {} episodes begun, more to come", name, robot.episodes_begun));
    if (robot.recordings_waiting > 0) add(fmt::format("{}: {} recordings to take", name, robot.recordings_waiting));
    if (robot.acked_seq < robot.last_seq)
      add(fmt::format("{}: {} of {} records acknowledged", name, robot.acked_seq, robot.last_seq));
    if (robot.applied_seq < robot.last_seq)
      add(fmt::format("{}: {} of {} records applied", name, robot.applied_seq, robot.last_seq));
    if (robot.chunks_wanted > 0) add(fmt::format("{}: {} or more chunks wanted", name, robot.chunks_wanted));
    if (robot.blob_backlog_bytes > 0) add(fmt::format("{}: {} chunk bytes to go", name, robot.blob_backlog_bytes));
    if (!robot.alarm.empty()) add(name + ": alarm: " + robot.alarm);
  }
  if (!view().centre_up) add("the coordinator does not answer");
  if (view().chunks_wanted > 0) add(fmt::format("centre: {} chunks missing", view().chunks_wanted));
  return text;
}

Status Driver::drain() {
  mark("all logs handed over, draining");
  const Status drained = wait_for("everything to drain", [&] { return undrained().empty(); });
  course_.drained_s = now_s();
  if (drained) mark("drained");
  if (drained || drained.error().code != Errc::timeout) return drained;
  return fail(Errc::timeout, "smoke", fmt::format("not drained after {:.1f} s: {}", now_s(), undrained()));
}

Status Driver::run() {
  DROVER_TRY(fleet_.start_coordinator());
  for (size_t i = 0; i < robot_count; ++i) DROVER_TRY(fleet_.start_robot(i));
  mark("coordinator and robots started");
  for (const size_t robot : {robot_a, robot_c}) DROVER_TRY(feed(robot, (files_[robot].size() + 1) / 2));
  DROVER_TRY(lose_and_revive_robot());
  DROVER_TRY(cut_link());
  DROVER_TRY(lose_and_revive_coordinator());
  return drain();
}

}  // namespace

Status drive(Fleet& fleet, const Inputs& inputs, const DriveOptions& options, Live& live, Course& course) {
  Driver driver(fleet, inputs, options, live, course);
  const Status status = driver.run();
  live.end();
  return status;
}

}  // namespace drover::smoke

#include "stress/real/world.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

namespace drover::real {
namespace {

namespace fs = std::filesystem;
using crash::Fleet;
using std::chrono::milliseconds;

constexpr uint64_t chunk_backlog_max_bytes = 4u << 20;
// A robot with a new disk takes all files of its spool again: few enough to be through soon after the last fault.
constexpr uint64_t lab_files_max = 60;
constexpr int64_t second_ns = 1'000'000'000;
constexpr uint64_t damage_bytes_min = 128 << 10;  // of a store file, so that there is something to damage

// Everything that waits, waits shortly; little of the bulk is on its way at a time.
constexpr std::string_view tables =
    "[network]\nping_period_ms = 100\nping_timeout_ms = 2000\nbackoff_min_ms = 10\nbackoff_max_ms = 200\n"
    "hello_timeout_ms = 5000\nwrite_queue_bytes = \"16KiB\"\nsend_buffer_bytes = \"32KiB\"\n"
    "[service]\nstop_deadline_ms = 10000\n";

std::string clock_file(const std::string& folder, size_t process) {
  return folder + "/clock-" + std::to_string(process);
}

std::vector<std::string> clock_environment(const WorldOptions& options, size_t process) {
  if (options.clock_shim.empty()) return {};
  return {"LD_PRELOAD=" + options.clock_shim, "DROVER_CLOCK_OFFSET_FILE=" + clock_file(options.folder, process)};
}

uint64_t field_bytes(const std::string& text, const char* name) {
  const size_t at = text.find(name);
  return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at + std::strlen(name), nullptr, 10) << 10;
}

bool log_has(const std::string& file, uint64_t from, std::string_view what) {
  std::ifstream in(file, std::ios::binary);
  in.seekg(static_cast<std::streamoff>(from));
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  return text.find(what) != std::string::npos;
}

}  // namespace

Used used_now(pid_t pid) {
  Used used;
  const std::string folder = "/proc/" + std::to_string(pid);
  std::ifstream in(folder + "/status");
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  used.anonymous_bytes = field_bytes(text, "RssAnon:");
  used.resident_bytes = field_bytes(text, "VmRSS:");
  std::error_code failed;
  for (fs::directory_iterator entry(folder + "/fd", failed), end; !failed && entry != end; entry.increment(failed))
    ++used.descriptors;
  return used;
}

struct World::Attack {
  std::thread thread;
  std::atomic<bool> over{false};
  std::string what;
  Status status;
};

World::World(WorldOptions options) : options_(std::move(options)) {}

World::~World() {
  for (auto& attack : attacks_running_) attack->thread.join();
  fleet_.reset();
  lab_.reset();
  for (int64_t* clock : clocks_) munmap(clock, sizeof *clock);
}

Result<std::unique_ptr<World>> World::create(const WorldOptions& options) {
  std::unique_ptr<World> world(new World(options));
  std::error_code failed;
  fs::create_directories(options.folder, failed);
  if (failed) return fail(Errc::io, options.folder, failed.message());
  DROVER_TRY(world->make_clock_files());
  DROVER_ASSIGN(auto logs, crash::Logs::open("", options.seed, options.episodes));
  world->logs_ = std::make_unique<crash::Logs>(std::move(logs));
  crash::FleetOptions fleet{options.folder + "/fleet", options.drover, options.configs};
  fleet.tables = std::string(tables);
  fleet.environment = [options](size_t process) { return clock_environment(options, process); };
  fleet.dial_port = [&world, options](size_t robot, uint16_t centre) -> Result<uint16_t> {
    DROVER_ASSIGN(auto proxy, Proxy::start(centre, options.link_bytes_per_s, options.seed + robot));
    world->proxies_.push_back(std::move(proxy));
    return world->proxies_.back()->port();
  };
  DROVER_ASSIGN(world->fleet_, Fleet::create(fleet));
  crash::FleetOptions lab{options.folder + "/lab", options.drover, options.configs};
  lab.robots = 1;
  lab.tables = std::string(tables);
  lab.blob_bytes_per_s = 1 << 20;
  // Only the robot's clock jumps: it is the process behind those of the main fleet.
  lab.environment = [options](size_t process) {
    return process == 0 ? clock_environment(options, crash::robots + 1) : std::vector<std::string>();
  };
  DROVER_ASSIGN(world->lab_, Fleet::create(lab));
  const int64_t now_unix_s =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  DROVER_ASSIGN(auto hostile, HostilePeers::create(fleet.folder + "/pki", now_unix_s));
  world->hostile_ = std::make_unique<HostilePeers>(std::move(hostile));
  world->used_most_.resize(world->fleet_->process_count());
  world->trouble_until_.resize(world->fleet_->process_count());
  return world;
}

Status World::make_clock_files() {
  for (size_t i = 0; i < crash::robots + 2; ++i) {
    const std::string path = clock_file(options_.folder, i);
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    void* mapped = fd < 0 || ftruncate(fd, sizeof(int64_t)) != 0
                       ? MAP_FAILED
                       : mmap(nullptr, sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0) close(fd);
    if (mapped == MAP_FAILED) return fail(Errc::io, path, std::strerror(errno));
    clocks_.push_back(static_cast<int64_t*>(mapped));
  }
  return {};
}

void World::set_clock(size_t process, int64_t offset_ns) {
  *static_cast<volatile int64_t*>(clocks_[process]) = offset_ns;
}

Status World::start() {
  DROVER_TRY(feed_all());
  DROVER_TRY(fleet_->start_all());
  return lab_->start_all();
}

// ---- looking after

Status World::turn() {
  const auto now = Clock::now();
  for (size_t i = 0; i < lasting_.size();) {
    if (lasting_[i].end > now) {
      ++i;
      continue;
    }
    const Planned over = lasting_[i].fault;
    lasting_.erase(lasting_.begin() + static_cast<ptrdiff_t>(i));
    DROVER_TRY(end(over));
  }
  DROVER_TRY(keep_running());
  if (now >= next_feed_) {
    next_feed_ = now + feed_period_;
    if (feeding_) DROVER_TRY(feed_all());
  }
  if (now >= next_sample_) {
    next_sample_ = now + milliseconds(200);
    sample();
  }
  return {};
}

Status World::feed_all() {
  fleet_->close_stores();  // a store that was opened before its tables were made would look empty for ever
  for (size_t i = 0; i < fleet_->robot_count(); ++i) DROVER_TRY(feed_one(*fleet_, i));
  lab_->close_stores();
  if (lab_->delivered(0) >= lab_files_max) return {};
  // A damaged store is not looked into.
  const auto fed = feed_one(*lab_, 0);
  lab_->close_stores();
  (void)fed;
  return {};
}

// A file waits, and no more chunks than the link carries in a few seconds.
Status World::feed_one(Fleet& fleet, size_t robot) {
  DROVER_ASSIGN(const uint64_t unsent_bytes, fleet.chunk_backlog_bytes(robot));
  if (unsent_bytes > chunk_backlog_max_bytes) return {};
  DROVER_ASSIGN(const uint64_t waiting, fleet.waiting_files(robot));
  return waiting >= 2 ? Status{} : fleet.deliver(*logs_, robot);
}

// What a service manager does: a daemon that gave up because its disk was full, or that did not start because its
// certificate is not valid by a clock that is far off, is started again. Nothing else may end.
Status World::keep_running() {
  for (size_t i = 0; i < fleet_->process_count(); ++i) {
    crash::Process& process = fleet_->process(i);
    const auto how = process.ended();
    if (!how) continue;
    if (Clock::now() > trouble_until_[i])
      return fail(Errc::internal, process.name(), "ended by itself (" + *how + "); see " + process.log_file());
    ++restarts_;
    std::this_thread::sleep_for(milliseconds(100));
    DROVER_TRY(process.start());
    if (lasts(Fault::full_disk, i)) DROVER_TRY(limit_files(i, true));
  }
  return crash::all_running(*lab_);
}

void World::sample() {
  for (size_t i = 0; i < fleet_->process_count(); ++i) {
    if (fleet_->process(i).pid() < 0) continue;
    const Used now = used_now(fleet_->process(i).pid());
    Used& most = used_most_[i];
    most.anonymous_bytes = std::max(most.anonymous_bytes, now.anonymous_bytes);
    most.resident_bytes = std::max(most.resident_bytes, now.resident_bytes);
    most.descriptors = std::max(most.descriptors, now.descriptors);
  }
}

uint64_t World::wire_bytes() const {
  uint64_t bytes = 0;
  for (const auto& proxy : proxies_) bytes += proxy->bytes_up();
  return bytes;
}

bool World::lasts(Fault kind, size_t target) const {
  return std::any_of(lasting_.begin(), lasting_.end(),
                     [&](const Lasting& one) { return one.fault.fault == kind && one.fault.target == target; });
}

// ---- faults

Status World::begin(const Planned& fault) {
  Count& count = counts_[static_cast<size_t>(fault.fault)];
  const auto backlog = fleet_->backlog();
  fleet_->close_stores();
  if (options_.verbose)
    std::printf("%-16s target %u for %u ms, draw %016llx\n", std::string(fault_name(fault.fault)).c_str(), fault.target,
                fault.duration_ms, static_cast<unsigned long long>(fault.draw));
  if (fault.fault == Fault::clock_jump && options_.clock_shim.empty()) {
    ++count.skipped;
    count.why_skipped = "the library for clocks is not there";
    return {};
  }
  ++count.done;
  if (!backlog || backlog->moving()) ++count.met_work;
  if (fault.duration_ms > 0) lasting_.push_back({fault, Clock::now() + milliseconds(fault.duration_ms)});
  switch (fault.fault) {
    case Fault::kill:
      return kill(fault);
    case Fault::pause:
      fleet_->process(fault.target).signal(SIGSTOP);
      return {};
    case Fault::reset:
      proxies_[fault.target]->reset();
      return {};
    case Fault::partition:
      proxies_[fault.target]->set({0, 0, fault.draw % 3 != 1, fault.draw % 3 != 2});
      return {};
    case Fault::bad_line:
      proxies_[fault.target]->set(
          {5 + static_cast<uint32_t>(fault.draw % 95), static_cast<uint32_t>(fault.draw / 100 % 50), false, false});
      return {};
    case Fault::full_disk:
      return limit_files(fault.target, true);
    case Fault::clock_jump: {
      // A second to a day, either way.
      constexpr std::array<int64_t, 4> jumps_s = {1, 90, 3'600, 80'000};
      const int64_t jump_s = jumps_s[fault.draw % jumps_s.size()];
      trouble_until_[fault.target] = Clock::now() + milliseconds(fault.duration_ms) + std::chrono::seconds(3);
      set_clock(fault.target, (fault.draw / 8 % 2 == 0 ? jump_s : -jump_s) * second_ns);
      return {};
    }
    case Fault::damage:
      return damage_and_reimage(fault);
    case Fault::garbage:
    case Fault::certificate:
      break;
  }
  auto attack = std::make_unique<Attack>();
  attack->thread = std::thread([one = attack.get(), fault, hostile = hostile_.get(), port = fleet_->port()] {
    if (fault.fault == Fault::garbage) {
      one->what = hostile->garbage(port, fault.draw);
    } else {
      auto what = hostile->bad_certificate(port, fault.draw);
      if (what)
        one->what = *what;
      else
        one->status = tl::unexpected(what.error());
    }
    one->over = true;
  });
  attacks_running_.push_back(std::move(attack));
  return {};
}

Status World::end(const Planned& fault) {
  switch (fault.fault) {
    case Fault::pause:
      if (!lasts(Fault::pause, fault.target)) fleet_->process(fault.target).signal(SIGCONT);
      return {};
    case Fault::partition:
    case Fault::bad_line:
      proxies_[fault.target]->set({});
      return {};
    case Fault::full_disk:
      return lasts(Fault::full_disk, fault.target) ? Status{} : limit_files(fault.target, false);
    case Fault::clock_jump:
      set_clock(fault.target, 0);
      return {};
    default:
      return {};
  }
}

Status World::heal() {
  std::vector<Lasting> all;
  all.swap(lasting_);
  for (const Lasting& one : all) DROVER_TRY(end(one.fault));
  return {};
}

Status World::kill(const Planned& fault) {
  fleet_->process(fault.target).kill();
  DROVER_TRY(fleet_->process(fault.target).start());
  return lasts(Fault::full_disk, fault.target) ? limit_files(fault.target, true) : Status{};
}

// A limit on the size of files that is what the store has now: every write behind its end fails, as on a full disk.
Status World::limit_files(size_t process, bool on) {
  crash::Process& daemon = fleet_->process(process);
  const auto folders = fleet_->folders();
  const fs::path store = process < fleet_->robot_count() ? folders.robots[process] : folders.centre;
  uint64_t largest_bytes = 4096;
  std::error_code failed;
  for (const auto& entry : fs::recursive_directory_iterator(store, failed))
    if (entry.path().filename() == "data.mdb")
      largest_bytes = std::max(largest_bytes, uint64_t{entry.file_size(failed)});
  rlimit limit{RLIM_INFINITY, RLIM_INFINITY};
  if (on) limit.rlim_cur = largest_bytes;
  trouble_until_[process] = Clock::now() + std::chrono::seconds(on ? 60 : 3);
  if (daemon.pid() > 0 && prlimit(daemon.pid(), RLIMIT_FSIZE, &limit, nullptr) != 0)
    return fail(Errc::io, daemon.name(), std::string("prlimit: ") + std::strerror(errno));
  return {};
}

// ---- the lab

// Overwrites 16 bytes in some places of the lab robot's stopped store and starts the robot: true when it refused, with
// an error that names the file. False: the places were of no use to the store.
Result<bool> World::damage_detected(uint64_t draw, int places) {
  auto rng = runtime::Rng::stream(draw, "damage");
  const std::string store = lab_->folders().robots.front();
  const std::string file = store + "/data.mdb";
  crash::Process& robot = lab_->process(0);
  std::error_code failed;
  const uint64_t size = fs::file_size(file, failed);
  if (failed || size < damage_bytes_min) return fail(Errc::not_found, file, "is not there, or has nothing to damage");
  std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
  for (int place = 0; place < places; ++place) {
    const uint64_t at = 8192 + rng.below(size - 8192 - 16);
    std::array<char, 16> noise{};
    for (char& c : noise) c = static_cast<char>(rng.next());
    out.seekp(static_cast<std::streamoff>(at));
    out.write(noise.data(), noise.size());
  }
  out.close();
  if (!out) return fail(Errc::io, file, "cannot be damaged");
  const uint64_t log_end = fs::file_size(robot.log_file(), failed);
  DROVER_TRY(robot.start());
  const auto end = Clock::now() + std::chrono::seconds(20);
  while (Clock::now() < end) {
    if (const auto how = robot.ended()) {
      if (*how == "exit code 0") return fail(Errc::internal, robot.name(), "ended well on a damaged store");
      if (!how->starts_with("exit code")) return fail(Errc::internal, robot.name(), "damage ended it by " + *how);
      if (!log_has(robot.log_file(), log_end, "data.mdb") && !log_has(robot.log_file(), log_end, "corrupt"))
        return fail(Errc::internal, robot.name(), "refused a damaged store and does not say so");
      return true;
    }
    if (log_has(robot.log_file(), log_end, "robot.store robot=")) return false;  // verified: it starts
    std::this_thread::sleep_for(milliseconds(5));
  }
  return fail(Errc::timeout, robot.name(), "neither starts nor refuses");
}

// A robot that was re-imaged a moment ago has to found its store first.
Status World::wait_for_size(const std::string& file) {
  const auto end = Clock::now() + std::chrono::seconds(30);
  std::error_code failed;
  for (;;) {
    const uint64_t size = fs::file_size(file, failed);
    if (!failed && size >= damage_bytes_min) return {};
    DROVER_TRY(crash::all_running(*lab_));
    if (Clock::now() > end) return fail(Errc::timeout, file, "is not written");
    std::this_thread::sleep_for(milliseconds(10));
  }
}

Status World::damage_and_reimage(const Planned& fault) {
  crash::Process& robot = lab_->process(0);
  lab_->close_stores();
  DROVER_TRY(wait_for_size(lab_->folders().robots.front() + "/data.mdb"));
  uint64_t draw = fault.draw;
  for (int tries = 0;; ++tries) {
    robot.kill();
    // A store whose records were all acknowledged is mostly free pages: more places with every try.
    DROVER_ASSIGN(const bool detected, damage_detected(++draw, 1 + tries));
    if (detected) break;
    if (tries == 200) return fail(Errc::internal, "damage", "200 damages were not noticed");
  }
  // The operator puts in a new disk. A robot's clock may be anything after that.
  const std::string store = lab_->folders().robots.front();
  std::error_code failed;
  fs::rename(store, store + ".damaged-" + std::to_string(reimaged_++), failed);
  if (failed) return fail(Errc::io, store, failed.message());
  if (!options_.clock_shim.empty()) set_clock(crash::robots + 1, fault.draw % 2 == 0 ? 0 : -3600 * second_ns);
  return robot.start();
}

// A full disk must be told as an error, a certificate that is not valid by the clock, and by the robot of the lab a
// damaged store; nothing else.
Status World::no_unexpected_errors() {
  using Words = std::vector<std::string_view>;
  const auto look = [](crash::Process& process, const Words& allowed) -> Status {
    std::ifstream log(process.log_file());
    for (std::string line; std::getline(log, line);) {
      const size_t space = line.find(' ');
      if (space == std::string::npos || line.compare(space + 1, 6, "error ") != 0) continue;
      if (std::none_of(allowed.begin(), allowed.end(), [&](auto words) { return line.find(words) != line.npos; }))
        return fail(Errc::internal, process.log_file(), line);
    }
    return {};
  };
  for (size_t i = 0; i < fleet_->process_count(); ++i) {
    DROVER_TRY(look(fleet_->process(i), {"disk_full", "certificate is not yet valid", "certificate has expired"}));
  }
  DROVER_TRY(look(lab_->process(0), {"service.start_failed reason=\"corrupt"}));
  return look(lab_->process(1), {});
}

Status World::join_attacks() {
  Status first;
  for (auto& attack : attacks_running_) {
    attack->thread.join();
    if (!attack->status && first) first = attack->status;
    if (attack->status) ++attacks_[attack->what];
  }
  attacks_running_.clear();
  return first;
}

}  // namespace drover::real

// World: the fleets under test, what can be done to them, and what is watched meanwhile.
//
// The main fleet (three robots, each behind a proxy of its own) must lose nothing. The lab (one robot) has its stores
// damaged, and is re-imaged: what its old disks held alone is gone, and everything else must still add up.
#pragma once

#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "actors/runtime/rng.hpp"
#include "stress/crash/checks.hpp"
#include "stress/crash/fleet.hpp"
#include "stress/real/hostile.hpp"
#include "stress/real/proxy.hpp"
#include "stress/real/schedule.hpp"

namespace drover::real {

using Clock = std::chrono::steady_clock;

struct WorldOptions {
  std::string folder;
  std::string drover;
  std::string configs;
  std::string clock_shim;  // the library; empty: clocks do not jump
  uint64_t seed = 0;
  uint64_t link_bytes_per_s = 1 << 20;  // of each robot
  uint32_t episodes = 60;               // of each log
  bool verbose = false;
};

// What a process needed at most, from /proc.
struct Used {
  uint64_t anonymous_bytes = 0;  // memory of its own: what a cap is about
  uint64_t resident_bytes = 0;   // and pages of its stores, which the system may take back
  uint32_t descriptors = 0;
};
Used used_now(pid_t pid);

// How often a fault was done, and how often it met work in motion.
struct Count {
  uint32_t done = 0;
  uint32_t met_work = 0;
  uint32_t skipped = 0;
  std::string why_skipped;
};

class World {
 public:
  static Result<std::unique_ptr<World>> create(const WorldOptions& options);
  ~World();

  Status start();
  // Looks after everything for a moment: feeds, ends faults whose time is over, samples. Call it every 20 ms or so.
  Status turn();
  Status begin(const Planned& fault);
  // Ends every fault that still lasts.
  Status heal();

  crash::Fleet& fleet() { return *fleet_; }
  crash::Fleet& lab() { return *lab_; }
  const crash::Logs& logs() const { return *logs_; }
  Proxy& proxy(size_t robot) { return *proxies_[robot]; }
  void feed(bool on) { feeding_ = on; }
  // How often robots are looked after: at most one file each time. 100 ms keeps all of them at work all the time.
  void feed_every(std::chrono::milliseconds period) { feed_period_ = period; }
  // Bytes that robots have sent over their links so far.
  uint64_t wire_bytes() const;
  const std::array<Count, fault_count>& counts() const { return counts_; }
  const std::map<std::string, uint32_t>& attacks() const { return attacks_; }
  // By process of the main fleet; the most seen since start.
  const std::vector<Used>& used_most() const { return used_most_; }
  uint32_t restarts() const { return restarts_; }  // of daemons that ended while a disk was full or a clock far off
  uint32_t reimaged() const { return reimaged_; }
  // Error: a process has logged that a human must act, and no full disk was the reason.
  Status no_unexpected_errors();
  // Waits for attacks that still run. Error: the first of them that found something wrong.
  Status join_attacks();

 private:
  struct Lasting {
    Planned fault;
    Clock::time_point end;
  };
  struct Attack;
  explicit World(WorldOptions options);
  Status make_clock_files();
  void set_clock(size_t process, int64_t offset_ns);
  Status feed_all();
  Status feed_one(crash::Fleet& fleet, size_t robot);
  Status keep_running();
  void sample();
  Status end(const Planned& fault);
  Status kill(const Planned& fault);
  Status limit_files(size_t process, bool on);
  Status damage_and_reimage(const Planned& fault);
  Status wait_for_size(const std::string& file);
  Result<bool> damage_detected(uint64_t draw, int places);
  bool lasts(Fault kind, size_t target) const;

  WorldOptions options_;
  std::unique_ptr<crash::Logs> logs_;
  std::vector<std::unique_ptr<Proxy>> proxies_;
  std::unique_ptr<crash::Fleet> fleet_, lab_;
  std::unique_ptr<HostilePeers> hostile_;
  std::vector<int64_t*> clocks_;  // mapped: the offsets of the main fleet's processes, then the lab robot's
  std::vector<Lasting> lasting_;
  std::vector<std::unique_ptr<Attack>> attacks_running_;
  std::map<std::string, uint32_t> attacks_;
  std::array<Count, fault_count> counts_{};
  std::vector<Used> used_most_;
  Clock::time_point next_feed_{}, next_sample_{};
  std::vector<Clock::time_point> trouble_until_;  // by process: ending by itself is allowed
  bool feeding_ = true;
  std::chrono::milliseconds feed_period_{100};
  uint32_t restarts_ = 0;
  uint32_t reimaged_ = 0;
};

}  // namespace drover::real

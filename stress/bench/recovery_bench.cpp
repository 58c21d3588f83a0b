// Recovery: how long a store takes to open after the process that was writing it was killed. The writer is this program
// in a hidden role (--fill), killed in the middle of its stream of synced commits.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actors/sync/central_store.hpp"
#include "actors/sync/robot_store.hpp"
#include "net_fleet.hpp"

namespace drover::bench {

namespace {

constexpr uint64_t group = 2'000;
constexpr size_t record_bytes = 400;

sync::RobotStoreOptions robot_options(const std::string& dir) {
  sync::RobotStoreOptions options;
  options.path = dir;
  options.robot = "robot-0";
  options.incarnation = 1;
  return options;
}

sync::CentralStoreOptions centre_options(const std::string& dir) {
  sync::CentralStoreOptions options;
  options.path = dir;
  return options;
}

// Tells the parent how many records are on disk: one number per line.
void tell(uint64_t records) {
  const std::string line = std::to_string(records) + "\n";
  if (::write(1, line.data(), line.size()) < 0) ::_exit(0);
}

void fill_robot(const std::string& dir) {
  auto store = must(sync::RobotStore::open(robot_options(dir)));
  for (uint64_t seq = 0;;) {
    sync::StoreCapture capture;
    for (uint64_t i = 0; i < group; ++i)
      capture.records.push_back({RecordKind::event, 1, event_of_size(record_bytes, ++seq)});
    must(store.store(capture, 1));
    tell(seq);
  }
}

void fill_centre(const std::string& dir) {
  auto store = must(sync::CentralStore::open(centre_options(dir)));
  BlockBuilder builder(1);
  for (uint64_t seq = 0;;) {
    for (uint64_t i = 0; i < group; ++i) must(builder.add(RecordKind::event, 1, 1, event_of_size(record_bytes, ++seq)));
    const storage::Incoming incoming{"robot-0", 1, must(Block::parse(builder.finish())), 1};
    must(store->append(std::span(&incoming, 1)));
    must(store->apply({"robot-0", 1}, 4u << 20, {}));
    tell(seq);
  }
}

// Runs the writer until it has written so many records, then kills it. Returns how many it had told of.
uint64_t fill_and_kill(const Settings& settings, const std::string& kind, const std::string& dir, uint64_t records) {
  int ends[2];
  DROVER_CHECK(::pipe2(ends, O_CLOEXEC) == 0, "pipe");
  const std::string program = (settings.programs / "drover-bench").string();
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], 1);
    ::execl(program.c_str(), "drover-bench", "--fill", kind.c_str(), dir.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  ::close(ends[1]);
  FILE* lines = ::fdopen(ends[0], "r");
  unsigned long long told = 0, last = 0;
  while (last < records && std::fscanf(lines, "%llu", &told) == 1) last = told;
  ::kill(child, SIGKILL);
  while (std::fscanf(lines, "%llu", &told) == 1) last = told;
  std::fclose(lines);
  ::waitpid(child, nullptr, 0);
  DROVER_CHECK(last >= records, "the writer of the recovery benchmark ended early");
  return last;
}

void recover_robot(Report& report, const Settings& settings, uint64_t records) {
  const auto dir = fresh_folder(settings, "recovery").string();
  const uint64_t told = fill_and_kill(settings, "robot", dir, records);
  const auto began = Clock::now();
  const auto store = must(sync::RobotStore::open(robot_options(dir)));
  const auto facts = must(store.facts());
  const double ms = seconds_since(began) * 1e3;
  DROVER_CHECK(facts.last_seq >= told, "a record that was reported as stored is gone");
  report.add("robot store opens after kill -9, all pages checked, " + std::to_string(facts.last_seq) + " records",
             synced, ms, "ms", std::to_string(must(store.env().facts()).file_bytes >> 20) + " MiB file");
}

void recover_centre(Report& report, const Settings& settings, uint64_t records) {
  const auto dir = fresh_folder(settings, "recovery").string();
  const uint64_t told = fill_and_kill(settings, "centre", dir, records);
  const auto began = Clock::now();
  const auto store = must(sync::CentralStore::open(centre_options(dir)));
  const auto stream = must(store->open_stream({"robot-0", 1}, 1));
  const double ms = seconds_since(began) * 1e3;
  DROVER_CHECK(stream.durable_seq >= told, "a record that was reported as stored is gone");
  report.add(
      "coordinator store opens after kill -9, all pages checked, " + std::to_string(stream.durable_seq) + " records",
      synced, ms, "ms");
}

}  // namespace

int fill_until_killed(const std::string& kind, const std::string& dir) {
  if (kind == "robot") fill_robot(dir);
  if (kind == "centre") fill_centre(dir);
  return 2;
}

void bench_recovery(Report& report, const Settings& settings) {
  report.group("recovery: reopening a store after kill -9 of its writer");
  const uint64_t records = settings.quick ? 50'000 : 200'000;
  recover_robot(report, settings, records);
  recover_centre(report, settings, records);
  std::filesystem::remove_all(settings.dir / "recovery");
}

}  // namespace drover::bench

// The testers' own parts: the disk that loses what was not synced, crash points that repeat, models that are quiet
// about sound code, and switches that are off.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "stress/selftest/bugs.hpp"
#include "stress/sim/armed.hpp"
#include "stress/sim/faulty_disk.hpp"
#include "stress/sim/story.hpp"
#include "stress/steps/crash_story.hpp"

using namespace drover;
using namespace drover::simulate;

namespace {

struct Folder {
  std::string path = (std::filesystem::temp_directory_path() / "drover-stress-XXXXXX").string();
  Folder() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~Folder() { std::filesystem::remove_all(path); }
};

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void write_at(int fd, const std::string& text, off_t offset) {
  REQUIRE(::pwrite(fd, text.data(), text.size(), offset) == static_cast<ssize_t>(text.size()));
}

struct File {
  Folder folder;
  FaultyDisk disk;
  std::string path = folder.path + "/file";
  int fd = -1;
  File() {
    disk.mount(folder.path, 1);
    fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    write_at(fd, std::string(2048, 'a'), 0);
    REQUIRE(::fdatasync(fd) == 0);
  }
  ~File() { ::close(fd); }
};

}  // namespace

TEST_CASE("stress/faulty_disk: what was synced stays, the rest goes as the loss says") {
  File f;
  auto rng = runtime::Rng::stream(1, "test");
  write_at(f.fd, std::string(1024, 'b'), 512);
  write_at(f.fd, std::string(512, 'c'), 2048);
  f.disk.power_off(1);
  write_at(f.fd, "after death", 0);
  SUBCASE("dropped") {
    CHECK(f.disk.power_on(1, Loss::dropped, rng) == 2);
    CHECK(content(f.path) == std::string(2048, 'a'));
  }
  SUBCASE("kept") {
    CHECK(f.disk.power_on(1, Loss::kept, rng) == 2);
    CHECK(content(f.path) ==
          std::string(512, 'a') + std::string(1024, 'b') + std::string(512, 'a') + std::string(512, 'c'));
  }
  SUBCASE("torn: sectors are old or new, never mixed, and both occur") {
    bool mixed = false;
    f.disk.power_on(1, Loss::torn, rng);
    for (int i = 0; i < 20; ++i) {
      write_at(f.fd, std::string(1024, 'a'), 512);
      REQUIRE(::fdatasync(f.fd) == 0);
      write_at(f.fd, std::string(1024, 'b'), 512);
      f.disk.power_off(1);
      f.disk.power_on(1, Loss::torn, rng);
      const std::string now = content(f.path).substr(512, 1024);
      for (const auto& sector : {now.substr(0, 512), now.substr(512)})
        CHECK((sector == std::string(512, 'a') || sector == std::string(512, 'b')));
      mixed |= now[0] != now[512];
    }
    CHECK(mixed);
  }
}

TEST_CASE("stress/faulty_disk: the watch refuses, or takes the power at an operation, which then may be lost") {
  File f;
  auto rng = runtime::Rng::stream(1, "test");
  Verdict next;
  f.disk.set_watch([&](const DiskOp& op) {
    CHECK(op.node == 1);
    return next;
  });
  next = {Verdict::refuse, ENOSPC};
  CHECK(::pwrite(f.fd, "x", 1, 0) == -1);
  CHECK(errno == ENOSPC);
  CHECK(content(f.path) == std::string(2048, 'a'));
  next = {Verdict::power_off, 0};
  CHECK(::pwrite(f.fd, "x", 1, 0) == 1);  // the process does not know
  CHECK(f.disk.off(1));
  f.disk.power_on(1, Loss::dropped, rng);
  CHECK(content(f.path) == std::string(2048, 'a'));
  CHECK(::fdatasync(f.fd) == 0);  // a sync during which the power goes has synced nothing
  CHECK(f.disk.off(1));
}

TEST_CASE("stress/steps: a crash point repeats, and another seed is another run") {
  Folder folder;
  const CrashResult calm = play_crash({.seed = 3}, folder.path);
  CHECK(calm.failure == "");
  CHECK(calm.steps.size() > 200);
  const CrashPlan plan{.seed = 3, .crash_at = calm.steps.size() / 2, .loss = Loss::torn};
  const CrashResult once = play_crash(plan, folder.path);
  const CrashResult again = play_crash(plan, folder.path);
  CHECK(once.failure == "");
  CHECK(once.crashes >= 1);
  CHECK(once.trace == again.trace);
  CHECK(once.trace != calm.trace);
  CHECK(play_crash({.seed = 4}, folder.path).trace != calm.trace);
}

TEST_CASE("stress/sim: the same seed is the same run, power losses and all") {
  Folder folder;
  StoryPlan plan;
  plan.seed = 5;
  plan.faults.duration_ms = 60'000;
  plan.twin = false;
  const auto faults = draw_faults(plan.seed, plan.faults);
  const StoryResult once = play(plan, faults, folder.path);
  const StoryResult again = play(plan, faults, folder.path);
  CHECK(once.failure == "");
  CHECK(once.trace == again.trace);
  CHECK(once.end == again.end);
}

TEST_CASE("stress/selftest: every bug of a model is found, and models are quiet about sound code") {
  Folder folder;
  for (const SeededBug& bug : seeded_bugs()) {
    if (bug.hunt == Hunt::sim || bug.hunt == Hunt::steps) continue;
    CAPTURE(bug.name);
    bool found = false;
    for (uint64_t seed = 1; seed <= 60 && !found; ++seed)
      found = !hunt(bug.hunt, bug.bug, seed, folder.path).found.empty();
    CHECK(found);
  }
  for (const Hunt which : {Hunt::stores, Hunt::runtime, Hunt::spool, Hunt::audit})
    for (uint64_t seed = 1; seed <= 10; ++seed) CHECK(hunt(which, buggify::Bug::none, seed, folder.path).found == "");
}

TEST_CASE("stress/buggify: switches are off unless a tester has them on") {
  CHECK_FALSE(buggify::bug(buggify::Bug::evict_unacked));
  {
    const Armed armed({.seed = 1, .bug = buggify::Bug::evict_unacked});
    CHECK(buggify::bug(buggify::Bug::evict_unacked));
    CHECK_FALSE(buggify::bug(buggify::Bug::gap_accepted));
    CHECK(armed.switches().bug_reached == 1);
  }
  CHECK_FALSE(buggify::bug(buggify::Bug::evict_unacked));
  for (size_t site = 0; site < buggify::sites; ++site) CHECK_FALSE(buggify::fire(static_cast<buggify::Site>(site)));
}

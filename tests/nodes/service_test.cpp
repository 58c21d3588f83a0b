// Service: what the service manager hears, what signals do, and how a daemon ends.
#include "nodes/service.hpp"

#include <doctest/doctest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "nodes/commands/daemon.hpp"
#include "tests/nodes/temp.hpp"

using namespace drover;
using namespace drover::nodes;
using drover::test::TempDir;

namespace {

// The manager's end of $NOTIFY_SOCKET.
class Manager {
 public:
  explicit Manager(std::string name) : name_(std::move(name)), fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::memcpy(at.sun_path, name_.data(), name_.size());
    if (name_[0] == '@') at.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size());
    REQUIRE(bind(fd_, reinterpret_cast<sockaddr*>(&at), size) == 0);
  }
  ~Manager() { close(fd_); }
  const std::string& name() const { return name_; }
  // The next message, or "" when none comes before the deadline (a failure, never waited for in a good run).
  std::string next(int deadline_ms = 20'000) {
    pollfd at{fd_, POLLIN, 0};
    if (poll(&at, 1, deadline_ms) != 1) return "";
    char text[4096];
    const ssize_t size = recv(fd_, text, sizeof text, 0);
    return std::string(text, size > 0 ? static_cast<size_t>(size) : 0);
  }

 private:
  std::string name_;
  int fd_;
};

// Keeps the test process's own signal mask and SIGPIPE as they were.
class SignalsAsBefore {
 public:
  SignalsAsBefore() {
    pthread_sigmask(SIG_SETMASK, nullptr, &mask_);
    sigaction(SIGPIPE, nullptr, &pipe_);
  }
  ~SignalsAsBefore() {
    pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
    sigaction(SIGPIPE, &pipe_, nullptr);
  }

 private:
  sigset_t mask_;
  struct sigaction pipe_;
};

struct Harness {
  SignalsAsBefore signals;
  runtime::SystemClock clock;
  std::vector<std::string> lines;
  LogOptions options() {
    LogOptions out;
    out.to = [this](std::string_view line) { lines.emplace_back(line); };
    return out;
  }
  Log log{clock, options()};
  std::unique_ptr<Service> service(ServiceOptions options = {}, Notifier notifier = Notifier("", 0)) {
    auto made = Service::create(options, clock, log, std::move(notifier));
    REQUIRE(made);
    return std::move(*made);
  }
};

// Runs `body` in a child process and returns its exit code, or -1 if a signal ended it.
template <class Body>
int exit_code_of(Body body) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) std::_Exit(body());
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("nodes/service: messages reach a manager's socket, by path and by abstract name") {
  const TempDir dir;
  for (const std::string& name : {dir.file("notify"), "@drover-test-" + std::to_string(getpid())}) {
    Manager manager(name);
    Notifier notifier(name, 0);
    CHECK(notifier.active());
    notifier.ready("3 robots");
    CHECK(manager.next() == "READY=1\nSTATUS=3 robots\nMAINPID=" + std::to_string(getpid()));
    notifier.status("line\nREADY=0");
    CHECK(manager.next() == "STATUS=line READY=0");
    notifier.watchdog();
    CHECK(manager.next() == "WATCHDOG=1");
    notifier.reloading(runtime::ManualClock());
    CHECK(manager.next() == "RELOADING=1\nMONOTONIC_USEC=0");
    notifier.stopping("bye");
    CHECK(manager.next() == "STOPPING=1\nSTATUS=bye");
  }
}

TEST_CASE("nodes/service: without a manager, with a bad or dead socket, nothing happens") {
  for (const std::string& name :
       {std::string(), std::string("relative"), std::string("@"), "/" + std::string(200, 'x')}) {
    Notifier notifier(name, 1000);
    CHECK(!notifier.active());
    CHECK(notifier.watchdog_ms() == 0);
    notifier.ready("x");
  }
  Notifier dead("/nonexistent/socket", 1000);
  dead.ready("x");
  CHECK(dead.watchdog_ms() == 1000);
}

TEST_CASE("nodes/service: SIGTERM begins the clean stop and the loop ends when the node says so") {
  Harness harness;
  const TempDir dir;
  Manager manager(dir.file("notify"));
  auto service = harness.service({}, Notifier(manager.name(), 0));
  int stops = 0;
  raise(SIGTERM);
  const ExitCode code = service->run({.stop = [&] {
    ++stops;
    service->finished(exit_ok, "done");
    service->finished(exit_gave_up, "too late to count");
  }});
  CHECK(code == exit_ok);
  CHECK(stops == 1);
  CHECK(manager.next().starts_with("READY=1"));
  CHECK(manager.next().starts_with("STOPPING=1"));
  CHECK(harness.log.errors() == 0);
}

TEST_CASE("nodes/service: SIGHUP reloads and goes on") {
  Harness harness;
  const TempDir dir;
  Manager manager(dir.file("notify"));
  auto service = harness.service({}, Notifier(manager.name(), 0));
  int reloads = 0;
  raise(SIGHUP);
  const ExitCode code = service->run({.stop = [&] { service->finished(exit_ok, "done"); },
                                      .reload =
                                          [&] {
                                            ++reloads;
                                            service->request_stop();
                                          }});
  CHECK(code == exit_ok);
  CHECK(reloads == 1);
  CHECK(manager.next().starts_with("READY=1"));
  CHECK(manager.next().starts_with("RELOADING=1"));
  CHECK(manager.next().starts_with("READY=1"));
  CHECK(manager.next().starts_with("STOPPING=1"));
}

TEST_CASE("nodes/service: a supervisor that gives up ends the node with its code and an error") {
  Harness harness;
  auto service = harness.service();
  service->finished(exit_gave_up, "store failed 5 times in 10 s");
  CHECK(service->run({.stop = [] {}}) == exit_gave_up);
  CHECK(harness.log.errors() == 1);
  CHECK(harness.lines.back().find("reason=\"store failed 5 times in 10 s\"") != std::string::npos);
}

TEST_CASE("nodes/service: a stop that hangs is cut short at its deadline") {
  CHECK(exit_code_of([] {
          Harness harness;
          auto service = harness.service({.stop_deadline_ms = 30, .status_period_ms = 1000});
          raise(SIGTERM);
          return static_cast<int>(service->run({.stop = [] {}}));
        }) == exit_stop_deadline);
}

TEST_CASE("nodes/service: a second SIGINT ends the process at once") {
  CHECK(exit_code_of([] {
          Harness harness;
          auto service = harness.service();
          raise(SIGINT);
          return static_cast<int>(service->run({.stop = [] { raise(SIGINT); }}));
        }) == exit_interrupted);
}

TEST_CASE("nodes/service: the watchdog is fed while the node is healthy and withheld when it is not") {
  Harness harness;
  const TempDir dir;
  Manager manager(dir.file("notify"));
  auto service = harness.service({}, Notifier(manager.name(), 3));
  int asked = 0;
  const ServiceHooks hooks{.stop = [&] { service->finished(exit_ok, "done"); },
                           .healthy =
                               [&] {
                                 if (++asked == 3) service->request_stop();
                                 return asked == 2;
                               },
                           .status = [] { return std::string("fine"); }};
  CHECK(service->run(hooks) == exit_ok);
  std::vector<std::string> heard;
  for (std::string text = manager.next(); !text.starts_with("STOPPING"); text = manager.next()) {
    REQUIRE(!text.empty());
    heard.push_back(text);
  }
  CHECK(std::count(heard.begin(), heard.end(), "WATCHDOG=1") == 1);
  CHECK(std::count(heard.begin(), heard.end(), "STATUS=fine") == 1);
}

TEST_CASE("nodes/service: one daemon per folder, and the second learns who has it") {
  const TempDir dir;
  auto first = InstanceLock::acquire(dir.file("lock"));
  REQUIRE(first);
  const auto second = InstanceLock::acquire(dir.file("lock"));
  REQUIRE(!second);
  CHECK(second.error().code == Errc::conflict);
  CHECK(second.error().what.find("pid " + std::to_string(getpid())) != std::string::npos);
  { const auto release = std::move(first); }
  CHECK(InstanceLock::acquire(dir.file("lock")));
  CHECK(!InstanceLock::acquire(dir.file("no/such/folder")));
}

TEST_CASE("nodes/daemon: loads its configuration, becomes ready, stops on SIGTERM, and logs what is in force") {
  const TempDir dir;
  Manager manager(dir.file("notify"));
  const std::string config =
      dir.write("robot.toml", "[node]\nid = \"r1\"\nseed = 5\n[store]\ndir = \"s\"\n[log]\nformat = \"text\"\n");
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    setenv("NOTIFY_SOCKET", manager.name().c_str(), 1);
    if (freopen(dir.file("log").c_str(), "w", stderr) == nullptr) std::_Exit(99);
    std::_Exit(daemon_command<RobotConfig>(
        "robot", {"--config", config}, [](const RobotConfig& loaded, DaemonContext& context) -> Result<ServiceHooks> {
          context.log.event(LogLevel::info, "test.started", {{"store", loaded.store.dir}, {"seed", context.seed}});
          return ServiceHooks{.stop = [&context] { context.service.finished(exit_ok, "clean"); }};
        }));
  }
  CHECK(manager.next().starts_with("READY=1"));
  CHECK(kill(child, SIGTERM) == 0);
  std::string heard = manager.next();
  while (!heard.empty() && !heard.starts_with("STOPPING=1")) heard = manager.next();
  CHECK(heard.starts_with("STOPPING=1"));
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == exit_ok);
  const std::string log = drover::test::read_text(dir.file("log"));
  CHECK(log.find("info config.effective file=") != std::string::npos);
  CHECK(log.find(" node.id=r1 node.seed=5 store.dir=" + dir.file("s") + " ") != std::string::npos);
  CHECK(log.find("info test.started store=" + dir.file("s") + " seed=5\n") != std::string::npos);
  CHECK(log.find("info service.stopped code=0 reason=clean\n") != std::string::npos);
}

TEST_CASE("nodes/daemon: a wrong configuration and a failed start have their own exit codes") {
  const TempDir dir;
  const std::string bad = dir.write("bad.toml", "[node]\nid = \"r1\"\n");
  const std::string good = dir.write("good.toml", "[node]\nid = \"r1\"\n[store]\ndir = \"s\"\n");
  const auto run = [&](const Arguments& arguments) {
    return exit_code_of([&] {
      if (freopen(dir.file("log").c_str(), "w", stderr) == nullptr) return 99;
      return daemon_command<RobotConfig>("robot", arguments,
                                         [](const RobotConfig&, DaemonContext&) -> Result<ServiceHooks> {
                                           return fail(Errc::conflict, "store", "locked by pid 7");
                                         });
    });
  };
  CHECK(run({"--config", bad}) == exit_config);
  CHECK(run({"--config", good}) == exit_start);
  CHECK(drover::test::read_text(dir.file("log"))
            .find("error service.start_failed reason=\"conflict: store: locked by "
                  "pid 7\"") != std::string::npos);
  CHECK(run({"--config", good, "--check"}) == exit_ok);
  CHECK(run({"--bogus"}) == exit_usage);
  CHECK(run({}) == exit_usage);
}

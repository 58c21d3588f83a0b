// The daemons as a service manager sees them: time from exec to READY=1, memory when idle, and memory of a coordinator
// that holds 1,000 idle robots over mutual TLS.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <caf/event_based_actor.hpp>
#include <fstream>
#include <thread>

#include "actors/network/uplink_messages.hpp"
#include "net_fleet.hpp"
#include "raw.hpp"

namespace drover::bench {

namespace {

constexpr uint16_t port = 47633;
constexpr size_t fleet_size = 1'000;

void write_file(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file) << text;
}

void write_node(const std::filesystem::path& dir, const network::Credentials& credentials) {
  std::filesystem::create_directories(dir);
  must(network::write_credentials(dir, credentials));
}

std::string tls_section(const std::filesystem::path& dir) {
  return "[tls]\nca_file = \"" + (dir / "ca.pem").string() + "\"\ncert_file = \"" + (dir / "node.pem").string() +
         "\"\nkey_file = \"" + (dir / "node.key").string() + "\"\n";
}

// A drover daemon with a NOTIFY_SOCKET. Killed when this goes.
class Daemon {
 public:
  Daemon(const Settings& settings, const std::string& command, const std::filesystem::path& config) {
    const std::string socket_path = config.string() + ".notify";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    DROVER_CHECK(socket_path.size() < sizeof address.sun_path, "the folder's name is too long for a socket");
    std::copy(socket_path.begin(), socket_path.end(), address.sun_path);
    ::unlink(socket_path.c_str());
    const int notify = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    DROVER_CHECK(::bind(notify, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "bind");
    const std::string program = (settings.programs / "drover").string();
    const std::string log = config.string() + ".log";
    const auto began = Clock::now();
    pid_ = ::fork();
    if (pid_ == 0) {
      const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
      ::dup2(out, 1);
      ::dup2(out, 2);
      ::setenv("NOTIFY_SOCKET", socket_path.c_str(), 1);
      ::execl(program.c_str(), "drover", command.c_str(), "--config", config.c_str(), static_cast<char*>(nullptr));
      ::_exit(127);
    }
    char message[512];
    pollfd wait{notify, POLLIN, 0};
    while (::poll(&wait, 1, 10'000) > 0) {
      const ssize_t got = ::recv(notify, message, sizeof message, 0);
      if (got > 0 && std::string_view(message, static_cast<size_t>(got)).find("READY=1") != std::string_view::npos) {
        start_ms_ = seconds_since(began) * 1e3;
        break;
      }
    }
    ::close(notify);
    if (start_ms_ == 0)
      std::fprintf(stderr, "drover-bench: %s did not become ready, see %s\n", command.c_str(), log.c_str());
    DROVER_CHECK(start_ms_ > 0, "a daemon did not start");
  }
  ~Daemon() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  double start_ms() const { return start_ms_; }
  // A field of /proc/PID/status, in MB.
  double memory_mb(const std::string& field) const {
    std::ifstream in("/proc/" + std::to_string(pid_) + "/status");
    for (std::string line; std::getline(in, line);)
      if (line.rfind(field + ":", 0) == 0) return std::stod(line.substr(field.size() + 1)) / 1e3;
    return 0;
  }

 private:
  pid_t pid_ = 0;
  double start_ms_ = 0;
};

// Answers the uplinks of a thousand robots, and counts who is up.
caf::behavior crowd(caf::event_based_actor*, std::atomic<size_t>* up) {
  return {[](const network::PrepareHello&) {
            return network::HelloFacts{1, 0, 0, 0};
          },
          [up](const network::LinkUp&) { ++*up; }, [](const network::LinkDown&) {}, [](const network::LinkPong&) {}};
}

void raise_descriptor_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// Dials until all are up; returns how many are.
size_t dial_crowd(network::NetworkThread& net, const network::AuthorityPem& pki, const caf::actor& subscriber,
                  const std::atomic<size_t>& up, std::vector<caf::actor>& uplinks) {
  constexpr size_t at_once = 32;  // below greetings_per_address_max
  const auto began = Clock::now();
  while (uplinks.size() < fleet_size) {
    network::Dial dial;
    dial.address = "127.0.0.1:" + std::to_string(port);
    dial.server_name = "centre";
    dial.self = {network::Role::robot, "idle-" + std::to_string(uplinks.size())};
    dial.credentials = credentials(pki, dial.self.role, dial.self.node_id);
    dial.subscriber = subscriber;
    uplinks.push_back(must(net.dial(std::move(dial))));
    while (uplinks.size() - up > at_once && seconds_since(began) < 120)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  while (up < fleet_size && seconds_since(began) < 120) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return up;
}

void crowd_rows(Report& report, const Daemon& coordinator, const network::AuthorityPem& pki) {
  caf::actor_system_config config;
  config.set("scheduler.max-threads", size_t{2});
  caf::actor_system system(config);
  runtime::EnvironmentOptions options;
  options.log = [](runtime::LogLevel, std::string_view) {};
  runtime::Environment env(system, options);
  network::NetworkThread net(env);
  std::atomic<size_t> up = 0;
  const caf::actor subscriber = env.spawn(crowd, &up);
  std::vector<caf::actor> uplinks;
  const auto began = Clock::now();
  const size_t connected = dial_crowd(net, pki, subscriber, up, uplinks);
  const double seconds = seconds_since(began);
  std::this_thread::sleep_for(std::chrono::seconds(5));  // two rounds of pings
  char note[96];
  std::snprintf(note, sizeof note, "%.0f MB of it anonymous; %.1f s to connect them, certificates included",
                coordinator.memory_mb("RssAnon"), seconds);
  if (connected == fleet_size)
    report.add("coordinator with 1,000 connected idle robots, resident", no_disk, coordinator.memory_mb("VmRSS"), "MB",
               note, Target{200, false});
  else
    report.skipped("coordinator with 1,000 connected idle robots", std::to_string(connected) + " connected in 120 s");
  report.add("coordinator with 1,000 connected idle robots, peak", no_disk, coordinator.memory_mb("VmHWM"), "MB");
  net.stop();
  caf::anon_send_exit(subscriber, caf::exit_reason::kill);
}

std::string robot_config(const std::filesystem::path& dir) {
  std::filesystem::create_directories(dir / "spool");
  return "[node]\nid = \"robot-0\"\n[store]\ndir = \"" + (dir / "store-robot").string() +
         "\"\nfree_reserve_bytes = 0\n[coordinator]\naddress = \"127.0.0.1:" + std::to_string(port) +
         "\"\nserver_name = \"centre\"\n[knowledge]\npublic_key_file = \"\"\n" + tls_section(dir / "robot");
}

}  // namespace

void bench_daemons(Report& report, const Settings& settings) {
  report.group("daemons: exec to READY=1, resident memory");
  if (!std::filesystem::exists(settings.programs / "drover")) return report.skipped("daemons", "drover is not built");
  raise_descriptor_limit();
  const auto dir = fresh_folder(settings, "daemons");
  const auto pki = authority();
  write_node(dir / "centre", credentials(pki, network::Role::coordinator, "centre"));
  write_node(dir / "robot", credentials(pki, network::Role::robot, "robot-0"));
  write_file(dir / "centre.toml", "[node]\nid = \"centre\"\n[store]\ndir = \"" + (dir / "store-centre").string() +
                                      "\"\nfree_reserve_bytes = 0\n[listen]\naddress = \"127.0.0.1:" +
                                      std::to_string(port) + "\"\n" + tls_section(dir / "centre"));
  write_file(dir / "robot.toml", robot_config(dir));
  {
    const Daemon coordinator(settings, "coordinator", dir / "centre.toml");
    report.add("drover coordinator, start with a new store", synced, coordinator.start_ms(), "ms");
    {
      const Daemon robot(settings, "robot", dir / "robot.toml");
      report.add("drover robot, start with a new store", synced, robot.start_ms(), "ms", "founding it costs syncs");
    }
    std::vector<double> starts_ms;
    for (int i = 0; i < 9; ++i) starts_ms.push_back(Daemon(settings, "robot", dir / "robot.toml").start_ms());
    report.add("drover robot, start, median of 9", synced, percentile(starts_ms, 0.5), "ms", {}, Target{50, false});
    const Daemon robot(settings, "robot", dir / "robot.toml");
    std::this_thread::sleep_for(std::chrono::seconds(4));
    char note[64];
    std::snprintf(note, sizeof note, "%.0f MB of it anonymous", robot.memory_mb("RssAnon"));
    report.add("drover robot, idle and connected, resident", no_disk, robot.memory_mb("VmRSS"), "MB", note,
               Target{40, false});
    report.add("drover robot, idle and connected, peak", no_disk, robot.memory_mb("VmHWM"), "MB");
    report.add("drover coordinator, idle, resident", no_disk, coordinator.memory_mb("VmRSS"), "MB");
    crowd_rows(report, coordinator, pki);
  }
  std::filesystem::remove_all(dir);
}

}  // namespace drover::bench

// A real centre on a loopback socket, its fleet's authority, and a log that can be waited for.
#pragma once

#include <doctest/doctest.h>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/atom.hpp>
#include <caf/scoped_actor.hpp>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <string>
#include <vector>

#include "actors/network/network_thread.hpp"
#include "tests/network/fakes.hpp"

namespace drover::test {

constexpr auto patience = std::chrono::seconds(20);

// Log lines, and a way to wait for one.
struct Log {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> lines;

  runtime::LogSink sink() {
    return [this](runtime::LogLevel level, std::string_view event) {
      std::lock_guard lock(mutex);
      lines.push_back(std::string(runtime::log_level_name(level)) + " " + std::string(event));
      changed.notify_all();
    };
  }
  size_t count_locked(std::string_view text) const {
    size_t n = 0;
    for (const auto& line : lines) n += line.find(text) != std::string::npos ? 1 : 0;
    return n;
  }
  size_t count(std::string_view text) {
    std::lock_guard lock(mutex);
    return count_locked(text);
  }
  bool wait_for(std::string_view text, size_t times = 1) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, patience, [&] { return count_locked(text) >= times; });
  }
};

struct Authority {
  AuthorityPem pem = *create_authority("test fleet", std::time(nullptr) - 86'400 * 10, 30);
  Credentials issue(Role role, const std::string& id, int64_t start_s = std::time(nullptr) - 60,
                    uint32_t days = 1) const {
    return *issue_certificate(pem, {{role, id}, {"localhost"}, start_s, days});
  }
};
inline const Authority& fleet() {
  static const Authority authority;
  return authority;
}

inline Limits quick_limits() {
  Limits limits;
  limits.handshake_timeout_ms = 1'000;
  limits.hello_timeout_ms = 1'000;
  limits.backoff_max_ms = 200;
  return limits;
}

struct Centre {
  explicit Centre(Limits limits = quick_limits()) : env(system, options()), net(env) {
    handler = env.spawn(fake_centre, &seen);
    const auto listening = net.listen({.address = "127.0.0.1:0",
                                       .credentials = fleet().issue(Role::coordinator, "centre"),
                                       .self = {Role::coordinator, "centre"},
                                       .limits = limits,
                                       .handler = handler});
    REQUIRE_MESSAGE(listening.has_value(), listening.error().message());
    port = listening->port;
  }
  ~Centre() {
    net.stop();
    for (auto& actor : robots) caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(handler, caf::exit_reason::user_shutdown);
    handler = nullptr;
    robots.clear();
    system.await_all_actors_done();  // they write to `seen` until then
  }
  Dial dial_options(Role role, const std::string& id) {
    auto robot = env.spawn(fake_robot, &robot_seen, uint64_t{77});
    robots.push_back(robot);
    return {.address = "127.0.0.1:" + std::to_string(port),
            .server_name = "centre",
            .credentials = fleet().issue(role, id),
            .self = {role, id},
            .limits = quick_limits(),
            .subscriber = robot};
  }
  // A block goes through: the centre is alive and serves honest robots.
  bool serves(const std::string& id = "honest") {
    const size_t links = log.count("network.link_up");
    const auto uplink = net.dial(dial_options(Role::robot, id));
    REQUIRE(uplink.has_value());
    if (!log.wait_for("network.link_up", links + 1)) return false;
    bool ok = false;
    caf::scoped_actor self(system);
    self->request(*uplink, patience, SendBlock{block(1, 1)})
        .receive([&](AppendReply& reply) { ok = reply.has_value(); }, [](caf::error&) {});
    caf::anon_send_exit(*uplink, caf::exit_reason::user_shutdown);
    return ok;
  }

  runtime::EnvironmentOptions options() {
    runtime::EnvironmentOptions options;
    options.seed = 1;
    options.log = log.sink();
    return options;
  }

  Log log;
  struct Config : caf::actor_system_config {
    Config() { set("scheduler.policy", caf::atom("sharing")); }
  };
  Config config;
  caf::actor_system system{config};
  runtime::Environment env;
  Seen seen, robot_seen;
  std::vector<caf::actor> robots;
  network::NetworkThread net;
  caf::actor handler;
  uint16_t port = 0;
};

}  // namespace drover::test

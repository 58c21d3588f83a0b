// The supervisor actor under the deterministic simulation: random trees against the OTP model, names, deadlines,
// escalation.
#include <doctest/doctest.h>

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "actors/runtime/packet_message.hpp"
#include "actors/runtime/simulation.hpp"
#include "actors/runtime/supervisor_actor.hpp"
#include "tests/runtime/supervision_model.hpp"

using namespace drover;
using namespace drover::runtime;
using drover::runtime::test::OtpModel;

namespace {
struct Crash {};
struct Finish {};
struct Echo {
  int value = 0;
};
}  // namespace
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(Crash)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(Finish)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(Echo)

namespace {

caf::behavior worker(caf::event_based_actor* self) {
  return {[](const Crash&) { throw std::runtime_error("crash on \"purpose\""); },
          [self](const Finish&) { self->quit(); },
          [](const Echo& echo) -> Result<int> {
            if (echo.value < 0) return fail(Errc::invalid_argument, "echo", "negative");
            return echo.value;
          },
          [](const Bytes& bytes) { return bytes; }};
}

SupervisionRules prompt(Strategy strategy, Intensity intensity = {}) {
  SupervisionRules rules;
  rules.strategy = strategy;
  rules.intensity = intensity;
  rules.backoff.delay_min_ms = 0;
  return rules;
}

Child work(const std::string& name, RestartRule rule = RestartRule::permanent) {
  return worker_child(
      name, [](Environment& environment) { return environment.spawn(worker); }, rule, 1'000);
}

// ---- random trees: one description, built twice

struct Tree {
  std::string name;
  RestartRule rule = RestartRule::permanent;
  SupervisionRules rules;
  std::vector<Tree> children;  // empty: a worker
};

Tree random_tree(Rng& rng, const std::string& name, int depth) {
  Tree tree{name,
            static_cast<RestartRule>(rng.below(3)),
            prompt(static_cast<Strategy>(rng.below(3)), {static_cast<uint32_t>(rng.below(4)), rng.between(10, 3'000)}),
            {}};
  if (depth == 0) return tree;
  const uint64_t count = 1 + rng.below(3);
  for (uint64_t i = 0; i < count; ++i)
    tree.children.push_back(random_tree(rng, name + "." + std::to_string(i), rng.chance(0.5) ? depth - 1 : 0));
  return tree;
}

void leaves_of(const Tree& tree, std::vector<std::string>& out) {
  if (tree.children.empty()) out.push_back(tree.name);
  for (const Tree& child : tree.children) leaves_of(child, out);
}

using Starts = std::map<std::string, int>;

SupervisorConfig actors_of(const Tree& tree, const std::shared_ptr<Starts>& starts) {
  SupervisorConfig config{tree.name, tree.rules, {}, nullptr};
  for (const Tree& child : tree.children) {
    if (!child.children.empty()) {
      config.children.push_back(nested_supervisor(actors_of(child, starts), child.rule));
      continue;
    }
    config.children.push_back(worker_child(
        child.name,
        [starts, name = child.name](Environment& environment) {
          ++(*starts)[name];
          return environment.spawn(worker);
        },
        child.rule, 1'000));
  }
  return config;
}

struct ModelTree {
  const Tree& tree;
  Starts& starts;
  std::vector<std::unique_ptr<ModelTree>> nested;
  std::unique_ptr<OtpModel> model;

  ModelTree(const Tree& t, Starts& s) : tree(t), starts(s), nested(t.children.size()) {
    std::vector<RestartRule> rules;
    for (const Tree& child : tree.children) rules.push_back(child.rule);
    model = std::make_unique<OtpModel>(
        tree.rules.strategy, tree.rules.intensity, rules,
        OtpModel::Hooks{[this](size_t i) { return start(i); }, [this](size_t i) { stop(i); }});
  }
  bool start(size_t i) {
    const Tree& child = tree.children[i];
    if (child.children.empty()) {
      ++starts[child.name];
    } else {
      nested[i] = std::make_unique<ModelTree>(child, starts);
      nested[i]->model->start(now_ms);
    }
    return true;
  }
  void stop(size_t i) {
    if (nested[i]) nested[i]->model->stop();
    nested[i] = nullptr;
  }
  bool alive(const std::string& leaf) const {
    if (model->over) return false;
    for (size_t i = 0; i < tree.children.size(); ++i) {
      if (!model->alive(i)) continue;
      if (tree.children[i].name == leaf) return true;
      if (nested[i] && nested[i]->alive(leaf)) return true;
    }
    return false;
  }
  // False: this supervisor gave up.
  bool report(const std::string& leaf, ExitKind kind, int64_t at_ms) {
    set_now(at_ms);
    for (size_t i = 0; i < tree.children.size(); ++i) {
      const bool here = tree.children[i].name == leaf;
      const bool below = !here && nested[i] && nested[i]->alive(leaf);
      if (!here && !below) continue;
      if (below && nested[i]->report(leaf, kind, at_ms)) return true;
      if (below) nested[i] = nullptr;
      model->report(i, below ? ExitKind::abnormal : kind);
      return model->handle_reports(at_ms);
    }
    return true;
  }
  void set_now(int64_t at_ms) {
    now_ms = at_ms;
    for (auto& child : nested)
      if (child) child->set_now(at_ms);
  }
  int64_t now_ms = 0;
};

struct TreeRun {
  uint64_t hash = 0;
  int restarts = 0;
  bool gave_up = false;
};

TreeRun run_tree(uint64_t seed) {
  Rng rng = Rng::stream(seed, "tree");
  Tree tree = random_tree(rng, "root", 3);
  if (tree.children.empty()) return {};
  std::vector<std::string> leaves;
  leaves_of(tree, leaves);
  Starts expected_starts;
  const auto starts = std::make_shared<Starts>();
  TreeRun run;
  Simulation sim(seed);
  Environment& environment = sim.environment();
  SupervisorConfig config = actors_of(tree, starts);
  bool ended = false;
  config.on_end = [&](const SupervisorEnd& end) {
    ended = true;
    run.gave_up = end.gave_up;
  };
  const caf::actor root = spawn_supervisor(environment, std::move(config));
  ModelTree model(tree, expected_starts);
  bool up = model.model->start(0);
  REQUIRE(sim.drain());
  for (int event = 0; event < 25 && up; ++event) {
    REQUIRE(sim.run_for(rng.between(0, 800)));
    const std::string& leaf = leaves[rng.below(leaves.size())];
    const bool normal = rng.chance(0.3);
    const caf::actor target = environment.ref(leaf).get();
    CAPTURE(event);
    CAPTURE(leaf);
    REQUIRE(static_cast<bool>(target) == model.alive(leaf));
    if (!target) continue;
    up = model.report(leaf, normal ? ExitKind::normal : ExitKind::abnormal, sim.now_ms());
    if (normal) {
      caf::anon_send(target, Finish{});
    } else {
      caf::anon_send(target, Crash{});
    }
    REQUIRE(sim.drain());
    REQUIRE(*starts == expected_starts);
    REQUIRE(ended == !up);
  }
  if (up) {
    caf::anon_send_exit(root, caf::exit_reason::user_shutdown);
    REQUIRE(sim.run_for(10'000));
    REQUIRE(!run.gave_up);
  }
  REQUIRE(ended);
  for (const std::string& leaf : leaves) REQUIRE(!environment.ref(leaf));
  for (const auto& [leaf, count] : *starts) run.restarts += count - 1;
  run.hash = sim.trace_hash();
  return run;
}

}  // namespace

TEST_CASE("runtime/supervisor_actor: random trees and crash schedules equal the OTP model") {
  int restarts = 0, gave_up = 0;
  for (uint64_t seed = 1; seed <= 2'000; ++seed) {
    CAPTURE(seed);
    const TreeRun run = run_tree(seed);
    restarts += run.restarts;
    gave_up += run.gave_up;
  }
  CHECK(restarts > 3'000);
  CHECK(gave_up > 300);
  CHECK(gave_up < 1'900);
}

TEST_CASE("runtime/simulation: the same seed gives the same trace, another seed another") {
  const TreeRun a = run_tree(42), b = run_tree(42), c = run_tree(43);
  CHECK(a.hash == b.hash);
  CHECK(a.hash != c.hash);
}

TEST_CASE("runtime/supervisor_actor: a crash is logged once with its text and the name finds the next actor") {
  Simulation sim(1);
  Environment& environment = sim.environment();
  const caf::actor root =
      spawn_supervisor(environment, {"root", prompt(Strategy::one_for_one), {work("store"), work("echo")}, nullptr});
  sim.drain();
  const Ref echo = environment.ref("echo");
  const caf::actor first = echo.get();
  REQUIRE(first);
  CHECK(echo.generation() == 1);
  caf::anon_send(first, Crash{});
  sim.drain();
  REQUIRE(echo.get());
  CHECK(echo.get() != first);
  CHECK(echo.generation() == 2);
  CHECK(sim.log_count("supervisor.child_failed") == 1);
  CHECK(sim.log_count("warn supervisor.child_failed supervisor=root child=echo reason=\"crash on \\\"purpose\\\"\"") ==
        1);
  CHECK(environment.metrics().expose().find("drover_child_failures_total{supervisor=\"root\"} 1\n") !=
        std::string::npos);

  // Requests through a Ref: to the living, with an error value, and to nobody.
  int answer = 0;
  std::string failed, nobody;
  const caf::actor asker = environment.spawn([&](caf::event_based_actor* self) -> caf::behavior {
    echo.request(self, std::chrono::seconds(1), Echo{7}).then([&](const Result<int>& r) { answer = r.value_or(-1); });
    echo.request(self, std::chrono::seconds(1), Echo{-7}).then([&](const Result<int>& r) {
      failed = r.error().message();
    });
    const Ref missing = environment.ref("missing");
    CHECK_FALSE(missing.send(self, Echo{1}));
    CHECK(missing.dropped() == 1);
    CHECK(environment.metrics().expose().find("drover_messages_dropped_total{receiver=\"missing\"} 1\n") !=
          std::string::npos);
    missing.request(self, std::chrono::seconds(1), Echo{1})
        .then([](const Result<int>&) {}, [&nobody, self](caf::error& e) { nobody = self->system().render(e); });
    return {};
  });
  sim.drain();
  CHECK(answer == 7);
  CHECK(failed == "invalid_argument: echo: negative");
  CHECK(nobody.find("invalid_argument") != std::string::npos);
  caf::anon_send_exit(root, caf::exit_reason::user_shutdown);
  sim.run_for(5'000);
  CHECK_FALSE(echo);
}

TEST_CASE("runtime/supervisor_actor: an exception while starting is a failure like any other") {
  Simulation sim(2);
  Environment& environment = sim.environment();
  int starts = 0;
  SupervisorEnd end;
  Child broken{
      {"broken"}, [&](Environment& e) {
        ++starts;
        return e.spawn([](caf::event_based_actor*) -> caf::behavior { throw std::runtime_error("no device"); });
      }};
  Child refuses{{"refuses"}, [](Environment&) -> Result<caf::actor> { return fail(Errc::io, "disk", "gone"); }};
  const caf::actor a = spawn_supervisor(
      environment,
      {"a", prompt(Strategy::one_for_one, {3, 1'000}), {broken}, [&](const SupervisorEnd& e) { end = e; }});
  sim.drain();
  CHECK(starts == 4);
  CHECK(end.gave_up);
  CHECK(end.reason == "too many restarts (3 in 1000 ms), last: broken: no device");
  const caf::actor b = spawn_supervisor(
      environment,
      {"b", prompt(Strategy::one_for_one), {work("x"), refuses}, [&](const SupervisorEnd& e) { end = e; }});
  sim.drain();
  CHECK(end.reason == "failed to start refuses: io: disk: gone");
  CHECK_FALSE(environment.ref("x"));
}

namespace {
// Notes when it is asked to stop, and goes on only if `obeys`.
caf::behavior stopper(caf::event_based_actor* self, std::vector<std::string>* order, std::string name,
                      int64_t needs_ms) {
  self->set_exit_handler([=](caf::exit_msg& m) {
    order->push_back("asked " + name);
    if (needs_ms >= 0) self->delayed_send(self, std::chrono::milliseconds(needs_ms), Finish{});
    (void)m;
  });
  self->attach_functor([=](const caf::error&) { order->push_back("ended " + name); });
  return {[=](const Finish&) { self->quit(caf::exit_reason::user_shutdown); }};
}
}  // namespace

TEST_CASE("runtime/supervisor_actor: ordered stop waits for each child, kills at the deadline, storage last") {
  Simulation sim(3);
  Environment& environment = sim.environment();
  std::vector<std::string> order;
  const auto child = [&](const char* name, int64_t deadline_ms, int64_t needs_ms) {
    return worker_child(
        name,
        [&order, name, needs_ms](Environment& e) { return e.spawn(stopper, &order, std::string(name), needs_ms); },
        RestartRule::permanent, deadline_ms);
  };
  bool ended = false;
  SupervisorConfig inner{
      "inner", prompt(Strategy::one_for_one), {child("i1", 500, 100), child("i2", 500, 100)}, nullptr};
  const caf::actor root =
      spawn_supervisor(environment, {"root",
                                     prompt(Strategy::rest_for_one),
                                     {child("store", 500, 50), child("deaf", 300, -1), nested_supervisor(inner)},
                                     [&](const SupervisorEnd& e) { ended = !e.gave_up; }});
  sim.drain();
  const int64_t begin_ms = sim.now_ms();
  caf::anon_send_exit(root, caf::exit_reason::user_shutdown);
  REQUIRE(sim.run_until([&] { return ended; }, 60'000));
  CHECK(order == std::vector<std::string>{"asked i2", "ended i2", "asked i1", "ended i1", "asked deaf", "ended deaf",
                                          "asked store", "ended store"});
  CHECK(sim.now_ms() - begin_ms == 100 + 100 + 300 + 50);
  CHECK(sim.log_count("supervisor.killed supervisor=root child=deaf") == 1);
}

TEST_CASE(
    "runtime/supervisor_actor: backoff delays the restart in virtual time; killing the supervisor leaves no orphan") {
  Simulation sim(4);
  Environment& environment = sim.environment();
  SupervisionRules rules;
  rules.backoff = {200, 5'000, 2.0, 0.0, 60'000};
  const caf::actor root = spawn_supervisor(environment, {"root", rules, {work("w")}, nullptr});
  sim.drain();
  const Ref w = environment.ref("w");
  for (const int64_t delay_ms : {200, 400, 800}) {
    caf::anon_send(w.get(), Crash{});
    sim.run_for(delay_ms - 1);
    CHECK_FALSE(w);
    sim.run_for(1);
    CHECK(w);
  }
  bool down = false;
  const caf::actor watcher = environment.spawn([&](caf::event_based_actor* self) -> caf::behavior {
    self->set_down_handler([&](caf::down_msg&) { down = true; });
    self->monitor(w.get());
    return {[](const Finish&) {}};
  });
  sim.drain();
  caf::anon_send_exit(root, caf::exit_reason::kill);
  sim.drain();
  CHECK(down);
}

TEST_CASE("runtime/supervisor_actor: works on real threads, blocking actors included") {
  std::mutex mutex;
  std::condition_variable changed;
  int starts = 0;
  bool ended = false;
  caf::actor_system_config config;
  config.set("scheduler.policy", caf::atom("sharing"));
  caf::actor_system system(config);
  Environment environment(system, {1, nullptr, [](LogLevel, std::string_view) {}, {}, nullptr, false});
  const auto wait = [&](auto&& condition) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(20), condition);
  };
  caf::actor blocking;
  const Child b = worker_child("b", [&](Environment& e) {
    std::scoped_lock lock(mutex);
    return blocking = e.spawn_blocking(worker);
  });
  const Child c = worker_child("c", [&](Environment& e) {
    std::scoped_lock lock(mutex);
    ++starts;
    changed.notify_all();
    return e.spawn(worker);
  });
  const caf::actor root =
      spawn_supervisor(environment, {"root", prompt(Strategy::one_for_all), {b, c}, [&](const SupervisorEnd&) {
                                       std::scoped_lock lock(mutex);
                                       ended = true;
                                       changed.notify_all();
                                     }});
  for (int round = 1; round <= 3; ++round) {
    REQUIRE(wait([&] { return starts == round; }));
    caf::anon_send(blocking, Crash{});  // not touched by the factory until this crash is handled
  }
  REQUIRE(wait([&] { return starts == 4; }));
  caf::anon_send_exit(root, caf::exit_reason::user_shutdown);
  REQUIRE(wait([&] { return ended; }));
}

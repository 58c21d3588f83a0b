// The pure supervision machine: against the OTP model on random children and crash schedules, and rule by rule.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <deque>
#include <set>
#include <string>

#include "actors/runtime/supervision.hpp"
#include "tests/runtime/supervision_model.hpp"

using namespace drover::runtime;
using drover::runtime::test::OtpModel;
using Kind = Decision::Kind;

namespace {

// One random world: rules of the children, and which starts fail and who dies during which stop, decided by counting.
struct Scenario {
  uint64_t seed;
  SupervisionRules rules;
  std::vector<RestartRule> restarts;
  double start_failure = 0;
  double death_during_stop = 0;

  explicit Scenario(uint64_t s) : seed(s) {
    Rng rng = Rng::stream(seed, "scenario");
    rules.strategy = static_cast<Strategy>(rng.below(3));
    rules.intensity = {static_cast<uint32_t>(rng.below(6)), rng.between(1, 5'000)};
    rules.backoff.delay_min_ms = 0;
    const uint64_t count = 1 + rng.below(7);
    for (uint64_t i = 0; i < count; ++i) restarts.push_back(static_cast<RestartRule>(rng.below(3)));
    if (rng.chance(0.3)) start_failure = 0.1;
    if (rng.chance(0.5)) death_during_stop = 0.5;
  }
  bool start_fails(uint64_t nth) const { return Rng::stream(seed, fmt::format("start{}", nth)).chance(start_failure); }
  std::vector<std::pair<size_t, ExitKind>> deaths_during_stop(uint64_t nth) const {
    Rng rng = Rng::stream(seed, fmt::format("stop{}", nth));
    std::vector<std::pair<size_t, ExitKind>> deaths;
    for (size_t i = 0; i < restarts.size(); ++i)
      if (rng.chance(death_during_stop))
        deaths.emplace_back(i, rng.chance(0.5) ? ExitKind::normal : ExitKind::abnormal);
    return deaths;
  }
};

std::string trace_of(const char* what, size_t child) {
  return fmt::format("{}{}", what, child);
}

struct ModelRun {
  Scenario scenario;
  std::vector<std::string> trace;
  uint64_t starts = 0, stops = 0;
  OtpModel model;

  explicit ModelRun(const Scenario& s)
      : scenario(s),
        model(s.rules.strategy, s.rules.intensity, s.restarts,
              {[this](size_t child) {
                 trace.push_back(trace_of("start", child));
                 return !scenario.start_fails(starts++);
               },
               [this](size_t child) {
                 trace.push_back(trace_of("stop", child));
                 for (auto [other, kind] : scenario.deaths_during_stop(stops++)) model.report(other, kind);
               }}) {}
};

struct MachineRun {
  Scenario scenario;
  std::vector<std::string> trace;
  uint64_t starts = 0, stops = 0;
  std::set<size_t> living;
  bool gave_up = false, stopped = false;
  int64_t now_ms = 0;
  Supervision machine;

  static std::vector<ChildSpec> specs(const Scenario& s) {
    std::vector<ChildSpec> out;
    for (size_t i = 0; i < s.restarts.size(); ++i) out.push_back({fmt::format("c{}", i), s.restarts[i]});
    return out;
  }
  explicit MachineRun(const Scenario& s) : scenario(s), machine(s.rules, specs(s), Rng(1)) {}

  void die(size_t child, ExitKind kind, std::deque<Decision>& work) {
    if (living.erase(child) == 0) return;
    for (auto& d : machine.exited(child, kind, "test", now_ms)) work.push_back(d);
  }
  void run(Decisions decisions) {
    std::deque<Decision> work(decisions.begin(), decisions.end());
    while (!work.empty()) {
      const Decision d = work.front();
      work.pop_front();
      if (d.kind == Kind::start) {
        trace.push_back(trace_of("start", d.child));
        const bool fails = scenario.start_fails(starts++);
        if (!fails) living.insert(d.child);
        for (auto& next : fails ? machine.failed_to_start(d.child, "test", now_ms) : machine.started(d.child, now_ms))
          work.push_back(next);
      } else if (d.kind == Kind::stop) {
        trace.push_back(trace_of("stop", d.child));
        for (auto [other, kind] : scenario.deaths_during_stop(stops++))
          if (other != d.child) die(other, kind, work);
        die(d.child, ExitKind::normal, work);
      } else if (d.kind == Kind::gave_up) {
        gave_up = true;
      } else if (d.kind == Kind::stopped) {
        stopped = true;
      }
    }
  }
};

}  // namespace

TEST_CASE("runtime/supervision: equals the OTP model on random crash schedules") {
  int gave_up = 0, group_stops = 0, survived = 0;
  for (uint64_t seed = 1; seed <= 20'000; ++seed) {
    CAPTURE(seed);
    const Scenario scenario(seed);
    ModelRun expected(scenario);
    MachineRun actual(scenario);
    Rng schedule = Rng::stream(seed, "schedule");
    bool up = expected.model.start(0);
    actual.run(actual.machine.start(0));
    int64_t now_ms = 0;
    for (int event = 0; event < 30 && up; ++event) {
      now_ms += schedule.between(0, 1'000);
      const size_t child = schedule.below(scenario.restarts.size());
      const ExitKind kind = schedule.chance(0.3) ? ExitKind::normal : ExitKind::abnormal;
      REQUIRE(expected.model.alive(child) == actual.living.contains(child));
      if (!expected.model.alive(child)) continue;
      expected.model.report(child, kind);
      up = expected.model.handle_reports(now_ms);
      actual.now_ms = now_ms;
      std::deque<Decision> work;
      actual.die(child, kind, work);
      actual.run({work.begin(), work.end()});
      REQUIRE(actual.gave_up == !up);
    }
    if (up) {
      ++survived;
      expected.model.stop();
      actual.run(actual.machine.stop(now_ms));
      REQUIRE(actual.stopped);
    }
    REQUIRE(expected.trace == actual.trace);
    REQUIRE(actual.living.empty());
    REQUIRE(actual.machine.over());
    gave_up += actual.gave_up;
    group_stops += actual.stops > scenario.restarts.size();
  }
  // The schedules reach what they are for.
  CHECK(gave_up > 4'000);
  CHECK(survived > 2'000);
  CHECK(group_stops > 1'000);
}

namespace {

// A driver for single rules: everything starts, nothing stops by itself.
struct Bench {
  Supervision machine;
  std::vector<Decision> seen;
  explicit Bench(SupervisionRules rules, std::vector<ChildSpec> specs) : machine(rules, std::move(specs), Rng(7)) {}
  void run(Decisions decisions, int64_t now_ms) {
    std::deque<Decision> work(decisions.begin(), decisions.end());
    while (!work.empty()) {
      const Decision d = work.front();
      work.pop_front();
      seen.push_back(d);
      if (d.kind != Kind::start) continue;
      for (auto& next : machine.started(d.child, now_ms)) work.push_back(next);
    }
  }
  std::string text() {
    static const char* names[] = {"start", "stop", "kill", "abandon", "timer", "stopped", "gave_up"};
    std::string out;
    for (const auto& d : seen) {
      out += out.empty() ? "" : " ";
      out += names[static_cast<int>(d.kind)];
      if (d.kind == Kind::timer) out += std::to_string(d.delay_ms);
      if (d.kind < Kind::timer) out += std::to_string(d.child);
    }
    seen.clear();
    return out;
  }
};

SupervisionRules rules_without_backoff(Strategy strategy, Intensity intensity = {}) {
  SupervisionRules rules;
  rules.strategy = strategy;
  rules.intensity = intensity;
  rules.backoff.delay_min_ms = 0;
  return rules;
}

}  // namespace

TEST_CASE("runtime/supervision: a stop is in reverse, one at a time, and kills at the deadline") {
  Bench bench(rules_without_backoff(Strategy::one_for_one), {{"store", RestartRule::permanent, 700},
                                                             {"mid", RestartRule::permanent, 0},
                                                             {"last", RestartRule::permanent, 300}});
  bench.run(bench.machine.start(0), 0);
  CHECK(bench.text() == "start0 start1 start2");
  bench.run(bench.machine.stop(10), 10);
  const uint64_t deadline = bench.seen.at(1).token;
  CHECK(bench.text() == "stop2 timer300");
  bench.run(bench.machine.timer(deadline, 310), 310);
  CHECK(bench.text() == "kill2 timer2000");
  bench.run(bench.machine.timer(deadline, 311), 311);  // stale
  CHECK(bench.text().empty());
  bench.run(bench.machine.exited(2, ExitKind::abnormal, "killed", 320), 320);
  CHECK(bench.text() == "kill1 timer2000");  // shutdown 0: killed at once
  bench.run(bench.machine.exited(1, ExitKind::abnormal, "killed", 330), 330);
  CHECK(bench.text() == "stop0 timer700");
  bench.run(bench.machine.exited(0, ExitKind::normal, "", 340), 340);
  CHECK(bench.text() == "stopped");
  CHECK(bench.machine.over());
}

TEST_CASE("runtime/supervision: a child that survives its kill is abandoned and the supervisor gives up") {
  Bench bench(rules_without_backoff(Strategy::one_for_all), {{"a"}, {"stuck"}, {"c"}});
  bench.run(bench.machine.start(0), 0);
  bench.run(bench.machine.exited(2, ExitKind::abnormal, "x", 5), 5);
  uint64_t token = bench.seen.back().token;
  CHECK(bench.text() == "start0 start1 start2 stop1 timer5000");
  bench.run(bench.machine.timer(token, 5'005), 5'005);
  token = bench.seen.back().token;
  CHECK(bench.text() == "kill1 timer2000");
  bench.run(bench.machine.timer(token, 7'005), 7'005);
  CHECK(bench.text() == "abandon1 stop0 timer5000");
  bench.run(bench.machine.exited(0, ExitKind::normal, "", 7'010), 7'010);
  CHECK(bench.seen.back().reason == "stuck survived its kill");
  CHECK(bench.text() == "gave_up");
}

TEST_CASE("runtime/supervision: intensity accepts its number within the window and gives up at one more") {
  Bench bench(rules_without_backoff(Strategy::one_for_one, {3, 1'000}), {{"a"}});
  bench.run(bench.machine.start(0), 0);
  for (const int64_t now_ms : {0, 400, 1'000, 1'001, 1'401}) {  // never four within 1000 ms, both ends counted
    bench.seen.clear();
    bench.run(bench.machine.exited(0, ExitKind::abnormal, "x", now_ms), now_ms);
    CHECK(bench.text() == "start0");
  }
  bench.run(bench.machine.exited(0, ExitKind::abnormal, "boom", 2'000), 2'000);
  CHECK(bench.seen.back().reason == "too many restarts (3 in 1000 ms), last: a: boom");
  CHECK(bench.text() == "gave_up");
}

TEST_CASE("runtime/supervision: backoff grows to its cap, keeps its jitter band and resets after a stable run") {
  RestartBackoff backoff{100, 5'000, 2.0, 0.25, 60'000};
  Rng rng(3);
  for (uint32_t attempt = 1; attempt < 5'000; attempt = attempt < 20 ? attempt + 1 : attempt * 2) {
    const double full = std::min(100.0 * std::pow(2.0, attempt - 1), 5'000.0);
    for (int draw = 0; draw < 200; ++draw) {
      const auto delay = static_cast<double>(backoff.delay_ms(attempt, rng));
      REQUIRE(delay <= full);
      REQUIRE(delay >= full * 0.75 - 1);
    }
  }
  SupervisionRules rules = rules_without_backoff(Strategy::one_for_one, {100, 1'000});
  rules.backoff = {100, 5'000, 2.0, 0.0, 60'000};
  Bench bench(rules, {{"a"}});
  bench.run(bench.machine.start(0), 0);
  std::vector<int64_t> delays;
  int64_t now_ms = 0;
  for (const int64_t ran_ms : {10, 59'999, 10, 60'000, 0}) {
    now_ms += ran_ms;
    bench.run(bench.machine.exited(0, ExitKind::abnormal, "x", now_ms), now_ms);
    delays.push_back(bench.seen.back().delay_ms);
    now_ms += delays.back();
    bench.run(bench.machine.timer(bench.seen.back().token, now_ms), now_ms);
  }
  CHECK(delays == std::vector<int64_t>{100, 200, 400, 100, 200});
}

TEST_CASE("runtime/supervision: a failure further left takes over a pending group restart") {
  SupervisionRules rules = rules_without_backoff(Strategy::rest_for_one);
  rules.backoff = {100, 5'000, 2.0, 0.0, 60'000};
  Bench bench(rules, {{"a"}, {"b"}, {"c"}, {"d"}});
  bench.run(bench.machine.start(0), 0);
  bench.text();
  bench.run(bench.machine.exited(2, ExitKind::abnormal, "x", 1), 1);
  CHECK(bench.text() == "stop3 timer5000");
  bench.run(bench.machine.exited(3, ExitKind::normal, "", 2), 2);
  const uint64_t of_c = bench.seen.back().token;
  CHECK(bench.text() == "timer100");
  bench.run(bench.machine.exited(0, ExitKind::abnormal, "y", 3), 3);
  CHECK(bench.text() == "stop1 timer5000");
  bench.run(bench.machine.timer(of_c, 101), 101);
  CHECK(bench.text().empty());  // c's own restart is void
  bench.run(bench.machine.exited(1, ExitKind::normal, "", 102), 102);
  const uint64_t of_a = bench.seen.back().token;
  CHECK(bench.text() == "timer100");
  bench.run(bench.machine.timer(of_a, 202), 202);
  CHECK(bench.text() == "start0 start1 start2 start3");
}

TEST_CASE("runtime/supervision: a stop cancels pending restarts and nothing starts after it") {
  SupervisionRules rules = rules_without_backoff(Strategy::one_for_one);
  rules.backoff = {100, 5'000, 2.0, 0.0, 60'000};
  Bench bench(rules, {{"a"}, {"b"}});
  bench.run(bench.machine.start(0), 0);
  bench.run(bench.machine.exited(0, ExitKind::abnormal, "x", 1), 1);
  const uint64_t pending = bench.seen.back().token;
  bench.text();
  bench.run(bench.machine.stop(2), 2);
  CHECK(bench.text() == "stop1 timer5000");
  bench.run(bench.machine.timer(pending, 101), 101);
  CHECK(bench.text().empty());
  bench.run(bench.machine.exited(1, ExitKind::normal, "", 102), 102);
  CHECK(bench.text() == "stopped");
}

TEST_CASE("runtime/supervision: a failed first start stops what runs and gives up") {
  Supervision machine(rules_without_backoff(Strategy::one_for_one), {{"a"}, {"b"}}, Rng(1));
  machine.start(0);
  CHECK(machine.started(0, 0).at(0).kind == Kind::start);
  CHECK(machine.failed_to_start(1, "no disk", 0).at(0).kind == Kind::stop);
  const Decisions end = machine.exited(0, ExitKind::normal, "", 1);
  REQUIRE(end.size() == 1);
  CHECK(end[0].kind == Kind::gave_up);
  CHECK(end[0].reason == "failed to start b: no disk");
}

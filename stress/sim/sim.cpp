// drover stress sim: plays many seeds, some at a time in processes of their own, says what they reached, and when one
// fails replays it, shortens its list of faults and prints the command that shows it again.
#include "stress/sim/sim.hpp"

#include <CLI/CLI.hpp>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "stress/sim/pool.hpp"
#include "stress/sim/shrink.hpp"
#include "stress/sim/story.hpp"

namespace drover::simulate {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string seeds = "1..100";
  uint32_t robots = 3;
  double minutes = 10;
  bool week = false;
  uint32_t jobs = 2;
  double limit_s = 0;
  std::string json;
  std::string folder;
  bool no_twin = false;
  bool list_faults = false;
  int shrink_tries = 60;
  uint64_t first = 1, last = 100;
};

struct Total {
  uint64_t seeds = 0, faults = 0, deliveries = 0, episodes = 0, records = 0;
  double virtual_s = 0;
  int64_t drain_ms_max = 0;
  std::array<uint64_t, probes> probe{};
  std::array<uint64_t, probes> seeds_with{};
  std::array<uint64_t, buggify::sites> fired{};
  uint64_t trace = 0;  // of all seeds, in the order of seeds
  std::vector<uint64_t> failed;
  std::string first_failure;
};

StoryPlan plan_of(const Options& o, uint64_t seed) {
  StoryPlan plan;
  plan.seed = seed;
  plan.faults.robots = o.robots;
  plan.faults.duration_ms = static_cast<int64_t>(o.minutes * 60'000);
  plan.twin = !o.no_twin;
  if (!o.week) return plan;
  plan.faults.per_robot_hour = 0.1;
  plan.faults.offline_ms_max = 12 * 3'600'000;
  plan.episodes_per_robot_hour = 2;
  plan.ping_period_ms = 600'000;
  plan.blob_idle_ms = 600'000;
  plan.books = false;  // they are the business of the shorter stories: here they would cost as much as all the rest
  plan.drain_ms_max = 3'600'000;
  plan.audits = 3;
  plan.returns_audited = 3;
  plan.twin = false;
  return plan;
}

Json json_of(uint64_t seed, const StoryResult& r, double real_s) {
  Json probe = Json::array();
  for (const uint64_t n : r.probe) probe.push_back(n);
  Json fired = Json::array();
  for (const uint64_t n : r.fired) fired.push_back(n);
  return {{"seed", seed},
          {"failure", r.failure},
          {"trace", r.trace},
          {"end_sha256", to_hex(r.end)},
          {"faults", r.faults},
          {"deliveries", r.deliveries},
          {"episodes", r.episodes},
          {"records", r.records},
          {"virtual_ms", r.virtual_ms},
          {"drain_ms", r.drain_ms},
          {"real_s", real_s},
          {"probes", probe},
          {"fired", fired}};
}

void take(const Json& line, Total& total, std::map<uint64_t, uint64_t>& traces) {
  ++total.seeds;
  const uint64_t seed = line["seed"];
  traces[seed] = line["trace"];
  total.faults += line["faults"].get<uint64_t>();
  total.deliveries += line["deliveries"].get<uint64_t>();
  total.episodes += line["episodes"].get<uint64_t>();
  total.records += line["records"].get<uint64_t>();
  total.virtual_s += line["virtual_ms"].get<double>() / 1e3;
  total.drain_ms_max = std::max(total.drain_ms_max, line["drain_ms"].get<int64_t>());
  for (size_t i = 0; i < probes; ++i) {
    const uint64_t n = line["probes"][i];
    total.probe[i] += n;
    total.seeds_with[i] += n > 0;
  }
  for (size_t i = 0; i < buggify::sites; ++i) total.fired[i] += line["fired"][i].get<uint64_t>();
  const std::string failure = line["failure"];
  if (failure.empty()) return;
  total.failed.push_back(seed);
  if (total.failed.size() == 1 || seed <= *std::min_element(total.failed.begin(), total.failed.end()))
    total.first_failure = failure;
  std::printf("seed %llu FAILED %s\n", static_cast<unsigned long long>(seed), failure.c_str());
  std::fflush(stdout);
}

// Plays all seeds, or as many as the time allows. A process that dies is a failure of the seed it was at.
Total play_all(const Options& o, std::ofstream& json) {
  Total total;
  std::map<uint64_t, uint64_t> traces;
  PoolEvents events;
  events.done = [&](uint64_t, const std::string& line) {
    take(Json::parse(line), total, traces);
    if (json) json << line << '\n';
  };
  events.died = [&](uint64_t seed, const std::string&, int status) {
    total.failed.push_back(seed);
    total.first_failure = words_of_status(status);
    std::printf("seed %llu FAILED %s\n", static_cast<unsigned long long>(seed), total.first_failure.c_str());
  };
  events.every_two_seconds = [&](double real_s) {
    std::printf("%llu of %llu seeds, %.1f simulated hours, %llu faults, %.0f s\n",
                static_cast<unsigned long long>(total.seeds), static_cast<unsigned long long>(o.last - o.first + 1),
                total.virtual_s / 3600, static_cast<unsigned long long>(total.faults), real_s);
    std::fflush(stdout);
  };
  run_pool(
      {o.first, o.last, o.jobs, o.limit_s, static_cast<uint32_t>(o.week ? 1'800 : 60 + 3 * o.minutes)},
      [&](uint64_t seed, const Note&) {
        const StoryPlan plan = plan_of(o, seed);
        const auto began = Clock::now();
        const StoryResult result = play(plan, draw_faults(seed, plan.faults), o.folder);
        return json_of(seed, result, std::chrono::duration<double>(Clock::now() - began).count()).dump();
      },
      events);
  for (const auto& [seed, trace] : traces) total.trace = total.trace * 1099511628211u ^ trace;
  return total;
}

// ---- reports

void print_table(const Options& o, const Total& t, double real_s) {
  const auto u = [](uint64_t n) { return static_cast<unsigned long long>(n); };
  std::printf("\n%llu seeds (%llu..%llu), %u robots each: %.1f simulated hours in %.1f s (%.0f times as fast)\n",
              u(t.seeds), u(o.first), u(o.last), o.robots, t.virtual_s / 3600, real_s, t.virtual_s / real_s);
  std::printf(
      "%llu faults, %llu deliveries, %llu episodes, %llu records at the centre; longest drain %.1f s simulated\n",
      u(t.faults), u(t.deliveries), u(t.episodes), u(t.records), static_cast<double>(t.drain_ms_max) / 1e3);
  std::printf("%-22s %12s %12s\n", "reached", "times", "in seeds");
  for (size_t i = 0; i < probes; ++i)
    std::printf("%-22s %12llu %12llu\n", std::string(probe_name(static_cast<Probe>(i))).c_str(), u(t.probe[i]),
                u(t.seeds_with[i]));
  uint64_t fired = 0, reached = 0;
  for (const uint64_t n : t.fired) fired += n, reached += n > 0;
  std::printf("rare events (buggify): %llu at %llu of %zu sites\n", u(fired), u(reached), buggify::sites);
  std::printf("trace of all seeds %016llx\n", u(t.trace));
}

std::string replay_command(const Options& o, uint64_t seed) {
  std::string text = "drover stress sim --seeds " + std::to_string(seed);
  if (o.week) return text + " --week --list-faults";
  char numbers[80];
  std::snprintf(numbers, sizeof numbers, " --robots %u --minutes %g --list-faults", o.robots, o.minutes);
  return text + numbers;
}

void explain(const Options& o, uint64_t seed) {
  const StoryPlan plan = plan_of(o, seed);
  const auto faults = draw_faults(seed, plan.faults);
  std::printf("\nreplay: %s\nshortening its %zu faults ...\n", replay_command(o, seed).c_str(), faults.size());
  std::fflush(stdout);
  const auto few = shrink(
      faults, [&](const std::vector<Fault>& some) { return !play(plan, some, o.folder).failure.empty(); },
      o.shrink_tries);
  std::printf("%zu faults are enough: %s\n", few.size(), play(plan, few, o.folder).failure.c_str());
  for (const Fault& f : few) std::printf("  %s\n", text_of(f).c_str());
}

// A run of some size that never reached a rare path proved less than it says.
std::vector<std::string> unreached(const Options& o, const Total& t) {
  std::vector<std::string> missing;
  if (t.seeds < 50 || o.week) return missing;
  for (size_t i = 0; i < probes; ++i)
    if (t.probe[i] == 0) missing.emplace_back(probe_name(static_cast<Probe>(i)));
  for (size_t i = 0; i < buggify::sites; ++i)
    if (t.fired[i] == 0) missing.push_back("site " + std::to_string(i) + " of messages/buggify.hpp");
  return missing;
}

bool parse_seeds(Options& o) {
  const size_t dots = o.seeds.find("..");
  const auto number = [](const std::string& text, uint64_t& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size() && value > 0;
  };
  if (dots == std::string::npos) return number(o.seeds, o.first) && (o.last = o.first, true);
  return number(o.seeds.substr(0, dots), o.first) && number(o.seeds.substr(dots + 2), o.last) && o.first <= o.last;
}

void list_faults(const Options& o) {
  for (const Fault& f : draw_faults(o.first, plan_of(o, o.first).faults)) std::printf("  %s\n", text_of(f).c_str());
}

int run(const Options& o) {
  std::ofstream json;
  if (!o.json.empty()) json.open(o.json);
  if (!o.json.empty() && !json) return std::fprintf(stderr, "drover stress sim: cannot write %s\n", o.json.c_str()), 2;
  if (o.list_faults) list_faults(o);
  const auto began = Clock::now();
  const Total total = play_all(o, json);
  print_table(o, total, std::chrono::duration<double>(Clock::now() - began).count());
  if (!total.failed.empty()) {
    const uint64_t seed = *std::min_element(total.failed.begin(), total.failed.end());
    std::printf("\nFAILED: %zu of %llu seeds; the first: %s\n", total.failed.size(),
                static_cast<unsigned long long>(total.seeds), total.first_failure.c_str());
    if (seed != 0 && o.shrink_tries > 0) explain(o, seed);
    return 1;
  }
  for (const std::string& path : unreached(o, total)) std::printf("NOT REACHED: %s\n", path.c_str());
  if (!unreached(o, total).empty()) return 1;
  std::printf("PASSED\n");
  return 0;
}

}  // namespace

int sim_main(int argc, char** argv) {
  Options o;
  CLI::App app("Simulate fleets under faults: the real actors, sessions and stores in one thread per seed.",
               "drover stress sim");
  app.add_option("--seeds", o.seeds, "one seed, or A..B")->capture_default_str();
  auto* robots =
      app.add_option("--robots", o.robots, "in each fleet")->check(CLI::Range(1, 1000))->capture_default_str();
  auto* minutes = app.add_option("--minutes", o.minutes, "of virtual time with faults")
                      ->check(CLI::Range(0.1, 100'000.0))
                      ->capture_default_str();
  app.add_flag("--week", o.week, "7 days of 100 robots that are offline for hours at a time");
  app.add_option("--jobs", o.jobs, "seeds at a time")->check(CLI::Range(1, 64))->capture_default_str();
  app.add_option("--limit-s", o.limit_s, "stop after so many real seconds; 0: play all seeds")->capture_default_str();
  app.add_option("--json", o.json, "write one line per seed to this file");
  app.add_option("--folder", o.folder, "where stores are made; default /dev/shm or the temporary folder");
  app.add_option("--shrink-tries", o.shrink_tries, "runs spent on shortening a failure; 0: none")
      ->capture_default_str();
  app.add_flag("--no-twin", o.no_twin, "do not compare with a run without faults");
  app.add_flag("--list-faults", o.list_faults, "print the faults of the first seed");
  CLI11_PARSE(app, argc, argv);
  if (!parse_seeds(o))
    return std::fprintf(stderr, "drover stress sim: --seeds takes 7 or 1..100, not '%s'\n", o.seeds.c_str()), 2;
  if (o.week && robots->count() == 0) o.robots = 100;
  if (o.week && minutes->count() == 0) o.minutes = 7 * 24 * 60;
  if (o.folder.empty()) o.folder = scratch_folder();
  o.jobs = static_cast<uint32_t>(std::min<uint64_t>(o.jobs, o.last - o.first + 1));
  std::printf("seeds %s, %u robots, %.0f simulated minutes of faults each, %u at a time\n", o.seeds.c_str(), o.robots,
              o.minutes, o.jobs);
  std::fflush(stdout);
  return run(o);
}

}  // namespace drover::simulate

// drover stress selftest: for every seeded bug and several starting points, plays seeds until one finds it; then plays
// seeds with no bug, of which none may find anything.
#include "stress/selftest/selftest.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "stress/selftest/bugs.hpp"
#include "stress/sim/pool.hpp"

namespace drover::simulate {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr uint32_t cpu_max_s = 20;  // of one seed; sound ones need a tenth of it

struct Options {
  uint32_t starts = 5;
  uint64_t seeds_max = 200;
  uint64_t clean = 40;
  uint64_t seed = 1;
  std::string only;
  uint32_t jobs = 2;
  std::string json;
  std::string folder;
};

struct Row {
  std::vector<uint64_t> seeds;  // to find it, by starting point
  std::vector<double> seconds;
  std::string by;  // first words of what was found
  bool missed = false;
};

uint64_t first_seed(const Options& o, uint64_t start) {
  return o.seed + start * 100'000;
}

// "at 1234 ms while faults strike: chunks: robot-1 ...": who found it.
std::string finder_of(const std::string& found) {
  for (const char* check :
       {"journal:", "watermark:", "records:", "inbox:", "applied:", "stores:", "chunks:", "sources:"})
    if (found.find(std::string(": ") + check) != std::string::npos) return std::string("audit, ") + check;
  constexpr std::array<std::pair<const char*, const char*>, 14> words{{{"books:", "books"},
                                                                       {"did not drain", "liveness"},
                                                                       {"an error was logged", "error log"},
                                                                       {"eviction", "order of eviction"},
                                                                       {"quota", "quota"},
                                                                       {"process died", "crash"},
                                                                       {"halted", "halted lane"},
                                                                       {"process hangs", "hang"},
                                                                       {"confirmed", "confirmed captures"},
                                                                       {"episodes", "exactly once"},
                                                                       {"in flight", "memory bound"},
                                                                       {"after the power loss", "store at return"},
                                                                       {"after a power loss", "store at return"},
                                                                       {"set aside", "set aside"}}};
  if (found.starts_with("at "))
    for (const auto& [word, finder] : words)
      if (found.find(word) != std::string::npos) return finder;
  const size_t colon = found.find(':');
  return "model, " + found.substr(0, colon == std::string::npos ? 20 : colon);
}

Json json_of(uint64_t seeds, double seconds, const std::string& found) {
  return {{"seeds", seeds}, {"seconds", seconds}, {"found", found}};
}

std::string search(const Options& o, const SeededBug& bug, uint64_t start, const Note& note) {
  const auto began = Clock::now();
  for (uint64_t n = 0; n < o.seeds_max; ++n) {
    note(std::to_string(n));
    const HuntResult result = hunt(bug.hunt, bug.bug, first_seed(o, start) + n, o.folder);
    const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    if (!result.found.empty()) return json_of(n + 1, seconds, result.found).dump(-1, ' ', true);
  }
  return json_of(0, 0, "").dump();
}

template <class T>
T median(std::vector<T> values) {
  if (values.empty()) return T{};
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void add(Row& row, uint64_t seeds, double seconds, const std::string& found) {
  if (seeds == 0) {
    row.missed = true;
    return;
  }
  row.seeds.push_back(seeds);
  row.seconds.push_back(seconds);
  if (row.by.empty()) row.by = finder_of(found);
}

// All bugs from all starting points; item = bug * starts + start.
std::vector<Row> search_all(const Options& o, const std::vector<SeededBug>& bugs, std::ofstream& json) {
  std::vector<Row> rows(bugs.size());
  PoolEvents events;
  events.done = [&](uint64_t item, const std::string& line) {
    const Json j = Json::parse(line);
    add(rows[item / o.starts], j["seeds"], j["seconds"], j["found"]);
    if (json)
      json << Json{{"bug", bugs[item / o.starts].name}, {"start", item % o.starts}, {"result", j}}.dump() << std::endl;
  };
  events.died = [&](uint64_t item, const std::string& note, int status) {
    uint64_t n = 0;
    std::from_chars(note.data(), note.data() + note.size(), n);
    add(rows[item / o.starts], n + 1, 0, "at a seed: " + words_of_status(status));
  };
  run_pool(
      {0, bugs.size() * o.starts - 1, o.jobs, 0, cpu_max_s},
      [&](uint64_t item, const Note& note) { return search(o, bugs[item / o.starts], item % o.starts, note); }, events);
  return rows;
}

// The same seeds without a bug: whoever finds something now is wrong himself.
std::vector<std::string> false_alarms(const Options& o, const std::vector<SeededBug>& bugs) {
  std::vector<Hunt> hunts;
  for (const SeededBug& bug : bugs)
    if (std::find(hunts.begin(), hunts.end(), bug.hunt) == hunts.end()) hunts.push_back(bug.hunt);
  std::vector<std::string> alarms;
  const auto seed_of = [&](uint64_t item) {
    const uint64_t n = item / hunts.size();
    return first_seed(o, n % o.starts) + n / o.starts;
  };
  PoolEvents events;
  events.done = [&](uint64_t item, const std::string& found) {
    if (found.empty()) return;
    alarms.push_back(std::string(hunt_name(hunts[item % hunts.size()])) + " seed " + std::to_string(seed_of(item)) +
                     ": " + found);
  };
  events.died = [&](uint64_t item, const std::string&, int) {
    alarms.push_back(std::string(hunt_name(hunts[item % hunts.size()])) + " seed " + std::to_string(seed_of(item)) +
                     ": its process died");
  };
  if (o.clean > 0)
    run_pool(
        {0, o.clean * hunts.size() - 1, o.jobs, 0, cpu_max_s},
        [&](uint64_t item, const Note&) {
          return hunt(hunts[item % hunts.size()], buggify::Bug::none, seed_of(item), o.folder).found;
        },
        events);
  return alarms;
}

void print_row(const SeededBug& bug, const Row& row) {
  if (row.missed) {
    std::printf("%-26s %-8s NOT FOUND from %zu of its starting points   %s\n", std::string(bug.name).c_str(),
                std::string(hunt_name(bug.hunt)).c_str(), row.seeds.size(), std::string(bug.what).c_str());
    return;
  }
  std::printf("%-26s %-8s %6llu %6llu %8.2f  %-22s %s\n", std::string(bug.name).c_str(),
              std::string(hunt_name(bug.hunt)).c_str(), static_cast<unsigned long long>(median(row.seeds)),
              static_cast<unsigned long long>(*std::max_element(row.seeds.begin(), row.seeds.end())),
              median(row.seconds), row.by.c_str(), std::string(bug.what).c_str());
}

int run(const Options& o) {
  std::ofstream json;
  if (!o.json.empty()) json.open(o.json);
  if (!o.json.empty() && !json)
    return std::fprintf(stderr, "drover stress selftest: cannot write %s\n", o.json.c_str()), 2;
  std::vector<SeededBug> bugs;
  for (const SeededBug& bug : seeded_bugs())
    if (o.only.empty() || bug.name == o.only) bugs.push_back(bug);
  if (bugs.empty()) return std::fprintf(stderr, "drover stress selftest: no bug is called '%s'\n", o.only.c_str()), 2;
#ifdef DROVER_NO_TEST_SWITCHES
  return std::fprintf(stderr, "drover stress selftest: built without test switches\n"), 2;
#endif
  std::printf("%zu seeded bugs, %u starting points each, at most %llu seeds\n", bugs.size(), o.starts,
              static_cast<unsigned long long>(o.seeds_max));
  std::fflush(stdout);
  const auto began = Clock::now();
  const auto rows = search_all(o, bugs, json);
  std::printf("\n%-26s %-8s %6s %6s %8s  %-22s %s\n", "bug", "hunt", "median", "most", "seconds", "found by",
              "what is wrong");
  size_t missed = 0;
  for (size_t i = 0; i < bugs.size(); ++i) {
    print_row(bugs[i], rows[i]);
    missed += rows[i].missed;
  }
  const auto alarms = false_alarms(o, bugs);
  for (size_t i = 0; i < std::min<size_t>(alarms.size(), 5); ++i) std::printf("FALSE ALARM %s\n", alarms[i].c_str());
  std::printf(
      "\n%zu of %zu bugs found within %llu seeds from every starting point; %llu clean seeds of each hunt: %zu "
      "false alarms; %.0f s\n",
      bugs.size() - missed, bugs.size(), static_cast<unsigned long long>(o.seeds_max),
      static_cast<unsigned long long>(o.clean), alarms.size(),
      std::chrono::duration<double>(Clock::now() - began).count());
  const bool passed = missed == 0 && alarms.empty();
  std::printf(passed ? "PASSED\n" : "FAILED\n");
  return passed ? 0 : 1;
}

}  // namespace

int selftest_main(int argc, char** argv) {
  Options o;
  CLI::App app("Switch on bugs one by one: simulator, crash points, models and audit must find each.",
               "drover stress selftest");
  app.add_option("--starts", o.starts, "starting points for each bug")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  app.add_option("--seeds-max", o.seeds_max, "a bug that needs more is not found")->capture_default_str();
  app.add_option("--clean", o.clean, "seeds of each hunt without a bug")->capture_default_str();
  app.add_option("--seed", o.seed, "the first")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--bug", o.only, "only this one");
  app.add_option("--jobs", o.jobs, "processes")->check(CLI::Range(1, 64))->capture_default_str();
  app.add_option("--json", o.json, "write one line per bug and starting point to this file");
  app.add_option("--folder", o.folder, "where stores are made; default /dev/shm or the temporary folder");
  CLI11_PARSE(app, argc, argv);
  if (o.folder.empty()) o.folder = scratch_folder();
  return run(o);
}

}  // namespace drover::simulate

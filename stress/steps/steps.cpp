// drover stress steps: for some seeds, counts the steps of a run, then plays it again once for every step and every
// kind of loss, with the power going at that step, and says what was reached.
#include "stress/steps/steps.hpp"

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "stress/sim/pool.hpp"
#include "stress/steps/crash_story.hpp"

namespace drover::simulate {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

struct Options {
  uint64_t points = 10'000;
  uint64_t seed = 1;
  uint64_t step = 0;
  std::string loss = "dropped";
  uint32_t jobs = 2;
  std::string json;
  std::string folder;
};

struct Point {
  uint64_t seed = 0;
  uint64_t step = 0;
  Loss loss = Loss::dropped;
};

struct Total {
  uint64_t points = 0, crashes = 0, unsynced = 0, records = 0, episodes = 0, evictions = 0, postings = 0;
  // By kind of what went wrong.
  uint64_t losses = 0, doubles = 0, unreceipted = 0, money = 0, others = 0;
  std::array<std::array<std::array<uint64_t, drover::simulate::losses>, step_kinds>, stages> reached{};
  std::vector<std::pair<Point, std::string>> failed;
};

CrashPlan plan_of(const Point& p) {
  CrashPlan plan;
  plan.seed = p.seed;
  plan.crash_at = p.step;
  plan.loss = p.loss;
  return plan;
}

// Every step of a seed, with every loss where something can be unsynced; sends once.
void add_points(uint64_t seed, const std::vector<uint8_t>& steps, std::vector<Point>& points) {
  for (size_t i = 0; i < steps.size(); ++i) {
    const bool send = static_cast<StepKind>(steps[i] % step_kinds) == StepKind::send;
    for (size_t loss = 0; loss < losses; ++loss)
      if (!send || loss == i % losses) points.push_back({seed, i + 1, static_cast<Loss>(loss)});
  }
}

// Short runs take some points of a whole run, evenly.
void thin_out(std::vector<Point>& points, uint64_t wanted) {
  if (points.size() < 2 * wanted) return;
  std::vector<Point> some;
  for (uint64_t i = 0; i < wanted; ++i) some.push_back(points[i * points.size() / wanted]);
  points = std::move(some);
}

Json json_of(const Point& p, const CrashResult& r) {
  return {{"seed", p.seed},
          {"step", p.step},
          {"loss", loss_name(p.loss)},
          {"failure", r.failure},
          {"stage", static_cast<unsigned>(r.stage)},
          {"kind", static_cast<unsigned>(r.kind)},
          {"crashes", r.crashes},
          {"unsynced", r.unsynced},
          {"records", r.records},
          {"episodes", r.episodes},
          {"evictions", r.evictions},
          {"postings", r.postings},
          {"trace", r.trace}};
}

std::string replay(const Point& p) {
  return "drover stress steps --seed " + std::to_string(p.seed) + " --step " + std::to_string(p.step) + " --loss " +
         std::string(loss_name(p.loss));
}

void note_failure(Total& t, const Point& p, const std::string& failure) {
  t.failed.emplace_back(p, failure);
  const auto has = [&](std::string_view text) { return failure.find(text) != std::string::npos; };
  if (has("books:"))
    ++t.money;
  else if (has("receipt"))
    ++t.unreceipted;
  else if (has("captured twice") || has("are stored, the applied records make") || has("already holds"))
    ++t.doubles;
  else if (has("acknowledged loss") || has("was told that") || has("missing") || has("not at the centre"))
    ++t.losses;
  else
    ++t.others;
  if (t.failed.size() <= 5) std::printf("FAILED %s\n  %s\n", replay(p).c_str(), failure.c_str());
  std::fflush(stdout);
}

void take(Total& t, const Point& p, const std::string& line) {
  const Json j = Json::parse(line);
  ++t.points;
  t.crashes += j["crashes"].get<uint64_t>();
  t.unsynced += j["unsynced"].get<uint64_t>();
  t.records += j["records"].get<uint64_t>();
  t.episodes += j["episodes"].get<uint64_t>();
  t.evictions += j["evictions"].get<uint64_t>();
  t.postings += j["postings"].get<uint64_t>();
  ++t.reached[j["stage"].get<size_t>()][j["kind"].get<size_t>()][static_cast<size_t>(p.loss)];
  if (!j["failure"].get<std::string>().empty()) note_failure(t, p, j["failure"]);
}

Total play_all(const Options& o, const std::vector<Point>& points, std::ofstream& json) {
  Total total;
  PoolEvents events;
  events.done = [&](uint64_t item, const std::string& line) {
    take(total, points[item], line);
    if (json) json << line << '\n';
  };
  events.died = [&](uint64_t item, const std::string&, int status) {
    ++total.points;
    note_failure(total, points[item], words_of_status(status));
  };
  events.every_two_seconds = [&](double real_s) {
    std::printf("%llu of %zu crash points, %.0f s\n", static_cast<unsigned long long>(total.points), points.size(),
                real_s);
    std::fflush(stdout);
  };
  run_pool(
      {0, points.size() - 1, o.jobs, 0, 30},
      [&](uint64_t item, const Note&) {
        return json_of(points[item], play_crash(plan_of(points[item]), o.folder)).dump();
      },
      events);
  return total;
}

void print_table(const Total& t) {
  std::printf("\n%-9s %-7s %9s %9s %9s %9s\n", "stage", "step", "dropped", "kept", "reordered", "torn");
  for (size_t s = 0; s < stages; ++s)
    for (size_t k = 0; k < step_kinds; ++k) {
      const auto& row = t.reached[s][k];
      if (row[0] + row[1] + row[2] + row[3] == 0) continue;
      std::printf("%-9s %-7s", std::string(stage_name(static_cast<Stage>(s))).c_str(),
                  std::string(step_kind_name(static_cast<StepKind>(k))).c_str());
      for (const uint64_t n : row) std::printf(" %9llu", static_cast<unsigned long long>(n));
      std::printf("\n");
    }
}

// Every stage must have been hit at each of its kinds of step.
bool covered(const Total& t) {
  bool all = true;
  for (size_t s = 0; s < stages; ++s) {
    const auto stage = static_cast<Stage>(s);
    const bool sends = stage == Stage::upload || stage == Stage::answer;
    for (size_t k = 0; k < step_kinds; ++k) {
      if (sends != (static_cast<StepKind>(k) == StepKind::send)) continue;
      const auto& row = t.reached[s][k];
      if (row[0] + row[1] + row[2] + row[3] > 0) continue;
      all = false;
      std::printf("NOT REACHED: %s %s\n", std::string(stage_name(stage)).c_str(),
                  std::string(step_kind_name(static_cast<StepKind>(k))).c_str());
    }
  }
  return all;
}

int one_point(const Options& o) {
  Point p{o.seed, o.step, Loss::dropped};
  for (size_t i = 0; i < losses; ++i)
    if (loss_name(static_cast<Loss>(i)) == o.loss) p.loss = static_cast<Loss>(i);
  const CrashResult r = play_crash(plan_of(p), o.folder);
  std::printf("%s: power off at %s %s; %llu crashes, %llu unsynced writes; trace %016llx\n%s\n", replay(p).c_str(),
              std::string(stage_name(r.stage)).c_str(), std::string(step_kind_name(r.kind)).c_str(),
              static_cast<unsigned long long>(r.crashes), static_cast<unsigned long long>(r.unsynced),
              static_cast<unsigned long long>(r.trace), r.failure.empty() ? "PASSED" : r.failure.c_str());
  return r.failure.empty() ? 0 : 1;
}

int run(const Options& o) {
  std::ofstream json;
  if (!o.json.empty()) json.open(o.json);
  if (!o.json.empty() && !json)
    return std::fprintf(stderr, "drover stress steps: cannot write %s\n", o.json.c_str()), 2;
  std::vector<Point> points;
  uint64_t seed = o.seed, steps = 0;
  for (; points.size() < o.points; ++seed) {
    const CrashResult calm = play_crash(plan_of({seed, 0, Loss::dropped}), o.folder);
    if (!calm.failure.empty())
      return std::printf("FAILED without a crash, seed %llu: %s\n", static_cast<unsigned long long>(seed),
                         calm.failure.c_str()),
             1;
    steps += calm.steps.size();
    add_points(seed, calm.steps, points);
  }
  thin_out(points, o.points);
  std::printf("%llu seeds with %llu steps: %zu crash points\n", static_cast<unsigned long long>(seed - o.seed),
              static_cast<unsigned long long>(steps), points.size());
  std::fflush(stdout);
  const auto began = Clock::now();
  const Total t = play_all(o, points, json);
  const double real_s = std::chrono::duration<double>(Clock::now() - began).count();
  const auto u = [](uint64_t n) { return static_cast<unsigned long long>(n); };
  print_table(t);
  std::printf(
      "\n%llu crash points in %.1f s, %llu power losses (second ones among them), %llu writes were not synced\n",
      u(t.points), real_s, u(t.crashes), u(t.unsynced));
  std::printf("%llu episodes captured, %llu records central, %llu evictions, %llu postings\n", u(t.episodes),
              u(t.records), u(t.evictions), u(t.postings));
  std::printf(
      "acknowledged losses %llu, double counts %llu, evictions without a receipt %llu, wrong books %llu, other "
      "violations %llu\n",
      u(t.losses), u(t.doubles), u(t.unreceipted), u(t.money), u(t.others));
  if (!t.failed.empty()) return std::printf("FAILED: %zu crash points\n", t.failed.size()), 1;
  if (o.points >= 2'000 && !covered(t)) return 1;
  std::printf("PASSED\n");
  return 0;
}

}  // namespace

int steps_main(int argc, char** argv) {
  Options o;
  CLI::App app("Switch off the power at every write, sync and send from capture to eviction.", "drover stress steps");
  app.add_option("--points", o.points, "crash points, at least; seeds are added until there are so many")
      ->check(CLI::Range(1, 10'000'000))
      ->capture_default_str();
  app.add_option("--seed", o.seed, "the first")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--step", o.step, "only this step of this seed");
  app.add_option("--loss", o.loss, "with --step: what becomes of unsynced writes")
      ->check(CLI::IsMember({"dropped", "kept", "reordered", "torn"}))
      ->capture_default_str();
  app.add_option("--jobs", o.jobs, "processes")->check(CLI::Range(1, 64))->capture_default_str();
  app.add_option("--json", o.json, "write one line per crash point to this file");
  app.add_option("--folder", o.folder, "where stores are made; default /dev/shm or the temporary folder");
  CLI11_PARSE(app, argc, argv);
  if (o.folder.empty()) o.folder = scratch_folder();
  return o.step != 0 ? one_point(o) : run(o);
}

}  // namespace drover::simulate

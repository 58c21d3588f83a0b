// drover-semantics-check: boundaries, labels and outcomes of the segmenter against the truth, per source, in tables.
//
//   drover-semantics-check [--source templates,physics,log] [--count 200] [--seed 1000] [--rate 20] [--noise 1]
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "actors/capture/source.hpp"
#include "actors/robot/mujoco_world.hpp"
#include "actors/robot/script.hpp"
#include "actors/semantics/log_frames.hpp"
#include "actors/semantics/physics_frames.hpp"
#include "actors/semantics/segment_score.hpp"
#include "actors/semantics/segmenter.hpp"
#include "actors/semantics/sima_template.hpp"

namespace drover::semantics {

namespace {

struct Options {
  std::vector<std::string> sources = {"templates"};
  std::vector<std::string> families;
  uint64_t count = 200;
  uint64_t seed = 1000;
  double rate_hz = 20;
  double noise = 1;
  uint64_t show = 0;   // rollouts printed segment by segment
  bool wrong = false;  // only those with a mistake
  std::string worlds = "configs/worlds";
  std::vector<std::string> world_names = {"drawer_vase"};
  std::string log;
  std::string mappings = "configs/mappings";
};

void print_segments(const LabelledRollout& r, const std::vector<Segment>& found) {
  std::printf("%s: %s %s %s\n", r.rollout.id.c_str(), std::string(template_name(r.truth.kind)).c_str(),
              r.truth.failure.c_str(), r.truth.recovery.c_str());
  const auto line = [](const char* who, double a, double b, Label l, Outcome o, Reason w) {
    std::printf("  %-5s %7.2f %7.2f %-17s %-9s %s\n", who, a, b, std::string(label_name(l)).c_str(),
                std::string(outcome_name(o)).c_str(), w == Reason::none ? "" : std::string(reason_name(w)).c_str());
  };
  for (const TruthSegment& s : r.truth.segments) line("true", s.start_s, s.end_s, s.label, s.outcome, s.reason);
  for (const Segment& s : found) line("found", s.start_s, s.end_s, s.label, s.outcome, s.reason);
}

void print_score(const std::string& name, const SegmentScore& score) {
  std::printf("%-20s %6llu streams  boundary F1 %.4f  labels %.4f  failures %.3f/%.3f  repairs %.3f/%.3f\n",
              name.c_str(), static_cast<unsigned long long>(score.streams()), score.boundary_f1(),
              score.label_accuracy(), score.failure_recall(), score.failure_precision(), score.repair_recall(),
              score.repair_precision());
}

void check_templates(const Options& options) {
  TemplateConfig config;
  config.seed = options.seed;
  config.rate_hz = options.rate_hz;
  config.noise = options.noise;
  TemplateLibrary library(config);
  Segmenter segmenter({});
  SegmentScore all;
  LabelledRollout r;
  std::vector<Segment> found;
  double seconds = 0;
  size_t frames = 0;
  for (size_t f = 0; f < family_count; ++f) {
    const auto family = static_cast<Family>(f);
    const std::string name(family_name(family));
    if (!options.families.empty() &&
        std::find(options.families.begin(), options.families.end(), name) == options.families.end())
      continue;
    SegmentScore score;
    uint64_t shown = 0;
    for (uint64_t i = 0; i < options.count; ++i) {
      library.make(family, i, r);
      const auto start = std::chrono::steady_clock::now();
      segment_rollout(segmenter, r.rollout, found);
      seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      frames += r.rollout.frames.size();
      score.add(r.truth.segments, found);
      all.add(r.truth.segments, found);
      SegmentScore one;
      one.add(r.truth.segments, found);
      const bool perfect = one.boundary_f1() > 0.999 && one.label_accuracy() > 0.93 && one.failure_recall() == 1 &&
                           one.failure_precision() == 1 && one.repair_recall() == 1 && one.repair_precision() == 1;
      if (shown < options.show && !(options.wrong && perfect)) {
        ++shown;
        print_segments(r, found);
      }
    }
    print_score(name, score);
  }
  print_score("templates", all);
  std::printf("%s%.1f us per 100 frames (one thread)\n", all.table().c_str(),
              1e8 * seconds / static_cast<double>(frames));
}

int check_physics(const Options& options) {
  for (const std::string& name : options.world_names) {
    const std::string folder = options.worlds + "/" + name;
    auto worlds = robot::MujocoWorlds::load(folder);
    auto graph = robot::SkillGraph::load(folder + "/skills.toml");
    if (!worlds || !graph) {
      std::fprintf(stderr, "%s\n", (!worlds ? worlds.error() : graph.error()).message().c_str());
      return 1;
    }
    auto world = worlds->make();
    if (!world) return 1;
    Segmenter segmenter({});
    SegmentScore all;
    std::vector<Segment> found;
    for (const std::string set : {"nominal", "hard"}) {
      SegmentScore score;
      uint64_t shown = 0;
      for (uint64_t seed = options.seed; seed < options.seed + options.count; ++seed) {
        robot::ScriptedSkills script(*graph);
        auto labelled = physics_rollout(**world, script, {seed, set, {}});
        if (!labelled) return 1;
        segment_rollout(segmenter, labelled->rollout, found);
        score.add(labelled->truth.segments, found);
        all.add(labelled->truth.segments, found);
        SegmentScore one;
        one.add(labelled->truth.segments, found);
        if (shown < options.show && !(options.wrong && one.boundary_f1() > 0.9)) {
          ++shown;
          print_segments(*labelled, found);
        }
      }
      print_score(name + " " + set, score);
    }
    print_score(name, all);
    std::printf("%s", all.table().c_str());
  }
  return 0;
}

// Alarms as the frames have them, and whether the arm moved again after each, beside what the segments say.
struct AlarmTable {
  uint64_t stretches = 0, failed = 0, resumed = 0, recovered = 0, false_failures = 0;

  void add(const Rollout& rollout, const std::vector<Segment>& found) {
    const auto& frames = rollout.frames;
    const auto covers = [](const Segment& s, double time_s) { return s.start_s <= time_s && time_s <= s.end_s; };
    for (size_t i = 0; i < frames.size(); ++i) {
      if (frames[i].alarms == 0 || (i > 0 && frames[i - 1].alarms == frames[i].alarms)) continue;
      ++stretches;
      for (const Segment& s : found)
        if (s.outcome == Outcome::failure && covers(s, frames[i].time_s)) {
          ++failed;
          break;
        }
      size_t end = i;
      while (end < frames.size() && frames[end].alarms != 0) ++end;
      bool moved = false;
      size_t next = end;
      for (; next < frames.size() && frames[next].alarms == 0; ++next)
        for (size_t j = 0; j < rollout.joint_count; ++j)
          moved = moved || std::abs(frames[next].joint_rad_per_s[j]) >= 0.03F;
      if (end == frames.size() || !moved || (i > 0 && frames[i - 1].alarms != 0)) continue;
      ++resumed;
      const double from_s = frames[end].time_s - 1e-6, to_s = frames[next - 1].time_s;
      for (const Segment& s : found)
        if (s.outcome == Outcome::recovered && s.label == Label::recovery_maneuver && s.end_s > from_s &&
            s.start_s <= to_s) {
          ++recovered;
          break;
        }
    }
    for (const Segment& s : found) {
      bool alarmed = s.outcome != Outcome::failure;
      for (uint32_t i = s.first_frame; i <= s.first_frame + s.frame_count && i < frames.size(); ++i)
        alarmed = alarmed || frames[i].alarms != 0;
      if (!alarmed) ++false_failures;
    }
  }
};

int check_log(const Options& options) {
  auto mappings = capture::load_mappings(options.mappings);
  auto file = mcap::file_source(options.log);
  if (!mappings || !file) {
    std::fprintf(stderr, "%s\n", (!mappings ? mappings.error() : file.error()).message().c_str());
    return 1;
  }
  const std::string name = options.log.substr(options.log.rfind('/') + 1);
  auto mapping = capture::choose_mapping(name, *file, *mappings);
  capture::CaptureOptions capture_options;
  capture_options.robot = "check";
  auto source = capture::open_log(name, *file, *mappings, capture_options);
  if (!mapping || !source) return 1;
  Segmenter segmenter({});
  std::vector<Segment> found;
  AlarmTable table;
  std::map<std::string, std::pair<uint64_t, double>> labels;
  uint64_t episodes = 0, shown = 0;
  for (auto episode = (*source)->next(); episode && *episode; episode = (*source)->next()) {
    auto rollout = rollout_from_log(**episode, **mapping);
    if (!rollout) {
      std::fprintf(stderr, "%s\n", rollout.error().message().c_str());
      return 1;
    }
    segment_rollout(segmenter, *rollout, found);
    table.add(*rollout, found);
    ++episodes;
    for (const Segment& s : found) {
      auto& [count, seconds] = labels[std::string(label_name(s.label)) + " " + std::string(outcome_name(s.outcome)) +
                                      (s.reason == Reason::none ? "" : " " + std::string(reason_name(s.reason)))];
      ++count;
      seconds += s.end_s - s.start_s;
    }
    if (shown < options.show) {
      ++shown;
      print_segments({*rollout, {}}, found);
    }
  }
  std::printf("%s (%s): %llu episodes\n", name.c_str(), (*mapping)->kind.c_str(),
              static_cast<unsigned long long>(episodes));
  for (const auto& [label, sum] : labels)
    std::printf("  %-44s %6llu segments %9.1f s\n", label.c_str(), static_cast<unsigned long long>(sum.first),
                sum.second);
  const auto n = [](uint64_t v) { return static_cast<unsigned long long>(v); };
  std::printf(
      "alarm stretches %llu, of them failures %llu; moved again after %llu, of them recoveries %llu; failures without "
      "an alarm %llu\n",
      n(table.stretches), n(table.failed), n(table.resumed), n(table.recovered), n(table.false_failures));
  return 0;
}

}  // namespace

static int run(int argc, char** argv) {
  CLI::App app("Segmentation against the truth");
  Options options;
  app.add_option("--source", options.sources, "templates, physics, log")->delimiter(',');
  app.add_option("--family", options.families, "Template families; empty: all")->delimiter(',');
  app.add_option("--count", options.count, "Rollouts per family");
  app.add_option("--seed", options.seed, "Seed of the batch");
  app.add_option("--rate", options.rate_hz, "Frames per second");
  app.add_option("--noise", options.noise, "Factor on the sensors' noise");
  app.add_option("--show", options.show, "Print that many rollouts per family");
  app.add_flag("--wrong", options.wrong, "Print only those with mistakes");
  app.add_option("--log", options.log, "A log file; needs --source log");
  app.add_option("--mappings", options.mappings, "Folder of the mappings");
  app.add_option("--worlds", options.worlds, "Folder of the worlds");
  app.add_option("--world", options.world_names, "Worlds")->delimiter(',');
  CLI11_PARSE(app, argc, argv);
  int failed = 0;
  for (const std::string& source : options.sources) {
    if (source == "templates") check_templates(options);
    if (source == "physics") failed |= check_physics(options);
    if (source == "log") failed |= check_log(options);
  }
  return failed;
}

}  // namespace drover::semantics

int main(int argc, char** argv) {
  return drover::semantics::run(argc, argv);
}
